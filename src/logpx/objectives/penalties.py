"""Penalties on the aggregated posterior q(z) = E_x q(z|x), seen through the codes of one batch (floor 5).

They are no bounds and no likelihoods: each is added, with a weight, to an objective that reconstructs.
"""

import math
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from logpx import maths
from logpx.distributions import is_euclidean, log_prob_by_element
from logpx.errors import UserError
from logpx.model import Draw
from logpx.objectives.base import Objective, Terms, check, finite, positive, whole

KernelName = Literal["imq", "rbf"]


# --- what a prior learns from being compared with --------------------------------------------------------------------
# A distance or divergence from p(z) (MMD, sliced and closed Wasserstein, Jensen-Shannon, total variation, reverse KL)
# has p's parameters in two places: in the draws of p, and in its density where that is asked for. Where draws can be
# reparameterised both are followed, so a learned prior gets the exact gradient. Where they cannot (a mixture), one alone
# would be biased, so the prior is held constant throughout. To a critic the prior is the truth it is shown, which is
# data and learns nothing from it.


def prior_of(d: Draw) -> Distribution:
    """p(z); UserError for a model without a prior."""
    if d.prior is None:
        raise UserError("This model has no prior over z, so its codes cannot be compared with one: give it a prior.")
    return d.prior


def from_prior(d: Draw) -> Tensor:
    """A fresh draw from p(z) beside each code, (K, B, D): a function of p's parameters where p can be reparameterised."""
    prior, shape = prior_of(d), d.z.shape[:-1]
    draw = prior.rsample if prior.has_rsample else prior.sample
    return draw(shape[:1] if prior.batch_shape else shape)  # one that sees the context has its B rows


def log_prior(d: Draw, z: Tensor, *, held: bool | None = None) -> Tensor:
    """log p(z) at z (..., D); `held` keeps p's parameters constant, by default where `from_prior` does."""
    prior = prior_of(d)
    held = not prior.has_rsample if held is None else held
    if not held:
        return prior.log_prob(z)
    # its slope by z is all the gradient there is then
    log_p, pull = torch.func.vjp(prior.log_prob, z.detach())  # type: ignore[misc]
    (slope,) = pull(torch.ones_like(log_p))
    return log_p.detach() + (slope.detach() * (z - z.detach())).sum(-1)


class MMD(Objective):
    """MMD_k^2(q(z), p(z)), unbiased (Tolstikhin et al. 2018, arXiv:1711.01558, algorithm 2; Gretton et al. 2012, eq. 3).

    1/(n(n-1)) sum_{i != j} [k(z_i, z_j) + k(z'_i, z'_j)] - 2/n^2 sum_{ij} k(z_i, z'_j), z' fresh draws of the prior.
    imq  the sum over s in {.1, .2, .5, 1, 2, 5, 10} of C/(C + |a - b|^2), C = 2 d sigma^2 s, sigma the prior's own;
    rbf  exp(-|a - b|^2 / (2 l^2)), l = `width`, or the median distance of the batch's codes and prior draws if None.
    Its mean is 0 where the laws are equal, so a batch's value may be negative. It takes codes with or without a
    density; on a curved space it compares coordinates. A batch of one row has no pair, says nothing, and counts as 0.
    """

    def __init__(self, kernel: KernelName = "imq", *, sigma: float = 1.0, width: float | None = None) -> None:
        super().__init__()
        check(1, kernel, get_args(KernelName))
        self.kernel, self.sigma = kernel, positive("sigma", sigma)
        self.width = None if width is None else positive("width", width)

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        z, prior = d.z[0], from_prior(d)[0]  # (B, D): two draws of one row would not be independent
        if len(z) < 2:
            return 0 * z.sum(), {"mmd": 0 * z.sum()}
        mmd = maths.mmd2(z, prior, self._kernel(z, prior))
        return mmd, {"mmd": mmd}

    def _kernel(self, z: Tensor, prior: Tensor) -> maths.Kernel:
        if self.kernel == "imq":
            return partial(maths.inverse_multiquadratic, base=2 * z.shape[1] * self.sigma**2)
        return partial(maths.gaussian_kernel, width=self.width or maths.median_distance(z, prior))


Weights = Literal["weighted", "stratified"]


