"""Sequences from the command line: files of text, tables and arrays, in and out, and what is said when something is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from command_line import refused, run
from logpx.data import language, load

TINY = "--width 8 --latent 2 --epochs 1 --batch-size 32 --quiet --evidence-samples 2"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x, _ = language.sentences(80, 0, places=4)
    np.save("tokens.npy", x)
    Path("words.txt").write_text("".join(" ".join(f"w{c}" for c in row if c >= 0) + "\n" for row in x))
    lines = [",".join("" if c < 0 else f"w{c}" for c in row) for row in x]
    Path("table.csv").write_text("\n".join(["a,b,c,d", *lines]) + "\n")
    return tmp_path


def test_text_in_and_text_out(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train sequence_vae words.txt {TINY} --out run") == 0
    page = Path("run/report.html").read_text()
    assert "come back whole" in page
    assert "tokens long on average" in page
    assert load("words.txt").test.x()[:1].shape == (1, 4)
    capsys.readouterr()
    assert run("sample run -n 9") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "9 draws x ~ p(x|z) with z ~ p(z): run/samples.txt"
    written = Path("run/samples.txt").read_text().splitlines()
    assert len(written) == 9
    assert [line.strip() for line in said[1:]] == written[:5]
    assert set(" ".join(written).split()) <= {f"w{c}" for c in range(8)}
    # the same draws in the other two forms, each as files of that form are read
    assert run("sample run -n 9 --out s.csv") == run("sample run -n 9 --out s.npy") == 0
    cells = [row.split(",") for row in Path("s.csv").read_text().splitlines()[1:]]
    assert [" ".join(cell for cell in row if cell) for row in cells] == written
    codes = np.load("s.npy")
    assert [" ".join(f"w{c}" for c in row if c >= 0) for row in codes] == written
    assert run("evaluate run words.txt --samples 2") == 0
    assert "a log-probability" in capsys.readouterr().out
    assert run("evaluate run table.csv --samples 2") == run("evaluate run --samples 2") == 0
    Path("long.txt").write_text("w1 w2 w3 w4 w5\nw1\n")
    assert "a sequence of 5 tokens at row 0" in refused("evaluate run long.txt", capsys)
    Path("odd.txt").write_text("w1 q\n")
    assert "a token that the run's data do not have" in refused("evaluate run odd.txt", capsys)
    assert "no pictures" in refused("sample run --out s.png", capsys)


def test_arrays_and_tables_are_read_as_sequences_without_being_told(place: Path, capsys: pytest.CaptureFixture) -> None:
    for source in ("tokens.npy", "table.csv"):
        assert (
            run(f"train sequence_vae {source} {TINY} --no-report --out {source}.run --decoder transformer --heads 2")
            == 0
        )
        about = json.loads(Path(f"{source}.run/run.json").read_text())["data"]
        assert (about["kind"], about["levels"], about["shape"]) == ("sequence", 9, [4])
    assert run("sample tokens.npy.run -n 3") == 0
    assert all(token.isdigit() for token in Path("tokens.npy.run/samples.txt").read_text().split())


def test_other_data_and_other_recipes_are_refused_in_a_sentence(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert "take the recipe sequence_vae" in refused("train vae words.txt --latent 2 --quiet --no-report", capsys)
    assert "needs (N, T)" in refused("train sequence_vae mnist --quiet", capsys)
    np.save("real.npy", np.random.RandomState(0).randn(9, 2))
    assert "tokens are whole numbers from 0" in refused("train sequence_vae real.npy --quiet", capsys)
    assert "needs rows of tokens" in refused("train sequence_vae real.npy --kind real --quiet", capsys)
    Path("x.csv").write_text("a,b\n1.5,2\n2.5,1\n")
    assert "tokens are whole numbers" in refused("train sequence_vae x.csv --quiet", capsys)
    assert "word_dropout" in refused("train sequence_vae words.txt --word-dropout 2 --quiet", capsys)
