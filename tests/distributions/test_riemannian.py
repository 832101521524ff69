"""The Riemannian normal law: published constants, the closed sum in high precision, draws and their gradients; float64."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Normal

from logpx.distributions.kl import has_closed_kl
from logpx.distributions.riemannian import RiemannianNormal, log_radius_norm, radius_moment, radius_quantile
from logpx.distributions.wrapped import WrappedNormal
from logpx.errors import UserError
from logpx.maths import manifolds as mf

# d = 5, c = .7: s, log Z_r, mean r, std r (emilemathieu/pvae's law, checked in arbitrary precision)
PUBLISHED = [
    (0.2, -6.62831268665, 0.433607898, 0.140120759),
    (0.5, -1.51213981062, 1.200118448, 0.384606481),
    (1.0, 4.4095754933, 3.420203684, 0.949379883),
    (1.5, 11.8648601183, 7.531059879, 1.498650234),
]


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def closed_log_norm(n, c, s):
    """log Z_r = log sqrt(pi/2) s (2 sqrt c)^-(n-1) sum_k (-1)^k C(n-1, k) e^(m^2 c s^2/2) [1 + erf(m sqrt c s/sqrt 2)],
    m = n - 1 - 2k (Mathieu et al. 2019), with as many digits as the sum cancels."""
    with mpmath.workdps(300):
        c, s = mpmath.mpf(c), mpmath.mpf(s)
        a = mpmath.sqrt(c) * s
        terms = [
            (-1) ** k
            * mpmath.binomial(n - 1, k)
            * mpmath.exp(m * m * a * a / 2)
            * (1 + mpmath.erf(m * a / mpmath.sqrt(2)))
            for k, m in enumerate(range(n - 1, -n, -2))
        ]
        return float(mpmath.log(mpmath.sqrt(mpmath.pi / 2) * s * (2 * mpmath.sqrt(c)) ** (1 - n) * mpmath.fsum(terms)))


def ours_log_norm(n, c, s):
    return n * math.log(s) + log_radius_norm(float64(-c * s * s), n).item()


def radial_law(n, b):
    """Nodes of r/s and the probability around each, by Simpson's rule on a fine grid."""
    y = torch.linspace(0, 60, 60_001, dtype=torch.float64)
    log_p = -0.5 * y.square() + (n - 1) * mf.sin_k(y, b).log()
    simpson = torch.ones_like(y)
    simpson[1:-1:2], simpson[2:-1:2] = 4, 2
    return y, torch.softmax(log_p + simpson.log(), 0)


# --- the normaliser ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("s", "log_norm", "mean", "std"), PUBLISHED)
def test_published_constants(s, log_norm, mean, std):
    bend = float64(-0.7 * s * s)
    assert ours_log_norm(5, 0.7, s) == pytest.approx(log_norm, abs=1e-10)
    first, second = (radius_moment(bend, 5, power).item() for power in (1, 2))
    assert s * first == pytest.approx(mean, abs=1e-8)
    assert s * math.sqrt(second - first**2) == pytest.approx(std, abs=1e-8)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 50, 100])
@pytest.mark.parametrize("s", [0.05, 0.4, 1.0, 2.0, 7.0])
def test_the_normaliser_is_the_closed_sum_in_300_digits(n, s):
    """In float64 that sum has lost every digit at n = 50 and s = .05."""
    assert ours_log_norm(n, 1.3, s) == pytest.approx(closed_log_norm(n, 1.3, s), rel=1e-13, abs=1e-12)


def test_the_normaliser_in_the_plane():
    """n = 2: Z_r = sqrt(pi/2) (s/sqrt c) e^(c s^2/2) erf(sqrt c s/sqrt 2)."""
    c, s = 0.6, 1.7
    closed = math.sqrt(math.pi / 2) * s / math.sqrt(c) * math.exp(c * s * s / 2) * math.erf(math.sqrt(c / 2) * s)
    assert ours_log_norm(2, c, s) == pytest.approx(math.log(closed), abs=1e-13)


def test_the_normaliser_has_the_right_gradients():
    b = float64(-3.0, -0.2, -1e-6).requires_grad_()
    assert torch.autograd.gradcheck(lambda b: log_radius_norm(b, 4), b, eps=1e-6, atol=1e-8)
    assert torch.autograd.gradgradcheck(lambda b: log_radius_norm(b, 4), b, eps=1e-6, atol=1e-7)


