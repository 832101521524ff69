"""Whatever the user has, as a plain array of numbers, or a sentence on why it cannot be one (floor 6)."""

import datetime
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from logpx.errors import UserError


def plain_array(x: Any, name: str, text: bool = False) -> np.ndarray:
    """x as an array of numbers (or, for labels, of text), nan where it is masked or None; ragged lists are refused."""
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    if isinstance(x, np.ma.MaskedArray) and np.ma.getmaskarray(x).any() and x.dtype.kind in "biuf":
        x = np.ma.filled(x if x.dtype.kind == "f" else x.astype(np.float64), np.nan)
    try:
        array = np.asanyarray(x) if isinstance(x, np.memmap) else np.asarray(x)
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} is ragged: every row must have the same length; pad or drop the others.") from error
    if text and array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
        return array.astype(str)
    if not text and array.dtype.kind == "O" and array.size and all(_is_cell(value) for value in array.flat):
        return array.astype(np.float64)
    check_numbers(array, name, text)
    return array


def check_numbers(array: np.ndarray, name: str, text: bool = False) -> None:
    """Refuse whatever is not a plain array of real numbers (text may pass as labels)."""
    if array.dtype.kind in ("biufUT" if text else "biuf"):
        return
    what = {"O": "objects", "U": "text", "S": "bytes", "T": "text", "V": "records", "c": "complex numbers"}
    held = what.get(array.dtype.kind, f"values of type {array.dtype}")
    hint = " (a mixture of types)" if array.dtype.kind == "O" else ""
    raise UserError(f"{name} holds {held}{hint} where numbers are needed; convert it with astype(float).")


def place(row: int, column: str | None = None) -> str:
    """Where a value stands, for a sentence; rows count from 0 and a header line is no row."""
    return f"row {row} (counted from 0)" + (f", {column}" if column else "")


#: how a csv file's column of numbers may spell a missing value (pyarrow's list); in a column of text they are text
NULLS = (
    *(
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "N/A",
        "NA",
        "NULL",
        "NaN",
    ),
    *("n/a", "nan", "null"),
)
LEADING_ZERO = re.compile(r"0\d+")
DATE = re.compile(r"\d{1,2}([-./])\d{1,2}\1\d{2,4}|\d{4}([-./])\d{1,2}\2\d{1,2}")


class Coded(NamedTuple):
    """One column as numbers: what it held, and of text the sorted values that its codes count."""

    values: np.ndarray  # (N,): integers, or floats with nan where a value is missing
    typed: str  # "text", "bool", "integer" or "real"
    categories: tuple[str, ...] = ()
    doubt: str = ""  # a sentence where text stands among numbers


def coded(name: str, column: np.ndarray, source: str) -> Coded:
    """A column of numbers, truth values or text, any of them with gaps (None, nan, an empty cell).

    Raises:
        UserError: it holds something else, such as dates or lists.
    """
    if column.dtype.kind in "biu":
        return Coded(column.astype(np.int64 if column.dtype != np.uint64 else np.float64), _type_of(column))
    if column.dtype.kind == "f":
        return Coded(column.astype(np.float64), _type_of(column))
    gaps = np.array([is_gap(value) for value in column], bool)
    seen = column[~gaps]
    if all(isinstance(value, str) for value in seen):
        return _coded_text(name, seen.astype(str), gaps, source)
    if all(isinstance(value, bool | np.bool_) for value in seen):
        return Coded(_with_gaps(seen.astype(np.float64), gaps), "bool")
    if not all(isinstance(value, Real) for value in seen):
        refuse_column(name, column, source)
    values = _with_gaps(seen.astype(np.float64), gaps)
    return Coded(values, _type_of(values))


def _type_of(values: np.ndarray) -> str:
    """What numbers were: a column of integers with a gap is held in whole floats."""
    if values.dtype.kind != "f":
        return "bool" if values.dtype.kind == "b" else "integer"
    seen = values[~np.isnan(values)]
    return "integer" if len(seen) < len(values) and bool((seen == np.rint(seen)).all()) else "real"


def _coded_text(name: str, seen: np.ndarray, gaps: np.ndarray, source: str) -> Coded:
    """Text as codes of its sorted values; where some of it reads as a number, the rest is likely a slip."""
    values, codes = np.unique(seen, return_inverse=True)
    doubt = _doubt(name, seen, values, gaps, source)
    return Coded(_with_gaps(codes.astype(np.float64), gaps), "text", tuple(map(str, values)), doubt)


