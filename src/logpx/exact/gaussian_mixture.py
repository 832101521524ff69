"""Bayesian mixture of Gaussians by coordinate ascent (floor 6; Bishop 2006, section 10.2): the full ELBO in nats.

pi ~ Dirichlet(alpha0), Lambda_k ~ Wishart(W0, nu0), mu_k ~ N(m0, (beta0 Lambda_k)^-1), x_n ~ N(mu_k, Lambda_k^-1) with
probability pi_k. q(Z, pi, mu, Lambda) = q(Z) q(pi) prod_k q(mu_k, Lambda_k): responsibilities r_nk, and a law of the
prior's own family for each component.

n points, P data dimensions, K components. Scale matrices are kept as their inverses V = W^-1, which are what data add to.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.exact.ppca import checked_rows, while_rising
from logpx.maths import LOG_2PI
from logpx.objectives.base import whole


class NormalWishart(NamedTuple):
    """N(mu; m, (beta Lambda)^-1) W(Lambda; V^-1, nu), a batch of K of them."""

    mean: Tensor  # m (K, P)
    beta: Tensor  # (K,)
    scale: Tensor  # V = W^-1 (K, P, P)
    nu: Tensor  # degrees of freedom (K,), above P - 1

    def log_normaliser(self) -> Tensor:
        """log int exp(...) dmu dLambda, (K,): P/2 log(2pi/beta) + nu P/2 log 2 + log Gamma_P(nu/2) - nu/2 log|V|."""
        P = self.mean.shape[-1]
        wishart = 0.5 * self.nu * (P * math.log(2) - self.log_det()) + torch.mvlgamma(self.nu / 2, P)
        return 0.5 * P * (LOG_2PI - self.beta.log()) + wishart

    def log_det(self) -> Tensor:
        """log|V|, (K,)."""
        return 2 * torch.linalg.cholesky(self.scale).diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def distance(self, x: Tensor) -> Tensor:
        """(x - m_k)^T W_k (x - m_k), (n, K): a sum of squares through the Cholesky factor of V_k."""
        difference = (x - self.mean[:, None]).mT  # (K, P, n)
        return (
            torch.linalg.solve_triangular(torch.linalg.cholesky(self.scale), difference, upper=False).square().sum(1).T
        )

    def expected_log_density(self, x: Tensor) -> Tensor:
        """E log N(x; mu_k, Lambda_k^-1), (n, K) (Bishop, 10.64 and 10.65)."""
        P = x.shape[-1]
        halves = 0.5 * (self.nu[:, None] - torch.arange(P, dtype=x.dtype, device=x.device))
        log_det = torch.digamma(halves).sum(1) + P * math.log(2) - self.log_det()  # E log|Lambda_k|
        return 0.5 * (log_det - P * LOG_2PI - P / self.beta - self.nu * self.distance(x))

    def log_predictive(self, x: Tensor) -> Tensor:
        """log of E N(x; mu_k, Lambda_k^-1), a Student t with nu_k + 1 - P degrees of freedom, (n, K) (Bishop, 10.81)."""
        P = x.shape[-1]
        freedom, shrink = self.nu + 1 - P, self.beta / (1 + self.beta)
        norm = torch.lgamma((self.nu + 1) / 2) - torch.lgamma(freedom / 2) - 0.5 * P * math.log(math.pi)
        norm = norm + 0.5 * (P * shrink.log() - self.log_det())
        return norm - 0.5 * (self.nu + 1) * torch.log1p(shrink * self.distance(x))

    def given(self, x: Tensor, weights: Tensor) -> "NormalWishart":
        """The posterior after rows x (n, P) that count weights (n, K) times for each component (Bishop, 10.60 to 10.63)."""
        N = weights.sum(0)
        beta = self.beta + N
        centre = weights.T @ x / N.clamp_min(torch.finfo(x.dtype).tiny)[:, None]  # 0 where nothing is counted
        scatter = torch.stack([(w[:, None] * (x - c)).T @ (x - c) for w, c in zip(weights.T, centre, strict=True)])
        away = centre - self.mean
        pull = (self.beta * N / beta)[:, None, None] * away[:, :, None] * away[:, None, :]
        mean = self.mean + (N / beta)[:, None] * away
        return NormalWishart(mean, beta, self.scale + scatter + pull, self.nu + N)


class Prior(NamedTuple):
    """What is believed of every component before the data."""

    alpha: float  # alpha0 of each weight; small ones empty the components that are not needed
    mean: Tensor  # m0 (P,)
    beta: float  # beta0: how many rows the belief in m0 is worth
    covariance: Tensor  # V0 = W0^-1 (P, P); E Lambda = nu0 V0^-1
    nu: float  # nu0 > P - 1

    def components(self, K: int) -> NormalWishart:
        """The same law K times."""
        nu, beta = self.mean.new_full((K,), self.nu), self.mean.new_full((K,), self.beta)
        return NormalWishart(self.mean.expand(K, -1), beta, self.covariance.expand(K, -1, -1), nu)


def prior_of(x: Tensor, components: int) -> Prior:
    """alpha0 = 1/K, m0 and V0 the mean and the covariance of these rows, beta0 = 1, nu0 = P: one wide component.

    It looks at the data, as usual, so that their units do not matter. Raises UserError on nan and where a column is
    constant or the columns depend on each other.
    """
    y, mean = checked_rows(x)
    covariance = y.T @ y / len(y)
    if torch.linalg.matrix_rank(covariance, hermitian=True) < len(mean):
        raise UserError("The columns are constant or depend on each other linearly: drop some, or give a prior.")
    return Prior(1 / components, mean, 1.0, covariance, float(len(mean)))


class Mixture(NamedTuple):
    """q(pi) = Dirichlet(alpha) and q(mu_k, Lambda_k), with the responsibilities that led to them."""

    alpha: Tensor  # (K,)
    components: NormalWishart
    responsibilities: Tensor  # r (n, K)

    def weights(self) -> Tensor:
        """E pi, (K,)."""
        return self.alpha / self.alpha.sum()

    def covariances(self) -> Tensor:
        """(E Lambda_k)^-1 = V_k / nu_k, (K, P, P)."""
        return self.components.scale / self.components.nu[:, None, None]

    def log_responsibilities(self, x: Tensor) -> Tensor:
        """log q(z_n = k), (n, K): the softmax of E log pi_k + E log N(x_n; mu_k, Lambda_k^-1) (Bishop, 10.46)."""
        log_pi = torch.digamma(self.alpha) - torch.digamma(self.alpha.sum())
        return (log_pi + self.components.expected_log_density(_rows(x))).log_softmax(1)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x | training rows) under q, (n,), nats: a mixture of Student t, the parameters integrated out."""
        return (self.weights().log() + self.components.log_predictive(_rows(x))).logsumexp(1)


