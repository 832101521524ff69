"""A sweep gives the runs that fit gives, at once: same numbers, same folders, and what goes wrong stays with one run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from logpx import recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.model import VAE
from logpx.objectives import ELBO, Step
from logpx.recipes import load_run
from logpx.train import Method, Run, fit, group, state, sweep
from logpx.train.log import Reporter
from logpx.train.loop import Loop


def numbers(n: int = 60, P: int = 4) -> Tensor:
    return torch.randn(n, P, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, P + 1))


def made(recipe: str = "beta_vae", x: Any = None, **options: Any) -> Method:
    sizes: dict[str, Any] = {"latent": 2, "hidden": (8,)} | ({"samples": 3} if recipe == "iwae" else {})
    return getattr(recipes, recipe)(numbers() if x is None else x, **(sizes | options))


def training(method: Method, **settings: Any) -> Method:
    from dataclasses import replace

    return replace(method, training=replace(method.training, **settings))


def weights(run: Run) -> dict[str, Tensor]:
    return run.model.state_dict()


def assert_same(a: Run, b: Run, close: float = 1e-9) -> None:
    for key, tensor in weights(a).items():
        torch.testing.assert_close(tensor, weights(b)[key], rtol=close, atol=close)
    assert len(a.rows) == len(b.rows)
    assert a.best_epoch == b.best_epoch
    for mine, its in zip(a.rows, b.rows, strict=True):
        for part in ("train", "held_out"):
            assert mine[part] == pytest.approx(its[part], rel=close, abs=close)


class Notes(Reporter):
    """What was said, and how often an epoch was told of."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.epochs = 0

    def note(self, text: str) -> None:
        self.said.append(text)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        self.epochs += 1


@pytest.fixture
def alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loop, "run_to_the_end", lambda self: pytest.fail("trained alone"))


HOW = {"epochs": 3, "batch_size": 16, "precision": "float64"}

# --- the same as one after another ------------------------------------------------------------------------------------

GRID = [{"seed": s, "beta": b, "warmup": w} for s, b, w in ((0, 0.5, 0), (1, 0.5, 5), (0, 4.0, 9), (7, 1.0, 4))]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"schedule": "cosine", "clip": 0.5},
        {"patience": 1, "epochs": 6, "learning_rate": 0.1},
        {"precision": "float32"},
    ],
    ids=str,
)
def test_seeds_betas_and_warm_ups_at_once_are_what_fit_gives(settings: dict[str, Any]) -> None:
    how: dict[str, Any] = HOW | settings
    at_once = sweep([made(**o) for o in GRID], numbers(), show=False, **how)
    assert all(run.info["at_once"] == 4 for run in at_once)
    for options, run in zip(GRID, at_once, strict=True):
        alone = fit(made(**options), numbers(), seed=options["seed"], show=False, **how)
        assert_same(run, alone, 1e-9 if how["precision"] == "float64" else 2e-4)
        assert run.info["settings"] == alone.info["settings"]
        assert run.info["training"] == alone.info["training"]
        assert not run.model.training
    if "patience" in settings:
        assert len({len(run.rows) for run in at_once}) > 1  # they leave the group one by one


def test_learning_rates_differ_within_a_group() -> None:
    rates = (1e-2, 1e-3, 1e-2, 3e-3)
    how = HOW | {"schedule": "cosine"}
    at_once = sweep(
        [training(made(seed=i), learning_rate=r) for i, r in enumerate(rates)], numbers(), show=False, **how
    )
    assert all(run.info["at_once"] == 4 for run in at_once)
    for i, (rate, run) in enumerate(zip(rates, at_once, strict=True)):
        assert_same(run, fit(made(seed=i), numbers(), learning_rate=rate, seed=i, show=False, **how))


