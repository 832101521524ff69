"""Normal laws of many elements (floor 1)."""

import math

from torch import Tensor
from torch.distributions import Independent


class Normals(Independent):
    """N(x_i; m_i, sigma^2) of all elements of x: torch's Independent, its sum in one go where one sigma serves them all.

    log p(x) = -|x - m|^2 / (2 sigma^2) - P (log sigma + 1/2 log 2 pi). torch takes log sigma anew for each element.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        m, scale = self.base_dist.loc, self.base_dist.scale
        if any(scale.stride()):  # not one number seen in all places
            return super().log_prob(value)
        sigma = scale[(0,) * scale.ndim]
        squares = (value - m).square().flatten(-self.reinterpreted_batch_ndims).sum(-1)
        return -0.5 * squares / sigma.square() - math.prod(self.event_shape) * (
            sigma.log() + 0.5 * math.log(2 * math.pi)
        )
