"""A posterior that is a normalising flow (floor 3)."""

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.func import functional_call

from logpx.distributions import Flow as FlowLaw
from logpx.networks.flow import Autoregressive


class Flow(nn.Module):
    """q(z|x) = N(u; mu, diag sigma^2) |du/dz|, z an inverse autoregressive function of u and c (Kingma et al. 2016).

    The encoder emits mu, log sigma^2 and c, `context` numbers that every layer sees (arXiv:1606.04934, algorithm 1). A
    draw and its log q are one pass; log q of any other z takes D. The layers' weights belong to q: held constant, q
    holds them as well. Needs zuko.
    """

    def __init__(self, dim: int, *, layers: int = 2, hidden: tuple[int, ...] = (64, 64), context: int = 16) -> None:
        super().__init__()
        self.dim, self.context = dim, context
        self.size = 2 * dim + context
        self.layers = Autoregressive(dim, layers, hidden, context)

    def forward(self, params: Tensor) -> Distribution:
        mu, log_variance, c = params.split([self.dim, self.dim, self.context], -1)
        sigma = (0.5 * log_variance.clamp(-30, 20)).exp()
        base = Independent(Normal(mu, sigma, validate_args=False), 1, validate_args=False)
        weights: dict[str, Tensor] = dict(
            self.layers.named_parameters()
        )  # those of now: a law that is held constant keeps its own

        def go(u: Tensor) -> tuple[Tensor, Tensor]:
            return functional_call(self.layers, weights, (u, c))

        def back(z: Tensor) -> Tensor:
            return functional_call(self.layers, weights, (z, c, True))[0]

        return FlowLaw(base, go, back, "draws")
