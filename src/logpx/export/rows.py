"""What a row must be before an exported part reads it (floor 7), told from a run's account of its data."""

from collections.abc import Mapping
from typing import Any

from logpx.data import Column, columns_in

HOW = {
    "grey": "grey pixels: level / {top}, in [0, 1]",
    "dynamic": "pixels 0 or 1, drawn from Bernoulli(level / {top}) or 1 where that is at least 1/2: say which you took",
    "static": "pixels 0 or 1, drawn once from Bernoulli(level / {top})",
    "threshold": "pixels 0 or 1: 1 where level / {top} is at least 1/2",
    "integer": "pixel levels 0 to {top} as they are",
}
OF_KIND = {
    "binary": "0 or 1",
    "grey": "a number in [0, 1]",
    "real": "a number, in the unit of the training data",
    "integer": "a count 0, 1, 2, ...",
    "categorical": "a code 0 to {last}",
    "sequence": "the codes of tokens, 0 to {last}, of which {last} ends a sequence and fills what follows",
    "mixed": "one number for each column, as listed",
}


def rows_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """How x (B, *shape) is made of raw rows: the sentence, and each column and condition in its order.

    Numbers are float32. A category is its place among `categories`; in a context it is that many numbers, all 0 but a 1 there,
    and a number is (value - mean) / scale.
    """
    base = str(about["protocol"]).partition(":")[0]
    words = HOW.get(base, OF_KIND.get(about["kind"], ""))
    levels = about.get("pixel_levels") if base in HOW else about.get("levels")
    top = (levels or 2) - 1
    rows: dict[str, Any] = {"shape": list(about["shape"]), "kind": about["kind"], "protocol": about["protocol"]}
    rows["says"] = words.format(top=top, last=top)
    kinds = columns_in(about, "column_kinds")
    if kinds:
        rows["columns"] = [_column(column, about) for column in kinds]
    elif about.get("columns"):
        rows["columns"] = [{"name": name, "kind": about["kind"]} for name in about["columns"]]
    if about["kind"] == "sequence" and about["categories"]:
        rows["tokens"] = list(next(iter(about["categories"].values())))
    conditions = columns_in(about, "conditions")
    if conditions:
        rows["context"] = [_condition(column, about) for column in conditions]
    return rows


def _column(column: Column, about: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind == "categorical":
        named["categories"] = list(about["categories"][column.name])[: column.levels]
    return named


def _condition(column: Column, about: Mapping[str, Any]) -> dict[str, Any]:
    scaled = {} if column.kind == "categorical" else {"mean": column.mean, "scale": column.scale}
    return _column(column, about) | scaled
