"""log p(x) of each point with an error bar (floor 5).

Everything returned here is a log-probability (higher is better) in nats per data point, or says that it is a score.
The functions know Draw, not parts: any model that answers `encode` and `at` is evaluated by the same lines.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from logpx.distributions import is_density
from logpx.errors import UserError
from logpx.evaluate.codes import NO_DENSITY
from logpx.evaluate.curve import Curve
from logpx.evaluate.rows import (
    PerPoint,
    Points,
    at_rest,
    batch_of,
    check_rows,
    count,
    draws_at_once,
    pair_bytes,
    placed,
    plain,
    reseed,
    weights_error,
)
from logpx.maths import effective_sample_size, log_mean_exp, pareto_khat
from logpx.model import VAE, Batch, Draw
from logpx.objectives.base import whole

Progress = Callable[[int, int], None]
SAMPLES_AT_ONCE = 64  # draws of one tile of noise
FEW, MANY = (
    10.0,
    0.3,
)  # an effective sample size, and a share of points with k-hat above 0.7, that are not to be believed


@dataclass(frozen=True)
class Evidence(PerPoint):
    """An estimate of log p(x) for each of n points, and what it is worth.

    kind            "exact", "lower bound" (L_k <= log p(x) in expectation), or "score" where p(x|z) is no density.
    per_point (n,)  nats; `mean` its average, `standard_error` that average's error from having n points only,
                    `monte_carlo_error` the part of the error that more samples would remove.
    ess, khat (n,)  effective sample size of the k weights and the Pareto shape of their tail (above 0.7: distrust).
    curve           L_1, L_2, L_5, ... L_k from the same draws, where there were any.
    dims            observed elements per point, on average: all P of them where nothing is missing.
    bits_per_dim    -mean / (dims log 2), that is all bits by all observed elements; None for a score.
    """

    kind: str
    dims: float
    samples: int | None = None
    ess: Tensor | None = None
    khat: Tensor | None = None
    curve: Curve | None = None

    @property
    def doubt(self) -> str | None:
        """One sentence where the weights are too uneven for L_k to stand for log p(x), None where they are not.

        That is a median effective sample size under 10, at which the first-order bias 1/(2 ESS) is 0.05 nats and the estimate
        of the ESS is itself too high, or a k-hat above 0.7 for a tenth of the points: few bad rows can carry a mean (on an
        MNIST run with 28 % of them L_5000 was 0.6 nats below the annealed bound). Fewer than 25 draws are too few to judge.
        """
        if self.kind == "score" or self.ess is None or self.khat is None or bool(self.khat.isnan().all()):
            return None
        ess, share = self.ess.median().item(), (self.khat > 0.7)[~self.khat.isnan()].double().mean().item()
        if ess >= FEW and share < MANY:
            return None
        return (
            f"{self.name} may lie below log p(x): the effective sample size is {ess:.1f} of {self.samples} (median) and "
            f"k-hat is above 0.7 for {share:.0%} of the points, so take more samples, or look from both sides (--sandwich)."
        )

    @property
    def monte_carlo_error(self) -> float:
        """Standard error of the mean over points from sampling z: var(log w-bar_i) = 1/ESS_i - 1/k to first order.

        0 where nothing was sampled, nan where one draw per point shows no spread.
        """
        if self.ess is None or self.samples is None:
            return 0.0
        return weights_error(self.ess, self.samples)

    @property
    def bits_per_dim(self) -> float | None:
        return None if self.kind == "score" or not self.dims else -self.mean / (self.dims * math.log(2))

    @property
    def name(self) -> str:
        """ "log p(x)", "L_100", or "score": what the number is called wherever it is printed."""
        if self.kind == "exact":
            return "log p(x)"
        if self.samples is None:
            return "ELBO" if self.kind == "lower bound" else "grey score"
        return f"L_{self.samples}" if self.kind == "lower bound" else f"grey score (k = {self.samples})"

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        finite = {} if self.khat is None else {"khat": self.khat.nanmedian().item()}
        if self.ess is not None and self.khat is not None:
            finite |= {
                "khat_above_0.7": (self.khat > 0.7)[~self.khat.isnan()].double().mean().item(),
                "ess": self.ess.mean().item(),
                "ess_min": self.ess.min().item(),
            }
        numbers = {
            **self.head(self.kind, self.name),
            "monte_carlo_error": self.monte_carlo_error,
            "samples": self.samples,
            "bits_per_dim": self.bits_per_dim,
            **finite,
            "doubt": self.doubt,
            **({} if self.curve is None else {"curve": self.curve.summary()}),
        }
        return plain(numbers)

    def __str__(self) -> str:
        text = f"{self.name} = {self.said}, {self.kind}, {_counted(len(self.per_point))}"
        return text if self.bits_per_dim is None else f"{text}, {self.bits_per_dim:.4f} bits/dim"


def _counted(n: int) -> str:
    return f"{n:,} point" + "s" * (n != 1)


def evidence(
    model: VAE,
    data: Points,
    *,
    samples: int = 100,
    seed: int = 0,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> Evidence:
    """L_k = mean over x of log 1/k sum_j p(x, z_j)/q(z_j | x), z_j ~ q(z | x) (Burda et al. 2016, eq. 8), or exactly.

    data     x (N, *shape), a batch, or a split that prepares its rows.
    samples  k, honoured exactly; ignored (and reported as None) where the model knows its marginal p(x), or q(z|x) is one
             discrete code: then the bound itself is computed, without noise.
    memory   bytes that decoding may use at once; it changes the speed, not the result.

    Each point is encoded once. The noise of a point depends on `seed` and its position only, so neither the other
    rows nor `memory` change its value (beyond rounding). Raises UserError for a model without a prior or with one whose
    density is not computed, samples < 1, no rows, or a non-finite estimate.
    """
    whole("samples", samples)
    check_rows(data)
    if model.prior is not None and not model.rates_codes:
        raise UserError(NO_DENSITY)
    with at_rest(model):
        if model.marginal is not None:
            return _exact(model, data, memory, progress)
        if getattr(
            model.posterior, "is_one_code", False
        ):  # log p(x|z) + log p(z) at the one z of a row: no weights to average
            return replace(
                _importance(model, data, 1, seed, memory, progress), samples=None, ess=None, khat=None, curve=None
            )
        return _importance(model, data, samples, seed, memory, progress)


def _exact(model: VAE, data: Points, memory: int, progress: Progress | None) -> Evidence:
    law, parts = model.marginal(), []  # type: ignore[misc]
    rows = max(1, min(4096, memory // pair_bytes(model, math.prod(law.event_shape))))
    for start in range(0, count(data), rows):
        x, _, observed = placed(batch_of(data, slice(start, start + rows)), model)
        if observed is not None:
            raise UserError("The exact evidence knows no missing values yet: fill them, or drop the rows.")
        try:
            parts.append(law.log_prob(x).cpu())
        except torch.linalg.LinAlgError:
            raise UserError("The covariance of p(x) is no covariance: the model's weights are broken.") from None
        _tell(progress, start + len(x), count(data))
    return Evidence(finite(torch.cat(parts)), "exact", math.prod(law.event_shape))


def _importance(model: VAE, data: Points, k: int, seed: int, memory: int, progress: Progress | None) -> Evidence:
    parts, curves, density, observed, done = [], [], True, 0, 0
    for log_w, seen, density in weights_by_tile(model, data, k, seed, memory):  # noqa: B007 - the last is every tile's
        observed += seen
        parts.append(torch.stack([log_mean_exp(log_w), effective_sample_size(log_w), pareto_khat(log_w)]).cpu())
        curves.append(Curve.of(log_w))
        _tell(progress, done := done + log_w.shape[1], count(data))
    per_point, ess, khat = torch.cat(parts, 1)
    dims = observed / count(data)
    per_point = finite(per_point)
    return Evidence(per_point, "lower bound" if density else "score", dims, k, ess, khat, Curve.joined(curves))


def weights_by_tile(model: VAE, data: Points, k: int, seed: int, memory: int) -> Iterator[tuple[Tensor, int, bool]]:
    """log w (k, n) in float64 of one tile of n points after the other, its observed elements, whether p(x|z) is a density."""
    P = math.prod(batch_of(data, slice(0, 1)).x.shape[1:])
    rows = tile_rows(P, k)
    at_once = draws_at_once(model, P, rows, memory)
    for tile, start in enumerate(range(0, count(data), rows)):
        batch = placed(batch_of(data, slice(start, start + rows)), model)
        n = len(batch.x)
        observed = n * P if batch.observed is None else int(batch.observed.sum())
        batch = filled_up(batch, rows)
        log_w, density = log_weights(model, batch, k, seed * 1_000_003 + tile, at_once)
        yield log_w[:, :n], observed, density


def tile_rows(P: int, k: int) -> int:
    """Points of one tile of noise, set by the problem and never by `memory`.

    One draw of each is at most 2^17 numbers (1 MB), and the tile's (k, rows) weights at most 2^22 (32 MB).
    """
    return max(1, min(128, 2**17 // P, 2**22 // k))


def filled_up(batch: Batch, rows: int) -> Batch:
    """A short tile as a full one, its last row over and over: it then draws the same noise, and rounds alike."""
    return batch.map(lambda t: torch.cat([t, t[-1:].expand(rows - len(t), *t.shape[1:])]))


def log_weights(model: VAE, batch: Batch, k: int, seed: int, at_once: int) -> tuple[Tensor, bool]:
    """log w (k, B) in float64, q evaluated once, the decoder on `at_once` draws at a time."""
    parts, density = [], True
    for draw in drawn(model, batch, k, seed, at_once):
        density = is_density(draw.px)
        parts.append(draw.log_w().double())
    return torch.cat(parts), density


def drawn(model: VAE, batch: Batch, k: int, seed: int, at_once: int) -> Iterator[Draw]:
    """z_1 .. z_k of each row, the same ones whenever asked for, `at_once` at a time."""
    q = model.encode(batch)
    for tile, done in enumerate(range(0, k, SAMPLES_AT_ONCE)):
        reseed(seed * 8191 + tile)
        z = q.rsample((min(SAMPLES_AT_ONCE, k - done),))
        for piece in z.split(at_once):
            yield model.at(batch, q, piece)


def finite(per_point: Tensor) -> Tensor:
    bad = (~per_point.isfinite()).nonzero()
    if len(bad):
        row = int(bad[0])
        raise UserError(
            f"The evidence of row {row} is {per_point[row].item()}: the model's weights or this row are broken."
        )
    return per_point.double()


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress:
        progress(done, total)
