"""A module as one graph of tensor operations whose first axis may have any length (floor 7)."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from functools import partial

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from logpx.errors import UserError


def program_of(module: nn.Module, example: Sequence[Tensor | None]) -> ExportedProgram:
    """What `module` does to tensors such as `example`, (B, ...) each, for every B >= 1; None is an argument left out.

    Raises UserError, naming torch's reason, for a module that is not one graph for every B.
    """
    rows = tuple(None if t is None else _two_rows(t) for t in example)
    batch = Dim("batch")
    shapes = tuple(None if t is None else {0: batch} for t in rows)
    graph_that_failed = io.StringIO()  # torch prints it, whole
    try:
        with torch.no_grad(), quietly(), redirect_stderr(graph_that_failed):
            return torch.export.export(module, rows, dynamic_shapes=shapes)
    except UserError:
        raise
    except Exception as error:  # torch raises a dozen kinds, some of them private
        raise UserError(f"This model cannot be exported as one graph ({reason(error)}): use it from Python.") from None


def reason(error: BaseException) -> str:
    """The innermost cause that torch names, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]


def _two_rows(t: Tensor) -> Tensor:
    """At least two rows, for torch takes an axis of length one for a constant; a copy, for it keeps no views."""
    return t.detach().repeat(2, *[1] * (t.ndim - 1)) if len(t) == 1 else t.detach().clone()


#: what the exporters write to their logs and is no user's concern: torchvision is wanted by nothing here, an operation that is
#: not folded is computed, and what fails is raised
UNSAID = {
    "torch.onnx._internal.exporter._registration": "torchvision is not installed",
    "onnxscript.optimizer._constant_folding": "Skipping constant folding for op",
    "torch.fx.experimental.symbolic_shapes": "Unable to find user code",
}


@contextmanager
def quietly() -> Iterator[None]:
    """Leaves out those lines, and torch's warning that it still uses what it has deprecated; nothing else."""
    with ExitStack() as stack, warnings.catch_warnings():
        for name, words in UNSAID.items():
            log, keep = logging.getLogger(name), partial(_lacks, words)
            log.addFilter(keep)
            stack.callback(log.removeFilter, keep)
        warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\).* is deprecated", FutureWarning)
        yield


def _lacks(words: str, record: logging.LogRecord) -> bool:
    return words not in record.getMessage()
