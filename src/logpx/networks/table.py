"""What networks see of numbers that are not just real, and how they emit the numbers of a table (floor 2).

Codes become one-hot, counts their logarithm, levels and real columns numbers of order one: an encoder learns from such
inputs at any scale of the data. All take any number of leading axes.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from logpx.networks.plain import Shape


class Column(Protocol):
    """What is known of a column: `mean` and `scale` are those of its training rows, `levels` its number of categories."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def levels(self) -> int | None: ...
    @property
    def mean(self) -> float: ...
    @property
    def scale(self) -> float: ...


class Standard(NamedTuple):
    """Where real data lie: mean and standard deviation of each column of a table, or of each channel of pictures."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def tensors(self, shape: Shape) -> tuple[Tensor, Tensor]:
        """Both for every element of a row of this shape."""
        mean, scale = (torch.tensor(n).reshape(-1, *[1] * (len(shape) - 1)).expand(shape).clone() for n in self)
        return mean, scale


class Standardised(nn.Module):
    """(x - mean)/scale; a missing value (nan) is 0, the mean. The numbers are no weights: whoever builds it gives them."""

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Shape, standard: Standard) -> None:
        super().__init__()
        self.outputs = shape
        for name, value in zip(("mean", "scale"), standard.tensors(shape), strict=True):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        missing = x.isnan()
        return ((x.masked_fill(missing, 0) - self.mean) / self.scale).masked_fill(missing, 0)


class TableFeatures(nn.Module):
    """Rows x (..., P) of a mixed table -> (..., F): first all columns that are numbers, then the categories one-hot.

    real: (x - mean)/scale; integer: log(1 + x), standardised likewise where the column's mean is known; binary and grey: x.
    A missing value (nan) is 0, which is the mean of a standardised column, and so is a code that training does not know:
    all its one-hot numbers are 0.
    """

    at: Tensor
    is_count: Tensor
    mean: Tensor
    scale: Tensor
    owner: Tensor
    code: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        numbers = [j for j, column in enumerate(columns) if column.kind != "categorical"]
        codes = [(j, k) for j, c in enumerate(columns) if c.kind == "categorical" for k in range(c.levels or 1)]
        centres = torch.tensor([_centre(columns[j]) for j in numbers]).reshape(-1, 2)
        self._keep("at", torch.tensor(numbers, dtype=torch.long))
        self._keep("is_count", torch.tensor([columns[j].kind == "integer" for j in numbers], dtype=torch.bool))
        self._keep("mean", centres[:, 0].clone())
        self._keep("scale", centres[:, 1].clone())
        self._keep("owner", torch.tensor([j for j, _ in codes], dtype=torch.long))
        self._keep("code", torch.tensor([k for _, k in codes], dtype=torch.long))
        self.outputs = (len(numbers) + len(codes),)

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        numbers = x.index_select(-1, self.at)
        missing = numbers.isnan()
        # before the logarithm, because the gradient of one of nan is nan, times 0 too
        numbers = numbers.masked_fill(missing, 0)
        numbers = torch.where(self.is_count, numbers.clamp_min(0).log1p(), numbers)
        one_hot = (x.index_select(-1, self.owner) == self.code).to(x.dtype)
        return torch.cat([((numbers - self.mean) / self.scale).masked_fill(missing, 0), one_hot], -1)


def _centre(column: Column) -> tuple[float, float]:
    """(mean, scale) of what the network sees of a number; of log(1 + x) to first order: log(1 + m) and s/(1 + m)."""
    if column.kind == "real":
        return float(column.mean), float(column.scale) or 1.0
    if column.kind == "integer" and column.mean > 0:
        return math.log1p(column.mean), column.scale / (1 + column.mean) or 1.0
    return 0.0, 1.0


class LevelFeatures(nn.Module):
    """Pixel levels 0 .. L-1 as x/(L-1), counts (levels None) as log(1 + x); nan as 0."""

    def __init__(self, shape: Shape, levels: int | None) -> None:
        super().__init__()
        self.outputs, self.levels = shape, levels

    def forward(self, x: Tensor) -> Tensor:
        x = x.masked_fill(x.isnan(), 0)  # before the logarithm, as above
        return x.clamp_min(0).log1p() if self.levels is None else x / max(self.levels - 1, 1)


class OneHotFeatures(nn.Module):
    """Codes x (..., C, *rest) -> (..., C L, *rest): L numbers, one of them 1, for each; nan gives zeros."""

    def __init__(self, shape: Shape, levels: int) -> None:
        super().__init__()
        self.levels, self.rest = levels, len(shape) - 1
        self.outputs = (shape[0] * levels, *shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        codes = torch.arange(self.levels, device=x.device).reshape(-1, *[1] * self.rest)
        one_hot = x.unsqueeze(x.ndim - self.rest) == codes
        return one_hot.flatten(x.ndim - self.rest - 1, x.ndim - self.rest).to(x.dtype)


class Seeing(nn.Module):
    """A network that sees the features of x in its place; the features know what to make of a missing value (nan)."""

    sees_missing = True

    def __init__(self, features: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.features, self.network = features, network

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.network(self.features(x), context)


def behind_features(encoder: nn.Module, wrapped: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """wrapped(encoder); where the encoder sees features of x, what wraps it sees those: never a code, a hole or a count."""
    if isinstance(encoder, Seeing):
        return Seeing(encoder.features, wrapped(encoder.network))
    return wrapped(encoder)


class Spread(nn.Module):
    """A network's (..., sum of widths) -> (..., largest width, P): column j's numbers are the first widths[j] of [..., :, j].

    The rest is 0. A column of a thousand categories thus costs the network a thousand numbers, not a thousand for each
    column.
    """

    source: Tensor

    def __init__(self, network: nn.Module, widths: Shape) -> None:
        super().__init__()
        self.network = network
        source = torch.full((max(widths), len(widths)), sum(widths))  # where nothing belongs, the zero after the last
        for j, width in enumerate(widths):
            source[:width, j] = sum(widths[:j]) + torch.arange(width)
        self.register_buffer("source", source, persistent=False)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        h = nn.functional.pad(self.network(z, context), (0, 1))
        return h.index_select(-1, self.source.flatten()).unflatten(-1, tuple(self.source.shape))
