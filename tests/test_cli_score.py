"""`logpx score`: one number of each kind a row, in the rows' order, whatever the pieces, kills and resumptions."""

import csv
import io
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from command_line import refused, run
from logpx import cli
from logpx.cli import streamed
from logpx.cli.blocks import Block
from logpx.data import rows_like
from logpx.evaluate import evidence
from logpx.recipes import load_run

TINY = "--hidden 8 --epochs 2 --batch-size 64 --quiet --no-report --evidence-samples 3"
NAMES = ["id", "log_px", "error", "ess", "elbo", "bits_per_dim", "typicality", "p_value"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, one of a table and one of pictures, and rows that they have not seen."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.RandomState(0)
    table = random.randn(600, 3).round(3)
    lines = [f"{a},{b},{c},key-{i}" for i, (a, b, c) in enumerate(table)]
    (home / "train.csv").write_text("\n".join(["a,b,c,key", *lines[:200]]) + "\n")
    (home / "new.csv").write_text("\n".join(["a,b,c,key", *lines[200:]]) + "\n")
    np.save(home / "pixels.npy", (random.rand(300, 5, 5) * 255).astype(np.uint8))
    assert run(f"train vae {home}/train.csv --drop key --latent 2 {TINY} --out {home}/table") == 0
    assert run(f"train vae {home}/pixels.npy --protocol grey --latent 2 {TINY} --out {home}/pictures") == 0
    return home


@pytest.fixture
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with links to what was made."""
    monkeypatch.chdir(tmp_path)
    for path in home.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def lines(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


# --- the numbers ------------------------------------------------------------------------------------------------------


def test_a_table_is_scored_row_by_row(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("score table new.csv -o scores.csv --samples 30 --seed 3 --json") == 0
    said, found = json.loads(capsys.readouterr().out), lines("scores.csv")
    assert list(found[0]) == NAMES
    assert [int(row["id"]) for row in found] == list(range(400))
    opened = load_run("table")
    truth = evidence(opened.model, rows_like("new.csv", opened.info["data"]), samples=30, seed=3)
    np.testing.assert_allclose([float(row["log_px"]) for row in found], truth.per_point, rtol=0, atol=1e-9)
    assert all(row["bits_per_dim"] == "" for row in found)  # columns of a table are no dimensions alike
    assert said["rows"] == 400
    assert said["value"] == pytest.approx(truth.mean, abs=1e-9)
    assert said["standard_error"] == pytest.approx(truth.standard_error, rel=1e-9)
    assert (said["name"], said["kind"], said["out"]) == ("L_30", "lower bound", "scores.csv")
    p = np.array([float(row["p_value"]) for row in found])
    assert said["p_value_below_0.05"] == (p <= 0.05).sum()
    assert said["ess_below_10"] == (truth.ess < 10).sum()
    entropy = said["entropy"]
    np.testing.assert_allclose([float(row["typicality"]) for row in found], np.abs(truth.per_point.numpy() + entropy))
    assert sorted(path.name for path in Path().glob("*scores*")) == ["scores.csv"]


def test_pictures_have_bits_and_every_file_says_the_same(place: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        assert run(f"score pictures pixels.npy -o s.{suffix} --samples 5 --regret --steps 3") == 0
    table = parquet.read_table("s.parquet")
    assert table.column_names == [*NAMES, "regret"]
    rows = table.to_pylist()
    assert rows == [json.loads(line) for line in Path("s.jsonl").read_text().splitlines()]
    assert rows == [{k: int(v) if k == "id" else float(v) for k, v in row.items()} for row in lines("s.csv")]
    assert rows[7]["bits_per_dim"] == pytest.approx(-rows[7]["log_px"] / (25 * np.log(2)))


def test_an_exact_model_has_no_error_and_no_draws(place: Path) -> None:
    assert run(f"train ppca train.csv --drop key --latent 1 {TINY.replace('--hidden 8', '')} --out exact") == 0
    assert run("score exact new.csv -o s.parquet --samples 2") == 0
    found = parquet.read_table("s.parquet").to_pydict()
    assert set(found["error"]) == {0.0}
    assert set(found["ess"]) == {None}
    np.testing.assert_allclose(found["elbo"], found["log_px"], atol=1e-4)


def test_a_cell_too_far_for_any_number_costs_its_own_row_alone(place: Path, capsys: pytest.CaptureFixture) -> None:
    cells = Path("new.csv").read_text().splitlines()
    cells[8] = "0.1,1e20,-0.3,far"
    Path("far.csv").write_text("\n".join(cells) + "\n")
    line = "score table {}.csv -o {} --samples 30 --why --top 1"
    assert run(line.format("new", "near.csv")) == 0
    capsys.readouterr()
    assert run(line.format("far", "far-s.csv") + " --regret --steps 2 --json") == 0
    out, err = capsys.readouterr()
    said, found, near = json.loads(out), lines("far-s.csv"), lines("near.csv")
    assert "log p(x) of 1 of the 400 rows is -inf" in err
    assert err.count("\n") == 1
    assert said["minus_infinity"] == 1
    assert (found[7]["log_px"], found[7]["typicality"], found[7]["why (code)"]) == ("-inf", "inf", "")
    assert float(found[7]["p_value"]) == 1 / (1 + said["reference_rows"])
    others = [i for i in range(400) if i != 7]
    assert all(found[i][name] == near[i][name] for i in others for name in ("log_px", "p_value", "why b"))
    assert said["value"] == pytest.approx(np.mean([float(near[i]["log_px"]) for i in others]), abs=1e-9)
    assert said["standard_error"] == pytest.approx(
        np.std([float(near[i]["log_px"]) for i in others], ddof=1) / np.sqrt(399), rel=1e-9
    )
    assert said["top"][0]["row"] == 7
    assert run(line.format("far", "s.jsonl")) == 0
    strict = [json.loads(row, parse_constant=pytest.fail) for row in Path("s.jsonl").read_text().splitlines()]
    assert strict[7]["log_px"] is None
    assert run(line.format("far", "s.parquet")) == 0
    assert parquet.read_table("s.parquet")["log_px"][7].as_py() == -np.inf


def test_rows_that_all_lie_too_far_have_no_mean(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("far.csv").write_text("a,b,c,key\n1e20,0,0,x\n0,1e20,0,y\n")
    assert run("score table far.csv -o s.csv --samples 3 --json") == 0
    assert json.loads(capsys.readouterr().out)["value"] is None
    assert run("score table far.csv -o s.csv --samples 3 --force") == 0
    assert "mean L_3 = -inf nats per data point" in capsys.readouterr().out


def test_the_rows_that_told_what_is_typical_are_named(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae train.csv --drop key --latent 2 --held-out 0 --test 0 {TINY} --out none-out") == 0
    for folder, more, reference, shown in (
        ("table", "", "held-out rows", "20 held-out rows"),
        ("none-out", "", "training rows", "200 training rows"),
        ("none-out", "--reference new.csv", "new.csv", "400 rows of new.csv"),
    ):
        capsys.readouterr()
        assert run(f"score {folder} new.csv -o s.csv --samples 3 --force {more} --json") == 0
        out, err = capsys.readouterr()
        assert json.loads(out)["reference"] == reference
        assert ("told by training rows" in err) == (reference == "training rows")
        assert run(f"score {folder} new.csv -o s.csv --samples 3 --force {more}") == 0
        assert shown in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a\rb", "\r", 'x,"y"\nz', "c\r\nd"])
def test_an_id_of_any_characters_is_read_back(place: Path, name: str) -> None:
    cells = Path("new.csv").read_text().splitlines()[:3]
    with Path("ids.csv").open("w", newline="") as file:
        rows = csv.writer(file, quoting=csv.QUOTE_ALL)
        rows.writerows([*(line.split(",") for line in cells), ["0", "0", "0", name]])
    assert run("score table ids.csv -o s.csv --samples 3 --id key") == 0
    found = lines("s.csv")
    assert len(found) == 3
    assert found[2]["id"] == name
    assert found[0]["id"] == cells[1].split(",")[3]
    assert b"\r\n" not in Path("s.csv").read_bytes().replace(name.encode(), b"")


def test_other_rows_may_tell_what_is_typical(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("score table new.csv -o a.csv --samples 5 --reference new.csv --reference-rows 50 --json") == 0
    said, found = json.loads(capsys.readouterr().out), lines("a.csv")
    assert said["reference_rows"] == 50
    assert said["ess_below_10"] is None  # of five draws none can be more
    assert said["entropy"] == pytest.approx(-np.mean([float(row["log_px"]) for row in found[:50]]), abs=1e-9)


def test_the_most_atypical_rows_are_printed(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("score table new.csv -o a.csv --samples 5 --id key --top 3 --json") == 0
    top, found = json.loads(capsys.readouterr().out)["top"], lines("a.csv")
    best = sorted(found, key=lambda row: -float(row["typicality"]))[:3]
    assert [row["id"] for row in top] == [row["id"] for row in best]
    assert [found[row["row"]]["id"] for row in top] == [row["id"] for row in top]
    assert run("score table new.csv -o b.csv --samples 5 --id key --top 2 --by log_px") == 0
    said = capsys.readouterr().out
    worst = sorted(found, key=lambda row: float(row["log_px"]))[:2]
    assert [line.split()[0] for line in said.splitlines() if "key-" in line] == [row["id"] for row in worst]


def test_why_a_row_is_unusual_is_said_column_by_column(place: Path, capsys: pytest.CaptureFixture) -> None:
    cells = Path("new.csv").read_text().splitlines()
    cells[8] = "0.1,40.0,-0.3,odd"
    cells[9] = "0.1,,-0.3,gap"
    Path("odd.csv").write_text("\n".join(cells) + "\n")
    line = "score table odd.csv -o w.csv --samples 20 --id key --why"
    assert run(f"{line} --top 1 --json") == 0
    said, found = json.loads(capsys.readouterr().out), lines("w.csv")
    shares = [f"why {name}" for name in ("a", "b", "c", "(code)")]
    assert list(found[0]) == [*NAMES, *shares]
    for row in found[:7]:  # above what is usual: all together log p(x) above the mean of the reference
        total = sum(float(row[name]) for name in shares)
        assert total == pytest.approx(-float(row["log_px"]) - said["entropy"], abs=1e-6)
    assert max(shares, key=lambda name: float(found[7][name])) == "why b"
    assert found[8]["why b"] == ""
    assert said["top"][0]["id"] == "odd"
    assert run(f"{line} --top 2 --force") == 0
    out = capsys.readouterr().out
    assert "why" in next(row for row in out.splitlines() if row.strip().startswith("id"))
    assert " b +" in next(row for row in out.splitlines() if row.strip().startswith("odd"))
    assert run(f"{line.replace('w.csv', 'x.csv')} --rows 128") == 0
    assert Path("x.csv").read_bytes() == Path("w.csv").read_bytes()


# --- ids and order ----------------------------------------------------------------------------------------------------


def test_a_column_names_the_rows_and_their_order_is_kept(place: Path) -> None:
    rows = Path("new.csv").read_text().splitlines()
    shuffled = [rows[0], *np.random.RandomState(1).permutation(rows[1:]).tolist()]
    Path("shuffled.csv").write_text("\n".join(shuffled) + "\n")
    for name in ("new", "shuffled"):
        assert run(f"score table {name}.csv -o {name}-s.csv --samples 300 --id key --rows 1") == 0
    a, b = lines("new-s.csv"), lines("shuffled-s.csv")
    assert [row["id"] for row in b] == [line.rsplit(",", 1)[1] for line in shuffled[1:]]
    of = {row["id"]: float(row["log_px"]) for row in a}
    apart = np.array([float(row["log_px"]) - of[row["id"]] for row in b])
    assert np.abs(apart).max() < 1  # other noise, for a row's depends on its place, and the same row


@pytest.mark.parametrize("verb", ["score pictures {} --reference {} --force -o s.csv", "evaluate pictures {}"])
def test_the_run_s_own_protocol_may_be_named_and_no_other(
    place: Path, capsys: pytest.CaptureFixture, verb: str
) -> None:
    told = []
    for source in ("pixels.npy", "pixels.npy:grey"):
        assert run(verb.format(source, source) + " --samples 3 --json") == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "the run read its data by 'grey'" in refused(verb.format("pixels.npy:dynamic", "pixels.npy"), capsys)


# --- pieces, kills and resumption -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_size_of_the_pieces_leaves_no_trace(place: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "ROWS", 150)  # a file's blocks, too, are not the pieces
    for rows in (1, 256, 10_000):
        assert run(f"score table new.csv -o s{rows}.{suffix} --samples 5 --id key --rows {rows}") == 0
    whole = Path(f"s10000.{suffix}").read_bytes()
    assert Path(f"s1.{suffix}").read_bytes() == whole
    assert Path(f"s256.{suffix}").read_bytes() == whole


@pytest.mark.parametrize("recipe", ["vae", "conditional_vae"])
def test_gaps_texts_and_conditions_are_scored_alike_in_any_pieces(place: Path, recipe: str) -> None:
    """The second tile alone has gaps, so that the pieces differ in what they hold."""
    cells = [
        f"{i % 7 / 3 if i < 130 or i % 3 else ''},{['Rome', 'Oslo'][i % 2]},{i % 5},{'ab'[i // 2 % 2]}"
        for i in range(300)
    ]
    Path("t.csv").write_text("\n".join(["age,city,visits,kind", *cells]) + "\n")
    context = "--label kind --context label" if recipe == "conditional_vae" else ""
    assert run(f"train {recipe} t.csv --latent 2 {context} {TINY} --out of-{recipe}") == 0
    for rows in (1, 1000):
        assert run(f"score of-{recipe} t.csv -o {rows}.csv --samples 10 --rows {rows} --id kind") == 0
    assert Path("1.csv").read_bytes() == Path("1000.csv").read_bytes()
    opened = load_run(f"of-{recipe}")
    truth = evidence(opened.model, rows_like("t.csv", opened.info["data"]), samples=10)
    np.testing.assert_allclose([float(row["log_px"]) for row in lines("1.csv")], truth.per_point, rtol=0, atol=1e-4)
    assert {row["id"] for row in lines("1.csv")} == {"a", "b"}


class Killed(BaseException):
    """As if the machine had stopped."""


def stop_after(pieces: int, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] = Killed) -> Any:
    """Lets so many pieces be saved, and no more."""
    saved, add = [], streamed.Part.add

    def some(part: streamed.Part, block: Block) -> None:
        if len(saved) == pieces:
            (part.path / ".rows-000000000000256.safetensors.x1").write_bytes(b"half a piece")
            raise error
        saved.append(block)
        add(part, block)

    monkeypatch.setattr(streamed.Part, "add", some)
    return saved


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_killed_run_goes_on_to_the_same_bytes(place: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "score table new.csv -o {} --samples 5 --id key --rows 128 --regret --steps 2"
    assert run(line.format(f"whole.{suffix}")) == 0
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        with pytest.raises(Killed):
            cli.run(line.format(f"s.{suffix}").split())
    assert not Path(f"s.{suffix}").exists()
    assert Path(f"s.{suffix}.part").is_dir()
    with monkeypatch.context() as patched:
        saved = stop_after(99, patched)
        assert run(line.format(f"s.{suffix}") + " --resume") == 0
    assert [block.first for block in saved] == [256, 384]  # nothing is done twice
    assert Path(f"s.{suffix}").read_bytes() == Path(f"whole.{suffix}").read_bytes()
    assert not Path(f"s.{suffix}.part").exists()


def test_a_kill_while_the_folder_is_made_or_removed_is_in_nobody_s_way(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, save, remove = "score table new.csv -o s.csv --samples 2 --rows 128", streamed.state.save, shutil.rmtree

    def killed_as_begun(path: Path, tree: dict[str, Any]) -> None:
        if path.name == "begun.safetensors":
            (path.parent / f".{path.name}.x1").write_bytes(b"half")
            raise Killed
        save(path, tree)

    def killed_in_the_middle(path: Path, **how: Any) -> None:
        if next(Path(path).glob("rows-*"), None) is None:
            return remove(path, **how)
        (Path(path) / "begun.safetensors").unlink()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(streamed.state, "save", killed_as_begun)
        with pytest.raises(Killed):
            cli.run(line.split())
    assert not Path("s.csv.part").exists()
    with monkeypatch.context() as patched:
        patched.setattr(streamed.shutil, "rmtree", killed_in_the_middle)
        with pytest.raises(Killed):
            cli.run(line.split())
    assert not Path("s.csv.part").exists()
    assert len(lines("s.csv")) == 400
    assert run(f"{line} --force") == 0
    assert sorted(path.name for path in Path().glob("*s.csv*")) == ["s.csv"]
    assert sorted(path.name for path in Path().glob(".*s.csv*")) == []


def test_a_folder_of_another_s_beside_the_file_is_not_removed(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path(".s.csv.part.new").mkdir()
    Path(".s.csv.part.new/mine.txt").write_text("mine")
    assert "not of ours" in refused("score table new.csv -o s.csv --samples 2", capsys)
    assert Path(".s.csv.part.new/mine.txt").read_text() == "mine"


def test_a_file_s_name_may_be_no_utf_8(place: Path) -> None:
    Path("folder").mkdir()
    x = np.load("pixels.npy")
    for i, name in enumerate((b"folder/\xff.png", b"folder/c.png")):
        Image.fromarray(x[i]).save(file := io.BytesIO(), "PNG")
        Path(os.fsdecode(name)).write_bytes(file.getvalue())
    for suffix in ("csv", "jsonl", "parquet"):
        assert run(f"score pictures folder -o s.{suffix} --samples 2") == 0
    assert [row["id"] for row in lines("s.csv")] == ["c.png", r"\xff.png"]
    assert parquet.read_table("s.parquet")["id"].to_pylist() == ["c.png", r"\xff.png"]


def test_it_may_go_on_with_pieces_of_another_size_or_nothing_left(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "score pictures pixels.npy --samples 5"
    assert run(f"{line} -o whole.csv") == 0
    for kept in (1, 3):
        with monkeypatch.context() as patched:
            if kept == 3:  # all pieces, but no file
                patched.setattr(streamed.Part, "finish", lambda *_: (_ for _ in ()).throw(Killed()))
            else:
                stop_after(kept, patched)
            with pytest.raises(Killed):
                cli.run(f"{line} -o s{kept}.csv --rows 128".split())
        assert run(f"{line} -o s{kept}.csv --rows 256 --resume") == 0
        assert Path(f"s{kept}.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_ctrl_c_says_how_to_go_on(place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(1, monkeypatch, KeyboardInterrupt)
    assert run("score table new.csv -o s.csv --samples 5 --rows 128") == 130
    err = capsys.readouterr().err
    assert "128 rows are kept in s.csv.part" in err
    assert "--resume" in err


def test_resuming_nothing_begins(place: Path) -> None:
    assert run("score table new.csv -o s.csv --samples 2 --resume") == 0
    assert len(lines("s.csv")) == 400


# --- memory -----------------------------------------------------------------------------------------------------------


def anonymous() -> float:
    """Megabytes that are this process's own: pages of mapped files are not."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the rows, which as numbers are 72 MB more, take no 36 MB more at any moment; pieces are of 1 MB."""
    monkeypatch.setattr("logpx.data.base.CHUNK_BYTES", 2**18)  # less than the smaller file
    random = np.random.RandomState(0)
    for n in (800, 8000):
        np.save(f"x{n}.npy", random.randint(0, 256, (n, 50, 50)).astype(np.uint8))
    assert run(f"train vae x800.npy --protocol threshold --latent 2 {TINY} --out big") == 0
    peaks = {}
    for n in (800, 8000):
        seen, done = [anonymous()], threading.Event()

        def watch(seen: list[float], done: threading.Event) -> None:
            while not done.is_set():
                seen.append(anonymous())
                time.sleep(0.005)

        thread = threading.Thread(target=watch, args=(seen, done))
        thread.start()
        assert run(f"score big x{n}.npy -o s{n}.csv --samples 1 --rows 104 --reference-rows 10 --memory 8") == 0
        done.set()
        thread.join()
        peaks[n] = max(seen)
    assert len(lines("s8000.csv")) == 8000
    assert peaks[8000] - peaks[800] < 36, peaks


# --- what is refused --------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten(place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("s.csv").write_text("mine")
    line = "score table new.csv -o s.csv --samples 2"
    for more in ("", " --resume"):
        assert "s.csv exists: replace it with --force" in refused(line + more, capsys)
    assert Path("s.csv").read_text() == "mine"
    assert run(f"{line} --force") == 0
    Path("s.csv").unlink()
    with monkeypatch.context() as patched:
        stop_after(1, patched)
        with pytest.raises(Killed):
            cli.run(f"{line} --rows 128".split())
    assert "not finished: go on with --resume, or anew with --force" in refused(line, capsys)
    assert "begun with another samples (2, and now 3)" in refused(
        "score table new.csv -o s.csv --samples 3 --resume", capsys
    )
    assert "begun with another data" in refused("score table train.csv -o s.csv --samples 2 --resume", capsys)
    assert run(f"{line} --force") == 0
    assert not Path("s.csv.part").exists()
    held = Path("train.csv").read_bytes()
    assert "holds the data that were read" in refused("score table train.csv -o train.csv --samples 2 --force", capsys)
    assert Path("train.csv").read_bytes() == held
    Path("t.csv.part").mkdir()
    assert "not of ours" in refused("score table new.csv -o t.csv --samples 2 --force", capsys)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("score table new.csv -o s.txt", "scores are written as .parquet, .csv, .jsonl"),
        ("score table new.csv -o nowhere/s.csv", "no folder nowhere"),
        ("score table none.csv -o s.csv", "no file or folder none.csv"),
        ("score table pixels.npy -o s.csv", "have shape"),
        ("score table new.csv -o s.csv --id nobody", "no column 'nobody' for --id"),
        ("score pictures pixels.npy -o s.csv --id key", "is no table"),
        ("score table new.csv -o s.csv --by regret", "needs --regret"),
        ("score nothing new.csv -o s.csv", "no run folder nothing"),
        ("score pictures pixels.npy -o s.csv --why", "these data are none"),
    ],
)
def test_one_sentence_and_no_file(place: Path, capsys: pytest.CaptureFixture, line: str, match: str) -> None:
    before = sorted(path.name for path in place.iterdir())
    assert match in refused(line, capsys)
    assert sorted(path.name for path in place.iterdir()) == before


