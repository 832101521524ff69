"""Pure functions against exact decimal arithmetic, quadrature and scipy, in float64 and then in float32."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from logpx import maths

LOGITS = [-100.0, -17.0, -1.0, -0.26, -0.25, -0.24, -1e-3, 0.0, 1e-8, 0.3, 5.0, 40.0, 100.0]
each_logit = pytest.mark.parametrize("a", LOGITS)


def exact(formula, at_zero):
    """The formula in 80-digit decimals, where nothing cancels at a = 1e-8; its limit at a = 0."""

    def value(a, *rest):
        if a == 0:
            return at_zero(*rest)
        with localcontext(prec=80):
            return float(formula(Decimal(a), *map(Decimal, rest)))

    return value


log_norm = exact(lambda a: (a * (1 + (-a).exp()) / (1 - (-a).exp())).ln(), lambda: math.log(2))
mean = exact(lambda a: 1 / (1 - (-a).exp()) - 1 / a, lambda: 0.5)
log_norm_slope = exact(lambda a: 1 / a - 2 * (-a).exp() / (1 - (-2 * a).exp()), lambda: 0.0)
mean_slope = exact(lambda a: 1 / a**2 - (-a).exp() / (1 - (-a).exp()) ** 2, lambda: 1 / 12)
icdf = exact(lambda a, u: (1 + u * (a.exp() - 1)).ln() / a, lambda u: u)
icdf_slope = exact(
    lambda a, u: u * a.exp() / (1 + u * (a.exp() - 1)) / a - (1 + u * (a.exp() - 1)).ln() / a**2,
    lambda u: u * (1 - u) / 2,
)


def with_slope(f, a, dtype=torch.float64):
    a = torch.tensor(a, dtype=dtype, requires_grad=True)
    value = f(a)
    (slope,) = torch.autograd.grad(value, a)
    return value.item(), slope.item()


# --- Bernoulli

bernoulli = exact(lambda a, x: x * a - (1 + a.exp()).ln(), lambda x: -math.log(2))
bernoulli_slope = exact(lambda a, x: x - 1 / (1 + (-a).exp()), lambda x: x - 0.5)


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("a", [*LOGITS, 19.9, 20.1, 25.0, 39.9, 40.1])
def test_bernoulli_log_prob_is_x_a_minus_softplus_to_the_last_digits(a, x):
    value, slope = with_slope(lambda t: maths.bernoulli_log_prob(torch.tensor(x, dtype=torch.float64), t), a)
    assert value == pytest.approx(bernoulli(a, x), rel=1e-14, abs=2e-14)
    assert slope == pytest.approx(bernoulli_slope(a, x), rel=1e-14, abs=2e-16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bernoulli_log_prob_is_finite_at_logits_of_ten_thousand(dtype):
    a = torch.tensor([1e4, 1e4, -1e4, -1e4], dtype=dtype, requires_grad=True)
    x = torch.tensor([1, 0, 1, 0], dtype=dtype)
    value = maths.bernoulli_log_prob(x, a)
    value.sum().backward()
    assert value.tolist() == [0, -1e4, -1e4, 0]
    assert a.grad.tolist() == [0, -1, 1, 0]


@pytest.mark.parametrize("P", [1, 63, 64, 65, 784])
@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_the_sum_over_all_elements_is_that_of_the_elements(P: int, size: float):
    g = torch.Generator().manual_seed(P)
    a = size * torch.randn(3, 2, P, 1, generator=g, dtype=torch.float64)
    x = torch.rand(2, P, 1, generator=g, dtype=torch.float64)
    expected = maths.bernoulli_log_prob(x, a).sum((-1, -2))
    before = a.clone()
    torch.testing.assert_close(maths.bernoulli_log_prob_of_all(x, a, 2), expected, rtol=1e-14, atol=1e-12)
    assert torch.equal(a, before)
    single = maths.bernoulli_log_prob_of_all(x.float(), a.float(), 2).double()
    assert ((single - expected).abs() < 2e-6 * (a.abs().sum((-1, -2)) + 1)).all()


# --- continuous Bernoulli


@each_logit
def test_continuous_bernoulli_log_norm_equals_the_exact_value_and_slope(a):
    value, slope = with_slope(maths.continuous_bernoulli_log_norm, a)
    assert value == pytest.approx(log_norm(a), rel=2e-14)
    assert slope == pytest.approx(log_norm_slope(a), rel=2e-14, abs=5e-13)  # 12/a of the first dropped term


@each_logit
def test_continuous_bernoulli_log_norm_equals_quadrature(a):
    at = 1.0 if a > 0 else 0.0  # where the mass is
    total, _ = integrate.quad(lambda x: math.exp(a * (x - at)), 0, 1, points=[abs(at - 0.05)], epsrel=1e-12)
    softplus = np.logaddexp(0, a)
    log_c = maths.continuous_bernoulli_log_norm(torch.tensor(a, dtype=torch.float64)).item()
    assert log_c == pytest.approx(softplus - a * at - math.log(total), abs=1e-11)


@each_logit
def test_continuous_bernoulli_mean_equals_the_exact_value_and_slope(a):
    value, slope = with_slope(maths.continuous_bernoulli_mean, a)
    assert value == pytest.approx(mean(a), rel=2e-14)
    assert slope == pytest.approx(mean_slope(a), rel=2e-12)


@pytest.mark.parametrize("u", [1e-9, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-6])
@each_logit
def test_continuous_bernoulli_icdf_equals_the_exact_value_and_slope(a, u):
    at_u = torch.tensor(u, dtype=torch.float64)
    value, slope = with_slope(lambda t: maths.continuous_bernoulli_icdf(at_u, t), a)
    assert value == pytest.approx(icdf(a, u), rel=1e-11, abs=2e-14)
    assert slope == pytest.approx(icdf_slope(a, u), rel=1e-8, abs=3e-12)


@pytest.mark.parametrize("a", [-30.0, -0.02, -0.009, 1e-6, 0.011, 2.0, 30.0])
def test_continuous_bernoulli_icdf_inverts_the_distribution_function(a):
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)[1:-1]
    x = maths.continuous_bernoulli_icdf(u, torch.tensor(a, dtype=torch.float64))
    torch.testing.assert_close(torch.expm1(a * x) / math.expm1(a), u, rtol=1e-9, atol=1e-13)


@each_logit
def test_continuous_bernoulli_icdf_reaches_both_ends_of_the_interval(a):
    """torch.rand returns 0 once in 2^24 draws of float32, a few times in every thousand images."""
    for dtype in (torch.float32, torch.float64):
        u, at = torch.tensor([0.0, 1.0], dtype=dtype), torch.tensor(a, dtype=dtype, requires_grad=True)
        x = maths.continuous_bernoulli_icdf(u, at)
        x.sum().backward()
        assert x.tolist() == [0, 1]
        assert abs(at.grad.item()) <= 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("u", [2.0**-24, 1e-3, 0.5, 1 - 2.0**-24])
@each_logit
def test_continuous_bernoulli_in_float32_is_close_to_float64(a, u):
    for f, value_tol, slope_tol in [
        (maths.continuous_bernoulli_log_norm, 1e-6, 1e-6),
        (maths.continuous_bernoulli_mean, 1e-6, 1e-5),
        (lambda t: maths.continuous_bernoulli_icdf(torch.tensor(u, dtype=t.dtype), t), 1e-6, 1e-5),
    ]:
        a32 = torch.tensor(a).item()  # the float32 number, in both precisions
        value, slope = with_slope(f, a32, torch.float32)
        value64, slope64 = with_slope(f, a32, torch.float64)
        assert value == pytest.approx(value64, rel=value_tol, abs=value_tol)
        assert slope == pytest.approx(slope64, rel=slope_tol, abs=slope_tol)


@pytest.mark.parametrize("switch", [-0.25, -0.01, 0.01, 0.25])
@pytest.mark.parametrize(
    "f",
    [
        maths.continuous_bernoulli_log_norm,
        maths.continuous_bernoulli_mean,
        lambda t: maths.continuous_bernoulli_icdf(torch.tensor(0.7, dtype=torch.float64), t),
    ],
    ids=["log_norm", "mean", "icdf"],
)
def test_continuous_bernoulli_is_continuous_where_the_series_takes_over(f, switch):
    (below, slope_below), (above, slope_above) = (
        with_slope(f, float(np.nextafter(switch, towards))) for towards in (-1, 1)
    )
    assert below == pytest.approx(above, rel=5e-14)
    assert slope_below == pytest.approx(slope_above, rel=1e-10)


def test_torchs_own_continuous_bernoulli_is_off_by_a_nat_per_pixel_at_a_logit_of_40_in_float32():
    """Why this package has its own: a probability that float32 rounds to 1 has forgotten its logit."""
    a, x = torch.tensor(40.0), torch.tensor(0.25)
    truth = 40 * 0.25 - 40 + log_norm(40.0)
    theirs = torch.distributions.ContinuousBernoulli(logits=a).log_prob(x).item()
    ours = (maths.bernoulli_log_prob(x, a) + maths.continuous_bernoulli_log_norm(a)).item()
    assert abs(theirs - truth) > 0.9
    assert ours == pytest.approx(truth, abs=1e-5)


# --- log-space means and weights


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4])
def test_log_mean_exp_equals_numpy_and_moves_with_a_shift(shift):
    a = torch.randn(7, 3, dtype=torch.float64) * 3
    expected = np.log(np.exp(a.numpy()).mean(0)) + shift
    np.testing.assert_allclose(maths.log_mean_exp(a + shift), expected, rtol=1e-13, atol=2e-12)


def test_log_mean_exp_averages_over_the_dimension_it_is_given():
    a = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(maths.log_mean_exp(a, dim=1), a.exp().mean(1).log(), rtol=1e-13, atol=1e-14)


@given(st.floats(-1e4, 1e4), st.integers(1, 50))
def test_log_mean_exp_of_equal_numbers_is_that_number(value, k):
    a = torch.full((k,), value, dtype=torch.float64)
    assert maths.log_mean_exp(a).item() == pytest.approx(value, rel=1e-14, abs=4e-15)


def test_log_mean_exp_counts_a_zero_weight():
    a = torch.tensor([0.0, -math.inf, -1e4, 0.0], dtype=torch.float64)
    assert maths.log_mean_exp(a).item() == pytest.approx(math.log(0.5), rel=1e-14)
    assert maths.log_mean_exp(torch.full((3,), -math.inf)).item() == -math.inf


def test_effective_sample_size_is_exact_on_simple_weights():
    w = torch.tensor([[1, 1, 3, 1e-3], [1, 0, 1, 1], [1, 0, 0, 1e3]], dtype=torch.float64)
    expected = w.sum(0) ** 2 / (w**2).sum(0)  # 3, 1, 1.6, about 1.002
    torch.testing.assert_close(maths.effective_sample_size(w.log()), expected, rtol=1e-13, atol=0)
    assert expected[:3].tolist() == pytest.approx([3, 1, 1.6])


@pytest.mark.parametrize("level", [-1e4, 0.0, 1e4])
def test_effective_sample_size_of_equal_weights_is_their_number_even_in_float32(level):
    ess = maths.effective_sample_size(torch.full((100, 2), level))
    torch.testing.assert_close(ess, torch.full((2,), 100.0), rtol=1e-6, atol=0)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30))
def test_effective_sample_size_lies_between_1_and_k(log_weights):
    ess = maths.effective_sample_size(torch.tensor(log_weights, dtype=torch.float64)[:, None]).item()
    assert 1 - 1e-12 <= ess <= len(log_weights) * (1 + 1e-12)


# --- the tail of the weights


def exceedances(k, n=4000, repeats=64):
    draws = stats.genpareto.rvs(k, size=(n, repeats), random_state=np.random.default_rng(7))
    return torch.from_numpy(np.sort(draws, 0))


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.5, 0.9])
def test_generalized_pareto_shape_recovers_the_shape_within_its_sampling_error(k):
    """The maximum-likelihood estimate has standard deviation (1 + k)/sqrt(n); the prior adds ten points."""
    n, repeats = 4000, 64
    estimate = maths.generalized_pareto_shape(exceedances(k, n, repeats))
    pulled = (n * k + 10 * 0.5) / (n + 10)
    deviation = (1 + k) / math.sqrt(n)
    assert estimate.mean().item() == pytest.approx(pulled, abs=4 * deviation / math.sqrt(repeats) + 2 / n)
    assert estimate.std().item() == pytest.approx(deviation, rel=4 / math.sqrt(2 * repeats))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6])
def test_generalized_pareto_shape_does_not_depend_on_the_scale(scale):
    x = exceedances(0.5, 200, 8)
    torch.testing.assert_close(
        maths.generalized_pareto_shape(x * scale), maths.generalized_pareto_shape(x), rtol=1e-9, atol=1e-11
    )


def test_generalized_pareto_shape_is_the_published_estimator_step_by_step():
    """Zhang & Stephens 2009, section 3, with k = -xi, one loop at a time; then the ten pseudo-observations at 1/2."""
    x = exceedances(0.7, 23, 1)[:, 0].numpy()
    n, m = 23, 30 + math.isqrt(23)
    theta = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * x[int(n / 4 + 0.5) - 1]) for j in range(1, m + 1)]
    k = [-np.mean([math.log(1 - t * y) for y in x]) for t in theta]
    profile = [n * (math.log(t / c) + c - 1) for t, c in zip(theta, k, strict=True)]
    weight = [1 / sum(math.exp(other - mine) for other in profile) for mine in profile]
    best = sum(w * t for w, t in zip(weight, theta, strict=True))
    xi = np.mean([math.log(1 - best * y) for y in x])
    expected = (n * xi + 10 * 0.5) / (n + 10)
    assert maths.generalized_pareto_shape(torch.from_numpy(x)[:, None]).item() == pytest.approx(expected, rel=1e-12)


def test_generalized_pareto_shape_agrees_with_scipys_maximum_likelihood():
    x = exceedances(0.4, 2000, 1)
    by_likelihood, _, _ = stats.genpareto.fit(x[:, 0].numpy(), floc=0)
    pulled = (2000 * by_likelihood + 5) / 2010
    assert maths.generalized_pareto_shape(x).item() == pytest.approx(pulled, abs=2e-3)


def normal_weights(sigma, k=20_000, n=16):
    """log p/q for p = N(0, 1) and z ~ q = N(0, sigma^2): the weights' tail has shape 1 - sigma^2 exactly."""
    z = sigma * torch.randn(k, n, dtype=torch.float64)
    return -z.square() / 2 + z.square() / (2 * sigma**2) + math.log(sigma)


