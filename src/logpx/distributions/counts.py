"""Laws of counts 0, 1, 2, ... from the logarithm of their mean (floor 1): Poisson and negative binomial.

Both are computed in float64 and handed back in the type of their parameters: log G(x + 1) of a count of some thousands
is tens of thousands of nats, of which float32 keeps two decimals.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

Shape = torch.Size | list[int] | tuple[int, ...]


class PoissonLogMean(Distribution):
    """log p(x) = x a - e^a - log x!, in nats; the mean is e^a."""

    arg_constraints = {"log_mean": constraints.real}  # noqa: RUF012 - torch's own protocol
    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, validate_args: bool | None = False) -> None:
        self.log_mean = log_mean
        super().__init__(log_mean.shape, validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "PoissonLogMean":
        return PoissonLogMean(self.log_mean.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        return torch.poisson(self.mean.expand(torch.Size(sample_shape) + self._batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        x, a = value.double(), self.log_mean.double()
        return (x * a - a.exp() - torch.lgamma(x + 1)).to(self.log_mean.dtype)


class NegativeBinomial(Distribution):
    """log p(x) = log [G(x + r) / (G(r) x!)] + r log(r/(r + mu)) + x log(mu/(r + mu)), in nats.

    A Poisson law whose mean is drawn from a gamma law with mean mu = e^a and shape r = e^rho. The variance is
    mu + mu^2 / r: above a Poisson's, which is the limit r -> infinity.
    """

    arg_constraints = {"log_mean": constraints.real, "log_r": constraints.real}  # noqa: RUF012 - torch's own protocol
    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, log_r: Tensor, validate_args: bool | None = False) -> None:
        self.log_mean, self.log_r = torch.broadcast_tensors(log_mean, log_r)
        super().__init__(self.log_mean.shape, validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "NegativeBinomial":
        return NegativeBinomial(self.log_mean.expand(batch_shape), self.log_r.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean + self.mean.square() * torch.exp(-self.log_r)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self._batch_shape
        unit = torch._standard_gamma(self.log_r.exp().expand(shape))
        return torch.poisson(unit * torch.exp(self.log_mean - self.log_r))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        x, a, rho = value.double(), self.log_mean.double(), self.log_r.double()
        r = rho.exp()
        ways = torch.lgamma(x + r) - torch.lgamma(r) - torch.lgamma(x + 1)
        return (ways + r * logsigmoid(rho - a) + x * logsigmoid(a - rho)).to(self.log_mean.dtype)
