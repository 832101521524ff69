"""Independent laws on the parts of one vector (floor 1)."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, kl_divergence, register_kl

from logpx.distributions.laws import is_density, is_euclidean, on_manifold
from logpx.distributions.wrapped import WrappedNormal
from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]


class ProductOf(Distribution):
    """log p(z) = sum_i log p_i(z_i), z = (z_1, ..., z_m) end to end, each part's event being a vector (d_i,).

    Event shape (d_1 + ... + d_m,); batch shapes broadcast. Entropy and KL are the sums over parts, where every part has
    one. The latent of a mixed-curvature VAE (Skopek et al. 2020, arXiv:1911.08411) is one.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol

    def __init__(self, parts: Sequence[Distribution]) -> None:
        if not parts or any(len(part.event_shape) != 1 for part in parts):
            raise UserError("A product needs at least one law, and each a law of vectors: wrap it in Independent.")
        batch = torch.broadcast_shapes(*(part.batch_shape for part in parts))
        self.parts = tuple(part if part.batch_shape == batch else part.expand(batch) for part in parts)
        self.dims = tuple(part.event_shape[0] for part in parts)
        super().__init__(batch, torch.Size([sum(self.dims)]), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return all(part.has_rsample for part in self.parts)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real_vector if all(is_euclidean(part) for part in self.parts) else on_manifold

    @property
    def is_density(self) -> bool:
        return all(is_density(part) for part in self.parts)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "ProductOf":
        return ProductOf([part.expand(torch.Size(batch_shape)) for part in self.parts])

    def split(self, value: Tensor) -> tuple[Tensor, ...]:
        """The parts z_i (..., d_i) of z (..., D)."""
        return value.split(self.dims, -1)

    @property
    def mean(self) -> Tensor:
        return torch.cat([part.mean for part in self.parts], -1)

    @property
    def variance(self) -> Tensor:
        return torch.cat([part.variance for part in self.parts], -1)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        return torch.cat([part.sample(torch.Size(sample_shape)) for part in self.parts], -1)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return torch.cat([part.rsample(torch.Size(sample_shape)) for part in self.parts], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.stack([p.log_prob(z) for p, z in zip(self.parts, self.split(value), strict=True)]).sum(0)

    def entropy(self) -> Tensor:
        return torch.stack([part.entropy() for part in self.parts]).sum(0)


class SideBySide(ProductOf):
    """The product of the laws along the last batch axis of one law, whose events (d,) stand end to end in z.

    law (..., m) of wrapped normal laws on m spaces becomes a law (...) over m d numbers: what it computes, it computes for all
    spaces at once, which is what a small latent space waits for. `parts` are the m laws one by one.
    """

    def __init__(self, law: WrappedNormal) -> None:
        if not law.batch_shape:
            raise UserError("Laws that stand side by side are the last batch axis of one law, which has none.")
        self.law, (*batch, m), (d,) = law, law.batch_shape, law.event_shape
        self.dims = (d,) * m
        Distribution.__init__(self, torch.Size(batch), torch.Size([m * d]), validate_args=False)

    @cached_property
    def parts(self) -> tuple[Distribution, ...]:  # type: ignore[override]
        return tuple(self.law.select(i) for i in range(len(self.dims)))

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "SideBySide":
        return SideBySide(self.law.expand(torch.Size([*batch_shape, len(self.dims)])))

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        return self.rsample(sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.law.rsample(torch.Size(sample_shape)).flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.law.log_prob(value.unflatten(-1, (len(self.dims), -1))).sum(-1)


@register_kl(ProductOf, ProductOf)
def _part_by_part(q: ProductOf, p: ProductOf) -> Tensor:
    """KL(q || p) = sum_i KL(q_i || p_i) for equal parts; NotImplementedError where one has no closed form."""
    if q.dims != p.dims:
        raise NotImplementedError
    parts = [kl_divergence(mine, theirs) for mine, theirs in zip(q.parts, p.parts, strict=True)]
    return torch.stack(torch.broadcast_tensors(*parts)).sum(0)
