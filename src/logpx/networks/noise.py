"""Noise in front of a network while it trains (floor 2): what a denoising autoencoder's encoder sees."""

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """x + s eps, eps ~ N(0, I)."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        return x + self.amount * torch.randn_like(x)


class Masking(nn.Module):
    """Each element is 0 with probability p, and the rest are divided by 1 - p: the encoder sees the same mean at rest."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) >= self.amount) / (1 - self.amount)


class SaltAndPepper(nn.Module):
    """Each element is replaced with probability p by the smallest or the largest of the batch, at even odds."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        u = torch.rand_like(x)
        flecks = torch.where(u < self.amount / 2, x.amin(), x.amax())
        return torch.where(u < self.amount, flecks, x)


class Corrupted(nn.Module):
    """network(noise(x)) in training mode, with fresh noise at every step; network(x) at rest (Vincent et al. 2010)."""

    def __init__(self, network: nn.Module, noise: nn.Module) -> None:
        super().__init__()
        self.network, self.noise = network, noise

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        seen = self.noise(x) if self.training else x
        return self.network(seen) if context is None else self.network(seen, context)
