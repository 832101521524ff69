"""The law of a normalising flow, and the library its layers come from (floor 1)."""

from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]
NODES = 1024  # points of the quadrature behind mean and variance


class Flow(Distribution):
    """log p(z) = log b(u) + log |du/dz|, u and z bijective images of each other, b the base law with event shape (D,).

    `go` is the cheap direction, x -> (y, log |dy/dx|), and `back` the other, y -> x. direction "density": `go` takes z to
    u, so that log_prob is one pass (masked autoregressive flow, Papamakarios et al. 2017, arXiv:1705.07057). "draws": it
    takes u to z, so that a draw is one pass (inverse autoregressive flow, Kingma et al. 2016, arXiv:1606.04934), and
    log_prob of that very draw costs nothing more. mean and variance are a quasi-Monte-Carlo quadrature of 1024 points.

    The value kept for that draw z = z(u, parameters) is log q as a function of the parameters at the draw's own noise u:
    its gradient is the total derivative, through z and beside it, and z is no node of it. For the partial derivatives
    (by z, or by the parameters at a fixed z) ask a law held constant, or for log_prob(z.clone()). What was drawn without
    gradients is kept only for those who ask without.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        base: Distribution,
        go: Callable[[Tensor], tuple[Tensor, Tensor]],
        back: Callable[[Tensor], Tensor],
        direction: Literal["density", "draws"],
    ) -> None:
        self.base, self.go, self.back, self.direction = base, go, back, direction
        self._last: tuple[Tensor, Tensor, bool] | None = None  # a draw, its log_prob, and whether gradients were on
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "Flow":
        return Flow(self.base.expand(torch.Size(batch_shape)), self.go, self.back, self.direction)

    def log_prob(self, value: Tensor) -> Tensor:
        if self.direction == "density":
            u, log_det = self.go(value)
            return self.base.log_prob(u) + log_det
        if self._last is not None and value is self._last[0] and (self._last[2] or not torch.is_grad_enabled()):
            return self._last[1]
        u = self.back(value)
        return self.base.log_prob(u) - self.go(u)[1]

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        u = self.base.rsample(torch.Size(sample_shape))
        if self.direction == "density":
            return self.back(u)
        z, log_det = self.go(u)
        self._last = z, self.base.log_prob(u) - log_det, torch.is_grad_enabled()
        return z

    @property
    def mean(self) -> Tensor:
        return self._spread().mean(0)

    @property
    def variance(self) -> Tensor:
        return self._spread().var(0, correction=0)

    @property
    def covariance_matrix(self) -> Tensor:
        """Cov z, (*batch, D, D), by the quadrature behind the variance."""
        apart = self._spread()
        apart = apart - apart.mean(0)
        return torch.einsum("n...i,n...j->...ij", apart, apart) / len(apart)

    def _spread(self) -> Tensor:
        """Images of evenly spread points of the normal base, (nodes, *batch, D)."""
        centre, scale = self.base.mean, self.base.stddev
        nodes = _normal_nodes(centre.shape[-1]).to(centre).reshape(-1, *[1] * len(self.batch_shape), centre.shape[-1])
        u = centre + scale * nodes
        return self.go(u)[0] if self.direction == "draws" else self.back(u)


@lru_cache
def _normal_nodes(dim: int) -> Tensor:
    """Points of a Sobol sequence as normal quantiles, each with its mirror image; the first, all zeros, is left out."""
    u = torch.quasirandom.SobolEngine(dim).draw(NODES // 2 + 1, dtype=torch.float64)[1:]
    half = torch.special.ndtri(u)
    return torch.cat([half, -half])


def import_zuko() -> ModuleType:
    """zuko, when first needed; UserError where it is not installed.

    Importing it switches off the checks of every torch distribution; they are switched on again. (It also gives laws that
    declare no constraints an empty list of them, which its own classes need.)
    """
    before = Distribution._validate_args
    try:
        import zuko
    except ImportError:
        raise UserError("A normalising flow needs zuko: pip install 'logpx[flows]'.") from None
    finally:
        Distribution._validate_args = before
    return zuko
