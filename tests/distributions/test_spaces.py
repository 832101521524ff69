"""The space of a law over z: its parts, and geodesics against slerp, the cosine law and straight lines."""

import math

import pytest
import torch
from torch.distributions import Categorical as Choice
from torch.distributions import Dirichlet, Independent, MixtureSameFamily, Normal

from logpx.distributions import ProductOf, Space, UniformSphere, VonMisesFisher, WrappedNormal, spaces, spaces_of
from logpx.distributions.riemannian import RiemannianNormal
from logpx.errors import UserError

DOUBLE = torch.float64
PARTS = {
    "e": Space(0, 3),
    "p": Space(0, 3, -0.7, "stereographic"),
    "h": Space(0, 3, -1.3, "ambient"),
    "s": Space(0, 3, 0.4, "ambient"),
    "unit": Space(0, 3, 1.0, "ambient"),
    "d": Space(0, 3, 0.6, "stereographic"),
    "u": Space(0, 3, 0.0, "stereographic"),
}


def points(space, k=4, spread=0.6, seed=0):
    v = spread * torch.randn(k, space.n, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return space.move(space.origin(v), v)


def normal(n=2):
    return Independent(Normal(torch.zeros(4, n), torch.ones(4, n)), 1)


def test_the_parts_of_a_product_stand_end_to_end():
    e, u = torch.zeros(4, 2), torch.tensor([1.0, 0, 0]).expand(4, 3)
    h = WrappedNormal(torch.tensor([0.5, 0, 0]).expand(4, 3), torch.ones(4, 1), -4.0, ambient=True)
    inner = ProductOf([WrappedNormal(e, torch.ones(4, 2), torch.tensor(0.25)), VonMisesFisher(u, torch.ones(4))])
    law = ProductOf([normal(), h, inner, RiemannianNormal(e, torch.ones(4, 1), -1.0)])
    assert spaces_of(law) == [
        Space(0, 2),
        Space(2, 2, -4.0, "ambient"),
        Space(5, 2, 0.25, "stereographic"),
        Space(7, 2, 1.0, "ambient"),
        Space(10, 2, -1.0, "stereographic"),
    ]
    z = torch.arange(12.0)
    assert [s.of(z).tolist() for s in spaces_of(law)] == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9], [10, 11]]
    third = spaces_of(law)[2]
    moved = third.put(torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]), z)
    assert moved.tolist() == [[*range(5), -1, -2, *range(7, 12)], [*range(5), -3, -4, *range(7, 12)]]


def test_what_has_no_one_space_is_refused():
    two = WrappedNormal(torch.zeros(2, 2), torch.ones(2, 1), torch.tensor([-1.0, 1.0]))
    with pytest.raises(UserError, match="row to row"):
        spaces_of(two)
    with pytest.raises(UserError, match="not known"):
        spaces_of(Dirichlet(torch.ones(4, 3)))


def test_a_mixture_lives_where_its_components_do():
    mixture = MixtureSameFamily(Choice(torch.ones(3)), VonMisesFisher(torch.eye(3), torch.ones(3)))
    assert spaces_of(mixture) == [Space(0, 2, 1.0, "ambient")]


def test_laws_on_different_spaces_are_told_apart():
    sphere = VonMisesFisher(torch.eye(3), torch.ones(3))
    disk, other = (WrappedNormal(torch.zeros(1, 3), torch.ones(1, 1), kappa) for kappa in (-1.0, -2.0))
    both = ProductOf([normal(), disk.expand((4,))])
    for q, p in ((sphere, normal(3)), (sphere, disk), (disk, other), (both, normal(5))):
        with pytest.raises(UserError, match="the same space"):
            spaces.check_same_space(q, p)
    spaces.check_same_space(sphere, UniformSphere(3))
    spaces.check_same_space(ProductOf([normal(2), normal(3)]), normal(5))
    spaces.check_same_space(Dirichlet(torch.ones(3)), normal(3))  # unknown: no verdict


