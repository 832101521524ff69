"""Charts of curved latent spaces: there and back, and volumes that are those of the space."""

import math

import pytest
import torch
from torch import Tensor

from logpx.distributions import Space
from logpx.evaluate.flat import Chart

RADIUS = 1.5
SPACES = {
    "ball": Space(0, 2, -1 / RADIUS**2, "stereographic"),
    "hyperboloid": Space(0, 2, -1 / RADIUS**2, "ambient"),
    "projected sphere": Space(0, 2, 1 / RADIUS**2, "stereographic"),
    "sphere": Space(0, 2, 1 / RADIUS**2, "ambient"),
}


def about_somewhere(*parts: Space) -> Chart:
    """A chart about points of these spaces that are not their origins."""
    z = torch.cat(
        [p.move(p.origin(torch.ones(1).double()), torch.tensor([[0.7, -0.4], [0.1, 0.9]]).double()) for p in parts], -1
    )
    return Chart(list(parts), z)


@pytest.mark.parametrize("name", SPACES)
def test_there_and_back(name: str) -> None:
    chart, v = about_somewhere(SPACES[name]), torch.randn(50, 2, 2, dtype=torch.float64)
    z, _ = chart.point(v)
    torch.testing.assert_close(chart.vector(z), v, rtol=0, atol=1e-9)
    space = SPACES[name]
    torch.testing.assert_close(space.distance(chart.centre.expand_as(z), z), v.norm(dim=-1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", SPACES)
def test_a_disk_has_the_area_that_it_has_on_the_space(name: str) -> None:
    """2 pi R^2 (cosh(r/R) - 1) below zero, 2 pi R^2 (1 - cos(r/R)) above, all of the sphere at r = pi R."""
    space = SPACES[name]
    r = 3.0 if space.kappa < 0 else math.pi * RADIUS
    edge = torch.linspace(0, r, 2001, dtype=torch.float64)
    radii = (edge[1:] + edge[:-1]) / 2
    v = (
        torch.stack([radii, 0 * radii], -1).unsqueeze(1).expand(-1, 2, -1)
    )  # along one direction; the law of no other differs
    _, log_volume = about_somewhere(space).point(v)
    area = (log_volume[:, 0].exp() * 2 * math.pi * radii).sum().item() * r / 2000
    known = math.cosh(r / RADIUS) - 1 if space.kappa < 0 else 1 - math.cos(r / RADIUS)
    assert area == pytest.approx(2 * math.pi * RADIUS**2 * known, rel=1e-5)


def test_parts_stand_side_by_side_and_flat_ones_as_they_are() -> None:
    flat = Space(0, 2)
    ball = SPACES["ball"]._replace(start=2)
    alone = about_somewhere(SPACES["ball"])
    chart = Chart([flat, ball], torch.cat([torch.zeros(2, 2).double(), alone.centre], -1))
    v = torch.randn(5, 2, 4, dtype=torch.float64)
    z, log_volume = chart.point(v)
    inner, inner_volume = alone.point(v[..., 2:])
    assert torch.equal(z[..., :2], v[..., :2])
    torch.testing.assert_close(z[..., 2:], inner, rtol=0, atol=1e-14)
    torch.testing.assert_close(log_volume, inner_volume, rtol=0, atol=1e-14)
    torch.testing.assert_close(chart.vector(z), v, rtol=0, atol=1e-9)


def test_beyond_half_way_round_a_sphere_there_is_nothing() -> None:
    """The density is 0 and its gradient a number, so that a trajectory which leaves is refused and does no harm."""
    v = torch.tensor([[[5.0, 0.0], [1.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    z, log_volume = about_somewhere(SPACES["sphere"]).point(v)
    assert log_volume.tolist()[0][0] == -math.inf
    assert math.isfinite(log_volume.tolist()[0][1])
    slope: Tensor = torch.autograd.grad(log_volume.sum() + z.sum(), v)[0]
    assert bool(slope.isfinite().all())
