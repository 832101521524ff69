"""What makes a code sparse (floor 2): its last nonlinearity, and a dictionary whose atoms cannot grow."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TopK(nn.Module):
    """Keeps the k largest of the last axis and sets the others to 0 (Makhzani & Frey 2014, arXiv:1312.5663, section 2.1).

    The gradient runs through the kept ones only.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, h: Tensor) -> Tensor:
        kept = torch.zeros_like(h).scatter(-1, h.topk(self.k, -1).indices, 1.0)
        return h * kept


class Coded(nn.Module):
    """code(network(x)): an encoder with a nonlinearity at its end."""

    def __init__(self, network: nn.Module, code: nn.Module) -> None:
        super().__init__()
        self.network, self.code = network, code

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.code(self.network(x) if context is None else self.network(x, context))


class Dictionary(nn.Module):
    """h = W z + b with columns of W of length 1: (..., dim) -> (..., *outputs).

    A penalty on the size of z means nothing where W may grow as z shrinks (Olshausen & Field 1996).
    """

    def __init__(self, dim: int, outputs: tuple[int, ...], *, context: int = 0) -> None:
        super().__init__()
        self.dim, self.outputs = dim, outputs
        self.atoms = nn.Parameter(torch.randn(prod(outputs), dim))
        self.bias = nn.Parameter(torch.zeros(prod(outputs)))
        self.context = nn.Linear(context, prod(outputs), bias=False) if context else None

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        h = F.linear(z, F.normalize(self.atoms, dim=0), self.bias)
        if self.context is not None and context is not None:
            h = h + self.context(context)
        return h.reshape(*h.shape[:-1], *self.outputs)
