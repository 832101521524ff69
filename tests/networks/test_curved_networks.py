"""Curvature, the geodesic layer and tangent coordinates: closed forms, the flat limit, the boundary in float32."""

import math

import pytest
import torch
from torch import nn

from logpx.distributions.wrapped import WrappedNormal
from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.networks import Ambient, Curvature, Curvatures, Geodesic
from logpx.train.optimizer import paces

KAPPAS = [-1.4, -0.7, -1e-3, 0.0, 1e-3, 0.7]
each_kappa = pytest.mark.parametrize("kappa", KAPPAS)


def layer(kappa, n=3, outputs=5, **options) -> Geodesic:
    move = "universal" if kappa == 0 else "fixed"
    return Geodesic(n, outputs, Curvature(kappa, move), **options).double()


def points(n=3, rows=7):
    return 0.4 * torch.randn(rows, n, dtype=torch.float64) / math.sqrt(n)


# --- curvature --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [-30.0, -0.7, -1e-4, 1e-4, 1.0, 100.0])
def test_curvature_starts_where_it_is_told_to(start):
    for move in ("fixed", "learned", "universal"):
        assert Curvature(start, move)().item() == pytest.approx(start, rel=1e-4)


@pytest.mark.parametrize("start", [-1.0, 1.0])
def test_a_learned_curvature_keeps_its_sign_and_a_universal_one_does_not(start):
    ends = []
    for move in ("learned", "universal"):
        kappa = Curvature(start, move)
        optimizer = torch.optim.Adam(kappa.parameters(), lr=0.1)
        for _ in range(100):
            optimizer.zero_grad()
            (kappa() + start).square().backward()  # it would like to be -start
            optimizer.step()
        ends.append(kappa().item())
    assert 0 < ends[0] / start < 0.2
    assert ends[1] == pytest.approx(-start, abs=0.05)


@pytest.mark.parametrize("truth", [-0.8, 0.8])
def test_a_universal_curvature_crosses_zero_to_the_sign_of_the_data(truth):
    """Maximum likelihood, per volume of the coordinates, from a ball that holds all points."""
    z = WrappedNormal(torch.zeros(2).double(), torch.full((1,), 0.6).double(), truth).sample((2000,))
    kappa, log_scale = Curvature(-0.2 * truth, "universal").double(), nn.Parameter(torch.zeros(1).double())
    optimizer = torch.optim.Adam([*kappa.parameters(), log_scale], lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        law = WrappedNormal(torch.zeros(2).double(), log_scale.exp(), kappa())
        (-law.lebesgue_log_prob(z).mean()).backward()
        optimizer.step()
    assert kappa().item() == pytest.approx(truth, abs=0.4)  # where Adam is after 50 steps, and of the right sign


def test_a_held_curvature_gets_a_gradient_of_zero_until_its_step_has_come():
    kappa = Curvature(-1.0, "learned", hold=3)
    gradients = []
    for _ in range(5):
        kappa.zero_grad()
        kappa().backward()
        gradients.append(kappa.a.grad.item())
        kappa.after_step({})
    assert gradients[:3] == [0, 0, 0]
    assert gradients[3] == gradients[4] == pytest.approx(-1 + math.exp(-1))  # -sigmoid(a), softplus(a) = 1


def test_a_curvature_that_several_hold_moves_once_and_at_its_own_pace():
    kappa = Curvature(-1.0, "learned", pace=0.3)
    parts = nn.ModuleList([Geodesic(2, 3, kappa), Ambient([(2, Curvatures([kappa]))])])
    found = paces([parts])
    assert found[kappa.a] == 0.3
    assert sum(pace == 0.3 for pace in found.values()) == 1
    assert sum(hasattr(m, "after_step") for m in parts.modules()) == 1
    assert not list(Curvature(-1.0).parameters())


def test_what_no_curvature_can_be_is_said_in_a_sentence():
    for start in (math.nan, math.inf, 1e-50, -1e30):
        with pytest.raises(UserError, match="finite number"):
            Curvature(start)
    with pytest.raises(UserError, match="0 has none"):
        Curvature(0.0, "learned")
    with pytest.raises(UserError, match="fixed or learned or universal"):
        Curvature(1.0, "free")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="positive pace"):
        Curvature(1.0, "learned", pace=0.0)
    with pytest.raises(UserError, match="there is none"):
        Curvatures([])


# --- the geodesic layer -----------------------------------------------------------------------------------------------


def by_translation(geodesic: Geodesic, z: torch.Tensor) -> torch.Tensor:
    """METHODS S17 as it stands: z translated by -p, the components along u, the inverse sine."""
    k, u = geodesic.curvature(), nn.functional.normalize(geodesic.weight, dim=-1)
    p = manifolds.exp_at_0(geodesic.offset[:, None] * u, k)
    w = manifolds.gyro_add(-p.expand(len(z), -1, -1), z[:, None].expand(-1, len(p), -1), k)
    x = 2 * (w * u).sum(-1) / (1 + k * w.square().sum(-1))
    root = k.abs().sqrt()
    if k == 0:
        return x
    return (root * x).asinh() / root if k < 0 else (root * x).asin() / root


