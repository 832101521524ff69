"""The law of a row whose columns have laws of different kinds (floor 1)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

Shape = torch.Size | list[int] | tuple[int, ...]


class Columns(Distribution):
    """log p(x) = sum_j log p_j(x_j) for x (..., P), event shape (P,): densities of real, probabilities of other columns.

    laws    one for each kind of column, with batch shape (..., n): its columns, independent of one another.
    places  for each of them which columns these are, (n,); together 0 .. P-1.

    `mean` has the means of the columns, and for categories the most probable code.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol

    def __init__(self, laws: Sequence[Distribution], places: Sequence[Tensor]) -> None:
        self.laws, self.places = tuple(laws), tuple(places)
        P = sum(len(place) for place in places)
        super().__init__(laws[0].batch_shape[:-1], torch.Size([P]), validate_args=False)

    @constraints.dependent_property(event_dim=1)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, 1)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "Columns":
        laws = [law.expand((*batch_shape, law.batch_shape[-1])) for law in self.laws]
        return Columns(laws, self.places)

    @property
    def mean(self) -> Tensor:
        return self._in_order(lambda law, place: law.mean)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        return self._in_order(lambda law, place: law.sample(sample_shape))

    def log_prob_by_element(self, value: Tensor) -> Tensor:
        """log p_j(x_j), (..., P)."""
        return self._in_order(lambda law, place: law.log_prob(value.index_select(-1, place)))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_prob_by_element(value).sum(-1)

    def _in_order(self, of: Callable[[Distribution, Tensor], Tensor]) -> Tensor:
        """What `of` gives for each kind of column, put back in the order of the columns."""
        parts = torch.cat([of(law, place) for law, place in zip(self.laws, self.places, strict=True)], -1)
        return parts.index_select(-1, torch.cat(self.places).argsort())
