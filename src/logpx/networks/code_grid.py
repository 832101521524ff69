"""Networks around a grid of codes (floor 2): convolutions to and from it, and a transformer that reads it in order."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logpx.networks.masked import Choose
from logpx.networks.plain import Block

Shape = tuple[int, ...]


class GridEncoder(nn.Module):
    """Images (..., C, H, W) -> (..., h * w * width): strided convolutions, two residual blocks, `width` numbers at each place.

    The side of the grid divides that of the image by `factor`, whose prime factors are the strides.
    """

    def __init__(self, inputs: Shape, factor: int, width: int, channels: int) -> None:
        super().__init__()
        self.inputs = inputs
        sizes = [inputs[0], *[channels] * len(primes(factor))]
        self.net = nn.Sequential()
        for (before, after), f in zip(pairwise(sizes), primes(factor), strict=True):
            self.net.extend([nn.Conv2d(before, after, f + 2, stride=f, padding=1), nn.ReLU()])
        self.net.append(nn.Conv2d(sizes[-1], channels, 3, padding=1))
        self.net.extend([Residual(channels), Residual(channels), nn.ReLU(), nn.Conv2d(channels, width, 1)])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        lead = x.shape[: x.ndim - len(self.inputs)]
        return self.net(x.reshape(-1, *self.inputs)).movedim(-3, -1).reshape(*lead, -1)


class GridDecoder(nn.Module):
    """(..., h * w * width) -> (..., size, C, H, W): the encoder's mirror, with transposed convolutions."""

    def __init__(self, grid: Shape, width: int, outputs: Shape, factor: int, channels: int) -> None:
        super().__init__()
        self.grid, self.width, self.outputs = grid, width, outputs
        strides = primes(factor)[::-1]
        sizes = [*[channels] * len(strides), outputs[0] * outputs[1]]
        self.net = nn.Sequential(nn.Conv2d(width, channels, 3, padding=1), Residual(channels), Residual(channels))
        for (before, after), f in zip(pairwise(sizes), strides, strict=True):
            self.net.extend([nn.ReLU(), nn.ConvTranspose2d(before, after, f + 2, stride=f, padding=1)])
        if not strides:
            self.net.extend([nn.ReLU(), nn.Conv2d(channels, sizes[-1], 1)])

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.net(z.reshape(-1, *self.grid, self.width).movedim(-1, -3)).reshape(*z.shape[:-1], *self.outputs)


class Residual(nn.Module):
    """h + conv(relu(conv(relu(h)))): 3 x 3 to half the channels, 1 x 1 back (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.net = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, half, 3, padding=1), nn.ReLU(), nn.Conv2d(half, channels, 1)
        )

    def forward(self, h: Tensor) -> Tensor:
        return h + self.net(h)


class Summed(nn.Module):
    """network(sum of the `stages` vectors at each place): (..., N * stages * width) -> what the network makes of N * width."""

    def __init__(self, network: nn.Module, stages: int, width: int) -> None:
        super().__init__()
        self.network, self.stages, self.width = network, stages, width

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.network(z.unflatten(-1, (-1, self.stages, self.width)).sum(-2).flatten(-2))


def primes(number: int) -> list[int]:
    """The prime factors, ascending: 28 -> [2, 2, 7]; 1 has none."""
    for p in range(2, math.isqrt(number) + 1):
        if number % p == 0:
            return [p, *primes(number // p)]
    return [number] if number > 1 else []


class CausalTransformer(nn.Module):
    """h_t(x_{<t}), K numbers for each of T tokens that are each one of K codes (Vaswani et al. 2017, arXiv:1706.03762; layers
    that normalise first).

    A masked network that is told nothing: x (N, T), f (N, 0, T) -> (N, K, T) in one pass. A draw takes T passes of one token,
    which keep the keys and values of those before. The last layer starts at 0: as logits these are codes used evenly.
    """

    def __init__(self, tokens: int, codes: int, *, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.shape, self.size, self.features, self.width = (tokens,), codes, 0, max(codes, width)
        self.order = torch.arange(tokens)
        self.code = nn.Embedding(codes + 1, width)  # the last stands before the first token
        self.place = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, codes)
        nn.init.normal_(self.code.weight, std=0.02)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, f: Tensor) -> Tensor:
        before = F.pad(x[:, :-1].long(), (1, 0), value=self.size)
        h = self.code(before) + self.place
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h)).mT

    def generate(self, f: Tensor, choose: Choose) -> Tensor:
        """x (N, T), each token chosen in its turn."""
        last = torch.full((len(f), 1), self.size, device=f.device)
        past = [block.start(f.new_zeros(len(f), 1)) for block in self.blocks]  # type: ignore[operator]
        chosen = []
        for t in range(len(self.place)):
            h = self.code(last) + self.place[t]
            for i, block in enumerate(self.blocks):
                h, past[i] = block.step(h, past[i])  # type: ignore[operator]
            last = choose(self.head(self.norm(h))[:, 0], t).long().unsqueeze(1)
            chosen.append(last)
        return torch.cat(chosen, 1).to(f.dtype)
