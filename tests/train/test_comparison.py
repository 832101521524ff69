"""Runs beside each other: paired differences, errors over rows and over seeds, lines of seeds, what is not ranked."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from logpx import recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.evaluate import distortion, evidence, expected_terms, rate_distortion
from logpx.evaluate.rows import batch_of
from logpx.networks import Sizes
from logpx.train import Method, Run, fit
from logpx.train.alike import structure
from logpx.train.comparison import Comparison, compare
from logpx.train.rankable import check_data, check_division, check_rows, digest, limited

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
    assert line.seeds == ["0", "1", "2"]
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


def own(width: int, act: type[nn.Module] = nn.Tanh) -> Any:
    """A function without a name that could be looked up, as run.json sees it: "own"."""

    def make(s: Sizes) -> tuple[nn.Module, nn.Module]:
        encoder = nn.Sequential(nn.Linear(4, width), act(), nn.Linear(width, s.q))
        return encoder, nn.Sequential(
            nn.Linear(s.z, width), act(), nn.Linear(width, math.prod(s.px)), nn.Unflatten(-1, s.px)
        )

    return make


def test_networks_without_a_name_are_one_line_only_where_they_are_alike() -> None:
    rows = data()
    made = {"a": own(4), "b": own(4), "c": own(32), "d": own(4, nn.ReLU)}
    runs = {
        name: fit(
            recipes.vae(rows, latent=2, network=network, seed=seed),
            rows,
            epochs=1,
            batch_size=16,
            seed=seed,
            show=False,
        )
        for seed, (name, network) in enumerate(made.items())
    }
    assert {its.info["options"]["network"] for its in runs.values()} == {"own"}
    lines = compared(runs).lines
    assert sorted([its.name for its in line.runs] for line in lines) == [["a", "b"], ["c"], ["d"]]
    assert len({line.label for line in lines}) == 3


def test_what_forward_does_is_part_of_a_network() -> None:
    class One(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).tanh()

    class Other(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    Other.__name__ = Other.__qualname__ = One.__qualname__
    assert structure([One(2, 3)]) == structure([One(2, 3)])
    assert structure([One(2, 3)]) != structure([Other(2, 3)])
    assert structure([One(2, 3)]) != structure([One(3, 3)])


def test_hand_made_parts_are_never_seeds_of_each_other() -> None:
    rows, runs = data(), {}
    for seed in (0, 1):
        of = recipes.vae(rows, latent=2, hidden=(6,), seed=seed)
        parts = Method(of.model, of.objective, of.training)
        runs[f"p{seed}"] = fit(parts, rows, epochs=1, batch_size=16, seed=seed, show=False)
    lines = compared(runs).lines
    assert sorted(line.label for line in lines) == ["parts (p0)", "parts (p1)"]
    assert all(line.seeds_error is None for line in lines)


def test_either_seed_makes_another_seed() -> None:
    """Of the initial weights, of the training, or both; one pair of them twice is a line of its own."""
    rows = data()
    pairs = {"a": (0, 0), "b": (1, 0), "c": (0, 1), "d": (0, 0)}
    runs = {
        name: fit(
            recipes.vae(rows, latent=2, hidden=(6,), seed=weights), rows, epochs=1, batch_size=16, seed=seed, show=False
        )
        for name, (weights, seed) in pairs.items()
    }
    line, again = sorted(compared(runs).lines, key=lambda its: len(its.runs), reverse=True)
    assert [its.name for its in line.runs] == ["a", "b", "c"]
    assert line.seeds == ["0/0", "1/0", "0/1"]
    assert line.error == pytest.approx(stats.sem([its.row["evidence"] for its in line.runs]), rel=1e-12)
    assert [its.name for its in again.runs] == ["d"]
    assert again.seeds == ["0"]


def test_each_line_says_what_its_number_is(runs: dict[str, Run]) -> None:
    found = compared(runs, "vae-0", "ppca", "ae")
    kinds = {line.label: found.kind(line) for line in found.lines}
    assert kinds == {"ppca": "log p(x), exact", "vae": "L_20, lower bound", "ae": ""}
    told = {its["label"]: (its["name"], its["kind"]) for its in found.summary()}
    assert told == {"ppca": ("log p(x)", "exact"), "vae": ("L_20", "lower bound"), "ae": (None, None)}
    same = compared(runs, "vae-0", "iwae")
    assert [same.kind(line) for line in same.lines] == ["lower bound"] * 2


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


def test_rows_that_may_have_trained_a_run_are_not_ranked_in_python() -> None:
    one, other = data(), data(seed=1)
    runs = [trained("vae", rows, epochs=1) for rows in (one, other)]
    how: dict[str, Any] = {"names": ["a", "b"], "samples": 3}
    with pytest.raises(
        UserError, match=r"their setting seed differs: a \(0\); b \(1\); test rows of one may have trained"
    ):
        compare(runs, one.test, **how)
    with pytest.raises(UserError, match="setting seed and test rows differ"):
        compare(runs, one.test, data=[one, other], **how)
    with pytest.raises(UserError, match="not the first ones of any split of toy"):
        compare(runs, other.test, data=[one, other], **how)


def test_other_shares_are_ranked_where_the_rows_are_seen_to_be_the_test_rows_of_all() -> None:
    split = ["train"] * 50 + ["validation"] * 10 + ["test"] * 30
    less = split[:40] + ["validation"] * 10 + split[50:]
    one, other = (data(test=None, split=said) for said in (split, less))
    runs = [trained("vae", rows, epochs=1) for rows in (one, other)]
    how: dict[str, Any] = {"names": ["a", "b"], "samples": 3}
    with pytest.raises(UserError, match="their setting counts differs"):
        compare(runs, one.test, **how)
    for rows in (one.test, limited(one.test, 7), one.test.x()):
        assert len(compare(runs, rows, data=[one, other], **how).lines) == 2
    with pytest.raises(UserError, match="train rows differ"):
        compare(runs, one.train, data=[one, other], **how)


def test_divisions_are_told_by_their_fingerprints(runs: dict[str, Run]) -> None:
    """Of one array divided by two others of as many rows each; and one division that was asked for in other words."""
    one = runs["vae-0"].info["data"]
    rows = data().test
    check_division({"a": one, "b": one | {"held_out": 0.1}}, rows)
    with pytest.raises(UserError, match=r"their division differs: a \(\w{8}\); b \(ffffffff\); test rows of one may"):
        check_division({"a": one, "b": one | {"division": "f" * 64}}, rows)
    old = {key: value for key, value in one.items() if key != "division"}
    check_division({"a": one, "b": old}, rows)
    with pytest.raises(UserError, match="their setting held_out differs"):
        check_division({"a": one, "b": old | {"held_out": 0.1}}, rows)


def test_limited_rows_are_drawn_once_as_an_evaluation_draws_them() -> None:
    """Dynamic pixels, with labels and holes: what the page shows is what was evaluated."""
    grey = np.random.default_rng(0).random((60, 1, 4, 4)).astype(np.float32)
    dynamic = from_array(grey, protocol="dynamic", labels=np.arange(60) % 3, name="pixels").train
    few = limited(dynamic, 9)
    assert torch.equal(few.x(), batch_of(dynamic, slice(0, 9)).x)
    assert torch.equal(few.x(slice(2, 5)), few.x()[2:5])
    assert few.labels is not None
    assert dynamic.labels is not None
    assert few.labels.equal(dynamic.labels[:9])
    holes = X.copy()
    holes[::2, 1] = np.nan
    rows = from_array(holes, name="holes").train
    before, after = batch_of(rows, slice(0, 5)), limited(rows, 5).batch()
    assert before.observed is not None
    assert after.observed is not None
    assert torch.equal(before.observed, after.observed)
    assert torch.equal(before.x, after.x)
