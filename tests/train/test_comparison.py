"""Runs beside each other: paired differences, errors over rows and over seeds, lines of seeds, what is not ranked."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from logpx import recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.evaluate import distortion, evidence, expected_terms, rate_distortion
from logpx.train import Run, fit
from logpx.train.comparison import Comparison, compare
from logpx.train.rankable import check_data, check_rows, digest, limited

X = (torch.randn(90, 4, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, 5))).numpy()


def data(**how: Any) -> Data:
    return from_array(X, **({"name": "toy", "test": 0.4} | how))


def trained(recipe: str, rows: Data, epochs: int = 2, seed: int = 0, **options: Any) -> Run:
    small: dict[str, Any] = {} if recipe == "ppca" else {"hidden": (6,)}
    method = recipes.find(recipe).build(rows, latent=2, seed=seed, **(small | options))
    return fit(method, rows, epochs=epochs, batch_size=16, learning_rate=0.01, seed=seed, show=False)


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    rows = data()
    vaes = {f"vae-{seed}": trained("vae", rows, seed=seed) for seed in (0, 1, 2)}
    others = {name: trained(name, rows) for name in ("iwae", "ppca", "ae")}
    return vaes | others


def compared(runs: dict[str, Run], *names: str, **how: Any) -> Comparison:
    chosen = names or tuple(runs)
    return compare([runs[n] for n in chosen], data().test, names=chosen, **({"samples": 20, "seed": 3} | how))


def test_every_run_says_what_evaluate_says_of_it(runs: dict[str, Run]) -> None:
    found = compared(runs)
    for its in (one for line in found.lines for one in line.runs):
        if its.name == "ae":
            assert its.row["evidence"] is None
            continue
        alone = evidence(runs[its.name].model, data().test, samples=20, seed=3)
        assert its.row["evidence"] == alone.mean
        assert its.row["evidence_error"] == alone.standard_error
        assert its.found is not None
        assert torch.equal(its.found.per_point, alone.per_point)


def test_the_best_is_first_and_what_has_no_log_px_is_last(runs: dict[str, Run]) -> None:
    found = compared(runs)
    *rated, last = [line.value for line in found.lines]
    assert last is None
    assert found.lines[-1].label == "ae"
    assert rated == sorted(rated, reverse=True)  # type: ignore[type-var]
    assert found.best is found.lines[0]
    assert found.difference(found.lines[0]) is None
    assert found.difference(found.lines[-1]) is None


def test_a_difference_of_two_runs_is_a_paired_t_test(runs: dict[str, Run]) -> None:
    found = compared(runs, "vae-0", "iwae")
    best, other = found.lines
    assert best.log_px is not None
    assert other.log_px is not None
    oracle = stats.ttest_rel(other.log_px.numpy(), best.log_px.numpy())
    d = found.difference(other)
    assert d is not None
    assert d.standard_error is not None
    assert d.value / d.standard_error == pytest.approx(oracle.statistic, rel=1e-9)
    assert d.is_clear == (abs(oracle.statistic) > 2)
    unpaired = math.hypot(stats.sem(best.log_px.numpy()), stats.sem(other.log_px.numpy()))
    assert d.standard_error < unpaired / 2  # what rows have in common drops out


def test_seeds_of_one_recipe_are_one_line_with_their_spread(runs: dict[str, Run]) -> None:
    found = compared(runs, "vae-0", "vae-1", "vae-2", "iwae")
    line = next(line for line in found.lines if line.label == "vae")
    values = [its.row["evidence"] for its in line.runs]
    assert sorted(its.seed for its in line.runs) == [0, 1, 2]
    assert line.value == pytest.approx(np.mean(values), rel=1e-12)
    assert line.error == pytest.approx(stats.sem(values), rel=1e-12)
    iwae = next(line for line in found.lines if line.label == "iwae")
    assert iwae.log_px is not None
    assert iwae.seeds_error is None
    assert iwae.error == pytest.approx(stats.sem(iwae.log_px.numpy()), rel=1e-9)
    other = found.lines[1]
    d = found.difference(other)
    assert d is not None
    assert line.log_px is not None
    by_row = stats.sem((line.log_px - iwae.log_px).numpy())
    assert d.standard_error == pytest.approx(math.hypot(by_row, stats.sem(values)), rel=1e-9)


def test_settings_that_differ_make_lines_that_are_named_by_them() -> None:
    rows = data()
    runs = {
        name: trained("beta_vae", rows, beta=beta, epochs=n)
        for name, beta, n in (("a", 1, 1), ("b", 4, 1), ("c", 4, 2))
    }
    assert {line.label for line in compared(runs).lines} == {
        "beta_vae beta=1 epochs=1",
        "beta_vae beta=4 epochs=1",
        "beta_vae beta=4 epochs=2",
    }


def test_the_same_run_twice_is_no_second_seed(runs: dict[str, Run]) -> None:
    twice = {"a": runs["vae-0"], "b": runs["vae-0"]}
    found = compared(twice)
    assert {line.label for line in found.lines} == {"vae (a)", "vae (b)"}
    d = found.difference(found.lines[1])
    assert d is not None
    assert (d.value, d.standard_error, d.is_clear) == (0.0, 0.0, False)


def test_the_summary_is_plain_numbers(runs: dict[str, Run]) -> None:
    found = compared(runs)
    line = next(its for its in found.summary() if its["label"] == "vae")
    assert line["runs"] == ["vae-0", "vae-1", "vae-2"]
    assert line["seeds"] == [0, 1, 2]
    assert line["standard_error_over"] == "seeds"
    assert set(line["difference"]) == {"value", "standard_error", "beyond_2_errors"}
    assert found.summary()[-1]["value"] is None
    assert found.name == "log p(x) or L_20"
    one = found.lines[0].runs[0].summary()
    assert one["recipe"] == "ppca"
    assert one["kind"] == "exact"
    assert one["parameters"] == sum(p.numel() for p in runs["ppca"].model.parameters())


def test_one_row_shows_no_error(runs: dict[str, Run]) -> None:
    names = ("vae-0", "iwae")
    found = compare([runs[n] for n in names], limited(data().test, 1), names=names, samples=5)
    d = found.difference(found.lines[1])
    assert found.lines[0].error is None
    assert d is not None
    assert d.standard_error is None
    assert not d.is_clear


def test_distortion_is_the_reconstruction_of_those_without_a_density(runs: dict[str, Run]) -> None:
    ae, rows = runs["ae"], data().test
    found = distortion(ae.model, rows)
    assert found.mean == pytest.approx(expected_terms(ae.method.objective, ae.model, rows)["reconstruction"], rel=1e-6)
    vae = runs["vae-0"].model
    assert torch.equal(distortion(vae, rows, seed=2).per_point, rate_distortion(vae, rows, seed=2).distortion.per_point)


# --- what is not ranked -----------------------------------------------------------------------------------------------


def about(run: Run, **other: Any) -> dict[str, Any]:
    return run.info["data"] | other


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"protocol": "dynamic"}, r"their protocol differs: a, c \(as-is\); b \(dynamic\); compare each set by itself"),
        (
            {"checksum": "f" * 64, "name": "more"},
            r"their data differs: a, c \(toy \(\w{8}\)\); b \(more \(ffffffff\)\)",
        ),
        (
            {"kind": "grey", "levels": 256},
            r"their kind of numbers and levels differ: a, c \(real, none\); b \(grey, 256\)",
        ),
        ({"conditions": [["label", "categorical", 3, 0.0, 1.0]]}, "their condition differs"),
    ],
)
def test_other_data_or_another_protocol_are_named(runs: dict[str, Run], other: dict[str, Any], words: str) -> None:
    run = runs["vae-0"]
    with pytest.raises(UserError, match=words):
        check_data({"a": about(run), "b": about(run, **other), "c": about(run)})


def test_densities_probabilities_and_scores_are_not_ranked_together() -> None:
    x = np.random.default_rng(0).random((60, 1, 4, 4)).astype(np.float32)
    rows = from_array(x, kind="grey", name="tiny", test=0.3)
    runs = {
        name: trained("vae", rows, likelihood=name, epochs=1) for name in ("grey", "continuous_bernoulli", "gaussian")
    }
    with pytest.raises(UserError, match=r"kind of log p\(x\) differs: grey \(score\); gaussian \(log-density\)"):
        compare([runs["grey"], runs["gaussian"]], rows.test, names=["grey", "gaussian"])
    pair = ["continuous_bernoulli", "gaussian"]
    assert len(compare([runs[n] for n in pair], rows.test, names=pair, samples=5).lines) == 2
    scores = compare([runs["grey"], replace(runs["grey"])], rows.test, names=["a", "b"], samples=5)
    assert scores.lines[0].runs[0].row["kind"] == "score"


def test_rows_that_were_divided_otherwise_are_not_the_same_rows() -> None:
    one, other = data(), data(seed=1)
    check_rows({"a": one, "b": data()}, "test")
    with pytest.raises(UserError, match=r"setting seed and test rows differ: a \(0, \w+\); b \(1, \w+\)"):
        check_rows({"a": one, "b": other}, "test")
    assert digest(one.test) == digest(limited(one.test, 1000))
    assert digest(one.test) != digest(limited(one.test, 10))


def test_one_run_is_no_comparison(runs: dict[str, Run]) -> None:
    with pytest.raises(UserError, match="at least two runs"):
        compared(runs, "iwae")