def _doubt(name: str, seen: np.ndarray, values: np.ndarray, gaps: np.ndarray, source: str) -> str:
    """A sentence where text is hardly meant as text: decimal commas, dates, numbers with something else among them."""
    column, otherwise = f"Column {name!r} of {source}", f"or say columns={name}=categorical."
    if is_decimal_comma(next((value for value in values if "," in value), "")) and all(map(is_decimal_comma, values)):
        shown = next(str(value) for value in values if "," in value)
        return f"{column} has decimal commas ({shown!r}): write points in their place, {otherwise}"
    if len(values) and all(DATE.fullmatch(value) for value in values):
        return f"{column} holds dates ({str(seen[0])!r}): give a number of days, drop the column, {otherwise}"
    if len(values) and set(values.tolist()) <= set(NULLS):
        return f"{column} holds nothing but {str(seen[0])!r}: drop it, {otherwise}"
    numbers = {value for value in values if is_number(value) and not LEADING_ZERO.fullmatch(value)}
    strays = [value for value in seen if value not in numbers and not LEADING_ZERO.fullmatch(value)]
    if not numbers or not strays:
        return ""
    stray = next((value for value in strays if value not in NULLS), strays[0])
    row = int(np.flatnonzero(~gaps)[list(seen).index(stray)])
    return f"{column} mixes numbers with other values: {place(row)} holds {str(stray)!r}; correct or drop that row, {otherwise}"


def _with_gaps(seen: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """(N,) with nan where a gap is."""
    values = np.full(len(gaps), np.nan)
    values[~gaps] = seen
    return values


def is_gap(value: Any) -> bool:
    """Whether a cell holds no value: None, nan, pandas' NA and NaT, an empty text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return str(value) in ("nan", "<NA>", "NaT") and not isinstance(value, str)


def _is_cell(value: Any) -> bool:
    """A real number, or nothing."""
    return is_gap(value) or (isinstance(value, Real) and not isinstance(value, bool))


def stack_columns(columns: Mapping[str, np.ndarray], source: str) -> dict[str, Any]:
    """What `Stored` needs of a table: x (N, P), the columns' names and types, the text's categories.

    x is int64 when every column holds integers without a gap, else float64.

    Raises:
        UserError: there is no column, or one holds neither numbers nor text (named with its first offending value).
    """
    if not columns:
        raise UserError(f"{source} has no column of numbers; keep at least one besides the label.")
    made = {name: coded(name, column, source) for name, column in columns.items()}
    return {
        "x": np.column_stack([column.values for column in made.values()]),
        "columns": tuple(made),
        "typed": tuple(column.typed for column in made.values()),
        "categories": {name: column.categories for name, column in made.items() if column.typed == "text"},
        "doubts": {name: column.doubt for name, column in made.items() if column.doubt},
    }


def refuse_column(name: str, column: np.ndarray, source: str) -> None:
    """The sentence for a column that is neither numbers nor text: one stray value, or something else throughout."""
    fits = [is_number(value) or is_gap(value) for value in column]
    row = fits.index(False) if False in fits else 0
    value = column[row]
    if any(is_number(cell) for cell in column):
        raise UserError(
            f"Column {name!r} of {source} mixes numbers with other values: {place(row)} holds {value!r}; "
            "correct or drop that row."
        )
    if isinstance(value, datetime.date | np.datetime64):
        raise UserError(
            f"Column {name!r} of {source} holds dates ({place(row)} is {value}): give a number of days, or drop the column."
        )
    raise UserError(
        f"Column {name!r} of {source} holds neither numbers nor text: {place(row)} holds {value!r}; drop the column."
    )


def is_number(value: Any) -> bool:
    """Whether a cell reads as a number that is not nan."""
    try:
        return float(value) == float(value)
    except (TypeError, ValueError):
        return False


def is_decimal_comma(value: str) -> bool:
    """Whether a cell reads as a number with at most a decimal comma in it."""
    return re.fullmatch(r"\s*[+-]?\d+(,\d+)?\s*", value) is not None


def missing(source: str, where: str) -> str:
    """The sentence for a gap where there must be none."""
    return f"{source} has a missing value at {where}; fill it or drop the row."


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
