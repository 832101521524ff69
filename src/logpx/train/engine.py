"""Where and how precisely the arithmetic runs (floor 6): device, precision, threads, compilation."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from logpx.errors import UserError
from logpx.evaluate import private_randomness

Precision = Literal["float64", "float32", "medium", "bfloat16"]
Compile = Literal["auto", "yes", "no"]


def find_device(name: str) -> torch.device:
    """ "auto" is the first GPU, else the CPU; UserError for a device that this machine does not have."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"The device {name!r} cannot be used on this machine: take 'cpu' or 'auto'.") from None
    return device


def dtype_of(precision: Precision) -> torch.dtype:
    return torch.float64 if precision == "float64" else torch.float32


@contextmanager
def arithmetic(device: torch.device, precision: Precision, threads: int | None, seed: int) -> Iterator[None]:
    """A seeded, private random state, the precision of matrix products and the threads; all put back at the end.

    "medium" lets float32 products round their factors to bfloat16 where the processor gains by it. Denormal numbers
    count as zero meanwhile: a tenth of Adam's first moments decay into them on MNIST, and each costs a slow path.
    """
    matmul, before, flushed = torch.get_float32_matmul_precision(), torch.get_num_threads(), _flushes_denormals()
    with private_randomness(device):
        try:
            torch.set_float32_matmul_precision("medium" if precision == "medium" else "highest")
            torch.set_num_threads(threads or before)
            torch.set_flush_denormal(True)
            torch.manual_seed(seed)
            yield
        finally:
            torch.set_flush_denormal(flushed)
            torch.set_float32_matmul_precision(matmul)
            torch.set_num_threads(before)


class Bfloat16:
    """A context in which these networks compute in bfloat16 and hand on float32.

    The laws made of what they hand on, every density and the weights with their moments stay in float32: eight bits of
    mantissa would round a sum of 84 nats to a quarter. Made once, so that a compiled step meets the same functions again.
    """

    def __init__(self, networks: Sequence[nn.Module], device: torch.device) -> None:
        self.calls = [(net, _in_bfloat16(net.forward, device.type)) for net in networks]

    def __enter__(self) -> None:
        for net, call in self.calls:
            net.forward = call

    def __exit__(self, *_: object) -> None:
        for net, _call in self.calls:
            del net.forward  # the class's own stands again


def _in_bfloat16(forward: Callable[..., Tensor], device: str) -> Callable[..., Tensor]:
    def call(*inputs: Any) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return forward(*inputs).float()

    return call


def _flushes_denormals() -> bool:
    """Whether the processor is set so already; torch offers no other way to ask."""
    return (torch.tensor(1e-39) * 1.0).item() == 0.0


def should_compile(choice: Compile, device: torch.device, precision: Precision, steps: int) -> tuple[bool, str | None]:
    """Whether to take the step as one compiled graph, and a sentence where the wish cannot be met.

    "auto" decides by the length of the run alone, so that a resumed run decides the same. On a CPU compiling takes 7 to 40 s
    and gains 0.2 to 15 ms a step, most where a step is many small operations or bfloat16; `docs/speed.md` has the table.
    """
    enough = 5_000 if device.type == "cuda" else 10_000 if precision == "bfloat16" else 30_000
    if choice == "no" or (choice == "auto" and steps < enough):
        return False, None
    if not _traces_gradients():
        return False, f"Not compiled, only slower: torch {torch.__version__} cannot, 2.13 can."
    if device.type == "cpu" and not shutil.which("g++") and not shutil.which("clang++"):
        return False, "Not compiled: there is no C++ compiler here (g++ or clang++); the run is only slower."
    return True, None


def _traces_gradients() -> bool:
    """Whether a graph may hold a call of `torch.autograd.grad`, and is kept apart from others of the same code."""
    return tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2]) >= (2, 13)
