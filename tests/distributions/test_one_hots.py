"""One-hot codes: the KL and the entropy by enumeration, relaxed draws that become exact ones, what the law refuses."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import OneHotCategorical, kl_divergence

from logpx.distributions import OneHots, has_closed_kl, is_euclidean, kl_by_dimension
from logpx.distributions.discrete import all_codes
from logpx.errors import UserError


def logits(*shape, seed=0, scale=1.5):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(scores):
    """{code: probability} of N variables, by itertools and nothing of ours."""
    p = scores.softmax(-1).tolist()
    picks = itertools.product(*(range(len(row)) for row in p))
    return {pick: math.prod(row[c] for row, c in zip(p, pick, strict=True)) for pick in picks}


def one_hot(pick, classes):
    z = torch.zeros(len(pick), classes, dtype=torch.float64)
    z[range(len(pick)), list(pick)] = 1
    return z.flatten()


# --- exact numbers ----------------------------------------------------------------------------------------------------


def test_probability_kl_and_entropy_are_sums_over_all_codes():
    a, b = logits(3, 4), logits(3, 4, seed=1)
    q, p, mine, theirs = OneHots(a), OneHots(b), by_hand(a), by_hand(b)
    for pick, probability in mine.items():
        assert q.log_prob(one_hot(pick, 4)).item() == pytest.approx(math.log(probability), abs=1e-12)
    kl = sum(mine[c] * math.log(mine[c] / theirs[c]) for c in mine)
    assert kl_divergence(q, p).item() == pytest.approx(kl, abs=1e-12)
    assert q.entropy().item() == pytest.approx(-sum(v * math.log(v) for v in mine.values()), abs=1e-12)


def test_the_kl_of_each_variable_is_torchs_and_they_add_up():
    a, b = logits(5, 3, 4), logits(3, 4, seed=1)
    q, p = OneHots(a), OneHots(b)
    each = kl_divergence(OneHotCategorical(logits=a), OneHotCategorical(logits=b))
    torch.testing.assert_close(kl_by_dimension(q, p), each, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(kl_divergence(q, p), each.sum(-1), rtol=1e-12, atol=1e-14)
    assert has_closed_kl(q, p)


def test_against_the_uniform_law_the_kl_is_n_log_k_less_the_entropy():
    q, p = OneHots(logits(4, 6)), OneHots(torch.zeros(4, 6).double())
    assert kl_divergence(q, p).item() == pytest.approx(4 * math.log(6) - q.entropy().item(), abs=1e-12)


@pytest.mark.parametrize("draws", ["hard", "relaxed", "straight_through"])
def test_the_kl_is_that_of_the_categories_however_they_are_drawn(draws):
    a, p = logits(2, 3), OneHots(logits(2, 3, seed=1))
    assert kl_divergence(OneHots(a, draws, 0.7), p).item() == kl_divergence(OneHots(a), p).item()


def test_a_certain_class_has_a_finite_kl_and_gradient():
    a = torch.tensor([[300.0, 0.0, -300.0]], requires_grad=True)
    kl = kl_divergence(OneHots(a), OneHots(torch.zeros(1, 3)))
    kl.backward()
    assert kl.item() == pytest.approx(math.log(3), abs=1e-6)
    assert bool(a.grad.isfinite().all())


def test_off_the_codes_there_is_no_mass():
    q = OneHots(logits(2, 3))
    for bad in ([1, 1, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0], [0.5, 0.5, 0, 1, 0, 0], [2, -1, 0, 1, 0, 0]):
        z = torch.tensor(bad, dtype=torch.float64)
        assert q.log_prob(z).item() == -math.inf
        assert not q.support.check(z)
    assert q.support.check(q.sample((50,))).all()


def test_enumeration_lists_every_code_once():
    q = OneHots(logits(2, 3, 4))
    codes = q.enumerate_support()
    assert codes.shape == (64, 2, 12)
    assert codes[:, 0].unique(dim=0).shape == (64, 12)
    torch.testing.assert_close(q.log_prob(codes).exp().sum(0), torch.ones(2).double())
    assert q.enumerate_support(expand=False).shape == (64, 1, 12)


# --- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_the_largest_relaxed_coordinate_has_the_class_probabilities_at_any_temperature(temperature):
    a, n = logits(5), 20_000
    torch.manual_seed(0)
    picks = OneHots(a.view(1, 5), "relaxed", temperature).rsample((n,)).argmax(-1)
    expected = n * a.softmax(0).numpy()
    assert stats.chisquare(np.bincount(picks, minlength=5), expected).pvalue > 1e-4


def test_cold_relaxed_draws_are_codes_with_the_right_frequencies():
    a, n = logits(2, 4), 20_000
    torch.manual_seed(0)
    z = OneHots(a, "relaxed", 0.01).rsample((n,))
    sure = z.unflatten(-1, (2, 4)).max(-1).values > 0.99
    assert sure.double().mean().item() > 0.9
    p = a.softmax(-1).flatten()
    assert ((z.mean(0) - p).abs() <= 4 * (p * (1 - p) / n).sqrt()).all()


def test_hot_relaxed_draws_are_inside_the_simplex():
    z = OneHots(logits(3, 4), "relaxed", 3.0).rsample((100,)).unflatten(-1, (3, 4))
    torch.testing.assert_close(z.sum(-1), torch.ones(100, 3).double())
    assert 0 < z.min().item() < z.max().item() < 1


def test_straight_through_draws_are_exactly_one_hot_with_the_gradient_of_the_relaxed_ones():
    rows = {}
    for draws in ("relaxed", "straight_through"):
        a = logits(2, 3).requires_grad_()
        torch.manual_seed(4)
        q = OneHots(a, draws, 0.6)
        z = q.rsample((50,))
        (z * torch.arange(6.0).double()).sum().backward()
        rows[draws] = z.detach(), a.grad
    assert q.support.check(rows["straight_through"][0]).all()
    torch.testing.assert_close(rows["straight_through"][1], rows["relaxed"][1])
    assert rows["relaxed"][1].abs().max() > 0
    nearest = OneHots(rows["relaxed"][0].unflatten(-1, (2, 3))).mode
    assert torch.equal(nearest, rows["straight_through"][0])


def test_hard_draws_have_no_gradient_and_say_so():
    q = OneHots(logits(2, 3).requires_grad_())
    assert not q.has_rsample
    assert not q.rsample((3,)).requires_grad


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_a_relaxed_draw_has_no_probability():
    q = OneHots(logits(2, 3), "relaxed", 1.0)
    with pytest.raises(UserError, match="Relaxed draws are no codes"):
        q.log_prob(q.rsample())


def test_one_class_is_refused():
    with pytest.raises(UserError, match="at least 2 classes, not 1"):
        OneHots(torch.zeros(3, 1))


def test_laws_of_different_codes_have_no_kl():
    with pytest.raises(UserError, match="2 variables of 3 classes and 3 of 2"):
        kl_divergence(OneHots(torch.zeros(2, 3)), OneHots(torch.zeros(3, 2)))


@pytest.mark.parametrize(("variables", "classes"), [(13, 2), (4, 9), (100_000, 10)])
def test_too_many_codes_are_not_enumerated(variables, classes):
    with pytest.raises(UserError, match="more than 4,096 codes"):
        all_codes(variables, classes, torch.zeros(()))


def test_4096_codes_are():
    assert all_codes(12, 2, torch.zeros(())).shape == all_codes(6, 4, torch.zeros(())).shape == (4096, 24)


def test_they_are_no_points_of_a_flat_space():
    assert not is_euclidean(OneHots(torch.zeros(2, 3)))
