"""Quantiles of the cosine of a von Mises-Fisher law, and their derivative in the concentration, draw by draw."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate

from logpx.maths.bessel import bessel_ratio
from logpx.maths.polar import von_mises_fisher_latitude

U = torch.tensor([1e-6, 1e-4, 0.01, 0.1, 0.35, 0.5, 0.77, 0.93, 0.999, 1 - 1e-5], dtype=torch.float64)
KAPPAS = [0.0, 1e-3, 0.3, 2.0, 10.0, 75.0, 1e3, 1e5]


def quantiles(m, kappa):
    """Latitudes at U, and dy/dk of each."""
    k = torch.full_like(U, kappa).requires_grad_()
    y = von_mises_fisher_latitude(U, k, m)
    (slope,) = torch.autograd.grad(y.sum(), k)
    return y.detach().numpy(), slope.numpy()


@pytest.mark.parametrize("m", [2, 3, 4, 7, 11, 50, 500])
@pytest.mark.parametrize("kappa", KAPPAS)
def test_each_draw_and_its_derivative_agree_with_scipys_quadrature(m, kappa):
    """F(y(u)) = u, and dy/dk = -(1/f(y)) int_{-inf}^y f (w - A) or its other side, f = e^{k tanh y}/cosh^{m-1} y."""
    y, slope = quantiles(m, kappa)
    A = bessel_ratio(m / 2 - 1, torch.tensor(kappa, dtype=torch.float64)).item()

    def over(f, at, sign):
        """int of f(w) q(t)/q(at) from at to at + sign 40, in pieces that a bell of this width cannot slip through."""

        def integrand(t):
            w, here = math.tanh(t), math.tanh(at)
            drop = kappa * (w - here) - (m - 1) * (abs(t) - abs(at) + math.log1p(math.exp(-2 * abs(t))))
            return f(w) * math.exp(drop + (m - 1) * math.log1p(math.exp(-2 * abs(at))))

        reach = sign * np.array([0, 0.1, 0.3, 0.8, 1.6, 3, 6, 10]) * (4 / math.sqrt(m))
        ends = at + np.append(reach, sign * 40)
        pieces = (integrate.quad(integrand, *ab, epsabs=0, epsrel=1e-10, limit=80)[0] for ab in pairwise(ends))
        return sum(pieces) * sign

    for u, at, ours in zip(U.tolist(), y, slope, strict=True):
        below, above = over(lambda w: 1.0, at, -1), over(lambda w: 1.0, at, 1)
        assert below / (below + above) == pytest.approx(u, rel=1e-6, abs=1e-8)
        sign = -1 if u < 0.5 else 1
        assert ours == pytest.approx(sign * over(lambda w: w - A, at, sign), rel=1e-6)


@pytest.mark.parametrize("kappa", [1e-3, 0.3, 2.0, 30.0, 1e3, 1e5])
def test_in_three_dimensions_the_quantile_has_a_closed_form(kappa):
    """w = 1 + log(u + (1-u) e^{-2k})/k, in 40 digits, for the cancellation at both ends of kappa."""
    y, slope = quantiles(3, kappa)
    with mpmath.workdps(40):
        for u, at, ours in zip(U.tolist(), y, slope, strict=True):

            def closed(k, u=u):
                u = mpmath.mpf(u)
                return mpmath.atanh(1 + mpmath.log(u + (1 - u) * mpmath.exp(-2 * k)) / k)

            assert at == pytest.approx(float(closed(mpmath.mpf(kappa))), abs=1e-7)  # 1e-12 in u at u = 1e-6
            assert ours == pytest.approx(float(mpmath.diff(closed, mpmath.mpf(kappa), h=kappa * 1e-12)), rel=1e-6)


@pytest.mark.parametrize("m", [2, 3, 11, 500])
def test_quantiles_rise_without_a_step_and_stay_numbers_at_both_ends(m):
    """At u = 0 and at 1 - 2^-53, which torch.rand does return, and across the borders of the cells."""
    u = torch.cat([torch.zeros(1), torch.linspace(1e-6, 1 - 1e-6, 4001), torch.ones(1)]).double()
    u[-1] = 1 - 2**-53
    k = torch.tensor([0.0, 1e-6, 1.0, 40.0, 1e5], dtype=torch.float64, requires_grad=True)
    y = von_mises_fisher_latitude(u[:, None].expand(-1, 5), k, m)
    (slope,) = torch.autograd.grad(y.sum(), k)
    assert y.isfinite().all()
    assert slope.isfinite().all()
    assert (y.diff(dim=0) > 0).all()
