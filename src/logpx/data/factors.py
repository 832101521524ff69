"""Known factors of an array's rows: their levels as codes, in their order (floor 6)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from logpx.data.arrays import plain_array
from logpx.data.base import Column, Stored
from logpx.errors import UserError

FEW = 20  # levels that any number of rows may have


def with_factors(stored: Stored, given: Mapping[str, Any]) -> None:
    """Writes {name: a value for each row} into `stored`: levels count the sorted values from 0.

    Text is a category and any number is ordered. Raises UserError for columns that do not fit the rows, for gaps, and for
    hardly a level twice: of such a column any code seems to know everything.
    """
    levels, columns = [], []
    for name, values in given.items():
        column = plain_array(values, f"factor {name!r}", text=True)
        if column.shape != (len(stored.x),):
            raise UserError(
                f"Factor {name!r} has shape {column.shape}, and {len(stored.x):,} rows need one value each."
            )
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise UserError(f"Factor {name!r} has gaps or infinite values: leave it or these rows out.")
        found, codes = np.unique(column, return_inverse=True)
        if len(found) > max(FEW, len(column) // 2):
            raise UserError(
                f"Factor {name!r} takes {len(found):,} values in {len(column):,} rows, so hardly one twice: round it to levels."
            )
        levels.append(codes.reshape(-1))
        columns.append(Column(str(name), "integer" if column.dtype.kind in "biuf" else "categorical", len(found)))
    if levels:
        stored.factors, stored.factor_columns = np.stack(levels, 1).astype(np.int64), tuple(columns)
