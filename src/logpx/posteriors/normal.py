"""Normal families (floor 3): diagonal and full covariance."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal


class DiagNormal(nn.Module):
    """q(z|x) = N(mu, diag sigma^2), the encoder emitting mu and log sigma^2 (Kingma & Welling 2014, eq. 9).

    z = mu + sigma eps with sigma = exp(log sigma^2 / 2). The log-variance is held within [-30, 20] so that no weight
    can make it overflow; the bounds are far outside any useful posterior.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.size = dim, 2 * dim

    def forward(self, params: Tensor) -> Distribution:
        mu, log_variance = params.split([self.dim, self.dim], -1)
        sigma = torch.exp(0.5 * log_variance.clamp(-30, 20))
        return Independent(Normal(mu, sigma, validate_args=False), 1, validate_args=False)


class FullNormal(nn.Module):
    """q(z|x) = N(mu, L L^T), the encoder emitting mu and the lower triangle of L, its diagonal as logarithms.

    z = mu + L eps; log|L L^T| = 2 sum_i log L_ii. With a diagonal L it is DiagNormal.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.size = dim, dim + dim * (dim + 1) // 2

    def forward(self, params: Tensor) -> Distribution:
        mu, log_diagonal, below = params.split([self.dim, self.dim, self.size - 2 * self.dim], -1)
        row, column = torch.tril_indices(self.dim, self.dim, -1, device=params.device)
        L = torch.diag_embed(torch.exp(log_diagonal.clamp(-15, 10)))
        L[..., row, column] = below
        return MultivariateNormal(mu, scale_tril=L, validate_args=False)
