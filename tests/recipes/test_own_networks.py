"""Networks of one's own: the same numbers as ours where they are the same, one sentence where they do not fit, no surprise
code when a run is opened."""

import hashlib
import json
import re
import sys
from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from command_line import refused, run
from logpx import data, networks, recipes
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.networks import Sizes
from logpx.recipes import RECIPES, load_run
from logpx.recipes.own import in_current_folder
from logpx.train import fit, sweep
from logpx.train.dry_run import dry_run

SOURCE = """
from math import prod
from torch import nn


def make(sizes):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(prod(sizes.x), 8), nn.Tanh(), nn.Linear(8, sizes.q))
    decoder = nn.Sequential(nn.Linear(sizes.z, prod(sizes.px)), nn.Unflatten(1, sizes.px))
    return encoder, decoder
"""


def rows(n: int = 60, P: int = 4) -> Tensor:
    return torch.randn(n, P)


def make(sizes: Sizes) -> tuple[nn.Module, nn.Module]:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(prod(sizes.x), 8), nn.Tanh(), nn.Linear(8, sizes.q))
    return encoder, nn.Sequential(nn.Linear(sizes.z, prod(sizes.px)), nn.Unflatten(1, sizes.px))


def plain(sizes: Sizes) -> tuple[nn.Module, nn.Module]:
    """Ours, built by hand."""
    return networks.MLP(sizes.x, (16,), (sizes.q,)), networks.MLP((sizes.z,), (16,), sizes.px)


class Seen(nn.Module):
    """A network of rows and their context."""

    def __init__(self, inputs: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.linear, self.outputs = nn.Linear(inputs, prod(outputs)), outputs

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.linear(torch.cat([x.flatten(1), c], 1)).unflatten(1, self.outputs)


def seeing(sizes: Sizes) -> tuple[nn.Module, nn.Module]:
    return Seen(prod(sizes.x) + sizes.context, (sizes.q,)), Seen(sizes.z + sizes.context, sizes.px)


# --- what they compute ------------------------------------------------------------------------------------------------


def test_the_same_networks_give_the_same_numbers():
    x = rows()
    ours, own = recipes.vae(x, latent=2, hidden=(16,), seed=3), recipes.vae(x, latent=2, network=plain, seed=3)
    values = [evidence(method.model, x, samples=7, seed=1).per_point for method in (ours, own)]
    assert torch.equal(*values)


@pytest.mark.parametrize("name", [name for name, row in RECIPES.items() if "network" in row.options])
def test_every_recipe_with_networks_takes_them(name):
    context = "label" if RECIPES[name].conditional else None
    x = data.from_array(torch.rand(40, 1, 6, 6), kind="grey", labels=torch.arange(40) % 2, context=context)
    row = RECIPES[name]
    small = {"latent": 2, "top": 1, "critic": (4,), "samples": 2, "iterations": 1, "restarts": 1, "anchors": 3}
    small |= {"operators": 1, "decoder": "linear"} | ({"eps": 2.0} if name == "constrained_vae" else {})
    options = {option: value for option, value in small.items() if option in row.options}
    if name == "mixed_curvature_vae":
        with pytest.raises(UserError, match="first layer of the decoder belongs to the method"):
            row.build(x, network=make)
        options["signature"] = "e2"
    method = row.build(x, network=seeing if row.conditional else make, **options)
    fit(method, x, epochs=1, show=False)
    assert any(isinstance(module, networks.Own) for module in method.model.encoder.modules())
    assert method.options["network"].endswith("seeing" if row.conditional else "make")


def test_a_decoder_may_leave_out_an_axis_of_one_number():
    def without(sizes: Sizes) -> tuple[nn.Module, nn.Module]:
        return make(sizes)[0], nn.Linear(sizes.z, sizes.px[1])

    assert recipes.vae(rows(), latent=2, network=without).model.decode(torch.zeros(3, 5, 2)).mean.shape == (3, 5, 4)


def test_a_mixed_table_is_seen_and_made_as_plain_numbers(tmp_path):
    lines = [f"{i / 7},{'abc'[i % 3]},{i % 5}" for i in range(40)]
    (tmp_path / "t.csv").write_text("a,b,c\n" + "\n".join(lines))
    asked: list[Sizes] = []
    table = data.load(tmp_path / "t.csv", columns="c=integer")
    method = recipes.vae(table, latent=2, network=lambda sizes: asked.append(sizes) or make(sizes))
    assert asked == [
        Sizes(x=(5,), q=4, z=2, px=(5,))
    ]  # two numbers, three categories; one number each and three logits
    fit(method, table, epochs=1, show=False)


def test_seeds_of_own_networks_may_be_trained_at_once():
    x = data.from_array(rows())
    methods = [recipes.vae(x, latent=2, network=make, seed=seed) for seed in range(2)]
    together = sweep(methods, x, epochs=2, show=False)
    alone = [fit(recipes.vae(x, latent=2, network=make, seed=s), x, epochs=2, seed=s, show=False) for s in range(2)]
    for a, b in zip(together, alone, strict=True):
        assert a.best["held_out"]["loss"] == pytest.approx(b.best["held_out"]["loss"], rel=1e-5)


def test_a_pair_is_copied_and_handed_over_again(tmp_path):
    pair = make(Sizes((4,), 4, 2, (1, 4)))
    before = [p.clone() for part in pair for p in part.parameters()]
    x = rows()
    fitted = fit(recipes.vae(x, latent=2, network=pair), x, epochs=1, show=False, out=tmp_path / "run")
    assert all(torch.equal(a, b) for a, b in zip(before, [p for part in pair for p in part.parameters()], strict=True))
    assert fitted.info["options"]["network"] == "own"
    with pytest.raises(UserError, match=r"load_run\(path, network="):
        load_run(tmp_path / "run")
    again = load_run(tmp_path / "run", network=pair)
    values = [evidence(m, x, samples=3).per_point for m in (fitted.model.eval(), again.model)]
    assert torch.equal(*values)
    other = make(Sizes((5,), 4, 2, (1, 5)))
    with pytest.raises(UserError, match="does not fit the model"):
        load_run(tmp_path / "run", network=other)


# --- what does not fit ------------------------------------------------------------------------------------------------


class Noisy(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(1)


class Two(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x), x  # type: ignore[return-value]


class Whole(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).round().long()


class Wide(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).double()


@pytest.mark.parametrize(
    ("encoder", "decoder", "sentence"),
    [
        (nn.Linear(4, 3), None, r"The encoder makes \(2, 3\) of \(2, 4\), where \(2, 4\) is needed"),
        (nn.Linear(5, 4), None, r"The encoder does not take data of shape \(4,\): mat1"),
        (None, nn.Linear(2, 5), r"The decoder makes \(2, 5\) of \(2, 2\), where \(2, 1, 4\) or \(2, 4\) is needed"),
        (None, nn.Linear(3, 4), r"The decoder does not take latents of shape \(2,\): mat1"),
        (Two(4, 4), None, "The encoder returns a tuple, and one tensor is needed"),
        (Whole(4, 4), None, "The encoder emits int64 numbers for float32 ones"),
        (None, Wide(2, 4), "The decoder emits float64 numbers for float32 ones"),
        (nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), None, "The encoder writes into the rows"),
        (None, nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 4)), "The decoder writes into the rows"),
        (Noisy(4, 4), None, "The encoder makes other numbers of the same rows at each call"),
        (None, Noisy(2, 4), "The decoder makes other numbers"),
        (nn.Bilinear(4, 4, 4), None, "The encoder is called as forward.rows., which it does not take"),
    ],
)
def test_what_does_not_fit_is_one_sentence_of_the_dry_run(encoder, decoder, sentence):
    x = data.from_array(rows())
    pair = (encoder or nn.Linear(4, 4), decoder or nn.Linear(2, 4))
    with pytest.raises(UserError, match=sentence) as error:
        dry_run(recipes.vae(x, latent=2, network=pair), x)
    assert str(error.value).count(". ") == 0