@pytest.mark.parametrize(("variance", "finite"), [(0.25, False), (0.7, True)])
def test_pareto_khat_tells_a_finite_variance_of_the_weights_from_an_infinite_one(variance, finite):
    """E w^2 is finite if and only if sigma^2 > 1/2, which is where the shape 1 - sigma^2 passes 1/2."""
    khat = maths.pareto_khat(normal_weights(math.sqrt(variance)))
    assert (khat.mean() < 0.5).item() == finite
    assert khat.mean().item() == pytest.approx(1 - variance, abs=0.1)  # the tail is only nearly Pareto


def test_pareto_khat_is_below_zero_for_bounded_weights():
    assert (maths.pareto_khat(normal_weights(1.5)) < 0.1).all()


def test_pareto_khat_does_not_depend_on_the_level_of_the_log_weights():
    log_w = normal_weights(0.8, k=1000)
    expected = maths.pareto_khat(log_w)
    for level in (-1e4, 1e4):
        torch.testing.assert_close(maths.pareto_khat(log_w + level), expected, rtol=1e-6, atol=1e-8)


def test_pareto_khat_is_the_shape_fitted_to_the_largest_weights_above_the_next_one():
    log_w = torch.randn(400, 1, dtype=torch.float64)
    w = log_w[:, 0].exp().sort().values
    tail = 60  # min(400 / 5, 3 sqrt 400)
    expected = maths.generalized_pareto_shape((w[-tail:] - w[-tail - 1])[:, None])
    torch.testing.assert_close(maths.pareto_khat(log_w), expected, rtol=1e-9, atol=1e-10)


