"""Particular values of the laws of pixels; what they share with every other law is in test_law_distributions."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from logpx.distributions import (
    BernoulliLogits,
    BernoulliPixels,
    ContinuousBernoulli,
    GreyScore,
    has_closed_kl,
    is_density,
)
from logpx.errors import UserError

logits = st.floats(-80, 80)


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_bernoulli_probabilities_sum_to_one_in_log_space():
    law = BernoulliLogits(float64(-40, -1, 0, 0.5, 40))
    both = torch.logaddexp(law.log_prob(float64(0)), law.log_prob(float64(1)))
    torch.testing.assert_close(both, torch.zeros(5).double(), rtol=0, atol=1e-14)


def test_bernoulli_keeps_the_class_when_expanded():
    assert type(BernoulliLogits(float64(1)).expand((3,))) is BernoulliLogits
    assert type(GreyScore(float64(1)).expand((3,))) is GreyScore


@given(st.floats(0, 1), logits)
def test_the_grey_score_is_minus_the_binary_cross_entropy(x, a):
    score = GreyScore(float64(a)).log_prob(float64(x)).item()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(float64(a), float64(x)).item()
    assert score == pytest.approx(-entropy, rel=1e-12, abs=1e-13)


def test_the_grey_score_has_a_mean_and_nothing_to_draw():
    grey = GreyScore(torch.tensor([0.0, 2.0]))
    assert grey.mean.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-2))])
    with pytest.raises(UserError, match="no density"):
        grey.sample()
    with pytest.raises(UserError, match="no density"):
        Independent(grey, 1).sample((3,))


@given(st.floats(0, 1), logits)
def test_continuous_bernoulli_is_symmetric_under_one_minus_x(x, a):
    here = ContinuousBernoulli(float64(a)).log_prob(float64(x)).item()
    there = ContinuousBernoulli(float64(-a)).log_prob(1 - float64(x)).item()
    assert here == pytest.approx(there, rel=1e-12, abs=1e-12)


def test_continuous_bernoulli_is_uniform_at_zero():
    law = ContinuousBernoulli(float64(0))
    assert law.log_prob(float64(0, 0.25, 1)).tolist() == pytest.approx([0, 0, 0], abs=1e-15)
    assert law.mean.item() == 0.5


@pytest.mark.parametrize("a", [-3.0, 0.7, 6.0])
def test_continuous_bernoulli_agrees_with_torchs_where_that_one_is_exact(a):
    ours, theirs = ContinuousBernoulli(float64(a)), torch.distributions.ContinuousBernoulli(logits=float64(a))
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("a", [-100.0, -17.0, 0.0, 0.26, 17.0, 100.0])
def test_continuous_bernoulli_never_leaves_the_unit_interval(a):
    x = ContinuousBernoulli(torch.tensor(a)).sample((200_000,))
    assert x.isfinite().all()
    assert x.min() >= 0
    assert x.max() <= 1


@pytest.mark.parametrize("law", [BernoulliLogits, ContinuousBernoulli, GreyScore])
def test_validation_when_asked_for_refuses_a_value_outside_the_support(law):
    with pytest.raises(ValueError, match="support"):
        law(torch.zeros(2), validate_args=True).log_prob(torch.tensor([0.5, 1.5]))


def test_density_is_read_through_independent():
    assert is_density(Normal(0.0, 1.0))
    assert is_density(Independent(BernoulliLogits(torch.zeros(3)), 1))
    assert not is_density(Independent(GreyScore(torch.zeros(3)), 1))


def test_kl_of_full_against_diagonal_broadcasts_over_batches():
    q = MultivariateNormal(torch.randn(5, 1, 2), torch.eye(2))
    p = Independent(Normal(torch.randn(3, 2), torch.rand(3, 2) + 0.5), 1)
    kl = kl_divergence(q, p)
    assert kl.shape == (5, 3)
    row = kl_divergence(MultivariateNormal(q.loc[4, 0], torch.eye(2)), Independent(Normal(p.mean[1], p.stddev[1]), 1))
    assert kl[4, 1].item() == pytest.approx(row.item(), rel=1e-6)


def test_has_closed_kl_for_laws_of_pixels():
    def of(law):
        return Independent(law(torch.zeros(3)), 1)

    assert has_closed_kl(of(BernoulliLogits), of(BernoulliLogits))
    assert not has_closed_kl(of(ContinuousBernoulli), of(ContinuousBernoulli))


# --- all pixels at once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [BernoulliLogits, GreyScore])
@pytest.mark.parametrize("shape", [(2, 3), (5, 2, 3), (7, 5, 2, 3)])
def test_all_pixels_at_once_are_torchs_independent(law, shape) -> None:
    """With and without gradients, for values of more dimensions, of fewer and of another type than the logits."""
    torch.manual_seed(4)
    logits = torch.randn(5, 2, 3, dtype=torch.float64)
    ours, judge = BernoulliPixels(law(logits), 2), Independent(law(logits), 2)
    x = (torch.rand(shape) < 0.4).double()
    with torch.no_grad():
        torch.testing.assert_close(ours.log_prob(x), judge.log_prob(x), rtol=1e-14, atol=1e-14)
        torch.testing.assert_close(ours.log_prob(x.float()), judge.log_prob(x), rtol=1e-14, atol=1e-14)
        wide = ours.expand((7, 5))
        assert isinstance(wide, BernoulliPixels)
        assert wide.log_prob(x).shape == judge.expand((7, 5)).log_prob(x).shape
    logits.requires_grad_()
    slopes = [torch.autograd.grad(law.log_prob(x).sum(), logits)[0] for law in (ours, judge)]
    torch.testing.assert_close(*slopes, rtol=0, atol=0)
