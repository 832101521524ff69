"""Learned orbits in the report: how far they are drawn, and the section on pictures."""

import math

import torch

from logpx import recipes, report
from logpx.data import from_array
from logpx.report.orbits import STEPS, path
from logpx.train import fit


def test_a_rotation_is_drawn_once_around_and_a_stretch_to_three_scales():
    a = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    around = path(torch.tensor([[0.0, -0.5], [0.5, 0.0]]), a, 0.1)
    assert around.shape == (2, STEPS, 2)
    torch.testing.assert_close(around[:, STEPS // 2], a)
    for end in (0, -1):
        torch.testing.assert_close(around[:, end], -a, rtol=0, atol=1e-5)
    stretched = path(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), a, 0.1)
    torch.testing.assert_close(stretched[0, -1], torch.tensor([math.exp(0.3), 0.0]))
    spiral = path(torch.tensor([[1.0, -2.0], [2.0, 1.0]]), a, 0.1)
    torch.testing.assert_close(spiral[:, -1].norm(dim=1), math.exp(0.3) * a.norm(dim=1))


def test_pictures_are_decoded_along_the_orbits(tmp_path):
    torch.manual_seed(0)
    data = from_array(torch.rand(60, 1, 4, 4).numpy(), kind="grey", held_out=10, test=10)
    method = recipes.vaells(data, latent=3, operators=2, anchors=2, hidden=(8,), iterations=1, restarts=1, warmup=2)
    run = fit(method, data, epochs=1, batch_size=20, show=False)
    html = report.write(run, data, to=tmp_path).read_text()
    assert "Learned orbits" in html
    assert "The loss is <strong>no bound</strong>" in html
    assert {path.name for path in (tmp_path / "figures").glob("orbits-*")} == {
        f"orbits-{m}.{kind}" for m in (1, 2) for kind in ("svg", "png")
    }
