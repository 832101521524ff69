"""What the columns of a table are, their categories, and the context made of some of them (floor 6).

A column is, unless the user says otherwise: of text, `categorical`; of truth values or of 0 and 1, `binary`; of whole
numbers >= 0, `integer` (counts); any other, `real`. A table of whole numbers >= 0 throughout stays a table of counts.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from logpx.data.arrays import place
from logpx.data.base import Column, Data, Kind, Stored
from logpx.data.facts import Facts
from logpx.errors import UserError

COLUMN_KINDS: tuple[Kind, ...] = ("binary", "grey", "integer", "real", "categorical")
MAX_CATEGORIES = 1000  # of one column: beyond this a text is hardly a category
MAX_CLASSES = 100  # of whole numbers in a column that is called label
LABEL = "label"


# --- kinds ------------------------------------------------------------------------------------------------------------


def kinds_of(stored: Stored, facts: Facts, asked: Mapping[str, str]) -> tuple[Kind, ...]:
    """The kind of each column, as asked for or by the rule above.

    Raises:
        UserError: an asked-for column or kind does not exist or does not fit, or a text is no category.
    """
    check_names(stored, list(asked), "columns")
    for name, kind in asked.items():
        if kind not in COLUMN_KINDS:
            raise UserError(f"Column {name!r} cannot be {kind!r}: choose one of {', '.join(COLUMN_KINDS)}.")
    typed = stored.typed or ("integer" if facts.integers else "real",) * len(stored.names)
    kinds: list[Kind] = []
    for i, name in enumerate(stored.names):
        kind = asked.get(name) or natural_kind(typed[i], facts, i)
        check_column(stored, facts, i, typed[i], kind, name in asked)
        kinds.append(kind)  # type: ignore[arg-type]
    return tuple(kinds)


def natural_kind(typed: str, facts: Facts, i: int) -> Kind:
    """What a column is that nobody named."""
    if typed == "text":
        return "categorical"
    if typed == "bool" or (facts.wholes[i] and (facts.low[i], facts.high[i]) == (0, 1)):
        return "binary"
    return "integer" if typed == "integer" and facts.low[i] >= 0 else "real"


def is_class(stored: Stored, facts: Facts, name: str) -> bool:
    """Whether a column of numbers holds few enough whole ones to be names of classes."""
    if name not in stored.names or not facts.wholes[i := stored.names.index(name)]:
        return False
    column = np.asarray(stored.x[:, i])
    return len(np.unique(column[column == column])) <= MAX_CLASSES


def check_column(stored: Stored, facts: Facts, i: int, typed: str, kind: str, asked: bool) -> None:
    """Refuse a kind that the column's values contradict."""
    name, low, high = stored.names[i], facts.low[i], facts.high[i]
    if name in stored.doubts and not asked:
        raise UserError(stored.doubts[name])
    if typed == "text" and kind != "categorical":
        raise UserError(f"Column {name!r} of {stored.name} holds text, so it can only be categorical, not {kind}.")
    if kind == "binary" and not (facts.wholes[i] and low >= 0 and high <= 1):
        raise UserError(f"Column {name!r} has values from {low:g} to {high:g}, and binary needs 0 and 1.")
    if kind == "grey" and not (low >= 0 and high <= 1):
        raise UserError(f"Column {name!r} has values from {low:g} to {high:g}, and grey needs [0, 1].")
    if kind == "integer" and not (facts.wholes[i] and low >= 0):
        raise UserError(f"Column {name!r} has values from {low:g} to {high:g}; integer needs whole numbers >= 0.")
    if kind == "categorical":
        check_categories(stored, i, bool(facts.wholes[i]), asked)


def check_categories(stored: Stored, i: int, whole: bool, asked: bool) -> None:
    """Refuse fractions as categories, and texts that tell rows apart instead of grouping them."""
    name = stored.names[i]
    if not whole:
        raise UserError(f"Column {name!r} has values that are not whole, so they are no categories: leave it real.")
    column = np.asarray(stored.x[:, i])
    seen = column[column == column]
    n = len(np.unique(seen))
    if n > MAX_CATEGORIES or (not asked and len(seen) >= 20 and n == len(seen)):
        raise UserError(
            f"Column {name!r} of {stored.name} holds {n:,} different texts in {len(seen):,} rows: it names rows "
            "and is no category; drop it."
        )


def check_names(stored: Stored, names: Sequence[str], option: str) -> None:
    """Refuse columns that the table lacks, and any where there are no columns."""
    if names and stored.x.ndim != 2:
        raise UserError(f"{option}= names columns, and {stored.name} is no table; leave it out.")
    unknown = [name for name in names if name not in stored.names]
    if unknown:
        listed = ", ".join(map(repr, stored.names[:20]))
        raise UserError(f"{stored.name} has no column {unknown[0]!r} for {option}; its columns are {listed}.")


def check_observed(stored: Stored, facts: Facts, train: np.ndarray) -> None:
    """Refuse a column of a table without any value, in all rows or among those of the training."""
    if not facts.holes or stored.x.ndim != 2:
        return
    for i in np.flatnonzero(facts.missing):
        if not bool((~np.isnan(stored.x[train, i])).any()):
            where = "at all" if facts.missing[i] >= len(stored.x) else "among the training rows"
            raise UserError(f"Column {stored.names[i]!r} of {stored.name} holds no value {where}; drop it.")


# --- categories -------------------------------------------------------------------------------------------------------