def test_pareto_khat_has_no_opinion_on_a_handful_of_values_over_and_over():
    """Those of a discrete z: ties would be read as a tail of any weight at all."""
    log_w = torch.linspace(-3, 0, 20).double()[torch.arange(1000) % 20].view(1000, 1).expand(1000, 3)
    assert maths.pareto_khat(log_w).isnan().all()


def test_pareto_khat_has_no_opinion_on_fewer_than_25_weights():
    assert maths.pareto_khat(torch.randn(24, 3)).isnan().all()
    assert maths.pareto_khat(torch.randn(25, 3)).isfinite().all()


def test_pareto_khat_of_equal_weights_is_minus_infinity():
    assert maths.pareto_khat(torch.full((100, 2), -1e4)).tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("level", [-100.0, -1000.0])
def test_pareto_khat_does_not_read_rounding_as_a_tail(level):
    """At an exact posterior all weights are equal but for float32's last digits, which tie by the dozen."""
    log_w = (level + level * 1e-7 * torch.randn(1000, 8)).float().double()
    assert (maths.pareto_khat(log_w) == -math.inf).all()


def test_pareto_khat_ignores_zero_weights_and_reports_nan_where_a_weight_is_nan():
    log_w = normal_weights(0.8, k=1000, n=1)
    log_w[log_w < log_w.median()] = -math.inf
    assert maths.pareto_khat(log_w).isfinite().all()
    assert maths.pareto_khat(torch.cat([log_w, torch.full((1, 1), math.nan)])).isnan().all()
    assert maths.pareto_khat(torch.full((100, 1), -math.inf)).isnan().all()


