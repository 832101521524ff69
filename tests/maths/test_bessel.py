"""log I_v and the ratio of neighbours: against mpmath, scipy, closed forms and each other's derivatives."""

import math

import mpmath
import pytest
import torch
from scipy import special

from logpx.maths.bessel import bessel_pair, bessel_ratio, log_bessel_i

ORDERS = [0.0, 0.3, 0.5, 1.0, 2.5, 4.5, 9.0, 9.5, 10.0, 24.0, 99.0, 249.5, 500.0]
KS = torch.logspace(-6, 5, 12, dtype=torch.float64)


@pytest.mark.parametrize("v", ORDERS)
def test_values_agree_with_thirty_digits(v):
    """To 1e-10 relative, 1 the least scale for the logarithm, from k = 1e-6 to 1e5; A' as 1 - A^2 - (2v+1) A/k."""
    k = KS.clone().requires_grad_()
    ours = log_bessel_i(v, k), bessel_ratio(v, k)
    slopes = [torch.autograd.grad(o.sum(), k)[0] for o in ours]
    with mpmath.workdps(30):
        for i, at in enumerate(KS.tolist()):
            here, above = mpmath.besseli(v, at), mpmath.besseli(v + 1, at)
            ratio = above / here
            assert ours[0][i].item() == pytest.approx(float(mpmath.log(here)), rel=1e-10, abs=1e-10)
            assert ours[1][i].item() == pytest.approx(float(ratio), rel=1e-11)
            assert slopes[0][i].item() == pytest.approx(float(ratio + v / mpmath.mpf(at)), rel=1e-11)
            slope = float(1 - ratio**2 - (2 * v + 1) * ratio / at)
            assert slopes[1][i].item() == pytest.approx(slope, rel=1e-9, abs=1e-15)  # it falls as 1/k^2


def test_values_agree_with_scipy():
    for v in (0, 0.5, 4.5, 24, 49):
        k = torch.linspace(0.5, 600, 200, dtype=torch.float64)
        scaled = torch.from_numpy(special.ive(v, k.numpy()))
        seen = scaled > 1e-290
        expected = (scaled.log() + k)[seen]
        torch.testing.assert_close(log_bessel_i(v, k)[seen], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("v", "k", "value"), [(4.5, 2, -3.7784597508), (99, 1, -427.7532762759), (24, 300, 295.2684979511)]
)
def test_published_points(v, k, value):
    assert log_bessel_i(v, torch.tensor(k).double()).item() == pytest.approx(value, abs=1e-9)


def test_half_an_order_is_a_hyperbolic_sine():
    """I_1/2 = sqrt(2/(pi k)) sinh k and I_3/2/I_1/2 = coth k - 1/k."""
    k = torch.linspace(0.1, 30, 60, dtype=torch.float64)
    torch.testing.assert_close(log_bessel_i(0.5, k), 0.5 * torch.log(2 / (math.pi * k)) + k.sinh().log())
    torch.testing.assert_close(bessel_ratio(0.5, k), 1 / k.tanh() - 1 / k, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("v", [0.0, 0.5, 4.5, 99.0])
def test_the_pair_is_smooth_at_zero(v):
    """g = k^2/(4(v+1)) + ..., A = k/(2(v+1)) + ...: relative digits survive at 1e-6, and 0 has its derivatives."""
    k = torch.tensor([0.0, 1e-6], dtype=torch.float64, requires_grad=True)
    g, A = bessel_pair(v, k)
    half = 1 / (2 * v + 2)
    assert g.tolist() == pytest.approx([0, 1e-12 * half / 2], rel=1e-11, abs=0)
    assert A.tolist() == pytest.approx([0, 1e-6 * half], rel=1e-11, abs=0)
    (slope,) = torch.autograd.grad(A.sum(), k, create_graph=True)
    assert slope.tolist() == pytest.approx([half, half], rel=1e-11)
    (bend,) = torch.autograd.grad(slope.sum(), k)
    assert bend[0].item() == 0
    assert bend[1].item() == pytest.approx(-3e-6 * half**3 * 2 * (v + 1) / (v + 2), rel=1e-6)


@pytest.mark.parametrize("v", [0.0, 4.5, 24.0])
def test_first_and_second_derivatives_are_those_of_the_values(v):
    k = torch.tensor([0.3, 2.0, 15.0, 80.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: bessel_pair(v, k), k)
    assert torch.autograd.gradgradcheck(lambda k: bessel_pair(v, k), k)


@pytest.mark.parametrize("v", ORDERS)
def test_float32_never_leaves_the_numbers(v):
    k = torch.logspace(-6, 5, 300).requires_grad_()
    for f in (log_bessel_i, bessel_ratio):
        value = f(v, k)
        (slope,) = torch.autograd.grad(value.sum(), k)
        assert value.dtype == slope.dtype == torch.float32
        assert value.isfinite().all()
        assert slope.isfinite().all()
        torch.testing.assert_close(value, f(v, k.double()).float(), rtol=1e-6, atol=1e-6)


def test_it_is_one_graph():
    torch.compiler.reset()
    k = torch.logspace(-3, 3, 7).requires_grad_()

    def f(k):
        return (log_bessel_i(4.5, k) + bessel_ratio(4.5, k)).sum()

    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    traced, eager = (torch.autograd.grad(g(k), k)[0] for g in (compiled, f))
    torch.testing.assert_close(traced, eager, rtol=1e-6, atol=1e-6)
