"""Invertible networks of known volume change (floor 2): autoregressive layers, by zuko, imported when one is made."""

import torch
from torch import Tensor, nn

from logpx.distributions import import_zuko


class Autoregressive(nn.Module):
    """Affine autoregressive layers on R^dim, every second one in reversed order: x -> (y, log |dy/dx|) in one pass.

    Each is y_i = exp(a_i) x_i + b_i with a, b of the x before it in the order and of a context c, by MADE (Germain et
    al. 2015) with tanh units. `back` maps y to (x, 0) instead, in dim passes a layer.
    """

    def __init__(self, dim: int, layers: int, hidden: tuple[int, ...], context: int = 0) -> None:
        super().__init__()
        layer = import_zuko().flows.MaskedAutoregressiveTransform
        orders = (torch.arange(dim), torch.arange(dim).flip(0))
        options = {"hidden_features": hidden, "activation": nn.Tanh}
        self.layers = nn.ModuleList(layer(dim, context, order=orders[i % 2], **options) for i in range(layers))

    def forward(self, x: Tensor, c: Tensor | None = None, back: bool = False) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(())
        if back:
            for layer in reversed(self.layers):
                x = layer(c).inv(x)
            return x, total
        for layer in self.layers:
            x, log_det = layer(c).call_and_ladj(x)
            total = total + log_det
        return x, total
