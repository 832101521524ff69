"""Where real data lie: mean and standard deviation of the training rows (floor 6), in one pass of bounded memory."""

import math

import numpy as np
import torch

from logpx.data.base import CHUNK_BYTES, Kind, Split
from logpx.data.moments import Moments
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
    _, mean, _ = found = moments(train)
    scale = found.scale
    varies = scale > torch.finfo(torch.float32).eps * np.abs(mean)  # less than that is rounding
    standard = Standard(tuple(mean.tolist()), tuple(np.where(varies, scale, 1.0).tolist()))
    return standard, np.flatnonzero(~varies).tolist()


def moments(train: Split) -> Moments:
    """Of each column or channel, (C,), over all values observed."""
    channels, inner = train.rows.shape[1], math.prod(train.rows.shape[2:])
    step = max(1, CHUNK_BYTES // (8 * channels * inner))
    found = Moments.none(channels)
    for start in range(0, len(train), step):
        found = found.joined(Moments.of(train.rows[start : start + step].double().numpy()))
    return found
