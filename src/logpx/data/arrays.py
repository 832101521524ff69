"""Whatever the user has, as a plain array of numbers, or a sentence on why it cannot be one (floor 6)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from logpx.errors import UserError


def plain_array(x: Any, name: str, text: bool = False) -> np.ndarray:
    """x as an array of numbers (or, for labels, of text); objects, ragged lists and masks are refused."""
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if isinstance(x, np.ma.MaskedArray) and np.ma.getmaskarray(x).any():
        raise UserError(f"{name} is a masked array, and missing values are not yet supported; fill or drop them.")
    try:
        array = np.asanyarray(x) if isinstance(x, np.memmap) else np.asarray(x)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} is ragged: every row must have the same length; pad or drop the others.") from error
    if text and array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
        return array.astype(str)
    check_numbers(array, name, text)
    return array


def check_numbers(array: np.ndarray, name: str, text: bool = False) -> None:
    """Refuse whatever is not a plain array of real numbers (text may pass as labels)."""
    if array.dtype.kind in ("biufUT" if text else "biuf"):
        return
    what = {"O": "objects", "U": "text", "S": "bytes", "T": "text", "V": "records", "c": "complex numbers"}
    held = what.get(array.dtype.kind, f"values of type {array.dtype}")
    hint = " (a mixture of types, or missing values)" if array.dtype.kind == "O" else ""
    raise UserError(f"{name} holds {held}{hint} where numbers are needed; convert it with astype(float).")


def place(row: int, column: str | None = None) -> str:
    """Where a value stands, for a sentence; rows count from 0 and a header line is no row."""
    return f"row {row} (counted from 0)" + (f", {column}" if column else "")


def stack_columns(names: Sequence[str], columns: Sequence[np.ndarray], source: str) -> np.ndarray:
    """(N, P) from P columns of numbers: int64 when all are integers, else float64.

    Raises:
        UserError: there is no column, or one is not numeric (named with its first offending value).
    """
    if not columns:
        raise UserError(f"{source} has no column of numbers; keep at least one besides the label.")
    for name, column in zip(names, columns, strict=True):
        if column.dtype.kind not in "biuf":
            refuse_column(name, column, source)
    whole = all(column.dtype.kind in "biu" for column in columns)
    return np.column_stack([column.astype(np.int64 if whole else np.float64) for column in columns])


def refuse_column(name: str, column: np.ndarray, source: str) -> None:
    """The sentence for a column that is not numeric: a gap, one stray value, or text throughout."""
    fits = [is_number(value) for value in column]
    row = fits.index(False) if False in fits else 0
    value = column[row]
    if value is None or str(value) in ("", "nan", "NaN", "<NA>", "NaT"):
        raise UserError(missing(source, place(row, f"column {name!r}")))
    if any(fits):
        raise UserError(
            f"Column {name!r} of {source} mixes numbers with other values: {place(row)} holds {value!r}; "
            "correct or drop that row."
        )
    raise UserError(
        f"Column {name!r} of {source} is not numeric: {place(row)} holds {value!r}; "
        f"drop the column, or name it with label={name!r}."
    )


def is_number(value: Any) -> bool:
    """Whether a cell reads as a number that is not nan."""
    try:
        return float(value) == float(value)
    except (TypeError, ValueError):
        return False


def missing(source: str, where: str) -> str:
    """The sentence for a gap in the data."""
    return f"{source} has a missing value at {where}, and missing values are not yet supported; fill or drop it."


def layout(array: np.ndarray, name: str) -> np.ndarray:
    """(N,) -> (N, 1); (N, H, W) -> (N, 1, H, W); (N, H, W, 1 or 3) -> (N, C, H, W): views, nothing is copied.

    Four axes are taken as channels first already when the second has length 1 or 3.
    """
    check_numbers(array, name)
    if array.ndim == 0 or array.size == 0:
        raise UserError(f"{name} is empty (shape {array.shape}); at least 2 rows of at least 1 value are needed.")
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[3] in (1, 3) and array.shape[1] not in (1, 3):
        return np.moveaxis(array, 3, 1)
    if array.ndim == 4 and array.shape[3] in (2, 4) and array.shape[1] > 4:
        raise UserError(
            f"{name} has {array.shape[3]} channels in its last axis; pictures have 1 or 3, so drop the alpha."
        )
    return array
