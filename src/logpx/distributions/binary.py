"""Laws of pixels from one logit (floor 1): Bernoulli, the grey score and the continuous Bernoulli.

`BernoulliLogits` is torch's law with the formula this package uses everywhere; `GreyScore` is the field's habit of
reading it at grey pixels; `ContinuousBernoulli` is the density that habit wants to be.
"""

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, constraints

from logpx import maths
from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]


class BernoulliLogits(Bernoulli):
    """Bernoulli(sigmoid(a)) on {0, 1}; log p(x) = x a - softplus(a), in nats, finite for logits of any size."""

    def __init__(self, logits: Tensor, validate_args: bool | None = False) -> None:
        super().__init__(logits=logits, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return maths.bernoulli_log_prob(value, self.logits)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "BernoulliLogits":
        return type(self)(self.logits.expand(batch_shape))


class GreyScore(BernoulliLogits):
    """x a - softplus(a) for x in [0, 1]: minus the binary cross-entropy of a grey pixel, *a score, not a density*.

    Its exponential integrates over [0, 1] to tanh(a/2)/a <= 1/2, so no number made of it is a log-likelihood; it is
    here because published tables compare on it. The mean sigmoid(a) is what pictures show; there is nothing to draw.
    """

    support = constraints.unit_interval  # type: ignore[assignment]
    is_density = False

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        raise UserError(
            "The grey score is no density, so it has no samples: show the mean, or train another likelihood."
        )


class BernoulliPixels(Independent):
    """BernoulliLogits, or GreyScore, of all elements of x: torch's Independent, its sum in one go where no gradient is kept."""

    def log_prob(self, value: Tensor) -> Tensor:
        logits, dims = self.base_dist.logits, self.reinterpreted_batch_ndims
        alike = value.dtype == logits.dtype and torch.broadcast_shapes(value.shape, logits.shape) == logits.shape
        if torch.is_grad_enabled() or not alike:
            return super().log_prob(value)
        return maths.bernoulli_log_prob_of_all(value, logits, dims)


class ContinuousBernoulli(Distribution):
    """log p(x) = x a - softplus(a) + log(a / tanh(a/2)) for x in [0, 1] (Loaiza-Ganem & Cunningham 2019, eq. 6).

    Parametrised by the logit a alone: at a = +-100 and at a = 0 value and gradient stay exact, where a law that goes
    through the probability sigmoid(a) is off by whole nats.
    """

    arg_constraints = {"logits": constraints.real}  # noqa: RUF012 - torch's own protocol
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor, validate_args: bool | None = False) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "ContinuousBernoulli":
        return ContinuousBernoulli(self.logits.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        return maths.continuous_bernoulli_mean(self.logits)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self._batch_shape
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        return maths.continuous_bernoulli_icdf(u, self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return maths.bernoulli_log_prob(value, self.logits) + maths.continuous_bernoulli_log_norm(self.logits)
