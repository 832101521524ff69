"""The code of each single row (floor 5): E[z | x], or where z is curved the centre of q(z | x), and how far q spreads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from logpx.distributions import OneHots, Quantised, is_euclidean
from logpx.distributions.spaces import centres, parts_of, spreads
from logpx.errors import UserError
from logpx.evaluate.importance import filled_up
from logpx.evaluate.rows import Points, at_rest, batch_of, check_rows, count, placed
from logpx.model import VAE


@dataclass(frozen=True)
class Codes:
    """What n rows are coded as.

    z        (n, D), the mean of q(z | x) where z is flat; on curved spaces the Frechet mean, a point of the space.
    spread   (n, d), its standard deviations: of a normal q those of each number, on a curved space those in the directions
             of the frame at the centre, of which there are as many as it has dimensions. None where q has none.
    """

    z: Tensor
    spread: Tensor | None


def codes(model: VAE, data: Points) -> Codes:
    """The codes of rows, without noise, in the model's own precision and on the CPU.

    Rows are computed in tiles of one size, so that pieces cut at multiples of `rows_of_codes` are coded as the whole is, to the
    last bit. Raises UserError for a model without a latent, and for no rows.
    """
    check_rows(data)
    rows = rows_of_codes(batch_of(data, slice(0, 1)).x.shape[1:])
    z, spread = [], []
    with at_rest(model):
        for start in range(0, count(data), rows):
            batch = placed(batch_of(data, slice(start, start + rows)), model)
            q = model.encode(filled_up(batch, rows))
            if q.event_shape == (0,):
                raise UserError("This model has no latent, so it has no codes.")
            n = len(batch.x)
            z.append(code_of(q)[:n].cpu())
            spread.append(None if (s := _spread_of(q)) is None else s[:n].cpu())
    known = [s for s in spread if s is not None]
    return Codes(torch.cat(z), torch.cat(known) if len(known) == len(z) else None)


def rows_of_codes(shape: Sequence[int]) -> int:
    """How many rows of that shape are encoded together."""
    return max(1, min(256, 2**20 // math.prod(shape)))


def code_of(q: Distribution) -> Tensor:
    """E[z | x] where z is flat, of one-hot and quantised codes too; else the centre of q, (B, D)."""
    return q.mean if is_euclidean(q) or isinstance(q, OneHots | Quantised) else centres(q)


def _spread_of(q: Distribution) -> Tensor | None:
    found = [part.stddev if isinstance(part, MultivariateNormal) else spreads(part) for part in parts_of(q)]
    known = [s for s in found if s is not None]
    return torch.cat(known, -1) if len(known) == len(found) else None
