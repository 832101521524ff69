"""The prior of discrete latents (floor 3)."""

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions.discrete import OneHots


class Categorical(nn.Module):
    """p(z) = prod_n Cat(z_n; pi_n), N variables of K classes: pi uniform, p(z) = K^-N, or learned from there on."""

    logits: Tensor

    def __init__(self, variables: int, classes: int, *, learned: bool = False) -> None:
        super().__init__()
        self.dim = variables * classes
        start = torch.zeros(variables, classes)
        if learned:
            self.logits = nn.Parameter(start)
        else:
            self.register_buffer("logits", start, persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        return OneHots(self.logits)
