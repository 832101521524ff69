"""Likelihoods of real numbers (floor 3)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, constraints

from logpx.errors import UserError

Shape = tuple[int, ...]


class Gaussian(nn.Module):
    """log p(x|z) = -1/2 sum_i [ (x_i - m_i)^2 / sigma_i^2 + log 2 pi sigma_i^2 ], m the decoder's output.

    sigma: a number, fixed; "shared", one parameter learned by gradient; "pixel", emitted by the decoder for each
    data element; "optimal", one number kept at its maximum-likelihood value sigma^2 = E (x - m)^2 (Rybkin et al.
    2021, arXiv:2006.13202, eq. 6). sigma decides how many latents survive (see `exact`); 1 on data in [0, 1] kills
    nearly all of them.
    """

    support = constraints.real
    log_sigma: Tensor

    def __init__(self, shape: Shape, sigma: float | Literal["shared", "pixel", "optimal"] = "shared") -> None:
        super().__init__()
        if not isinstance(sigma, str) and not (math.isfinite(sigma) and sigma > 0):
            raise UserError(f"sigma is {sigma}: give a positive number, 'shared', 'pixel' or 'optimal'.")
        self.shape, self.sigma = shape, sigma
        self.size = 2 if sigma == "pixel" else 1
        if sigma in ("shared", "optimal"):
            self.log_sigma = nn.Parameter(torch.tensor(0.0))
            self.log_sigma.moves_itself = sigma == "optimal"  # type: ignore[attr-defined]

    def forward(self, h: Tensor) -> Distribution:
        m, sigma = self._mean_and_sigma(h)
        return Independent(Normal(m, sigma, validate_args=False), len(self.shape), validate_args=False)

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
        """Moves the optimal sigma one damped EM step, sigma^2 <- sigma^2 (1 - rho g / P), rho = 1/20.

        The loss's derivative by log sigma is g = P - E|x - m|^2 / sigma^2, so the mean squared error of the batch,
        which is the optimum, is sigma^2 (1 - g/P): it is read off the gradient, whatever bound was differentiated.
        A learned log sigma is put back into [-12, 12], outside of which no gradient would ever bring it back.
        """
        if self.sigma == "optimal" and self.log_sigma.grad is not None:
            P = math.prod(self.shape)
            self.log_sigma += 0.5 * torch.log1p(-(self.log_sigma.grad / P).clamp(-20, 0.999) / 20)
            self.log_sigma.grad = None
        if self.sigma in ("shared", "optimal"):
            self.log_sigma.clamp_(-12, 12)