@each_kappa
def test_the_layer_is_the_distance_formula(kappa):
    geodesic, z = layer(kappa), points()
    torch.testing.assert_close(geodesic(z), by_translation(geodesic, z), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kappa", [-1.4, 0.7])
def test_its_size_is_the_distance_to_the_nearest_point_of_the_plane(kappa):
    """In two dimensions the plane is a geodesic: the smallest distance to many of its points."""
    geodesic, z = layer(kappa, n=2, outputs=4), points(2, 6)
    u = nn.functional.normalize(geodesic.weight.detach(), dim=-1)
    p = manifolds.exp_at_0(geodesic.offset.detach()[:, None] * u, kappa)
    along = torch.stack([-u[:, 1], u[:, 0]], -1)
    t = torch.linspace(-4, 4, 8001, dtype=torch.float64)[:, None, None]
    plane = manifolds.from_frame(p.expand(8001, -1, -1), t * along, kappa)
    nearest = manifolds.distance(plane[:, None], z[:, None], kappa).amin(0)
    torch.testing.assert_close(geodesic(z).square(), nearest.square(), rtol=1e-6, atol=1e-6)  # a step of 1e-3, squared


def test_at_curvature_zero_it_is_affine_and_passes_through_smoothly():
    z, flat = points(), layer(0.0)
    u = nn.functional.normalize(flat.weight, dim=-1)
    torch.testing.assert_close(flat(z), 2 * (z @ u.T - flat.offset), rtol=1e-12, atol=1e-12)

    def value(k: float) -> torch.Tensor:
        with torch.no_grad():
            flat.curvature.a.fill_(k)
        return flat(z).square().sum()

    (slope,) = torch.autograd.grad(value(0.0), flat.curvature.a)
    h = 1e-4
    assert slope.item() == pytest.approx(((value(h) - value(-h)) / (2 * h)).item(), rel=1e-6)


def test_a_context_enters_linearly_behind_z():
    geodesic, z, c = layer(-1.0, context=2), points(), torch.randn(7, 2).double()
    expected = layer(-1.0)
    expected.load_state_dict({k: v for k, v in geodesic.state_dict().items() if not k.startswith("context")})
    wanted = expected(z) + c @ geodesic.context.weight.T
    torch.testing.assert_close(geodesic(torch.cat([z, c], -1)), wanted)


@pytest.mark.parametrize("move", ["learned", "universal"])
@pytest.mark.parametrize("kappa", [-1.4, 1.4])
def test_in_float32_nothing_breaks_at_the_boundary_or_at_the_pole(kappa, move):
    geodesic = Geodesic(3, 50, Curvature(kappa, move))
    with torch.no_grad():
        geodesic.offset[:10] = torch.linspace(-20, 20, 10)
    v = torch.cat([torch.eye(3) * r for r in (0.0, 1e-8, 1.0, 2.5, 5.0, 1e3)])
    z = manifolds.from_frame(torch.zeros_like(v), v, kappa).requires_grad_()
    d = geodesic(z)
    d.square().mean().backward()
    assert d.isfinite().all()
    assert all(g.isfinite().all() for g in (z.grad, *(p.grad for p in geodesic.parameters())))
    if kappa > 0:
        assert d.abs().max() <= math.pi / 2 / math.sqrt(kappa) * (1 + 1e-6)


@each_kappa
def test_the_inverse_sine_undoes_the_sine(kappa):
    top = 0.999 * math.pi / 2 / math.sqrt(kappa) if kappa > 0 else 5.0
    t = torch.linspace(-top, top, 41, dtype=torch.float64)
    torch.testing.assert_close(manifolds.arsin_k(manifolds.sin_k(t, kappa), kappa), t, rtol=1e-9, atol=1e-12)


# --- ambient coordinates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [-2.0, 0.5])
def test_ambient_coordinates_are_those_of_the_hyperboloid_and_of_the_sphere(kappa):
    z = points(2)
    x, R = manifolds.from_stereographic(z, kappa), abs(kappa) ** -0.5
    expected = torch.cat([x[:, 1:], math.copysign(R, kappa) * (R - x[:, :1])], -1)
    torch.testing.assert_close(
        Ambient([(2, Curvatures([Curvature(kappa)]))])(z), expected, rtol=1e-6, atol=1e-6
    )  # kappa is float32


def test_ambient_coordinates_leave_the_rest_alone_and_have_a_limit_at_curvature_0():
    hyperbolic, free = Curvature(-0.7).double(), Curvature(0.0, "universal").double()
    z = torch.cat([points(2), points(3), points(2), torch.randn(7, 4).double()], -1)
    read = Ambient([(2, Curvatures([hyperbolic])), (3, None), (2, Curvatures([free]))])(z)
    assert read.shape == (7, 13)
    assert torch.equal(read[:, 3:6], z[:, 2:5])
    torch.testing.assert_close(read[:, 6:8], 2 * z[:, 5:7])
    torch.testing.assert_close(read[:, 8], 2 * z[:, 5:7].square().sum(-1))
    assert torch.equal(read[:, 9:], z[:, 7:])


def test_opposite_the_origin_of_a_sphere_ambient_coordinates_stay_finite():
    z = torch.tensor([[8e6, 0.0], [0.0, -1e3]], requires_grad=True)
    read = Ambient([(2, Curvatures([Curvature(1.0)]))])(z)
    read.sum().backward()
    torch.testing.assert_close(read[:, 2], torch.tensor([2.0, 2.0]), rtol=1e-5, atol=0)
    assert z.grad.isfinite().all()