def categories_of(stored: Stored, i: int, train: np.ndarray) -> tuple[tuple[str, ...], int, np.ndarray]:
    """(names by code, how many of them the training rows hold, the stored value of each code).

    The sorted categories of the training rows come first, then those that only other rows hold.
    """
    column = np.asarray(stored.x[:, i])
    everywhere, here = (np.unique(c[c == c]) for c in (column, column[train]))
    values = np.concatenate([here, np.setdiff1d(everywhere, here)])
    texts = stored.categories.get(stored.names[i])
    names = tuple(texts[int(value)] if texts else str(int(value)) for value in values)
    return names, len(here), values


def recoded(column: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Codes 0, 1, ... of stored values, nan where one is missing."""
    codes = np.full(len(column), np.nan)
    order = np.argsort(values)
    seen = column == column
    codes[seen] = order[np.searchsorted(values, column[seen], sorter=order)]
    return codes


def check_seen(data: Data) -> None:
    """Refuse held-out and test rows with a category that no training row has: no model could give it a probability."""
    for j, column in enumerate(data.spec.columns or ()):
        for part, split in (("held-out", data.held_out), ("test", data.test)):
            if column.kind != "categorical" or not len(split):
                continue
            codes = split.rows[:][:, j]
            if bool((unseen := codes >= (column.levels or 0)).any()):
                name = data.categories[column.name][int(codes[unseen][0])]
                raise UserError(
                    f"Column {column.name!r} is {name!r} in {int(unseen.sum())} {part} row(s), a category that no training "
                    "row has: drop these rows, or hold out fewer."
                )


def made_columns(
    stored: Stored, kinds: Sequence[Kind], train: np.ndarray
) -> tuple[np.ndarray, tuple[Column, ...], dict[str, tuple[str, ...]]]:
    """(x (N, P) with codes in its categorical columns, the columns, the categories' names)."""
    x, columns, categories = np.array(stored.x, np.float64), [], {}
    for i, (name, kind) in enumerate(zip(stored.names, kinds, strict=True)):
        if kind == "categorical":
            categories[name], levels, values = categories_of(stored, i, train)
            x[:, i] = recoded(x[:, i], values)
            columns.append(Column(name, kind, levels))
        elif kind == "binary":
            columns.append(Column(name, kind))
        else:
            seen = x[train, i]
            mean, varies = float(np.nanmean(seen)), np.nanmin(seen) < np.nanmax(seen)
            scale = float(np.nanstd(seen)) if varies else 0.0  # of equal numbers nanstd may be a rounding error
            columns.append(Column(name, kind, None, mean, scale if scale > 0 else 1.0))
    return x, tuple(columns), categories


# --- context ----------------------------------------------------------------------------------------------------------


def width(conditions: Sequence[Column]) -> int:
    """C, how many numbers the context has."""
    return sum(column.levels or 1 for column in conditions)


def encoded(values: np.ndarray, conditions: Sequence[Column], categories: Mapping[str, Sequence[str]]) -> Tensor:
    """Columns (N, n) as a context (N, C): real ones and counts standardised, categories one-hot.

    Raises:
        UserError: a value is missing, or a category is not among those of the training rows.
    """
    parts = [one_encoded(values[:, i], column, categories) for i, column in enumerate(conditions)]
    return torch.from_numpy(np.concatenate(parts, 1)).to(torch.get_default_dtype())


def one_encoded(column: np.ndarray, what: Column, categories: Mapping[str, Sequence[str]]) -> np.ndarray:
    """One column of the context, (N, 1) or (N, levels)."""
    gaps = np.flatnonzero(np.isnan(column))
    if len(gaps):
        raise UserError(
            f"Column {what.name!r} is the context and has a missing value at {place(int(gaps[0]))}; a context must "
            "be known: fill it or drop the row."
        )
    if what.kind != "categorical":
        return ((column - what.mean) / what.scale)[:, None]
    unseen = np.flatnonzero(column >= (what.levels or 0))
    if len(unseen):
        name = categories[what.name][int(column[unseen[0]])]
        raise UserError(
            f"The context {what.name!r} is {name!r} at {place(int(unseen[0]))}, a category that no training row has; "
            "drop such rows."
        )
    return np.eye(what.levels or 0)[column.astype(np.int64)]


def given_context(
    given: Sequence[str], conditions: Sequence[Column], categories: Mapping[str, Sequence[str]]
) -> Tensor:
    """The context (1, C) of one value for each condition, as text.

    Raises:
        UserError: a value is no finite number, or no category of the training rows.
    """
    if len(given) != len(conditions):
        names = ", ".join(column.name for column in conditions)
        raise UserError(f"The context is made of {names}; give one value for each.")
    row = [value_of(text, column, categories) for text, column in zip(given, conditions, strict=True)]
    return encoded(np.array([row]), conditions, categories)


def value_of(text: str, column: Column, categories: Mapping[str, Sequence[str]]) -> float:
    """A number, or the code of a category."""
    if column.kind == "categorical":
        names = list(categories[column.name])[: column.levels]
        if text not in names:
            raise UserError(f"{column.name} {text!r} is not one of {', '.join(names[:20])}.")
        return float(names.index(text))
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{column.name} {text!r} is no number.") from None
    if (
        not abs((value - column.mean) / column.scale) <= torch.finfo(torch.get_default_dtype()).max
    ):  # nan compares false
        raise UserError(f"{column.name} {text!r} is no number that float32 can hold; give another.")
    return value
