"""Codebooks and fixed levels: gradients by an explicit matrix, counts by hand, codes that die and start again."""

import itertools
import math

import pytest
import torch

from logpx.distributions import code_counts, perplexity
from logpx.errors import UserError
from logpx.model import Batch, Draw
from logpx.objectives import Quantisation
from logpx.posteriors import Codebook, FiniteScalar
from logpx.posteriors.quantised import k_means, nearest, smoothed, turned


def family(codes=6, width=3, positions=4, **how):
    return Codebook(positions, width, codes, **how).double()


def emitted(rows=5, size=12):
    return torch.randn(rows, size, dtype=torch.float64, requires_grad=True)


def stepped(q, z, **how):
    """One step of the state with the loss's gradient."""
    q(z).tally.backward()
    q.after_step({})


def test_the_nearest_code_is_the_nearest_by_every_distance_computed_one_by_one():
    z, e = torch.randn(7, 4, 3, dtype=torch.float64), torch.randn(9, 3, dtype=torch.float64)
    judge = torch.tensor([[min(range(9), key=lambda j: (v - e[j]).norm().item()) for v in row] for row in z])
    assert torch.equal(nearest(z, e), judge)


@pytest.mark.parametrize("stages", [1, 3])
def test_z_is_exactly_its_codes_and_names_them(stages):
    q = family(stages=stages).eval()
    law = q(emitted())
    assert law.z.shape == (5, q.dim)
    assert torch.equal(q.vectors(law.indices), law.z)
    assert torch.equal(q.indices(law.z), law.indices)
    drawn = law.rsample((2,))
    assert torch.equal(law.log_prob(drawn), torch.zeros(2, 5, dtype=torch.float64))
    assert bool((law.log_prob(drawn + 1) == -math.inf).all())


def test_near_twins_are_told_apart_in_single_precision():
    q = Codebook(1, 2, 3)
    q.codes_of_stages[0] = torch.tensor([[100.0, 100.0], [100.0, 100.00001], [0.0, 0.0]])
    k = torch.tensor([[0], [1], [2]])
    assert torch.equal(q.indices(q.vectors(k)), k)


def test_straight_through_gives_z_e_the_gradient_by_z_q():
    for stages in (1, 3):
        q, z_e = family(stages=stages), emitted()
        law = q(z_e)
        z_q = law.z.detach().unflatten(-1, (4, stages, 3)).sum(-2).requires_grad_()
        w = torch.randn(5, 4, 3, dtype=torch.float64)
        loss = (w * law.z.unflatten(-1, (4, stages, 3)).sum(-2).sin()).sum()
        judge = torch.autograd.grad((w * z_q.sin()).sum(), z_q)[0]
        torch.testing.assert_close(torch.autograd.grad(loss, z_e)[0], judge.flatten(1), rtol=0, atol=1e-15)


def test_the_rotation_trick_turns_and_rescales_the_gradient_by_an_explicit_matrix():
    e, q, g = (torch.randn(3, dtype=torch.float64) for _ in range(3))
    e_hat, q_hat = e / e.norm(), q / q.norm()
    r = (e_hat + q_hat) / (e_hat + q_hat).norm()
    R = torch.eye(3).double() - 2 * torch.outer(r, r) + 2 * torch.outer(q_hat, e_hat)
    torch.testing.assert_close(R @ R.T, torch.eye(3).double())
    torch.testing.assert_close(torch.linalg.det(R), torch.tensor(1.0).double())
    leaf = e.clone().requires_grad_()
    value = turned(leaf, q)
    torch.testing.assert_close(value, q)
    (found,) = torch.autograd.grad(value, leaf, g)
    torch.testing.assert_close(found, q.norm() / e.norm() * R.T @ g)
    torch.testing.assert_close(found.norm() / g.norm(), q.norm() / e.norm())
    # the angle between gradient and vector is kept
    torch.testing.assert_close(found @ e / (found.norm() * e.norm()), g @ q / (g.norm() * q.norm()))


def test_rotation_past_a_code_at_zero_or_opposite_is_finite():
    for z, code in (([0.0, 0.0], [1.0, 0.0]), ([1.0, 0.0], [-1.0, 0.0]), ([1.0, 2.0], [0.0, 0.0])):
        leaf = torch.tensor(z, requires_grad=True)
        turned(leaf, torch.tensor(code)).sum().backward()
        assert bool(leaf.grad.isfinite().all())


