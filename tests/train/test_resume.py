"""Resuming: whatever stopped a run, going on gives the bits and the log of the unbroken one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from logpx import cli, recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.train import Method, fit, state
from logpx.train.log import Reporter

EPOCHS = 6


def reals(n: int = 50) -> Data:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, 5))
    return from_array(x)


def images() -> Data:
    x = torch.rand(50, 5, 5, generator=torch.Generator().manual_seed(1))
    return from_array((x * 255).to(torch.uint8), protocol="dynamic")


class Interrupt(Reporter):
    """Ctrl-C at a given step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, done: int) -> None:
        if done == self.at:
            raise KeyboardInterrupt


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def log_of(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def assert_same_run(a: Path, b: Path) -> None:
    """Weights, full state, log and the traced latents: to the last bit."""
    assert log_of(a) == log_of(b)
    for name in ("weights.safetensors", "state/state.safetensors", "latents.safetensors"):
        assert (a / name).exists() == (b / name).exists()
        if (a / name).exists():
            assert (a / name).read_bytes() == (b / name).read_bytes(), name


CASES: dict[str, tuple[str, dict[str, Any], Callable[[], Data], dict[str, Any]]] = {
    "dynamic pixels": ("vae", {"latent": 3, "hidden": (8,)}, images, {}),
    "traced plane": ("vae", {"latent": 2, "hidden": (8,)}, images, {}),
    "optimal sigma": ("vae", {"latent": 2, "hidden": (8,), "sigma": "optimal"}, reals, {"learning_rate": 0.01}),
    "warm-up": ("vae", {"latent": 2, "hidden": (8,), "warmup": 13}, reals, {}),
    "cosine": ("vae", {"latent": 2, "hidden": (8,)}, reals, {"schedule": "cosine"}),
    "muon": ("vae", {"latent": 2, "hidden": (8,)}, reals, {"optimizer": "muon", "schedule": "cosine"}),
    "save every 2": ("vae", {"latent": 2, "hidden": (8,)}, reals, {"save_every": 2}),
    "float64, clip": ("vae", {"latent": 2, "hidden": (8,)}, reals, {"precision": "float64", "clip": 0.5}),
    "bfloat16": ("vae", {"latent": 2, "hidden": (8,)}, reals, {"precision": "bfloat16"}),
    "overfit": ("vae", {"latent": 2, "hidden": (16,)}, reals, {"learning_rate": 0.05}),
    "patience": ("vae", {"latent": 2, "hidden": (8,)}, reals, {"learning_rate": 0.1, "patience": 2}),
    "iwae": ("iwae", {"latent": 2, "hidden": (8,), "samples": 3}, reals, {}),
    "linear": ("linear_vae", {"latent": 2}, reals, {"learning_rate": 0.01}),
}


def build(case: str) -> tuple[Method, Data, dict[str, Any]]:
    recipe, options, data, settings = CASES[case]
    return getattr(recipes, recipe)(data(), **options), data(), {"batch_size": 10, "show": False} | settings


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(case: str) -> Path:
        if case not in made:
            method, data, settings = build(case)
            made[case] = tmp_path_factory.mktemp("whole") / "run"
            fit(method, data, epochs=EPOCHS, out=made[case], **settings)
        return made[case]

    return get


@pytest.mark.parametrize("at", [2, 12, 15])  # 4 steps an epoch: in the first, at an epoch's end, in the middle
@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_and_resume(case: str, at: int, unbroken: Callable[[str], Path], tmp_path: Path) -> None:
    method, data, settings = build(case)
    with suppress(KeyboardInterrupt):  # none where an early stop came first
        fit(method, data, epochs=EPOCHS, out=tmp_path / "run", **settings | {"show": Interrupt(at)})
    method, data, settings = build(case)
    run = fit(method, data, epochs=EPOCHS, out=tmp_path / "run", resume=True, **settings)
    assert_same_run(tmp_path / "run", unbroken(case))
    assert equal(run.model.state_dict(), recipes.load_run(unbroken(case)).model.state_dict())
    assert [row["epoch"] for row in run.rows] == list(range(1, len(run.rows) + 1))


@pytest.mark.parametrize("case", ["overfit", "optimal sigma", "iwae", "warm-up", "dynamic pixels"])
def test_a_finished_run_goes_on_with_more_epochs(case: str, unbroken: Callable[[str], Path], tmp_path: Path) -> None:
    """The weights on disk belong to their optimiser: the last epoch's, not the best one's."""
    method, data, settings = build(case)
    first = fit(method, data, epochs=EPOCHS - 2, out=tmp_path / "run", **settings)
    if case == "overfit":
        assert first.best_epoch != EPOCHS - 2
    method, data, settings = build(case)
    fit(method, data, epochs=EPOCHS, out=tmp_path / "run", resume=True, **settings)
    assert_same_run(tmp_path / "run", unbroken(case))


@pytest.mark.parametrize("case", ["overfit", "patience", "save every 2", "cosine"])
def test_resuming_a_finished_run_changes_nothing(case: str, unbroken: Callable[[str], Path], tmp_path: Path) -> None:
    method, data, settings = build(case)
    before = fit(method, data, epochs=EPOCHS, out=tmp_path / "run", **settings)
    rows, weights = list(before.rows), {k: v.clone() for k, v in before.model.state_dict().items()}
    method, data, settings = build(case)
    run = fit(method, data, epochs=EPOCHS, out=tmp_path / "run", resume=True, **settings)
    assert run.rows == rows
    assert equal(run.model.state_dict(), weights)
    assert (run.best_epoch, run.info["status"]) == (before.best_epoch, "finished")
    assert_same_run(tmp_path / "run", unbroken(case))


@pytest.mark.parametrize("solution", ["em", "closed form"])
def test_a_solver_resumes_too(solution: str, tmp_path: Path) -> None:
    data = reals()
    whole = fit(recipes.ppca(data, solution=solution), data, epochs=12, out=tmp_path / "whole", show=False)
    fit(recipes.ppca(data, solution=solution), data, epochs=5, out=tmp_path / "run", show=False)
    run = fit(recipes.ppca(data, solution=solution), data, epochs=12, out=tmp_path / "run", resume=True, show=False)
    assert len(run.rows) == len(whole.rows) == (12 if solution == "em" else 1)
    assert equal(run.model.state_dict(), whole.model.state_dict())
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


def test_damage_between_log_and_state(unbroken: Callable[[str], Path], tmp_path: Path) -> None:
    """Killed after the log was written and before the state was, with half a line more."""
    method, data, settings = build("warm-up")
    fit(method, data, epochs=3, out=tmp_path / "run", **settings)
    saved = (tmp_path / "run" / "state" / "state.safetensors").read_bytes()
    method, data, settings = build("warm-up")
    fit(method, data, epochs=4, out=tmp_path / "run", resume=True, **settings)
    (tmp_path / "run" / "state" / "state.safetensors").write_bytes(saved)
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"epoch": 5, "st')
    method, data, settings = build("warm-up")
    fit(method, data, epochs=EPOCHS, out=tmp_path / "run", resume=True, **settings)
    assert_same_run(tmp_path / "run", unbroken("warm-up"))


# --- what is no continuation ------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    method, data, settings = build("optimal sigma")
    fit(method, data, epochs=2, out=tmp_path / "run", **settings)
    return tmp_path / "run"


def resume(folder: Path, data: Data | None = None, options: dict[str, Any] | None = None, **settings: Any) -> None:
    recipe, own, make, given = CASES["optimal sigma"]
    data = data or make()
    method = getattr(recipes, recipe)(data, **own | (options or {}))
    fit(method, data, out=folder, resume=True, **{"epochs": 4, "batch_size": 10, "show": False} | given | settings)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"options": {"latent": 3}}, "latent 2 and is resumed with 3"),
        ({"options": {"hidden": (9,)}}, r"hidden \[8\] and is resumed with \[9\]"),
        ({"options": {"seed": 1}}, "seed 0 and is resumed with 1"),
        ({"seed": 1}, "seed 0 and is resumed with 1"),
        ({"batch_size": 20}, "batch_size 10"),
        ({"learning_rate": 0.02}, "learning_rate 0.01 and is resumed with 0.02"),
        ({"clip": 1.0}, "clip None and is resumed with 1.0"),
        ({"schedule": "cosine", "epochs": 2}, "schedule constant"),
        ({"precision": "float64"}, "precision float32"),
        ({"data": reals(60)}, "checksums differ"),
        ({"data": from_array(reals().train.x())}, "checksums differ"),
    ],
)
def test_another_run_is_refused_and_nothing_is_touched(stopped: Path, change: dict[str, Any], match: str) -> None:
    before = {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=match):
        resume(stopped, **change)
    assert {p: p.read_bytes() for p in stopped.rglob("*") if p.is_file()} == before


