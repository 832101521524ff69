"""One pass over all stored values: their range, their wholeness, a checksum, and no gaps (floor 6)."""

import hashlib
from typing import NamedTuple

import numpy as np
import torch

from logpx.data.arrays import missing, place
from logpx.data.base import Stored, chunks
from logpx.errors import UserError


class Facts(NamedTuple):
    """What one pass over all stored rows tells."""

    low: np.ndarray  # smallest and largest value of each column, (P,) of a flattened row, float64
    high: np.ndarray
    whole: bool  # every value is an integer
    binary: bool  # every value is 0 or 1
    integers: bool  # stored as integers
    uint8: bool
    checksum: str

    @property
    def within_unit(self) -> bool:
        return bool(self.low.min() >= 0 and self.high.max() <= 1)


def scan(stored: Stored) -> Facts:
    """Range, wholeness and checksum in one pass, a few megabytes at a time.

    Raises:
        UserError: a value is missing, infinite or too large for the floating point type in use.
    """
    arrays = [stored.x] if stored.test is None else [stored.x, stored.test]
    size = int(np.prod(stored.x.shape[1:]))
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    whole = binary = True
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.name} {array.shape}".encode())
        for start, rows in chunks(array):
            digest.update(rows.data)
            flat = rows.reshape(len(rows), size)
            check_finite(flat, start, stored)
            low, high = np.minimum(low, flat.min(0)), np.maximum(high, flat.max(0))
            whole = whole and (flat.dtype.kind in "biu" or bool((flat == np.rint(flat)).all()))
            binary = binary and whole and bool(low.min() >= 0 and high.max() <= 1)
    integers = all(array.dtype.kind in "biu" for array in arrays)
    uint8 = all(array.dtype == np.uint8 for array in arrays)
    return Facts(low, high, whole, binary, integers, uint8, digest.hexdigest())


def check_finite(flat: np.ndarray, start: int, stored: Stored) -> None:
    """Refuse nan, infinities and values that overflow the default floating point type, naming the first."""
    if flat.dtype.kind != "f":
        return
    top = min(torch.finfo(torch.get_default_dtype()).max, float(np.finfo(flat.dtype).max))
    if bool((np.abs(flat) <= top).all()):  # nan compares false
        return
    row, column = (int(i) for i in np.argwhere(~(np.abs(flat) <= top))[0])
    value, shape = flat[row, column], stored.x.shape[1:]
    name = f"column {stored.columns[column]!r}" if stored.columns else f"column {column}"
    if len(shape) > 1:
        name = f"position {tuple(int(i) for i in np.unravel_index(column, shape))}"
    where = place(start + row, name)
    if value != value:
        raise UserError(missing(stored.name, where))
    if np.isinf(value):
        raise UserError(f"{stored.name} has an infinite value at {where}; replace or drop it.")
    raise UserError(f"{stored.name} has the value {value:g} at {where}, too large for float32; rescale the data.")
