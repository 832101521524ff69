"""Hamiltonian transitions: reversible, of second order, and leaving their law as it is."""

import math

import pytest
import torch
from torch import Tensor

from logpx.maths.hamiltonian import Point, energy, leapfrog, transition

ONE = torch.ones(1, dtype=torch.float64)


def quartic(z: Tensor) -> tuple[Tensor, Tensor]:
    """log f = -sum z^4/4 - |z|^2/2, which no leapfrog step conserves."""
    return -(z**4 / 4 + z.square() / 2).sum(-1)[None], -(z**3 + z)[None]


def normal(z: Tensor) -> tuple[Tensor, Tensor]:
    return -0.5 * z.square().sum(-1)[None], -z[None]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def test_a_trajectory_is_undone_by_negating_the_momentum() -> None:
    z, p, step = noise(3, 4, 2), noise(3, 4, 2), torch.tensor([0.1, 0.2]).double()
    end, turned = leapfrog(quartic, Point.at(quartic, z), p, ONE, step, 20)
    back, again = leapfrog(quartic, end, -turned, ONE, step, 20)
    assert (end.z - z).abs().max() > 0.1
    torch.testing.assert_close(back.z, z, rtol=0, atol=1e-12)
    torch.testing.assert_close(-again, p, rtol=0, atol=1e-12)


def test_the_energy_error_falls_with_the_square_of_the_step() -> None:
    z, p = noise(50, 4, 2), noise(50, 4, 2)
    start = Point.at(quartic, z)

    def error(steps: int) -> float:
        end, turned = leapfrog(quartic, start, p, ONE, torch.tensor(1.0 / steps).double(), steps)
        return (energy(end, turned, ONE) - energy(start, p, ONE)).square().mean().sqrt().item()

    for steps in (32, 64):
        assert math.isclose(error(steps) / error(2 * steps), 4, rel_tol=0.03)


def test_volume_is_kept() -> None:
    """|d(z', p')/d(z, p)| = 1: without it the acceptance probability would need a Jacobian."""

    def moved(zp: Tensor) -> Tensor:
        z, p = zp.view(2, 1, 1, 2)
        end, turned = leapfrog(quartic, Point.at(quartic, z), p, ONE, torch.tensor([0.3, 0.5]).double(), 5)
        return torch.cat([end.z.flatten(), turned.flatten()])

    J = torch.autograd.functional.jacobian(moved, noise(4))
    torch.testing.assert_close(torch.linalg.det(J), ONE[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("step", [0.4, 1.7])
def test_the_standard_normal_law_stays_as_it_is(step: float) -> None:
    """Its moments after 20 transitions with a step so large that a good part of the proposals is refused."""
    K, B = 4000, 2
    point, rates = Point.at(normal, noise(K, B, 1)), []
    for _ in range(20):
        point, rate = transition(normal, point, ONE, torch.tensor(step).double(), 2, noise(K, B, 1), torch.rand(K, B))
        rates.append(rate.mean().item())
    assert step < 1 or sum(rates) / 20 < 0.8
    n = K * B
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(point.z.pow(power).mean().item() - mean) < 4 * math.sqrt(variance / n), power


def test_chains_find_the_law_from_elsewhere() -> None:
    point = Point.at(normal, torch.full((2000, 1, 2), 5.0).double())
    for _ in range(40):
        point, _ = transition(normal, point, ONE, torch.tensor(0.7).double(), 3, noise(2000, 1, 2), torch.rand(2000, 1))
    assert abs(point.z.mean().item()) < 4 / math.sqrt(4000)
    assert abs(point.z.var().item() - 1) < 4 * math.sqrt(2 / 4000)


def test_a_chain_stays_where_the_proposal_is_no_point_of_the_law() -> None:
    def half(z: Tensor) -> tuple[Tensor, Tensor]:
        """N(0, 1) on z < 1; beyond, a gradient that is no number, as a broken decoder gives."""
        inside = z < 1
        return torch.where(inside.all(-1), -0.5 * z.square().sum(-1), -math.inf)[None], torch.where(
            inside, -z, math.nan
        )[None]

    point = Point.at(half, torch.zeros(2000, 1, 1).double())
    for _ in range(30):
        point, rate = transition(
            half, point, ONE, torch.tensor(0.9).double(), 2, noise(2000, 1, 1), torch.rand(2000, 1)
        )
        assert bool(rate.isfinite().all())
    z = point.z
    truncated = (
        -math.exp(-0.5) / math.sqrt(2 * math.pi) / torch.special.ndtr(torch.tensor(1.0)).item()
    )  # E z given z < 1
    assert bool((z < 1).all())
    assert bool(point.values.isfinite().all() & point.slopes.isfinite().all())
    assert abs(z.mean().item() - truncated) < 4 * z.std().item() / math.sqrt(2000)


def test_a_law_is_a_weighted_sum_of_functions() -> None:
    """N(0, 1)^(1 - b) N(2, 1/4)^b: a point serves every b."""

    def both(z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.stack([-0.5 * z.square().sum(-1), -2 * (z - 2).square().sum(-1)]), torch.stack([-z, -4 * (z - 2)])

    point = Point.at(both, noise(3, 2, 1))
    for b in (0.0, 0.3, 1.0):
        c = torch.tensor([1 - b, b]).double()
        z = point.z.squeeze(-1)
        torch.testing.assert_close(point.log_f(c), -0.5 * (1 - b) * z**2 - 2 * b * (z - 2) ** 2)
        torch.testing.assert_close(point.slope(c).squeeze(-1), -(1 - b) * z - 4 * b * (z - 2))
