"""log p(x) by annealing (floor 5): from a law one can draw from to the posterior, in many small steps, forwards and backwards.

    f_b(z) = s(z)^(1-b) p(x, z)^b,  0 = b_0 < ... < b_T = 1,    log w = sum_t (b_t - b_(t-1)) log p(x, z_(t-1))/s(z_(t-1)),

with z_0 ~ s and z_t ~ a chain that leaves f_(b_t) invariant; s = q(z|x), or s = p(z), for which f_b = p(z) p(x|z)^b. Then
E w = p(x) (Neal 2001, Statistics and Computing 11, eq. 11), so log of the mean of w over chains is a lower bound on log p(x) in
expectation. Run backwards from an exact draw of the posterior, E 1/w = 1/p(x): an upper one (Grosse et al. 2015,
arXiv:1511.02543).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution

from logpx.distributions import OneHots, is_density
from logpx.errors import UserError
from logpx.evaluate.flat import chart_of
from logpx.evaluate.importance import Progress, filled_up
from logpx.evaluate.rows import (
    PerPoint,
    Points,
    at_rest,
    batch_of,
    check_rows,
    count,
    draws_at_once,
    placed,
    plain,
    reseed,
    weights_error,
)
from logpx.maths import effective_sample_size, log_mean_exp
from logpx.maths.hamiltonian import Point, transition
from logpx.model import VAE, Batch
from logpx.objectives.base import whole

Start = Literal["posterior", "prior"]
TARGET = 0.65  # acceptance at which a leapfrog trajectory is cheapest (Beskos et al. 2013, Bernoulli 19: 0.651)
LEVELS = 20  # temperatures at which step sizes are adapted; each serves those that are nearest
LONGEST, SHORTEST = (
    1.0,
    1e-4,
)  # step sizes in units of the posterior's standard deviations; 2 is where leapfrog diverges
RADIUS = 4.0  # of the sigmoid schedule: b runs from sigmoid(-4) to sigmoid(4), rescaled to [0, 1]


@dataclass(frozen=True)
class Annealed(PerPoint):
    """log p(x) of each of n points by annealed importance sampling: a lower bound in expectation, and what it is worth.

    per_point (n,)   log of the mean of `chains` weights, nats
    ess (n,)         effective sample size of these weights, at most `chains`
    acceptance (n,)  of the transitions while it was estimated, the mean over chains and temperatures
    dims             observed elements per point, for bits per dimension; 0 for none
    """

    temperatures: int
    chains: int
    leapfrog: int
    start: Start
    dims: float
    ess: Tensor
    acceptance: Tensor
    kind: str = "lower bound"

    @property
    def name(self) -> str:
        """ "AIS_100,16": temperatures and chains."""
        return f"AIS_{self.temperatures},{self.chains}"

    @property
    def monte_carlo_error(self) -> float:
        """Of the mean, from having so many chains only: var(log w-bar) = 1/ESS - 1/chains to first order; nan for one."""
        return weights_error(self.ess, self.chains)

    @property
    def bits_per_dim(self) -> float | None:
        return -self.mean / (self.dims * math.log(2)) if self.dims else None

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        numbers = self.head(self.kind, self.name) | {
            "monte_carlo_error": self.monte_carlo_error,
            "bits_per_dim": self.bits_per_dim,
            "temperatures": self.temperatures,
            "chains": self.chains,
            "leapfrog": self.leapfrog,
            "start": self.start,
            "ess": self.ess.mean().item(),
            "acceptance": self.acceptance.nanmean().item(),
        }
        return plain(numbers)

    def __str__(self) -> str:
        n = len(self.per_point)
        text = f"{self.name} = {self.said}, {self.kind}, {n:,} point{'s' * (n != 1)}"
        return text if self.bits_per_dim is None else f"{text}, {self.bits_per_dim:.4f} bits/dim"


@dataclass(frozen=True)
class Schedule:
    """How to anneal: T steps of temperature, K chains, so many leapfrog steps in each transition, from which law."""

    temperatures: int
    chains: int
    leapfrog: int
    start: Start

    def __post_init__(self) -> None:
        whole("temperatures", self.temperatures)
        whole("chains", self.chains)
        whole("leapfrog", self.leapfrog)
        if self.start not in get_args(Start):
            raise UserError(f"start is {self.start!r}: anneal from 'posterior' or from 'prior'.")

    @property
    def betas(self) -> Tensor:
        """0 = b_0 < ... < b_T = 1, (T + 1,): sigmoid(4 (2t/T - 1)) rescaled (Wu et al. 2017, arXiv:1611.04273, section 4)."""
        ramp = torch.sigmoid(RADIUS * torch.linspace(-1, 1, self.temperatures + 1, dtype=torch.float64))
        return (ramp - ramp[0]) / (ramp[-1] - ramp[0])


def annealed(
    model: VAE,
    data: Points,
    *,
    temperatures: int = 100,
    chains: int = 16,
    leapfrog: int = 2,
    start: Start = "posterior",
    seed: int = 0,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> Annealed:
    """log 1/K sum_k w_k per point, w_k the weight of an annealed chain with Hamiltonian transitions (Wu et al. 2017).

    start   "posterior": from q(z|x), so that what q already knows need not be found again, and T = 1 is L_K. "prior": from
            p(z), which takes many more temperatures and does not care what q misses; T = 1 is then sampling from the prior.
    memory  bytes that decoding may use at once; it changes the speed, not the result.

    Step sizes are adapted for each row and temperature by chains of their own and then held, so that E w = p(x) holds.
    A row's value depends on `seed` and its position only. Curved latents move in a chart (see evaluate.flat). The cost is
    chains * temperatures * leapfrog gradients of the decoder per row, and about 120 leapfrog gradients more to adapt. Raises
    UserError where `evidence` is exact or there is nothing to anneal (a discrete z, no prior, a score), and for no rows.
    """
    schedule = Schedule(temperatures, chains, leapfrog, start)
    check_rows(data)
    check_annealable(model)
    found, observed = [], 0
    with at_rest(model):
        for tile, batch in tiles(model, data, chains):
            observed += batch.x.numel() if batch.observed is None else int(batch.observed.sum())
            path = Path(model, batch, schedule, seed * 1_000_003 + tile, memory)
            log_w, acceptance = path.forwards()
            found.append(torch.stack([log_mean_exp(log_w), effective_sample_size(log_w), acceptance]).cpu())
            if progress:
                progress(sum(part.shape[1] for part in found), count(data))
    per_point, ess, acceptance = torch.cat(found, 1)
    check_finite(per_point)
    return Annealed(per_point, temperatures, chains, leapfrog, start, observed / count(data), ess, acceptance)


# --- what can be annealed ---------------------------------------------------------------------------------------------


def check_annealable(model: VAE) -> None:
    """Raises UserError, in a sentence that says what to do instead, for a model without a path of densities over z."""
    if model.marginal is not None:
        raise UserError("This model knows p(x) exactly, so there is nothing to anneal: its evidence is exact.")
    if getattr(model.posterior, "is_one_code", False):
        raise UserError("A row has one code here and its evidence is exact, so there is nothing to anneal.")
    if not model.has_evidence:
        raise UserError("This model has no density over z, so there is nothing to anneal.")


def _check_laws(q: Distribution, px: Distribution) -> None:
    if isinstance(q, OneHots):
        raise UserError(
            "These latents are categorical, and Hamiltonian chains need a gradient in z: take L_k with many samples."
        )
    if q.event_shape == (0,):
        raise UserError("This model has no latent, so there is nothing to anneal.")
    if not is_density(px):
        raise UserError("The grey score is no density, so there is no log p(x) to be bounded.")


def check_finite(per_point: Tensor) -> None:
    """Raises UserError where an estimate is no number."""
    bad = (~per_point.isfinite()).nonzero()
    if len(bad):
        raise UserError(f"The estimate of row {int(bad[0])} is not finite: the model's weights or this row are broken.")


def tiles(model: VAE, data: Points, chains: int) -> Iterator[tuple[int, Batch]]:
    """The rows in tiles whose size the problem sets, never `memory`: at most 2^17 numbers of x, 2^13 chains."""
    P = math.prod(batch_of(data, slice(0, 1)).x.shape[1:])
    size = rows_of_a_tile(P, chains)
    for tile, first in enumerate(range(0, count(data), size)):
        yield tile, placed(batch_of(data, slice(first, first + size)), model)


def rows_of_a_tile(P: int, chains: int) -> int:
    """How many rows are annealed side by side."""
    return max(1, min(128, 2**17 // P, 2**13 // chains))


# --- a tile -----------------------------------------------------------------------------------------------------------


class Path:
    """The path of laws of one tile of rows, with the step sizes that its transitions take.

    Everything that is random is drawn for a full tile, so that a row does not depend on how many follow it.
    """

    def __init__(self, model: VAE, batch: Batch, schedule: Schedule, seed: int, memory: int) -> None:
        self.model, self.batch, self.schedule = model, batch, schedule
        self.n, P = len(batch.x), math.prod(batch.x.shape[1:])
        self.rows = rows_of_a_tile(P, schedule.chains)
        self.at_once = draws_at_once(model, P, self.n, memory)
        self.q = model.encode(batch)
        _check_laws(self.q, model.at(batch, self.q, self.q.sample((1,))).px)
        reseed(seed)
        self.chart = chart_of(self.q)
        self.betas = schedule.betas.to(batch.x.device)
        self.precisions = self._precisions(schedule.start), self._precisions("posterior")
        self.steps = self._adapted()

    def forwards(self) -> tuple[Tensor, Tensor]:
        """log w (K, B) of chains from s to the posterior, in float64, and their mean acceptance (B,)."""
        z = self._vectors(self.schedule.start, self.schedule.chains)
        return self._annealed(Point.at(self.functions, z), range(1, self.schedule.temperatures + 1), 0)

    def backwards(self, z: Tensor) -> Tensor:
        """log w (K, B) of the same chains run backwards from z (B, D), an exact draw of p(z|x): E 1/w = 1/p(x)."""
        v = self.chart.vector(z.unsqueeze(0)).expand(self.schedule.chains, -1, -1)
        return self._annealed(Point.at(self.functions, v), range(self.schedule.temperatures, 0, -1), -1)[0]

    def _annealed(self, point: Point, order: range, then: int) -> tuple[Tensor, Tensor]:
        """The weights of chains that pass the increments in this order, after increment t a transition at b_(t + then)."""
        log_w, acceptance = point.values.new_zeros(point.z.shape[:2]), []
        for t in order:
            log_w = log_w + (self.betas[t] - self.betas[t - 1]) * (point.values[1] - point.values[0])
            if 0 < t + then < self.schedule.temperatures:
                point, probability = self._moved(point, t + then, self.steps[self._level(t + then)])
                acceptance.append(probability.mean(0))
        mean = torch.stack(acceptance).mean(0) if acceptance else log_w.new_full((self.n,), math.nan)
        return log_w, mean

    def functions(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """log s and log p(x, z) at v (K, B, n) of the chart, (2, K, B) in float64, and their gradients (2, K, B, n)."""
        pieces = [self._functions(piece) for piece in v.split(self.at_once)]
        values, slopes = zip(*pieces, strict=True)
        return torch.cat(values, 1), torch.cat(slopes, 1)

    def _functions(self, v: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            v = v.detach().requires_grad_()
            z, volume = self.chart.point(v)
            draw = self.model.at(self.batch, self.q, z)
            log_pz = draw.log_pz()
            log_s = (log_pz if self.schedule.start == "prior" else draw.log_q()) + volume
            log_joint = draw.log_px() + log_pz + volume
            slopes = [torch.autograd.grad(f.sum(), v, retain_graph=True)[0] for f in (log_s, log_joint)]
        return torch.stack([log_s.detach().double(), log_joint.detach().double()]), torch.stack(slopes)

    def _moved(self, point: Point, t: int, step: Tensor) -> tuple[Point, Tensor]:
        """A transition that leaves f_(b_t) invariant, step sizes (B,) in units of each dimension's spread.

        The step of a chain is between 0.8 and 1.2 times that, drawn anew, so that no trajectory closes on itself for good.
        """
        b = self.betas[t]
        K, _, D = point.z.shape
        like: dict[str, Any] = {"dtype": point.z.dtype, "device": point.z.device}
        momentum = torch.randn(K, self.rows, D, **like)[:, : self.n]
        u, jitter = torch.rand(2, K, self.rows, **like)[:, :, : self.n]
        start, end = self.precisions
        scale = torch.lerp(start, end, b.to(start)).rsqrt()  # of f_b, were all laws normal: precisions add
        size = (step * (0.8 + 0.4 * jitter)).unsqueeze(-1) * scale
        weights = torch.stack([1 - b, b])
        return transition(self.functions, point, weights, size.to(point.z), self.schedule.leapfrog, momentum, u)

    # --- adaptation, by chains that are thrown away ---

    def _adapted(self) -> Tensor:
        """Step sizes (levels, B) at which about 0.65 of the proposals are taken, by chains of their own from s upwards.

        log step -> log step + (mean acceptance - 0.65)/2 after each transition, 20 at the first level and 5 at the others.
        """
        T = self.schedule.temperatures
        if T == 1:
            return self.betas.new_ones(1, self.n)
        log_step, found = self.betas.new_full((self.n,), math.log(0.5)), []
        point = Point.at(self.functions, self._vectors(self.schedule.start, min(16, self.schedule.chains)))
        for level in range(self._level(T - 1) + 1):
            t = self._middle(level)
            for _ in range(5 if level else 20):
                point, probability = self._moved(point, t, log_step.exp())
                log_step = log_step + 0.5 * (probability.mean(0) - TARGET)
                log_step = log_step.clamp(math.log(SHORTEST), math.log(LONGEST))
            found.append(log_step.exp())
        return torch.stack(found)

    def _level(self, t: int) -> int:
        """Which of the adapted step sizes serves temperature t = 1 .. T - 1."""
        inner = self.schedule.temperatures - 1
        return (t - 1) * min(LEVELS, inner) // inner

    def _middle(self, level: int) -> int:
        """The temperature in the middle of those that a level serves."""
        served = [t for t in range(1, self.schedule.temperatures) if self._level(t) == level]
        return served[len(served) // 2]

    def _precisions(self, law: Start) -> Tensor:
        """One over the variance of each dimension, (B, n), from 64 draws."""
        return self._vectors(law, 64).var(0).clamp_min(1e-12).reciprocal()

    def _vectors(self, law: Start, k: int) -> Tensor:
        """k draws (k, B, n) of q or of the prior in the chart, as the noise of a full tile has them."""
        batch = filled_up(self.batch, self.rows)
        if law == "posterior":
            z = self.model.encode(batch).sample((k,))
        else:
            prior: Distribution = self.model.prior(batch.context)  # type: ignore[misc]
            z = prior.sample((k,) if prior.batch_shape else (k, self.rows))
        return self.chart.vector(z[:, : self.n])
