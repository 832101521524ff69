"""Likelihoods of counts 0, 1, 2, ... from the logarithm of their mean (floor 3)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from logpx import distributions

Shape = tuple[int, ...]


class _Counts(nn.Module):
    """Counts whose mean is e^a, a the decoder's output: a mean of one where it is 0."""

    size = 1
    support = constraints.nonnegative_integer

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, h: Tensor) -> Distribution:
        (a,) = h.unbind(-1 - len(self.shape))
        return Independent(self._law(a.clamp(max=80)), len(self.shape), validate_args=False)  # e^80 is a float32

    def _law(self, a: Tensor) -> Distribution:
        raise NotImplementedError


class Poisson(_Counts):
    """log p(x|z) = sum_i x_i a_i - e^{a_i} - log x_i!; the variance given z is the mean e^{a_i}."""

    def _law(self, a: Tensor) -> Distribution:
        return distributions.PoissonLogMean(a)


class NegativeBinomial(_Counts):
    """log p(x|z) = sum_i log [G(x_i + r_i)/(G(r_i) x_i!)] + r_i log r_i/(r_i + mu_i) + x_i log mu_i/(r_i + mu_i), mu = e^a.

    The variance given z is mu + mu^2/r: counts vary more than a Poisson law allows as a rule, and r -> infinity is that
    law. r, one number for each data element, is learned by gradient from 1 and stays within e^-10 .. e^14.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.log_r = nn.Parameter(torch.zeros(shape))

    def _law(self, a: Tensor) -> Distribution:
        return distributions.NegativeBinomial(a, self.log_r.clamp(-10, 14))

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        """Puts a learned log r back into its interval, outside of which no gradient would ever bring it back."""
        self.log_r.clamp_(-10, 14)