class TotalCorrelation(Objective):
    """TC = KL(q(z) || prod_i q(z_i)), estimated in a batch of M of the N = `rows` training rows (Chen et al. 2018, eq. 4).

    Both laws are read off the batch, at z_m ~ q(z|x_m):
    weighted    log q(z_m) = log 1/(N M) sum_j q(z_m|x_j) (arXiv:1802.04942, section 3.1);
    stratified  1/N for j = m and (N-1)/(N (M-1)) for each other j: unbiased for q(z_m), their appendix C.2 averaged
                over which row takes the odd weight. A batch of one row says nothing and counts as 0.
    Both saturate. Weighted, N shifts the value by (D-1) log N and never the gradient; and where no other row of the
    batch reaches z_m, the estimate is (D-1) log(N M), with no gradient, whatever TC is. Read it as a penalty, not as
    a measurement, unless the batch is large against the number of separate codes.
    Raises UserError for a posterior that is no product over dimensions, and, stratified, for a batch of more than N rows.
    """

    def __init__(self, rows: int, weights: Weights = "weighted") -> None:
        super().__init__()
        check(1, weights, get_args(Weights))
        self.rows, self.weights = whole("rows", rows), weights

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        if not isinstance(d.q, Independent):
            raise UserError("The total correlation is estimated from a posterior that is a product over dimensions.")
        by_dimension = log_prob_by_element(d.q, d.z[0].unsqueeze(1))  # (M draws, M rows, D)
        log_weights = self._log_weights(by_dimension)
        joint = (by_dimension.sum(2) + log_weights).logsumexp(1)
        product = (by_dimension + log_weights.unsqueeze(2)).logsumexp(1).sum(1)
        total = (joint - product).mean()
        return total, {"total_correlation": total}

    def _log_weights(self, like: Tensor) -> Tensor:
        """Of row j in the law at draw m, (M, M)."""
        N, M = self.rows, like.shape[0]
        if self.weights == "weighted":
            return like.new_full((M, M), -math.log(N * M))
        if M > N:
            raise UserError(f"The batch holds {M} rows, and rows is {N}: set it to the number of training rows.")
        if M == 1:  # no other row takes the rest of the weight
            return like.new_zeros(1, 1)
        own = torch.eye(M, dtype=torch.bool, device=like.device)
        return like.new_full((M, M), math.log((N - 1) / (N * (M - 1)))).masked_fill(own, -math.log(N))


Version = Literal["i", "ii"]


class DIP(Objective):
    """sum_{i != j} C_ij^2 + w sum_i (C_ii - 1)^2, w = `diagonal` (Kumar et al. 2018, arXiv:1711.00848, eq. 6 and 7).

    i   C = Cov_x E[z|x], the covariance of the batch's posterior means;
    ii  C = Cov_x E[z|x] + E_x Cov[z|x], the covariance of q(z) itself.
    Covariances divide by the size of the batch. 0 where C = I: the moments of N(0, I). Raises UserError for a diagonal
    that is negative, for latents on a curved space, and in version ii where the posterior's covariance has no closed form.
    """

    def __init__(self, version: Version = "ii", diagonal: float = 1.0) -> None:
        super().__init__()
        check(1, version, get_args(Version))
        if finite("diagonal", diagonal) < 0:
            raise UserError(f"diagonal is {diagonal}: a weight below 0 would reward variances far from 1.")
        self.version, self.diagonal = version, diagonal

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        if not is_euclidean(d.q):
            raise UserError(
                "DIP compares covariances, and points of a curved latent space have none: take MMD instead."
            )
        apart = d.q.mean - d.q.mean.mean(0)
        covariance = apart.T @ apart / len(apart)
        if self.version == "ii":
            covariance = covariance + _covariance(d.q).mean(0)
        diagonal = covariance.diagonal()
        crossed = (covariance - torch.diag_embed(diagonal)).square().sum()
        penalty = crossed + self.diagonal * (diagonal - 1).square().sum()
        return penalty, {"dip": penalty}


def _covariance(q: Distribution) -> Tensor:
    """Cov[z|x], (B, D, D); UserError where it is not known."""
    if isinstance(q, Independent):
        return torch.diag_embed(q.variance)
    covariance = getattr(q, "covariance_matrix", None)
    if covariance is None:
        raise UserError(
            "DIP version ii needs the covariance of q(z|x), which this posterior cannot give: take version i."
        )
    return covariance
