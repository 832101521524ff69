"""A module as the bytes of an ONNX file (floor 7)."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from logpx.errors import UserError
from logpx.export.program import Instead, program_of, quietly, reason

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
    program = program_of(module, example, LACKING)
    model = _converted(program, list(names), list(outputs))
    _strip(model)
    onnx.helper.set_model_props(model, dict(metadata or {}))
    return model.SerializeToString(deterministic=True)


def _converted(program: Any, names: list[str], outputs: list[str]) -> Any:
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


# --- what ONNX or its runtime lacks, by what they have --------------------------------------------------------------------


def _log_gamma(x: Tensor) -> Tensor:
    """log G(x) for x > 0, as all arguments here are: S(x + 8) - S(9) + log 8! - log x (x + 1) ... (x + 7), S Stirling's series.

    In float64, as counts of some thousands need it. The exporter writes a number such as log(2 pi)/2 in float32, so those that
    stand here are whole, or halves.
    """
    up = x.double()
    steps = up * (up + 1) * (up + 2) * (up + 3) * (up + 4) * (up + 5) * (up + 6) * (up + 7)  # finite up to x = 1e38
    at_nine = torch.full_like(up, 40320).log() - _stirling(torch.full_like(up, 9))
    return (_stirling(up + 8) + at_nine - steps.log()).to(x.dtype)


def _stirling(y: Tensor) -> Tensor:
    """log G(y) - log(2 pi)/2; at y >= 8 the first term left out, 1/(1188 y^9), is below 7e-12."""
    rest = 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5) - 1 / (1680 * y**7)
    return (y - 0.5) * y.log() - y + rest


def _cumulative_product(x: Tensor, dim: int) -> Tensor:
    return torch.stack(list(accumulate(x.unbind(dim), torch.mul)), dim)


def _cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    """A^-1 b, A known before: its inverse is computed once."""
    return torch.cholesky_inverse(factor, upper=upper) @ b


def _asinh(x: Tensor) -> Tensor:
    """sign(x) log(|x| + sqrt(x^2 + 1)), which onnxruntime has in float32 only, as sinh and cosh."""
    size = x.double().abs()
    return (x.sign() * torch.log(size + torch.sqrt(size.square() + 1))).to(x.dtype)


def _sinh(x: Tensor) -> Tensor:
    return ((x.double().exp() - (-x.double()).exp()) / 2).to(x.dtype)


def _cosh(x: Tensor) -> Tensor:
    return (x.exp() + (-x).exp()) / 2


LACKING: Instead = {
    torch.ops.aten.asinh.default: _asinh,
    torch.ops.aten.sinh.default: _sinh,
    torch.ops.aten.cosh.default: _cosh,
    torch.ops.aten.lgamma.default: _log_gamma,
    torch.ops.aten.cumprod.default: _cumulative_product,
    torch.ops.aten.cholesky_solve.default: _cholesky_solve,
}
