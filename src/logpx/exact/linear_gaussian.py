"""Linear Gaussian models x = W z + mu + e as modules of a VAE (floor 6): the exact posterior as encoder, the exact law of x.

What stands here serves every such model; how a decoder and a likelihood spell its numbers, each says in its own `read`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, constraints

from logpx.errors import UserError
from logpx.maths import LOG_2PI
from logpx.networks import MLP, Shape, flat


class Numbers(Protocol):
    """What the modules here ask of x = W z + mu + e: PPCA has a scalar variance of e, factor analysis one (P,)."""

    @property
    def weight(self) -> Tensor: ...
    @property
    def mean(self) -> Tensor: ...
    @property
    def variance(self) -> Tensor: ...
    def double(self) -> "Numbers": ...
    def log_evidence(self, x: Tensor) -> Tensor: ...
    def log_det(self) -> Tensor: ...
    def posterior(self, x: Tensor) -> MultivariateNormal: ...


Read = Callable[[nn.Module, nn.Module], Numbers]


class LinearGaussian(Distribution):
    """The law N(mu, W W^T + diag variance) of x with the data's shape as event, computed and returned in float64."""

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    has_rsample = True

    def __init__(self, model: Numbers, shape: Shape) -> None:
        self.model = model
        super().__init__(event_shape=torch.Size(shape), validate_args=False)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.model.mean.reshape(self.event_shape)

    @property
    def variance(self) -> Tensor:
        return (self.model.weight.square().sum(1) + self.model.variance).reshape(self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x) for x (..., *shape), in nats."""
        x = flat(value, self.event_shape, None)
        return self.model.log_evidence(x.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        W, mu, s2 = self.model.weight, self.model.mean, self.model.variance
        z = torch.randn(*sample_shape, W.shape[1], dtype=W.dtype, device=W.device)
        e = torch.randn(*sample_shape, len(mu), dtype=W.dtype, device=W.device)
        return (z @ W.T + mu + s2.sqrt() * e).reshape(*sample_shape, *self.event_shape)

    def entropy(self) -> Tensor:
        """1/2 (P log 2 pi e + log|C|), nats."""
        return 0.5 * (len(self.model.mean) * (1 + LOG_2PI) + self.model.log_det())


def linear_layer(decoder: MLP) -> nn.Linear:
    """The only layer of a linear decoder: its weight is W (P, D), its bias mu (P,)."""
    return decoder.net[0]  # type: ignore[return-value]


def linear_decoder(decoder: nn.Module) -> MLP:
    """The decoder, once it is known to be W z + mu; raises UserError for any other."""
    if not isinstance(decoder, MLP) or len(decoder.net) != 1:
        raise UserError("The exact p(x) is known for a linear decoder only: build it as an MLP without hidden layers.")
    if linear_layer(decoder).in_features != math.prod(decoder.inputs):
        raise UserError("The exact p(x) is known without a context only: build the linear decoder with context=0.")
    return decoder


class LinearGaussianMarginal(nn.Module):
    """The exact p(x) of a linear decoder with a Gaussian likelihood and a standard normal prior.

    decoder     networks.MLP with no hidden layer; its weight is W, its bias mu.
    likelihood  the law of the noise e.
    read        what the numbers of the two are: ppca.read, factor_analysis.read.
    The two are read at each call and stay owned by the VAE: this module has no parameters, and follows
    theirs. For a VAE in float32 the arithmetic is float64, so that only the rounding of the weights is left.
    Raises UserError, by `read`, when built on parts that are no such model.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, read: Read) -> None:
        super().__init__()
        read(decoder, likelihood)  # refuses any other parts
        self._parts, self._read = (decoder, likelihood), read  # a tuple, so that they are not registered twice

    def forward(self, context: Tensor | None = None) -> Distribution:
        return LinearGaussian(self._read(*self._parts).double(), self._parts[1].shape)  # type: ignore[arg-type]


class ExactEncoder(nn.Module):
    """x (B, *shape) -> the numbers of posteriors.FullNormal at p(z|x) = N(M^-1 W^T (x - mu), s2 M^-1).

    Computed from the decoder's weights at each call, and differentiable in them: the bound is then tight whatever the
    weights. The parts as in LinearGaussianMarginal, which also says what is raised.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, read: Read) -> None:
        super().__init__()
        read(decoder, likelihood)
        self._parts, self._read = (decoder, likelihood), read

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        q = self._read(*self._parts).double().posterior(flat(x, self._parts[1].shape, None))  # type: ignore[arg-type]
        L = q.scale_tril
        row, column = torch.tril_indices(L.shape[-1], L.shape[-1], -1, device=L.device)
        return torch.cat([q.loc, L.diagonal(dim1=-2, dim2=-1).log(), L[..., row, column]], -1).to(x.dtype)


def check_size(decoder: MLP, model: Numbers) -> None:
    """Raises UserError where the decoder's W has another size than the model's."""
    here, fitted = linear_layer(decoder).weight.shape, model.weight.shape
    if here != fitted:
        fit, its = (" x ".join(map(str, shape)) for shape in (fitted, here))
        raise UserError(f"The fitted weight is {fit}, the VAE's {its}: build it for these data and this latent.")


@torch.no_grad()
def copy_into(decoder: MLP, model: Numbers) -> None:
    """W and mu into the decoder's only layer."""
    linear_layer(decoder).weight.copy_(model.weight)
    linear_layer(decoder).bias.copy_(model.mean)
