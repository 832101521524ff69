"""Penalties on the aggregated posterior: known answers, their own laws, and what they refuse."""

import math

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal

from logpx import maths, priors
from logpx.distributions import Flow, Point
from logpx.errors import UserError
from logpx.ladder import Chain
from logpx.model import Batch, Draw
from logpx.objectives import DIP, MMD, TotalCorrelation


def draw(q, z=None, prior=True):
    """A Draw around a posterior alone: penalties look at nothing else."""
    z = q.rsample((1,)) if z is None else z[None]
    p = priors.StandardNormal(z.shape[-1]).to(z.dtype)() if prior else None
    return Draw(Batch(z[0]), q, lambda: q, z, p, Normal(0.0, 1.0))


def normal(mu, sigma):
    return Independent(Normal(mu, sigma), 1)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- MMD


@pytest.mark.parametrize("options", [{}, {"kernel": "rbf"}, {"kernel": "rbf", "width": 0.5}], ids=str)
def test_mmd_is_zero_in_mean_where_codes_are_prior_draws_and_positive_elsewhere(options):
    torch.manual_seed(0)
    values = {}
    for shift in (0.0, 0.5):
        codes = [Point(shift + torch.randn(50, 3, dtype=torch.float64)) for _ in range(300)]
        found = torch.stack([MMD(**options).value(draw(q))[0] for q in codes])
        values[shift] = (found.mean() / found.std() * math.sqrt(300)).item()  # in standard errors
    assert abs(values[0.0]) < 4
    assert values[0.5] > 10


def test_mmd_with_a_gaussian_kernel_has_the_closed_forms_mean():
    """2 (E k within - E k across) = 2 (1 + 2/l^2)^{-1/2} (1 - exp(-m^2/(2 (l^2 + 2)))) for N(m, 1) against N(0, 1)."""
    torch.manual_seed(0)
    width, m = 0.8, 1.5
    total = width**2 + 2
    expected = 2 * (1 + 2 / width**2) ** -0.5 * (1 - math.exp(-(m**2) / (2 * total)))
    objective = MMD("rbf", width=width)
    found = torch.stack([objective.value(draw(Point(m + torch.randn(50, 1).double())))[0] for _ in range(300)])
    assert abs(found.mean().item() - expected) < 4 * found.std().item() / math.sqrt(300)


def test_mmd_uses_the_published_constant_two_d_sigma_squared():
    z = randn(6, 3)
    torch.manual_seed(0)
    value = MMD(sigma=0.5).value(draw(Point(z)))[0]
    torch.manual_seed(0)
    prior = draw(Point(z)).prior.sample((1, 6))[0]
    expected = maths.mmd2(z, prior, lambda s: maths.inverse_multiquadratic(s, 2 * 3 * 0.25))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


def test_mmd_draws_the_prior_anew_each_time_and_ignores_the_order_of_rows():
    z, objective = randn(20, 2), MMD()
    torch.manual_seed(0)
    first, second = (objective.value(draw(Point(z)))[0].item() for _ in range(2))
    torch.manual_seed(0)
    again = objective.value(draw(Point(z.flip(0))))[0].item()
    assert first != second
    assert again == pytest.approx(first, rel=1e-12)


def test_mmd_of_one_row_says_nothing():
    z = randn(1, 2).requires_grad_()
    value, _ = MMD().value(draw(Point(z)))
    value.backward()
    assert value.item() == 0
    assert z.grad.tolist() == [[0, 0]]


def test_mmd_compares_with_a_prior_that_looks_at_the_context():
    torch.manual_seed(0)
    means = 5 * randn(400, 2)
    d = draw(Point(means + torch.randn(400, 2)))._replace(prior=normal(means, torch.ones(400, 2).double()))
    assert abs(MMD().value(d)[0].item()) < 0.02
    assert MMD().value(d._replace(prior=normal(means + 3, torch.ones(400, 2).double())))[0].item() > 0.05


def test_the_penalties_refuse_in_a_sentence():
    with pytest.raises(UserError, match="no prior"):
        MMD().value(draw(Point(randn(3, 2)), prior=False))
    with pytest.raises(UserError, match="none of"):
        MMD("cubic")
    with pytest.raises(UserError, match="positive"):
        MMD("rbf", width=0.0)
    with pytest.raises(UserError, match="product over dimensions"):
        TotalCorrelation(10).value(draw(Point(randn(3, 2))))
    with pytest.raises(UserError, match="rows"):
        TotalCorrelation(0)
    with pytest.raises(UserError, match="none of"):
        DIP("iii")