@pytest.mark.parametrize("a", [1e5, 3.4e5, 1e7, 1e18])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    "function",
    [
        maths.continuous_bernoulli_log_norm,
        maths.continuous_bernoulli_mean,
        lambda a: maths.continuous_bernoulli_icdf(torch.full_like(a, 0.3), a),
        lambda a: maths.bernoulli_log_prob(torch.full_like(a, 0.3), a),
    ],
)
def test_logits_far_out_keep_value_and_gradient_finite_in_float32(function, a, sign):
    """Always-black pixels drive logits there; the branch not taken (a series in a^10) once made the gradient nan."""
    logits = torch.full((16,), sign * a, requires_grad=True)
    value = function(logits)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert bool(value.isfinite().all())
    assert bool(gradient.isfinite().all())


# --- power means in log space ---------------------------------------------------------------------------------------


def power_mean(a, p):
    """1/p log mean exp(p a) in 80-digit decimals."""
    with localcontext(prec=80):
        return float((sum((Decimal(p) * Decimal(x)).exp() for x in a) / len(a)).ln() / Decimal(p))


@pytest.mark.parametrize("power", [1e-16, 1e-9, 1e-6, 1e-4, 1e-2, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_power_mean_is_exact_however_small_its_power(power, sign):
    """In float32 to the rounding of numbers near -100, 8e-6; and its gradient, the normalised p-th powers."""
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 2.5e-5)):
        a = -115 + 30 * torch.rand(40, generator=torch.Generator().manual_seed(0))
        a = a.to(dtype).requires_grad_()
        value = maths.log_power_mean(a, sign * power)
        (slope,) = torch.autograd.grad(value, a)
        assert value.item() == pytest.approx(power_mean(a.tolist(), sign * power), rel=tolerance, abs=tolerance)
        torch.testing.assert_close(slope, (sign * power * a.detach()).softmax(0), rtol=1e-4, atol=1e-7)


def test_a_power_mean_of_power_0_is_the_mean_of_power_1_the_log_mean_exp_and_each_column_has_its_own_form():
    a = torch.tensor([[0.0, 1e4, -math.inf], [0.3, -1e4, 2.0]]).double().requires_grad_()
    assert maths.log_power_mean(a[:, 0], 0.0).item() == pytest.approx(0.15)
    value = maths.log_power_mean(a, 1.0)
    torch.testing.assert_close(value, maths.log_mean_exp(a))
    (slope,) = torch.autograd.grad(value[:2].sum(), a)
    assert slope.isfinite().all()
