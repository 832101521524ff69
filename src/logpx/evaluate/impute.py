"""Missing values from what was observed (floor 5): importance resampling of q(z | x_obs) towards p(z | x_obs)."""

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from logpx.distributions import is_density, log_prob_by_element
from logpx.errors import UserError
from logpx.evaluate.alone import drawn_alone
from logpx.evaluate.importance import filled_up
from logpx.evaluate.rows import Points, at_rest, batch_of, check_rows, count, draws_at_once, placed, reseed
from logpx.model import VAE, Batch, Draw
from logpx.objectives.base import whole

Levels = Sequence[int | None]


def impute(
    model: VAE,
    data: Points,
    *,
    samples: int = 1000,
    draw: bool = False,
    seed: int = 0,
    levels: Levels | None = None,
    alone: bool = False,
    memory: int = 256 * 2**20,
) -> Tensor:
    """x (N, *shape) with its missing values filled; what was observed stays bit for bit.

    z_k ~ q(z | x_obs),  w_k = p(x_obs, z_k) / q(z_k | x_obs),  w~_k = w_k / sum_j w_j,  k = 1 .. `samples`;
    a missing value becomes sum_k w~_k E[x | z_k], an estimate of E[x_mis | x_obs] (Rubin 1987; Mattei & Frellsen 2019,
    arXiv:1812.02633, eq. 12), a category the one with the highest sum_k w~_k p(x | z_k); with `draw` all of a row's come
    from one x ~ p(x | z_j), j ~ w~.

    levels   number of categories of each element, or (n,) for all, None where it is none; a split knows them itself.
    alone    z_1 .. z_k by the same noise for every row, as in `evidence_alone`: a row's values then depend neither on its place
             nor on the other rows. Not for draws, which would be as dependent as their noise.
    memory   bytes that decoding may use at once; it changes the speed, not the result.

    Raises UserError where nothing is missing, for levels of another number, for a model without evidence, and for a
    likelihood that is no density.
    """
    check_rows(data)
    whole("samples", samples)
    if alone and draw:
        raise UserError("Draws of rows by the same noise would not be independent: leave out draw or alone.")
    samples = 1 if getattr(model.posterior, "is_one_code", False) else samples  # all draws would be the same
    if not model.has_evidence:
        raise UserError("This model has no density over z, so it cannot weigh what a missing value might be.")
    levels = getattr(data, "levels", None) if levels is None else levels
    P = prod(batch_of(data, slice(0, 1)).x.shape[1:])
    if levels is not None and len(levels) not in (1, P):
        raise UserError(f"levels has {len(levels)} numbers for {P} elements: give one for each, or one for all.")
    rows = max(1, min(128, 2**17 // P, 2**20 // samples))
    at_once, filled, holes = draws_at_once(model, P, rows, memory), [], False
    with at_rest(model):
        for tile, start in enumerate(range(0, count(data), rows)):
            given = batch_of(data, slice(start, start + rows))
            if given.observed is None or bool(given.observed.all()):
                filled.append(given.x)
                continue
            holes = True
            noise = seed if alone else seed * 1_000_003 + tile
            made = _made(model, given, rows, samples, draw, noise, levels, at_once, alone)
            filled.append(given.x.where(given.observed, made.to(given.x)))
    if not holes:
        raise UserError("There is nothing to impute: no value is missing.")
    return torch.cat(filled)


def _made(
    model: VAE,
    given: Batch,
    rows: int,
    k: int,
    draw: bool,
    seed: int,
    levels: Levels | None,
    at_once: int,
    alone: bool,
) -> Tensor:
    """What the model puts in every place of one tile, (B, *shape); a short tile has the noise of a full one."""
    n = len(given.x)
    batch = filled_up(placed(given, model), rows)
    if alone:
        q, z = drawn_alone(model, batch, k, seed)
    else:
        reseed(seed)
        q = model.encode(batch)
        z = q.rsample((k,))
    w = torch.cat([_log_w(d) for d in _draws(model, batch, q, z, at_once)]).softmax(0)  # (K, B)
    if draw:
        j = torch.multinomial(w.T, 1).view(1, -1, *[1] * (z.ndim - 2))
        return model.at(batch, q, z.gather(0, j.expand(1, *z.shape[1:]))).px.sample()[0, :n]
    best = _Average(levels, batch.x)
    for d, part in zip(_draws(model, batch, q, z, at_once), w.split(at_once), strict=True):
        best.add(d, part)
    return best.value()[:n]


def _draws(model: VAE, batch: Batch, q: torch.distributions.Distribution, z: Tensor, at_once: int) -> Iterator[Draw]:
    return (model.at(batch, q, piece) for piece in z.split(at_once))


def _log_w(d: Draw) -> Tensor:
    """(K, B) in float64; UserError for a score, whose weights would mean nothing."""
    if not is_density(d.px):
        raise UserError("The grey score is no density, so it cannot weigh what a missing value might be.")
    return d.log_w().double()


class _Average:
    """sum_k w~_k E[x | z_k], and for categories the most probable one."""

    def __init__(self, levels: Levels | None, x: Tensor) -> None:
        known = torch.tensor([n or 0 for n in levels or (None,)], device=x.device)
        self.levels = known.expand(x[0].numel()).view(x.shape[1:])
        self.top = int(self.levels.max())
        self.mean = torch.zeros_like(x, dtype=torch.float64)
        self.p = torch.zeros(self.top, *x.shape, dtype=torch.float64, device=x.device)

    def add(self, d: Draw, w: Tensor) -> None:
        """The share of some of the draws, w (K, B)."""
        w = w.view(*w.shape, *[1] * (d.batch.x.ndim - 1))
        self.mean += (w * d.px.mean.double()).sum(0)
        for c in range(self.top):
            code = self.levels.sub(1).clamp(0, c).to(d.batch.x.dtype)  # elements without category c repeat their last
            p = log_prob_by_element(d.px, code.expand_as(d.batch.x)).double().exp()
            self.p[c] += (w * p).sum(0) * (c < self.levels)

    def value(self) -> Tensor:
        return self.mean if not self.top else self.p.argmax(0).double().where(self.levels > 0, self.mean)
