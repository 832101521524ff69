"""Likelihoods of codes and pixel levels 0 .. L-1 (floor 3): a categorical law, and a mixture of discretised logistics."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from logpx.distributions import CategoricalLogits, LogisticMixture
from logpx.errors import UserError

Shape = tuple[int, ...]


class _Levels(nn.Module):
    """Data elements that are one of L levels."""

    support: constraints.Constraint = constraints.nonnegative_integer  # of the class; one with L says up to where

    def __init__(self, shape: Shape, levels: int) -> None:
        super().__init__()
        if levels < 1:
            raise UserError(f"levels is {levels}: a law on levels needs at least one.")
        self.shape, self.levels = shape, levels
        self.support = constraints.integer_interval(0, levels - 1)

    def _last(self, h: Tensor, sizes: Shape) -> Tensor:
        """h (..., size, *shape) -> (..., *shape, *sizes), each element's numbers last."""
        n = len(self.shape)
        h = h.movedim(-1 - n, -1)
        return h.unflatten(-1, sizes)


class Categorical(_Levels):
    """log p(x|z) = sum_i log softmax(a_i)_{x_i} for codes x_i in 0 .. L-1, a_i (L) the decoder's logits.

    Nothing is shared between levels: right for categories, costly for 256 pixel levels. `mean` is the most probable code.
    """

    def __init__(self, shape: Shape, levels: int) -> None:
        super().__init__(shape, levels)
        self.size = levels

    def forward(self, h: Tensor) -> Distribution:
        law = CategoricalLogits(self._last(h, (self.levels,)))
        return Independent(law, len(self.shape), validate_args=False)


class DiscretisedLogistic(_Levels):
    """log p(x|z) = sum_i log sum_j w_ij [F((x_i + 1/2 - m_ij)/s_ij) - F((x_i - 1/2 - m_ij)/s_ij)], F the logistic function.

    Pixel levels 0 .. L-1, of which the first and the last take the tails (Salimans et al. 2017, arXiv:1701.05517, eq. 2;
    colours here are independent given z, as all elements are). The decoder emits for each element `components` = M
    logits of weights, means and log scales: an output of 0 is M equal weights, means spread evenly over the levels and
    scales that cover them; a step of 1 in a mean is the whole range. s >= 1/20 level.
    """

    def __init__(self, shape: Shape, levels: int, components: int = 5) -> None:
        super().__init__(shape, levels)
        if components < 1:
            raise UserError(f"components is {components}: a mixture needs at least one.")
        self.components, self.size = components, 3 * components

    def forward(self, h: Tensor) -> Distribution:
        weights, m, log_s = self._last(h, (3, self.components)).unbind(-2)
        top, M = max(self.levels - 1, 1), self.components
        centres = (torch.arange(M, dtype=h.dtype, device=h.device) + 0.5) / M
        start, floor = math.log(top / (4 * M)), math.log(1 / 20)
        # s = 1/20 + an excess with a gradient everywhere, and at an output of 0 the start above that floor
        log_s = floor + nn.functional.softplus(log_s.clamp(max=12) + start - floor)
        law = LogisticMixture(weights, top * (centres + m), log_s, self.levels)
        return Independent(law, len(self.shape), validate_args=False)
