"""Likelihoods of pixels from one logit (floor 3): two are densities, the third is a score."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from logpx.distributions import BernoulliLogits, BernoulliPixels, ContinuousBernoulli, GreyScore

Shape = tuple[int, ...]


class _Pixelwise(nn.Module):
    """One law for each data element from one logit: two of the subclasses are densities, the third is a score."""

    size = 1
    law: Callable[..., Distribution]
    all_of: Callable[..., Distribution] = Independent

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, h: Tensor) -> Distribution:
        (logits,) = h.unbind(-1 - len(self.shape))
        return self.all_of(self.law(logits, validate_args=False), len(self.shape), validate_args=False)


class Bernoulli(_Pixelwise):
    """log p(x|z) = sum_i x_i a_i - softplus(a_i) for x in {0, 1}, a the decoder's logits."""

    law, all_of, support = BernoulliLogits, BernoulliPixels, constraints.boolean


class Grey(_Pixelwise):
    """The Bernoulli formula read at grey pixels x in [0, 1]: minus the summed cross-entropy, a score and no density."""

    law, all_of, support = GreyScore, BernoulliPixels, constraints.unit_interval


class ContinuousBernoulliPixels(_Pixelwise):
    """log p(x|z) = sum_i x_i a_i - softplus(a_i) + log C(a_i) for x in [0, 1] (Loaiza-Ganem & Cunningham 2019)."""

    law, support = ContinuousBernoulli, constraints.unit_interval
