"""What may be ranked together (floor 6): numbers of one kind, of the same rows under one protocol."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from logpx.data import Data, Split
from logpx.errors import UserError
from logpx.evaluate import Points, batch_of
from logpx.evaluate.rows import count
from logpx.likelihoods import measure_of
from logpx.model import VAE

Facts = Mapping[str, Any]
#: what makes likelihoods be of different data, and how each is called
OF_DATA = {
    "checksum": "data",
    "shape": "shape",
    "protocol": "protocol",
    "kind": "kind of numbers",
    "levels": "levels",
    "columns": "columns",
    "column_kinds": "kinds of columns",
    "conditions": "condition",
}
#: of a run's account of its data, what only tells how they are called and how they are divided
ASIDE = {
    *OF_DATA,
    "name",
    "source",
    "note",
    "label",
    "classes",
    "by_label",
    "categories",
    "counts",
    "context",
    "division",
}


def check_data(abouts: Mapping[str, Facts]) -> None:
    """Raises UserError where runs, by name, were trained on different data, or on the same under different protocols."""
    _check({name: {words: _of_data(about, key) for key, words in OF_DATA.items()} for name, about in abouts.items()})


def check_measures(models: Mapping[str, VAE]) -> None:
    """Raises UserError where log p(x) is a density of one model, a probability of another, or a score."""
    measures = {name: measure_of(model.likelihood) or "score" for name, model in models.items() if model.has_evidence}
    _check({name: {"kind of log p(x)": measure} for name, measure in measures.items()})


def check_division(abouts: Mapping[str, Facts], rows: Points, data: Mapping[str, Data] | None = None) -> None:
    """Raises UserError where rows that judge one run may have trained another.

    data   of each run: the rows are then the same split of each, whatever the settings; without them the fingerprints of the
           divisions must be the same, or, of runs that keep none, all settings that divide rows.
    """
    if data is not None:
        return check_rows(data, _split_of(next(iter(data.values())), rows), count(rows))
    prints = {name: str(about.get("division"))[:8] for name, about in abouts.items()}
    kept = all(about.get("division") for about in abouts.values())
    if kept and len(set(prints.values())) < 2:
        return None
    facts = {name: _division(about) for name, about in abouts.items()}
    if kept and all(its == next(iter(facts.values())) for its in facts.values()):  # divided by arrays, say
        facts = {name: {"division": its} for name, its in prints.items()}
    return _check(
        facts,
        "test rows of one may have trained another, so compare each set by itself, or hand over the data of each run (data=) "
        "to have it seen that these rows are test rows of all.",
    )


def _division(about: Facts) -> dict[str, str]:
    """The settings by which rows were divided, and how many went where."""
    asked = about.get("asked", {})
    settings = {key: about.get(key) for key in ("seed", "held_out", "test")}
    told = settings | {key: asked.get(key) for key in ("split", "group")} | {"counts": about.get("counts")}
    return _plain(told)


def _split_of(data: Data, rows: Points) -> str:
    """Which split begins with these rows; UserError where none does."""
    wanted, n = digest(rows), count(rows)
    for name in ("test", "held_out", "train"):
        split = getattr(data, name)
        if wanted in (digest(limited(split, n)), digest(split) if len(split) == n else None):
            return name
    raise UserError(
        f"These {n:,} rows are not the first ones of any split of {data.name}, so nothing shows that no run was trained on "
        "them: give the test rows of the data, or leave data= out."
    )


def check_rows(data: Mapping[str, Data], split: str, limit: int | None = None) -> None:
    """Raises UserError where the rows of this split, by run, are not the same ones; it names what divided them otherwise."""
    digests = {name: digest(limited(getattr(its, split), limit)) for name, its in data.items()}
    if len(set(digests.values())) < 2:
        return
    told = {name: _plain({k: v for k, v in its.describe().items() if k not in ASIDE}) for name, its in data.items()}
    rows = f"{split.replace('_', '-')} rows"
    _check({name: told[name] | {rows: digest} for name, digest in digests.items()})


def limited(split: Split, limit: int | None) -> Split:
    """The first `limit` rows, or all; what is drawn at each read is drawn once, as an evaluation of them draws it."""
    if limit is None:
        return split
    x, context, observed = batch_of(split, slice(0, limit))
    labels, factors = (None if t is None else t[:limit] for t in (split.labels, split.factors))
    kept = x if observed is None else x.masked_fill(~observed, math.nan)
    return replace(
        split,
        rows=kept,
        prepare=lambda stored, generator: stored,
        random=False,
        context=context,
        labels=labels,
        factors=factors,
    )


def digest(rows: Points) -> str:
    """Of what a model sees of the rows: their numbers, what is missing, what they are conditioned on."""
    found = hashlib.sha256()
    for start in range(0, count(rows), 1000):
        for tensor in batch_of(rows, slice(start, start + 1000)):
            found.update(b"-" if tensor is None else tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:8]


def _of_data(about: Facts, key: str) -> str:
    value = about.get(key)
    if key == "checksum":
        return f"{about.get('name')} ({str(value)[:8]})"
    if key in ("column_kinds", "conditions"):  # where their numbers lie is of the training rows, and not of the data
        value = [column[:3] for column in value or ()]
    return _short(value)


def _plain(about: Facts) -> dict[str, str]:
    return {f"setting {key}": _short(value) for key, value in about.items()}


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, default=str).replace('"', "")
    return text if len(text) <= 40 else f"{text[:37]}..."


def _check(facts: Mapping[str, Mapping[str, str]], advice: str = "compare each set by itself.") -> None:
    """Raises UserError, naming what differs and which runs go together, where not all facts are the same."""
    sets: dict[tuple[str, ...], list[str]] = {}
    names = list(dict.fromkeys(key for its in facts.values() for key in its))
    differ = [key for key in names if len({its.get(key) for its in facts.values()}) > 1]
    for name, its in facts.items():
        sets.setdefault(tuple(str(its.get(key)) for key in differ), []).append(name)
    if len(sets) < 2:
        return
    told = "; ".join(f"{', '.join(runs)} ({', '.join(values)})" for values, runs in sets.items())
    raise UserError(
        f"These runs cannot be ranked together, for their {_and(differ)} differ{'s' * (len(differ) == 1)}: {told}; "
        f"{advice}"
    )


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