# --- the density ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [-2.0, -0.5, 0.0])
@pytest.mark.parametrize("scale", [0.2, 0.7])
def test_integrates_to_one(kappa, scale):
    """n = 2, over a polar grid about 0, loc elsewhere."""
    angle = torch.arange(256, dtype=torch.float64) * math.pi / 128
    r = torch.linspace(0, 7, 1401, dtype=torch.float64)[:, None]
    v = r[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    z = mf.from_frame(torch.zeros(2).double(), v, kappa)
    law = RiemannianNormal(float64(0.2, -0.3), float64(scale), kappa)
    ring = law.log_prob(z).exp().sum(-1) * math.pi / 128 * mf.sin_k(r.squeeze(-1), kappa)
    assert integrate.simpson(ring.numpy(), dx=0.005) == pytest.approx(1, abs=1e-9)


def test_the_flat_limit_is_the_normal_law():
    loc, s, z = torch.randn(4, 3).double(), float64(0.6), torch.randn(4, 3).double()
    expected = Normal(loc, s / 2).log_prob(z).sum(-1) - 3 * math.log(2)
    for kappa in (0.0, -1e-13):
        law = RiemannianNormal(loc, s, kappa)
        torch.testing.assert_close(law.log_prob(z), expected, rtol=1e-11, atol=1e-11)
    flat = WrappedNormal(loc, s, 0.0).entropy()
    torch.testing.assert_close(RiemannianNormal(loc, s, 0.0).entropy(), flat, rtol=1e-10, atol=1e-10)


def test_log_prob_has_the_right_gradients():
    inputs = tuple(p.requires_grad_() for p in (float64(0.3, 0.1), float64(-0.1, 0.2), float64(0.7), float64(-0.8)[0]))
    f = lambda z, loc, s, k: RiemannianNormal(loc, s, k).log_prob(z)  # noqa: E731
    assert torch.autograd.gradcheck(f, inputs, eps=1e-6, atol=1e-7)
    at_loc = torch.autograd.functional.jacobian(lambda z: f(z, *inputs[1:]), inputs[1].detach())
    assert (at_loc == 0).all()


@pytest.mark.parametrize(("n", "scale"), [(2, 0.7), (5, 1.2), (100, 0.3)])
def test_entropy_is_minus_the_mean_of_log_p(n, scale):
    law = RiemannianNormal(torch.zeros(n).double(), float64(scale), -0.7)
    y, p = radial_law(n, -0.7 * scale**2)
    expected = law.log_norm().item() + 0.5 * (p * y.square()).sum().item()
    assert law.entropy().item() == pytest.approx(expected, abs=1e-9)
    log_p = law.log_prob(law.sample((20_000,)))
    assert abs(law.entropy().item() + log_p.mean().item()) <= 4 * log_p.std().item() / math.sqrt(20_000)


# --- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 16, 100])
@pytest.mark.parametrize("b", [-1e-8, -0.09, -1.0, -9.0])
def test_the_quantile_inverts_the_distribution_function(n, b):
    """F of it by quadrature over (0, y), for u from 10^-9 to 1 - 10^-9."""
    u = torch.cat([torch.logspace(-9, -1, 20, dtype=torch.float64), 1 - torch.logspace(-9, -0.1, 20).double()])
    y = radius_quantile(u, float64(b)[0], n)
    start = (y - 22).clamp_min(0)[:, None]
    x, w = np.polynomial.legendre.leggauss(150)
    nodes = start + (y[:, None] - start) * torch.from_numpy((x + 1) / 2)
    log_p = -0.5 * nodes.square() + (n - 1) * nodes.log() + mf.log_volume(nodes.square(), b, n)
    mass = (log_p - log_radius_norm(float64(b), n)).exp() * torch.from_numpy(w / 2) * (y[:, None] - start)
    torch.testing.assert_close(mass.sum(-1), u, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("n", "scale", "kappa"), [(2, 0.7, -1.0), (5, 1.0, -0.7), (16, 0.4, -1.0), (3, 0.5, 0.0)])
def test_the_radius_of_draws_follows_the_density(n, scale, kappa):
    law = RiemannianNormal(torch.full((n,), 0.05).double(), float64(scale), kappa)
    z = law.sample((20_000,))
    d = mf.distance(law.loc, z, kappa).numpy() / scale
    y, p = radial_law(n, kappa * scale**2)
    cdf = p.cumsum(0).numpy()
    assert stats.kstest(d, lambda t: np.interp(t, y.numpy(), cdf)).pvalue > 1e-4
    u = torch.nn.functional.normalize(mf.to_frame(law.loc, z, kappa), dim=-1)
    assert (u.mean(0).abs() <= 4 / math.sqrt(n * 20_000)).all()


@pytest.mark.parametrize("n", [1, 2, 6, 50])
def test_the_gradient_of_the_quantile_is_the_implicit_one(n):
    u = torch.linspace(0.001, 0.999, 25, dtype=torch.float64)
    for b in (-1e-3, -0.5, -4.0):
        at = float64(b)[0].requires_grad_()
        ours = torch.autograd.functional.jacobian(lambda b: radius_quantile(u, b, n), at.detach())
        h = 1e-4 * abs(b)
        central = (radius_quantile(u, at.detach() + h, n) - radius_quantile(u, at.detach() - h, n)) / (2 * h)
        torch.testing.assert_close(ours, central, rtol=1e-6, atol=1e-8)


def test_the_pathwise_gradient_is_the_derivative_of_the_expectation():
    """E d(0, z)^2 with loc = 0 is s^2 E y^2: exact derivatives in scale and kappa against draws' own gradients."""
    n, p = 2_000, float64(0.8, -1.3)
    rows = p.expand(n, -1).clone().requires_grad_()
    law = RiemannianNormal(torch.zeros(n, 4).double(), rows[:, :1], rows[:, 1])
    mf.squared_distance(torch.zeros(4).double(), law.rsample(), rows[:, 1]).sum().backward()
    exact = p.clone().requires_grad_()
    (exact[0].square() * radius_moment(exact[1] * exact[0].square(), 4, 2)).backward()
    error = (rows.grad.mean(0) - exact.grad).abs()
    assert (error <= 4 * rows.grad.std(0) / math.sqrt(n)).all()


# --- shapes, float32, one graph ---------------------------------------------------------------------------------------


def test_shapes_expansion_and_refusals():
    law = RiemannianNormal(0.1 * torch.randn(3, 2), torch.tensor([0.5]), -1.0)
    z = law.sample((5, 4))
    assert z.shape == (5, 4, 3, 2)
    assert law.log_prob(z).shape == (5, 4, 3)
    assert law.entropy().shape == (3,)
    wide = law.expand((4, 3))
    assert wide.sample().shape == (4, 3, 2)
    assert torch.equal(wide.log_prob(z[0]), law.log_prob(z[0]))
    assert torch.equal(law.mean, law.loc)
    assert torch.equal(law.mode, law.loc)
    assert not has_closed_kl(law, law)
    with pytest.raises(UserError, match="curvature kappa is negative"):
        RiemannianNormal(torch.zeros(2), torch.ones(1), 1.0)
    with pytest.raises(UserError, match="has one scale"):
        RiemannianNormal(torch.zeros(2), torch.ones(2), -1.0)


def test_a_batch_of_curvatures_is_separate_laws():
    kappa, loc, s = float64(-1, 0, -0.3), 0.2 * torch.randn(3, 2).double(), torch.rand(3, 1).double() + 0.1
    z = 0.2 * torch.randn(3, 2).double()
    alone = [RiemannianNormal(loc[i], s[i], kappa[i]).log_prob(z[i]) for i in range(3)]
    torch.testing.assert_close(RiemannianNormal(loc, s, kappa).log_prob(z), torch.stack(alone), rtol=1e-14, atol=1e-14)


def test_float32_is_finite_at_every_scale_and_agrees_with_float64():
    scales = torch.logspace(-2, math.log10(7), 9)[:, None]
    for seed in range(20):
        torch.manual_seed(seed)
        h = (torch.randn(9, 6) * torch.logspace(-2, 1.5, 9)[:, None]).requires_grad_()
        s, k = scales.clone().requires_grad_(), torch.tensor(-1.0, requires_grad=True)
        law = RiemannianNormal(mf.exp_at_0(h, k), s, k)
        z = law.rsample((5,))
        log_p = law.log_prob(z)
        (log_p.sum() + z.sum()).backward()
        assert z.isfinite().all()
        assert log_p.isfinite().all()
        assert all(p.grad.isfinite().all() for p in (h, s, k))
    near = RiemannianNormal(torch.full((9, 6), 0.1), scales, -1.0)
    z = 0.2 * torch.randn(9, 6)
    wide = RiemannianNormal(torch.full((9, 6), 0.1).double(), scales.double(), -1.0).log_prob(z.double())
    torch.testing.assert_close(near.log_prob(z).double(), wide, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("act", ["log_prob", "rsample"])
def test_each_act_is_one_graph_with_every_gradient(act):
    def step(loc, scale, k):
        law = RiemannianNormal(loc, scale, k)
        return law.log_prob(z) if act == "log_prob" else law.rsample((3,))

    loc, z = 0.2 * torch.randn(2, 5, 3)
    inputs = [p.requires_grad_() for p in (loc, torch.full((5, 1), 0.7), torch.tensor(-0.8))]
    torch.compiler.reset()
    found = []
    for f in (torch.compile(step, fullgraph=True, backend="aot_eager"), step):
        torch.manual_seed(3)
        value = f(*inputs).sum()
        found.append([value, *torch.autograd.grad(value, inputs)])
    for traced, eager in zip(*found, strict=True):
        torch.testing.assert_close(traced, eager, rtol=1e-5, atol=1e-5)
