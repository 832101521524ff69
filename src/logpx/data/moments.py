"""Number, mean and squared deviations of columns, joined piece by piece (floor 6), and whether float32 can tell them apart."""

from typing import NamedTuple

import numpy as np
import torch

from logpx.data.base import Column, Kind, Stored
from logpx.errors import UserError

STEPS = 1000  # of the floating point type in use, that a standard deviation must span: see `check_resolution`


class Moments(NamedTuple):
    """Of each column (C,), in float64: n, the mean, the sum of squared deviations; nan is no value."""

    n: np.ndarray
    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def none(cls, columns: int) -> "Moments":
        return cls(*(np.zeros(columns) for _ in range(3)))

    @classmethod
    def of(cls, x: np.ndarray) -> "Moments":
        """Those of x (N, C, ...), over all axes but the second."""
        x = x.reshape(len(x), x.shape[1], -1).astype(np.float64)  # a copy, and the only one
        gaps = np.isnan(x)
        n = x.shape[0] * x.shape[2] - gaps.sum((0, 2), dtype=np.float64)
        x[gaps] = 0
        mean = x.sum((0, 2)) / np.maximum(n, 1)
        x -= mean[:, None]
        x[gaps] = 0
        return cls(n, mean, np.square(x, out=x).sum((0, 2)))

    def joined(self, other: "Moments") -> "Moments":
        """Of both, as by Chan, Golub & LeVeque (1983): nothing is lost where the mean is large."""
        gap, total = other.mean - self.mean, np.maximum(self.n + other.n, 1)
        square = self.square + other.square + gap**2 * self.n * other.n / total
        return Moments(self.n + other.n, self.mean + gap * other.n / total, square)

    def over(self, groups: int) -> "Moments":
        """Those of `groups` equally long runs of columns, each as one: the channels of pictures."""
        n, mean, square = (part.reshape(groups, -1) for part in self)
        total = np.maximum(n.sum(1), 1)
        middle = (n * mean).sum(1) / total
        spread = square + n * np.square(mean - middle[:, None])
        return Moments(n.sum(1), middle, spread.sum(1))

    @property
    def scale(self) -> np.ndarray:
        """The standard deviation (C,)."""
        return np.sqrt(self.square / np.maximum(self.n, 1))


def check_resolution(
    stored: Stored, kind: Kind, columns: tuple[Column, ...] | None, moments: Moments, varies: np.ndarray
) -> None:
    """Refuse numbers, of a table's columns or a picture's channels, that lie close together far from zero.

    Rows, and the mean that a decoder gives them, are float32: near m they stand on steps of u = eps |m|. A density of scale s
    is then off by u^2 / (24 s^2) nats a number. Where the deviation spans 1,000 steps, a model that explains all but a
    hundredth of it (s = 10 u) is off by 4e-4 nats; below that log p(x) would soon be one of the steps, not of the data.

    varies  (P,) whether an element of a row takes more than one value.

    Raises:
        UserError: the standard deviation is below 1,000 eps |mean|; a column of one value has none, and is let pass.
    """
    kinds = [column.kind for column in columns] if columns else [kind] * stored.x.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        at = moments.over(stored.x.shape[1])
    moved = varies.reshape(stored.x.shape[1], -1).any(1)
    precision = torch.finfo(torch.get_default_dtype())
    step = precision.eps * np.abs(at.mean)
    for i in np.flatnonzero(moved & (at.scale < STEPS * step)):
        if kinds[i] in ("real", "integer"):
            what = f"Column {stored.names[i]!r}" if stored.x.ndim == 2 else f"Channel {i}"
            lies = f"the mean {at.mean[i]:.6g} and a standard deviation of only {at.scale[i]:.3g}"
            raise UserError(
                f"{what} of {stored.name} has {lies}, and {precision.dtype} has steps of {step[i]:.2g} there: subtract an "
                "offset (its smallest value, say), or leave it out."
            )
