"""Plain networks, modules from tensor to tensor (floor 2): multilayer perceptron, convolutions, attention.

Each takes data or a latent of a given event shape, with any number of leading axes, and an optional context that is
joined to the flat features. None knows what its output parametrises.
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from logpx.errors import UserError

Shape = tuple[int, ...]
Activation = Callable[[], nn.Module]


def flat(x: Tensor, shape: Shape, context: Tensor | None) -> Tensor:
    """(..., *shape) and (..., C) -> (..., prod(shape) + C); the context is broadcast over leading axes such as K."""
    lead = x.shape[: x.ndim - len(shape)]
    x = x.reshape(*lead, prod(shape))
    return x if context is None else torch.cat([x, context.expand(*lead, context.shape[-1])], -1)


def layers(sizes: list[int], activation: Activation) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them, none after the last.

    Weights start as torch's; with tanh as Glorot's, sqrt(2) to 3 times wider (Glorot & Bengio 2010, eq. 16), biases 0.
    """
    net = nn.Sequential()
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        if i:
            net.append(activation())
        linear = nn.Linear(inputs, outputs)
        net.append(linear)
        if activation is nn.Tanh:
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
    return net


class MLP(nn.Module):
    """(..., *inputs) -> (..., *outputs) through linear layers of `hidden` widths; no hidden width makes it linear.

    Serves as encoder (inputs the data's shape, outputs the numbers of a posterior) and as decoder.
    """

    def __init__(
        self,
        inputs: Shape,
        hidden: Shape,
        outputs: Shape,
        *,
        context: int = 0,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.net = layers([prod(inputs) + context, *hidden, prod(outputs)], activation)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = self.net(flat(x, self.inputs, context))
        return h.reshape(*h.shape[:-1], *self.outputs)


class Nothing(nn.Module):
    """(..., *inputs) -> zeros (..., *outputs), without a parameter: encoder and decoder where there is no latent."""

    def __init__(self, inputs: Shape, outputs: Shape) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x.new_zeros(*x.shape[: x.ndim - len(self.inputs)], *self.outputs)


class ConvEncoder(nn.Module):
    """Images (..., C, H, W) -> (..., *outputs): stride-2 convolutions, then linear layers of `hidden` widths."""

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        *,
        channels: Shape = (32, 64),
        hidden: Shape = (256,),
        context: int = 0,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.features = nn.Sequential()
        for before, after in zip((inputs[0], *channels), channels):  # noqa: B905 - the last channel has no successor
            self.features.extend([nn.Conv2d(before, after, 3, stride=2, padding=1), activation()])
        self.grid = (channels[-1], *(halved(side, len(channels)) for side in inputs[1:]))
        self.head = layers([prod(self.grid) + context, *hidden, prod(outputs)], activation)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        lead = x.shape[: x.ndim - len(self.inputs)]
        features = self.features(x.reshape(-1, *self.inputs)).reshape(*lead, *self.grid)
        return self.head(flat(features, self.grid, context)).reshape(*lead, *self.outputs)


class ConvDecoder(nn.Module):
    """(..., *inputs) -> (..., size, C, H, W): linear layers of `hidden` widths, then stride-2 transposed convolutions."""

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        *,
        channels: Shape = (64, 32),
        hidden: Shape = (256,),
        context: int = 0,
        activation: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        size, colours, height, width = outputs
        self.grid = (channels[0], halved(height, len(channels)), halved(width, len(channels)))
        self.head = layers([prod(inputs) + context, *hidden, prod(self.grid)], activation)
        self.pixels = nn.Sequential()
        for before, after in zip(channels, (*channels[1:], size * colours), strict=True):
            self.pixels.extend([activation(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        lead = z.shape[: z.ndim - len(self.inputs)]
        features = self.head(flat(z, self.inputs, context)).reshape(-1, *self.grid)
        _, _, height, width = self.outputs
        return self.pixels(features)[..., :height, :width].reshape(*lead, *self.outputs)


def halved(side: int, times: int) -> int:
    """The side of an image after stride-2 convolutions that round up."""
    return -(-side // 2**times)


# --- attention ---------------------------------------------------------------------------------------------------------

State = tuple[Tensor, Tensor]  # keys and values


class Block(nn.Module):
    """h + attention(norm(h)), then h + MLP(norm(h)) (Vaswani et al. 2017; normed first, as Radford et al. 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"{heads} heads cannot share a width of {width}: take a width that they divide.")
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor, sees: Tensor | None = None) -> Tensor:
        """h (..., T, W); sees (..., T, T) says which places each place looks at, by default itself and those before it."""
        mask = None if sees is None else sees.unsqueeze(-3)
        return self._rest(h, scaled_dot_product_attention(*self._heads(h), attn_mask=mask, is_causal=sees is None))

    def step(self, h: Tensor, past: State) -> tuple[Tensor, State]:
        """One place h (..., 1, W) that looks at all before it and at itself; past: their keys and values."""
        q, k, v = self._heads(h)
        k, v = torch.cat([past[0], k], -2), torch.cat([past[1], v], -2)
        return self._rest(h, scaled_dot_product_attention(q, k, v)), (k, v)

    def start(self, like: Tensor) -> State:
        """Keys and values of no place, for h of like's leading shape."""
        nothing = like.new_zeros(*like.shape[:-1], self.heads, 0, self.joined.in_features // self.heads)
        return nothing, nothing

    def _heads(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.query_key_value(self.before(h)).unflatten(-1, (3, self.heads, -1)).movedim(-4, -2).unbind(-4)
        return q, k, v

    def _rest(self, h: Tensor, attended: Tensor) -> Tensor:
        h = h + self.joined(attended.movedim(-3, -2).flatten(-2))
        return h + self.down(gelu(self.up(self.between(h))))