def test_another_division_of_the_same_rows_is_refused(stopped: Path) -> None:
    """The checksum is of the stored rows: held-out rows must not slide into the training set."""
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, 5))
    for options in ({"held_out": 0.3}, {"seed": 1}, {"test": 0}):
        with pytest.raises(UserError, match="is resumed with"):
            resume(stopped, data=from_array(x, **options))


def test_rows_that_were_divided_otherwise_are_refused(tmp_path: Path) -> None:
    """Equal counts, the same stored rows: only which of them train differs."""
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, 5))
    part = np.repeat(["train", "val", "test"], [30, 10, 10])
    first, other = from_array(x, split=part), from_array(x, split=part[::-1].copy())
    recipe, own, _, given = CASES["optimal sigma"]
    settings = {"batch_size": 10, "show": False} | given
    fit(getattr(recipes, recipe)(first, **own), first, epochs=2, out=tmp_path / "run", **settings)
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(UserError, match="not divided into training, held-out and test rows as those of"):
        resume(tmp_path / "run", data=other)
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    resume(tmp_path / "run", data=first)


def test_the_command_line_refuses_another_split_group_or_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    a, who = np.repeat(["train", "val", "test"], [40, 10, 10]), np.arange(60) // 10
    x = np.random.RandomState(0).standard_normal((60, 3))
    np.savez("x.npz", x=x, a=a, b=a[::-1], who=who)
    line = "train vae x.npz:x --latent 1 --hidden 4 --quiet --no-report"
    assert cli.run(f"{line} --split a --standardise --epochs 1 --out split".split()) == 0
    assert cli.run(f"{line} --group who --test 10 --held-out 10 --epochs 1 --out group".split()) == 0
    for more, sentence in (
        ("--split b --standardise --out split", "split a and is resumed with b"),
        ("--split a --out split", "standardise True and is resumed with None"),
        ("--test 10 --held-out 10 --out group", "group who and is resumed with None"),
    ):
        capsys.readouterr()
        assert cli.run(f"{line} {more} --epochs 2 --resume".split()) == 2
        assert sentence in capsys.readouterr().err
    assert cli.run(f"{line} --split a --standardise --epochs 2 --out split --resume".split()) == 0


