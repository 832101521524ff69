"""Particular values of the laws on levels and of counts, and where float32 would fail; what all laws share is elsewhere."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from torch.distributions import Independent

from logpx.distributions import CategoricalLogits, Columns, LogisticMixture, NegativeBinomial, PoissonLogMean, StudentT

LEVELS = torch.arange(256.0)


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


# --- discretised logistics --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [-1e4, -300.0, -0.5, 0.0, 127.3, 255.0, 600.0, 1e4])
@pytest.mark.parametrize("log_s", [-3.0, 0.0, 4.0, 15.0])
def test_a_logistic_sums_to_one_over_256_levels_however_far_or_wide(m, log_s):
    """In float32 too: the tails belong to the edges."""
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        law = LogisticMixture(*(torch.tensor([v], dtype=dtype) for v in (0.0, m, log_s)), 256)
        total = law.log_prob(LEVELS.to(dtype)).logsumexp(0).item()
        assert total == pytest.approx(0, abs=tolerance)


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3), st.lists(st.floats(-500, 800), min_size=3, max_size=3))
def test_a_mixture_sums_to_one(weights, means):
    law = LogisticMixture(float64(*weights), float64(*means), float64(-2.0, 1.0, 6.0), 256)
    assert law.log_prob(LEVELS.double()).logsumexp(0).item() == pytest.approx(0, abs=1e-12)


def test_a_logistic_is_a_difference_of_scipys_distribution_functions():
    m, s = 100.3, 7.0
    law = LogisticMixture(float64(0), float64(m), float64(math.log(s)), 256)
    edges = np.concatenate([[-np.inf], np.arange(255) + 0.5, [np.inf]])
    expected = np.diff(stats.logistic.cdf(edges, m, s))
    np.testing.assert_allclose(law.log_prob(LEVELS.double()).exp(), expected, rtol=1e-12, atol=1e-15)


def test_far_tails_have_their_asymptote_where_distribution_functions_are_zero():
    """log p(x) -> -(|x - m| - 1/2)/s + log(1 - e^{-1/s}); at 1000 scales a difference of float64 functions is 0."""
    for dtype in (torch.float32, torch.float64):
        law = LogisticMixture(*(torch.tensor([v], dtype=dtype) for v in (0.0, 250.0, math.log(0.2))), 256)
        value = law.log_prob(torch.tensor(50.0, dtype=dtype)).item()
        assert value == pytest.approx(-(200 - 0.5) / 0.2 + math.log1p(-math.exp(-5)), rel=1e-6)


@pytest.mark.parametrize("x", [0.0, 3.0, 255.0])
@pytest.mark.parametrize("m", [-1e3, 3.0, 1e3])
def test_the_gradient_of_a_logistic_is_finite_in_float32(x, m):
    parts = [torch.tensor([v], requires_grad=True) for v in (0.3, m, -2.9)]
    LogisticMixture(*parts, 256).log_prob(torch.tensor(x)).backward()
    assert all(p.grad.isfinite().all() for p in parts)


def test_the_gradient_of_a_mixture_is_its_finite_difference():
    parts = [
        float64(0.3, -0.4).requires_grad_(),
        float64(1.0, 4.2).requires_grad_(),
        float64(-0.5, 0.9).requires_grad_(),
    ]
    x = torch.arange(7).double()
    assert torch.autograd.gradcheck(lambda *p: LogisticMixture(*p, 7).log_prob(x), parts)


@pytest.mark.parametrize("x", [-1.0, 256.0])
def test_a_number_beyond_the_levels_has_no_probability(x):
    law = LogisticMixture(torch.zeros(2), torch.full((2,), 100.0), torch.full((2,), 3.0), 256)
    assert law.log_prob(torch.tensor(x)).item() == -math.inf


def test_the_mean_of_a_mixture_is_the_sum_over_levels():
    law = LogisticMixture(float64(0.0, 1.0), float64(-3.0, 9.0), float64(1.0, 1.5), 12)
    x = torch.arange(12).double()
    assert law.mean.item() == pytest.approx((law.log_prob(x).exp() * x).sum().item(), rel=1e-13)


# --- categories -------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=9))
def test_categories_sum_to_one(logits):
    law = CategoricalLogits(float64(*logits))
    assert law.log_prob(torch.arange(len(logits)).double()).logsumexp(0).item() == pytest.approx(0, abs=1e-12)


def test_the_mean_of_categories_is_the_most_probable_code():
    law = CategoricalLogits(torch.tensor([[0.0, 3.0, 1.0], [2.0, 0.0, 0.0]]))
    assert law.mean.tolist() == [1, 0]
    assert law.mean.dtype == torch.float32


def test_a_code_that_does_not_exist_has_no_probability_and_breaks_nothing():
    law = CategoricalLogits(torch.tensor([0.0, 1.0]))
    assert law.log_prob(torch.tensor([2.0, -1.0, 1e9])).tolist() == [-math.inf] * 3


def test_a_category_that_cannot_be_takes_no_part():
    logits = float64(0.5, -0.2, -math.inf).requires_grad_()
    log_p = CategoricalLogits(logits).log_prob(float64(0, 1))
    np.testing.assert_allclose(log_p.detach(), special.log_softmax([0.5, -0.2]), rtol=1e-14)
    log_p.sum().backward()
    assert logits.grad.isfinite().all()
    assert (CategoricalLogits(logits.detach()).sample((1000,)) < 2).all()


def test_nan_and_what_lies_between_the_codes_have_no_probability_and_no_gradient():
    x = float64(math.nan, 0.5, math.inf, 1.0)
    logits = float64(0.2, 1.0, -1.0).requires_grad_()
    parts = [float64(0.3).requires_grad_(), float64(1.1).requires_grad_(), float64(0.2).requires_grad_()]
    log_p = CategoricalLogits(logits).log_prob(x)
    assert log_p[:3].tolist() == [-math.inf] * 3
    assert log_p[3].item() == pytest.approx(special.log_softmax([0.2, 1.0, -1.0])[1])
    log_q = LogisticMixture(*parts, 3).log_prob(x[[0, 2, 3]])
    assert log_q[:2].tolist() == [-math.inf] * 2
    (log_p[3] + log_q[2]).backward()
    assert all(t.grad.isfinite().all() for t in (logits, *parts))


# --- counts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.01, 3.0, 400.0, 1e5])
def test_poisson_is_scipys_and_float32_keeps_it_at_counts_of_a_hundred_thousand(mean):
    x = stats.poisson.ppf([0.001, 0.3, 0.9, 0.999], mean)
    expected = stats.poisson.logpmf(x, mean)
    law = PoissonLogMean(float64(math.log(mean)))
    np.testing.assert_allclose(law.log_prob(torch.from_numpy(x)), expected, rtol=1e-9)
    narrow = PoissonLogMean(law.log_mean.float())
    same = stats.poisson.logpmf(x, math.exp(narrow.log_mean.double().item()))
    np.testing.assert_allclose(narrow.log_prob(torch.from_numpy(x).float()), same, rtol=1e-6)


@pytest.mark.parametrize("mean", [0.01, 3.0, 400.0, 1e5])
@pytest.mark.parametrize("r", [0.05, 1.0, 30.0, 1e4])
def test_negative_binomial_is_scipys(mean, r):
    x = stats.nbinom.ppf([0.001, 0.3, 0.9, 0.999], r, r / (r + mean))
    law = NegativeBinomial(float64(math.log(mean)), float64(math.log(r)))
    np.testing.assert_allclose(law.log_prob(torch.from_numpy(x)), stats.nbinom.logpmf(x, r, r / (r + mean)), rtol=1e-8)
    assert law.mean.item() == pytest.approx(mean)
    assert law.variance.item() == pytest.approx(stats.nbinom.var(r, r / (r + mean)))


def test_negative_binomial_becomes_poisson():
    """For large r it differs by ((x - mu)^2 - x)/(2r) + O(1/r^2)."""
    x, a, r = torch.arange(20).double(), float64(1.3), 1e6
    more = NegativeBinomial(a, float64(math.log(r))).log_prob(x) - PoissonLogMean(a).log_prob(x)
    torch.testing.assert_close(more, ((x - a.exp()).square() - x) / (2 * r), rtol=0, atol=1e-8)


def negative_binomial(x, a, rho):
    """log p in 60 digits, where log G(x + r) - log G(r) keeps what float64 loses."""
    with mpmath.workdps(60):
        mu, r = mpmath.exp(a), mpmath.exp(rho)
        ways = mpmath.loggamma(x + r) - mpmath.loggamma(r) - mpmath.loggamma(x + 1)
        return float(ways + r * mpmath.log(r / (r + mu)) + x * mpmath.log(mu / (r + mu)))


@pytest.mark.parametrize("rho", [-5.0, 2.99, 3.0, 4.0, 12.0, 20.0, 30.0, 40.0, 85.0])
@pytest.mark.parametrize(("x", "a"), [(0, 1.0), (7, 1.0), (3000, 8.0), (100_000, 11.0)])
def test_negative_binomial_is_exact_however_large_its_shape(rho, x, a):
    law = NegativeBinomial(float64(a), float64(rho))
    assert law.log_prob(float64(x)).item() == pytest.approx(negative_binomial(x, a, rho), rel=1e-11, abs=1e-9)
    narrow = NegativeBinomial(torch.tensor(a), torch.tensor(rho))
    same = negative_binomial(x, a, narrow.log_r.double().item())
    assert narrow.log_prob(torch.tensor(float(x))).item() == pytest.approx(same, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("rho", [-5.0, 3.0, 20.0, 40.0, 88.0, 300.0, 1000.0])
def test_negative_binomial_has_a_finite_gradient_that_fades_into_the_poissons(rho):
    a, shape = float64(1.0).requires_grad_(), float64(rho).requires_grad_()
    by_a, by_shape = torch.autograd.grad(NegativeBinomial(a, shape).log_prob(float64(7)).sum(), (a, shape))
    r = math.exp(min(rho, 300.0))
    assert by_a.item() == pytest.approx((7 - math.e) / (1 + math.e / r), rel=1e-9)
    if rho >= 20:
        assert abs(by_shape.item()) < 1e-7  # ((x - mu)^2 - x)/(2 r), to rounding


@pytest.mark.parametrize("log_mean", [30.0, 40.0, 50.0, 80.0])
def test_a_count_is_drawn_at_means_beyond_the_whole_numbers_of_64_bits(log_mean):
    mean = math.exp(log_mean)
    for dtype in (torch.float32, torch.float64):
        poisson = PoissonLogMean(torch.full((2000,), log_mean, dtype=dtype))
        binomial = NegativeBinomial(poisson.log_mean, torch.tensor(95.0, dtype=dtype))  # e^95 is infinite in float32
        torch.manual_seed(0)
        for law in (poisson, binomial):
            x = law.sample().double()
            assert x.mean().item() == pytest.approx(mean, rel=5e-6)  # float32 has rounded e^a so far
            assert ((x - x.mean()).abs() <= 6 * math.sqrt(mean) + 5e-6 * mean).all()


def test_a_poisson_draw_below_that_is_torchs_own():
    law = PoissonLogMean(torch.linspace(-3, 30, 50))
    torch.manual_seed(0)
    ours = law.sample((3,))
    torch.manual_seed(0)
    assert torch.equal(ours, torch.poisson(law.mean.expand(3, 50)))


# --- Student's t ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nu", [1.01, 5.0, 1e3, 1e5])
def test_students_t_is_scipys_and_float32_keeps_it(nu):
    x = np.array([-1e6, -3.0, 0.2, 40.0])
    expected = stats.t.logpdf(x, nu, 0.3, 2.0)
    np.testing.assert_allclose(StudentT(*float64(nu, 0.3, 2.0)).log_prob(torch.from_numpy(x)), expected, rtol=1e-9)
    narrow = StudentT(*torch.tensor([nu, 0.3, 2.0])).log_prob(torch.from_numpy(x).float())
    np.testing.assert_allclose(narrow, stats.t.logpdf(x, torch.tensor(nu).item(), 0.3, 2.0), rtol=2e-5)


# --- rows of a table --------------------------------------------------------------------------------------------------


def test_a_rows_law_puts_columns_back_in_their_order():
    laws = [CategoricalLogits(float64([5.0, 0, 0], [0, 0, 5.0])), PoissonLogMean(float64(0.0, 1.0))]
    row = Columns(laws, [torch.tensor([3, 0]), torch.tensor([1, 2])])
    assert row.event_shape == (4,)
    assert row.mean.tolist() == pytest.approx([2, 1, math.e, 0])  # the modes of the codes
    x = float64(1, 4, 5, 2)
    each = row.log_prob_by_element(x)
    assert each[1].item() == pytest.approx(stats.poisson.logpmf(4, 1))
    assert each[2].item() == pytest.approx(stats.poisson.logpmf(5, math.e))
    assert each[3].item() == pytest.approx(-5, abs=0.02)
    wide = row.expand((7,))
    assert wide.sample((3,)).shape == (3, 7, 4)
    torch.testing.assert_close(wide.log_prob(x), each.sum().expand(7))


@pytest.mark.parametrize("law", [CategoricalLogits(torch.zeros(3)), LogisticMixture(*torch.zeros(3, 2), 3)])
def test_validation_when_asked_for_refuses_a_number_that_is_no_level(law):
    again = type(law)(
        *((law.logits,) if hasattr(law, "logits") else (law.weights, law.m, law.log_s, 3)), validate_args=True
    )
    with pytest.raises(ValueError, match="support"):
        again.log_prob(torch.tensor(0.5))
    assert Independent(again.expand((2,)), 1).event_shape == (2,)
