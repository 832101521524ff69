"""Spaces of constant curvature against closed forms, the other coordinates, finite differences and geoopt; in float64."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from logpx.maths import manifolds as mf

KAPPAS = [-2.0, -0.5, -1e-4, 0.0, 1e-4, 0.5, 2.0]
AROUND_0 = [-0.3, -1e-7, 0.0, 1e-7, 0.3]
each_kappa = pytest.mark.parametrize("kappa", KAPPAS)
each_curved = pytest.mark.parametrize("kappa", [k for k in KAPPAS if k])


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def points(kappa, *shape, spread=0.5):
    """Anywhere in the space, as far as three radii or units."""
    return mf.exp_at_0(spread * torch.randn(*shape, dtype=torch.float64), kappa)


def close(ours, theirs, tolerance=1e-12):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


# --- stereographic coordinates ----------------------------------------------------------------------------------------


@each_kappa
def test_log_volume_is_the_log_determinant_of_the_exponential_map(kappa):
    v = float64(0.7, -0.4, 0.3)
    jacobian = torch.autograd.functional.jacobian(lambda v: mf.from_frame(torch.zeros_like(v), v, kappa), v)
    z = mf.from_frame(torch.zeros_like(v), v, kappa)
    expected = jacobian.det().log() + mf.log_lebesgue(z, kappa)
    close(mf.log_volume(v.square().sum(), kappa, 3), expected)


def test_known_values_on_the_unit_disc():
    """d(0, x) = ln((1 + |x|)/(1 - |x|)) = ln 3 at |x| = 1/2; exp_0((1, 0)) = (tanh 1, 0)."""
    zero, x = torch.zeros(2).double(), float64(0.3, -0.4)
    assert mf.distance(zero, x, -1.0).item() == pytest.approx(math.log(3), abs=1e-15)
    close(mf.exp_at_0(float64(1, 0), -1.0), float64(math.tanh(1), 0), 1e-15)


@each_kappa
def test_exp_and_log_are_inverse(kappa):
    x, y = points(kappa, 20, 3), points(kappa, 20, 3)
    close(mf.exp_at(x, mf.log_at(x, y, kappa), kappa), y)
    close(mf.from_frame(x, mf.to_frame(x, y, kappa), kappa), y)
    v = mf.transport_from_0(x, 0.3 * torch.randn(20, 3).double(), kappa)
    close(mf.log_at(x, mf.exp_at(x, v, kappa), kappa), v)
    v = 0.3 * torch.randn(20, 3).double()
    close(mf.log_at_0(mf.exp_at_0(v, kappa), kappa), v)
    close(mf.log_at_0(y, kappa), mf.log_at(torch.zeros_like(y), y, kappa))


@each_kappa
def test_the_length_of_log_is_the_distance(kappa):
    x, y = points(kappa, 20, 3), points(kappa, 20, 3)
    close(mf.to_frame(x, y, kappa).norm(dim=-1), mf.distance(x, y, kappa))
    close(mf.conformal_factor(x, kappa) * mf.log_at(x, y, kappa).norm(dim=-1), mf.distance(x, y, kappa))
    close(mf.distance(x, y, kappa).square(), mf.squared_distance(y, x, kappa))


@each_kappa
def test_translations_are_isometries(kappa):
    a, x, y = (points(kappa, 20, 3) for _ in range(3))
    moved = mf.distance(mf.gyro_add(a, x, kappa), mf.gyro_add(a, y, kappa), kappa)
    close(moved, mf.distance(x, y, kappa), 1e-10)
    close(mf.gyro_add(-a, mf.gyro_add(a, x, kappa), kappa), x, 1e-10)


@each_kappa
def test_a_translation_is_the_published_formula_and_its_distance_the_published_one(kappa):
    x, y = points(kappa, 20, 3), points(kappa, 20, 3)
    xy, x2, y2 = ((p * q).sum(-1, keepdim=True) for p, q in ((x, y), (x, x), (y, y)))
    numerator = (1 - 2 * kappa * xy - kappa * y2) * x + (1 + kappa * x2) * y
    close(mf.gyro_add(x, y, kappa), numerator / (1 - 2 * kappa * xy + kappa**2 * x2 * y2), 1e-11)
    expected = 2 * mf.artan_k(mf.gyro_add(-x, y, kappa).norm(dim=-1), kappa)
    close(mf.distance(x, y, kappa), expected, 1e-11)


@each_kappa
def test_transport_preserves_length(kappa):
    x, v = points(kappa, 20, 3), torch.randn(20, 3).double()
    carried = mf.transport_from_0(x, v, kappa)
    close(mf.conformal_factor(x, kappa) * carried.norm(dim=-1), 2 * v.norm(dim=-1))


@pytest.mark.parametrize("kappa", AROUND_0)
@pytest.mark.parametrize("f", ["squared_distance", "to_frame", "from_frame", "gyro_add", "exp_at", "log_at"])
def test_gradients_and_second_gradients_are_right_through_zero_curvature(f, kappa):
    """Central differences in the points and in kappa, which step across kappa = 0."""
    x, y = float64(0.3, -0.2).requires_grad_(), float64(-0.1, 0.4).requires_grad_()
    inputs = (x, y, float64(kappa)[0].requires_grad_())
    assert gradcheck(getattr(mf, f), inputs, eps=1e-5, atol=1e-8)
    assert gradgradcheck(getattr(mf, f), inputs, eps=1e-5, atol=1e-7)


@pytest.mark.parametrize("kappa", AROUND_0)
def test_gradients_are_exact_where_points_coincide_and_tangents_vanish(kappa):
    x = float64(0.3, -0.2)
    scale = mf.conformal_factor(x, kappa).item()
    hessian = torch.autograd.functional.hessian(lambda y: mf.squared_distance(x, y, kappa), x)
    close(hessian, 2 * scale**2 * torch.eye(2).double())
    zero, eye = torch.zeros(2).double(), torch.eye(2).double()
    close(torch.autograd.functional.jacobian(lambda v: mf.exp_at(x, v, kappa), zero), eye)
    close(torch.autograd.functional.jacobian(lambda y: mf.log_at(x, y, kappa), x), eye)
    y = x.clone().requires_grad_()
    mf.distance(x, y, kappa).backward()
    assert (y.grad == 0).all()


@each_kappa
def test_curvature_may_differ_from_point_to_point(kappa):
    k = float64(kappa, -0.7)
    x, y = points(-0.7, 2, 3, spread=0.2), points(-0.7, 2, 3, spread=0.2)
    for f in (mf.distance, mf.to_frame, mf.from_frame, mf.gyro_add):
        close(f(x, y, k), torch.stack([f(x[i], y[i], k[i]) for i in range(2)]), 1e-15)


# --- the boundary, the antipode, float32 ------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "margin"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_points_are_projected_into_the_ball(dtype, margin):
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=dtype)
    inside = mf.project(x, -0.25)
    assert inside.norm(dim=-1)[0].item() == pytest.approx(2 * (1 - margin), rel=3e-7)
    assert torch.equal(inside[1], x[1])
    assert torch.equal(mf.project(x, 0.0), x)
    assert torch.equal(mf.project(x, 0.25), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_is_finite_on_the_boundary(dtype):
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]], dtype=dtype, requires_grad=True)
    y = torch.tensor([[1.0, 0.0], [-0.6, -0.8], [0.0, 0.0]], dtype=dtype)
    kappa = torch.tensor(-1.0, dtype=dtype, requires_grad=True)
    frame = mf.to_frame(x, y, kappa)
    values = [mf.distance(x, y, kappa), mf.squared_distance(x, y, kappa), frame, mf.from_frame(x, 50 * y, kappa)]
    values += [mf.gyro_add(x, y, kappa), mf.log_at_0(x, kappa), mf.conformal_factor(x, kappa)]
    sum(v.sum() for v in values).backward()
    assert all(v.isfinite().all() for v in (*values, x.grad, kappa.grad))


def test_float32_keeps_distances_near_the_boundary():
    """1 + kappa |x|^2 is all that is lost: the artanh form, by contrast, is off by whole units there."""
    x, y = torch.tensor([0.995, 0.01]), torch.tensor([-0.99, 0.1])
    for f in (mf.distance, mf.to_frame):
        wide = f(x.double(), y.double(), -1.0)
        torch.testing.assert_close(f(x, y, -1.0).double(), wide, rtol=1e-5, atol=1e-5)
    v = torch.tensor([-4.0, 1.0])
    torch.testing.assert_close(
        mf.from_frame(x, v, -1.0).double(), mf.from_frame(x.double(), v.double(), -1.0), rtol=0, atol=1e-4
    )


def test_distances_on_a_sphere_are_angles_up_to_the_antipode():
    """-x/(kappa |x|^2) is opposite x, pi R away; the gradient there is finite."""
    x = float64(0.3, -0.8)
    opposite = (-x / (0.5 * x.square().sum())).requires_grad_()
    d = mf.distance(x, opposite, 0.5)
    d.backward()
    assert d.item() == pytest.approx(math.pi / math.sqrt(0.5), abs=1e-7)
    assert opposite.grad.isfinite().all()


# --- ambient coordinates ----------------------------------------------------------------------------------------------


@each_curved
def test_the_maps_between_coordinates_are_inverse_and_keep_distances(kappa):
    y, z = points(kappa, 20, 3), points(kappa, 20, 3)
    x = mf.from_stereographic(y, kappa)
    close(kappa * mf.ambient_inner(x, x, kappa), torch.ones(20).double(), 1e-11)
    close(mf.to_stereographic(x, kappa), y)
    tolerance = 1e-11 if abs(kappa) > 1e-3 else 1e-9  # x_0 - R is lost beside R = 100
    close(mf.ambient_distance(x, mf.from_stereographic(z, kappa), kappa), mf.distance(y, z, kappa), tolerance)


@each_curved
def test_ambient_distance_is_the_arc_of_the_inner_product(kappa):
    x, y = (mf.from_stereographic(points(kappa, 20, 3), kappa) for _ in range(2))
    cosine = (kappa * mf.ambient_inner(x, y, kappa)).numpy()
    arc = (np.arccosh if kappa < 0 else np.arccos)(cosine) / math.sqrt(abs(kappa))
    np.testing.assert_allclose(mf.ambient_distance(x, y, kappa), arc, rtol=1e-6)


@each_curved
def test_the_ambient_maps_are_inverse_and_isometric(kappa):
    m, z = (mf.from_stereographic(points(kappa, 20, 3), kappa) for _ in range(2))
    v = mf.ambient_log(m, z, kappa)
    d = mf.ambient_distance(m, z, kappa)
    close(mf.ambient_inner(v, m, kappa), torch.zeros(20).double(), 1e-9)
    close(mf.ambient_inner(v, v, kappa).sqrt(), d, 1e-9)
    close(mf.ambient_exp(m, v, kappa), z, 1e-10)
    close(mf.ambient_from_frame(m, mf.ambient_to_frame(m, z, kappa), kappa), z, 1e-10)
    origin = mf.ambient_exp_at_0(torch.zeros(20, 3).double(), kappa)
    w = torch.randn(20, 3).double()
    carried = mf.ambient_transport_from_0(m, w, kappa)
    close(mf.ambient_inner(carried, carried, kappa), w.square().sum(-1), 1e-10)
    close(mf.ambient_inner(carried, m, kappa), torch.zeros(20).double(), 1e-9)
    close(mf.ambient_transport_to_0(m, carried, kappa), w, 1e-10)
    close(mf.ambient_exp_at_0(w, kappa), mf.ambient_from_frame(origin, w, kappa))


@each_curved
def test_both_coordinates_transport_the_same_frame(kappa):
    y, v = points(kappa, 20, 3), 0.6 * torch.randn(20, 3).double()
    z = mf.ambient_from_frame(mf.from_stereographic(y, kappa), v, kappa)
    close(mf.to_stereographic(z, kappa), mf.from_frame(y, v, kappa), 1e-10)
    close(mf.ambient_to_frame(mf.from_stereographic(y, kappa), z, kappa), v, 1e-9)


def test_geodesics_of_a_sphere_come_round():
    v = float64(0.6, 0.8) * 0.5
    m = mf.exp_at_0(float64(0.2, -0.7), 4.0)
    far = v / v.norm() * (v.norm() + math.pi)  # R = 1/2, so once round is pi
    close(mf.from_frame(m, far, 4.0), mf.from_frame(m, v, 4.0), 1e-11)
    x = mf.from_stereographic(m, 4.0)
    close(mf.ambient_from_frame(x, far, 4.0), mf.ambient_from_frame(x, v, 4.0), 1e-13)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-15)])
def test_ambient_angles_keep_their_digits_close_to_the_antipode(dtype, tolerance):
    """The arc cosine, or the arc sine of the chord, has lost half of them there."""
    short = torch.tensor([1e-3, 1e-5], dtype=dtype)  # of pi
    y = torch.stack([-short.cos(), short.sin()], -1)
    d = mf.ambient_distance(torch.tensor([1.0, 0.0], dtype=dtype), y, 1.0)
    torch.testing.assert_close(d, math.pi - short, rtol=tolerance, atol=0)


def test_the_pole_opposite_the_origin_is_a_point_like_others():
    pole, v = float64(-1, 0, 0), float64(0.3, 0.4)
    close(mf.ambient_transport_from_0(pole, v, 1.0), float64(0, 0.3, 0.4))
    z = mf.ambient_from_frame(pole, v, 1.0)
    assert mf.ambient_distance(pole, z, 1.0).item() == pytest.approx(0.5, abs=1e-14)
    close(mf.ambient_to_frame(pole, z, 1.0), v)
    near = mf.ambient_project(float64(-1, 1e-9, -2e-9), 1.0)
    assert mf.ambient_transport_from_0(near, v, 1.0).norm().item() == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("kappa", [-1.0, 1.0])
def test_ambient_float32_neither_overflows_nor_loses_its_gradient(kappa):
    v = torch.tensor([[0.0, 0.0], [300.0, -4.0], [5.0, 0.1]], requires_grad=True)
    m = mf.ambient_exp_at_0(v, kappa)
    z = mf.ambient_from_frame(m, v.flip(0), kappa)
    (mf.ambient_distance(m, z, kappa).sum() + mf.ambient_to_frame(m, z, kappa).sum()).backward()
    assert z.isfinite().all()
    assert v.grad.isfinite().all()


# --- another implementation -------------------------------------------------------------------------------------------


@each_kappa
def test_geoopt_agrees(kappa):
    geoopt = pytest.importorskip("geoopt")
    x, y = points(kappa, 20, 3), points(kappa, 20, 3)
    v = 0.2 * torch.randn(20, 3).double()
    k, theirs = float64(kappa)[0], geoopt.manifolds.stereographic.math
    close(mf.distance(x, y, kappa), theirs.dist(x, y, k=k), 1e-9)
    close(mf.gyro_add(x, y, kappa), theirs.mobius_add(x, y, k=k), 1e-9)
    close(mf.log_at(x, y, kappa), theirs.logmap(x, y, k=k), 1e-9)
    close(mf.exp_at(x, v, kappa), theirs.expmap(x, v, k=k), 1e-9)
    close(mf.exp_at_0(v, kappa), theirs.expmap0(v, k=k), 1e-9)
    close(mf.transport_from_0(x, v, kappa), theirs.parallel_transport0(x, v, k=k), 1e-9)
    close(mf.conformal_factor(x, kappa), theirs.lambda_x(x, k=k), 1e-9)
