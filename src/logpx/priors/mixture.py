"""Priors that are mixtures of normal laws (floor 3): diagonal and learned, or with full covariances, fitted to codes."""

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal


class Mixture(nn.Module):
    """p(z) = sum_k pi_k N(z; mu_k, diag sigma_k^2), all learned; the KL to it is taken by one sample.

    The centres start as draws from N(0, I), the weights equal and the variances 1.
    """

    def __init__(self, dim: int, components: int = 10) -> None:
        super().__init__()
        self.dim = dim
        self.logits = nn.Parameter(torch.zeros(components))
        self.mu = nn.Parameter(torch.randn(components, dim))
        self.log_variance = nn.Parameter(torch.zeros(components, dim))

    def forward(self, context: Tensor | None = None) -> Distribution:
        sigma = (0.5 * self.log_variance.clamp(-30, 20)).exp()
        normal = Independent(Normal(self.mu, sigma, validate_args=False), 1, validate_args=False)
        return MixtureSameFamily(Categorical(logits=self.logits, validate_args=False), normal, validate_args=False)


class FullMixture(nn.Module):
    """p(z) = sum_k pi_k N(z; mu_k, L_k L_k^T), whose numbers are not trained but written in by a fit."""

    log_weights: Tensor
    mu: Tensor
    L: Tensor

    def __init__(self, dim: int, components: int = 10) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("log_weights", torch.zeros(components))
        self.register_buffer("mu", torch.zeros(components, dim))
        self.register_buffer("L", torch.eye(dim).repeat(components, 1, 1))

    def forward(self, context: Tensor | None = None) -> Distribution:
        normal = MultivariateNormal(self.mu, scale_tril=self.L, validate_args=False)
        weights = Categorical(logits=self.log_weights, validate_args=False)
        return MixtureSameFamily(weights, normal, validate_args=False)
