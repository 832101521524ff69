"""`logpx encode`: the code of each row, by the machinery of `score`."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

from command_line import refused, run
from logpx import cli
from logpx.cli import streamed
from logpx.cli.blocks import Block
from logpx.data import rows_like
from logpx.model import Batch
from logpx.recipes import load_run

TINY = "--hidden 8 --epochs 1 --batch-size 64 --quiet --no-report --evidence-samples 1"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table and 700 rows with names that it has not seen."""
    home = tmp_path_factory.mktemp("home")
    table = np.random.RandomState(0).randn(900, 3).round(3)
    lines = [f"{a},{b},{c},key-{i}" for i, (a, b, c) in enumerate(table)]
    (home / "train.csv").write_text("\n".join(["a,b,c,key", *lines[:200]]) + "\n")
    (home / "new.csv").write_text("\n".join(["a,b,c,key", *lines[200:]]) + "\n")
    assert run(f"train vae {home}/train.csv --drop key --latent 2 {TINY} --out {home}/table") == 0
    assert run(f"train hyperspherical_vae {home}/train.csv --drop key --latent 2 {TINY} --out {home}/sphere") == 0
    assert run(f"train made {home}/train.csv --drop key {TINY} --out {home}/none") == 0
    return home


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with links to what was made."""
    monkeypatch.chdir(tmp_path)
    for path in home.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def truth(source: str) -> torch.distributions.Distribution:
    opened = load_run("table")
    with torch.no_grad():
        return opened.model.encode(Batch(rows_like(source, opened.info["data"]).x()))


def test_every_file_has_the_means_and_spreads_of_q(place: Path, capsys: pytest.CaptureFixture) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        assert run(f"encode table new.csv -o c.{suffix} --spread --id key --json") == 0
        said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 700
    assert said["columns"] == ["z0", "z1", "sd0", "sd1"]
    assert run("encode table new.csv -o c.npy --spread") == 0
    q, array = truth("new.csv"), np.load("c.npy")
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, torch.cat([q.mean, q.stddev], 1), rtol=1e-5, atol=1e-6)
    rows = parquet.read_table("c.parquet").to_pylist()
    assert rows == [json.loads(line) for line in Path("c.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"key-{i}" for i in range(200, 900)]
    written = np.array([[row[name] for name in said["columns"]] for row in rows], np.float32)
    assert np.array_equal(written, array)  # nine digits are enough
    with Path("c.csv").open(newline="") as file:
        assert [{k: v if k == "id" else float(v) for k, v in row.items()} for row in csv.DictReader(file)] == rows


def test_without_data_the_runs_own_rows_are_encoded(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("encode table -o c.npy") == 0
    assert np.load("c.npy").shape == (200, 2)
    assert "200 rows of train.csv: z0, z1: c.npy" in capsys.readouterr().out


def test_on_a_sphere_codes_are_unit_vectors_without_deviations(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("encode sphere new.csv -o c.npy") == 0
    np.testing.assert_allclose(np.linalg.norm(np.load("c.npy"), axis=1), 1, atol=1e-5)
    assert "no standard deviations" in refused("encode sphere new.csv -o d.npy --spread", capsys)
    assert not Path("d.npy.part").exists()


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_pieces_and_kills_leave_no_trace(place: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "ROWS", 150)
    assert run(f"encode table new.csv -o whole.{suffix}") == 0
    add, line = streamed.Part.add, f"encode table new.csv -o c.{suffix} --rows 256"

    def some(part: streamed.Part, block: Block) -> None:
        if block.first:
            raise KeyboardInterrupt
        add(part, block)

    with monkeypatch.context() as patched:
        patched.setattr(streamed.Part, "add", some)
        assert cli.run(line.split()) == 130
    assert streamed.Part(Path(f"c.{suffix}"), "codes", []).done == 256
    assert run(f"{line} --resume") == 0
    assert Path(f"c.{suffix}").read_bytes() == Path(f"whole.{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("encode table new.csv -o c.txt", "codes are written as .parquet, .csv, .jsonl, .npy"),
        ("encode table new.csv -o c.npy --id key", "holds the codes alone"),
        ("encode none new.csv -o c.csv", "no latent"),
        ("encode table train.csv -o train.csv --force", "holds the data that were read"),
        ("encode nothing -o c.csv", "no run folder nothing"),
    ],
)
def test_one_sentence_and_no_file(place: Path, capsys: pytest.CaptureFixture, line: str, match: str) -> None:
    before = sorted(path.name for path in place.iterdir())
    assert match in refused(line, capsys)
    assert sorted(path.name for path in place.iterdir()) == before
