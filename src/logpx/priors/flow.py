"""A prior that is a normalising flow (floor 3)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from logpx.distributions import Flow as FlowLaw
from logpx.networks.flow import Autoregressive


class Flow(nn.Module):
    """p(z) = N(u; 0, I) |du/dz|, u a masked autoregressive function of z (Papamakarios et al. 2017, arXiv:1705.07057).

    log p(z) is one pass and a draw takes D. Before the layers z is standardised by `centre` and `scale`, which are 0 and
    1 unless a fit says where the codes lie. Needs zuko.
    """

    zeros: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, dim: int, *, layers: int = 3, hidden: tuple[int, ...] = (64, 64)) -> None:
        super().__init__()
        self.dim = dim
        self.layers = Autoregressive(dim, layers, hidden)
        self.register_buffer("zeros", torch.zeros(dim), persistent=False)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def forward(self, context: Tensor | None = None) -> Distribution:
        base = Independent(Normal(self.zeros, torch.ones_like(self.zeros), validate_args=False), 1, validate_args=False)
        return FlowLaw(base, self._to_base, self._from_base, "density")

    def _to_base(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u, log_det = self.layers((z - self.centre) / self.scale)
        return u, log_det - self.scale.log().sum()

    def _from_base(self, u: Tensor) -> Tensor:
        return self.centre + self.scale * self.layers(u, back=True)[0]
