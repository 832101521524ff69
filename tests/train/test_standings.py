"""How the runs of a sweep stand: what each number is, who is first, and what is not computed twice."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from logpx import recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.evaluate import evidence, expected_terms, usage
from logpx.train import Run, standings, sweep
from logpx.train.standings import COLUMNS, as_csv


def data() -> Data:
    x = torch.randn(80, 4, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, 5))
    return from_array(x.numpy(), name="toy")


OPTIONS = [{"beta": b, "hidden": h} for b in (0.5, 8.0) for h in ((8,), (6, 4))]
NAMES = ["a", "b", "c", "d"]


def swept(out: Path | None = None, **settings: Any) -> tuple[list[Run], Data]:
    rows = data()
    methods = [recipes.beta_vae(rows, latent=2, **options) for options in OPTIONS]
    how: dict[str, Any] = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01} | settings
    return sweep(methods, rows, names=NAMES, out=out, show=False, **how), rows


def of(runs: list[Run], rows: Data, **how: Any) -> list[dict[str, Any]]:
    return standings.standings(runs, rows, names=NAMES, options=OPTIONS, samples=5, **how)


def test_every_number_is_what_evaluate_says_of_the_held_out_rows() -> None:
    runs, rows = swept()
    for row in of(runs, rows):
        run = runs[NAMES.index(row["name"])]
        found = evidence(run.model, rows.held_out, samples=5)
        assert (row["evidence"], row["evidence_error"]) == (found.mean, found.standard_error)
        terms = expected_terms(run.method.objective, run.model, rows.held_out)
        assert row["kl"] + row["reconstruction"] == pytest.approx(-terms["elbo"], rel=1e-6)
        assert row["held_out_loss"] == pytest.approx(terms["loss"], rel=1e-6)
        assert row["active_units"] == usage(run.model, rows.held_out).active
        assert row["bits_per_dim"] is None  # columns are no dimensions alike
        assert row["best_epoch"] == run.best_epoch
        assert row["options"] == OPTIONS[NAMES.index(row["name"])]
        assert row["kind"] == "lower bound"
        assert row["status"] == "finished"


def test_the_best_by_evidence_is_first_whatever_was_minimised() -> None:
    found = [row["evidence"] for row in of(*swept())]
    assert found == sorted(found, reverse=True)
    losses = [row["held_out_loss"] for row in of(*swept())]
    assert losses != sorted(losses)  # of other betas another quantity


def test_the_test_rows_are_not_looked_at() -> None:
    from dataclasses import replace

    runs, rows = swept()
    blind = replace(rows, test=None)  # type: ignore[arg-type]
    assert of(runs, blind) == of(runs, rows)


def test_what_has_no_evidence_is_ordered_by_its_reconstruction() -> None:
    rows = data()
    runs = sweep([recipes.ae(rows, latent=d, hidden=(8,)) for d in (1, 3)], rows, epochs=3, batch_size=8, show=False)
    found = standings.standings(runs, rows, names=["1", "3"], options=[{"latent": 1}, {"latent": 3}])
    assert all(row["evidence"] is None and row["kl"] is None for row in found)
    assert found[0]["reconstruction"] < found[1]["reconstruction"]


def test_a_run_that_stopped_comes_last_and_says_why() -> None:
    rows = data()
    from dataclasses import replace

    methods = [recipes.beta_vae(rows, **{"latent": 2} | options) for options in OPTIONS]
    methods[0] = replace(methods[0], training=replace(methods[0].training, learning_rate=1e12))
    runs = sweep(methods, rows, names=NAMES, epochs=2, batch_size=16, show=False)
    found = of(runs, rows)
    assert found[-1]["name"] == "a"
    assert found[-1]["status"] == "stopped"
    assert "finite" in found[-1]["why"]
    assert all("why" not in row for row in found[:-1])


def test_what_is_known_of_the_same_weights_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, rows = swept(tmp_path / "all")
    first = of(runs, rows)
    asked = []
    monkeypatch.setattr(standings, "evidence", lambda *a, **k: asked.append(a) or evidence(*a, **k))
    known = {row["name"]: row for row in first}
    assert of(runs, rows, known=known) == first
    assert not asked
    more = standings.standings(runs, rows, names=NAMES, options=OPTIONS, samples=6, known=known)
    assert len(asked) == 4  # other draws
    assert {row["samples"] for row in more} == {6}
    (tmp_path / "all" / "b" / "weights.safetensors").write_bytes(b"other")
    of(runs, rows, known=known)
    assert len(asked) == 5


def test_the_table_reads_back() -> None:
    rows = of(*swept())
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert list(read[0]) == ["beta", "hidden", *COLUMNS]
    assert [float(line["evidence"]) for line in read] == [row["evidence"] for row in rows]
    assert {line["hidden"] for line in read} == {"8", "6x4"}
    assert {line["bits_per_dim"] for line in read} == {""}


def test_without_held_out_rows_nothing_can_be_compared() -> None:
    runs, _ = swept()
    with pytest.raises(UserError, match="held-out rows"):
        standings.standings(runs, from_array(data().train.x(), held_out=0, test=0), names=NAMES, options=OPTIONS)


def test_numbers_that_are_none_are_null() -> None:
    rows = data()
    one = from_array(rows.train.x()[:9].numpy(), held_out=1, test=0)
    runs = sweep([recipes.vae(one, latent=2, hidden=(4,), seed=s) for s in range(2)], one, epochs=1, show=False)
    found = standings.standings(runs, one, names=["0", "1"], options=[{"seed": 0}, {"seed": 1}], samples=2)
    assert all(row["evidence_error"] is None and row["active_units"] is None for row in found)
    assert all(math.isfinite(row["evidence"]) for row in found)
