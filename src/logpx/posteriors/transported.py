"""The family of codes that are carried along learned orbits (floor 3)."""

from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions import Transported as TransportedLaw
from logpx.errors import UserError
from logpx.networks import Operators


class Transported(nn.Module):
    """q(z|x): z = T(c) f(x) + s n, c_m ~ Laplace(0, 1/rate), f(x) the encoder's numbers (Connor et al. 2021).

    Its density has no closed form. Raises UserError for a rate or a noise that is not positive.
    """

    has_density = False

    def __init__(self, operators: Operators, *, rate: float, noise: float) -> None:
        super().__init__()
        if not (rate > 0 and noise > 0):
            raise UserError(f"rate is {rate} and noise {noise}: give positive numbers.")
        self.operators, self.rate, self.noise = operators, rate, noise
        self.dim = self.size = operators.psi.shape[-1]

    def forward(self, params: Tensor) -> Distribution:
        return TransportedLaw(params, self.operators(), self.rate, self.noise)
