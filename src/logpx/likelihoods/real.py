"""Likelihoods of real numbers (floor 3): Gaussian, Laplace, Student's t."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, constraints
from torch.distributions import Laplace as LaplaceLaw

from logpx.distributions import Normals
from logpx.distributions import StudentT as StudentTLaw
from logpx.errors import UserError
from logpx.networks.table import Standard

Shape = tuple[int, ...]
Sigma = float | Literal["shared", "pixel", "optimal"]


class _LocationScale(nn.Module):
    """A law of (x - m)/sigma, m the decoder's output.

    sigma: a number, fixed; "shared", one parameter learned by gradient; "pixel", emitted by the decoder for each data
    element. standard: where the data lie; m and sigma are then in units of each element's standard deviation, and the law is
    that of x as it is, of location mean + scale m and scale `scale` sigma: -sum_i log scale_i is part of log p(x|z).
    """

    support = constraints.real
    law: Callable[..., Distribution]
    all_of: Callable[..., Distribution] = Independent
    log_sigma: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Shape, sigma: Sigma = "shared", standard: Standard | None = None) -> None:
        super().__init__()
        if not isinstance(sigma, str) and not (math.isfinite(sigma) and sigma > 0):
            raise UserError(f"sigma is {sigma}: give a positive number, 'shared', 'pixel' or 'optimal'.")
        if sigma == "optimal" and not isinstance(self, Gaussian):
            raise UserError("sigma 'optimal' is known for a gaussian only: give a number, 'shared' or 'pixel'.")
        self.shape, self.sigma = shape, sigma
        self.size = 2 if sigma == "pixel" else 1
        if sigma in ("shared", "optimal"):
            self.log_sigma = nn.Parameter(torch.tensor(0.0))
        self.moves_itself = ("log_sigma",) if sigma == "optimal" else ()
        self.standard = standard
        if standard:
            for name, value in zip(("mean", "scale"), standard.tensors(shape), strict=True):
                self.register_buffer(name, value, persistent=False)

    def forward(self, h: Tensor) -> Distribution:
        m, sigma = self._mean_and_sigma(h)
        if self.standard:
            m, sigma = self.mean + self.scale * m, self.scale * sigma
        return self.all_of(self._law(m, sigma), len(self.shape), validate_args=False)

    def _law(self, m: Tensor, sigma: Tensor) -> Distribution:
        return self.law(m, sigma, validate_args=False)

    def _mean_and_sigma(self, h: Tensor) -> tuple[Tensor, Tensor]:
        if self.sigma == "pixel":
            m, log_sigma = h.unbind(-1 - len(self.shape))
            # a floor of e^-6 with a gradient
            return m, torch.exp(-6 + nn.functional.softplus(log_sigma.clamp(max=12) + 6))
        (m,) = h.unbind(-1 - len(self.shape))
        if isinstance(self.sigma, str):
            return m, self.log_sigma.clamp(-12, 12).exp()
        return m, m.new_full((), self.sigma)  # exact in every dtype

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        """Puts a learned log sigma back into [-12, 12], outside of which no gradient would ever bring it back."""
        if self.sigma in ("shared", "optimal"):
            self.log_sigma.clamp_(-12, 12)


class Gaussian(_LocationScale):
    """log p(x|z) = -1/2 sum_i [ (x_i - m_i)^2 / sigma_i^2 + log 2 pi sigma_i^2 ], m the decoder's output.

    sigma: a number, fixed; "shared", one parameter learned by gradient; "pixel", emitted by the decoder for each
    data element; "optimal", one number kept at its maximum-likelihood value sigma^2 = E (x - m)^2 (Rybkin et al.
    2021, arXiv:2006.13202, eq. 6). sigma decides how many latents survive (see `exact`); 1 on data in [0, 1] kills
    nearly all of them.
    """

    law, all_of = Normal, Normals

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        """Moves the optimal sigma one damped EM step, sigma^2 <- sigma^2 (1 - rho g / P), rho = 1/20.

        The loss's derivative by log sigma is g = P - E|x - m|^2 / sigma^2, so the mean squared error of the batch,
        which is the optimum, is sigma^2 (1 - g/P): it is read off the gradient, whatever bound was differentiated.
        """
        if self.sigma == "optimal" and self.log_sigma.grad is not None:
            P = math.prod(self.shape)
            self.log_sigma += 0.5 * torch.log1p(-(self.log_sigma.grad / P).clamp(-20, 0.999) / 20)
            self.log_sigma.grad = None
        super().after_step(terms)


class Laplace(_LocationScale):
    """log p(x|z) = -sum_i [ |x_i - m_i| / sigma + log 2 sigma ]: one outlier pulls with the force of one, however far.

    sigma is the law's scale b = E|x - m|, its standard deviation sqrt(2) sigma: a number, "shared" or "pixel" as in
    `Gaussian`.
    """

    law = LaplaceLaw


class StudentT(_LocationScale):
    """log p(x|z) = sum_i [ c(nu) - log sigma - (nu + 1)/2 log(1 + y_i^2/nu) ],  y_i = (x_i - m_i)/sigma.

    A Gaussian whose precision is drawn anew for each element; a far outlier pulls less and less. sigma is the law's scale: a
    number, "shared" or "pixel" as in `Gaussian`. freedom is nu > 1, so that the mean exists: a number, or None, one
    number learned by gradient that starts at 5 and stays within [1.01, 1000].
    """

    law = StudentTLaw

    def __init__(
        self,
        shape: Shape,
        sigma: Sigma = "shared",
        freedom: float | None = None,
        standard: Standard | None = None,
    ) -> None:
        super().__init__(shape, sigma, standard)
        if freedom is not None and not (math.isfinite(freedom) and freedom > 1):
            raise UserError(f"freedom is {freedom}: Student's t needs a number above 1, below which it has no mean.")
        self.freedom = freedom
        if freedom is None:
            self.log_excess = nn.Parameter(torch.tensor(math.log(4.0)))

    def _law(self, m: Tensor, sigma: Tensor) -> Distribution:
        nu = learned_freedom(self.log_excess) if self.freedom is None else m.new_full((), self.freedom)
        return self.law(nu, m, sigma, validate_args=False)

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        """Puts learned numbers back where they have a gradient."""
        super().after_step(terms)
        if self.freedom is None:
            self.log_excess.clamp_(*EXCESS)


#: log(nu - 1): from nu = 1.01, nearly Cauchy, to 1000, where a normal is a ten-thousandth of a nat away
EXCESS = (math.log(0.01), math.log(999.0))


def learned_freedom(log_excess: Tensor) -> Tensor:
    """nu = 1 + e^l > 1."""
    return 1 + log_excess.clamp(*EXCESS).exp()
