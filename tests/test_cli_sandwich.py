"""`logpx evaluate --sandwich`: from both sides, in words, as JSON, kept for the report."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import refused, run
from logpx.cli import runs
from logpx.evaluate import Evidence
from logpx.train import kept

TINY = "--hidden 8 --epochs 2 --no-report --quiet"
SHORT = "--sandwich --temperatures 2 --samples 30 --limit 4"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savetxt("real.csv", np.random.default_rng(0).normal(size=(60, 4)), delimiter=",", header="a,b,c,d", comments="")
    assert run(f"train vae real.csv --latent 2 {TINY} --out run") == 0
    capsys.readouterr()
    return tmp_path


def test_in_words_and_kept_for_the_report(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"evaluate run {SHORT}") == 0
    out = capsys.readouterr().out
    assert "from both sides, the first 4 rows:" in out
    assert "AIS_2,16 = -" in out
    assert "AIS_2,16 - L_30 = " in out
    assert "CUBO_2,30 = -" in out
    assert "<= log p(x) <=" in out
    assert "bits/dim" not in out  # columns of a table are no dimensions alike
    found = kept.kept_evaluation(Path("run"))
    assert found
    assert found["split"] == "test"
    assert len(found["sandwich"]["gaps"]) == 4
    assert run("report run --samples 30") == 0
    assert "Evidence from both sides" in Path("run/report.html").read_text()


def test_as_json(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"evaluate run {SHORT} --json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert {"kind", "value", "standard_error", "ess", "khat", "bits_per_dim", "curve", "doubt"} <= found.keys()
    both = found["sandwich"]
    assert both["rows"] == 4
    assert both["lower"]["kind"] == "lower bound"
    assert both["upper"]["kind"] == "upper bound in the limit of many samples"
    assert both["rise"] == pytest.approx(both["lower"]["value"] - both["evidence"]["value"])
    assert both["upper"]["value"] >= both["evidence"]["value"]  # the same draws of the same rows
    assert both["simulated"]["gap"] == pytest.approx(both["simulated"]["upper"] - both["simulated"]["lower"])
    assert run("evaluate run --samples 5 --json") == 0
    assert "sandwich" not in json.loads(capsys.readouterr().out)


def test_other_rows_are_evaluated_and_not_kept(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"evaluate run real.csv {SHORT}") == 0
    assert "from both sides" in capsys.readouterr().out
    assert not Path("run/evaluation.json").exists()


def test_what_was_found_with_other_weights_is_forgotten(place: Path) -> None:
    folder = Path("run")
    assert kept.kept_evaluation(folder) is None
    assert kept.kept_evaluation(None) is None
    path = kept.keep_evaluation(folder, {"sandwich": 1})
    assert (kept.kept_evaluation(folder) or {})["sandwich"] == 1
    text = path.read_text()
    for damaged in ("", "[]", "{}", text[:-5]):
        path.write_text(damaged)
        assert kept.kept_evaluation(folder) is None
    path.write_text(text)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert kept.kept_evaluation(folder) is None


def test_a_model_that_knows_p_of_x_needs_no_sandwich(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("train ppca real.csv --latent 1 --no-report --quiet --out exact") == 0
    assert "knows p(x) exactly" in refused("evaluate exact --sandwich", capsys)


def test_weights_that_are_too_uneven_are_said_below_the_number(capsys: pytest.CaptureFixture) -> None:
    few = Evidence(torch.zeros(5), "lower bound", 3, 100, torch.full((5,), 2.0), torch.full((5,), 0.9))
    runs._say_how_good(few)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].strip() == few.doubt
    runs._say_how_good(replace(few, ess=torch.full((5,), 80.0), khat=torch.full((5,), 0.1)))
    assert len(capsys.readouterr().out.splitlines()) == 2
