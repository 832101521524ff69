"""Rate and distortion (floor 5): what a code costs, and what is lost by it, in nats per data point."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from logpx.errors import UserError
from logpx.evaluate.rows import PerPoint, Points, at_rest, batch_of, check_rows, count, placed
from logpx.model import VAE, Draw


class RateDistortion(NamedTuple):
    """R = KL(q(z|x) || p(z)) and D = -E_q log p(x|z) of each row; -(R + D) is its ELBO (Alemi et al. 2018, arXiv:1711.00464).

    Models on one line R + D = const have one ELBO: what they differ in is how much of it their codes carry.
    """

    rate: PerPoint
    distortion: PerPoint


def rate_distortion(model: VAE, data: Points, *, batch_size: int = 1000, seed: int = 0) -> RateDistortion:
    """R and D of all rows, one draw of z for each; R in closed form where there is one. UserError without a KL."""
    check_rows(data)
    if not model.has_evidence:
        raise UserError("Rate and distortion need a posterior with a density and a prior, and this model lacks one.")
    rates, distortions = [], []
    with at_rest(model, seed):
        for draw in _draws(model, data, batch_size):
            kl = draw.kl()
            rates.append(kl if kl.ndim == 1 else kl.mean(0))
            distortions.append(-draw.log_px().mean(0))
    return RateDistortion(*(PerPoint(torch.cat(parts).double().cpu()) for parts in (rates, distortions)))


def distortion(model: VAE, data: Points, *, batch_size: int = 1000, seed: int = 0) -> PerPoint:
    """D alone, which a model has whose codes have no density, too: -log p(x|z) of each row at one z."""
    check_rows(data)
    with at_rest(model, seed):
        parts = [-draw.log_px().mean(0) for draw in _draws(model, data, batch_size)]
    return PerPoint(torch.cat(parts).double().cpu())


def _draws(model: VAE, data: Points, batch_size: int) -> Iterator[Draw]:
    """One draw of z for each row, a batch at a time."""
    for start in range(0, count(data), batch_size):
        yield model.draw(placed(batch_of(data, slice(start, start + batch_size)), model))
