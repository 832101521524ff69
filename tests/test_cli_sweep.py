"""logpx sweep: many runs by one command, one table, one picture, and one sentence for everything that is wrong."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import refused, run
from logpx.cli import over
from logpx.cli.search import suggestions
from logpx.recipes import RECIPES, load_run
from logpx.train import loop

TINY = "--hidden 8 --epochs 2 --batch-size 16 --quiet --evidence-samples 3"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    np.savetxt("real.csv", random.randn(60, 4), delimiter=",", header="a,b,c,d", comments="")
    np.savetxt("other.csv", random.randn(60, 4), delimiter=",", header="a,b,c,d", comments="")
    return tmp_path


def swept(line: str, capsys: pytest.CaptureFixture) -> dict[str, Any]:
    assert run(f"sweep {line} --json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


BETAS = f"beta_vae real.csv --latent 2 --over beta=0.5,4 --over seed=0-1 {TINY} --out all"


def test_a_sweep_leaves_runs_a_table_and_a_picture(place: Path, capsys: pytest.CaptureFixture) -> None:
    found = swept(BETAS, capsys)
    names = {f"beta={b},seed={s}" for b in ("0.5", "4") for s in (0, 1)}
    assert {row["name"] for row in found["rows"]} == names
    assert {p.name for p in (place / "all").iterdir()} == names | {"sweep.json", "sweep.csv", "sweep.html"}
    kept = json.loads((place / "all" / "sweep.json").read_text())
    assert kept["status"] == "finished"
    assert kept["over"] == {"beta": [0.5, 4], "seed": [0, 1]}
    assert [row["name"] for row in kept["rows"]] == [row["name"] for row in found["rows"]]
    evidences = [row["evidence"] for row in kept["rows"]]
    assert evidences == sorted(evidences, reverse=True)
    lines = list(csv.DictReader((place / "all" / "sweep.csv").read_text().splitlines()))
    assert [line["name"] for line in lines] == [row["name"] for row in found["rows"]]
    page = (place / "all" / "sweep.html").read_text()
    assert page.count("<circle") == 4
    assert "ELBO" in page


def test_each_run_is_what_train_would_have_left(place: Path, capsys: pytest.CaptureFixture) -> None:
    swept(BETAS, capsys)
    assert run(f"train beta_vae real.csv --latent 2 --beta 4 --seed 1 {TINY} --no-report --out alone") == 0
    one, alone = load_run(place / "all" / "beta=4,seed=1"), load_run(place / "alone")
    assert one.info.keys() - {"at_once"} == alone.info.keys()
    for part in ("recipe", "options", "training", "settings", "data", "kl"):
        assert one.info[part] == alone.info[part]
    for mine, its in zip(one.rows, alone.rows, strict=True):
        assert mine["held_out"] == pytest.approx(its["held_out"], rel=1e-4)
    for verb in ("evaluate all/beta=4,seed=1 --samples 3", "report all/beta=4,seed=1 --samples 3"):
        assert run(verb) == 0
    assert run("doctor all/beta=4,seed=1") == 0
    assert (place / "all" / "beta=4,seed=1" / "report.html").exists()


def test_the_table_in_words(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"sweep vae real.csv --over latent=1,2 --over learning-rate=0.001,0.01 {TINY}") == 0
    out = capsys.readouterr().out.splitlines()
    assert "4 models: held-out rows, nats per data point, the best by L_3 first" in out[0]
    assert out[1].split() == ["latent", "learning_rate", "L_3", "KL", "reconstruction", "bits/dim", "active", "epoch"]
    assert len(out) == 2 + 4 + 2
    assert "logpx evaluate runs/sweep-vae-real/latent=" in out[-2]
    assert out[-1] == "page: runs/sweep-vae-real/sweep.html"
    info = json.loads((place / "runs/sweep-vae-real/latent=2,learning_rate=0.01/run.json").read_text())
    assert (info["options"]["latent"], info["training"]["learning_rate"]) == (2, 0.01)


def test_every_run_may_have_a_report(place: Path, capsys: pytest.CaptureFixture) -> None:
    swept(f"vae real.csv --latent 2 --over seed=0,1 {TINY} --report --out all", capsys)
    assert all((place / "all" / f"seed={s}" / "report.html").exists() for s in (0, 1))


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_sweep_goes_on_with_more_values(place: Path, capsys: pytest.CaptureFixture) -> None:
    first = swept(BETAS, capsys)
    before = {row["name"]: (place / "all" / row["name"] / "log.jsonl").stat().st_mtime_ns for row in first["rows"]}
    more = swept(BETAS.replace("beta=0.5,4", "beta=0.5,2,4") + " --resume", capsys)
    assert len(more["rows"]) == 6
    known = {row["name"]: row for row in more["rows"]}
    assert all(known[row["name"]] == row for row in first["rows"])
    assert all(list(load_run(place / "all" / name).rows) for name in known)
    for name in before:
        assert known[name]["seconds"] == next(r["seconds"] for r in first["rows"] if r["name"] == name)


def test_ctrl_c_says_how_to_go_on_and_that_ends_the_same(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = swept(BETAS.replace("--out all", "--out whole"), capsys)
    with monkeypatch.context() as patched:
        save, saves = loop.Loop._save, []

        def stop(self: Any) -> None:
            saves.append(1)
            if len(saves) == 6:
                raise KeyboardInterrupt
            save(self)

        patched.setattr(loop.Loop, "_save", stop)
        patched.setattr(sys, "argv", ["logpx", "sweep", *BETAS.split()])
        assert run(f"sweep {BETAS}") == 130
    said = capsys.readouterr().err
    assert said.startswith("logpx: Stopped; the finished epochs are kept, go on with 'logpx sweep beta_vae real.csv")
    assert said.rstrip().endswith("--out all --resume'.")
    assert json.loads((place / "all" / "sweep.json").read_text())["status"] == "running"
    resumed = swept(f"{BETAS} --resume", capsys)
    for row, unbroken in zip(resumed["rows"], whole["rows"], strict=True):
        assert row["name"] == unbroken["name"]
        assert row["evidence"] == pytest.approx(unbroken["evidence"], rel=1e-4)


def test_killed_in_the_middle_it_goes_on(place: Path, capsys: pytest.CaptureFixture) -> None:
    """SIGKILL once the first epochs are on disk: nothing is trained twice but the epoch in progress."""
    line = BETAS.replace("--epochs 2", "--epochs 400")
    process = subprocess.Popen([sys.executable, "-m", "logpx.cli", "sweep", *line.split()], cwd=place)
    log = place / "all" / "beta=4,seed=1" / "log.jsonl"
    try:
        until = time.monotonic() + 60
        while not (log.exists() and log.read_text().count("\n") > 2):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = log.read_text().splitlines()[:2]
    done = json.loads(kept[-1])["epoch"]
    assert done == 2
    last = max(json.loads(row)["epoch"] for row in log.read_text().splitlines() if row.endswith("}"))
    found = swept(BETAS.replace("--epochs 2", f"--epochs {last + 3}") + " --resume", capsys)
    assert log.read_text().splitlines()[:2] == kept
    assert len(log.read_text().splitlines()) == last + 3
    assert all(row["status"] == "finished" for row in found["rows"])


def test_force_replaces_the_whole_sweep(place: Path, capsys: pytest.CaptureFixture) -> None:
    swept(BETAS, capsys)
    swept(BETAS.replace("beta=0.5,4", "beta=1,4") + " --force", capsys)
    names = {p.name for p in (place / "all").iterdir() if p.is_dir()}
    assert names == {f"beta={b},seed={s}" for b in (1, 4) for s in (0, 1)}


# --- bad input --------------------------------------------------------------------------------------------------------

WRONG = {
    "": "Say what to sweep over",
    "--over beta": "no NAME=VALUE",
    "--over =1,2": "no NAME=VALUE",
    "--over gamma=1,2": "no option 'gamma' to sweep over; beta_vae has: latent, beta,",
    "--over protocol=grey,static": "no option 'protocol'",
    "--over beta=1": "one value: give several with commas between, or just --beta 1",
    "--over beta=": "one value",
    "--over seed=0-0": "one value",
    "--over beta=1,1.0,2 --over seed=0,0": "gives a value twice",
    "--over beta=1,2 --over beta=3,4": "given twice",
    "--over beta=1,2 --beta 3": "--beta 3.0 and --over beta say both",
    "--over seed=0,1 --seed 4": "--seed 4 and --over seed say both",
    "--over epochs=1,2": "--epochs 2 and --over epochs say both",
    "--over seed=a,b": "no whole number",
    "--over beta=-1,2": "The option beta of beta_vae is -1; it must be",
    "--over beta=a,b": "The option beta of beta_vae is 'a'",
    "--over latent=1.5,2": "The option latent of beta_vae is 1.5",
    "--over learning-rate=0,1": "--learning-rate is 0",
    "--over hidden=8x,4": "give widths",
    "--over beta=1,2 --held-out 0": "hold some out",
    "--over beta=1,2 --at-once 0": "--at-once",
    "--over beta=1,2 --resume": "Name its folder",
    "--over beta=1,2 --out missing --resume": "There is no sweep in missing",
    "--over beta=1,2 --out full": "full exists: resume it",
    "--over beta=1,2 --out full --force": "not the folder of a sweep",
    "--over network=mlp,conv": "network 'conv' needs images",
    "--over beta=1,2 --precision float16": "--precision",
    "--over beta=1..2": "is a range of values: say with --search 40",
    "--over beta=2..1 --search 4": "no range",
    "--over beta=0..1:log --search 4": "no range",
    "--over beta=a..b --search 4": "no range",
    "--over beta=1.. --search 4": "no range",
    "--over beta=1..inf --search 4": "no range",
    "--over beta=1..2 --search 0": "--search",
}


@pytest.mark.parametrize("options", WRONG)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    options: str, place: Path, capsys: pytest.CaptureFixture
) -> None:
    (place / "full").mkdir()
    (place / "full" / "mine.txt").write_text("mine")
    before = sorted(place.rglob("*"))
    assert WRONG[options] in refused(f"sweep beta_vae real.csv {TINY} {options}", capsys)
    assert sorted(place.rglob("*")) == before


def test_another_sweep_is_not_continued(place: Path, capsys: pytest.CaptureFixture) -> None:
    swept(BETAS, capsys)
    kept = (place / "all" / "sweep.json").read_bytes()
    for line, said in {
        BETAS.replace("real.csv", "other.csv"): "has data real",
        BETAS.replace("beta_vae", "vae").replace("beta=0.5,4", "free_bits=0.5,4"): "has recipe beta_vae",
        BETAS.replace("--hidden 8", "--hidden 9"): "started with hidden",
    }.items():
        assert said in refused(f"sweep {line} --resume", capsys)
        assert (place / "all" / "sweep.json").read_bytes() == kept


def test_when_every_model_stops_that_is_an_error(place: Path, capsys: pytest.CaptureFixture) -> None:
    said = refused(f"sweep vae real.csv --latent 2 --over seed=0,1 --learning-rate 1e12 {TINY} --out all", capsys)
    assert "Every model stopped; the first: " in said


# --- what is swept ----------------------------------------------------------------------------------------------------


def test_values_are_read_as_what_they_look_like() -> None:
    row = RECIPES["vae"]
    texts = ["latent=2,8-10", "hidden=8,16x4", "free-bits=0,0.5,1e-1", "network=mlp,conv", "schedule=cosine,constant"]
    assert over.parse(row, texts) == {
        "latent": [2, 8, 9, 10],
        "hidden": [(8,), (16, 4)],
        "free_bits": [0, 0.5, 0.1],
        "network": ["mlp", "conv"],
        "schedule": ["cosine", "constant"],
    }
    booleans = next(row for row in RECIPES.values() if any(p.annotation is bool for p in row.options.values()))
    name = next(name for name, p in booleans.options.items() if p.annotation is bool)
    assert over.parse(booleans, [f"{name}=true,False"]) == {name: [True, False]}


def test_every_combination_once_and_a_name_for_each() -> None:
    each = over.combinations({"hidden": [(8,), (16, 4)], "seed": [0, 1]})
    assert [over.name_of(its) for its in each] == [
        "hidden=8,seed=0",
        "hidden=8,seed=1",
        "hidden=16x4,seed=0",
        "hidden=16x4,seed=1",
    ]


# --- search -----------------------------------------------------------------------------------------------------------


def test_ranges_are_read_as_what_they_look_like() -> None:
    found = over.parse(
        RECIPES["vae"], ["latent=2..32", "free-bits=0..0.5", "learning-rate=1e-4..1e-2:log"], search=True
    )
    assert found == {
        "latent": over.Range(2, 32, False),
        "free_bits": over.Range(0, 0.5, False),
        "learning_rate": over.Range(1e-4, 1e-2, True),
    }
    assert [str(values) for values in found.values()] == ["2..32", "0..0.5", "0.0001..0.01:log"]


def test_without_optuna_a_search_says_what_to_install(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    before = sorted(place.rglob("*"))
    assert "pip install 'logpx[search]'" in refused(
        f"sweep beta_vae real.csv --over beta=1..2 --search 4 {TINY}", capsys
    )
    assert sorted(place.rglob("*")) == before


def test_suggestions_follow_what_was_found() -> None:
    pytest.importorskip("optuna")
    ranges: over.Values = {
        "beta": over.Range(0.1, 10.0, True),
        "latent": over.Range(2, 4, False),
        "network": ["a", "b"],
    }
    each: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    while more := suggestions(ranges, each, rows, 40, 0):
        assert len(more) == 8
        assert suggestions(ranges, each, list(reversed(rows)), 40, 0) == more  # whatever the order of the rows
        each = [*each, *more]
        rows = [{"name": over.name_of(its), "evidence": -abs(its["beta"] - 2) - abs(its["latent"] - 3)} for its in each]
    assert len(each) == len({over.name_of(its) for its in each}) == 40
    assert all(0.1 <= its["beta"] <= 10 and its["latent"] in (2, 3, 4) and its["network"] in "ab" for its in each)
    first, last = (sum(abs(its["beta"] - 2) for its in part) / 8 for part in (each[:8], each[-8:]))
    assert last < first  # it searches where it was good


def test_a_search_over_few_values_ends_with_them() -> None:
    pytest.importorskip("optuna")
    assert len(suggestions({"latent": over.Range(1, 3, False)}, [], [], 40, 0)) == 3
    tried = [{"latent": i} for i in (1, 2, 3)]
    stopped = [{"name": over.name_of(its), "status": "stopped"} for its in tried]
    assert suggestions({"latent": over.Range(1, 3, False)}, tried, stopped, 40, 0) == []


def test_a_search_goes_on(place: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("optuna")
    tiny = TINY.replace("--hidden 8 --epochs 2", "--epochs 1")
    line = f"beta_vae real.csv --latent 2 --over beta=0.1..10:log --over hidden=4,5x3 {tiny}"
    whole = swept(f"{line} --search 10 --out whole", capsys)
    assert len(whole["rows"]) == len(whole["asked"]) == 10
    assert {tuple(row["options"]["hidden"]) for row in whole["rows"]} <= {(4,), (5, 3)}
    swept(f"{line} --search 8 --out all", capsys)
    resumed = swept(f"{line} --search 10 --out all --resume", capsys)
    assert resumed["asked"] == whole["asked"]
    assert [row["name"] for row in resumed["rows"]] == [row["name"] for row in whole["rows"]]
    assert swept(f"{line} --search 10 --out all --resume", capsys)["rows"] == resumed["rows"]
    other = line.replace("0.1..10", "0.2..10")
    assert "goes over" in refused(f"sweep {other} --search 12 --out all --resume", capsys)