def through_objective(q, z_e, beta):
    """Loss and terms with a reconstruction of 0, and the law."""
    law = q(z_e)
    px = torch.distributions.Independent(torch.distributions.Uniform(torch.zeros(1), torch.ones(1)), 1)
    d = Draw(Batch(torch.full((len(z_e), 1), 0.5)), law, lambda: law, law.rsample((1,)), None, px)
    return *Quantisation(beta).value(d), law


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_the_gradients_of_commitment_and_codebook_are_sums_over_a_row_and_means_over_rows(learning):
    q, z_e, beta = family(learning=learning), emitted(), 0.25
    loss, terms, law = through_objective(q, z_e, beta)
    z, e = z_e.detach().unflatten(-1, (4, 3)), law.z.detach().unflatten(-1, (4, 3))
    mse = (z - e).square().sum().item() / 5
    assert loss.item() == pytest.approx((beta + (learning == "gradient")) * mse, rel=1e-12)
    assert terms["commitment"].mean().item() == pytest.approx(mse, rel=1e-12)
    loss.backward()
    torch.testing.assert_close(z_e.grad, (2 * beta * (z - e) / 5).flatten(1))
    if learning == "gradient":
        judge = torch.zeros_like(q.codes_of_stages)
        for row, place in itertools.product(range(5), range(4)):
            judge[0, law.indices[row, place]] += 2 * (e - z)[row, place] / 5
        torch.testing.assert_close(q.codes_of_stages.grad, judge)


def test_a_codebook_that_is_the_data_loses_nothing():
    q = family(codes=8, positions=2)
    z_e = q.codes_of_stages[0, torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7]])].flatten(1)
    loss, terms, _ = through_objective(q, z_e.requires_grad_(), 0.25)
    assert loss.item() == 0
    assert terms["commitment"].abs().max().item() == 0
    assert terms["perplexity"].item() == pytest.approx(8, rel=1e-6)
    assert terms["usage"].item() == 1


def test_perplexity_is_k_for_even_use_and_1_for_one_code():
    assert perplexity(torch.full((7,), 3.0)).item() == pytest.approx(7, rel=1e-6)
    assert perplexity(torch.tensor([0.0, 5.0, 0.0])).item() == 1
    k = torch.tensor([[0, 2, 1, 2], [0, 1, 0, 2]])  # two stages in turn
    assert code_counts(k, 3, 2).tolist() == [[3, 1, 0], [0, 1, 3]]


def test_without_memory_a_code_is_the_mean_of_the_batch_that_it_was_given():
    q, z_e = family(decay=0.0, restart=0.0), emitted(40)
    before, law = q.codes_of_stages.clone(), q(z_e)
    stepped(q, z_e)
    vectors = z_e.detach().view(-1, 3)
    for j in range(6):
        mine = vectors[law.indices.flatten() == j]
        judge = mine.mean(0) if len(mine) else before[0, j]
        torch.testing.assert_close(q.codes_of_stages[0, j], judge, rtol=1e-4, atol=1e-5)  # eps = 1e-5 of smoothing


