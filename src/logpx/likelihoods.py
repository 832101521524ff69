"""Likelihoods p(x | z) (floor 3): modules that turn the decoder's output h into a law over x.

A likelihood declares `size`, how many numbers it needs per data element, and `support`, where x may lie. Its call maps
h (..., size, *shape) to a distribution with event shape `shape`, in nats summed over the data's dimensions.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, constraints

from logpx.distributions import BernoulliLogits, ContinuousBernoulli, GreyScore
from logpx.errors import UserError

Shape = tuple[int, ...]


class _Pixelwise(nn.Module):
    """One law for each data element from one logit: two of the subclasses are densities, the third is a score."""

    size = 1
    law: Callable[..., Distribution]

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, h: Tensor) -> Distribution:
        (logits,) = h.unbind(-1 - len(self.shape))
        return Independent(self.law(logits, validate_args=False), len(self.shape), validate_args=False)


class Bernoulli(_Pixelwise):
    """log p(x|z) = sum_i x_i a_i - softplus(a_i) for x in {0, 1}, a the decoder's logits."""

    law, support = BernoulliLogits, constraints.boolean


class Grey(_Pixelwise):
    """The Bernoulli formula read at grey pixels x in [0, 1]: minus the summed cross-entropy, a score and no density."""

    law, support = GreyScore, constraints.unit_interval


class ContinuousBernoulliPixels(_Pixelwise):
    """log p(x|z) = sum_i x_i a_i - softplus(a_i) + log C(a_i) for x in [0, 1] (Loaiza-Ganem & Cunningham 2019)."""

    law, support = ContinuousBernoulli, constraints.unit_interval


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
    def after_step(self) -> None:
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


#: every likelihood by the name that recipes take, in the order in which they are offered
LIKELIHOODS: dict[str, type[nn.Module]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulliPixels,
    "gaussian": Gaussian,
    "grey": Grey,
}
Name = Literal["auto", "bernoulli", "continuous_bernoulli", "gaussian", "grey"]
DEFAULT = {"binary": "bernoulli", "grey": "continuous_bernoulli", "real": "gaussian"}


def for_kind(kind: str) -> str:
    """The likelihood that "auto" means for a kind of data; raises UserError for a kind that none here fits."""
    if kind not in DEFAULT:
        raise UserError(
            f"No likelihood here is made for {kind} data: read them as real (--kind real), or read pixels with the "
            "protocol grey, dynamic or threshold."
        )
    return DEFAULT[kind]


def that_accept(x: Tensor) -> list[str]:
    """Names of the likelihoods whose support holds every value of x."""
    return [name for name, law in LIKELIHOODS.items() if bool(law.support.check(x).all())]  # type: ignore[attr-defined]


def check_support(likelihood: nn.Module, x: Tensor, first_row: int = 0) -> None:
    """Raises UserError naming the first value of x (N, *shape) outside the support and the likelihoods that fit."""
    support = getattr(likelihood, "support", constraints.real)
    inside = support.check(x)
    if bool(inside.all()):
        return
    first = (~inside).flatten().nonzero()[0].item()
    row = int(first) // max(math.prod(x.shape[1:]), 1)
    name = next((n for n, law in LIKELIHOODS.items() if type(likelihood) is law), type(likelihood).__name__)
    raise UserError(
        f"Row {first_row + row} holds the value {x.flatten()[int(first)].item():.6g}, which the likelihood {name!r} gives no "
        f"probability; likelihoods that fit these data: {', '.join(that_accept(x)) or 'none'}."
    )
