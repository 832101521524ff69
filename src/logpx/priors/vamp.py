"""The variational mixture of posteriors (floor 3)."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from logpx.networks import Seeing


class Vamp(nn.Module):
    """p(z) = 1/K sum_k q(z|u_k), the pseudo-inputs u_k learned (Tomczak & Welling 2018, arXiv:1705.07120, eq. 9).

    q is the model's own: `encoder` and `posterior` are shared, not owned, so the weights are kept once and receive a
    gradient from here too. Where the encoder sees features of x (codes one-hot, counts as logarithms), u_k are such
    features: in front of them, nothing could move a code. u_k = centre + scale u, (0, 1) unless `start` says where the data
    lie; `inside` (low, high) keeps u_k in a range by a hard tanh. u starts near the argument `centre`. The KL to it is
    taken by one sample.
    """

    logits: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        posterior: nn.Module,
        shape: tuple[int, ...],
        pseudo_inputs: int = 500,
        *,
        inside: tuple[float, float] | None = None,
        centre: float = 0.0,
        spread: float = 1.0,
    ) -> None:
        super().__init__()
        features = encoder.features if isinstance(encoder, Seeing) else nn.Identity()
        network = encoder.network if isinstance(encoder, Seeing) else encoder
        seen: tuple[int, ...] = getattr(features, "outputs", shape)
        self._q = (features, network, posterior)  # in a tuple, where nn.Module does not look for parts of its own
        self.dim, self.inside = posterior.dim, inside
        self.u = nn.Parameter(centre + spread * torch.randn(pseudo_inputs, *seen))
        self.register_buffer("centre", torch.zeros(seen))
        self.register_buffer("scale", torch.ones(seen))
        self.register_buffer("logits", torch.zeros(pseudo_inputs), persistent=False)

    @property
    def pseudo_inputs(self) -> Tensor:
        """u_k as the network sees them, (K, *shape), within their range."""
        u = self.centre + self.scale * self.u
        return u if self.inside is None else u.clamp(*self.inside)

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Puts u_k at rows of x (N, *shape), up to noise of a hundredth: of each element's spread, or of the range.

        Without a range u is counted in the rows' own spread, so that one learning rate serves data of any unit.
        """
        features, K = self._q[0], len(self.u)
        rows = features(x)
        if self.inside is None:
            spread = rows.std(0, correction=0)
            self.centre.copy_(rows.mean(0))
            self.scale.copy_(spread.where(spread > 0, 1.0))
        rows = rows[torch.arange(K, device=x.device) % len(rows)]
        u = (rows - self.centre) / self.scale
        self.u.copy_(u + 0.01 * torch.randn_like(u))
        if self.inside is not None:
            self.u.clamp_(*self.inside)  # beyond it there is no gradient

    def forward(self, context: Tensor | None = None) -> Distribution:
        _, network, posterior = self._q
        weights = Categorical(logits=self.logits, validate_args=False)
        return MixtureSameFamily(weights, posterior(network(self.pseudo_inputs)), validate_args=False)