@pytest.mark.parametrize("name", PARTS)
def test_a_geodesic_has_constant_speed_and_both_ends(name):
    space = PARTS[name]
    a, b = points(space), points(space, seed=1)
    t = torch.tensor([0, 0.3, 1], dtype=DOUBLE)
    way = space.geodesic(a, b, t)
    assert way.shape == (3, 4, space.dim)
    torch.testing.assert_close(way[0], a, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(way[2], b, rtol=1e-12, atol=1e-12)
    whole = space.distance(a, b)
    torch.testing.assert_close(space.distance(a, way[1]), 0.3 * whole, rtol=1e-11, atol=0)
    torch.testing.assert_close(space.distance(way[1], b), 0.7 * whole, rtol=1e-11, atol=0)
    torch.testing.assert_close(space.onto(way), way, rtol=1e-13, atol=1e-14)


def test_on_the_unit_sphere_it_is_slerp():
    space = PARTS["unit"]
    a, b = points(space), points(space, seed=1)
    omega = (a * b).sum(-1, keepdim=True).acos()
    slerp = ((0.7 * omega).sin() * a + (0.3 * omega).sin() * b) / omega.sin()
    torch.testing.assert_close(space.geodesic(a, b, torch.tensor([0.3]))[0], slerp, rtol=1e-7, atol=1e-7)


def test_where_it_is_flat_it_is_a_straight_line():
    for name in ("e", "u"):
        space = PARTS[name]
        a, b = points(space), points(space, seed=1)
        way = space.geodesic(a, b, torch.tensor([0.25], dtype=DOUBLE))[0]
        torch.testing.assert_close(way, 0.75 * a + 0.25 * b, rtol=1e-13, atol=1e-13)


def test_on_the_poincare_disk_a_geodesic_is_an_arc_orthogonal_to_the_rim():
    space = Space(0, 2, -1.0, "stereographic")
    a, b = torch.tensor([0.6, 0.1], dtype=DOUBLE), torch.tensor([-0.2, 0.7], dtype=DOUBLE)
    way = space.geodesic(a, b, torch.linspace(0, 1, 7, dtype=DOUBLE))
    # circles c with |c|^2 = r^2 + 1: 2 <c, z> = |z|^2 + 1 for every z on it
    centre = torch.linalg.solve(2 * torch.stack([a, b]), torch.stack([a @ a, b @ b]) + 1)
    torch.testing.assert_close(2 * way @ centre, way.square().sum(-1) + 1, rtol=1e-12, atol=1e-12)


def test_between_antipodes_it_takes_the_first_direction():
    space = PARTS["unit"]
    a = points(space)[0]
    way = space.geodesic(a, -a, torch.tensor([0.5, 1.0], dtype=DOUBLE))
    assert space.distance(a, way[0]).item() == pytest.approx(math.pi / 2, abs=1e-12)
    torch.testing.assert_close(way[1], -a, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", PARTS)
def test_a_walk_is_orthonormal_and_measured_in_distance(name):
    space = PARTS[name]
    m = points(space)[0]
    lengths = torch.tensor([-0.8, 0, 0.5], dtype=DOUBLE)
    first, second = (space.walk(m, i, lengths) for i in (0, 1))
    torch.testing.assert_close(space.distance(m, first), lengths.abs(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(first[1], m, rtol=1e-13, atol=1e-13)
    far = space.distance(first[2], second[0])
    k, x, y = space.kappa, 0.5, 0.8  # the cosine law of a right angle
    if k == 0:
        expected = math.hypot(x, y)
    elif k > 0:
        expected = math.acos(math.cos(x * k**0.5) * math.cos(y * k**0.5)) / k**0.5
    else:
        expected = math.acosh(math.cosh(x * (-k) ** 0.5) * math.cosh(y * (-k) ** 0.5)) / (-k) ** 0.5
    assert far.item() == pytest.approx(expected, rel=1e-10)


def test_once_around_a_sphere_and_its_reach():
    space = PARTS["s"]
    m = points(space)[0]
    back = space.walk(m, 1, torch.tensor([2 * math.pi * space.radius], dtype=DOUBLE))[0]
    torch.testing.assert_close(back, m, rtol=0, atol=1e-12)
    assert space.reach == pytest.approx(math.pi / 0.4**0.5)
    assert PARTS["h"].reach == math.inf


@pytest.mark.parametrize("name", ["p", "h"])
def test_the_disk(name):
    space = PARTS[name]
    z = points(space)
    u = space.to_disk(z)
    assert (u.norm(dim=-1) < 1).all()
    torch.testing.assert_close(space.from_disk(u), z, rtol=1e-12, atol=1e-12)
    r = space.distance(space.origin(z), z) / space.radius
    torch.testing.assert_close(u.norm(dim=-1), (r / 2).tanh(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["d", "s", "unit"])
def test_the_sphere(name):
    space = PARTS[name]
    z = points(space)
    u = space.to_sphere(z)
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(4, dtype=DOUBLE), rtol=1e-13, atol=0)
    torch.testing.assert_close(space.from_sphere(u), z, rtol=1e-12, atol=1e-12)
    angle = space.distance(space.origin(z), z) / space.radius
    torch.testing.assert_close(u[:, 0].acos(), angle, rtol=1e-9, atol=0)


def test_centres_lie_in_the_space_and_spreads_are_those_of_normal_laws():
    u = torch.tensor([[0.6, 0.8, 0.0]])
    flat = Independent(Normal(torch.ones(1, 2), torch.full((1, 2), 0.5)), 1)
    law = ProductOf([VonMisesFisher(u, torch.ones(1)), flat])
    assert torch.equal(spaces.centres(law), torch.cat([u, torch.ones(1, 2)], -1))
    ball = RiemannianNormal(torch.zeros(1, 2), torch.full((1, 1), 0.3), -1.0)
    assert [None if s is None else s.tolist() for s in map(spaces.spreads, (*law.parts, ball))] == [
        None,
        [[0.5, 0.5]],
        [[pytest.approx(0.3), pytest.approx(0.3)]],
    ]
    with pytest.raises(UserError, match="no centre"):
        spaces.centres(UniformSphere(3))
