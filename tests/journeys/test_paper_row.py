"""A paper's table row from the command line alone: three recipes trained on one protocol, compared on the same test rows.

The row is that of Burda et al. (2016, table 1) and Tomczak & Welling (2018, table 1): VAE, IWAE and VampPrior on dynamically
binarised digits. The digits, networks and training are small ones here; docs/compare.md has the commands of full size.
"""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from logpx import cli

ROOT = Path(__file__).parents[2]
ROWS = "digits --protocol dynamic"
SMALL = "--latent 10 --hidden 64 --epochs 25 --learning-rate 0.003 --schedule cosine --quiet --no-report --evidence-samples 1"
ON = "--samples 100 --limit 150 --seed 5"
RECIPES = {"vae": "", "iwae": "--samples 5", "vamp_vae": "--pseudo-inputs 50"}


def run(line: str) -> int:
    return cli.run(shlex.split(line))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the commands are given in, with their runs."""
    folder = tmp_path_factory.mktemp("paper")
    for recipe, more in RECIPES.items():
        assert run(f"train {recipe} {ROWS} {SMALL} {more} --out {folder}/runs/{recipe}-digits") == 0
    return folder


def asked(line: str, capsys: pytest.CaptureFixture) -> dict[str, Any]:
    """The one object that a command prints."""
    capsys.readouterr()
    assert run(f"{line} --json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def compared(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> dict[str, Any]:
    monkeypatch.chdir(place)
    return asked(f"compare runs {ON} --force", capsys)


def test_the_row_is_what_each_run_says_of_itself_and_is_ranked_by_it(
    compared: dict[str, Any], capsys: pytest.CaptureFixture
) -> None:
    alone = {recipe: asked(f"evaluate runs/{recipe}-digits {ON}", capsys) for recipe in RECIPES}
    for line, one in zip(compared["lines"], compared["runs"], strict=True):
        its = alone[line["label"]]
        assert (line["value"], line["standard_error"]) == (its["value"], its["standard_error"])
        assert one["bits_per_dim"] == its["bits_per_dim"]
        assert (one["kind"], one["measure"], its["protocol"]) == ("lower bound", "log-probability", "dynamic")
    ranked = sorted(alone, key=lambda recipe: -alone[recipe]["value"])
    assert [line["label"] for line in compared["lines"]] == ranked
    assert (compared["name"], compared["rows"], compared["split"]) == ("L_100", 150, "test")
    for line in compared["lines"][1:]:
        assert line["difference"]["value"] == pytest.approx(line["value"] - compared["lines"][0]["value"], abs=1e-9)


def test_the_same_rows_tell_models_apart_that_error_bars_do_not(compared: dict[str, Any]) -> None:
    """The spread over rows is that of easy and difficult digits, and both models find the same ones difficult."""
    best, *others = compared["lines"]
    for line in others:
        assert 0 < line["difference"]["standard_error"] < best["standard_error"] / 2
        assert line["difference"]["beyond_2_errors"] == (
            abs(line["difference"]["value"]) > 2 * line["difference"]["standard_error"]
        )


def test_a_page_is_left_that_shows_them_beside_each_other(compared: dict[str, Any]) -> None:
    text = Path(compared["page"]).read_text(encoding="utf-8")
    for heading in ("Evidence", "All models", "Training", "Rate and distortion", "Reconstructions", "Samples"):
        assert f"<h2>{heading}</h2>" in text
    assert text.count("<dt>vamp_vae</dt>") == 2  # its reconstructions and its samples
    assert len(text) < 1_000_000


def test_the_docs_cite_what_was_measured_at_full_size() -> None:
    """Every figure of the row in docs/compare.md is the one in evidence/."""
    text = " ".join((ROOT / "docs" / "compare.md").read_text(encoding="utf-8").split())
    for name, its in json.loads((ROOT / "evidence" / "iwae.json").read_text())["L_5000"].items():
        units, minutes = (its["active units"][0], its["active units of the paper"]), its["minutes"][0]
        row = f"| {name} | {its['mean']:.2f} | {its['paper']:.2f} | {units[0]} | {units[1]} | {minutes:.0f} |"
        assert row in text
    gain = json.loads((ROOT / "evidence" / "vamp_vae.json").read_text())["VampPrior minus N(0, I), pair by pair"]
    assert f"gains {gain['mean']:.2f} +- {gain['standard_error']:.2f} nats over N(0, I) ({gain['n']} seeds" in text


def test_a_run_under_another_protocol_is_not_ranked_with_them(place: Path, capsys: pytest.CaptureFixture) -> None:
    grey = ROWS.replace("dynamic", "grey")
    assert run(f"train vae {grey} {SMALL} --epochs 1 --likelihood grey --out {place}/grey") == 0
    capsys.readouterr()
    assert run(f"compare {place}/runs/vae-digits {place}/grey {ON} --out {place}/other.html") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "cannot be ranked together, for their protocol, kind of numbers and levels differ" in err
    assert f"{place}/runs/vae-digits (dynamic, binary, none); {place}/grey (grey, grey, 17)" in err
    assert not (place / "other.html").exists()