# --- total correlation


def correlated(n, rho, s2, seed=0):
    """q(z|x_j) = N(mu_j, s2 I) with mu ~ N(0, R - s2 I): the aggregate is N(0, R), R the correlation rho."""
    R = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    L = torch.linalg.cholesky(R - s2 * torch.eye(2, dtype=torch.float64))
    return normal(randn(n, 2, seed=seed) @ L.T, torch.full((n, 2), s2**0.5, dtype=torch.float64))


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.65])
def test_total_correlation_of_a_correlated_normal_is_minus_half_log_det(rho):
    torch.manual_seed(0)
    found = [
        TotalCorrelation(1000, "stratified").value(draw(correlated(1000, rho, 0.3, i)))[0].item() for i in range(8)
    ]
    error = torch.tensor(found).std().item() / math.sqrt(8)
    assert abs(sum(found) / 8 + 0.5 * math.log(1 - rho**2)) < 4 * error + 0.002  # the finite aggregate's own bias
    assert error < 0.02


def test_stratified_over_all_rows_is_the_exact_aggregate_and_weighted_is_d_minus_1_log_n_more():
    q = correlated(50, 0.5, 0.3)
    z = q.sample()
    stratified, weighted = (TotalCorrelation(50, w).value(draw(q, z))[0].item() for w in ("stratified", "weighted"))
    by_dimension = q.base_dist.log_prob(z[:, None])
    joint = maths.log_mean_exp(by_dimension.sum(2), 1)
    product = maths.log_mean_exp(by_dimension, 1).sum(1)
    assert stratified == pytest.approx((joint - product).mean().item(), rel=1e-12)
    assert weighted == pytest.approx(stratified + math.log(50), rel=1e-12)


def test_stratified_weights_are_unbiased_for_the_aggregate():
    """Batches of 3 from 8 rows, each with row 0: the weighted density at z_0 has mean 1/8 sum_j q(z_0|x_j)."""
    from itertools import combinations

    q, z = correlated(8, 0.5, 0.3), correlated(8, 0.5, 0.3).sample()
    density = q.log_prob(z[0]).exp()
    values = []
    for others in combinations(range(1, 8), 2):
        rows = [0, *others]
        log_w = TotalCorrelation(8, "stratified")._log_weights(torch.zeros(3, 3, dtype=torch.float64))
        values.append((log_w[0].exp() * density[rows]).sum())
    torch.testing.assert_close(torch.stack(values).mean(), density.mean(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("N", "M"), [(1, 1), (100, 1), (2, 2), (8, 3), (8, 8), (60_000, 128)])
def test_stratified_weights_sum_to_one_in_each_row_with_1_over_n_on_the_diagonal(N, M):
    weights = TotalCorrelation(N, "stratified")._log_weights(torch.zeros(M, M, dtype=torch.float64)).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(M, dtype=torch.float64), rtol=1e-12, atol=0)
    assert weights.diagonal().tolist() == pytest.approx([1 / N if M > 1 else 1] * M, rel=1e-12)


@pytest.mark.parametrize("weights", ["weighted", "stratified"])
def test_the_order_of_the_rows_does_not_matter_to_the_total_correlation(weights):
    q, objective = correlated(9, 0.5, 0.3), TotalCorrelation(30, weights)
    z, order = q.sample(), torch.randperm(9, generator=torch.Generator().manual_seed(0))
    turned = normal(q.mean[order], q.stddev[order])
    values = objective.value(draw(q, z))[0].item(), objective.value(draw(turned, z[order]))[0].item()
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_a_last_batch_of_one_row_says_nothing_and_one_of_more_than_n_is_refused():
    """With 1/N as its only weight it would be (D - 1) log N."""
    q = normal(randn(1, 3), torch.ones(1, 3).double())
    assert TotalCorrelation(100, "stratified").value(draw(q))[0].item() == pytest.approx(0, abs=1e-12)
    with pytest.raises(UserError, match="holds 9 rows, and rows is 8"):
        TotalCorrelation(8, "stratified").value(draw(correlated(9, 0.5, 0.3)))


