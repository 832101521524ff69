"""Priors that are fitted after training, among them that of discrete codes (floor 3)."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn import functional as F

from logpx.distributions import OverCodes
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
        raise UserError(
            "The density of the codes is fitted when the training ends: go on with the run (--resume) first."
        )

    sample = log_prob = rsample  # type: ignore[assignment]


class Codes(nn.Module):
    """p(k) over the grid of codes that a quantising family makes, 1 / K^T for every grid or by an autoregressive network.

    The family gives the number of codes K and of tokens T, and knows which vectors are which codes; it stays the posterior's,
    no part of this module. The network is one of the masked ones: it makes K logits of each token, in the `order` of its shape.
    """

    def __init__(self, family: nn.Module, network: nn.Module | None = None) -> None:
        super().__init__()
        self._family, self.network = (family,), network  # in a tuple torch does not see it

    def forward(self, context: Tensor | None = None) -> Distribution:
        (family,) = self._family
        dim, indices, vectors = family.dim, family.indices, family.vectors
        return OverCodes(dim, self._log_p, self._draw, indices, vectors)  # type: ignore[arg-type]

    def laid_out(self, k: Tensor) -> Tensor:
        """Codes (N, T), tokens in turn, as the network's x (N, *shape)."""
        net = self.network
        assert net is not None
        return k[:, net.order.argsort()].unflatten(1, net.shape)  # type: ignore[operator]

    def _log_p(self, k: Tensor) -> Tensor:
        if self.network is not None:
            x = self.laid_out(k)
            logits = self.network(x.to(self._untold(0).dtype), self._untold(x.shape[0]))
            return -F.cross_entropy(logits, x, reduction="none").flatten(1).sum(1)
        (family,) = self._family
        nats = family.tokens * math.log(family.codes)  # type: ignore[operator, arg-type]
        return torch.full((k.shape[0],), -nats, dtype=torch.float64, device=k.device)

    def _draw(self, n: int) -> Tensor:
        if self.network is not None:
            x = self.network.generate(self._untold(n), _chosen)  # type: ignore[operator]
            return x.flatten(1)[:, self.network.order].long()
        (family,) = self._family
        return torch.randint(family.codes, (n, family.tokens), device=next(family.buffers()).device)  # type: ignore[call-overload]

    def _untold(self, n: int) -> Tensor:
        """The features of n grids, of which there are none."""
        assert self.network is not None
        return next(self.network.parameters()).new_zeros(n, 0, *self.network.shape)  # type: ignore[misc]


def _chosen(logits: Tensor, i: int) -> Tensor:
    """A code for each row of logits (N, K)."""
    return logits.softmax(-1).multinomial(1).squeeze(1)
