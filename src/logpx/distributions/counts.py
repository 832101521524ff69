"""Laws of counts 0, 1, 2, ... from the logarithm of their mean (floor 1): Poisson and negative binomial.

Both are computed in float64 and handed back in the type of their parameters: log G(x + 1) of a count of some thousands
is tens of thousands of nats, of which float32 keeps two decimals.
"""

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid

Shape = torch.Size | list[int] | tuple[int, ...]
_STIRLING_FROM = 20.0  # r from which log G is taken by Stirling's series: its first dropped term is below 2e-15 there
_LARGEST = (
    1e15  # the largest mean at which counts are drawn: torch's are wrong from 2^63, and float64 steps by 1 till 9e15
)


def _poisson(mean: Tensor) -> Tensor:
    """Draws; a mean above 1e15 is its own draw, for the noise is less than 4e-8 of it."""
    return torch.where(mean < _LARGEST, torch.poisson(mean.clamp(max=_LARGEST)), mean.round())


class PoissonLogMean(Distribution):
    """log p(x) = x a - e^a - log x!, in nats; the mean is e^a. Where it is above 1e15, `sample` gives the mean itself."""

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
        return _poisson(self.mean.expand(torch.Size(sample_shape) + self._batch_shape))

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
        rho = self.log_r.clamp(max=60)  # float32 overflows at 88, and the gamma law is a point long before
        return _poisson(torch._standard_gamma(rho.exp().expand(shape)) * torch.exp(self.log_mean - rho))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        x, a, rho = value.double(), self.log_mean.double(), self.log_r.double().clamp(max=300)  # a Poisson law by then
        r = rho.exp()
        ways = _log_rising(x, r) - torch.lgamma(x + 1)
        return (ways + r * logsigmoid(rho - a) + x * logsigmoid(a - rho)).to(self.log_mean.dtype)


def _log_rising(x: Tensor, r: Tensor) -> Tensor:
    """log [G(x + r) / G(r)], exact for large r too, where the two differ by less than either is rounded.

    There log G(s) = (s - 1/2) log s - s + log(2 pi)/2 + c(s), and what is left is x log r + x^2/(2r) - ...
    """
    large = r >= _STIRLING_FROM
    s, t = torch.where(large, r, _STIRLING_FROM), torch.where(large, 1.0, r)
    series = x * s.log() + (x + s - 0.5) * torch.log1p(x / s) - x + _stirling(x + s) - _stirling(s)
    return torch.where(large, series, torch.lgamma(x + t) - torch.lgamma(t))


def _stirling(s: Tensor) -> Tensor:
    """c(s) = 1/(12 s) - 1/(360 s^3) + 1/(1260 s^5) - 1/(1680 s^7), the next term being 1/(1188 s^9)."""
    t = 1 / s.square()
    return (1 / 12 - t * (1 / 360 - t * (1 / 1260 - t / 1680))) / s