def fit(
    x: Tensor,
    components: int,
    prior: Prior | None = None,
    *,
    start: Tensor | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-9,
    seed: int = 0,
) -> Iterator[tuple[Mixture, float]]:
    """q and its ELBO on log p(X), in nats over all rows, after each update of q(Z) and then of everything else.

    x (n, *shape); `prior` is `prior_of` unless given; `start` holds responsibilities (n, K), otherwise rows belong at
    first to the nearest of K rows chosen far apart by the seed. The ELBO never falls; it knows nothing of the K! ways
    to name the components. Stops after `iterations`, or when one gains less than `tolerance` nats. Raises UserError on
    nan, on fewer rows than components, and for a prior or a start that does not fit.
    """
    y, mean = checked_rows(x)
    if not 1 <= components <= len(y):
        raise UserError(f"components is {components}: give a whole number from 1 to {len(y)}, the number of rows.")
    whole("components", components)
    prior = prior_of(x, components) if prior is None else prior
    _check_prior(prior, len(mean))
    r = far_apart(y, components, seed) if start is None else start.double()
    if r.shape != (len(y), components) or not torch.allclose(r.sum(1), r.new_ones(())) or bool((r < 0).any()):
        raise UserError(f"The start must be {len(y)} rows of {components} probabilities that sum to one.")
    return while_rising(_cavi(_rows(x), prior, _update(_rows(x), prior, r)), iterations, tolerance)


