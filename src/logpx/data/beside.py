"""What each row is given from outside of its columns (floor 6): the conditions of an array, of pictures too."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from logpx.data.arrays import stack_columns
from logpx.data.base import Stored
from logpx.data.columns import kinds_of, made_columns
from logpx.data.facts import scan
from logpx.data.mixed import Table
from logpx.errors import UserError


def with_conditions(stored: Stored, given: Mapping[str, Any]) -> None:
    """Writes {name: a value for each row} into `stored`; raises UserError for columns that do not fit the rows."""
    columns = {}
    for name, values in given.items():
        column = np.asarray(values)
        if column.shape != (len(stored.x),):
            raise UserError(
                f"Context {name!r} has shape {column.shape}, and {len(stored.x):,} rows need one value each."
            )
        columns[str(name)] = column
    if columns:
        stored.given = Stored(name="the context", source=stored.source, **stack_columns(columns, "the context"))


def given_beside(table: Table, given: Stored, train: np.ndarray) -> Table:
    """The table with those conditions: kinds as of any columns, means and categories of the training rows."""
    values, conditions, categories = made_columns(given, kinds_of(given, scan(given), {}), train)
    return table._replace(conditions=conditions, categories=table.categories | categories, context=values)
