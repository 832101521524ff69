"""Bounds on log p(x) (floor 5): the ELBO and its tighter relatives."""

from typing import Literal, get_args

from torch import Tensor

from logpx.distributions import is_density
from logpx.maths import log_mean_exp
from logpx.model import VAE, Draw
from logpx.objectives.base import Objective, Scalar, Terms, Weight, bound_terms, check, surrogate


class ELBO(Objective):
    """-(E_q log p(x|z) - beta KL(q(z|x) || p(z))) (Kingma & Welling 2014, eq. 3; beta: Higgins et al. 2017, eq. 4).

    beta is a number or a schedule in steps. The KL is its closed form where there is one, else log q - log p at the
    draws; kl="one sample" takes the latter always: near the exact posterior it has the smaller variance.
    """

    def __init__(
        self,
        beta: Scalar = 1.0,
        *,
        samples: int = 1,
        kl: Literal["closed form", "one sample"] = "closed form",
    ) -> None:
        super().__init__()
        check(samples, kl, ("closed form", "one sample"))
        self.beta, self.samples, self.kl = Weight(beta), samples, kl

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        reconstruction, kl = -d.log_px().mean(), d.kl(sampled=self.kl == "one sample").mean()
        return reconstruction + self.beta() * kl, bound_terms(reconstruction, kl, density=is_density(d.px))

    def how_kl(self, model: VAE) -> str:
        return self.kl if self.kl == "one sample" else model.how_kl()


Gradient = Literal["plain", "stl", "dreg"]


class IWAE(Objective):
    """-log 1/K sum_k w_k,  w_k = p(x, z_k) / q(z_k | x)  (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 8).

    The value is the bound whatever the gradient:
    plain  that of the bound;
    stl    without the score of q (Roeder et al. 2017, arXiv:1703.09194): unbiased for K = 1 only;
    dreg   doubly reparameterised (Tucker et al. 2019, arXiv:1810.04152, eq. 8): the encoder sees
           sum_k w~_k^2 (d log w_k/d z_k)(d z_k/d phi) with w~ = softmax(log w), unbiased for every K.
    """

    def __init__(self, samples: int = 50, gradient: Gradient = "dreg") -> None:
        super().__init__()
        check(samples, gradient, get_args(Gradient))
        self.samples, self.gradient = samples, gradient
        self.shares_draw = gradient != "dreg"

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        log_px = d.log_px()
        log_w = log_px + d.log_pz() - d.log_q(fixed=self.gradient != "plain")  # (K, B)
        bound = log_mean_exp(log_w)
        terms = {f"L_{len(log_w)}": bound} | bound_terms(-log_px.mean(), d.kl().mean(), density=is_density(d.px))
        if self.gradient != "dreg" or not d.z.requires_grad:
            return -bound.mean(), terms
        w = log_w.detach().softmax(0)
        d.z.register_hook(lambda gradient: gradient * w.unsqueeze(-1))  # the second factor w~, on the encoder's path
        return surrogate(-(w * log_w).sum(0).mean(), value=-bound.mean()), terms

    def how_kl(self, model: VAE) -> str:
        return "the weights log q - log p at each draw"
