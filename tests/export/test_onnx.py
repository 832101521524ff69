"""A module as an ONNX file: its numbers, its bytes, what it tells of the machine, and what it refuses."""

import sys
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from logpx.data import Spec
from logpx.errors import UserError
from logpx.export import Decoder, onnx_bytes
from logpx.model import VAE
from logpx.recipes import RECIPES

generator = torch.Generator().manual_seed(0)

#: one model for each law whose mean is computed in its own way: data, and options of the recipe
LAWS: dict[str, tuple[Spec, dict[str, Any]]] = {
    "bernoulli": (Spec((6,), "binary"), {}),
    "continuous_bernoulli": (Spec((6,), "grey"), {}),
    "student_t": (Spec((6,), "real"), {"likelihood": "student_t"}),
    "logistic": (Spec((1, 4, 4), "integer", 10), {}),
    "categorical": (Spec((1, 4, 4), "categorical", 4), {"network": "conv"}),
}


def model_of(law: str) -> VAE:
    spec, options = LAWS[law]
    return RECIPES["vae"].build(spec, latent=2, hidden=(8,), **options).model


def by_onnxruntime(content: bytes, **inputs: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {name: t.numpy() for name, t in inputs.items()})


@pytest.mark.parametrize("law", LAWS)
def test_the_decoded_mean_is_pythons_for_any_number_of_rows(law, capfd):
    model, z = model_of(law), torch.randn(5, 2, generator=generator)
    content = onnx_bytes(Decoder(model), (z[:1],), ["z"], ["x"])
    for n in (1, 5):
        with torch.no_grad():
            mean = model.eval().decode(z[:n]).mean
        (decoded,) = by_onnxruntime(content, z=z[:n])
        assert decoded.dtype == np.float32
        np.testing.assert_allclose(decoded, mean.numpy(), rtol=1e-5, atol=1e-5)
    assert capfd.readouterr() == ("", "")


def test_a_context_is_a_second_input():
    model = RECIPES["conditional_vae"].build(Spec((6,), "real", context=3), latent=2, hidden=(8,)).model.eval()
    z, context = torch.randn(5, 2, generator=generator), torch.eye(3)[[0, 2, 1, 1, 0]]
    content = onnx_bytes(Decoder(model), (z, context), ["z", "context"], ["x"])
    with torch.no_grad():
        mean = model.decode(z, context).mean
    np.testing.assert_allclose(by_onnxruntime(content, z=z, context=context)[0], mean.numpy(), atol=1e-5)


def test_the_file_has_the_same_bytes_each_time_and_tells_nothing_of_the_machine():
    decoder, z = Decoder(model_of("bernoulli")), torch.zeros(1, 2)
    content = onnx_bytes(decoder, (z,), ["z"], ["x"], {"recipe": "vae"})
    assert content == onnx_bytes(decoder, (z,), ["z"], ["x"], {"recipe": "vae"})
    assert b".py" not in content
    assert b"stack_trace" not in content
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"recipe": "vae"}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


class Decides(nn.Module):
    """No graph: which way it goes depends on the numbers."""

    def forward(self, z: Tensor) -> Tensor:
        return z if bool(z.sum() > 0) else -z


class Draws(nn.Module):
    """Another answer each time."""

    def forward(self, z: Tensor) -> Tensor:
        return z + torch.randn_like(z)


class Solves(nn.Module):
    """A graph with what ONNX has no operation for."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.linalg.svdvals(z)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Decides(), "one graph .*data-dependent"),
        (Draws(), "draws random numbers .*randn_like"),
        (Solves(), "as ONNX .*svd.*--format torch"),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_sentence_with_the_reason(module, says, capfd):
    with pytest.raises(UserError, match=says) as said:
        onnx_bytes(module, (torch.zeros(2, 2),), ["z"], ["x"])
    assert "\n" not in str(said.value)
    assert str(said.value).endswith(".")
    assert capfd.readouterr() == ("", "")


def test_a_missing_exporter_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"logpx\[export\]"):
        onnx_bytes(Decides(), (torch.zeros(2, 2),), ["z"], ["x"])


class Lacking(nn.Module):
    """What ONNX or its runtime lacks in float64 and is given in other words."""

    def __init__(self) -> None:
        super().__init__()
        a = torch.randn(4, 4, generator=generator).double()
        self.register_buffer("covariance", a @ a.T + torch.eye(4))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        solved = torch.cholesky_solve(x.T, torch.linalg.cholesky(self.covariance)).T
        return torch.lgamma(x), x.cumprod(-1), solved, x.asinh(), x.clamp(max=50).cosh(), x.clamp(max=50).sinh()


def test_what_onnx_lacks_is_given_in_other_words():
    given, module = torch.tensor([[1e-4, 0.7, 1.0, 2.0], [8.0, 41.5, 1e4, 1e7]]).double(), Lacking()
    content = onnx_bytes(module, (given,), ["x"], ["log_gamma", "product", "solved", "asinh", "cosh", "sinh"])
    for theirs, python in zip(by_onnxruntime(content, x=given), module(given), strict=True):
        np.testing.assert_allclose(theirs, python.numpy(), rtol=1e-11, atol=1e-11)
    assert "Cholesky" not in {node.op_type for node in onnx.load_from_string(content).graph.node}
