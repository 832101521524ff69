"""The command line: frozen verbs, one JSON object, and one sentence for everything that a user can get wrong."""

import errno
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from logpx import cli, data, recipes, verify
from logpx.cli import threads
from logpx.cli.app import print_json
from logpx.cli.runs import reopen
from logpx.recipes import load_run
from logpx.recipes import page as recipe_page

TINY = "--hidden 8 --epochs 2 --batch-size 16 --quiet --no-report --evidence-samples 3"


def run(line: str) -> int:
    return cli.run(line.split())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the user's files in it, and nothing else."""
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    table = random.randn(60, 4)
    np.savetxt("real.csv", table, delimiter=",", header="a,b,c,d", comments="")
    np.savetxt("grey.csv", random.rand(60, 4), delimiter=",", header="a,b,c,d", comments="")
    np.save("images.npy", (random.rand(60, 6, 6) * 255).astype(np.uint8))
    np.save("empty.npy", np.zeros((0, 3)))
    Path("nan.csv").write_text("a,b\n1,2\nnan,3\n4,5\n")
    cities = ["Rome", "Oslo", ""]
    Path("mixed.csv").write_text("age,city,visits\n" + "".join(f"{i / 4},{cities[i % 3]},{i % 5}\n" for i in range(60)))
    Path("ragged.csv").write_text("a,b\n1,2\n3\n4,5\n")
    Path("holes.csv").write_text("b,a,d,c\n0.1,,0.3,0.4\n")
    Path("text.npy").write_text("this is no array")
    return tmp_path


@pytest.fixture
def trained(place: Path, capsys: pytest.CaptureFixture) -> Path:
    assert run(f"train vae real.csv --latent 2 {TINY} --out run") == 0
    capsys.readouterr()
    return place / "run"


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def assert_one_sentence(line: str, capsys: pytest.CaptureFixture, folder: Path, match: str = "") -> None:
    before = everything(folder)
    code = run(line)
    out, err = capsys.readouterr()
    assert code == 2, (code, err)
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("logpx: ")
    assert err.rstrip("\n")[-1] in ".'\"?", err
    assert "Traceback" not in err
    assert match in err, err
    assert everything(folder) == before


# --- what there is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["", *cli.VERBS, *(f"train {name}" for name in recipes.RECIPES)])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_help_shows_an_example(verb: str, flag: str, capsys: pytest.CaptureFixture) -> None:
    assert run(f"{verb} {flag}") == 0
    out, err = capsys.readouterr()
    assert f"Example: logpx {verb}".strip() in " ".join(out.split())
    assert err == ""


def test_the_help_of_a_recipe_lists_its_options(capsys: pytest.CaptureFixture) -> None:
    for name, row in recipes.RECIPES.items():
        assert run(f"train {name} --help") == 0
        out = capsys.readouterr().out
        for option in row.options:
            assert f"--{option.replace('_', '-')}" in out


def test_the_version(capsys: pytest.CaptureFixture) -> None:
    import logpx

    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == logpx.__version__


def loaded(code: str) -> set[str]:
    printing = code + "\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    command = [sys.executable, "-c", f"import sys, os\n{printing}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(found.stderr.split())


HEAVY = {"torch", "numpy", "sklearn", "scipy", "matplotlib", "pyarrow", "pandas", "pydantic", "h5py", "PIL", "rich"}


def test_help_loads_nothing_heavy() -> None:
    assert not loaded("import logpx; from logpx import cli; assert cli.run(['--help']) == 0") & HEAVY


def test_recipes_load_only_what_recipes_need() -> None:
    assert not loaded("import logpx.recipes, logpx.evaluate") & {
        "sklearn",
        "scipy",
        "matplotlib",
        "pyarrow",
        "h5py",
        "PIL",
    }


# --- results ----------------------------------------------------------------------------------------------------------


def the_only_json(capsys: pytest.CaptureFixture) -> dict[str, Any]:
    out = capsys.readouterr().out
    assert out.endswith("}\n")

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    found = json.loads(out, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def test_what_is_not_finite_is_null_in_json_however_deep(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [math.nan, {"b": math.inf}], "c": 1.5, "d": (-math.inf, "nan")})
    assert capsys.readouterr().out == '{"a": [null, {"b": null}], "c": 1.5, "d": [null, "nan"]}\n'


