"""Where real data lie: mean and standard deviation of the training rows (floor 6), in one pass of bounded memory."""

import math

import numpy as np
import torch

from logpx.data.base import CHUNK_BYTES, Kind, Split
from logpx.errors import UserError
from logpx.networks import Standard


def standard_of(train: Split, kind: Kind, name: str) -> tuple[Standard | None, list[int]]:
    """Mean and standard deviation of each column of a table, or channel of pictures, over all values observed in training,
    and the numbers of those that never vary, whose scale is 1.

    None for a mixed table, whose real columns have each their own.

    Raises:
        UserError: the data are no real numbers.
    """
    if kind == "mixed":
        return None, []
    if kind != "real":
        raise UserError(
            f"{name} is read as {kind} data, and only real numbers are standardised: leave standardise out, or say kind='real'."
        )
    count, mean, square = moments(train)
    scale = np.sqrt(square / np.maximum(count, 1))
    varies = scale > torch.finfo(torch.float32).eps * np.abs(mean)  # less than that is rounding
    standard = Standard(tuple(mean.tolist()), tuple(np.where(varies, scale, 1.0).tolist()))
    return standard, np.flatnonzero(~varies).tolist()


def moments(train: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, mean, sum of squared deviations) of each column or channel, (C,), in float64; nan is no value.

    Pieces are joined as by Chan, Golub & LeVeque (1983): nothing is lost where the mean is large.
    """
    channels, inner = train.rows.shape[1], math.prod(train.rows.shape[2:])
    step = max(1, CHUNK_BYTES // (8 * channels * inner))
    count, mean, square = (np.zeros(channels) for _ in range(3))
    for start in range(0, len(train), step):
        x = train.rows[start : start + step].double().numpy().reshape(-1, channels, inner)
        seen = ~np.isnan(x)
        n = seen.sum((0, 2))
        here = np.where(seen, x, 0).sum((0, 2)) / np.maximum(n, 1)
        off = np.where(seen, x - here[:, None], 0)
        gap, total = here - mean, np.maximum(count + n, 1)
        square += np.square(off).sum((0, 2)) + gap**2 * count * n / total
        mean += gap * n / total
        count += n
    return count, mean, square
