"""Two stochastic layers (floor 4): laws over z = (z1, z2) joined, so that VAE, every bound and every evaluation serve them.

    q(z|x) = q(z1|x) q(z2|z1),   p(z) = p(z2) p(z1|z2),   p(x|z) = p(x|z1),

every conditional a diagonal normal (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 2-4). z1 comes first in z.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.func import functional_call

from logpx.model import VAE
from logpx.networks import MLP, Shape
from logpx.posteriors import DiagNormal

Conditional = Callable[[Tensor], Distribution]
_DRAWS = 64  # of the first layer, behind the mean of the second


class Chain(Distribution):
    """The law of (a, b) with a ~ first and b ~ then(a): log p = log first(a) + log then(a)(b); event shape (D_a + D_b,).

    `turned` puts b in front of a in the vector. There is no closed KL between two chains.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - torch's own protocol
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, first: Distribution, then: Conditional, dims: tuple[int, int], *, turned: bool = False) -> None:
        self.first, self.then, self.dims, self.turned = first, then, dims, turned
        super().__init__(first.batch_shape, torch.Size([sum(dims)]), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        a = self.first.rsample(sample_shape)
        return self._joined(a, self.then(a).rsample())

    def log_prob(self, value: Tensor) -> Tensor:
        a, b = value.split(self.dims[::-1] if self.turned else self.dims, -1)[:: -1 if self.turned else 1]
        return self.first.log_prob(a) + self.then(a).log_prob(b)

    @property
    def mean(self) -> Tensor:
        """(E a, E_a E[b|a]), the latter over 64 draws of a normal a whose noise is fixed and the same for all points.

        Equal noise makes the mean of b vary over points only as far as the law of a does: units then count as active
        for that alone. Each draw has its mirror image, so the part of E[b|a] that is odd about E a is averaged exactly;
        the even part g is averaged over 32 draws, an error of the order of sd(g)/sqrt(32) = 0.18 sd(g), the same for all
        points (found: 0.20 sd for cos 2a and 0.16 for a^2 where a is one standard normal number).
        """
        a = self.first
        noise = _mirrored(self.dims[0]).to(a.mean).reshape(_DRAWS, *[1] * len(self.batch_shape), -1)
        return self._joined(a.mean, self.then(a.mean + a.stddev * noise).mean.mean(0))

    def _joined(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([b, a] if self.turned else [a, b], -1)


@lru_cache
def _mirrored(dims: int) -> Tensor:
    """Standard normal draws (64, dims), the same ones always, the second half of them the mirror image of the first."""
    noise = torch.randn(_DRAWS // 2, dims, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.cat([noise, -noise])


class _Link(nn.Module):
    """A conditional diagonal normal, N(mu(c), diag sigma(c)^2), whose numbers an MLP emits."""

    def __init__(self, inputs: int, outputs: int, hidden: Shape, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.family = DiagNormal(outputs)
        self.net = MLP((inputs,), hidden, (self.family.size,), activation=activation)

    def forward(self) -> Conditional:
        """The conditional with the weights of this moment: a law made while they are held constant keeps them so."""
        weights: dict[str, Tensor] = dict(self.net.named_parameters())
        return lambda c: self.family(functional_call(self.net, weights, (c,)))


class TwoLayerNormal(nn.Module):
    """q(z|x) = N(z1; mu(x), sigma(x)^2) N(z2; mu(z1), sigma(z1)^2); the encoder emits the first, an MLP the second."""

    def __init__(self, dims: tuple[int, int], hidden: Shape, activation: Callable[[], nn.Module] = nn.Tanh) -> None:
        super().__init__()
        self.dims, self.dim = dims, sum(dims)
        self.below = DiagNormal(dims[0])
        self.above = _Link(dims[0], dims[1], hidden, activation)
        self.size = self.below.size

    def forward(self, params: Tensor) -> Distribution:
        return Chain(self.below(params), self.above(), self.dims)


class TwoLayerPrior(nn.Module):
    """p(z) = N(z2; 0, I) N(z1; mu(z2), sigma(z2)^2), z1 first in z, whatever the context."""

    zeros: Tensor

    def __init__(self, dims: tuple[int, int], hidden: Shape, activation: Callable[[], nn.Module] = nn.Tanh) -> None:
        super().__init__()
        self.dims, self.dim = dims, sum(dims)
        self.top = DiagNormal(dims[1])
        self.below = _Link(dims[1], dims[0], hidden, activation)
        self.register_buffer("zeros", torch.zeros(self.top.size), persistent=False)  # mu = 0, log sigma^2 = 0

    def forward(self, context: Tensor | None = None) -> Distribution:
        return Chain(self.top(self.zeros), self.below(), self.dims[::-1], turned=True)


class ReadsFirst(nn.Module):
    """A decoder of z1 as one of z: it does not look at z2."""

    def __init__(self, net: nn.Module, dim: int) -> None:
        super().__init__()
        self.net, self.dim = net, dim

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        z1 = z[..., : self.dim]
        return self.net(z1) if context is None else self.net(z1, context)


def with_second_layer(
    model: VAE, dims: tuple[int, int], hidden: Shape, activation: Callable[[], nn.Module] = nn.Tanh
) -> VAE:
    """A VAE with a diagonal normal posterior of dims[0] latents, and a second layer of dims[1] above them.

    `hidden` are the widths from z1 to z2, mirrored from z2 to z1.
    """
    return VAE(
        encoder=model.encoder,
        posterior=TwoLayerNormal(dims, hidden, activation),
        prior=TwoLayerPrior(dims, hidden[::-1], activation),
        decoder=ReadsFirst(model.decoder, dims[0]),
        likelihood=model.likelihood,
    )
