"""A module as the bytes of an ONNX file (floor 7)."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from logpx.errors import UserError
from logpx.export.program import program_of, quietly, reason

NEEDS = "Writing ONNX needs onnx and onnxscript: pip install 'logpx[export]'."


def onnx_bytes(
    module: nn.Module,
    example: Sequence[Tensor | None],
    names: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """The content of a .onnx file that computes `module`: weights inside, any number of rows, the same bytes each time.

    example   one tensor (B, ...) for each argument of `module`, None for one that is left out.
    names     of the inputs, one for each tensor of `example`.
    outputs   of the outputs, in order.
    metadata  pairs that the file keeps as its `metadata_props`.

    Raises UserError for a module that is not one graph, or that needs what ONNX lacks.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter asks for it only half way
    except ImportError:
        raise UserError(NEEDS) from None
    program = program_of(module, example)
    model = _converted(program, list(names), list(outputs))
    _strip(model)
    onnx.helper.set_model_props(model, dict(metadata or {}))
    return model.SerializeToString(deterministic=True)


def _converted(program: Any, names: list[str], outputs: list[str]) -> Any:
    import torch

    try:
        with quietly():
            axes = ({0: "batch"}, *[None] * (len(names) - 1))  # what the axis that all share is called, said once
            made = torch.onnx.export(
                program, input_names=names, output_names=outputs, dynamic_shapes=axes, dynamo=True, verbose=False
            )
    except Exception as error:  # the exporter raises whatever it meets
        raise UserError(
            f"This model cannot be written as ONNX ({reason(error)}): export it with --format torch."
        ) from None
    assert made is not None
    return made.model_proto


def _strip(model: Any) -> None:
    """Takes out what tells of the machine that wrote the file: where each operation stood in whose source."""
    for node in [*model.graph.node, *model.graph.initializer, *model.graph.value_info]:
        del node.metadata_props[:]
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