def _check_prior(prior: Prior, P: int) -> None:
    V = prior.covariance
    positive = V.shape == (P, P) and bool(V.isfinite().all()) and int(torch.linalg.cholesky_ex(V).info) == 0
    centred = prior.mean.shape == (P,) and bool(prior.mean.isfinite().all())
    numbers = 0 < prior.alpha < math.inf and 0 < prior.beta < math.inf and P - 1 < prior.nu < math.inf
    if not (positive and centred and numbers):
        raise UserError(
            f"The prior does not fit {P} columns: alpha and beta must be positive, nu above {P - 1}, the mean of "
            f"length {P}, the covariance positive definite, and every number finite."
        )


def far_apart(x: Tensor, components: int, seed: int = 0) -> Tensor:
    """Hard responsibilities (n, K) by the nearest of K rows, each drawn with probability ~ its squared distance from
    those before it (k-means++, Arthur & Vassilvitskii 2007), columns in units of their standard deviation.
    """
    random = torch.Generator().manual_seed(seed)
    spread = x.std(0, correction=0)
    y = (x / torch.where(spread > 0, spread, 1)).cpu()
    chosen = [int(torch.randint(len(y), (), generator=random))]
    distances = [(y - y[chosen[0]]).square().sum(1)]
    while len(chosen) < components:
        nearest = torch.stack(distances).amin(0)
        weights = nearest if nearest.sum() > 0 else torch.ones_like(nearest)  # fewer different rows than components
        chosen.append(int(torch.multinomial(weights, 1, generator=random)))
        distances.append((y - y[chosen[-1]]).square().sum(1))
    return torch.nn.functional.one_hot(torch.stack(distances).argmin(0), components).to(x)


def _cavi(x: Tensor, prior: Prior, q: Mixture) -> Iterator[tuple[Mixture, float]]:
    while True:
        q = _update(x, prior, q.log_responsibilities(x).exp())
        yield q, elbo(prior, q)


def _update(x: Tensor, prior: Prior, r: Tensor) -> Mixture:
    """q(pi) and q(mu, Lambda) given q(Z) (Bishop, 10.57 to 10.63)."""
    return Mixture(prior.alpha + r.sum(0), prior.components(r.shape[1]).given(x, r), r)


def elbo(prior: Prior, q: Mixture) -> float:
    """E_q log p(X, Z, pi, mu, Lambda) + H(q), nats over all rows, constants included (Bishop, 10.70).

    By conjugacy it is H(q(Z)) + log C(alpha)/C(alpha0) + sum_k log [Z_k / Z_0] - n P/2 log 2pi wherever q(pi) and
    q(mu, Lambda) are the optimal ones given q(Z), as they are after each update; C and Z normalise the Dirichlet and
    the Normal-Wishart.
    """
    n, K = q.responsibilities.shape
    P = q.components.mean.shape[1]
    dirichlet = _log_dirichlet(q.alpha) - _log_dirichlet(torch.full_like(q.alpha, prior.alpha))
    wishart = (q.components.log_normaliser() - prior.components(K).log_normaliser()).sum()
    return (torch.special.entr(q.responsibilities).sum() + dirichlet + wishart - 0.5 * n * P * LOG_2PI).item()


def _log_dirichlet(alpha: Tensor) -> Tensor:
    """log int prod_k pi_k^(alpha_k - 1) dpi."""
    return torch.lgamma(alpha).sum() - torch.lgamma(alpha.sum())


def _rows(x: Tensor) -> Tensor:
    return x.flatten(1).double()
