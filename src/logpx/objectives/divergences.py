"""Other divergences from the prior as a regulariser (floor 5): reverse KL, Jensen-Shannon, total variation, Wasserstein.

In the place of KL(q(z|x) || p(z)) none of them leaves a bound on log p(x): what is then trained is no evidence bound at
any weight. The terms of an ELBO beside them stay those at beta = 1, and importance sampling judges the model.
A learned prior gets the exact gradient of each; one that cannot be reparameterised (a mixture) is held constant and
gets none from the sampled ones (penalties.py has the rule).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from logpx import maths
from logpx.distributions import has_closed_kl, kinds
from logpx.errors import UserError
from logpx.model import Draw
from logpx.objectives.base import Objective, Terms, check, whole
from logpx.objectives.penalties import from_prior, log_prior, prior_of


def _under_the_mixture(d: Draw, g: Callable[[Tensor], Tensor]) -> Tensor:
    """E_x E g(log q(z|x) - log p(z)) over z from (p + q)/2, half the draws from each; the gradient is exact in mean."""
    z = from_prior(d)  # (K, B, D)
    at_q, at_p = d.log_q() - log_prior(d, d.z), d.q.log_prob(z) - log_prior(d, z)
    return (g(at_q).mean() + g(at_p).mean()) / 2


class JensenShannon(Objective):
    """E_x JS(q(z|x), p(z)) = E_x [KL(q || m) + KL(p || m)]/2, m = (p + q)/2; each draw's share is in [0, log 2].

    As log 2 - E_m H(q/(p + q)) it never leaves that range, which the two KLs do draw by draw. Far from the prior it is
    log 2 and its gradient vanishes. No bound on log p(x) remains.
    """

    def __init__(self, samples: int = 1) -> None:
        super().__init__()
        check(samples, "", ("",))
        self.samples = samples

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        js = _under_the_mixture(d, maths.jensen_shannon_at)
        return js, {"jensen_shannon": js}


class TotalVariation(Objective):
    """E_x TV(q(z|x), p(z)) = E_x E_m |q - p|/(q + p), m = (p + q)/2; each draw's share is in [0, 1].

    Far from the prior it is 1 and its gradient vanishes. No bound on log p(x) remains.
    """

    def __init__(self, samples: int = 1) -> None:
        super().__init__()
        check(samples, "", ("",))
        self.samples = samples

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        tv = _under_the_mixture(d, maths.total_variation_at)
        return tv, {"total_variation": tv}


class ReverseKL(Objective):
    """E_x KL(p(z) || q(z|x)), which makes q cover the prior: closed form, or log p - log q at prior draws.

    No bound on log p(x) remains.
    """

    def __init__(self, samples: int = 1) -> None:
        super().__init__()
        check(samples, "", ("",))
        self.samples = samples
        self._closed = False  # whether there is a closed form, for laws of these types:
        self._asked_of: tuple[type, ...] = ()

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        prior = prior_of(d)
        if self._is_closed(prior, d.q):
            kl = kl_divergence(prior, d.q).mean()
        else:
            z = from_prior(d)
            kl = (log_prior(d, z) - d.q.log_prob(z)).mean()
        return kl, {"reverse_kl": kl}

    def _is_closed(self, prior: Distribution, q: Distribution) -> bool:
        # asked once for laws of these types, as the model does: torch's dispatch cannot be traced on its first call
        if self._asked_of != (types := kinds(prior, q)):
            self._closed, self._asked_of = has_closed_kl(prior, q), types
        return self._closed


class SlicedWasserstein(Objective):
    """SW_2^2(q(z), p(z)) of the aggregated posterior (Kolouri et al. 2019, arXiv:1804.01947, eq. 9); order=1 gives SW_1.

    The batch's codes and as many prior draws are projected on `directions` random unit vectors, new ones each step, and
    paired in sorted order. A batch of n says that equal laws are apart by O(1/n), in one dimension; it is not unbiased.
    It takes codes with or without a density, and compares coordinates on a curved space. No bound on log p(x) remains.
    """

    def __init__(self, directions: int = 50, order: Literal[1, 2] = 2) -> None:
        super().__init__()
        if order not in (1, 2):
            raise UserError(f"order is {order}: give 1 or 2.")
        self.directions, self.order = whole("directions", directions), order

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        z, prior = d.z[0], from_prior(d)[0]
        u = torch.randn(self.directions, z.shape[1], dtype=z.dtype, device=z.device)
        distance = maths.sliced_wasserstein(z, prior, u, self.order)
        return distance, {"sliced_wasserstein": distance}


class Wasserstein2(Objective):
    """E_x W_2^2(q(z|x), p(z)) in closed form; for factorised normal laws |mu - m|^2 + |sigma - s|^2.

    Its gradient does not vanish far away. No bound on log p(x) remains. Raises UserError for laws that are not normal.
    """

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        prior = prior_of(d)
        if _is_factorised(d.q) and _is_factorised(prior):
            distance = maths.wasserstein2_diagonal(d.q.mean, d.q.stddev, prior.mean, prior.stddev).mean()
        else:
            distance = maths.wasserstein2_normal(d.q.mean, _root(d.q), prior.mean, _root(prior)).mean()
        return distance, {"wasserstein2": distance}


def _is_factorised(law: Distribution) -> bool:
    return isinstance(law, Independent) and isinstance(law.base_dist, Normal)


def _root(law: Distribution) -> Tensor:
    """A root of a normal law's covariance, (..., D, D)."""
    if isinstance(law, MultivariateNormal):
        return law.scale_tril
    if not _is_factorised(law):
        raise UserError(
            "The Wasserstein distance has its closed form between normal laws only: take sliced_wasserstein."
        )
    return torch.diag_embed(law.stddev)