def test_a_broken_row_is_named_and_what_was_done_before_it_stays(place: Path, capsys: pytest.CaptureFixture) -> None:
    rows = Path("new.csv").read_text().splitlines()
    rows[301] = "inf,0,0,x"
    Path("broken.csv").write_text("\n".join(rows) + "\n")
    assert "row 300 (counted from 0)" in refused("score table broken.csv -o s.csv --samples 2 --rows 128", capsys)
    assert streamed.Part(Path("s.csv"), "scores", []).done == 256
    rows = Path("new.csv").read_text().splitlines()
    rows[1] = "1,2,3"
    Path("ragged.csv").write_text("\n".join(rows) + "\n")
    assert "got 3" in refused("score table ragged.csv -o t.csv --samples 2", capsys)
    assert not Path("t.csv.part").exists()


def test_without_a_density_there_is_nothing_to_score(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train ae pixels.npy --protocol grey --latent 2 {TINY} --out codes") == 0
    assert "says nothing of log p(x)" in refused("score codes pixels.npy -o s.csv", capsys)


def test_a_run_whose_data_are_gone_asks_for_a_reference(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("moved.csv").write_text(Path("train.csv").read_text())
    assert run(f"train vae moved.csv --drop key --latent 2 {TINY} --out orphan") == 0
    Path("moved.csv").unlink()
    assert "--reference" in refused("score orphan new.csv -o s.csv --samples 2", capsys)
    assert run("score orphan new.csv -o s.csv --samples 2 --reference train.csv") == 0