def test_the_rows_survive_a_network_that_writes_into_them():
    x = data.from_array(rows())
    before = x.train.rows[:].clone()
    pair = (nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), nn.Linear(2, 4))
    with pytest.raises(UserError, match="writes into"):
        fit(recipes.vae(x, latent=2, network=pair), x, epochs=1, show=False)
    assert torch.equal(x.train.rows[:].clamp_min(0), before.clamp_min(0))


def fails(sizes: Sizes) -> None:
    raise KeyError("missing")


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (
            fails,
            r"test_own_networks:fails, called with the sizes of the networks, failed: KeyError: 'missing' \(.*line \d+",
        ),
        (lambda sizes: leaves(sizes), r"called with the sizes of the networks, failed: SystemExit: 3 \("),
        (lambda sizes: nn.Linear(4, 4), "returns a Linear, and .encoder, decoder., two modules, are needed"),
        (lambda sizes: (nn.Linear(4, 4), 3), "returns a tuple of Linear, int"),
        (nn.Linear(4, 4), "is none: give mlp, conv, MODULE:FUNCTION"),
        ("cnn", "'cnn' is none"),
        (7, "7 is none"),
        ("own", "handed over in Python and have no name"),
        ("no_such_module_here:make", "no module 'no_such_module_here' in"),
        ("math:make", "has no function 'make'"),
    ],
)
def test_what_is_no_network_is_one_sentence(network, sentence):
    with pytest.raises(UserError, match=sentence):
        recipes.vae(rows(), latent=2, network=network)


def test_a_context_needs_networks_that_take_it():
    x = data.from_array(rows(), labels=torch.arange(60) % 2, context="label")
    with pytest.raises(UserError, match=r"encoder of .*:make is called as forward\(rows, context\)"):
        recipes.conditional_vae(x, latent=2, network=make)


# --- the command line, and whose code runs -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder of the user's with a table and a module whose name no other test has."""
    monkeypatch.chdir(tmp_path)
    name = f"nets_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    x = torch.randn(60, 3)
    (tmp_path / "t.csv").write_text("a,b,c\n" + "\n".join(",".join(f"{v:.4f}" for v in row) for row in x.tolist()))
    yield name
    sys.modules.pop(name, None)


