"""The command line that trains a run, from what the run keeps (floor 7)."""

import contextlib
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from logpx.data import names as data_names
from logpx.errors import UserError
from logpx.recipes.base import RECIPES, has_own_networks, rebuild
from logpx.recipes.own import HANDED_OVER


def command(info: dict[str, Any], *, bare: bool = False) -> str | None:
    """The command line that trains the same again; None for parts or data that no command line can name.

    bare      files are named without their folders, which say something of the machine.
    """
    data = info.get("data") or {}
    source = str(data.get("source", ""))
    if info.get("recipe") not in RECIPES or not (source in data_names() or Path(source).is_absolute()):
        return None
    if info["options"].get("network") == HANDED_OVER:
        return None
    protocol = data.get("protocol", "as-is")
    source = Path(source).name if bare else source
    words = ["logpx", "train", info["recipe"], source if protocol == "as-is" else f"{source}:{protocol}"]
    kept = {name: data.get(name) for name in ("held_out", "test", "label")}
    kept |= _asked(data)
    changed = {name: value for name, value in {**_changed(info), **kept}.items() if value is not None}
    for name, value in changed.items():
        option = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", _word(value)]
    return shlex.join(words)


def _asked(data: dict[str, Any]) -> dict[str, Any]:
    """Kind, columns, context and what was dropped as they were asked for, in the command line's words."""
    asked = data.get("asked") or {}
    pairs = [f"{name}={kind}" for name, kind in (asked.get("columns") or {}).items()]
    return {
        "kind": asked.get("kind"),
        "columns": pairs or None,
        "context": asked.get("context"),
        "drop": asked.get("drop"),
        **{name: asked.get(name) for name in ("standardise", "split", "group")},
        "split_seed": data.get("seed") or None,
    }


def _changed(info: dict[str, Any]) -> dict[str, Any]:
    """Options, training and settings that are not the recipe's own."""
    options = {n: p.default for n, p in RECIPES[info["recipe"]].options.items()}
    kept = {n: v for n, v in info["options"].items() if n != "network_sha256"}
    defaults = {"seed": 0, "device": None, "precision": "float32", "compile": "auto", "save_every": 1}
    with contextlib.suppress(UserError):
        plain = kept | ({"network": "mlp"} if has_own_networks(kept) else {})  # nobody's code runs for the settings
        defaults |= asdict(rebuild(info | {"options": plain}).training)
    given = {**kept, **info.get("training", {}), **info.get("settings", {}), "device": None}
    defaults |= options
    return {n: v for n, v in given.items() if _word(v) != _word(defaults.get(n))}


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
