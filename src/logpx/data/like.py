"""Other rows of the same kind (floor 6): a file read as a run's data were, all of it, in its own order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from logpx.data import protocols
from logpx.data.about import check_about, columns_in
from logpx.data.arrays import NULLS, place
from logpx.data.base import Column, Split, Stored, is_mapped, take, to_tensor
from logpx.data.beside import with_conditions
from logpx.data.build import arrange, stored_array
from logpx.data.cells import is_table
from logpx.data.columns import encoded
from logpx.data.facts import Facts, scan
from logpx.data.kinds import decide
from logpx.data.mixed import levels_of
from logpx.data.sequences import sequences_like
from logpx.data.sources import read
from logpx.data.table import Aside
from logpx.errors import UserError


def rows_like(source: str | Path, about: Mapping[str, Any]) -> Split:
    """Every row of a source, prepared as the data that `about` (a run's account of its data) describes.

    Rows keep their order. Labels are read where they are needed as context. Raises UserError for other columns or another
    shape, for a category that the run's training rows do not have, for a kind that does not fit, and for an account that is
    damaged.
    """
    check_about(about)
    named = is_table(source)
    asked = about.get("asked") or {}
    aside = Aside(asked.get("split"), asked.get("group"), needed=False)
    label, drop = None if named else about["label"], asked.get("drop")
    stored = read(source, seed=about["seed"], label=label, download=False, drop=drop, aside=aside)
    return _every_row(stored, about, named)


def array_like(
    x: Any, about: Mapping[str, Any], name: str = "array", context: Mapping[str, Any] | None = None
) -> Split:
    """Every row of an array or a data frame, as `rows_like` reads those of a file; an array's columns stand in their order.

    context  {"age": (N,) values, ...}: what the rows are given beside x, where the run was given it so.
    """
    check_about(about)
    stored = stored_array(x, name)
    with_conditions(stored, context or {})
    if stored.columns is None and stored.x.ndim == 2 and about["columns"]:
        stored.columns = tuple(about["columns"]) if stored.x.shape[1] == len(about["columns"]) else stored.names
    return _every_row(stored, about, named=stored.columns is not None)


def _every_row(stored: Stored, about: Mapping[str, Any], named: bool) -> Split:
    context = fitted(stored, about, named)
    split = _prepared(stored, about, columns_in(about, "column_kinds") or None)
    return Split(split.rows, split.prepare, None, split.random, context, split.missing, split.levels)


def context_like(given: Mapping[str, Any], about: Mapping[str, Any], n: int) -> Tensor:
    """The context (n, C) of conditions that stand beside no rows; UserError where they are not those of the run."""
    stored = Stored(name="given", source="given", x=np.empty((n, 0)))
    with_conditions(stored, given)
    assert stored.given is not None
    return _encoded_like(stored.given, about)


def _encoded_like(given: Stored, about: Mapping[str, Any]) -> Tensor:
    conditions, categories = columns_in(about, "conditions"), about["categories"]
    names = [column.name for column in conditions]
    if sorted(names) != sorted(given.names):
        raise UserError(
            f"The model is given {', '.join(map(repr, names))}, and not {', '.join(map(repr, given.names))}."
        )
    values = [_coded_like(given, column, categories) for column in conditions]
    return encoded(np.column_stack(values), conditions, categories)


def fitted(stored: Stored, about: Mapping[str, Any], named: bool) -> Tensor | None:
    """The context of stored rows, whose x becomes the run's numbers: its columns alone, categories by its codes.

    named  whether the rows are those of a table. Raises UserError as `rows_like` does.
    """
    if about["kind"] == "sequence":
        sequences_like(stored, about)
        return None
    by_label = bool(about.get("by_label"))
    columns, conditions = columns_in(about, "column_kinds"), columns_in(about, "conditions")
    labels = _label_of(stored, about, conditions[0] if by_label and conditions else None)
    if named:
        _match_columns(stored, about, [] if by_label or stored.given else [column.name for column in conditions])
    categories = about["categories"]
    known = [*(columns or [Column(name, "real") for name in about["columns"] or ()])]
    x = stored.x if not named else np.column_stack([_coded_like(stored, c, categories) for c in known])
    values = [labels] if by_label or stored.given else [_coded_like(stored, c, categories) for c in conditions]
    stored.x, stored.columns, stored.test = x, tuple(c.name for c in known) or None, None
    if stored.given:
        return _encoded_like(stored.given, about)
    if not conditions:
        return None
    if by_label and labels is None:
        raise UserError(f"The run conditions on labels, and {stored.name} has none; name their column as in the run.")
    return encoded(np.column_stack([np.asarray(value, np.float64) for value in values]), conditions, categories)


def _prepared(stored: Stored, about: Mapping[str, Any], columns: tuple[Column, ...] | None) -> Split:
    """The rows as a split, once their shape and values are seen to fit."""
    arrange_like(stored, about)
    facts = scan(stored)
    _take_levels(stored, about, facts)
    plan = decide(stored, facts, about["protocol"], about["kind"], about["seed"])
    part: protocols.Part = "test"
    missing = facts.holes > 0
    index = np.arange(len(stored.x))
    rows = take(stored.x, index) if is_mapped(stored.x) else to_tensor(np.array(stored.x))
    rows, prepare, random = protocols.apply(plan.protocol, rows, plan.levels, part, missing)
    return Split(
        rows, prepare, random=random, missing=missing, levels=levels_of(about["kind"], about["levels"], columns)
    )


def _take_levels(stored: Stored, about: Mapping[str, Any], facts: Facts) -> None:
    """Bytes are pixels with the levels of the run's, not always 256; raises UserError where they go beyond these."""
    levels = about.get("pixel_levels")
    if levels is None or stored.levels or not facts.uint8 or facts.binary:
        return
    if facts.high.max() >= levels:
        raise UserError(
            f"{stored.name} has the level {facts.high.max():g}, and pixels of the run's data go from 0 to {levels - 1}: "
            "scale them alike."
        )
    stored.levels = levels


def arrange_like(stored: Stored, about: Mapping[str, Any]) -> None:
    """Bring the rows into (N, *shape); raises UserError for another shape than the run's."""
    arrange(stored, least=1)
    if list(stored.x.shape[1:]) != list(about["shape"]):
        raise UserError(
            f"The run's data have shape {tuple(about['shape'])}; those of {stored.name} have {stored.x.shape[1:]}."
        )


def _label_of(stored: Stored, about: Mapping[str, Any], condition: Column | None) -> np.ndarray | None:
    """Codes of the labels by the classes of the condition that they are, None where there is none; their column leaves."""
    name = about["label"]
    column: Any = stored.labels
    if stored.columns and name in stored.columns:
        i = stored.columns.index(name)
        column = stored.texts(i)
        rest = [k for k in range(len(stored.columns)) if k != i]
        stored.x = stored.x[:, rest]
        stored.typed = stored.typed and tuple(stored.typed[k] for k in rest)
        stored.columns = tuple(stored.columns[k] for k in rest)
    if column is None or condition is None:
        return None
    texts = [value if value is None else str(value) for value in column]
    return _codes(texts, about["categories"][condition.name], condition.name)


def _match_columns(stored: Stored, about: Mapping[str, Any], conditions: list[str]) -> None:
    """Refuse a table with other columns than the run's."""
    wanted, held = [*(about["columns"] or ()), *conditions], list(stored.columns or ())
    lacks = [name for name in wanted if name not in held]
    more = [name for name in held if name not in wanted]
    if lacks or more:
        said = f"lacks {', '.join(map(repr, lacks))}" if lacks else f"has {', '.join(map(repr, more))} besides"
        raise UserError(f"{stored.name} has other columns than the run's data: it {said}; give it the same columns.")


def _coded_like(stored: Stored, column: Column, categories: Mapping[str, Any]) -> np.ndarray:
    """One column of the table in the run's numbers."""
    i = stored.names.index(column.name)
    if column.kind == "categorical":
        names, texts = list(categories[column.name])[: column.levels], stored.texts(i)
        if all(text is None or text in NULLS for text in texts):  # NA throughout: a category if it was one
            texts = [text if text in names else None for text in texts]
        return _codes(texts, names, column.name)
    values = stored.x[:, i]
    if stored.typed and stored.typed[i] == "text":
        values = _numbers_in(stored, i, column)
    bad = np.flatnonzero(~fits(values, column.kind) & ~np.isnan(values))
    if len(bad):
        row = int(bad[0])
        raise UserError(
            f"Column {column.name!r} holds {values[row]:g} at {place(row)}, and in the run it was {column.kind}."
        )
    return values


def _numbers_in(stored: Stored, i: int, column: Column) -> np.ndarray:
    """A column that was read as text where numbers are wanted: gaps spelled in words, or 007."""
    texts = [None if text in NULLS else text for text in stored.texts(i)]
    try:
        return np.array([np.nan if text is None else float(text) for text in texts])
    except ValueError:
        raise UserError(
            f"Column {column.name!r} of {stored.name} holds text, and in the run it was {column.kind}."
        ) from None


def fits(values: np.ndarray, kind: str) -> np.ndarray:
    """Which values a column of that kind may hold."""
    if kind == "binary":
        return np.isin(values, (0, 1))
    if kind == "integer":
        return (values >= 0) & (values == np.rint(values))
    return (values >= 0) & (values <= 1) if kind == "grey" else np.isfinite(values)


def _codes(texts: list[str | None], names: list[str], column: str) -> np.ndarray:
    """The codes of categories by their names, nan where one is missing; an unknown name is refused."""
    at: dict[str | None, float] = {name: float(k) for k, name in enumerate(names)} | {None: np.nan}
    for row, text in enumerate(texts):
        if text not in at:
            raise UserError(
                f"Column {column!r} holds {text!r} at {place(row)}, a category that no training row of the run has; "
                "drop such rows."
            )
    return np.array([at[text] for text in texts])
