"""Laws over discrete codes (floor 1): all mass at one code, and a law over all grids of codes.

A grid has T tokens; each is one of K codes, and each code is a vector of D numbers. z holds the vectors of the tokens in their
order, (T * D,); which codes they are can be read off it again.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]


class _CodeVector(constraints.Constraint):
    """The vectors of some codes: no sum or mean of them need be one."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite().all(-1)


code_vector = _CodeVector()


class Quantised(Distribution):
    """q(z|x) with all its mass at the codes z (..., T * D) of one row: log q is 0 there and -inf elsewhere.

    z           its gradient goes on to what was quantised, by an estimator.
    indices     (..., T), which code each token is, of `codes` K; `stages` tokens in a row belong to one place of the grid.
    commitment  ||z_e - sg[z_q]||^2 of each row (...,), None where nothing pulls an encoder towards its codes.
    codebook    ||sg[z_e] - z_q||^2 of each row, None where codes are not learned by gradient.
    tally       a scalar 0 whose gradient tells the quantiser which vectors its codes were given; None at rest.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = code_vector
    has_rsample = True

    def __init__(
        self,
        z: Tensor,
        indices: Tensor,
        codes: int,
        *,
        stages: int = 1,
        commitment: Tensor | None = None,
        codebook: Tensor | None = None,
        tally: Tensor | None = None,
    ) -> None:
        self.z, self.indices, self.codes, self.stages = z, indices, codes, stages
        self.commitment, self.codebook, self.tally = commitment, codebook, tally
        super().__init__(z.shape[:-1], z.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "Quantised":
        z, indices = (t.expand(*batch_shape, t.shape[-1]) for t in (self.z, self.indices))
        return Quantised(z, indices, self.codes, stages=self.stages)

    @property
    def mean(self) -> Tensor:
        return self.z

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.z)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.z.expand(*sample_shape, *self.z.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        here = (value == self.z).all(-1)
        return value.new_zeros(()).where(here, -math.inf)


class OverCodes(Distribution):
    """p(z) of a grid of codes: log_p(indices (N, T)) -> (N,) in nats, and draw(N) -> indices (N, T).

    `indices` and `vectors` take z (N, T * D) to its codes and back. There is one such law for all rows.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = code_vector

    def __init__(
        self,
        dim: int,
        log_p: Callable[[Tensor], Tensor],
        draw: Callable[[int], Tensor],
        indices: Callable[[Tensor], Tensor],
        vectors: Callable[[Tensor], Tensor],
    ) -> None:
        self.log_p, self.draw, self.indices, self.vectors = log_p, draw, indices, vectors
        super().__init__(torch.Size(), torch.Size((dim,)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        flat = value.reshape(-1, *self.event_shape)
        return self.log_p(self.indices(flat)).reshape(value.shape[:-1])

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = torch.Size(sample_shape)
        return self.vectors(self.draw(shape.numel())).reshape(*shape, *self.event_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        raise UserError("Codes are discrete, so no gradient runs through a draw of them: take sample.")


def perplexity(counts: Tensor) -> Tensor:
    """exp(H) of the shares n_j / sum n along the last axis, (..., K) -> (...): K where all codes are used alike, 1 for one."""
    shares = counts / counts.sum(-1, keepdim=True)
    return torch.special.entr(shares).sum(-1).exp()


def code_counts(indices: Tensor, codes: int, stages: int = 1) -> Tensor:
    """How often each of `codes` codes of each of `stages` codebooks occurs in indices (..., T), (stages, codes)."""
    stage = torch.arange(indices.shape[-1], device=indices.device) % stages
    flat = (indices + codes * stage).flatten()
    counts = torch.zeros(stages * codes, device=indices.device).index_add(0, flat, torch.ones_like(flat).float())
    return counts.view(stages, codes)
