"""`logpx evaluate RUN --representation`: factors, labels, and what has neither."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow.csv import write_csv

from command_line import refused, run
from logpx import cli

TINY = "--hidden 8 --epochs 1 --quiet --no-report --evidence-samples 1"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x = np.random.RandomState(0).randn(60, 3)
    rows = "".join(f"{a},{b},{c},{'high' if a > 0 else 'low'}\n" for a, b, c in x)
    Path("named.csv").write_text("a,b,c,side\n" + rows)
    return tmp_path


def test_sprites_from_training_to_scores(place, capsys):
    assert run(f"train vae sprites --latent 3 --test 9900 --held-out 100 {TINY} --out run") == 0
    capsys.readouterr()
    assert run("evaluate run --representation --limit 150 --json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["data"] == "sprites"
    assert told["factors"] == ["shape", "scale", "orientation", "x", "y"]
    assert (told["rows"], told["test_rows"], told["split"]) == (150, 150, "test")
    assert {"mig", "mig of q", "sap", "modularity", "factor_vae", "beta_vae"} < told["scores"].keys()
    assert all(0 <= score["value"] <= 1 for score in told["scores"].values())
    assert len(told["probes"]) == 10


def test_columns_of_a_table_are_factors(place, capsys):
    """Dropped ones too, and in the order of the rows: each is read from a code that holds it."""
    random = np.random.RandomState(0)
    size, shape = random.randint(0, 4, 400), random.randint(0, 2, 400)
    x = np.stack([size * 2.0, shape * 9.0], 1) + 0.01 * random.randn(400, 2)
    table = pa.table(
        {"id": range(400), "a": x[:, 0], "b": x[:, 1], "my, size": size, "shape": np.array(["disk", "rod"])[shape]}
    )
    write_csv(table, "t.csv")
    line = "train linear_ae t.csv --latent 2 --epochs 60 --learning-rate 0.03 --quiet --no-report --out run --drop"
    assert cli.run([*line.split(), "id,my, size,shape"]) == 0
    capsys.readouterr()
    assert (
        cli.run(["evaluate", "run", "--representation", "--factors", "my, size,shape", "--limit", "150", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["factors"] == ["my, size", "shape"]
    assert {"mig", "dci completeness", "beta_vae"} < told["scores"].keys()
    best = {p["target"]: p["value"] for p in told["probes"] if p["reader"] == "linear"}
    assert min(best.values()) > 0.95
    assert "no column 'form'" in refused("evaluate run --representation --factors form", capsys)
    assert "hardly one twice" in refused("evaluate run --representation --factors id", capsys)
    assert "ask for both" in refused("evaluate run --factors shape", capsys)


def test_factors_are_columns_of_a_table(place, capsys):
    assert run(f"train vae digits --latent 2 {TINY} --out run") == 0
    assert "digits is none" in refused("evaluate run --representation --factors shape", capsys)


def test_labels_in_words_and_what_is_refused(place, capsys):
    assert run(f"train vae named.csv --label side --latent 2 --test 20 {TINY} --out run") == 0
    assert run(f"train vae named.csv --drop side --latent 2 {TINY} --out bare") == 0
    capsys.readouterr()
    assert run("evaluate run --representation") == 0
    out = capsys.readouterr().out
    assert "posterior means, 2 numbers a row" in out
    assert "scored on 20 test rows" in out
    assert out.count("accuracy") == 2
    assert "by factors" not in out
    assert "Nothing is known" in refused("evaluate bare --representation", capsys)
    assert "leave out DATA and --split" in refused("evaluate run named.csv --representation", capsys)
    assert "leave out DATA and --split" in refused("evaluate run --split train --representation", capsys)
