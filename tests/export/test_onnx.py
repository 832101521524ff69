"""A module as an ONNX file: its numbers, its bytes, what it tells of the machine, and what it refuses."""

import sys

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from logpx.data import from_array
from logpx.errors import UserError
from logpx.export import Decoder, onnx_bytes
from logpx.model import VAE
from logpx.recipes import RECIPES

generator = torch.Generator().manual_seed(0)
x = torch.rand(40, 6, generator=generator)
pictures = torch.rand(40, 1, 4, 4, generator=generator)


def table() -> pd.DataFrame:
    """One column of each kind."""
    whole = (9 * x[:, 1]).round().int()
    letters = ["uvw"[int(i)] for i in 3 * x[:, 3]]
    return pd.DataFrame({"a": x[:, 0].numpy(), "n": whole.numpy(), "b": (x[:, 2] > 0.5).numpy(), "c": letters})


#: one model for each law that a decoder may have: rows, what `from_array` is told of them, options of the recipe
LAWS = {
    "bernoulli": ((x > 0.5).float(), {}, {}),
    "continuous_bernoulli": (x, {"kind": "grey"}, {}),
    "student_t": (x, {"kind": "real"}, {"likelihood": "student_t"}),
    "negative_binomial": ((9 * x).round(), {"kind": "integer"}, {}),
    "logistic": ((40 * pictures).round().byte(), {"kind": "integer"}, {}),
    "categorical": ((3 * pictures).round(), {"kind": "categorical"}, {"network": "conv"}),
    "table": (table(), {}, {}),
}


def model_of(law: str) -> VAE:
    rows, told, options = LAWS[law]
    data = from_array(rows.numpy() if isinstance(rows, Tensor) else rows, **told)
    return RECIPES["vae"].build(data, latent=2, hidden=(8,), **options).model


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
    data = from_array(x.numpy(), labels=(x[:, 0] > 0.5).long(), context="label")
    model = RECIPES["conditional_vae"].build(data, latent=2, hidden=(8,)).model.eval()
    z, context = torch.randn(5, 2, generator=generator), data.train.batch(slice(0, 5)).context
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


class Counts(nn.Module):
    """A graph with what ONNX has no operation for."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.lgamma(z)


@pytest.mark.parametrize(
    ("module", "says"), [(Decides(), "one graph .*data-dependent"), (Counts(), "as ONNX .*lgamma.*--format torch")]
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
