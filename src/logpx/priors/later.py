"""A prior that is fitted after training (floor 3)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from logpx.errors import UserError


class Later(nn.Module):
    """p(z) from the moment a fit to the codes has filled it; before, a law that refuses in one sentence.

    Its weights are no part of the training. Whether it is fitted is kept with them, as a plain bool here, because a
    captured graph cannot branch on a tensor.
    """

    def __init__(self, prior: nn.Module) -> None:
        super().__init__()
        self.prior, self.fitted = prior.requires_grad_(False), False

    def forward(self, context: Tensor | None = None) -> Distribution:
        return self.prior(context) if self.fitted else _NotYet()

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.fitted)

    def set_extra_state(self, state: Tensor) -> None:
        self.fitted = bool(state)


class _NotYet(Distribution):
    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = constraints.real_vector

    def __init__(self) -> None:
        super().__init__(validate_args=False)

    def rsample(self, sample_shape: object = ()) -> Tensor:
        raise UserError("The density of the codes is fitted when the training ends: finish the run first.")

    sample = log_prob = rsample  # type: ignore[assignment]