def test_counts_stay_raw_over_many_steps():
    """The smoothed counts stand in the division only: after T steps N is its own recursion to the last bit."""
    q = family(restart=0.0, decay=0.9)
    counts, sums = q.counts.clone(), q.sums.clone()
    for _ in range(50):
        z_e = emitted()
        law = q(z_e)
        n = torch.bincount(law.indices.flatten(), minlength=6).double()
        total = torch.zeros(6, 3).double().index_add(0, law.indices.flatten(), z_e.detach().view(-1, 3))
        counts, sums = 0.9 * counts + 0.1 * n, 0.9 * sums + 0.1 * total
        stepped(q, z_e)
    torch.testing.assert_close(q.counts, counts, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(q.sums, sums, rtol=1e-12, atol=1e-12)
    eps = 1e-5
    judge = sums[0] / ((counts[0] + eps) / (counts[0].sum() + 6 * eps) * counts[0].sum())[:, None]
    torch.testing.assert_close(q.codes_of_stages[0], judge)
    torch.testing.assert_close(smoothed(counts).sum(), counts.sum())


def test_at_rest_nothing_moves_and_nothing_is_tallied():
    q = family().eval()
    before = {name: t.clone() for name, t in q.state_dict().items()}
    law = q(emitted())
    assert law.tally is None
    q.after_step({})
    assert all(torch.equal(before[name], t) for name, t in q.state_dict().items())


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_dead_codes_start_again_on_vectors_of_the_batch(learning):
    q, z_e = family(codes=8, learning=learning, restart=0.05, decay=0.5), emitted(20)
    with torch.no_grad():
        q.codes_of_stages[0, 5:] = 1000.0  # nobody's
        q.sums.copy_(q.codes_of_stages * q.counts.unsqueeze(-1))
    for _ in range(5):  # their counts fall below a twentieth of the mean
        stepped(q, z_e)
    vectors = {tuple(v.tolist()) for v in z_e.detach().view(-1, 3)}
    for code, count in zip(q.codes_of_stages[0, 5:], q.counts[0, 5:], strict=True):
        assert code.abs().max() < 10
        assert count > 0.05 * q.counts[0].mean()
    if learning == "gradient":  # no average has moved them since
        assert all(tuple(code.tolist()) in vectors for code in q.codes_of_stages[0, 5:].detach())


def test_a_code_that_starts_again_is_a_vector_of_the_batch_with_the_count_of_an_even_use():
    q, z_e = family(codes=8, restart=0.5, decay=0.0), emitted(20)
    with torch.no_grad():
        q.codes_of_stages[0, 7] = 1000.0
    stepped(q, z_e)
    assert tuple(q.codes_of_stages[0, 7].tolist()) in {tuple(v.tolist()) for v in z_e.detach().view(-1, 3)}
    assert q.counts[0, 7].item() == pytest.approx(80 / 8)
    torch.testing.assert_close(q.sums[0, 7], q.codes_of_stages[0, 7] * 10)


def test_k_means_finds_blobs_apart_and_counts_them():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]).double()
    z = (centres[:, None] + 0.1 * torch.randn(3, 50, 2)).flatten(0, 1)
    found, size = max((k_means(z, 3) for _ in range(8)), key=lambda f: f[1].min().item())
    assert sorted(size.tolist()) == [50, 50, 50]
    for centre in centres:
        assert (found - centre).norm(dim=1).min().item() < 0.1
    few, _ = k_means(z[:2], 5)
    assert few.shape == (5, 2)


def test_codes_start_where_k_means_puts_them_and_later_stages_on_what_is_left():
    q = family(codes=4, positions=2, stages=2)
    z = torch.randn(60, 6).double()
    q.start(z)
    law = q.eval()(z)
    assert law.commitment.mean() < 2 * z.square().sum(1).mean()
    one = (z.unflatten(-1, (2, 3)) - law.z.unflatten(-1, (2, 2, 3))[..., 0, :]).square().sum((-2, -1)).mean()
    two = (z.unflatten(-1, (2, 3)) - law.z.unflatten(-1, (2, 2, 3)).sum(-2)).square().sum((-2, -1)).mean()
    assert two < 0.8 * one
    assert q.counts.sum(-1).tolist() == pytest.approx([0.04, 0.04])  # (1 - 0.99) for each of 4 codes


@pytest.mark.parametrize("levels", [(2,), (3,), (8, 6, 5), (7, 5, 5, 5)])
def test_fixed_levels_are_as_many_as_they_are_called_and_stay_within_one(levels):
    q = FiniteScalar(1, levels).double()
    assert q.codes == math.prod(levels)
    for i, n in enumerate(levels):
        z = torch.zeros(4001, len(levels)).double()
        z[:, i] = torch.linspace(-20, 20, 4001)
        assert q(z).z[:, i].unique().numel() == n
        assert q(z).z.abs().max().item() <= 1
    k = torch.arange(q.codes)[:, None]
    assert torch.equal(q.indices(q.vectors(k)), k)
    assert q.vectors(k).unique(dim=0).shape[0] == q.codes


def test_fixed_levels_pass_the_gradient_of_the_tanh_alone():
    q, z_e = FiniteScalar(2, (5, 3)).double(), torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(q(z_e).z.sum(), z_e)
    half = torch.tensor([2.0, 1.0]).double() * (1 + 1e-3)
    judge = (half / torch.tensor([2.0, 1.0])) * (1 - z_e.detach().view(4, 2, 2).tanh().square())
    torch.testing.assert_close(found, judge.flatten(1), rtol=1e-6, atol=1e-7)
    law = q(z_e)
    assert torch.equal(q.indices(law.z), law.indices)
    assert law.commitment is None
    assert law.tally is None


def test_what_cannot_be_quantised_is_a_sentence():
    with pytest.raises(UserError, match="codes is 1"):
        Codebook(4, 3, 1)
    with pytest.raises(UserError, match="decay is 1"):
        Codebook(4, 3, 5, decay=1.0)
    with pytest.raises(UserError, match="restart is 2"):
        Codebook(4, 3, 5, restart=2.0)
    with pytest.raises(UserError, match="two or more for each number"):
        FiniteScalar(4, (8, 1))
    with pytest.raises(UserError, match="beta is -1"):
        Quantisation(-1.0)
