"""The prior of orbits through a few rows (floor 3)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions import Orbits as OrbitsLaw
from logpx.distributions import Transported
from logpx.errors import UserError
from logpx.networks import Operators


class Orbits(nn.Module):
    """p(z) = 1/N sum_i p(z|a_i): z = T(c) a_i + s n, c_m ~ Laplace(0, 1/rate), a_i = f(x_i) (Connor et al. 2021).

    x_i are N rows, the same for every z and whatever their class (`anchors`, zeros until they are written in), f the encoder
    as it stands: `encoder` is shared, not owned, so its weights are kept once, and it gets a gradient from here too. Its
    density has no closed form. Raises UserError for no anchor, and for a rate or a noise that is not positive.
    """

    has_density = False
    anchors: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        operators: Operators,
        shape: tuple[int, ...],
        anchors: int,
        *,
        rate: float,
        noise: float,
    ) -> None:
        super().__init__()
        if anchors < 1:
            raise UserError(f"There are {anchors} anchors: the orbits of p(z) go through one or more.")
        if not (rate > 0 and noise > 0):
            raise UserError(f"rate is {rate} and noise {noise}: give positive numbers.")
        self._encoder = (encoder,)  # in a tuple, where nn.Module does not look for parts of its own
        self.operators, self.rate, self.noise = operators, rate, noise
        self.dim = operators.psi.shape[-1]
        self.register_buffer("anchors", torch.zeros(anchors, *shape))

    @property
    def points(self) -> Tensor:
        """a_i, (N, D)."""
        (encoder,) = self._encoder
        return encoder(self.anchors)

    def forward(self, context: Tensor | None = None) -> Distribution:
        return OrbitsLaw(Transported(self.points, self.operators(), self.rate, self.noise))
