"""What is evaluated, and a model at rest while it is (floor 5)."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.model import VAE, Batch


class Rows(Protocol):
    """Anything with a length that prepares a slice of rows, such as a Split."""

    def __len__(self) -> int: ...
    def batch(self, index: slice, /) -> Batch: ...


CACHED = 2**20  # numbers of a decoder's output that are computed and summed up while a processor's cache holds them
Points = Tensor | Batch | Rows  # what is evaluated: rows (N, *shape), nan meaning missing; a batch; a split


@dataclass(frozen=True)
class PerPoint:
    """A number for each of n points, their mean, and the standard error that the mean has from having n points only."""

    per_point: Tensor

    @property
    def mean(self) -> float:
        return self.per_point.mean().item()

    @property
    def standard_error(self) -> float:
        n = len(self.per_point)
        return self.per_point.std().item() / math.sqrt(n) if n > 1 else math.nan

    @property
    def said(self) -> str:
        """ "-81.234 +- 0.120 (s.e.) nats per data point"; one point shows no error."""
        error = "" if math.isnan(self.standard_error) else f" +- {self.standard_error:.3f} (s.e.)"
        return f"{self.mean:.3f}{error} nats per data point"

    def head(self, kind: str, name: str) -> dict[str, Any]:
        """What each summary of an estimate begins with; one point shows no error, which is then nan."""
        numbers = {"kind": kind, "name": name, "unit": "nats per data point", "value": self.mean}
        return numbers | {"standard_error": self.standard_error, "points": len(self.per_point)}


def weights_error(ess: Tensor, k: int) -> float:
    """Of the mean over n points of log w-bar, of k weights each: its variance is 1/ESS - 1/k to first order; nan for k = 1."""
    return (1 / ess - 1 / k).clamp_min(0).sum().sqrt().item() / len(ess) if k > 1 else math.nan


def plain(numbers: dict[str, Any]) -> dict[str, Any]:
    """Numbers for a JSON object: None in the place of those that are not finite, however deep they lie."""
    return {name: _plain(value) for name, value in numbers.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def count(data: Points) -> int:
    """How many rows there are."""
    return len(data.x if isinstance(data, Batch) else data)


def batch_of(data: Points, index: slice) -> Batch:
    """Rows; those that are drawn anew at each read (dynamically binarised ones) are the same whenever asked for."""
    if isinstance(data, Batch):
        return data.map(lambda t: t[index])
    if isinstance(data, Tensor):
        return Batch.of(data[index])
    if getattr(data, "random", False):
        return data.batch(index, torch.Generator().manual_seed(index.start))  # type: ignore[call-arg]
    return data.batch(index)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in evaluation mode, and each of its parts back in the mode it had."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@cache
def keep_memory() -> None:
    """Lets glibc keep what is freed, for the life of the process, up to 62 MB.

    It gives larger blocks than any it has seen freed back to the system at once, and getting them anew, page by page, costs as
    much as the arithmetic on them; so it is shown one of 31 MB, the most that it learns from. A setting of the user's wins.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


@contextmanager
def at_rest(model: torch.nn.Module, seed: int | None = None) -> Iterator[None]:
    """`evaluating`, with a random state of its own (of that seed) and without gradients."""
    keep_memory()
    with evaluating(model), private_randomness(next(model.parameters()).device, seed), torch.no_grad():
        yield


@contextmanager
def private_randomness(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """torch's global random state of the CPU and that device, put back at the end; seeded within, if asked."""
    with torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []):
        if seed is not None:
            reseed(seed)
        yield


def reseed(seed: int) -> None:
    """`torch.manual_seed`, which queues a traceback of each call for a GPU that may come, where none has been used so far.

    That takes 0.7 ms and is never freed, and a tile of noise is seeded by its position.
    """
    if torch.cuda.is_initialized():
        torch.manual_seed(seed % 2**64)
    else:
        torch.default_generator.manual_seed(seed % 2**64)


def placed(batch: Batch, model: torch.nn.Module) -> Batch:
    """The batch where the model lives, in its type."""
    like = next(model.parameters())
    return batch.to(like.device, like.dtype)


def check_rows(data: Points) -> None:
    """Raises UserError where there is nothing to evaluate."""
    if count(data) == 0:
        raise UserError("There are no rows to evaluate: this split is empty.")


def draws_at_once(model: VAE, P: int, points: int, memory: int) -> int:
    """How many draws of `points` points, P elements each, are decoded at once: what `memory` bytes hold, and a cache."""
    return max(1, min(memory // pair_bytes(model, P), CACHED // P) // points)


def pair_bytes(model: VAE, P: int) -> int:
    """What one decoded pair (draw, point) of P elements takes: about six copies of the decoder's output, in float64.

    A likelihood with a network of its own says how many `numbers` that has for each element.
    """
    numbers = getattr(model.likelihood, "numbers", getattr(model.likelihood, "size", 1))
    return 6 * 8 * P * max(1, numbers)
