"""Bounds on log p(x) (floor 5): the ELBO and its tighter relatives."""

import math
from typing import Literal, get_args

from torch import Tensor

from logpx.distributions import is_density, kl_by_dimension
from logpx.errors import UserError
from logpx.maths import log_mean_exp, log_power_mean
from logpx.model import VAE, Draw
from logpx.objectives.base import Objective, Scalar, Terms, Weight, bound_terms, check, finite, surrogate, whole


class ELBO(Objective):
    """-(E_q log p(x|z) - beta KL(q(z|x) || p(z))) (Kingma & Welling 2014, eq. 3; beta: Higgins et al. 2017, eq. 4).

    beta       a number or a schedule in steps.
    kl         "closed form" where there is one, else log q - log p at the draws; "one sample" takes the latter always:
               near the exact posterior it has the smaller variance.
    free_bits  lambda, nats that each latent dimension has for free: sum_i max(E_x KL_i, lambda) in place of the KL
               (Kingma et al. 2016, arXiv:1606.04934, appendix C.8), E_x over the batch. The terms keep the true KL.
    Raises UserError for free bits where q or p(z) is no product over dimensions.
    """

    def __init__(
        self,
        beta: Scalar = 1.0,
        *,
        samples: int = 1,
        kl: Literal["closed form", "one sample"] = "closed form",
        free_bits: float = 0.0,
    ) -> None:
        super().__init__()
        check(samples, kl, ("closed form", "one sample"))
        if not 0 <= free_bits < math.inf:
            raise UserError(f"free_bits is {free_bits}: give 0 or more nats per latent dimension.")
        if free_bits and kl == "one sample":
            raise UserError("Free bits compare the closed KL of each dimension: take kl='closed form' with them.")
        self.beta, self.samples, self.kl, self.free_bits = Weight(beta, "beta"), samples, kl, free_bits

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        reconstruction, kl = -d.log_px().mean(), d.kl(sampled=self.kl == "one sample").mean()
        rate = floored_kl(d, self.free_bits) if self.free_bits else kl
        return reconstruction + self.beta() * rate, bound_terms(reconstruction, kl, density=is_density(d.px))

    def how_kl(self, model: VAE) -> str:
        return self.kl if self.kl == "one sample" else model.how_kl()


def floored_kl(d: Draw, floor: float) -> Tensor:
    """sum_i max(E_x KL_i, floor), a scalar: no gradient comes from a dimension that uses less than its free nats."""
    by_dimension = kl_by_dimension(d.q, d.prior) if d.closed_kl else None
    if by_dimension is None:
        raise UserError(
            "Free bits are a floor under the KL of each latent dimension, and this posterior or prior is no product "
            "over dimensions with a closed KL: leave free_bits at 0, or take a diagonal normal with a standard prior."
        )
    return by_dimension.mean(0).clamp_min(floor).sum()


Gradient = Literal["plain", "stl", "dreg"]


class IWAE(Objective):
    """-log 1/K sum_k w_k,  w_k = p(x, z_k) / q(z_k | x)  (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 8).

    groups M > 1: the mean of M such bounds, K draws each, M K in all (MIWAE; Rainforth et al. 2018,
    arXiv:1802.04537). CIWAE is a sum: beta ELBO(samples=K) + (1 - beta) IWAE(K, "plain").
    The value is the bound whatever the gradient:
    plain  that of the bound;
    stl    without the score of q (Roeder et al. 2017, arXiv:1703.09194): unbiased for K = 1 only;
    dreg   doubly reparameterised (Tucker et al. 2019, arXiv:1810.04152, eq. 8): the encoder sees
           sum_k w~_k^2 (d log w_k/d z_k)(d z_k/d phi) with w~ = softmax(log w), unbiased for every K.
    """

    def __init__(self, samples: int = 50, gradient: Gradient = "dreg", *, groups: int = 1) -> None:
        super().__init__()
        check(samples, gradient, get_args(Gradient))
        self.samples, self.gradient, self.groups = samples * whole("groups", groups), gradient, groups
        self.shares_draw = gradient != "dreg"

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        log_px, log_pz, log_q = d.log_px(), d.log_pz(), d.log_q(fixed=self.gradient != "plain")
        log_w = (log_px + log_pz - log_q).unflatten(0, (self.groups, -1))  # (M, K, B)
        bound = log_mean_exp(log_w, 1).mean(0)
        kl = d.kl() if d.closed_kl else log_q - log_pz
        terms = {f"L_{log_w.shape[1]}": bound} | bound_terms(-log_px.mean(), kl.mean(), density=is_density(d.px))
        if self.gradient != "dreg" or not d.z.requires_grad:
            return -bound.mean(), terms
        w = log_w.detach().softmax(1)
        each = w.flatten(0, 1).unsqueeze(-1)
        d.z.register_hook(lambda gradient: gradient * each)  # the second factor w~, on the encoder's path
        return surrogate(-(w * log_w).sum(1).mean(), value=-bound.mean()), terms

    def how_kl(self, model: VAE) -> str:
        return "the weights log q - log p at each draw"


class Renyi(Objective):
    """-1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)  (Li & Turner 2016, arXiv:1602.02311), plain gradient.

    The variational Renyi bound falls as alpha rises: alpha = 0 is the IWAE, alpha -> 1 the mean of log w_k, the sampled
    ELBO. Its expectation bounds log p(x) from below for 0 <= alpha <= 1; for a negative alpha it may lie on either side.
    Raises UserError for an alpha that is not finite.
    """

    def __init__(self, alpha: float = 0.5, samples: int = 5) -> None:
        super().__init__()
        check(samples)
        self.alpha, self.samples = finite("alpha", alpha), samples

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        log_px, log_pz, log_q = d.log_px(), d.log_pz(), d.log_q()
        bound = log_power_mean(log_px + log_pz - log_q, 1 - self.alpha)
        kl = d.kl() if d.closed_kl else log_q - log_pz
        return -bound.mean(), {"renyi": bound} | bound_terms(-log_px.mean(), kl.mean(), density=is_density(d.px))

    def how_kl(self, model: VAE) -> str:
        return "the weights log q - log p at each draw"
