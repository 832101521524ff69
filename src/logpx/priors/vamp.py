"""The variational mixture of posteriors (floor 3)."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily


class Vamp(nn.Module):
    """p(z) = 1/K sum_k q(z|u_k), the pseudo-inputs u_k learned (Tomczak & Welling 2018, arXiv:1705.07120, eq. 9).

    q is the model's own: `encoder` and `posterior` are shared, not owned, so the weights are kept once and receive a
    gradient from here too. `inside` (low, high) keeps u in the data's range by a hard tanh; u starts near `centre`. The
    KL to it is taken by one sample.
    """

    logits: Tensor

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
        self._q = (encoder, posterior)  # in a tuple, where nn.Module does not look for parts of its own
        self.dim, self.inside = posterior.dim, inside
        self.u = nn.Parameter(centre + spread * torch.randn(pseudo_inputs, *shape))
        self.register_buffer("logits", torch.zeros(pseudo_inputs), persistent=False)

    @property
    def pseudo_inputs(self) -> Tensor:
        """u, (K, *shape), within the data's range."""
        return self.u if self.inside is None else self.u.clamp(*self.inside)

    def forward(self, context: Tensor | None = None) -> Distribution:
        encoder, posterior = self._q
        weights = Categorical(logits=self.logits, validate_args=False)
        return MixtureSameFamily(weights, posterior(encoder(self.pseudo_inputs)), validate_args=False)
