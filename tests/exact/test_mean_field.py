"""Coordinate ascent against its closed forms on a Gaussian, against Gauss-Seidel, and by summing a table."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from logpx.errors import UserError
from logpx.exact import mean_field
from logpx.exact.mean_field import GaussianTarget

PAGE = Path(__file__).parents[2] / "docs" / "mean_field.md"


def target(D: int = 4, seed: int = 0, log_height: float = 0.7) -> GaussianTarget:
    g = torch.Generator().manual_seed(seed)
    A = torch.randn(D, 2 * D, dtype=torch.float64, generator=g)
    return GaussianTarget(torch.randn(D, dtype=torch.float64, generator=g), A @ A.T / D, log_height)


def law(t: GaussianTarget) -> MultivariateNormal:
    return MultivariateNormal(t.mean, precision_matrix=t.precision)


# --- a Gaussian target ---


@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_has_the_mean_the_variances_and_the_divergence_of_the_closed_form(seed: int) -> None:
    t = target(seed=seed)
    q, elbo = list(mean_field.gaussian(t))[-1]
    torch.testing.assert_close(q.mean, t.mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(q.variance, 1 / t.precision.diagonal(), rtol=1e-12, atol=0)
    full = MultivariateNormal(q.mean, q.variance.diag())
    kl = kl_divergence(full, law(t)).item()
    assert kl == pytest.approx(t.kl_at_optimum().item(), abs=1e-10)
    assert kl > 0.01
    assert elbo + kl == pytest.approx(t.log_normaliser().item(), abs=1e-10)
    assert (q.variance <= law(t).variance + 1e-12).all()  # never above the true ones


def test_known_answer_in_two_dimensions() -> None:
    """Lambda = [[2, 1], [1, 1]]: KL = 1/2 log 2, and a sweep shrinks the error by 1/2 exactly."""
    t = GaussianTarget(torch.zeros(2).double(), torch.tensor([[2.0, 1.0], [1.0, 1.0]]).double())
    assert t.kl_at_optimum().item() == pytest.approx(0.5 * math.log(2), abs=1e-14)
    assert t.rate() == pytest.approx(0.5, abs=1e-14)
    means = [q.mean for q, _ in mean_field.gaussian(t, torch.ones(2), 3)]
    assert torch.stack(means).tolist() == [[-0.5, 0.5], [-0.25, 0.25], [-0.125, 0.125]]
    assert t.log_normaliser().item() == pytest.approx(math.log(2 * math.pi), abs=1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_elbo_rises_at_every_sweep_and_elbo_plus_kl_is_log_z_at_each(seed: int) -> None:
    t = target(seed=seed)
    runs = list(mean_field.gaussian(t, torch.full((4,), 5.0), 30))
    values = torch.tensor([v for _, v in runs], dtype=torch.float64)
    assert (values.diff() > -1e-12).all()
    assert values[-1] > values[0] + 0.1
    for q, elbo in runs:
        kl = kl_divergence(MultivariateNormal(q.mean, q.variance.diag()), law(t)).item()
        assert elbo + kl == pytest.approx(t.log_normaliser().item(), abs=1e-9)


def test_the_elbo_is_the_expectation_it_claims_to_be() -> None:
    t = target()
    q, elbo = next(mean_field.gaussian(t))
    torch.manual_seed(0)
    z = q.sample((200_000,))
    log_w = law(t).log_prob(z) + t.log_normaliser() - q.log_prob(z)
    assert abs(log_w.mean().item() - elbo) < 4 * log_w.std().item() / math.sqrt(len(z))


@pytest.mark.parametrize("seed", range(4))
def test_sweeps_are_gauss_seidel_with_its_rate(seed: int) -> None:
    """The error obeys e <- T e exactly, and shrinks at last by the spectral radius of T."""
    t = target(5, seed)
    precision = t.precision.numpy()
    T = -np.linalg.inv(np.tril(precision)) @ np.triu(precision, 1)
    assert t.rate() == pytest.approx(np.abs(np.linalg.eigvals(T)).max(), rel=1e-10)
    error = np.full(5, 3.0)
    sizes = []
    for q, _ in mean_field.gaussian(t, t.mean + 3.0, 60, tolerance=0.0):
        error = T @ error
        np.testing.assert_allclose((q.mean - t.mean).numpy(), error, atol=1e-11)
        sizes.append(np.linalg.norm(error))
    assert (sizes[-1] / sizes[-31]) ** (1 / 30) == pytest.approx(t.rate(), rel=0.02)


def test_independent_coordinates_take_one_sweep_and_cost_nothing() -> None:
    t = GaussianTarget(torch.arange(3).double(), torch.tensor([1.0, 4.0, 0.5]).double().diag())
    runs = list(mean_field.gaussian(t, torch.ones(3)))
    assert len(runs) == 2  # the second one sees that nothing moves
    assert t.kl_at_optimum().item() == pytest.approx(0, abs=1e-14)
    assert t.rate() == 0
    assert runs[0][1] == pytest.approx(t.log_normaliser().item(), abs=1e-13)


@pytest.mark.parametrize("precision", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.1, 1.0]], [[1.0]]])
def test_a_matrix_that_is_no_precision_is_refused(precision: list) -> None:
    with pytest.raises(UserError, match="not a symmetric positive definite matrix of 2 x 2"):
        mean_field.gaussian(GaussianTarget(torch.zeros(2).double(), torch.tensor(precision).double()))


# --- a table ---


def random_table(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 10_000), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_elbo_plus_kl_is_log_z_and_the_elbo_never_falls(seed: int, shape: list[int]) -> None:
    log_joint = random_table(*shape, seed=seed)
    log_z = log_joint.logsumexp(tuple(range(len(shape))))
    before = -math.inf
    for q, elbo in mean_field.table(log_joint, seed=seed, sweeps=20):
        log_q = q.log_prob()
        assert log_q.exp().sum().item() == pytest.approx(1, abs=1e-12)
        kl = (log_q.exp() * (log_q - log_joint + log_z)).sum().item()
        assert elbo + kl == pytest.approx(log_z.item(), abs=1e-10)
        assert kl >= -1e-12
        assert elbo >= before - 1e-12
        before = elbo


def test_a_step_is_the_expectation_of_the_log_joint() -> None:
    """q_j proportional to exp E_{q_-j} log p~, cell by cell, at the fixed point."""
    log_joint = random_table(2, 3, 2)
    q, _ = list(mean_field.table(log_joint))[-1]
    a, b, c = q.probabilities
    cells = list(itertools.product(range(2), range(2)))
    expected = [sum(a[i] * c[k] * log_joint[i, m, k] for i, k in cells) for m in range(3)]
    torch.testing.assert_close(b, torch.stack(expected).softmax(0), rtol=0, atol=1e-6)


def test_independent_latents_are_found_exactly() -> None:
    a, b = random_table(3), random_table(4, seed=1)
    log_joint = a[:, None] + b
    q, elbo = list(mean_field.table(log_joint))[-1]
    torch.testing.assert_close(q.probabilities[0], a.softmax(0))
    torch.testing.assert_close(q.probabilities[1], b.softmax(0))
    assert elbo == pytest.approx(log_joint.logsumexp((0, 1)).item(), abs=1e-12)


def test_it_seeks_one_of_two_modes_and_misses_log_two() -> None:
    """p puts 1/2 on (0, 0) and on (1, 1): KL(q||p) has q choose one of them, at the price log 2."""
    log_joint = torch.tensor([[0.5, 1e-30], [1e-30, 0.5]], dtype=torch.float64).log()
    for start, mode in [(0.6, 0), (0.4, 1)]:
        q, elbo = list(mean_field.table(log_joint, [torch.ones(2), torch.tensor([start, 1 - start])]))[-1]
        assert [p.argmax().item() for p in q.probabilities] == [mode, mode]
        assert elbo == pytest.approx(-math.log(2), abs=1e-9)
    saddle, elbo = list(mean_field.table(log_joint, [torch.ones(2), torch.ones(2)]))[-1]
    assert elbo < -10
    assert saddle.probabilities[0].tolist() == [0.5, 0.5]


def test_a_table_with_impossible_cells_is_refused() -> None:
    with pytest.raises(UserError, match="nan or infinite"):
        mean_field.table(torch.tensor([0.0, -math.inf]))


@pytest.mark.parametrize(
    "start",
    [
        [torch.ones(2)],
        [torch.ones(2), torch.ones(2)],
        [torch.ones(2), torch.ones(3), torch.ones(1)],
        [torch.ones(2), torch.ones(1, 3)],
        [torch.tensor([-1.0, 2.0]), torch.ones(3)],
        [torch.zeros(2), torch.ones(3)],
        [torch.tensor([math.nan, 1.0]), torch.ones(3)],
        [torch.ones(2), torch.tensor([math.inf, 1.0, 1.0])],
    ],
)
def test_a_start_that_is_no_factor_for_each_axis_is_refused(start: list[Tensor]) -> None:
    with pytest.raises(UserError, match="2 vectors of lengths"):
        mean_field.table(torch.zeros(2, 3), start)


def test_a_start_is_divided_by_its_sum_and_may_be_whole_numbers() -> None:
    log_joint = random_table(2, 3)
    values = [
        list(mean_field.table(log_joint, [factor * torch.tensor([1, 3]), factor * torch.tensor([1, 1, 2])], 3))[-1][1]
        for factor in (1, 7)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-14)


@pytest.mark.parametrize(
    ("mean", "start", "sentence"),
    [
        ([math.nan, 0.0], None, "mean must be a vector of finite"),
        ([0.0, 0.0], [0.0, math.nan], "vector of 2 finite numbers"),
        ([0.0, 0.0], [0.0, 0.0, 0.0], "vector of 2 finite numbers"),
    ],
)
def test_a_mean_or_a_start_that_is_none_is_refused(mean: list, start: list | None, sentence: str) -> None:
    given = None if start is None else torch.tensor(start, dtype=torch.float64)
    with pytest.raises(UserError, match=sentence):
        mean_field.gaussian(GaussianTarget(torch.tensor(mean).double(), torch.eye(2).double()), given)
    with pytest.raises(UserError, match="sweeps is 0"):
        mean_field.gaussian(target(), sweeps=0)


# --- the page ---


def test_the_page_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text()
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), scope)
    printed = capsys.readouterr().out
    assert printed.strip() == "\n".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)).strip()
