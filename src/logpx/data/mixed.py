"""Tables whose columns are of several kinds, or of which some are conditions (floor 6)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from logpx.data.base import Column, Kind, Stored
from logpx.data.columns import LABEL, check_names, encoded, is_class, kinds_of, made_columns
from logpx.data.facts import Facts
from logpx.errors import UserError


class Table(NamedTuple):
    """What the columns turned out to be; nothing where the data are no table of several kinds."""

    kind: Kind | None  # of the whole, None to judge by the values
    facts: Facts  # of the columns that are data
    columns: tuple[Column, ...] | None = None
    conditions: tuple[Column, ...] = ()
    categories: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - never changed
    context: np.ndarray | None = None  # (N, n): the columns that are conditions, as stored
    by_label: bool = False  # whether the context is the label of each row, and no column of the data

    def given_labels(self, classes: tuple[str, ...], name: str) -> "Table":
        """The same with the label, by its column's name, as its context."""
        condition = Column(name, "categorical", len(classes))
        return self._replace(conditions=(condition,), categories=self.categories | {name: classes})


def sorted_out(
    stored: Stored,
    facts: Facts,
    kind: Kind | None,
    asked: Mapping[str, str],
    context: tuple[str, ...],
    label: str | None,
    train: np.ndarray,
) -> Table:
    """Kinds and categories of the columns of a table; the conditions move out of stored.x.

    Raises:
        UserError: columns or kinds that do not exist, do not fit, or contradict each other.
    """
    by_label = context in ((LABEL,), (label,)) and (stored.labels is not None or LABEL not in (stored.columns or ()))
    context = () if by_label else context
    check_names(stored, context, "context")
    if not (asked or context or stored.typed or kind == "mixed"):
        return Table(kind, facts, by_label=by_label)
    if stored.x.ndim != 2 or stored.test is not None:
        raise UserError(
            f"kind='mixed', columns= and context= are for tables, and {stored.name} is none; leave them out."
        )
    if (contrary := next((n for n, k in asked.items() if kind not in (None, "mixed", k)), None)) is not None:
        raise UserError(f"Column {contrary!r} is asked to be {asked[contrary]}, and kind={kind!r}; give one of them.")
    classes = {name: "categorical" for name in context if name == LABEL and is_class(stored, facts, name)}
    kinds = kinds_of(stored, facts, classes | dict(asked))
    if len(context) >= len(kinds):
        raise UserError(f"context= names every column of {stored.name}, which leaves no data; leave some out.")
    x, columns, categories = made_columns(stored, kinds, train)
    at = {name: i for i, name in enumerate(stored.names)}
    rest = [i for name, i in at.items() if name not in context]
    whole = kind_of_all([kinds[i] for i in rest], [typed(stored, i) for i in rest], kind, asked)
    conditions, values = tuple(columns[at[name]] for name in context), x[:, [at[name] for name in context]]
    mixed = whole == "mixed"
    check_numeric(stored, rest, kind)
    kept = {name for name in categories if name in context or mixed}
    if mixed or context:
        plain, names = x if mixed else np.asarray(stored.x), tuple(stored.names[i] for i in rest)
        stored.x = plain[:, rest]
        stored.columns = names
    whole_numbers = {typed(stored, i) for i in rest} <= {"integer", "bool"}
    return Table(
        whole,
        facts.of(rest)._replace(stored_as_integers=whole_numbers or facts.stored_as_integers),
        tuple(columns[i] for i in rest) if mixed else None,
        conditions,
        {name: names for name, names in categories.items() if name in kept},
        values if context else None,
        by_label,
    )


def typed(stored: Stored, i: int) -> str:
    """What a column was stored as; "" in a plain array."""
    return stored.typed[i] if stored.typed else ""


def kind_of_all(
    kinds: Sequence[Kind], types: Sequence[str], kind: Kind | None, asked: Mapping[str, str]
) -> Kind | None:
    """The kind of the whole table: mixed where its columns differ, as asked for, or None to judge by the values."""
    if kind is not None:
        return kind
    if not asked and (set(types) == {"integer"} and "real" not in kinds):
        return None  # counts, some of which may have seen 0 and 1 only
    if len(set(kinds)) > 1 or "categorical" in kinds:
        return "mixed"
    return kinds[0] if asked else None


def check_numeric(stored: Stored, columns: Sequence[int], kind: Kind | None) -> None:
    """Refuse to read text as numbers of one kind."""
    texts = [stored.names[i] for i in columns if typed(stored, i) == "text"]
    if texts and kind not in (None, "mixed"):
        raise UserError(
            f"Column {texts[0]!r} of {stored.name} holds text, and kind={kind!r} needs numbers; drop the column, name "
            f"it with label={texts[0]!r}, or leave kind out."
        )


def context_of(table: Table, labels: np.ndarray | None, index: np.ndarray) -> Tensor | None:
    """The context of the rows `index`: of their labels, or of the columns set aside; None where there is none."""
    if not table.conditions:
        return None
    values = labels[index][:, None] if table.by_label and labels is not None else np.asarray(table.context)[index]
    return encoded(values.astype(np.float64), table.conditions, table.categories)


def levels_of(kind: str, levels: int | None, columns: Sequence[Column] | None) -> tuple[int | None, ...] | None:
    """Number of categories of each column, or of every element; None where nothing is a category."""
    if columns:
        return tuple(column.levels for column in columns)
    return (levels,) if kind == "categorical" else None
