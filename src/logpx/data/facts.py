"""One pass over all stored values: their range and wholeness, where they lie, what is missing, a checksum (floor 6)."""

import hashlib
from typing import NamedTuple

import numpy as np
import torch

from logpx.data.arrays import place
from logpx.data.base import Stored, chunks
from logpx.data.moments import Moments
from logpx.errors import UserError


class Facts(NamedTuple):
    """What one pass over all stored rows tells, column by column (P,) of a flattened row; nan is no value."""

    low: np.ndarray  # smallest and largest value, float64
    high: np.ndarray
    wholes: np.ndarray  # whether every value is an integer
    missing: np.ndarray  # how many are missing
    moments: Moments | None  # None where all are of types too short to be rounded: bytes, 16 bits
    stored_as_integers: bool
    uint8: bool
    checksum: str

    @property
    def within_unit(self) -> bool:
        return bool(self.low.min() >= 0 and self.high.max() <= 1)

    @property
    def whole(self) -> bool:
        """Every value is an integer."""
        return bool(self.wholes.all())

    @property
    def binary(self) -> bool:
        """Every value is 0 or 1."""
        return self.whole and self.within_unit

    @property
    def holes(self) -> int:
        """How many values are missing."""
        return int(self.missing.sum())

    @property
    def integers(self) -> bool:
        """Stored as integers, or as they must be once one is missing: whole floats beside nan."""
        return self.stored_as_integers or (self.holes > 0 and self.whole)

    def of(self, columns: list[int]) -> "Facts":
        """The facts of some columns of a table."""
        of_each = {name: getattr(self, name)[columns] for name in ("low", "high", "wholes", "missing")}
        moments = self.moments and Moments(*(part[columns] for part in self.moments))
        return self._replace(**of_each, moments=moments)


def scan(stored: Stored) -> Facts:
    """Range, wholeness, moments and checksum in one pass, a few megabytes at a time.

    Raises:
        UserError: a value is infinite or too large for the floating point type in use.
    """
    arrays = [stored.x] if stored.test is None else [stored.x, stored.test]
    size = int(np.prod(stored.x.shape[1:]))
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    wholes, missing = np.ones(size, bool), np.zeros(size, np.int64)
    moments = Moments.none(size) if any(array.dtype.itemsize > 2 for array in arrays) else None
    digest = hashlib.sha256()
    if stored.categories:  # codes mean nothing without their names
        digest.update(repr(sorted(stored.categories.items())).encode())
    for array in arrays:
        digest.update(f"{array.dtype.name} {array.shape}".encode())
        for start, rows in chunks(array):
            digest.update(rows.data)
            flat = rows.reshape(len(rows), size)
            gaps = check_finite(flat, start, stored)
            # fmin and fmax pass over nan
            low, high = np.fmin(low, np.fmin.reduce(flat, 0)), np.fmax(high, np.fmax.reduce(flat, 0))
            if flat.dtype.kind == "f":
                wholes &= ((flat == np.rint(flat)) | np.isnan(flat)).all(0)
                missing += np.isnan(flat).sum(0) if gaps else 0
            with np.errstate(over="ignore", invalid="ignore"):  # squares of 1e200, in float64: as large as may be
                moments = moments and moments.joined(Moments.of(flat))
    integers = all(array.dtype.kind in "biu" for array in arrays)
    uint8 = all(array.dtype == np.uint8 for array in arrays)
    return Facts(low, high, wholes, missing, moments, integers, uint8, digest.hexdigest())


def check_finite(flat: np.ndarray, start: int, stored: Stored) -> bool:
    """Whether nan is among the values; infinities and what overflows the default floating point type are refused."""
    if flat.dtype.kind != "f":
        return False
    top = min(torch.finfo(torch.get_default_dtype()).max, float(np.finfo(flat.dtype).max))
    if bool((np.abs(flat) <= top).all()):  # nan compares false
        return False
    if not bool((np.abs(flat) > top).any()):
        return True
    row, column = (int(i) for i in np.argwhere(np.abs(flat) > top)[0])
    value, shape = flat[row, column], stored.x.shape[1:]
    name = f"column {stored.columns[column]!r}" if stored.columns else f"column {column}"
    if len(shape) > 1:
        name = f"position {tuple(int(i) for i in np.unravel_index(column, shape))}"
    where = place(start + row, name)
    if np.isinf(value):
        raise UserError(f"{stored.name} has an infinite value at {where}; replace or drop it.")
    raise UserError(f"{stored.name} has the value {value:g} at {where}, too large for float32; rescale the data.")
