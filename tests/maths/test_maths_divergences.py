"""Divergences against quadrature, the error function, scipy and closed forms, and the inequalities among them."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, linalg, stats

from logpx import maths


def under_the_mixture(g, law_q, law_p):
    """E g(log q - log p) over (p + q)/2 by quadrature."""

    def integrand(z):
        r = torch.tensor(law_q.logpdf(z) - law_p.logpdf(z), dtype=torch.float64)
        return 0.5 * (law_q.pdf(z) + law_p.pdf(z)) * g(r).item()

    return integrate.quad(integrand, -20, 20, points=[-1, 0, 0.5, 1, 2], limit=400, epsabs=1e-12)[0]


def jensen_shannon_by_definition(law_q, law_p):
    def integrand(z):
        q, p = law_q.pdf(z), law_p.pdf(z)
        m = 0.5 * (p + q)
        return 0.5 * sum(a * math.log(a / m) for a in (p, q) if a > 0)

    return integrate.quad(integrand, -20, 20, points=[-1, 0, 0.5, 1, 2], limit=400, epsabs=1e-12)[0]


PAIRS = [((0, 1), (1, 1)), ((0, 1), (3, 0.5)), ((0, 2), (0, 0.3)), ((0, 1), (0.01, 1))]
each_pair = pytest.mark.parametrize("pair", PAIRS)


@each_pair
def test_jensen_shannon_equals_its_definition(pair):
    q, p = (stats.norm(*law) for law in pair)
    value = under_the_mixture(maths.jensen_shannon_at, q, p)
    assert value == pytest.approx(jensen_shannon_by_definition(q, p), abs=1e-9)


@pytest.mark.parametrize("d", [0.01, 1.0, 3.0])
def test_total_variation_of_two_shifted_normals_is_that_of_the_error_function(d):
    value = under_the_mixture(maths.total_variation_at, stats.norm(0, 1), stats.norm(d, 1))
    assert value == pytest.approx(2 * stats.norm.cdf(d / 2) - 1, abs=1e-9)


@each_pair
def test_js_is_at_most_tv_log_2_and_tv_at_most_the_root_of_half_the_kl(pair):
    (m, s), (n, t) = pair
    q, p = stats.norm(m, s), stats.norm(n, t)
    js, tv = (under_the_mixture(g, q, p) for g in (maths.jensen_shannon_at, maths.total_variation_at))
    kl = math.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    assert 0 <= js <= tv * math.log(2)
    assert tv <= math.sqrt(kl / 2)


def test_at_every_log_ratio_they_stay_within_their_range_with_a_finite_gradient():
    r = torch.tensor([0.0, 1e-9, -1e-3, 1.0, -50.0, 1e4, -1e4], requires_grad=True)
    for g, most in ((maths.jensen_shannon_at, math.log(2)), (maths.total_variation_at, 1.0)):
        value = g(r)
        assert value[0].item() == pytest.approx(0, abs=1e-7)
        assert value.min().item() >= -1e-7
        assert value.max().item() <= most + 1e-7
        assert value[-2:].tolist() == pytest.approx([most, most], abs=1e-6)
        (slope,) = torch.autograd.grad(value.sum(), r)
        assert slope.isfinite().all()


def test_sliced_wasserstein_on_a_line_is_wasserstein_of_the_samples():
    a, b = np.random.default_rng(0).normal(size=(2, 50)) * [[1], [2]] + [[0], [1]]
    ours = maths.sliced_wasserstein(
        torch.tensor(a)[:, None], torch.tensor(b)[:, None], torch.full((3, 1), -2.0).double(), 1
    )
    assert ours.item() == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-12)


def test_a_shift_by_one_has_w1_and_w2_of_one():
    a = torch.randn(100, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    one = torch.ones(1, 1, dtype=torch.float64)
    for order in (1, 2):
        assert maths.sliced_wasserstein(a, a + 1, one, order).item() == pytest.approx(1, rel=1e-12)
    mean, sigma = torch.zeros(1), torch.ones(1)
    assert maths.wasserstein2_diagonal(mean, sigma, mean + 1, sigma).item() == 1


def test_a_shift_in_d_dimensions_counts_by_one_over_d_in_the_mean_over_directions():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    directions = torch.randn(20_000, 4, generator=generator, dtype=torch.float64)
    shift = torch.tensor([2.0, 0, 0, 0], dtype=torch.float64)
    projected = (torch.nn.functional.normalize(directions, dim=1) @ shift).square()
    error = projected.std().item() / math.sqrt(len(directions))
    value = maths.sliced_wasserstein(a, a + shift, directions).item()
    assert value == pytest.approx(projected.mean().item(), rel=1e-10)
    assert abs(value - 4 / 4) < 4 * error


def random_root(d, seed):
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tril()
    return root + 2 * torch.eye(d, dtype=torch.float64)


def test_wasserstein_of_two_normals_equals_the_formula_with_matrix_roots():
    A, B = random_root(4, 0), random_root(4, 1)
    m, n = torch.randn(2, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    Sa, Sb = (A @ A.T).numpy(), (B @ B.T).numpy()
    root = linalg.sqrtm(Sb)
    cross = linalg.sqrtm(root @ Sa @ root)
    expected = (m - n).square().sum().item() + np.trace(Sa + Sb - 2 * cross).real
    assert maths.wasserstein2_normal(m, A, n, B).item() == pytest.approx(expected, rel=1e-10)
    assert maths.wasserstein2_normal(m, A, m, A).item() == pytest.approx(0, abs=1e-12)


def test_the_diagonal_form_is_the_general_one_and_its_gradient():
    generator = torch.Generator().manual_seed(0)
    m, n = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    s, t = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64) + 0.1
    s.requires_grad_()
    diagonal = maths.wasserstein2_diagonal(m, s, n, t)
    general = maths.wasserstein2_normal(m, torch.diag_embed(s), n, torch.diag_embed(t))
    torch.testing.assert_close(general, diagonal, rtol=1e-10, atol=1e-12)
    slopes = [torch.autograd.grad(v.sum(), s)[0] for v in (general, diagonal)]
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-11)


def test_a_log_ratio_that_is_infinite_or_tiny_keeps_its_range_exactly():
    """Disjoint supports have a log ratio of +-inf; near 0 float32 rounds r^2/8 to -5e-9."""
    for dtype in (torch.float32, torch.float64):
        r = torch.tensor([math.inf, -math.inf, 1e30, 1e-8, -1e-4, 100.0, 101.0], dtype=dtype, requires_grad=True)
        for g, most in ((maths.jensen_shannon_at, math.log(2)), (maths.total_variation_at, 1.0)):
            value = g(r)
            (slope,) = torch.autograd.grad(value.sum(), r)
            assert slope.isfinite().all()
            assert value.min() >= 0
            assert value.max() <= torch.tensor(most, dtype=dtype)
            assert value[:3].tolist() == pytest.approx([most] * 3, rel=1e-7)
