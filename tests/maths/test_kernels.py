"""The maximum mean discrepancy against closed forms, the definition, and its own laws, in float64."""

import math

import pytest
import torch
from scipy import integrate, stats

from logpx import maths


def normal(n, d, mean=0.0, sigma=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return mean + sigma * torch.randn(n, d, generator=generator, dtype=torch.float64)


def imq(distances):
    return maths.inverse_multiquadratic(distances, 4.0)


def rbf(distances):
    return maths.gaussian_kernel(distances, 0.7)


each_kernel = pytest.mark.parametrize("kernel", [imq, rbf])


def expected_similarity(mean, v1, v2, width, d):
    """E k of independent N(0, v1 I) and N(mean, v2 I) in d dimensions: the integral of two normal densities."""
    total = width**2 + v1 + v2
    return (1 + (v1 + v2) / width**2) ** (-d / 2) * math.exp(-d * mean**2 / (2 * total))


def closed_form(mean, sigma, width, d):
    within = expected_similarity(0, 1, 1, width, d) + expected_similarity(0, sigma**2, sigma**2, width, d)
    return within - 2 * expected_similarity(mean, 1, sigma**2, width, d)


def repeated(mean, sigma, kernel, d, unbiased=True, n=40, times=400):
    """Mean and standard error of the statistic over independent pairs of samples."""
    values = torch.stack(
        [
            maths.mmd2(normal(n, d, seed=2 * i), normal(n, d, mean, sigma, 2 * i + 1), kernel, unbiased=unbiased)
            for i in range(times)
        ]
    )
    return values.mean().item(), values.std().item() / math.sqrt(times)


@pytest.mark.parametrize(("mean", "sigma"), [(1.0, 1.0), (0.5, 2.0), (0.0, 0.3)])
@pytest.mark.parametrize("d", [1, 3])
def test_the_u_statistic_of_two_normals_has_the_closed_forms_mean(mean, sigma, d):
    value, error = repeated(mean, sigma, rbf, d)
    assert abs(value - closed_form(mean, sigma, 0.7, d)) < 4 * error


@each_kernel
def test_under_equality_the_u_statistic_has_mean_zero_and_the_v_statistic_its_known_bias(kernel):
    value, error = repeated(0.0, 1.0, kernel, 2)
    assert abs(value) < 4 * error
    biased, _ = repeated(0.0, 1.0, kernel, 2, unbiased=False)
    assert biased > 8 * error


@each_kernel
def test_the_statistic_is_the_double_sum_of_its_definition(kernel):
    a, b = normal(5, 2), normal(7, 2, 1.0, seed=1)
    k = lambda x, y: kernel((x - y).square().sum()).item()  # noqa: E731
    within_a = sum(k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j) / (5 * 4)
    within_b = sum(k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j) / (7 * 6)
    across = sum(k(x, y) for x in a for y in b) / 35
    assert maths.mmd2(a, b, kernel).item() == pytest.approx(within_a + within_b - 2 * across, rel=1e-12)


@each_kernel
def test_the_v_statistic_of_a_sample_and_itself_in_another_order_is_zero(kernel):
    a = normal(20, 3)
    shuffled = a[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    assert maths.mmd2(a, shuffled, kernel, unbiased=False).item() == pytest.approx(0, abs=1e-13)


@each_kernel
def test_neither_the_order_of_the_rows_nor_that_of_the_samples_matters(kernel):
    a, b = normal(20, 3), normal(15, 3, 1.0, seed=1)
    value = maths.mmd2(a, b, kernel)
    torch.testing.assert_close(maths.mmd2(a.flip(0), b.roll(3, 0), kernel), value, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(maths.mmd2(b, a, kernel), value, rtol=1e-12, atol=1e-14)


def test_the_inverse_multiquadratic_sums_its_seven_scales():
    scales = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    value = maths.inverse_multiquadratic(torch.tensor(3.0, dtype=torch.float64), 16.0)
    assert value.item() == pytest.approx(sum(16 * s / (16 * s + 3) for s in scales), rel=1e-14)
    assert maths.inverse_multiquadratic(torch.tensor(0.0), 16.0).item() == 7


def test_distances_are_never_negative_and_agree_with_torch():
    a, b = normal(30, 4), normal(20, 4, 3.0, seed=1)
    torch.testing.assert_close(maths.squared_distances(a, b), torch.cdist(a, b).square(), rtol=1e-10, atol=1e-12)
    far = (a + 1000).float()
    assert maths.squared_distances(far, far).min() >= 0


def test_the_median_distance_is_that_between_different_points():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [7.0]])
    assert maths.median_distance(a, b).item() == 3  # of 1, 2, 3, 4, 6, 7: torch takes the lower of the middle two
    assert not maths.median_distance(a.requires_grad_(), b).requires_grad


def imq_by_quadrature(mean, variance, base):
    """E sum_s C/(C + t^2), C = base s, over the difference t ~ N(mean, variance) of two points on the line."""
    law = stats.norm(mean, math.sqrt(variance))

    def integrand(t):
        return law.pdf(t) * sum(base * s / (base * s + t * t) for s in maths.SCALES)

    return integrate.quad(integrand, mean - 12 * law.std(), mean + 12 * law.std(), points=[0.0], limit=200)[0]


@pytest.mark.parametrize(("mean", "sigma"), [(0.0, 1.0), (1.0, 1.0), (0.5, 0.3)])
def test_the_inverse_multiquadratic_of_two_normals_has_the_mean_of_the_quadrature(mean, sigma):
    value, error = repeated(mean, sigma, lambda distances: maths.inverse_multiquadratic(distances, 2.0), 1)
    within = imq_by_quadrature(0.0, 2.0, 2.0) + imq_by_quadrature(0.0, 2 * sigma**2, 2.0)
    assert abs(value - (within - 2 * imq_by_quadrature(mean, 1 + sigma**2, 2.0))) < 4 * error
    assert error < 0.02