def test_a_run_that_does_not_say_how_it_divided_goes_on(stopped: Path) -> None:
    """Runs of earlier versions."""
    info = json.loads((stopped / "run.json").read_text())
    for name in ("asked", "division", "label"):
        del info["data"][name]
    (stopped / "run.json").write_text(json.dumps(info))
    resume(stopped)
    assert len(log_of(stopped)) == 4


def test_a_cosine_is_cut_to_its_length(tmp_path: Path) -> None:
    """More epochs would bend a rate that has already fallen: not the run that the longer one would have been."""
    method, data, settings = build("cosine")
    fit(method, data, epochs=2, out=tmp_path / "run", **settings)
    method, data, settings = build("cosine")
    with pytest.raises(UserError, match="epochs 2 and is resumed with 4"):
        fit(method, data, epochs=4, out=tmp_path / "run", resume=True, **settings)


def test_another_recipe_is_refused(stopped: Path) -> None:
    with pytest.raises(UserError, match="recipe vae and is resumed with ppca"):
        fit(recipes.ppca(reals()), reals(), out=stopped, resume=True, show=False)


def test_state_that_is_damaged_or_not_of_this_run(stopped: Path, unbroken: Callable[[str], Path]) -> None:
    path = stopped / "state" / "state.safetensors"
    whole = path.read_bytes()
    for content in (whole[:100], whole[: len(whole) // 2], b"", b"nonsense" * 20):
        path.write_bytes(content)
        with pytest.raises(UserError, match="truncated or damaged"):
            resume(stopped)
    path.write_bytes((unbroken("linear") / "state" / "state.safetensors").read_bytes())
    with pytest.raises(UserError, match="not the state of this run"):
        resume(stopped)
    state.save(path, {"progress": {}})
    with pytest.raises(UserError, match="not the state of this run"):
        resume(stopped)
    path.unlink()
    with pytest.raises(UserError, match="has not saved anything yet"):
        resume(stopped)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run folder"):
        resume(tmp_path / "missing")
    with pytest.raises(UserError, match=r"There is no run\.json"):
        resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- real processes ---------------------------------------------------------------------------------------------------

ARGUMENTS = "train vae x.npy --latent 2 --hidden 8 --batch-size 5 --epochs 40 --protocol dynamic --warmup 500 --out run"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", (np.random.RandomState(0).rand(250, 4, 4) * 255).astype(np.uint8))
    return tmp_path


def start(*more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "logpx.cli", *ARGUMENTS.split(), "--quiet", "--no-report", *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for(process: subprocess.Popen, epochs: int) -> None:
    """Until the log has so many lines (or the process has ended, which the caller will notice)."""
    log, until = Path("run/log.jsonl"), time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if log.exists() and log.read_bytes().count(b"\n") >= epochs:
            return
        time.sleep(0.002)


def unbroken_in_process(capsys: pytest.CaptureFixture) -> None:
    assert cli.run([*ARGUMENTS.replace("--out run", "--out whole").split(), "--quiet", "--no-report"]) == 0
    capsys.readouterr()


def test_killed_twice_and_resumed(place: Path, capsys: pytest.CaptureFixture) -> None:
    for epochs, more in ((2, ()), (6, ("--resume",))):
        process = start(*more)
        wait_for(process, epochs)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert len(log_of(place / "run")) < 40
    assert cli.run([*ARGUMENTS.split(), "--quiet", "--no-report", "--resume"]) == 0
    unbroken_in_process(capsys)
    assert_same_run(place / "run", place / "whole")
    assert not [p for p in (place / "run").rglob(".*") if "log" in p.name]


def test_ctrl_c_in_a_real_process(place: Path, capsys: pytest.CaptureFixture) -> None:
    process = start()
    wait_for(process, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("logpx: Stopped; the finished epochs are kept, go on with 'logpx train vae x.npy ")
    command = err.split("'")[1]
    assert command.endswith("--resume")
    assert cli.run(command.split()[1:]) == 0
    unbroken_in_process(capsys)
    assert_same_run(place / "run", place / "whole")
