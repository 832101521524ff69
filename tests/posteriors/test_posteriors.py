"""Posterior families: what the encoder's numbers mean, their bounds, and the same law held constant."""

import math

import pytest
import torch
from torch.distributions import kl_divergence

from logpx.posteriors import DiagNormal, FullNormal
from logpx.priors import StandardNormal

FAMILIES = [DiagNormal(1), DiagNormal(3), FullNormal(1), FullNormal(2), FullNormal(4)]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{type(f).__name__} {f.dim}")


@each_family
def test_size_numbers_make_a_law_over_dim_latents(family):
    q = family(torch.randn(6, family.size))
    assert q.batch_shape == (6,)
    assert q.event_shape == (family.dim,)
    assert q.rsample((3,)).shape == (3, 6, family.dim)
    with pytest.raises((RuntimeError, ValueError)):
        family(torch.randn(6, family.size + 1)).log_prob(torch.zeros(family.dim))


def test_diagonal_numbers_are_mean_and_log_variance():
    q = DiagNormal(2)(torch.tensor([1.0, 2.0, math.log(4), math.log(9)]))
    assert q.mean.tolist() == [1, 2]
    assert q.stddev.tolist() == pytest.approx([2, 3])


def test_full_numbers_are_mean_log_diagonal_and_the_rows_below_it():
    numbers = torch.tensor([1.0, 2.0, 3.0, math.log(2), math.log(3), math.log(5), 7.0, 11.0, 13.0])
    q = FullNormal(3)(numbers)
    assert q.mean.tolist() == [1, 2, 3]
    L = torch.tensor([[2.0, 0, 0], [7, 3, 0], [11, 13, 5]])
    torch.testing.assert_close(q.scale_tril, L)
    torch.testing.assert_close(q.covariance_matrix, L @ L.T)


def test_full_with_nothing_below_the_diagonal_is_diagonal():
    mu, log_sigma, z = torch.randn(4, 3).double(), torch.randn(4, 3).double(), torch.randn(6, 4, 3).double()
    full = FullNormal(3)(torch.cat([mu, log_sigma, torch.zeros(4, 3)], -1))
    diagonal = DiagNormal(3)(torch.cat([mu, 2 * log_sigma], -1))
    torch.testing.assert_close(full.log_prob(z), diagonal.log_prob(z), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(full.entropy(), diagonal.entropy(), rtol=1e-12, atol=1e-12)
    p = StandardNormal(3).double()()
    torch.testing.assert_close(kl_divergence(full, p), kl_divergence(diagonal, p), rtol=1e-12, atol=1e-12)


def test_the_covariance_of_full_samples_is_l_times_its_transpose():
    """z = mu + L' eps would have the same determinant and another covariance; s.e. of an entry is at most sqrt(2/n) s s'."""
    q, n = FullNormal(2)(torch.tensor([0.5, -1.0, 0.2, -0.4, 1.5]).double()), 100_000
    sampled = q.sample((n,)).T.cov()
    scale = q.stddev[:, None] * q.stddev
    assert ((sampled - q.covariance_matrix).abs() <= 4 * math.sqrt(2 / n) * scale).all()


@each_family
def test_on_detached_numbers_the_law_is_the_same_and_held_constant(family):
    params = torch.randn(6, family.size, requires_grad=True)
    q, fixed = family(params), family(params.detach())
    z = q.rsample((3,))
    assert torch.equal(q.log_prob(z), fixed.log_prob(z))
    (by_path,) = torch.autograd.grad(fixed.log_prob(z).sum(), params, retain_graph=True)
    (at_z,) = torch.autograd.grad(fixed.log_prob(leaf := z.detach().requires_grad_()).sum(), leaf)
    (expected,) = torch.autograd.grad(z, params, at_z)
    torch.testing.assert_close(by_path, expected, rtol=1e-5, atol=1e-5)
    assert not fixed.log_prob(z.detach()).requires_grad


@each_family
@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_numbers_of_ten_thousand_neither_overflow_nor_collapse(family, size):
    params = torch.full((1, family.size), size)
    params[:, : family.dim] = 0  # the means are free
    params[:, 2 * family.dim :] = 0  # as is what lies below the diagonal
    q = family(params.requires_grad_())
    z = q.rsample((5,))
    value = q.log_prob(z) + StandardNormal(family.dim)().log_prob(z)
    value.sum().backward()
    assert (q.stddev > 0).all()
    assert value.isfinite().all()
    assert params.grad.isfinite().all()


def test_the_standard_normal_prior_ignores_the_context_and_follows_dtype():
    prior = StandardNormal(3).double()
    z = torch.randn(4, 3).double()
    expected = -z.square().sum(-1) / 2 - 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(prior(torch.randn(4, 2)).log_prob(z), expected, rtol=1e-14, atol=1e-14)
    assert prior().sample().dtype == torch.float64
    assert prior.state_dict() == {}
