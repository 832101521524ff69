"""The law of x whose elements follow one another (floor 1)."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from logpx.distributions.laws import log_prob_by_element
from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]
AT_ONCE = 256  # rows drawn at a time: the caches of a network stay in the memory that is near


class Autoregressive(Distribution):
    """log p(x) = sum_i log p(x_i | x_1, ..., x_{i-1}, f), in one pass of a masked network for a given x.

    features     f (*batch, F, *event), what the law is given; F may be 0.
    event_shape  of x.
    given        maps x (N, *event), f (K N, F, *event) and the batch shape of these K N laws to one law of that batch, a
                 product over elements: of each x_i given those before it. Row n of x goes with rows n, N + n, ... of f.
    generate     maps f to x (N, *event), one element after the other.

    It has no mean in closed form: `mean` raises UserError.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol

    def __init__(
        self,
        features: Tensor,
        event_shape: Shape,
        given: Callable[[Tensor, Tensor, torch.Size], Distribution],
        generate: Callable[[Tensor], Tensor],
        support: constraints.Constraint = constraints.real,
    ) -> None:
        self.features, self._given, self._generate, self._support = features, given, generate, support
        n = len(event_shape)
        super().__init__(features.shape[: features.ndim - n - 1], torch.Size(event_shape), validate_args=False)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return constraints.independent(self._support, len(self.event_shape))

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "Autoregressive":
        features = self._spread(torch.Size(batch_shape))
        return Autoregressive(features, self.event_shape, self._given, self._generate, self._support)

    @property
    def mean(self) -> Tensor:
        raise UserError(
            "An autoregressive law has no mean in closed form: draw from it, or ask given(x).mean, the mean of each "
            "element given those before it."
        )

    def given(self, value: Tensor) -> Distribution:
        """The laws p(x_i | x_{<i}) along x (..., *event), as one law."""
        n = len(self.event_shape)
        own = value.shape[: value.ndim - n]
        lead = torch.broadcast_shapes(own, self.batch_shape)
        if lead[len(lead) - len(own) :] != own:  # the same row of x stands at places that do not repeat in turn
            value, own = value.expand(*lead, *self.event_shape), lead
        return self._given(value.reshape(prod(own), *self.event_shape), self._flat(lead), lead)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.given(value).log_prob(value)

    def log_conditionals(self, value: Tensor) -> Tensor:
        """log p(x_i | x_{<i}) of each element, (..., *event); their sum is log p(x)."""
        return log_prob_by_element(self.given(value), value)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        lead = torch.Size(sample_shape) + self.batch_shape
        pieces = self._flat(lead).split(AT_ONCE)
        return torch.cat([self._generate(f) for f in pieces]).reshape(*lead, *self.event_shape)

    def _spread(self, lead: torch.Size) -> Tensor:
        """The features, (*lead, F, *event)."""
        return self.features.expand(*lead, *self.features.shape[len(self.batch_shape) :])

    def _flat(self, lead: torch.Size) -> Tensor:
        spread = self._spread(lead)
        return spread.reshape(prod(lead), *spread.shape[len(lead) :])
