"""The likelihood whose elements follow one another (floor 3): any law of an element, and a masked network before it."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from logpx import distributions


class Autoregressive(nn.Module):
    """log p(x|z) = sum_i log p(x_i | h_i(x_1, ..., x_{i-1}, f(z))), f the decoder's output, h a masked network.

    net          networks.MADE or networks.GatedPixelCNN: it emits `conditional.size` numbers for each element and reads
                 `features` of them of f. Without any (features = 0) x does not depend on z.
    conditional  the likelihood that makes of these numbers the law of one element: Bernoulli, DiscretisedLogistic, ...
    """

    has_mean = False  # E[x|z] is known to nobody: what is shown of it are draws

    def __init__(self, net: nn.Module, conditional: nn.Module) -> None:
        super().__init__()
        self.net, self.conditional = net, conditional
        self.shape, self.size, self.numbers = net.shape, net.features, net.width

    def forward(self, h: Tensor) -> Distribution:
        support = self.conditional.support
        return distributions.Autoregressive(h, self.shape, self._given, self._generate, support)  # type: ignore[arg-type]

    def _given(self, x: Tensor, f: Tensor, batch: torch.Size) -> Distribution:
        return self.conditional(self.net(x, f).unflatten(0, batch) if batch else self.net(x, f).squeeze(0))

    def _generate(self, f: Tensor) -> Tensor:
        return self.net.generate(f, self.draw_one)  # type: ignore[operator]

    def draw_one(self, h: Tensor, i: int) -> Tensor:
        """x_i (N,) from the numbers h (N, size) of element i: what the conditional has for each element is read there."""
        one = [1] * len(self.shape)  # type: ignore[arg-type]
        own = {
            name: p.flatten()[i].view(one) for name, p in self.conditional.named_parameters() if p.shape == self.shape
        }
        numbers = h.view(*h.shape, *one)
        law = functional_call(self.conditional, own, (numbers,)) if own else self.conditional(numbers)
        return law.sample().flatten()


class Marginal(nn.Module):
    """The law of x where it depends on no z: then the evidence is exact.

    The likelihood is read at each call and stays owned by the VAE: this module has no parameters.
    """

    def __init__(self, likelihood: Autoregressive) -> None:
        super().__init__()
        self._likelihood = (likelihood,)  # a tuple, so that it is not registered twice

    def forward(self) -> Distribution:
        (likelihood,) = self._likelihood
        like: Tensor = next(likelihood.parameters())
        return likelihood(torch.zeros(0, *likelihood.shape, dtype=like.dtype, device=like.device))  # type: ignore[misc]
