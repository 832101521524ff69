"""The run folder: what is in it, what it refuses, and how it is read again."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from logpx import exact, recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.model import Batch
from logpx.objectives import ELBO
from logpx.recipes import load_run
from logpx.train import Method, fit
from logpx.train.run import Folder


def numbers(n: int = 40) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fit(recipes.vae(numbers(), latent=2, hidden=(8,)), numbers(), epochs=2, out=tmp_path / "run", show=False)
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def change(folder: Path, **entries: Any) -> None:
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | entries))


@pytest.mark.parametrize(
    "entries",
    [{"recipe": [1]}, {"settings": {"a": 1}}, {"settings": {"seed": None}}, {"settings": {"seed": "x"}}],
    ids=str,
)
def test_a_run_json_without_its_recipe_or_seed_is_one_sentence(folder: Path, entries: dict[str, Any]) -> None:
    change(folder, **entries)
    with pytest.raises(UserError, match=r"run\.json says recipe .* and seed .*: the file is damaged"):
        load_run(folder)


@pytest.mark.parametrize("line", ['{"epoch": 1}', "[1]", "1", "null"])
def test_a_line_that_is_no_row_of_a_log_is_one_sentence(folder: Path, line: str) -> None:
    log = folder / "log.jsonl"
    first, second = log.read_text().splitlines()
    log.write_text(f"{first}\n{line}\n{second}\n")
    with pytest.raises(UserError, match=r"log\.jsonl is damaged: line 2 is no row of a log"):
        load_run(folder)
    log.write_text(f"{first}\n{second[:20]}")  # a crash while it was written
    assert [row["epoch"] for row in load_run(folder).rows] == [1]


def test_what_a_run_folder_holds(folder: Path) -> None:
    names = {"run.json", "weights.safetensors", "state/state.safetensors", "log.jsonl", "latents.safetensors"}
    assert set(contents(folder)) == names
    info = json.loads((folder / "run.json").read_text())
    assert info["recipe"] == "vae"
    assert info["options"]["hidden"] == [8]
    assert info["status"] == "finished"
    assert info["kl"] == "closed form"
    assert info["data"]["checksum"]
    assert info["data"]["counts"] == {"train": 32, "held_out": 4, "test": 4}
    assert info["settings"]["seed"] == 0
    assert info["machine"]["torch"] == torch.__version__
    assert info["training"]["epochs"] == 2
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]


def test_loading_gives_the_same_model(folder: Path) -> None:
    run = load_run(folder)
    again = load_run(folder)
    x = Batch(numbers())
    assert torch.equal(run.model.encode(x).mean, again.model.encode(x).mean)
    assert run.best_epoch in (1, 2)
    assert run.folder == folder
    assert [row["epoch"] for row in run.rows] == [1, 2]
    assert run.best is not None


def test_a_fresh_process_gives_the_same_bits(folder: Path) -> None:
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from logpx.recipes import load_run; from logpx.model import Batch\n"
        "x = torch.randn(40, 4, generator=torch.Generator().manual_seed(2))\n"
        "print(load_run(sys.argv[1]).model.encode(Batch(x)).mean.double().sum(0).tolist())"
    )
    found = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    here = load_run(folder).model.encode(Batch(numbers())).mean.double().sum(0).tolist()
    assert found.stdout.strip() == str(here)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_precision_comes_back(tmp_path: Path, precision: str) -> None:
    method = recipes.vae(numbers(), latent=2, hidden=(8,))
    fit(method, numbers(), epochs=1, precision=precision, out=tmp_path / "run", show=False)  # type: ignore[arg-type]
    again = load_run(tmp_path / "run").model.state_dict()
    for name, tensor in method.model.state_dict().items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("iwae", {"hidden": (8,), "samples": 2, "activation": "relu"}),
        ("linear_vae", {"sigma": 0.5}),
        ("ppca", {"latent": 1}),
        ("vae", {"hidden": (), "sigma": "pixel"}),
    ],
)
def test_every_recipe_comes_back(tmp_path: Path, recipe: str, options: dict[str, Any]) -> None:
    method = getattr(recipes, recipe)(numbers(), **options)
    fit(method, numbers(), epochs=1, out=tmp_path / "run", show=False)
    again = load_run(tmp_path / "run")
    assert again.method.options == json.loads(json.dumps(method.options)) | {
        k: v for k, v in again.method.options.items() if isinstance(v, tuple)
    }
    for name, tensor in method.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor)


def test_hand_made_parts_are_kept_and_said_to_be(tmp_path: Path) -> None:
    model = exact.linear_vae.build((4,), 2)
    fit(Method(model, ELBO()), numbers(), epochs=1, out=tmp_path / "run", show=False)
    with pytest.raises(UserError, match="hand-made"):
        load_run(tmp_path / "run")
    other = exact.linear_vae.build((4,), 2)
    assert Folder(tmp_path / "run").load_weights(other) == 1
    assert torch.equal(other.encoder.log_variance, model.encoder.log_variance)


# --- what is there already --------------------------------------------------------------------------------------------


def again(folder: Path, **options: Any) -> None:
    fit(recipes.vae(numbers(), latent=2, hidden=(8,)), numbers(), epochs=1, out=folder, show=False, **options)


def test_an_existing_run_is_not_touched(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(UserError, match="exists: resume it"):
        again(folder)
    assert contents(folder) == before


def test_force_replaces_a_run(folder: Path) -> None:
    (folder / "figures").mkdir()
    (folder / "figures" / "old.png").write_bytes(b"")
    again(folder, force=True)
    assert "figures/old.png" not in contents(folder)
    assert len(load_run(folder).rows) == 1


def test_force_replaces_nothing_else(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for place in (thesis, tmp_path / "file", tmp_path):
        with pytest.raises(UserError, match="exists and is not a run folder"):
            again(place, force=True)
        with pytest.raises(UserError, match="exists"):
            again(place)
    assert (thesis / "chapter.tex").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "a file"


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    again(tmp_path)
    assert load_run(tmp_path).rows


def test_bad_settings_touch_no_existing_run(folder: Path) -> None:
    before = contents(folder)
    x = numbers()
    x = x.clone()
    with pytest.raises(UserError):
        fit(recipes.vae(x, likelihood="bernoulli", hidden=(8,)), x, epochs=1, out=folder, force=True, show=False)
    assert contents(folder) == before


# --- damage -----------------------------------------------------------------------------------------------------------


def test_no_folder_and_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no run folder"):
        load_run(tmp_path / "missing")
    with pytest.raises(UserError, match=r"There is no run\.json"):
        load_run(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="There is no run folder"):
        load_run(tmp_path / "file")


def test_run_json_cut_short_anywhere(folder: Path) -> None:
    whole = (folder / "run.json").read_bytes()
    for at in range(0, len(whole) - 2, 37):
        (folder / "run.json").write_bytes(whole[:at])
        with pytest.raises(UserError, match=r"run\.json"):
            load_run(folder)


@pytest.mark.parametrize(
    "entries",
    [
        {"options": None},
        {"options": [1]},
        {"data": 3},
        {"data": {}},
        {"data": {"shape": "four", "kind": "real", "levels": None}},
        {"data": {"shape": [4], "kind": "nope", "levels": None}},
        {"training": "fast"},
        {"settings": None},
        {"recipe": "nope"},
        {"recipe": 7},
        {"recipe": ["vae"]},
        {"options": {"latent": -1}},
        {"options": {"nonsense": 1}},
        {"options": {"seed": "x"}},
    ],
)
def test_run_json_with_wrong_entries(folder: Path, entries: dict[str, Any]) -> None:
    change(folder, **entries)
    with pytest.raises(UserError) as caught:
        load_run(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}"])
def test_run_json_that_is_no_run(folder: Path, content: str) -> None:
    (folder / "run.json").write_text(content)
    with pytest.raises(UserError, match="does not describe a run"):
        load_run(folder)


def test_weights_of_another_shape(folder: Path) -> None:
    options = json.loads((folder / "run.json").read_text())["options"]
    change(folder, options=options | {"hidden": [9]})
    with pytest.raises(UserError, match="does not fit the model"):
        load_run(folder)


def test_weights_cut_short(folder: Path) -> None:
    whole = (folder / "weights.safetensors").read_bytes()
    for at in range(0, len(whole), 101):
        (folder / "weights.safetensors").write_bytes(whole[:at])
        with pytest.raises(UserError, match="truncated or damaged"):
            load_run(folder)


def test_weights_missing_foreign_or_poisoned(folder: Path) -> None:
    path = folder / "weights.safetensors"
    for tree in (
        '[["weights", 5]]',
        '[["epoch", 1]]',
        "5",
        '[["weights", [["a", 1]]], ["epoch", 1]]',
        '[["weights", []]]',
    ):
        save_file({"a": torch.zeros(1)}, path, metadata={"plain": tree})
        with pytest.raises(UserError, match="fit the model"):
            load_run(folder)
    path.write_bytes(pickle.dumps({"weights": {}}))
    with pytest.raises(UserError, match="damaged"):
        load_run(folder)
    path.unlink()
    with pytest.raises(UserError, match="has not saved anything yet"):
        load_run(folder)


def test_half_a_line_at_the_end_of_the_log(folder: Path) -> None:
    with (folder / "log.jsonl").open("ab") as file:
        file.write('{"epoch": 3, "train": {"loss": 1.0, "ä'.encode()[:-1])
    assert [row["epoch"] for row in load_run(folder).rows] == [1, 2]


def test_no_log_at_all(folder: Path) -> None:
    (folder / "log.jsonl").unlink()
    assert load_run(folder).rows == []


def test_a_missing_array_is_no_secret(folder: Path) -> None:
    """The data of a run on an array are not in the folder: only what they looked like."""
    about = json.loads((folder / "run.json").read_text())["data"]
    assert about["source"] == from_array(numbers()).source == "array"
