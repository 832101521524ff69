"""Objectives with a target or a constraint (floor 5): capacity, a bound on the KL, a bound on the squared error.

A multiplier is a buffer, constant within a step; it moves in `after_step`, on a running mean of what it watches.
"""

import math

import torch
from torch import Tensor, nn

from logpx.distributions import is_density
from logpx.errors import UserError
from logpx.model import Draw
from logpx.objectives.base import Objective, Scalar, Terms, Weight, bound_terms, check, positive


class Capacity(Objective):
    """-E_q log p(x|z) + gamma |KL - C(t)|  (Burgess et al. 2018, arXiv:1804.03599), C in nats.

    C is a number or a schedule, linear from 0 as a rule; KL is the mean over the batch. Below C the KL is pushed up.
    """

    def __init__(self, capacity: Scalar, gamma: float = 100.0, *, samples: int = 1) -> None:
        super().__init__()
        check(samples)
        self.capacity, self.gamma, self.samples = Weight(capacity, "capacity"), positive("gamma", gamma), samples

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        reconstruction, kl, terms = _parts(d)
        C = self.capacity().clone()  # the term is what the step used: the buffer moves before terms are kept
        return reconstruction + self.gamma * (kl - C).abs(), terms | {"capacity": C}


class Multiplier(nn.Module):
    """A multiplier b > 0 that rises while what it watches is above zero: b <- b exp(rate clip(running mean, -1, 1)).

    The running mean keeps 0.99 of itself at each step: the noisy value of one batch would make b swing. It moves on the
    scale of logarithms since b = theta / sigma^2 may be a hundredth as well as a hundred, and because it then stays
    positive without a projection; where the constraint is slack it falls towards 0 geometrically, down to e^-20 of its
    start. The start carries the unit, so it is the start that b stays within e^20 of. Raises UserError for a rate that
    is not positive.
    """

    log_b: Tensor
    mean: Tensor
    step: Tensor

    def __init__(self, start: float = 1.0, rate: float = 0.01, keep: float = 0.99) -> None:
        super().__init__()
        self.rate, self.keep, self.log_start = positive("rate", rate), keep, math.log(start)
        self.register_buffer("log_b", torch.tensor(self.log_start))
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("step", torch.tensor(0))

    def forward(self) -> Tensor:
        return self.log_b.exp()

    @torch.no_grad()
    def follow(self, excess: Tensor) -> None:
        """One step of dual ascent; `excess` is a scalar without unit, positive where the constraint is violated.

        An excess of nan, 0/0 of a batch without any observed value, moves nothing.
        """
        told = ~excess.isnan()
        first = torch.where(self.step == 0, 0.0, self.keep)  # the first value is the mean
        self.mean.copy_(torch.where(told, first * self.mean + (1 - first) * excess, self.mean))
        self.step += told
        self.log_b.add_(told * self.rate * self.mean.clamp(-1, 1)).clamp_(self.log_start - 20, self.log_start + 20)


class Constrained(Objective):
    """max E log p(x|z) subject to E KL(q(z|x) || p(z)) <= eps: min_theta,phi max_b -E log p(x|z) + b (E KL - eps), b >= 0.

    The problem behind the beta-VAE (Higgins et al. 2017, ICLR) with beta as what it is there:
    the dual variable b, found by ascent on (KL - eps) / eps (`Multiplier`). The constraint is on the mean over the
    data; eps in nats, summed over dimensions. At the optimum b (E KL - eps) = 0. The term `multiplier` is b.
    Raises UserError for an eps that is not positive, or beyond what float32 can weigh.
    """

    compares_epochs = False

    def __init__(self, eps: float, *, samples: int = 1, rate: float = 0.01) -> None:
        super().__init__()
        check(samples)
        self.eps, self.samples, self.multiplier = _goal("eps", eps), samples, Multiplier(rate=rate)

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        reconstruction, kl, terms = _parts(d)
        b = self.multiplier()
        return reconstruction + b * (kl - self.eps), terms | {"multiplier": b}

    def after_step(self, terms: Terms) -> None:
        self.multiplier.follow((terms["kl"] - self.eps) / self.eps)


class GECO(Objective):
    """min E KL(q(z|x) || p(z)) subject to E |x - m(z)|^2 <= P kappa^2  (Rezende & Viola 2018, arXiv:1810.00597).

    m(z) is the mean of p(x|z), P the number of data elements (with missing values: of those observed), and kappa a
    root-mean-square error per element, in the unit of x. L = KL + lam C with C = E |x - m|^2 - P kappa^2, and lam follows
    C / (P kappa^2) (`Multiplier`). For a Gaussian p(x|z) of variance s2 it is a beta-VAE of beta = 1 / (2 lam s2).
    The terms: `squared_error` E |x - m|^2, `tolerance` P kappa^2, `multiplier` lam. Raises UserError for a kappa that is
    not positive, or beyond what float32 can square.
    """

    compares_epochs = False

    def __init__(self, kappa: float, *, samples: int = 1, rate: float = 0.01) -> None:
        super().__init__()
        check(samples)
        self.kappa, self.samples = _goal("kappa", kappa), samples
        self.multiplier = Multiplier(0.5 / self.kappa**2, rate)  # that of the ELBO of a Gaussian with sigma = kappa

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        _, kl, terms = _parts(d)
        error, tolerance = squared_error(d), self.kappa**2 * _elements(d)
        lam = self.multiplier()
        named = {"squared_error": error, "tolerance": tolerance, "multiplier": lam}
        return kl + lam * (error - tolerance), terms | named

    def after_step(self, terms: Terms) -> None:
        self.multiplier.follow(terms["squared_error"] / terms["tolerance"] - 1)  # nan where nothing was observed


def squared_error(d: Draw) -> Tensor:
    """E |x - m(z)|^2 over draws and points, m the mean of p(x|z); of the observed elements only. A scalar."""
    x, observed = d.batch.x, d.batch.observed
    misfit = (x - d.px.mean).square()
    misfit = misfit if observed is None else misfit.where(observed.bool(), 0)
    return misfit.flatten(2).sum(-1).mean()


def _elements(d: Draw) -> Tensor:
    """The number of observed elements per data point, a scalar."""
    x, observed = d.batch.x, d.batch.observed
    return (
        x.new_tensor(float(x[0].numel())) if observed is None else observed.bool().flatten(1).sum(1).to(x.dtype).mean()
    )


def _parts(d: Draw) -> tuple[Tensor, Tensor, Terms]:
    """-E log p(x|z), E KL and the terms that every bound reports."""
    reconstruction, kl = -d.log_px().mean(), d.kl().mean()
    return reconstruction, kl, bound_terms(reconstruction, kl, density=is_density(d.px))


def _goal(name: str, value: float) -> float:
    """A positive number whose square, and e^20 times that or its inverse, float32 can hold: e^(56 + 20) < 2^127."""
    if not 1e-12 <= positive(name, value) <= 1e12:
        raise UserError(f"{name} is {value}: give a number between 1e-12 and 1e12, in other units if need be.")
    return float(value)
