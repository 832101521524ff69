"""Networks of the user's own (floor 2): any module of rows (N, ...), behind the calls that a model makes."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from logpx.errors import UserError
from logpx.networks.plain import Shape


class Sizes(NamedTuple):
    """What a pair of networks is built for; all shapes are those of one row, so the axis of the rows is not among them.

    x        what the encoder gets: the data's shape, (C, H, W) or (P,); of categories and mixed tables the numbers made of them
    q        how many numbers the encoder emits: all that the law q(z|x) is made of
    z        how many the decoder gets
    px       what the decoder emits: the data's shape behind an axis of as many numbers as p(x|z) needs for each element, which
             may be left out where it is 1; of a mixed table one number after another, (n,)
    context  how many numbers of context both get as a second argument; 0: there is none
    """

    x: Shape
    q: int
    z: int
    px: Shape
    context: int = 0


class Own(nn.Module):
    """(..., *inputs) -> (..., *outputs) by a module that knows rows (N, *inputs) only, and a context (N, C) if there is one.

    name is what sentences call it. Raises UserError for a module that does not take the context, and, when it is called, for
    numbers of another shape or type than those that are needed.
    """

    def __init__(self, network: nn.Module, inputs: Shape, outputs: Shape, *, context: int = 0, name: str) -> None:
        super().__init__()
        self.network, self.inputs, self.outputs, self.name = network, inputs, outputs, name
        try:
            inspect.signature(network.forward).bind(*[None] * (2 if context else 1))
        except TypeError as error:
            takes = "forward(rows, context)" if context else "forward(rows)"
            raise UserError(f"{_capital(name)} is called as {takes}, which it does not take ({error}).") from None

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        lead = x.shape[: x.ndim - len(self.inputs)]
        rows = x.reshape(-1, *self.inputs)
        if context is None:
            h = self.network(rows)
        else:
            h = self.network(rows, context.expand(*lead, context.shape[-1]).reshape(rows.shape[0], -1))
        return self._checked(h, rows).reshape(*lead, *self.outputs)

    def _checked(self, h: Tensor, rows: Tensor) -> Tensor:
        if not isinstance(h, Tensor):
            raise UserError(f"{_capital(self.name)} returns a {type(h).__name__}, and one tensor is needed.")
        n = rows.shape[0]  # where a graph is drawn for export, the name of any number of rows: len() would fix it
        wanted = [(n, *self.outputs)] + [(n, *self.outputs[1:])] * (self.outputs[0] == 1)
        if tuple(h.shape) not in wanted:
            raise UserError(
                f"{_capital(self.name)} makes {_shape(h.shape)} of {_shape(rows.shape)}, where "
                f"{' or '.join(_shape(shape) for shape in dict.fromkeys(wanted))} is needed (rows come first)."
            )
        if not h.is_floating_point() or torch.promote_types(h.dtype, rows.dtype) != rows.dtype:
            raise UserError(f"{_capital(self.name)} emits {_type(h)} numbers for {_type(rows)} ones: keep their type.")
        return h


def calm(part: nn.Module, call: Callable[[], Tensor], x: Tensor, alone: Callable[[], Tensor]) -> Tensor:
    """call(), which lets `part`, at rest, see x; alone() lets it see the first row, and returns what belongs to it.

    Raises UserError where a module of the user's own within the part writes into x, emits nan, draws numbers of its own, or
    makes other numbers of a row where it stands alone.
    """
    before, first = x.clone(), call()
    name = named(part, "")
    if name and not torch.equal(x.nan_to_num(), before.nan_to_num()):
        raise UserError(f"{_capital(name)} writes into the rows that it is given: take inplace=True away.")
    if name and bool(first.isnan().any()):
        raise UserError(
            f"{_capital(name)} emits nan for the first rows: look for a division by 0, a root or a logarithm."
        )
    if name and not torch.equal(first, call()):
        raise UserError(
            f"{_capital(name)} makes other numbers of the same rows at each call: draw only while self.training is true, for "
            "evaluation must not."
        )
    if name and not _alike(alone, first):
        raise UserError(
            f"{_capital(name)} makes other numbers of a row where another stands beside it: at rest each row must be seen by "
            "itself, so no means over the rows (BatchNorm with track_running_stats=False)."
        )
    return first


def _alike(alone: Callable[[], Tensor], among: Tensor) -> bool:
    """Whether a row's numbers (..., 1, *shape) are those it has among others (..., N, *shape), up to 1 % of the largest.

    Rounding differs with the number of rows, and TF32 keeps three digits. What takes two rows and not one mixes them.
    """
    try:
        own = alone()
    except UserError:
        raise
    except Exception:
        return False
    for axis, (one, n) in enumerate(zip(own.shape, among.shape, strict=True)):
        if one != n:
            among = among.narrow(axis, 0, 1)
    return torch.allclose(own, among, rtol=0.01, atol=0.01 * float(among.nan_to_num(posinf=0, neginf=0).abs().max()))


def named(part: nn.Module, otherwise: str) -> str:
    """What to call a part: by the user's own module within it, or otherwise."""
    return next((module.name for module in part.modules() if isinstance(module, Own)), otherwise)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _type(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
