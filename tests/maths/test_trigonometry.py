"""Sine and tangent of constant curvature against mpmath and finite differences; which branches are looked at."""

import math

import mpmath
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from logpx.maths import trigonometry as tr

KAPPAS = [-2.0, -0.5, -1e-4, 0.0, 1e-4, 0.5, 2.0]
each_kappa = pytest.mark.parametrize("kappa", KAPPAS)


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def close(ours, theirs, tolerance=1e-12):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@each_kappa
@pytest.mark.parametrize("name", ["tan", "sin", "artan"])
def test_the_functions_of_curvature_are_those_of_mpmath(kappa, name):
    t = torch.logspace(-8, -0.2, 60, dtype=torch.float64)
    root = mpmath.sqrt(kappa)  # imaginary below zero
    f = {"tan": mpmath.tan, "sin": mpmath.sin, "artan": mpmath.atan}[name]
    expected = [float(mpmath.re(f(root * x.item()) / root)) if kappa else x.item() for x in t]
    close(getattr(tr, f"{name}_k")(t, kappa), float64(*expected), 1e-14)


@each_kappa
def test_artan_inverts_tan(kappa):
    t = torch.linspace(0, 1, 40, dtype=torch.float64)
    close(tr.artan_k(tr.tan_k(t, kappa), kappa), t, 1e-14)


def test_log_sin_ratio_is_mpmaths_on_either_side_of_its_series():
    w = torch.cat([-torch.logspace(-12, 4, 200, dtype=torch.float64), torch.logspace(-12, 0.99, 200).double()])
    with mpmath.workdps(40):
        expected = [float(mpmath.log(mpmath.sinc(mpmath.sqrt(x.item())).real)) for x in w]
    torch.testing.assert_close(tr.log_sin_ratio(w), float64(*expected), rtol=1e-13, atol=5e-16)


@pytest.mark.parametrize("w", [-0.9, -0.00501, -0.00499, 0.0, 0.00499, 0.00501, 2.0])
@pytest.mark.parametrize("f", ["tan_ratio", "artan_ratio", "sin_ratio", "even_cos", "log_sin_ratio"])
def test_the_even_functions_have_two_right_gradients_on_either_side_of_their_series(f, w):
    at = float64(w).requires_grad_()
    assert gradcheck(getattr(tr, f), at, eps=1e-5, atol=1e-8)
    assert gradgradcheck(getattr(tr, f), at, eps=1e-5, atol=1e-7)


def test_log_volume_does_not_overflow():
    r = torch.tensor([0.0, 1e-20, 1.0, 88.0, 1e4, 1e15], requires_grad=True)
    value = tr.log_volume(r.square(), -1.0, 3)
    value.sum().backward()
    assert value[0] == 0
    assert value[1] < 1e-40
    assert value[-2].item() == pytest.approx(2 * (1e4 - math.log(2e4)), rel=1e-6)
    assert value.isfinite().all()
    assert r.grad.isfinite().all()


EVEN = ["tan_ratio", "artan_ratio", "sin_ratio", "even_cos", "log_sin_ratio"]


@pytest.mark.parametrize("f", EVEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("w", [[-0.9, -0.3], [0.3, 0.9], [-1e-3, 2e-3], [-0.9, 1e-3], [1e-3, 0.9], [-0.9, 0.9]])
def test_the_branches_that_are_left_out_change_no_bit(f, dtype, w, monkeypatch):
    def value_and_gradient():
        at = torch.tensor(w, dtype=dtype, requires_grad=True)
        value = getattr(tr, f)(at)
        return value, *torch.autograd.grad(value.sum(), at)

    seen = value_and_gradient()
    monkeypatch.setattr(tr, "extremes", lambda x: (-math.inf, math.inf))
    for ours, all_branches in zip(seen, value_and_gradient(), strict=True):
        assert ours.equal(all_branches)


@pytest.mark.parametrize("f", EVEN)
def test_one_nan_spoils_no_other_element(f):
    w = float64(-0.9, math.nan, 0.0, 0.9)
    alone = torch.stack([getattr(tr, f)(x) for x in w])
    assert getattr(tr, f)(w)[[0, 2, 3]].equal(alone[[0, 2, 3]])


def test_by_sign_asks_for_one_branch_where_one_is_enough():
    asked = []

    def branch(name, value):
        asked.append(name)
        return float64(value, value)

    for k in ([-1.0, -2.0], [0.0, 3.0], [-1.0, 1.0]):
        asked.clear()
        value = tr.by_sign(float64(*k), lambda: branch("below", 5.0), lambda: branch("above", 7.0))
        assert value.tolist() == [5.0 if x < 0 else 7.0 for x in k]
        assert asked == {-1.0: ["below"], 0.0: ["above"]}.get(k[0] if k != [-1.0, 1.0] else None, ["below", "above"])


def test_a_vmap_looks_at_nothing():
    w = float64(-0.9, 0.0, 0.9)
    close(torch.func.vmap(tr.sin_ratio)(w), tr.sin_ratio(w), 0)
