"""Masked networks (floor 2): what they emit at each element of x depends on the elements before it, and on no other.

Both map x (N, *shape) and features f (K N, F, *shape), which every layer reads, to (K N, size, *shape) in one pass: row n of
x goes with rows n, N + n, 2N + n, ... of f, and what depends on x alone is computed once for all K. And both draw x
element by element, computing each number of that pass once. Elements follow one another row by row from the top, left to
right, the colours of a pixel in turn.
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logpx.errors import UserError
from logpx.networks.plain import Shape

#: the numbers h (N, size) emitted at element i of x, counted as x lies in memory, to the x_i (N,) that they lead to
Choose = Callable[[Tensor, int], Tensor]


def owners(shape: Shape, numbers: int) -> Tensor:
    """The element that each number of `seen` x belongs to, (numbers prod(shape),): OneHotFeatures makes several of one."""
    return torch.arange(prod(shape)).reshape(shape).repeat_interleave(numbers, 0).flatten()


def numbers_of(see: nn.Module | None, shape: Shape) -> int:
    """How many numbers a network sees of each element of x."""
    return 1 if see is None else prod(see.outputs) // prod(shape)  # type: ignore[arg-type]


def joined(a: Tensor, b: Tensor) -> Tensor:
    """a + b of (N, ...) and (K N, ...), or the other way round."""
    if a.shape[0] == b.shape[0]:  # not len(), which would tie a traced graph to one N
        return a + b
    few, many = sorted((a, b), key=len)
    return (few + many.unflatten(0, (-1, len(few)))).flatten(0, 1)


class MaskedLinear(nn.Module):
    """y = (M * W) x + b for a mask M (outputs, inputs) of zeros and ones.

    Where the mask is 0 the weight starts at 0 and gets no gradient, so no optimiser moves it, with momentum or decay either.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, *, bias: bool = True) -> None:
        super().__init__()
        outputs, inputs = mask.shape
        linear = nn.Linear(inputs, outputs, bias)
        self.weight, self.bias = nn.Parameter(linear.weight.detach() * mask), linear.bias
        self.register_buffer("mask", mask.to(linear.weight), persistent=False)

    @property
    def masked(self) -> Tensor:
        """M * W, (outputs, inputs)."""
        return self.mask * self.weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.masked, self.bias)


