"""Mean-field variational inference by coordinate ascent (floor 6): q(z) = prod_j q_j(z_j), one factor at a time.

log q_j*(z_j) = E_{q_-j} log p~(z) + const raises the ELBO at every step (Bishop 2006, section 10.1). Here for the two
targets on which everything about it is known: a Gaussian, and any law over a table that can be summed. ELBO and
log Z belong to the unnormalised p~ = Z p, so that ELBO + KL(q || p) = log Z; nats.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from logpx.errors import UserError
from logpx.exact.ppca import while_rising
from logpx.maths import LOG_2PI
from logpx.objectives.base import whole

# --- a Gaussian target ----------------------------------------------------------------------------


class GaussianTarget(NamedTuple):
    """log p~(z) = log_height - 1/2 (z - m*)^T Lambda (z - m*), so p = N(m*, Lambda^-1)."""

    mean: Tensor  # m* (D,)
    precision: Tensor  # Lambda (D, D)
    log_height: float = 0.0  # log p~(m*)

    def log_normaliser(self) -> Tensor:
        """log Z = log_height + D/2 log 2pi - 1/2 log|Lambda|."""
        return self.log_height + 0.5 * (len(self.mean) * LOG_2PI - torch.linalg.slogdet(self.precision).logabsdet)

    def elbo(self, mean: Tensor, variance: Tensor) -> Tensor:
        """E_q log p~ + H(q) of q = N(mean, diag variance): its entropy included."""
        d = mean - self.mean
        quadratic = d @ self.precision @ d + (self.precision.diagonal() * variance).sum()
        return self.log_height - 0.5 * quadratic + 0.5 * (1 + LOG_2PI + variance.log()).sum()

    def kl_at_optimum(self) -> Tensor:
        """KL(q || p) = 1/2 (sum_j log Lambda_jj - log|Lambda|) at the best q: the price of the missing correlations.

        q has the variances 1/Lambda_jj, never above those of p.
        """
        return 0.5 * (self.precision.diagonal().log().sum() - torch.linalg.slogdet(self.precision).logabsdet)

    def rate(self) -> float:
        """rho of m - m* <- T (m - m*), T = -(lower + diag)^-1 upper: by what factor a sweep shrinks the error, at last.

        Sweeps are the Gauss-Seidel iteration on Lambda m = Lambda m*, which converges for every such Lambda.
        """
        lower, upper = self.precision.tril(), self.precision.triu(1)
        return torch.linalg.eigvals(torch.linalg.solve_triangular(lower, upper, upper=False)).abs().max().item()


def gaussian(
    target: GaussianTarget, start: Tensor | None = None, sweeps: int = 1000, tolerance: float = 1e-12
) -> Iterator[tuple[Independent, float]]:
    """q and its ELBO after each sweep of m_j <- m*_j - 1/Lambda_jj sum_{i != j} Lambda_ji (m_i - m*_i) (Bishop, 10.15).

    Stops after `sweeps`, or when one moves no mean by more than `tolerance` standard deviations. Raises UserError for a
    precision that is not symmetric and positive definite, and for a mean or a start that is not D finite numbers.
    """
    m_star, precision = target.mean, target.precision
    whole("sweeps", sweeps)
    if m_star.ndim != 1 or not bool(m_star.isfinite().all()):
        raise UserError("The target's mean must be a vector of finite numbers.")
    D = len(m_star)
    square = precision.shape == (D, D) and torch.allclose(precision, precision.T)
    if not (square and int(torch.linalg.cholesky_ex(precision).info) == 0):
        raise UserError(f"The precision is not a symmetric positive definite matrix of {D} x {D}: give one that is.")
    start = torch.zeros_like(m_star) if start is None else start
    if start.shape != (D,) or not bool(start.isfinite().all()):
        raise UserError(f"The start must be a vector of {D} finite numbers, one for each dimension of the target.")
    return _gaussian_sweeps(target, start.to(m_star), sweeps, tolerance)


def _gaussian_sweeps(
    target: GaussianTarget, m: Tensor, sweeps: int, tolerance: float
) -> Iterator[tuple[Independent, float]]:
    m_star, precision, _ = target
    variance = 1 / precision.diagonal()
    for _ in range(sweeps):
        before, m = m, m.clone()
        for j in range(len(m)):
            m[j] -= variance[j] * (precision[j] @ (m - m_star))  # the term i = j brings m_j to m*_j
        yield Independent(Normal(m, variance.sqrt()), 1), target.elbo(m, variance).item()
        if ((m - before).abs() <= tolerance * variance.sqrt()).all():
            return


# --- a table --------------------------------------------------------------------------------------


class Factors(NamedTuple):
    """q over a table: one vector of probabilities for each of its axes."""

    probabilities: tuple[Tensor, ...]

    def log_prob(self) -> Tensor:
        """log q(z) for every cell."""
        total = torch.zeros((), dtype=torch.float64)
        for q in self.probabilities:
            total = total[..., None] + q.log()
        return total

    def entropy(self) -> Tensor:
        """H(q) = sum_j H(q_j)."""
        return torch.stack([torch.special.entr(q).sum() for q in self.probabilities]).sum()


def table(
    log_joint: Tensor,
    start: Sequence[Tensor] | None = None,
    sweeps: int = 1000,
    tolerance: float = 1e-12,
    seed: int = 0,
) -> Iterator[tuple[Factors, float]]:
    """q and its ELBO after each sweep over the axes of log p~(z_1, ..., z_D), given cell by cell; the ELBO never falls.

    log Z is log_joint.logsumexp over all axes. It starts from the factors of `start`, or from random ones, for equal
    ones may be a saddle; which of the optima it finds depends on that. Stops after `sweeps`, or when one gains less
    than `tolerance` nats. Raises UserError for a table with cells that are not finite, and for a start that is not one
    factor for each axis: numbers from 0 on, of its length, that are divided by their sum here.
    """
    whole("sweeps", sweeps)
    log_joint = log_joint.double()
    if not bool(log_joint.isfinite().all()):
        raise UserError("The table has a cell that is nan or infinite: give the log of positive probabilities.")
    random = torch.Generator().manual_seed(seed)
    if start is None:
        start = [torch.rand(n, generator=random, dtype=torch.float64) + 0.5 for n in log_joint.shape]
    return while_rising(_table_sweeps(log_joint, _factors(start, log_joint.shape)), sweeps, tolerance)


def _factors(start: Sequence[Tensor], shape: Sequence[int]) -> list[Tensor]:
    """The start as one vector of probabilities for each axis, float64."""
    q = [factor.double() for factor in start]
    fits = [tuple(factor.shape) for factor in q] == [(n,) for n in shape]
    if not fits or not all(bool((factor >= 0).all()) and 0 < factor.sum().item() < math.inf for factor in q):
        raise UserError(
            f"The start must be {len(shape)} vectors of lengths {tuple(shape)}, each of finite numbers from 0 on that do "
            "not sum to 0."
        )
    return [factor / factor.sum() for factor in q]


def _table_sweeps(log_joint: Tensor, q: list[Tensor]) -> Iterator[tuple[Factors, float]]:
    while True:
        for j in range(len(q)):
            log_q = _expected(log_joint, q, j)
            q[j] = log_q.softmax(0)
        found = Factors(tuple(q))
        yield found, ((q[-1] * log_q).sum() + found.entropy()).item()


def _expected(log_joint: Tensor, q: Sequence[Tensor], j: int) -> Tensor:
    """E_{q_-j} log p~ as a function of z_j."""
    for i in reversed(range(len(q))):
        if i != j:
            log_joint = torch.tensordot(log_joint, q[i], dims=([i], [0]))  # from the last axis, so that i stays i
    return log_joint
