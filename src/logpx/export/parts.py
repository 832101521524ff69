"""What is exported of a model (floor 7): plain modules from tensors to tensors, at rest and in float32."""

import copy
from typing import TypeVar

from torch import Tensor, nn

from logpx.errors import UserError
from logpx.model import VAE

Part = TypeVar("Part", bound=nn.Module)


class Decoder(nn.Module):
    """z (B, D), and for a conditional model its context (B, C), to E[x|z] (B, *shape), in the units that the model sees.

    z is the point as the model's own decoder receives it: on a curved space, the point's coordinates. For categories "the
    mean" is the most probable code. The model given is left as it is: weights are copied, in float32 and on the CPU.

    Raises UserError for a model that knows no E[x|z], such as an autoregressive one.
    """

    def __init__(self, model: VAE) -> None:
        super().__init__()
        if not model.has_mean:
            raise UserError(NO_MEAN)
        self.decoder, self.likelihood = copied(model.decoder), copied(model.likelihood)
        self.eval()

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.decoder(z) if context is None else self.decoder(z, context)
        return self.likelihood(h).mean


NO_MEAN = (
    "This model knows no E[x|z], whose draws depend on one another, so it has no decoder to export: export its scorer."
)


def copied(part: Part) -> Part:
    """A copy in float32, on the CPU, in evaluation mode and without gradients."""
    return copy.deepcopy(part).float().cpu().eval().requires_grad_(False)