class MADE(nn.Module):
    """h_i(x_1, ..., x_{i-1}) by an MLP with masks (Germain et al. 2015, arXiv:1502.03509, eq. 8, 9 and 13).

    A hidden unit of degree m sees the first m elements: it is joined to units of at most its degree, and element i to
    units of degree below i. Degrees are spread evenly and in order, and element i also sees those before it directly. The
    features reach every hidden layer as a whole, and each element its own.

    see  what the network sees in the place of x: None, or LevelFeatures or OneHotFeatures of this shape.
    """

    order: Tensor

    def __init__(
        self,
        shape: Shape,
        size: int,
        *,
        features: int = 0,
        hidden: Shape = (500,),
        see: nn.Module | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        P = prod(shape)
        self.shape, self.size, self.features = shape, size, features
        self.width = max(size, *hidden, 0) // P + size  # numbers held for each element
        self.see, self.activation = see or nn.Identity(), activation()
        self.order = turns(shape)
        rank = self.order.argsort()  # rank[i]: how many elements come before element i
        degrees = [rank[owners(shape, numbers_of(see, shape))] + 1]
        degrees += [1 + torch.arange(width) * max(P - 1, 1) // width for width in hidden]
        self.degrees, out = degrees[1:], rank.repeat(size)
        self.layers: Any = nn.ModuleList(MaskedLinear(mask(b, a)) for a, b in pairwise(degrees))
        self.head = MaskedLinear(mask(out, degrees[-1])) if hidden else None
        self.direct = MaskedLinear(mask(out, degrees[0]), bias=not hidden)
        self.condition: Any = nn.ModuleList(nn.Linear(features * P, width, bias=False) for width in hidden if features)
        self.own = nn.Linear(features, size, bias=False) if features else None

    def forward(self, x: Tensor, f: Tensor) -> Tensor:
        seen = a = self.see(x).flatten(1)
        for layer, given in zip(self.layers, self._given(f), strict=True):
            a = self.activation(joined(layer(a), given))
        h = self.direct(seen) if self.head is None else joined(self.head(a), self.direct(seen))
        return joined(h.unflatten(1, (self.size, *self.shape)), self._own(f))

    def _given(self, f: Tensor) -> list[Tensor]:
        """What the features add to each hidden layer."""
        flat = f.flatten(1)
        return (
            [c(flat) for c in self.condition] if self.condition else [f.new_zeros(f.shape[0], 1) for _ in self.layers]
        )

    def _own(self, f: Tensor) -> Tensor:
        """What the features of each element add to its numbers, (N, size, *shape), or zeros (N, 1, ...)."""
        if self.own is None:
            return f.new_zeros(f.shape[0], 1, *[1] * len(self.shape))
        return self.own(f.movedim(1, -1)).movedim(-1, 1)

    def generate(self, f: Tensor, choose: Choose) -> Tensor:
        """x (N, *shape), each element chosen in its turn; each hidden unit is computed once, when all it sees is there."""
        N, P = len(f), prod(self.shape)
        owner = owners(self.shape, self.direct.mask.shape[1] // P)
        x, given = f.new_zeros(N, P), self._given(f)
        seen = f.new_zeros(N, len(owner))
        units = [f.new_zeros(N, len(degree)) for degree in self.degrees]
        weights = [layer.masked for layer in self.layers]
        heads = [(self.direct.masked, seen)] + ([(self.head.masked, units[-1])] if self.head else [])
        bias = (self.head or self.direct).bias.view(self.size, *self.shape)
        start = (bias + self._own(f)).expand(N, -1, *bias.shape[1:]).flatten(2)
        for turn, i in enumerate(self.order.tolist()):
            below = seen
            for layer, w, a, degree, g in zip(self.layers, weights, units, self.degrees, given, strict=True):
                new = degree == turn
                a[:, new] = self.activation(F.linear(below, w[new], layer.bias[new]) + g.expand_as(a)[:, new])
                below = a
            x[:, i] = choose(start[..., i] + sum(F.linear(a, w[i::P]) for w, a in heads), i)
            one = x[:, i].view(N, *[1] * len(self.shape))
            seen[:, owner == i] = self.see(one).flatten(1)
        return x.view(N, *self.shape)


def mask(later: Tensor, earlier: Tensor) -> Tensor:
    """1 where a unit of the one degree may see one of the other, (later, earlier)."""
    return (later[:, None] >= earlier[None, :]).float()


def turns(shape: Shape) -> Tensor:
    """The elements of x as they follow one another: of images (C, H, W) the colours of a pixel in turn."""
    at = torch.arange(prod(shape)).reshape(shape)
    return (at.movedim(0, -1) if len(shape) > 1 else at).flatten()


def channels_last(h: Tensor) -> Tensor:
    """The same numbers, those of a pixel beside each other: half the time of a step on a CPU.

    Parameters stay as they are: an optimiser's state that was saved and loaded would no longer lie as they do.
    """
    return h.contiguous(memory_format=torch.channels_last)


class _Row(nn.Module):
    """A convolution along a row, over `taps` pixels up to the one it stands at: (N, in, H, W) -> (N, out, H, W).

    Of that last one, an output of colour c sees inputs of colours below c (mask A) or up to c (mask B): `seen` and
    `emitted` are the colours of the inputs and outputs. Of the pixels to the left it sees everything.
    """

    mask: Tensor

    def __init__(self, seen: Tensor, emitted: Tensor, taps: int, kind: str) -> None:
        super().__init__()
        conv = nn.Conv2d(len(seen), len(emitted), (1, taps))
        allowed = torch.ones_like(conv.weight)
        here = emitted[:, None] > seen[None, :] if kind == "A" else emitted[:, None] >= seen[None, :]
        allowed[..., -1] = here[..., None].to(allowed)
        self.weight, self.bias = nn.Parameter(conv.weight.detach() * allowed), conv.bias
        self.register_buffer("mask", allowed, persistent=False)

    @property
    def taps(self) -> int:
        return self.weight.shape[-1]

    def forward(self, h: Tensor) -> Tensor:
        h = F.pad(h, (self.taps - 1, 0)) if self.taps > 1 else h
        return channels_last(F.conv2d(h, self.mask * self.weight, self.bias))

    def matrix(self) -> Tensor:
        """The same weights for one pixel's (N, taps in) numbers, (taps in, out)."""
        return (self.mask * self.weight).squeeze(2).permute(2, 1, 0).flatten(0, 1)


class _Column(nn.Conv2d):
    """A convolution over the `rows` of a k x k window down to the one it stands at, at full width.

    The first layer's ends one row higher, so that no layer sees the row that it stands at.
    """

    def __init__(self, inputs: int, outputs: int, k: int, *, first: bool) -> None:
        super().__init__(inputs, outputs, (k // 2 + (k == 1 or not first), k))
        self.first = first

    def padded(self, v: Tensor) -> Tensor:
        """v with zeros around it; the first layer's last row is seen by nobody."""
        rows, k = self.kernel_size
        return F.pad(v, (k // 2, k // 2, rows, -1) if self.first else (k // 2, k // 2, rows - 1, 0))

    def forward(self, v: Tensor) -> Tensor:
        return channels_last(super().forward(self.padded(v)))


class GatedLayer(nn.Module):
    """One layer of both stacks: v stands for the rows above a pixel, h for these and what is left of it in its own.

    v' = g(column(v)),  h' = h + out(g(row(h) + down(v') + A f)),  g(a, b) = tanh a * sigmoid b;
    without the h on the right in the first layer, which would hand x_i on to itself. v does not depend on f, nor does
    the first row(h): with many draws of z per x they are computed once.
    """

    def __init__(self, seen: Tensor, colour: Tensor, k: int, features: int, *, first: bool) -> None:
        super().__init__()
        ch, self.first = len(colour), first
        self.column = _Column(len(seen), 2 * ch, k, first=first)
        self.row = _Row(seen, torch.cat([colour, colour]), k // 2 + 1, "A" if first else "B")
        self.down = nn.Conv2d(ch, 2 * ch, 1)
        self.condition = nn.Conv2d(features, 2 * ch, 1, bias=False) if features else None
        self.out = _Row(colour, colour, 1, "B")

    def forward(self, v: Tensor, h: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        v = gate(self.column(v))
        new = self.out(gate(joined(joined(self.row(h), self.down(v)), self.told(f))))
        return v, new if self.first else h + new

    def told(self, f: Tensor) -> Tensor:
        """A f, (N, 2 channels, H, W), or zeros (N, 1, 1, 1)."""
        return f.new_zeros(f.shape[0], 1, 1, 1) if self.condition is None else self.condition(f)


def gate(a: Tensor) -> Tensor:
    """tanh of the first half of the channels times the sigmoid of the second (van den Oord et al. 2016, eq. 2).

    tanh a = 2 sigmoid(2 a) - 1: one sigmoid of all the channels is what a CPU computes fastest, in bfloat16 above all.
    """
    half = a.shape[1] // 2
    doubled = torch.cat([a.new_full((half,), 2), a.new_ones(half)]).view(-1, *[1] * (a.dim() - 2))
    left, right = torch.sigmoid(doubled * a).chunk(2, 1)
    return (2 * left - 1) * right


class GatedPixelCNN(nn.Module):
    """h_i(x_{<i}) of images by two stacks of gated convolutions (van den Oord et al. 2016, arXiv:1606.05328, section 2).

    The vertical stack sees all the rows above, the horizontal one the row of its pixel: together there is no blind spot.
    Each has one layer for each of `kernels`, odd sides of their windows; a window of 1 is a layer that looks no further.
    Colours of a pixel are masked in the horizontal stack, red before green before blue. Beside x stands a channel of ones,
    by which the zeros around the picture differ from those in it. Rows (P,) are pictures of one line.

    see  what the network sees in the place of x: None, or LevelFeatures or OneHotFeatures of `picture(shape)`.
    """

    order: Tensor

    def __init__(
        self,
        shape: Shape,
        size: int,
        *,
        features: int = 0,
        channels: int = 32,
        kernels: Shape = (7, 3, 3),
        see: nn.Module | None = None,
    ) -> None:
        super().__init__()
        C, _, _ = picture(shape)
        _check(kernels, channels, C)
        self.shape, self.size, self.features, self.see = shape, size, features, see or nn.Identity()
        self.order, self.width = turns(shape), channels  # width: numbers held for each element
        inputs = torch.arange(-1, C).roll(-1).repeat_interleave(torch.tensor([numbers_of(see, shape)] * C + [1]))
        colour = torch.arange(channels) * C // channels
        self.layers: Any = nn.ModuleList(
            GatedLayer(colour if i else inputs, colour, k, features * C, first=i == 0) for i, k in enumerate(kernels)
        )
        self.head = _Row(colour, colour, 1, "B")
        self.last = _Row(colour, torch.arange(C).repeat(size), 1, "B")

    def forward(self, x: Tensor, f: Tensor) -> Tensor:
        seen = self.see(x.reshape(x.shape[0], *picture(self.shape)))
        v = h = channels_last(torch.cat([seen, torch.ones_like(seen[:, :1])], 1))
        f = self._pictures(f)
        for layer in self.layers:
            v, h = layer(v, h, f)
        h = self.last(torch.relu(self.head(torch.relu(h))))
        return h.reshape(h.shape[0], self.size, *self.shape)

    def _pictures(self, f: Tensor) -> Tensor:
        """The features as pictures (N, F C, H, W)."""
        C, H, W = picture(self.shape)
        return channels_last(f.reshape(f.shape[0], self.features * C, H, W))

    def generate(self, f: Tensor, choose: Choose) -> Tensor:
        """x (N, *shape), each chosen in its turn: the vertical stack runs once a row, the horizontal once an element."""
        C, H, W = picture(self.shape)
        f = self._pictures(f)
        x, vertical, horizontal = f.new_zeros(len(f), C, H, W), _Vertical(self, f), _Horizontal(self)
        for i in range(H):
            row = horizontal.line(vertical.row(i))
            for j in range(W):
                for c in range(C):
                    x[:, c, i, j] = choose(row.numbers(j, c), (c * H + i) * W + j)
                    row.put(j, c, self.see(x[:, c : c + 1, i : i + 1, j : j + 1]).flatten(1))
            vertical.put(i, row.seen())
        return x.reshape(len(f), *self.shape)


class _Vertical:
    """The vertical stack while x is drawn: each of its rows once, from the rows of every layer so far."""

    def __init__(self, net: GatedPixelCNN, f: Tensor) -> None:
        self.layers, (_, H, W) = net.layers, picture(net.shape)
        self.told = [layer.told(f).expand(-1, -1, H, W) for layer in net.layers]
        # one row more, for the last one that the first layer never sees
        self.inputs = [
            layer.column.padded(f.new_zeros(len(f), layer.column.in_channels, H + 1, W)) for layer in net.layers
        ]

    def row(self, i: int) -> list[Tensor]:
        """What row i of the horizontal stack is told, layer by layer, (W, N, 2 channels)."""
        said = []
        for at, (layer, told) in enumerate(zip(self.layers, self.told, strict=True)):
            column = layer.column
            window = self.inputs[at][:, :, i : i + column.kernel_size[0]]
            v = gate(F.conv2d(window, column.weight, column.bias))
            said.append((layer.down(v) + told[:, :, i : i + 1]).squeeze(2).permute(2, 0, 1).contiguous())
            if at + 1 < len(self.layers):
                self._write(at + 1, i, v)
        return said

    def put(self, i: int, x: Tensor) -> None:
        """Row i of what the network sees of x, (N, inputs, 1, W)."""
        self._write(0, i, x)

    def _write(self, at: int, i: int, v: Tensor) -> None:
        column = self.layers[at].column
        rows, k = column.kernel_size
        self.inputs[at][:, :, i + rows - (not column.first), k // 2 : k // 2 + v.shape[-1]] = v.squeeze(2)


class _Horizontal:
    """The horizontal stack while x is drawn, as matrices; `line` starts a row."""

    def __init__(self, net: GatedPixelCNN) -> None:
        self.net, (self.C, _, self.W) = net, picture(net.shape)
        self.rows: Any = [(layer.row.matrix(), layer.row.bias, layer.row.taps) for layer in net.layers]
        self.outs: Any = [(layer.out.matrix(), layer.out.bias) for layer in net.layers]
        self.head: Any = [(r.matrix(), r.bias) for r in (net.head, net.last)]

    def line(self, told: list[Tensor]) -> "_Horizontal":
        N, self.told = told[0].shape[1], told
        self.lines = [
            told[0].new_zeros(N, self.W + taps - 1, len(matrix) // taps) for matrix, _, taps in self.rows
        ]  # zeros stand left of the picture
        self.lines[0][:, self.rows[0][2] - 1 :, -1] = 1
        return self

    def numbers(self, j: int, c: int) -> Tensor:
        """h (N, size) of colour c at column j."""
        for at, (matrix, bias, taps) in enumerate(self.rows):
            line = self.lines[at]
            a = torch.addmm(bias, line[:, j : j + taps].flatten(1), matrix) + self.told[at][j]
            new = torch.addmm(self.outs[at][1], gate(a), self.outs[at][0])
            h = new if at == 0 else line[:, j + taps - 1] + new
            if at + 1 < len(self.rows):
                following = self.rows[at + 1][2]
                self.lines[at + 1][:, j + following - 1] = h
        for matrix, bias in self.head:
            h = torch.addmm(bias, torch.relu(h), matrix)
        return h.view(len(h), -1, self.C)[:, :, c]

    def put(self, j: int, c: int, seen: Tensor) -> None:
        """What the network sees of x there, (N, inputs/C)."""
        n = seen.shape[1]
        self.lines[0][:, j + self.rows[0][2] - 1, c * n : (c + 1) * n] = seen

    def seen(self) -> Tensor:
        """The row as the vertical stack takes it, (N, inputs, 1, W)."""
        return self.lines[0][:, self.rows[0][2] - 1 :].mT.unsqueeze(2)


def picture(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W) of images, (1, 1, P) of rows; UserError for any other shape."""
    if len(shape) not in (1, 3):
        raise UserError(
            f"A PixelCNN reads images (C, H, W) or rows (P,), and these data have shape {shape}: take 'made'."
        )
    return shape if len(shape) == 3 else (1, 1, shape[0])


def _check(kernels: Shape, channels: int, colours: int) -> None:
    if not kernels or any(k < 1 or k % 2 == 0 for k in kernels):
        raise UserError(f"kernels is {kernels}: give one odd side of a window for each layer, such as 7,3,3.")
    if channels < colours:
        raise UserError(f"channels is {channels} for {colours} colours: give at least one for each.")
