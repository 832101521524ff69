"""The family of a plain autoencoder (floor 3)."""

from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions import Point


class Deterministic(nn.Module):
    """z = f(x): the encoder's numbers are the code itself, a law without a density."""

    has_density = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = self.size = dim

    def forward(self, params: Tensor) -> Distribution:
        return Point(params)
