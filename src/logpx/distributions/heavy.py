"""Student's t (floor 1): real numbers with tails heavier than a normal's."""

import math

import torch
from torch import Tensor
from torch.distributions import Chi2, Distribution


class StudentT(torch.distributions.StudentT):
    """log p(x) = log G((nu+1)/2) - log G(nu/2) - 1/2 log(pi nu) - log s - (nu+1)/2 log(1 + y^2/nu),  y = (x - m)/s.

    torch's law StudentT(nu, m, s), its parameters looked at only where it is asked to; G is the gamma function. The
    difference of the two log G is taken in float64: in float32 it is off by a thousandth of a nat for each element at
    nu = 10,000.
    """

    def __init__(self, df: Tensor, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = torch.broadcast_tensors(df, loc, scale)
        self._chi2 = Chi2(self.df, validate_args=validate_args)  # torch's always looks, which no one graph can
        Distribution.__init__(self, self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return torch.where(self.df > 1, self.loc, torch.nan)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        y, nu = (value - self.loc) / self.scale, self.df
        n = nu.double()
        height = torch.lgamma((n + 1) / 2) - torch.lgamma(n / 2) - 0.5 * torch.log(math.pi * n)
        return height.to(nu.dtype) - self.scale.log() - (nu + 1) / 2 * torch.log1p(y.square() / nu)
