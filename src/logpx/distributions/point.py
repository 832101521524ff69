"""A deterministic code as a law (floor 1)."""

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]


class Point(Distribution):
    """All mass at one point z (..., D), event shape (D,): draws are z itself, and there is no density to ask for."""

    arg_constraints = {"z": constraints.real_vector}  # noqa: RUF012 - torch's own protocol
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, z: Tensor, validate_args: bool | None = False) -> None:
        self.z = z
        super().__init__(z.shape[:-1], z.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "Point":
        return Point(self.z.expand(*batch_shape, *self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.z

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.z)

    @property
    def covariance_matrix(self) -> Tensor:
        return torch.zeros_like(self.z).diag_embed()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.z.expand(*sample_shape, *self.z.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        raise UserError(
            "A deterministic code has no density, so it has no KL and no bound on log p(x): "
            "take a penalty on its draws (MMD), or a recipe with a posterior."
        )
