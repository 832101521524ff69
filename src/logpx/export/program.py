"""A module as one graph of tensor operations whose first axis may have any length (floor 7)."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from logpx.errors import UserError

Instead = Mapping[Any, Callable[..., Any]]


def program_of(module: nn.Module, example: Sequence[Tensor | None], instead: Instead | None = None) -> ExportedProgram:
    """What `module` does to tensors such as `example`, (B, ...) each, for every B >= 1; None is an argument left out.

    What depends on no argument (the factors of a covariance, say) is computed here, once. `instead` gives operations of torch
    in terms of others.

    Raises UserError, naming torch's reason, for a module that is not one graph for every B, and one that draws.
    """
    rows = tuple(_two_rows(t) for t in example if t is not None)
    try:
        with torch.no_grad(), quietly():
            module(*rows)  # what is computed once and kept must not be met for the first time while the graph is drawn
            program = _captured(module, rows)
            if instead and any(node.target in instead for node in program.graph.nodes):
                program = program.run_decompositions(dict(instead))
            graph = program.module(check_guards=False)
            _check_no_draws(graph)
            return _captured(folded(graph), rows)
    except UserError:
        raise
    except Exception as error:  # torch raises a dozen kinds, some of them private
        raise UserError(f"This model cannot be exported as one graph ({reason(error)}): use it from Python.") from None


def _captured(module: nn.Module, rows: tuple[Tensor, ...]) -> ExportedProgram:
    shapes = tuple({0: Dim("batch")} for _ in rows)
    with redirect_stderr(io.StringIO()):  # where it fails, torch prints the whole graph
        return torch.export.export(module, rows, dynamic_shapes=shapes)


def save(program: ExportedProgram, path: Path) -> None:
    """A .pt2 file, without the rows of the example, and without what tells of the machine: where each operation was written."""
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    with quietly():
        torch.export.save(program, path)


def reason(error: BaseException) -> str:
    """The innermost cause that torch names, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")[:200]


def _two_rows(t: Tensor) -> Tensor:
    """At least two rows, for torch takes an axis of length one for a constant; a copy, for it keeps no views."""
    return t.detach().repeat(2, *[1] * (t.ndim - 1)) if len(t) == 1 else t.detach().clone()


# --- what depends on no argument ---------------------------------------------------------------------------------------


def folded(graph: fx.GraphModule) -> fx.GraphModule:
    """The same graph with every tensor that depends on no argument computed and kept, and nothing kept that it does not use."""
    known: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            known[node] = _attribute(graph, node.target)
        elif node.op == "call_function" and all(one in known for one in node.all_input_nodes):
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda one: known[one])
            known[node] = node.target(*args, **kwargs)
    for i, (node, value) in enumerate(known.items()):
        if node.op == "call_function" and isinstance(value, Tensor) and any(user not in known for user in node.users):
            _replace(graph, node, f"folded_{i}", value)
    graph.graph.eliminate_dead_code()
    return fx.GraphModule(graph, graph.graph)


def _attribute(graph: fx.GraphModule, path: str) -> Any:
    value: Any = graph
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _replace(graph: fx.GraphModule, node: fx.Node, name: str, value: Tensor) -> None:
    graph.register_buffer(name, value.detach().clone())
    with graph.graph.inserting_before(node):
        node.replace_all_uses_with(graph.graph.get_attr(name))


def _check_no_draws(graph: fx.GraphModule) -> None:
    """Raises UserError for a graph that draws random numbers: what is exported says the same of a row each time."""
    for node in graph.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and not _drops_out(node.target):
            raise UserError(
                f"This model draws random numbers ({node.target}), which an exported graph cannot repeat: use it from Python."
            )


def _drops_out(operation: Any) -> bool:
    """Attention has a place for dropout, and models at rest leave it at 0."""
    return any(argument.name == "dropout_p" for argument in operation._schema.arguments)


# --- silence -----------------------------------------------------------------------------------------------------------

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