PIXELS = (np.random.RandomState(0).rand(48, 4, 4) * 255).astype(np.uint8)
HOLES = numbers().masked_fill(torch.rand(60, 4, generator=torch.Generator().manual_seed(1)) < 0.2, torch.nan)
ROWS = {
    "binarised anew": lambda: from_array(PIXELS, protocol="dynamic"),
    "missing values": lambda: from_array(HOLES.numpy()),
    "with context": lambda: from_array(numbers().numpy(), labels=torch.arange(60) % 3, context="label"),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_kind_of_rows_is_fed_as_fit_feeds_it(name: str) -> None:
    data = ROWS[name]()
    recipe = "conditional_vae" if name == "with context" else "vae"
    seeds = (0, 3)
    at_once = sweep([made(recipe, data, seed=s) for s in seeds], data, show=False, **HOW)
    for seed, run in zip(seeds, at_once, strict=True):
        assert run.info["at_once"] == 2
        assert_same(run, fit(made(recipe, data, seed=seed), data, seed=seed, show=False, **HOW))


def test_rows_on_disk_are_fed_as_fit_feeds_them(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers().numpy())
    data = from_array(np.load(tmp_path / "x.npy", mmap_mode="r"))
    at_once = sweep([made(x=data, seed=s) for s in range(2)], data, show=False, **HOW)
    assert_same(at_once[1], fit(made(x=data, seed=1), data, seed=1, show=False, **HOW))


def test_other_shapes_and_other_plain_numbers_are_other_groups(alone_is_an_error: None) -> None:
    options = [{"latent": d, "free_bits": f, "seed": s} for d in (1, 2) for f in (0.0, 0.2) for s in range(2)]
    notes = Notes()
    runs = sweep([made("vae", **o) for o in options], numbers(), show=notes, **HOW)
    assert [run.info["at_once"] for run in runs] == [2] * 8
    assert sum("at once" in said for said in notes.said) == 4
    for o, run in zip(options, runs, strict=True):
        assert run.model.posterior.dim == o["latent"]
        assert run.method.options["free_bits"] == o["free_bits"]
    assert notes.epochs == 4 * HOW["epochs"]


def test_who_asks_for_compilation_is_told(alone_is_an_error: None) -> None:
    notes = Notes()
    (run, _) = sweep([made(seed=s) for s in range(2)], numbers(), compile="yes", show=notes, **HOW)
    assert any("Not compiled: models that are trained at once" in said for said in notes.said)
    assert run.info["compiled"] is False


def test_a_group_has_a_largest_size(alone_is_an_error: None) -> None:
    runs = sweep([made(seed=s) for s in range(5)], numbers(), at_once=3, show=False, **HOW)
    assert [run.info["at_once"] for run in runs] == [3, 3, 3, 2, 2]


def test_one_at_a_time_is_fit_to_the_last_bit() -> None:
    runs = sweep([made(seed=s) for s in range(2)], numbers(), at_once=1, epochs=2, show=False)
    for seed, run in enumerate(runs):
        alone = fit(made(seed=seed), numbers(), epochs=2, seed=seed, show=False)
        assert all(torch.equal(t, weights(alone)[n]) for n, t in weights(run).items())
        assert [row["train"] for row in run.rows] == [row["train"] for row in alone.rows]


def test_seeds_of_order_and_noise_can_be_given() -> None:
    runs = sweep([made(seed=0), made(seed=0)], numbers(), seeds=(0, 5), show=False, **HOW)
    assert_same(runs[1], fit(made(seed=0), numbers(), seed=5, show=False, **HOW))


def test_what_the_caller_did_and_has_is_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = sweep([made(seed=s) for s in range(2)], numbers(), show=False, **HOW)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(9)
    again = sweep([made(seed=s) for s in range(2)], numbers(), show=False, **HOW)
    for a, b in zip(first, again, strict=True):
        assert all(torch.equal(t, weights(b)[n]) for n, t in weights(a).items())


def test_models_have_tensors_of_their_own_afterwards() -> None:
    runs = sweep([made(seed=s) for s in range(2)], numbers(), show=False, **HOW)
    storages = {t.untyped_storage().data_ptr() for run in runs for t in run.model.parameters()}
    assert len(storages) == sum(len(list(run.model.parameters())) for run in runs)


# --- what cannot be done at once --------------------------------------------------------------------------------------


class Shifting(ELBO):
    """An ELBO that counts its steps in Python, which no vectorised step can follow."""

    outside_the_step = ("calls",)
    calls = 0

    def forward(self, model: VAE, batch: Any) -> Step:
        self.calls += model.training
        loss, terms = super().forward(model, batch)
        return Step(loss * (1 + self.calls), terms)


def test_steps_that_would_differ_are_taken_one_after_another_and_a_sentence_says_so() -> None:
    from dataclasses import replace

    notes = Notes()
    methods = [replace(made(seed=s), objective=Shifting()) for s in range(2)]
    runs = sweep(methods, numbers(), show=notes, **HOW)
    assert any("one after another: vectorised steps would differ" in said for said in notes.said), notes.said
    for seed, run in enumerate(runs):
        alone = fit(replace(made(seed=seed), objective=Shifting()), numbers(), seed=seed, show=False, **HOW)
        assert_same(run, alone)


@pytest.mark.parametrize(
    ("recipe", "settings", "why"),
    [
        ("ppca", {}, "solves for its weights"),
        ("vae", {"optimizer": "muon"}, "muon moves one model's matrices"),
        ("vae", {"precision": "bfloat16"}, "bfloat16"),
    ],
)
def test_some_methods_and_settings_are_of_one_model(recipe: str, settings: dict[str, Any], why: str) -> None:
    notes = Notes()
    sizes = {"hidden": (8,)} if recipe == "vae" else {}
    methods = [getattr(recipes, recipe)(numbers(), latent=2, seed=s, **sizes) for s in range(2)]
    runs = sweep(methods, numbers(), show=notes, epochs=1, **settings)
    assert any("one after another" in said and why in said for said in notes.said), notes.said
    assert "at_once" not in runs[0].info


# --- a run that goes wrong --------------------------------------------------------------------------------------------


def exploding() -> list[Method]:
    return [training(made(seed=s), learning_rate=1e12 if s == 1 else 1e-3) for s in range(3)]


@pytest.mark.parametrize("at_once", [1, 8])
def test_a_run_that_diverges_is_set_aside_and_the_others_are_what_they_were(at_once: int, tmp_path: Path) -> None:
    how = HOW | {"precision": "float32", "epochs": 4, "at_once": at_once}
    runs = sweep(exploding(), numbers(), names=["a", "b", "c"], out=tmp_path / "all", show=False, **how)
    assert runs[1].info["status"] == "stopped"
    assert "finite" in runs[1].info["why"]
    for seed in (0, 2):
        alone = fit(made(seed=seed), numbers(), seed=seed, show=False, **(HOW | {"precision": "float32", "epochs": 4}))
        assert_same(runs[seed], alone, 2e-4)
        assert runs[seed].info["status"] == "finished"
    assert (tmp_path / "all" / "a" / "run.json").exists()
    left = tmp_path / "all" / "b"
    assert not left.exists() or json.loads((left / "run.json").read_text())["status"] == "stopped"
    again = sweep(exploding(), numbers(), names=["a", "b", "c"], out=tmp_path / "all", show=False, resume=True, **how)
    assert [run.info["status"] for run in again] == ["finished", "stopped", "finished"]


# --- folders ----------------------------------------------------------------------------------------------------------


def swept(out: Path, *, n: int = 3, show: Any = False, **how: Any) -> list[Run]:
    given: dict[str, Any] = HOW | how
    return sweep([made(seed=s) for s in range(n)], numbers(), names=list("abcd"[:n]), out=out, show=show, **given)


def test_each_folder_is_a_run(tmp_path: Path) -> None:
    runs = swept(tmp_path / "all")
    for name, run in zip("abc", runs, strict=True):
        opened = load_run(tmp_path / "all" / name)
        assert opened.info["status"] == "finished"
        assert opened.info["options"]["seed"] == opened.info["settings"]["seed"] == "abc".index(name)
        assert [row["train"] for row in opened.rows] == [row["train"] for row in run.rows]
        assert evidence(opened.model, numbers(), samples=3).mean == evidence(run.model, numbers(), samples=3).mean


class StopError(Exception):
    pass


def stopping(monkeypatch: pytest.MonkeyPatch, when: Callable[[Loop], bool]) -> None:
    """The process dies before a run's state is written."""
    whole = Loop._save

    def save(self: Loop) -> None:
        if when(self):
            raise StopError
        whole(self)

    monkeypatch.setattr(Loop, "_save", save)


@pytest.mark.parametrize(("seed", "epoch"), [(0, 1), (1, 1), (2, 2), (1, 3)])
def test_what_was_stopped_anywhere_goes_on_and_ends_the_same(
    seed: int, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the saves of two members: those behind catch up first."""
    whole = swept(tmp_path / "whole")
    with monkeypatch.context() as patched:
        stopping(patched, lambda loop: loop.settings["seed"] == seed and loop.epoch == epoch)
        with pytest.raises(StopError):
            swept(tmp_path / "all")
    for run, unbroken in zip(swept(tmp_path / "all", resume=True), whole, strict=True):
        assert_same(run, unbroken)
        assert run.info["status"] == "finished"


def test_what_is_finished_is_not_trained_again(tmp_path: Path) -> None:
    first = swept(tmp_path / "all")
    before = {p: p.read_bytes() for p in (tmp_path / "all").rglob("log.jsonl")}
    notes = Notes()
    again = swept(tmp_path / "all", n=4, resume=True, show=notes)  # and one that is new
    assert notes.epochs == HOW["epochs"]
    assert all(p.read_bytes() == content for p, content in before.items())
    for a, b in zip(first, again[:3], strict=True):
        assert_same(a, b, 0.0)
    assert_same(again[3], fit(made(seed=3), numbers(), seed=3, show=False, **HOW), 0.0)


def test_fit_goes_on_with_a_run_of_a_sweep_and_a_sweep_with_a_run_of_fit(tmp_path: Path) -> None:
    whole = swept(tmp_path / "whole", epochs=4)
    swept(tmp_path / "all", epochs=2)
    alone = fit(
        made(seed=1), numbers(), seed=1, out=tmp_path / "all" / "b", resume=True, show=False, **(HOW | {"epochs": 4})
    )
    assert_same(alone, whole[1])
    for seed, name in enumerate("abc"):
        fit(
            made(seed=seed),
            numbers(),
            seed=seed,
            out=tmp_path / "fits" / name,
            show=False,
            **(HOW | {"epochs": 1 + seed}),
        )
    for run, unbroken in zip(swept(tmp_path / "fits", epochs=4, resume=True), whole, strict=True):
        assert_same(run, unbroken)


def test_half_a_first_file_is_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "all" / "b"
    (folder / "state").mkdir(parents=True)
    (folder / ".run.json.x1").write_text("{")
    assert len(swept(tmp_path / "all", resume=True)) == 3
    assert state.read_json(folder / "run.json")["status"] == "finished"


# --- bad input --------------------------------------------------------------------------------------------------------


def one() -> Method:
    return made(seed=0)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing": (lambda: sweep([], numbers()), "nothing to sweep"),
    "names": (lambda: sweep([one(), one()], numbers(), names=["a"]), "2 methods, 1 names"),
    "twice": (lambda: sweep([one(), one()], numbers(), names=["a", "a"]), "Two runs of one name"),
    "shared": (lambda: sweep([one()] * 2, numbers()), "share a model"),
    "at_once": (lambda: sweep([one()], numbers(), at_once=0), "at_once is 0"),
    "resume": (lambda: sweep([one()], numbers(), resume=True), "without a folder"),
    "epochs": (lambda: sweep([one()], numbers(), epochs=0), "epochs is 0"),
    "rows": (lambda: sweep([one()], torch.zeros(0, 4)), "row"),
    "shape": (lambda: sweep([one()], numbers(P=3), show=False), "does not take data of shape"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_sentence(name: str) -> None:
    call, match = BAD[name]
    with pytest.raises(UserError, match=match):
        call()


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    swept(tmp_path / "all", n=2)
    shutil.rmtree(tmp_path / "all" / "a")
    kept = (tmp_path / "all" / "b" / "weights.safetensors").read_bytes()
    with pytest.raises(UserError, match="exists"):
        swept(tmp_path / "all", n=2)
    assert not (tmp_path / "all" / "a").exists()
    assert (tmp_path / "all" / "b" / "weights.safetensors").read_bytes() == kept
    with pytest.raises(UserError, match=r"beta 4\.0 and is resumed with 1.0"):
        sweep([made(seed=0, beta=1.0)], numbers(), names=["b"], seeds=[1], out=tmp_path / "all", resume=True, **HOW)


def test_nothing_is_replaced_before_every_method_is_checked(tmp_path: Path) -> None:
    swept(tmp_path / "all", n=2)
    kept = (tmp_path / "all" / "a" / "weights.safetensors").read_bytes()
    with pytest.raises(UserError, match="does not take data"):
        sweep([one(), made(x=numbers(P=3))], numbers(), names=["a", "b"], out=tmp_path / "all", force=True, show=False)
    assert (tmp_path / "all" / "a" / "weights.safetensors").read_bytes() == kept
    assert len(swept(tmp_path / "all", n=2, force=True)) == 2


def test_the_loop_of_a_group_reads_nothing_back_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read-back for each epoch: the table of all steps and members."""
    reads = []
    item, to = Tensor.item, Tensor.cpu
    inside = {"now": False}
    whole = group.Group._step

    def step(self: Any, batch: Any) -> Any:
        inside["now"] = True
        try:
            return whole(self, batch)
        finally:
            inside["now"] = False

    monkeypatch.setattr(group.Group, "_step", step)
    monkeypatch.setattr(Tensor, "item", lambda t: (reads.append("item") if inside["now"] else None, item(t))[1])
    monkeypatch.setattr(Tensor, "cpu", lambda t: (reads.append("cpu") if inside["now"] else None, to(t))[1])
    sweep([made(seed=s, warmup=3) for s in range(2)], numbers(), show=False, **(HOW | {"clip": 1.0}))
    assert not reads
