"""log p(x) from both sides (floor 5): bidirectional Monte Carlo on rows that the model draws, and what holds for real ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from logpx.distributions import is_density
from logpx.errors import UserError
from logpx.evaluate.annealed import Path, Schedule, Start, check_annealable, check_finite, rows_of_a_tile
from logpx.evaluate.importance import Progress
from logpx.evaluate.rows import PerPoint, Points, at_rest, batch_of, count, placed, plain, reseed
from logpx.maths import log_mean_exp
from logpx.model import VAE, Batch
from logpx.objectives.base import whole


@dataclass(frozen=True)
class Sandwich:
    """A lower and an upper bound on log p(x) of each of n rows that the model itself drew, each a bound in expectation.

    lower, upper (n,)  nats. The mean of their difference bounds the error of either in expectation (Grosse et al. 2016,
                       arXiv:1611.02543). It is a statement about the model's own rows; real ones may be harder.
    """

    lower: PerPoint
    upper: PerPoint
    temperatures: int
    chains: int
    leapfrog: int
    start: Start

    @property
    def gap(self) -> PerPoint:
        """upper - lower, row by row."""
        return PerPoint(self.upper.per_point - self.lower.per_point)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Where the mean log p(x) of these very rows lies, with at least that probability.

        Given the rows, both bounds err independently of each other, so neither's error exceeds the spread of the gap over
        rows: lower - c e to upper + c e, e the gap's standard error and c the two-sided quantile of a normal law.
        """
        c = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64)).item()
        e = self.gap.standard_error
        return self.lower.mean - c * e, self.upper.mean + c * e

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        low, high = self.interval()
        numbers = {
            "unit": "nats per data point",
            "rows": "drawn from the model",
            "points": len(self.lower.per_point),
            "lower": self.lower.mean,
            "upper": self.upper.mean,
            "gap": self.gap.mean,
            "gap_standard_error": self.gap.standard_error,
            "interval_95": [low, high],
            "temperatures": self.temperatures,
            "chains": self.chains,
            "leapfrog": self.leapfrog,
            "start": self.start,
        }
        return plain(numbers)

    def __str__(self) -> str:
        n = len(self.lower.per_point)
        error = "" if math.isnan(self.gap.standard_error) else f" +- {self.gap.standard_error:.3f} (s.e.)"
        return (
            f"{self.lower.mean:.3f} <= log p(x) <= {self.upper.mean:.3f} nats per data point in expectation, gap "
            f"{self.gap.mean:.3f}{error}, {n:,} row{'s' * (n != 1)} drawn from the model"
        )


def sandwich(
    model: VAE,
    rows: int = 100,
    *,
    like: Points | None = None,
    temperatures: int = 100,
    chains: int = 16,
    leapfrog: int = 2,
    start: Start = "posterior",
    seed: int = 0,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> Sandwich:
    """Bidirectional Monte Carlo: log p(x) of rows drawn from the model, from below and from above (Grosse et al. 2015).

    z* ~ p(z), x ~ p(x|z*): z* is an exact draw of p(z|x), from which the chains of `annealed` run backwards.

    lower = log 1/K sum_k w_k,  upper = -log 1/K sum_k 1/w'_k,  in expectation lower <= log p(x) <= upper.

    rows   how many to draw; where `like` is given, as many as it has.
    like   rows whose contexts are given to a conditional model, which needs them, and whose missing values are missing here.

    The gap shrinks as the chains lengthen. Raises UserError as `annealed` does.
    """
    schedule = Schedule(temperatures, chains, leapfrog, start)
    check_annealable(model)
    whole("rows", rows)
    found: list[Tensor] = []
    with at_rest(model):
        for tile, (z, batch) in enumerate(_drawn(model, rows, like, chains, seed)):
            path = Path(model, batch, schedule, seed * 1_000_003 + tile, memory)
            lower = log_mean_exp(path.forwards()[0])
            found.append(torch.stack([lower, -log_mean_exp(-path.backwards(z))]).cpu())
            if progress:
                progress(sum(part.shape[1] for part in found), rows if like is None else count(like))
    lower, upper = torch.cat(found, 1)
    check_finite(lower + upper)
    return Sandwich(PerPoint(lower), PerPoint(upper), temperatures, chains, leapfrog, start)


def _drawn(model: VAE, n: int, like: Points | None, chains: int, seed: int) -> Iterator[tuple[Tensor, Batch]]:
    """Tiles of exact draws (z, x) ~ p(z) p(x|z): z (B, D) and a batch of x, with the contexts and the holes of `like`."""
    reseed(seed * 1_000_003 + 999_983)
    given = None if like is None else placed(batch_of(like, slice(0, count(like))), model)
    context = None if given is None else given.context
    z, px = model.sample(n if given is None else len(given.x), context)
    if not is_density(px):
        raise UserError("The grey score is no density, so there are no rows to be drawn from it.")
    x = px.sample()
    observed = None if given is None else given.observed
    batch = Batch(x if observed is None else x.where(observed, 0), context, observed)
    size = rows_of_a_tile(math.prod(x.shape[1:]), chains)
    for first in range(0, len(x), size):
        rows = slice(first, first + size)
        yield z[rows], batch.map(lambda t, rows=rows: t[rows])  # type: ignore[misc]