def test_weighted_sampling_lets_n_move_the_value_and_never_the_gradient():
    slopes, values = [], []
    for N in (100, 10_000):
        mu = correlated(30, 0.5, 0.3).mean.clone().requires_grad_()
        q = normal(mu, torch.full((30, 2), 0.5, dtype=torch.float64))
        value = TotalCorrelation(N).value(draw(q, mu + 0.5 * randn(30, 2, seed=1)))[0]
        slopes.append(torch.autograd.grad(value, mu)[0])
        values.append(value.item())
    assert values[1] - values[0] == pytest.approx(math.log(100), rel=1e-10)
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-14)


def test_it_saturates_where_no_other_row_reaches_a_code():
    mu = (100 * torch.arange(20, dtype=torch.float64))[:, None].repeat(1, 3).requires_grad_()
    value, _ = TotalCorrelation(1000).value(draw(normal(mu, torch.ones(20, 3).double()), mu + randn(20, 3)))
    assert value.item() == pytest.approx(2 * math.log(20 * 1000), rel=1e-12)
    (slope,) = torch.autograd.grad(value, mu)
    assert slope.abs().max().item() < 1e-12


def test_total_correlation_of_one_row_is_finite():
    q = normal(randn(1, 3), torch.ones(1, 3).double())
    for weights in ("weighted", "stratified"):
        assert TotalCorrelation(10, weights).value(draw(q))[0].isfinite()


# --- DIP


def whitened(n, d):
    """Rows whose covariance, divided by n, is the identity."""
    x = randn(n, d)
    x = x - x.mean(0)
    L = torch.linalg.cholesky(x.T @ x / n)
    return torch.linalg.solve_triangular(L, x.T, upper=False).T


def test_dip_is_zero_at_identity_covariance_of_the_means_or_of_the_aggregate():
    means = whitened(40, 3)
    one = DIP("i").value(draw(normal(means, torch.full_like(means, 0.7))))[0]
    two = DIP("ii").value(draw(normal(0.6 * means, torch.full_like(means, 0.8))))[0]
    assert one.item() == pytest.approx(0, abs=1e-20)
    assert two.item() == pytest.approx(0, abs=1e-20)


def test_dip_weighs_diagonal_and_crossed_elements_as_the_paper_does():
    means = whitened(40, 2) @ torch.tensor([[2.0, 0.5], [0.0, 1.0]], dtype=torch.float64)  # C = [[4, 1], [1, 1.25]]
    q = normal(means, torch.full_like(means, 0.5))
    assert DIP("i", diagonal=10).value(draw(q))[0].item() == pytest.approx(2 * 1**2 + 10 * (3**2 + 0.25**2), rel=1e-10)
    assert DIP("ii", diagonal=1).value(draw(q))[0].item() == pytest.approx(2 + 3.25**2 + 0.5**2, rel=1e-10)


def test_dip_takes_a_full_covariance_and_a_code():
    means, root = randn(30, 2), torch.tensor([[1.0, 0.0], [0.5, 0.3]], dtype=torch.float64)
    d = draw(MultivariateNormal(means, scale_tril=root.expand(30, 2, 2)))
    C = torch.cov(means.T, correction=0) + root @ root.T
    off, diagonal = 2 * C[0, 1] ** 2, (C.diagonal() - 1).square().sum()
    torch.testing.assert_close(DIP("ii").value(d)[0], off + diagonal, rtol=1e-12, atol=0)
    torch.testing.assert_close(DIP("i").value(draw(Point(means)))[0], DIP("ii").value(draw(Point(means)))[0])


def test_dip_ii_sees_the_correlations_within_a_posterior_or_refuses_it():
    """An affine flow z = A u has the covariance A A^T, crossed elements included; a chain of layers has none to give."""
    A = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)
    base = normal(torch.zeros(40, 2).double(), torch.ones(40, 2).double())
    flow = Flow(base, lambda u: (u @ A.T, u.new_full(u.shape[:-1], math.log(0.6))), lambda z: z, "draws")
    assert DIP("ii").value(draw(flow))[0].item() == pytest.approx(
        2 * 0.8**2, rel=0.1
    )  # the quadrature's 3 in 100, squared
    first = normal(randn(40, 1), torch.ones(40, 1).double())
    chain = Chain(first, lambda a: normal(a / 2, torch.ones_like(a)), (1, 1))
    assert DIP("i").value(draw(chain))[0].isfinite()
    with pytest.raises(UserError, match="take version i") as error:
        DIP("ii").value(draw(chain))
    assert str(error.value).count(". ") == 0
