"""Protocols: how stored pixels become the x of a model, kept apart and named in every result (floor 6).

    grey        level / (levels - 1), in [0, 1]
    dynamic     training rows: x ~ Bernoulli(grey), anew at each read; held-out and test rows: drawn once
    static      every row: x ~ Bernoulli(grey), drawn once ("static:SEED")
    threshold   1 where grey >= 0.5
    integer     the levels themselves, 0 .. levels - 1
    as-is       not pixels, or pixels whose `kind` was set by hand: the stored numbers

Likelihoods under different protocols are likelihoods of different data: never in one column of a table.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from logpx.data.base import Kind, MappedRows, Rows, to_tensor
from logpx.errors import UserError

AS_IS = "as-is"
KIND_OF: dict[str, Kind] = {
    "grey": "grey",
    "dynamic": "binary",
    "threshold": "binary",
    "static": "binary",
    "integer": "integer",
}
EVALUATION_SEED = 777  # of Tomczak & Welling's code for the VampPrior (2018), whose dynamic test set is drawn once
Part = Literal["train", "held_out", "test"]
Prepare = Callable[[Tensor, torch.Generator | None], Tensor]


def parse(protocol: str, possible: tuple[str, ...], seed: int, name: str) -> str:
    """The protocol's full name ("static" becomes "static:SEED").

    Raises:
        UserError: it is not among the possible ones, or its seed is not an integer >= 0.
    """
    base, _, number = protocol.partition(":")
    if base not in possible or (number and base != "static"):
        offered = ", ".join(possible) or "none but 'as-is', because its values are neither pixels nor within [0, 1]"
        raise UserError(f"Protocol {protocol!r} does not apply to {name}; possible: {offered}.")
    if base != "static":
        return base
    number = number or str(seed)
    if not number.isdecimal() or int(number) >= 2**32:
        raise UserError(f"Protocol {protocol!r} needs an integer seed from 0 to 2**32 - 1, as in 'static:0'.")
    return f"static:{int(number)}"


def sentence(protocol: str, levels: int | None) -> str:
    """What the protocol did, for people."""
    base, _, seed = protocol.partition(":")
    grey = f"level / {levels - 1}" if levels else "the stored value"
    return {
        "grey": f"grey: {grey}, not binarised",
        "dynamic": "dynamically binarised: training pixels are drawn from Bernoulli(grey) anew at each read, "
        f"held-out and test pixels were drawn once (seed {EVALUATION_SEED})",
        "static": f"statically binarised: every pixel was drawn from Bernoulli(grey) once (seed {seed})",
        "threshold": "binarised by a threshold: 1 where grey >= 0.5",
        "integer": f"integer pixel levels 0 to {(levels or 1) - 1}",
    }[base]


def as_float(rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The stored numbers in the default floating point type."""
    return rows.to(torch.get_default_dtype())


def greys(levels: int | None) -> Prepare:
    """level / (levels - 1); values that already lie in [0, 1] (levels None) stay as they are."""
    top = (levels or 2) - 1

    def prepare(rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return as_float(rows / top)  # integers divide into floats in one pass

    return prepare


def above_half(levels: int | None) -> Prepare:
    """1 where grey >= 0.5, decided on the stored levels so that no rounding takes part."""
    top = (levels or 2) - 1

    def prepare(rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return with_holes(as_float(2 * rows.double() >= top), rows)

    return prepare


def with_holes(made: Tensor, rows: Tensor) -> Tensor:
    """What was made of rows, and nan where they are nan."""
    return made.masked_fill(rows.isnan(), torch.nan) if rows.is_floating_point() else made


def bernoulli(levels: int | None) -> Prepare:
    """x ~ Bernoulli(grey), drawn with the generator given, which must live on the rows' device."""
    grey = greys(levels)

    def draw(rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if generator is None:
            raise UserError("Training pixels are drawn anew at each read, so pass generator=torch.Generator().")
        p = grey(rows, None)
        if rows.is_floating_point():
            return with_holes(torch.bernoulli(p.nan_to_num(0.0), generator=generator), p)
        return torch.bernoulli(p, generator=generator)

    return draw


class DrawnRows:
    """x ~ Bernoulli(grey) for rows on disk: row i has its own stream, so each read sees the same bits."""

    def __init__(self, rows: MappedRows, levels: int | None, seed: int, part: int, missing: bool) -> None:
        self.rows, self.grey, self.key, self.missing = rows, greys(levels), (seed << 2) + part, missing

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        at = torch.arange(len(self))[index if isinstance(index, slice) else index.cpu()]
        grey = drawn_by_position(self.grey(self.rows[index], None), at.tolist(), self.key)
        return grey if self.missing else grey.to(torch.uint8)


def drawn_by_position(grey: Tensor, positions: Sequence[int], key: int) -> Tensor:
    """x ~ Bernoulli(grey) in the place of grey (n, *shape): each row by the stream of its position, nan staying nan."""
    for i, p in zip(positions, grey, strict=True):
        u = np.random.Generator(np.random.Philox(key=[key, i])).random(p.shape)
        p.copy_(with_holes(torch.from_numpy(u < p.double().numpy()).to(p.dtype), p))
    return grey


def drawn_once(rows: Rows, levels: int | None, seed: int, part: Part, missing: bool = False) -> Rows:
    """uint8 rows of {0, 1}, x ~ Bernoulli(grey) with a fixed seed; in memory unless the rows lie on disk.

    Where values are missing the rows are float32, with nan in the holes.

    The test rows of the dynamic protocol are exactly `RandomState(777).binomial(1, grey)`; each part has a
    stream of its own, so that the test set does not move when the size of the held-out set does.
    """
    number = ("test", "train", "held_out").index(part)
    if isinstance(rows, MappedRows):
        return DrawnRows(rows, levels, seed, number, missing)
    random = np.random.RandomState([seed, number] if number else seed)
    drawn = np.empty(rows.shape, np.float32 if missing else np.uint8)
    for start in range(0, len(rows), 1000):  # in pieces: the draws are the same, the float64 copy is small
        grey = rows[start : start + 1000].double().numpy() / ((levels or 2) - 1)
        drawn[start : start + 1000] = random.binomial(1, np.nan_to_num(grey))
        if missing:
            drawn[start : start + 1000][np.isnan(grey)] = np.nan
    return to_tensor(drawn)


def apply_to_piece(protocol: str, rows: Tensor, levels: int | None, first: int) -> Tensor:
    """x of rows `first`, `first` + 1, ... of a source that is read a piece at a time, each as if it were evaluated alone."""
    base, _, seed = protocol.partition(":")
    if base in ("dynamic", "static"):
        positions = range(first, first + len(rows))
        return drawn_by_position(greys(levels)(rows, None), positions, int(seed or EVALUATION_SEED) << 2)
    return apply(protocol, rows, levels, "test")[1](rows, None)


def apply(
    protocol: str, rows: Rows, levels: int | None, part: Part, missing: bool = False
) -> tuple[Rows, Prepare, bool]:
    """(rows to keep, how a batch is prepared from them, whether that draws) for one split; nan stays nan."""
    base, _, seed = protocol.partition(":")
    if base == "grey":
        return rows, greys(levels), False
    if base == "threshold":
        return rows, above_half(levels), False
    if base == "dynamic" and part == "train":
        return rows, bernoulli(levels), True
    if base in ("dynamic", "static"):
        return drawn_once(rows, levels, int(seed or EVALUATION_SEED), part, missing), as_float, False
    return rows, as_float, False