TRAIN = "train vae t.csv --latent 2 --epochs 1 --no-report --quiet --evidence-samples 2 --out run --network {}:make"


def test_the_command_line_keeps_the_name_and_the_checksum(folder, capsys, monkeypatch):
    path = list(sys.path)
    assert run(TRAIN.format(folder)) == 0
    assert sys.path == path
    kept = json.loads(Path("run/run.json").read_text())["options"]
    assert kept["network"] == f"{folder}:make"
    assert kept["network_sha256"] == hashlib.sha256(Path(f"{folder}.py").read_bytes()).hexdigest()
    monkeypatch.setenv("LOGPX_NETWORK", f"other:make,{folder}:make")
    capsys.readouterr()
    assert run("evaluate run --samples 2") == 0
    assert capsys.readouterr().err == ""
    Path(f"{folder}.py").write_text(SOURCE + "# a remark\n")
    assert run("evaluate run --samples 2") == 0
    assert "is not the one that this run was trained with" in capsys.readouterr().err


def test_no_code_runs_that_nobody_asked_for(folder, capsys, monkeypatch):
    assert run(TRAIN.format(folder)) == 0
    sys.modules.pop(folder)
    for line in ("evaluate run", "score run t.csv", "sample run", "report run", "doctor run", "impute run"):
        assert f"where you trust {folder}:make" in refused(line, capsys)
    assert folder not in sys.modules
    with pytest.raises(UserError, match="opening it runs that code"):
        load_run("run")
    assert load_run("run", network=f"{folder}:make").model.has_evidence
    monkeypatch.chdir("run")
    monkeypatch.setenv("LOGPX_NETWORK", f"{folder}:make")
    assert "step out of it" in refused("evaluate .", capsys)


def test_other_weights_than_the_source_makes_are_refused(folder, capsys, monkeypatch):
    assert run(TRAIN.format(folder)) == 0
    Path(f"{folder}.py").write_text(SOURCE.replace("8", "9"))
    sys.modules.pop(folder)
    monkeypatch.setenv("LOGPX_NETWORK", f"{folder}:make")
    capsys.readouterr()
    assert run("evaluate run --samples 2") == 2
    changed, misfit = capsys.readouterr().err.splitlines()
    assert "another checksum" in changed
    assert "does not fit the model that run.json describes" in misfit


def test_the_command_that_trains_the_same_again_runs_nothing(folder, capsys):
    assert run(TRAIN.format(folder)) == 0
    sys.modules.pop(folder)
    again = recipes.command(json.loads(Path("run/run.json").read_text()))
    assert f"--network {folder}:make" in again
    assert "sha256" not in again
    assert folder not in sys.modules


def test_a_module_that_fails_is_named_with_its_line(folder, capsys):
    Path(f"{folder}.py").write_text("import torch\n\nraise RuntimeError('not today')\n")
    assert f"Importing {folder} for the network {folder}:make failed: RuntimeError: not today" in refused(
        TRAIN.format(folder), capsys
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import torch\n\ndef f(:\n", "failed: SyntaxError: invalid syntax ({file}, line 3)."),
        ("import sys\n\nsys.exit(4)\n", "failed: SystemExit: 4 ({file}, line 3)."),
        ("import {start}", "failed: ModuleNotFoundError: No module named '{start}' ({file}, line 1)."),
        ("raise ValueError", "failed: ValueError ({file}, line 1)."),
    ],
)
def test_what_stops_a_module_is_said_with_its_file_and_line(folder, capsys, source, said):
    """A module that is missing may be named as the beginning of the one that misses it."""
    file, start = Path(f"{folder}.py").resolve(), folder[:-1]
    file.write_text(source.format(start=start))
    assert said.format(file=file, start=start) in refused(TRAIN.format(folder), capsys)


def test_a_folder_of_modules_that_lacks_one(folder, capsys):
    assert f"There is no module 'json.{folder}' in" in refused(TRAIN.format(f"json.{folder}"), capsys)
    assert "There is no module 'no_such_folder.nets' in" in refused(TRAIN.format("no_such_folder.nets"), capsys)


def leaves(sizes: Sizes) -> None:
    raise SystemExit(3)


def test_the_folder_leaves_the_path_after_an_error_too(folder):
    path = list(sys.path)
    with pytest.raises(ValueError, match="no"), in_current_folder():
        raise ValueError("no")
    assert sys.path == path


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
    scope: dict[str, object] = {}
    first, *others = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mynets.py").write_text(first)
    for block in (first, *others):
        exec(compile(block, "networks.md", "exec"), scope)
    assert "makes (2, 3) of (2, 1, 8, 8), where (2, 4) is needed" in capsys.readouterr().out
    assert "makes (2, 3) of (2, 1, 8, 8), where (2, 4) is needed" in " ".join(page.split())
    sys.modules.pop("mynets", None)
