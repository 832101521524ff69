"""Which runs are one line (floor 6): those of one recipe that differ in nothing but their seeds; and what a line is called."""

import hashlib
import json
from collections.abc import Sequence
from types import CodeType
from typing import Any

from torch import nn

from logpx.networks import Own
from logpx.train.run import Run
from logpx.train.standings import written


def seeds_of(run: Run) -> tuple[int, int]:
    """(seed of the initial weights, seed of the training): the command line has one for both."""
    training = int(run.info["settings"]["seed"])
    return int(run.info["options"].get("seed", training)), training


def key_of(run: Run) -> str | None:
    """The same for runs that differ only in seeds; None for hand-made parts, of which run.json knows too little to say so."""
    return None if run.info["recipe"] is None else json.dumps(settings_of(run), sort_keys=True, default=str)


def settings_of(run: Run) -> dict[str, Any]:
    """All that is no seed: recipe, options, own networks, training, precision, how the data were divided."""
    info = run.info
    options = {name: value for name, value in info["options"].items() if name != "seed"}
    own = [part for part in run.model.modules() if isinstance(part, Own)]
    networks = {"networks": structure(own)} if own else {}
    divided = {"training_rows": info["data"].get("counts", {}).get("train"), "split_seed": info["data"].get("seed")}
    precision = {"precision": info["settings"].get("precision")}
    return {"recipe": info["recipe"]} | options | networks | info["training"] | precision | divided


def structure(networks: Sequence[nn.Module]) -> str:
    """Digest of all that shows of modules but their weights: classes, settings, what `forward` does, names and shapes.

    Two functions in Python may both go by the name "own", and one name may stand for other sizes, so names do not tell.
    """
    found = hashlib.sha256()
    for network in networks:
        for name, part in network.named_modules():
            does = _does(getattr(type(part).forward, "__code__", None))
            found.update(repr((name, type(part).__module__, type(part).__qualname__, part.extra_repr(), does)).encode())
        for name, tensor in network.state_dict().items():
            found.update(repr((name, tuple(tensor.shape))).encode())
    return found.hexdigest()[:8]


def _does(code: CodeType | None) -> Any:
    """What a function's code does, however its file is called and wherever in it the code stands."""
    if code is None:
        return None
    consts = [_does(const) if isinstance(const, CodeType) else const for const in code.co_consts]
    return code.co_code.hex(), code.co_names, repr(consts)


def labels(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Of each line, by its first run: the recipe, with the settings that differ among its lines; the run's name if none do."""
    settings = [settings_of(run) for run in runs]
    found = [_label(its, [other for other in settings if other["recipe"] == its["recipe"]]) for its in settings]
    return [label if found.count(label) == 1 else f"{label} ({name})" for label, name in zip(found, names, strict=True)]


def _label(its: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    apart = [name for name in its if any(other.get(name) != its[name] for other in others)]
    return " ".join([str(its["recipe"] or "parts"), *(f"{name}={written(its[name])}" for name in apart)])
