"""Networks of one's own see any number of rows, each by itself: exported so, and refused where they do not."""

from math import prod

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from logpx.data import from_array
from logpx.errors import UserError
from logpx.export import PARTS, onnx_bytes
from logpx.export.parts import Part
from logpx.export.program import program_of
from logpx.networks import Sizes
from logpx.recipes import RECIPES
from logpx.train.dry_run import dry_run


class Seen(nn.Module):
    """A linear network of rows, and of their context if there is one."""

    def __init__(self, inputs: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.linear, self.outputs = nn.Linear(inputs, prod(outputs)), outputs

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        rows = x.flatten(1) if c is None else torch.cat([x.flatten(1), c], 1)
        return self.linear(rows).unflatten(1, self.outputs)


def make(sizes: Sizes) -> tuple[nn.Module, nn.Module]:
    return Seen(prod(sizes.x) + sizes.context, (sizes.q,)), Seen(sizes.z + sizes.context, sizes.px)


def exported(part: str, recipe: str) -> tuple[Part, list[Tensor]]:
    """A part of a model with networks of one's own, and five rows for it."""
    torch.manual_seed(0)
    given = {"labels": torch.arange(40) % 3, "context": "label"} if recipe == "conditional_vae" else {}
    model = RECIPES[recipe].build(from_array(torch.randn(40, 4), **given), latent=2, network=make).model
    rows = [torch.randn(5, 2 if part == "decoder" else 4)] + [torch.eye(3)[[0, 1, 2, 0, 1]]] * bool(given)
    return PARTS[part](model), rows


@pytest.mark.parametrize(
    ("part", "recipe"),
    [("encoder", "vae"), ("encoder", "conditional_vae"), ("decoder", "conditional_vae"), ("scorer", "vae")],
)
def test_they_are_one_program_for_any_number_of_rows(part, recipe):
    module, rows = exported(part, recipe)
    program = program_of(module, [t[:1] for t in rows]).module()
    for n in (1, 5):
        some = [t[:n] for t in rows]
        torch.testing.assert_close(program(*some), module(*some), rtol=1e-5, atol=1e-5)


def test_they_are_an_onnx_file_for_any_number_of_rows():
    module, rows = exported("decoder", "conditional_vae")
    content = onnx_bytes(module, [t[:1] for t in rows], ["z", "context"], ["x"])
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for n in (1, 5):
        some = [t[:n] for t in rows]
        (made,) = session.run(None, {name: t.numpy() for name, t in zip(["z", "context"], some, strict=True)})
        np.testing.assert_allclose(made, module(*some).numpy(), rtol=1e-5, atol=1e-5)


class Centred(nn.Linear):
    """A row's numbers hang on the rows beside it."""

    def forward(self, x: Tensor) -> Tensor:
        h = super().forward(x)
        return h - h.mean(0)


class Nan(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float("nan")


def of_a_batch(inputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 4), nn.BatchNorm1d(4, track_running_stats=False))


@pytest.mark.parametrize(
    ("encoder", "decoder", "sentence"),
    [
        (Centred(4, 4), None, "The encoder makes other numbers of a row where another stands beside it"),
        (None, Centred(2, 4), "The decoder makes other numbers of a row where another stands beside it"),
        (
            of_a_batch(4),
            None,
            "The encoder makes other numbers of a row",
        ),
        (None, of_a_batch(2), "The decoder makes other numbers of a row"),
        (Nan(4, 4), None, "The encoder emits nan for the first rows"),
        (None, Nan(2, 4), "The decoder emits nan for the first rows"),
    ],
)
def test_a_row_is_seen_by_itself(encoder, decoder, sentence):
    data = from_array(torch.randn(40, 4))
    pair = (encoder or nn.Linear(4, 4), decoder or nn.Linear(2, 4))
    with pytest.raises(UserError, match=sentence) as error:
        dry_run(RECIPES["vae"].build(data, latent=2, network=pair), data)
    assert str(error.value).count(". ") == 0


def test_what_is_as_it_should_be_passes_with_large_and_small_numbers():
    data = from_array(torch.randn(40, 4))
    wide = nn.Sequential(nn.Linear(4, 512), nn.BatchNorm1d(512), nn.Dropout(0.5), nn.Linear(512, 4))
    with torch.no_grad():
        wide[-1].weight[:2] *= 1e-4
        wide[-1].bias[2:] = 3.0
    dry_run(RECIPES["vae"].build(data, latent=2, network=(wide, nn.Linear(2, 4))), data)