def test_list(capsys: pytest.CaptureFixture) -> None:
    assert run("list --json") == 0
    found = the_only_json(capsys)
    assert set(found["recipes"]) == set(recipes.RECIPES)
    assert found["data"] == data.names()
    assert run("list") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in [*recipes.RECIPES, *data.names()])


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_show(name: str, capsys: pytest.CaptureFixture) -> None:
    assert run(f"show {name} --json") == 0
    found = the_only_json(capsys)
    assert found["recipe"] == name
    assert f"def {name}(" in found["source"]
    assert found["files"] == recipe_page.files(name)
    assert run(f"show {name}") == 0
    source = capsys.readouterr().out
    compile(source, name, "exec")


def test_train_evaluate_sample_as_json(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae real.csv --latent 2 {TINY} --out run --json") == 0
    found = the_only_json(capsys)
    assert found["run"] == "run"
    assert found["split"] == "test"
    assert found["evidence"]["name"] == "L_3"
    assert found["evidence"]["khat"] is None
    assert found["report"] is None
    assert found["best"]["epoch"] in (1, 2)
    assert run("evaluate run --samples 30 --json") == 0
    found = the_only_json(capsys)
    assert (found["samples"], found["points"], found["split"]) == (30, 6, "test")
    assert found["kind"] == "lower bound"
    assert found["terms"]["loss"] == pytest.approx(-found["terms"]["elbo"])
    assert run("sample run -n 5 --json") == 0
    found = the_only_json(capsys)
    assert (found["number"], found["shape"], found["out"]) == (5, [4], "run/samples.csv")


def test_train_evaluate_sample_in_words(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("train vae real.csv --latent 2 --hidden 8 --epochs 2 --no-report --out run") == 0
    out, err = capsys.readouterr()
    assert "vae on real.csv (as-is), best epoch" in out
    assert "test set: L_100 = -" in out
    assert "nats per data point, lower bound, 6 points" in out
    assert "epoch 1/2" in err
    assert "KL: closed form" in err
    assert run("evaluate run --samples 50 --split held_out --limit 3") == 0
    out, err = capsys.readouterr()
    assert "held-out set: L_50 = -" in out
    assert "3 points" in out
    assert "effective sample size" in out
    assert "k-hat" in out
    assert err == ""
    assert run("evaluate run --samples 1") == 0
    capsys.readouterr()
    assert run("sample run -n 3 --draw --out draws.npy") == 0
    assert "3 draws x ~ p(x|z)" in capsys.readouterr().out
    assert np.load("draws.npy").shape == (3, 4)


def test_report_as_json_and_in_words(trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("report run --samples 2 --json") == 0
    found = the_only_json(capsys)
    assert Path(found["report"]).read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")
    assert found["evidence"]["samples"] == 2
    assert run("report run --samples 1") == 0  # one draw shows no spread: the page must bear it
    assert capsys.readouterr().out == "report: run/report.html\n"


def test_an_exact_model_has_no_samples_to_speak_of(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("train ppca real.csv --latent 1 --no-report --quiet --out run") == 0
    assert "log p(x) = -" in capsys.readouterr().out
    assert run("evaluate run --json") == 0
    found = the_only_json(capsys)
    assert (found["kind"], found["samples"], found["monte_carlo_error"]) == ("exact", None, 0)


def test_the_default_folders_are_never_taken_twice(place: Path, capsys: pytest.CaptureFixture) -> None:
    for _ in range(3):
        assert run(f"train vae real.csv {TINY}") == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["vae-real", "vae-real-2", "vae-real-3"]


def test_options_reach_the_recipe(place: Path) -> None:
    options = "--latent 3 --hidden 8,6 --sigma 0.5 --warmup 7 --seed 4 --kind real"
    assert run(f"train vae real.csv {options} --epochs 1 --no-report --quiet --out run") == 0
    found = json.loads(Path("run/run.json").read_text())
    expected = {"latent": 3, "hidden": [8, 6], "warmup": 7, "seed": 4, "likelihood": "auto"}
    assert found["options"].items() >= expected.items()
    assert float(found["options"]["sigma"]) == 0.5
    assert load_run("run").model.likelihood.sigma == 0.5
    assert run("train vae real.csv --hidden= --epochs 1 --no-report --quiet --out linear") == 0
    assert list(load_run("linear").method.options["hidden"]) == []


# --- one sentence -----------------------------------------------------------------------------------------------------

BAD = {
    "train nope real.csv": "no recipe 'nope'",
    "train vea real.csv": "Did you mean 'vae'?",
    "train vae real.csv --nope 3": "No such option: --nope",
    "nope": "No such command 'nope'",
    "list extra": "extra",
    "show": "RECIPE",
    "show nope": "no recipe 'nope'",
    "train vae": "DATA",
    "train vae nope": "no data set or file 'nope'",
    "train vae minst": "did you mean mnist",
    "train vae nope.csv": "no file or folder nope.csv",
    "train vae real.csv --label nope": "no column 'nope'",
    "train vae real.csv --protocol nope": "Protocol 'nope'",
    "train vae mnist:nope": "Protocol 'nope'",
    "train vae images.npy --protocol nope": "possible: grey, dynamic, threshold, static, integer",
    "train vae real.csv --kind nope": "--kind nope is unknown",
    "train vae real.csv --kind binary": "--kind binary needs 0 and 1",
    "train ppca nan.csv --latent 1": "values are missing: fill them",
    "train linear_vae nan.csv": "values are missing: fill them",
    "train ppca mixed.csv": "these data have categories",
    "train linear_vae real.csv --context a": "takes no context",
    "train vae mixed.csv --columns age": "give pairs such as age=real",
    "train vae mixed.csv --columns agee=real": "no column 'agee' for columns",
    "train vae mixed.csv --columns city=real": "Column 'city' of mixed.csv holds text",
    "train vae mixed.csv --columns age=nope": "Column 'age' cannot be 'nope'",
    "train vae mixed.csv --kind real": "Column 'city' of mixed.csv holds text",
    "train vae mixed.csv --context town": "no column 'town' for context",
    "train conditional_vae mixed.csv": "--context label needs a label for every row of mixed.csv; name their column",
    "train vae ragged.csv": "ragged.csv cannot be read",
    "train vae text.npy": "text.npy cannot be read",
    "train vae empty.npy": "empty.npy is empty",
    "train vae real.csv --latent 0": "latent of vae is 0",
    "train vae real.csv --latent two": "--latent",
    "train vae real.csv --latent 2.5": "--latent",
    "train vae real.csv --epochs 0": "--epochs is 0",
    "train vae real.csv --epochs 1e3": "--epochs",
    "train vae real.csv --batch-size -1": "--batch-size is -1",
    "train vae real.csv --learning-rate nan": "--learning-rate is nan",
    "train vae real.csv --learning-rate -0.1": "--learning-rate is -0.1",
    "train vae real.csv --clip 0": "--clip is 0",
    "train vae real.csv --patience 0": "--patience is 0",
    "train vae real.csv --warmup -1": "warmup of vae is -1",
    "train vae real.csv --sigma -1": "sigma of vae is -1",
    "train vae real.csv --sigma nan": "sigma of vae is nan",
    "train vae real.csv --sigma inf": "sigma of vae is inf",
    "train vae real.csv --sigma nope": "'shared', 'pixel' or 'optimal'",
    "train vae real.csv --hidden a": "whole numbers with commas between",
    "train vae real.csv --hidden 8,0": "hidden of vae is 0",
    "train vae real.csv --held-out 2.0": "--held-out 2.0",
    "train vae real.csv --held-out nope": "--held-out is 'nope'",
    "train vae real.csv --held-out 60": "leave none to train on",
    "train vae real.csv --test -0.5": "--test -0.5",
    "train vae mnist --test 0.1": "test rows of its own",
    "train vae real.csv --device nope": "device 'nope'",
    "train vae real.csv --device meta": "device 'meta'",
    "train vae real.csv --threads 0": "--threads is 0",
    "train vae real.csv --threads -1": "--threads is -1",
    "train vae real.csv --save-every 0": "--save-every is 0",
    "train vae real.csv --save-every -1": "--save-every is -1",
    "train vae real.csv --evidence-samples 0": "--evidence-samples",
    "train vae real.csv --seed -1": "--seed",
    "train vae real.csv --seed 99999999999999999999": "--seed",
    "train vae real.csv --precision half": "'half'",
    "train vae real.csv --schedule nope": "'nope'",
    "train vae real.csv --compile nope": "'nope'",
    "train vae real.csv --likelihood nope": "'nope'",
    "train vae grey.csv --likelihood bernoulli": "likelihood 'bernoulli' gives no probability",
    "train vae real.csv --likelihood grey": "likelihood 'grey' gives no probability",
    "train vae real.csv --network conv": "needs images",
    "train vae real.csv --out .": "exists",
    "train vae real.csv --out . --force": "is not a run folder",
    "train vae real.csv --out real.csv": "exists",
    "train vae real.csv --out real.csv --force": "is not a run folder",
    "train vae real.csv --out real.csv/run": "real.csv/run",
    "train vae real.csv --resume": "--out",
    "train vae real.csv --resume --out missing": "no run folder missing",
    "train iwae real.csv --samples 0": "samples of iwae is 0",
    "train iwae real.csv --gradient nope": "'nope'",
    "train ppca real.csv --solution nope": "'nope'",
    "train linear_vae real.csv --sigma pixel": "sigma of linear_vae is 'pixel'",
    "evaluate": "RUN",
    "evaluate missing": "no run folder missing",
    "evaluate .": "no run.json",
    "evaluate real.csv": "no run folder real.csv",
    "sample missing": "no run folder missing",
    "report missing": "no run folder missing",
}


@pytest.mark.parametrize("line", BAD)
def test_one_sentence(line: str, place: Path, capsys: pytest.CaptureFixture) -> None:
    assert_one_sentence(line, capsys, place, BAD[line])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has one")
def test_one_sentence_without_a_gpu(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert_one_sentence("train vae real.csv --device cuda", capsys, place, "device 'cuda' cannot be used")


BAD_WITH_A_RUN = {
    f"train vae real.csv --latent 2 {TINY} --out run": "run exists: resume it",
    f"train vae real.csv --latent 3 {TINY} --out run --resume": "latent 2 and is resumed with 3",
    f"train vae real.csv --latent 2 {TINY} --seed 1 --out run --resume": "seed 0 and is resumed with 1",
    f"train vae grey.csv --latent 2 {TINY} --kind real --out run --resume": "checksums differ",
    f"train vae real.csv --latent 2 {TINY} --held-out 0.3 --out run --resume": "is resumed with",
    "train ppca real.csv --out run --resume": "recipe vae and is resumed with ppca",
    "evaluate run --samples 0": "--samples",
    "evaluate run --samples many": "--samples",
    "evaluate run --limit 0": "--limit",
    "evaluate run --split nope": "'nope'",
    "evaluate run --seed -1": "--seed",
    "sample run --given 3": "this model takes no context",
    "impute missing": "no run folder missing",
    "impute run": "nothing to impute: no value is missing",
    "impute run nope.csv": "no file or folder nope.csv",
    "impute run mixed.csv": "other columns than the run's data: it lacks 'a', 'b', 'c', 'd'",
    "impute run holes.csv --out grey.csv": "grey.csv exists",
    "impute run holes.csv --out real.csv": "real.csv holds the data",
    "impute run holes.csv --out real.csv --force": "real.csv holds the data",
    "impute run holes.csv --out ./holes.csv --force": "holes.csv holds the data",
    "impute run --out run/../real.csv --force": "real.csv holds the data",
    "evaluate run nope.csv": "no file or folder nope.csv",
    "evaluate run mixed.csv": "other columns than the run's data",
    "evaluate run real.csv --split test": "--split is 'test', and real.csv is not divided",
    "impute run holes.csv --out new.png": "are no pictures",
    "impute run holes.csv --samples 0": "--samples",
    "sample run --out new.gif": "new.gif: samples are written as .png, .npy, .csv",
    "sample run --out new": "samples are written as",
    "sample run --out real.csv --force": "real.csv holds the data",
    "sample run --out missing/new.csv": "no folder missing",
    "sample run --out new.png": "are no pictures",
    "sample run -n 0": "0 samples",
    "sample run -n -3": "-3 samples",
    "sample run --out .": ". exists",
    "report run --samples 0": "--samples",
    "explore missing": "no run folder missing",
    "explore run --rows 1": "--rows",
    "explore run --samples 0": "--samples",
    "explore run --out real.csv": "real.csv: the explorer is one page",
    "explore run --out missing/e.html": "no folder missing",
}  # fmt: skip


@pytest.mark.parametrize("line", BAD_WITH_A_RUN)
def test_one_sentence_about_a_run(line: str, trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert_one_sentence(line, capsys, trained.parent, BAD_WITH_A_RUN[line])


@pytest.mark.parametrize(
    "verb", ["evaluate run", "sample run", "report run", f"train vae real.csv {TINY} --latent 2 --out run --resume"]
)
def test_one_sentence_about_a_damaged_run(verb: str, trained: Path, capsys: pytest.CaptureFixture) -> None:
    files = ["weights.safetensors", "run.json"] if "train" not in verb else ["state/state.safetensors", "run.json"]
    for name in files:
        whole = (trained / name).read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"\x80\x04N."):
            (trained / name).write_bytes(damaged)
            assert_one_sentence(verb, capsys, trained.parent, name)
        (trained / name).write_bytes(whole)


@pytest.mark.parametrize("verb", ["evaluate run", "report run"])
def test_one_sentence_about_data_that_changed(verb: str, trained: Path, capsys: pytest.CaptureFixture) -> None:
    table = Path("real.csv").read_text()
    Path("real.csv").write_text(table.replace("\n", "\n0,0,0,0\n", 1))
    assert_one_sentence(verb, capsys, trained.parent, "has changed since run was trained on it")
    Path("real.csv").unlink()
    assert_one_sentence(verb, capsys, trained.parent, "real.csv")
    info = json.loads((trained / "run.json").read_text())
    del info["data"]["source"]
    (trained / "run.json").write_text(json.dumps(info))
    assert_one_sentence(verb, capsys, trained.parent, "'source'")


def test_draws_from_a_score_are_refused(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae images.npy --likelihood grey {TINY} --out run") == 0
    assert "grey score" in capsys.readouterr().out
    assert_one_sentence("sample run --draw", capsys, place, "no density")
    assert run("sample run -n 4") == 0
    assert Path("run/samples.png").exists()


def test_force_replaces_a_run_and_a_sample(trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("sample run -n 3") == 0
    capsys.readouterr()
    assert_one_sentence("sample run -n 4", capsys, trained.parent, "samples.csv exists")
    assert run("sample run -n 4 --force") == 0
    assert len(Path("run/samples.csv").read_text().splitlines()) == 5
    assert run(f"train vae real.csv --latent 1 {TINY} --out run --force") == 0
    assert load_run("run").method.options["latent"] == 1
    assert not Path("run/samples.csv").exists()


def test_resuming_a_finished_run_succeeds(trained: Path, capsys: pytest.CaptureFixture) -> None:
    before = (trained / "weights.safetensors").read_bytes()
    assert run(f"train vae real.csv --latent 2 {TINY} --out run --resume") == 0
    assert (trained / "weights.safetensors").read_bytes() == before
    assert run(f"train vae real.csv --latent 2 {TINY.replace('--epochs 2', '--epochs 4')} --out run --resume") == 0
    assert len(load_run(trained).rows) == 4


def test_a_full_disk_is_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The state of the last epoch that fitted is whole, nothing half-written lies about, and the run goes on later."""
    left, fsync = [9], os.fsync

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    line = f"train vae real.csv --latent 2 {TINY.replace('--epochs 2', '--epochs 5')} --out run"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert run(line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "logpx: The disk is full: free some room and go on with --resume; what was saved before is whole.\n"
    assert not list(Path("run").rglob(".*"))
    assert load_run("run").best_epoch
    assert run(f"{line} --resume") == 0
    assert run(line.replace("--out run", "--out whole")) == 0
    assert Path("run/weights.safetensors").read_bytes() == Path("whole/weights.safetensors").read_bytes()


def test_other_troubles_with_files(place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "run")

    monkeypatch.setattr(Path, "mkdir", denied)
    assert_one_sentence(f"train vae real.csv {TINY} --out run", capsys, place, "Permission denied (run)")


def test_a_bug_is_not_dressed_up_as_the_users(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logpx.data.load", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("train vae real.csv")


def test_ctrl_c_before_training(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("logpx.data.load", interrupt)
    assert run("train vae real.csv") == 130
    assert capsys.readouterr().err.strip() == "logpx: Stopped."


# --- the same rows again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "real.csv --held-out 0.2 --test 7",
        "real.csv --label a",
        "images.npy --protocol threshold",
        "images.npy --protocol dynamic",
        "images.npy --protocol static:5",
        "images.npy --kind real",
        "images.npy",
        "mnist:threshold",
        "linear-gaussian",
    ],
)
def test_a_run_reloads_the_same_rows(
    given: str, place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    monkeypatch.setattr("logpx.train.fit", lambda method, data, **_: seen.update(data=data) or 1 / 0)
    if "label" in given:
        lines = Path("real.csv").read_text().splitlines()
        labelled = [lines[0], *(f"{i % 3},{line.split(',', 1)[1]}" for i, line in enumerate(lines[1:]))]
        Path("real.csv").write_text("\n".join(labelled))
    with pytest.raises(ZeroDivisionError):
        run(f"train vae {given} --hidden 8")
    first: data.Data = seen["data"]
    monkeypatch.undo()
    method = recipes.vae(first, hidden=(8,))
    folder = place / "elsewhere" / "run"
    cli_fit(method, first, folder)
    other = place / "elsewhere"
    os.chdir(other)  # the path that was given was relative to another folder
    try:
        _, again = reopen(folder)
    finally:
        os.chdir(place)
    assert again.checksum == first.checksum
    assert (again.protocol, again.spec) == (first.protocol, first.spec)
    for name in ("train", "held_out", "test"):
        a, b = getattr(first, name), getattr(again, name)
        pick = slice(0, 300)
        draws = (s.x(pick, torch.Generator().manual_seed(1)) for s in (a, b))
        assert torch.equal(*draws), name
        assert (a.labels is None) == (b.labels is None)


def cli_fit(method: Any, rows: data.Data, folder: Path) -> None:
    """A run folder without the training."""
    from logpx.train.run import Folder
    from logpx.train.state import write_json

    made = Folder.create(folder)
    settings = {"precision": "float32", "seed": 0}
    about = {"recipe": "vae", "options": method.options, "data": rows.describe(), "training": {}, "settings": settings}
    write_json(made.info, about)
    made.save_weights(method.model.state_dict(), 1)


def test_dynamic_training_rows_can_be_evaluated(place: Path, capsys: pytest.CaptureFixture) -> None:
    """Nothing held out, nothing for testing: the headline is of the training rows, drawn once."""
    assert run(f"train vae images.npy --protocol dynamic --held-out 0 --test 0 {TINY} --out run --json") == 0
    assert the_only_json(capsys)["split"] == "train"
    found = []
    for _ in range(2):
        assert run("evaluate run --samples 3 --limit 40 --json") == 0
        found.append(the_only_json(capsys)["value"])
    assert found[0] == found[1]


# --- verify -----------------------------------------------------------------------------------------------------------


def test_verify_passes_and_fails_aloud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    good = {"full_covariance_kl": verify.CHECKS["full_covariance_kl"]}
    monkeypatch.setattr(verify, "CHECKS", good)
    assert run("verify") == 0
    assert "All 1 checks passed." in capsys.readouterr().out
    assert run("verify --json") == 0
    assert the_only_json(capsys)["passed"] is True
    for value in (2.8, float("nan")):
        monkeypatch.setattr(verify, "CHECKS", good | {"wrong": lambda value=value: (value, 2.72, 1e-3)})
        assert run("verify") == 2
        out, err = capsys.readouterr()
        assert "FAIL  wrong" in out
        assert err == "logpx: 1 of 2 checks failed (wrong): do not trust numbers from here.\n"
    assert run("verify --json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["passed"] is False
    assert err.startswith("logpx: 1 of 2 checks failed")


def test_the_files_are_where_they_were(trained: Path) -> None:
    """A run folder may be moved: nothing in it points at itself."""
    shutil.move(trained, trained.parent / "moved")
    assert run("evaluate moved --samples 2") == 0


@pytest.mark.parametrize(("running", "policy"), [([3, 2, 2, 4], "1000"), ([2, 2, 1, 3], None)])
def test_threads_sleep_only_where_other_processes_stay_busy(
    monkeypatch: pytest.MonkeyPatch, running: list[int], policy: str | None
) -> None:
    looks = iter(running)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(threads, "_running", lambda pause: next(looks))
    cli.calm_threads()
    assert os.environ.get("GOMP_SPINCOUNT") == policy
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


def test_a_users_own_wait_policy_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.setattr(threads, "_running", lambda pause: 9)
    cli.calm_threads()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


# --- missing values, mixed tables, contexts ---------------------------------------------------------------------------


def test_a_mixed_table_with_holes_from_training_to_imputation(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae mixed.csv --columns visits=real --latent 2 {TINY} --report --out run") == 0
    assert run("evaluate run --samples 5 --json") == 0
    assert run("report run --samples 5") == 0
    assert run("sample run -n 5 --draw") == 0
    capsys.readouterr()
    names, *rows = csv_rows(place / "run" / "samples.csv")
    assert names == ["age", "city", "visits"]
    assert {row[1] for row in rows} <= {"Rome", "Oslo"}
    assert run("impute run --samples 5 --json") == 0
    assert json.loads(capsys.readouterr().out)["imputed"] == 20
    before, after = csv_rows(place / "mixed.csv"), csv_rows(place / "run" / "imputed.csv")
    assert before[0] == after[0]
    for old, new in zip(before[1:], after[1:], strict=True):
        assert (old[0], old[2]) == (new[0], new[2])
        assert new[1] == old[1] or (not old[1] and new[1] in ("Rome", "Oslo"))


def csv_rows(path: Path) -> list[list[str]]:
    return [line.split(",") for line in path.read_text().splitlines()]


def test_what_was_observed_is_written_as_it_was_read(trained: Path, capsys: pytest.CaptureFixture) -> None:
    """Neither float32 nor nine digits touch it; columns come in the file's order, of an array in the run's."""
    value = 0.12345678901234567
    Path("holes.csv").write_text(f"b,a,d,c\n{value!r},,1e-300,0.4\n")
    assert run("impute run holes.csv --samples 5 --out new.csv") == 0
    names, row = csv_rows(Path("new.csv"))
    assert names == ["b", "a", "d", "c"]
    assert [row[0], *row[2:]] == [repr(value), "1e-300", "0.4"]
    assert run("impute run holes.csv --samples 5 --out new.npy") == 0
    assert np.load("new.npy")[0, 1:].tolist() == [value, 0.4, 1e-300]


def test_a_conditional_model_takes_the_label_and_samples_each_class(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train conditional_vae digits --latent 2 {TINY} --report --out run") == 0
    assert load_run("run").info["data"]["context"] == 10
    assert run("evaluate run --samples 5 --limit 10") == 0
    assert run("sample run -n 12 --out new.csv") == 0
    assert [row[-1] for row in csv_rows(place / "new.csv")] == ["label", *"012345678901"]
    assert run("sample run -n 3 --given 7 --out seven.csv") == 0
    assert [row[-1] for row in csv_rows(place / "seven.csv")] == ["label", *"777"]
    capsys.readouterr()
    assert_one_sentence("sample run --given ten --out x.csv", capsys, place, "label 'ten' is not one of 0, 1")


def test_columns_as_context_must_be_given(place: Path, capsys: pytest.CaptureFixture) -> None:
    Path("full.csv").write_text("age,city,visits\n" + "".join(f"{i / 4},{'ab'[i % 2]},{i % 5}\n" for i in range(60)))
    assert run(f"train conditional_vae full.csv --context city,age --latent 2 {TINY} --out run") == 0
    capsys.readouterr()
    assert_one_sentence("sample run", capsys, place, "say --given city=...,age=...")
    assert_one_sentence("sample run --given city=a", capsys, place, "this model is given city=..., age=...")
    assert run("sample run -n 2 --given age=3,city=b") == 0
    assert [row[1:] for row in csv_rows(place / "run" / "samples.csv")] == [["city", "age"], ["b", "3"], ["b", "3"]]
