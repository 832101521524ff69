"""Where the bound is lost (floor 5): what the family of q cannot do, and what the encoder does not.

    log p(x) - ELBO = [log p(x) - ELBO(q*)] + [ELBO(q*) - ELBO(q(z|x))],    q* = argmax over the family, for this x alone,

the approximation gap and the amortisation gap (Cremer, Li & Duvenaud 2018, arXiv:1801.03558, eq. 5).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from logpx.distributions import OneHots, Quantised, is_density
from logpx.errors import UserError
from logpx.evaluate.annealed import annealed, check_finite, rows_of_a_tile
from logpx.evaluate.importance import Progress, evidence, filled_up
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
)
from logpx.model import VAE, Batch
from logpx.objectives.base import positive, whole

DRAWS, JUDGES = 8, 64  # of z per step of the optimiser; by which the best step is chosen
CHECKS = 20  # how many steps are judged
FORGETS = 0.05  # of the moving average of the parameters, at each step: it looks back 20 steps


@dataclass(frozen=True)
class Gap:
    """The gap log p(x) - ELBO of each of n points in its two parts, nats.

    elbo, best, log_px (n,)  with the encoder's q, with the best q of the family that was found, and the truth or a lower bound
    noise (n,)               standard error of best - elbo, both by the same draws' noise
    kind                     of log_px: "exact", or "lower bound", which makes the approximation gap a lower bound too; the
                             amortisation gap is one always, for the optimiser may have stopped short of q*.
    """

    elbo: Tensor
    best: Tensor
    log_px: Tensor
    noise: Tensor
    kind: str
    name: str

    @property
    def total(self) -> PerPoint:
        """log p(x) - ELBO."""
        return PerPoint(self.log_px - self.elbo)

    @property
    def approximation(self) -> PerPoint:
        """log p(x) - ELBO(q*): what the family cannot do."""
        return PerPoint(self.log_px - self.best)

    @property
    def amortisation(self) -> PerPoint:
        """ELBO(q*) - ELBO(q(z|x)): what the encoder does not do."""
        return PerPoint(self.best - self.elbo)

    @property
    def monte_carlo_error(self) -> float:
        """Of the mean amortisation gap, from its finitely many draws."""
        return self.noise.square().sum().sqrt().item() / len(self.noise)

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        parts = {"total": self.total, "approximation": self.approximation, "amortisation": self.amortisation}
        numbers: dict[str, Any] = {"unit": "nats per data point", "points": len(self.elbo)}
        numbers |= {"log_px": self.name, "kind": self.kind}
        numbers |= {"elbo": self.elbo.mean().item(), "best_elbo": self.best.mean().item()}
        for name, part in parts.items():
            numbers |= {name: part.mean, f"{name}_standard_error": part.standard_error}
        numbers["monte_carlo_error"] = self.monte_carlo_error
        return plain(numbers)

    def __str__(self) -> str:
        def said(part: PerPoint) -> str:
            return f"{part.mean:.3f}" + ("" if math.isnan(part.standard_error) else f" +- {part.standard_error:.3f}")

        return (
            f"log p(x) - ELBO = {said(self.total)} nats per data point: approximation {said(self.approximation)}, amortisation "
            f"{said(self.amortisation)} (s.e.), {len(self.elbo):,} point{'s' * (len(self.elbo) != 1)}"
        )


def refine(
    model: VAE,
    data: Points,
    *,
    steps: int = 200,
    rate: float = 0.05,
    draws: int = 1000,
    truth: PerPoint | None = None,
    seed: int = 0,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> Gap:
    """Splits log p(x) - ELBO by giving each row a q of its own: the family's numbers by Adam, from the encoder's onwards.

    steps, rate  of Adam, all rows at once, the rate falling to 0 in a straight line; eight reparameterised draws a step, fresh
                 ones, with q's own parameters held in log q (Roeder et al. 2017, arXiv:1703.09194): at the exact posterior that
                 gradient is 0 and not only its mean.
    draws        of z per row by which both ELBOs are computed in the end, equal noise for both.
    truth        log p(x) of the same rows (an `Evidence` or `Annealed`); without it exact where that is known, or `annealed`.

    Of the start and 20 moments the best is kept for each row, by 64 draws of another noise than the optimiser's and than the
    result's. Raises UserError for a model without a density over z, categorical latents, and a score, and for no rows.
    """
    whole("steps", steps)
    whole("draws", draws, 2)
    positive("rate", rate)
    check_rows(data)
    found, done, size = [], 0, rows_of_a_tile(math.prod(batch_of(data, slice(0, 1)).x.shape[1:]), JUDGES)
    with at_rest(model):
        for tile, first in enumerate(range(0, count(data), size)):
            batch = placed(batch_of(data, slice(first, first + size)), model)
            n, rows = len(batch.x), OwnPosteriors(model, filled_up(batch, size), seed * 1_000_003 + tile, memory)
            if not rows.density:
                raise UserError("The grey score is no density, so its bound has no gap to log p(x).")
            found.append(rows.compared(rows.refined(steps, rate), draws)[:, :n].cpu())
            done += n
            if progress:
                progress(done, count(data))
    elbo, best, noise = torch.cat(found, 1)
    check_finite(elbo + best)
    if truth is None:
        how: dict[str, Any] = {"seed": seed, "memory": memory}
        truth = evidence(model, data, **how) if model.marginal is not None else annealed(model, data, **how)
    return Gap(
        elbo, best, truth.per_point, noise, getattr(truth, "kind", "lower bound"), getattr(truth, "name", "log p(x)")
    )


class OwnPosteriors:
    """A q for each row of one tile, and the noise that belongs to them; params (B, size) are the numbers of these q.

    Raises UserError where q(z|x) is no density whose draws are differentiable in its numbers.
    """

    def __init__(self, model: VAE, batch: Batch, seed: int, memory: int) -> None:
        self.model, self.batch, self.seed = model, batch, seed
        self.at_once = draws_at_once(model, batch.x[0].numel(), len(batch.x), memory)
        self.start = model.emit(batch)
        q = model.posterior(self.start)
        if not model.has_evidence or isinstance(q, OneHots | Quantised) or not q.has_rsample or q.event_shape == (0,):
            raise UserError(
                "Nothing of q(z|x) can be refined here: that takes a prior, and a q(z|x) whose draws follow its numbers "
                "smoothly, which discrete codes do not."
            )

    @property
    def density(self) -> bool:
        """Whether p(x|z) is one."""
        q = self.model.posterior(self.start)
        return is_density(self.model.at(self.batch, q, q.rsample((1,))).px)

    def log_w(self, params: Tensor, k: int, noise: int, fixed: bool = False) -> Tensor:
        """log p(x, z)/q(z|x), (k, B): their mean over k is the ELBO. Equal `noise` is equal noise for any params."""
        reseed(self.seed * 8191 + noise)
        q = self.model.posterior(params)
        held: Callable[[], Any] | None = (lambda: self.model.posterior(params.detach())) if fixed else None
        pieces = q.rsample((k,)).split(self.at_once)
        return torch.cat([self.model.at(self.batch, q, z, held).log_w(fixed) for z in pieces])

    def refined(self, steps: int, rate: float) -> Tensor:
        """The best numbers for each row that the optimiser came by."""
        params = self.start.clone().requires_grad_()
        adam, every = torch.optim.Adam([params], lr=rate), max(1, steps // CHECKS)
        kept, value = self.start.clone(), self._judged(self.start)
        smooth = self.start.clone()  # a moving average over steps, in which the noise of the gradients goes
        for step in range(1, steps + 1):
            adam.param_groups[0]["lr"] = rate * (1 - (step - 1) / steps)
            with torch.enable_grad():
                loss = -self.log_w(params, DRAWS, step + 2, fixed=True).mean(0).sum()
                (params.grad,) = torch.autograd.grad(loss, params)
            params.grad = params.grad.nan_to_num(0.0)
            adam.step()
            smooth = smooth.lerp(params.detach(), FORGETS)
            if step % every == 0 or step == steps:
                now = self._judged(smooth)
                better = now > value  # never true of nan
                kept, value = torch.where(better.unsqueeze(-1), smooth, kept), torch.where(better, now, value)
        return kept

    def _judged(self, params: Tensor) -> Tensor:
        """The ELBO by 64 draws less its standard error, (B,): numbers that were merely lucky are not kept for it."""
        log_w = self.log_w(params, JUDGES, 1).double()
        return log_w.mean(0) - log_w.std(0) / math.sqrt(JUDGES)

    def compared(self, params: Tensor, k: int) -> Tensor:
        """ELBO of the encoder's q, of the refined one, and the standard error of their difference, (3, B), by new noise."""
        before, after = (self.log_w(p, k, 2).double() for p in (self.start, params))
        return torch.stack([before.mean(0), after.mean(0), (after - before).std(0) / math.sqrt(k)])
