"""Laws that hold for every recipe of the table; a new recipe enters them by being in it."""

import inspect
import json
import math
import re
from itertools import islice
from pathlib import Path

import pytest
import torch

from logpx import recipes
from logpx.cli.signature import _option
from logpx.cli.train import train_options
from logpx.data import Data, from_array
from logpx.data.language import sentences
from logpx.doctor import examine, findings
from logpx.errors import UserError
from logpx.evaluate import at_rest
from logpx.recipes import RECIPES, load_run
from logpx.recipes.page import example, files, page
from logpx.train import Method, fit
from logpx.train.engine import arithmetic
from logpx.train.log import reporter
from logpx.train.loop import Loop

EVIDENCE = Path(__file__).parents[1] / "evidence"
#: whichever of these options a recipe has, so that it is small enough for a test
SMALL = {"latent": 2, "hidden": (16,), "width": 16, "samples": 3, "critic": (16,)}
#: the same for single recipes
OWN: dict[str, dict] = {
    "capacity_vae": {"capacity": 2.0, "gamma": 10.0, "steps": 100},
    "constrained_vae": {"eps": 2.0},
    "geco": {"kappa": 1.0},
    "vq_vae": {"codes": 8, "width": 4, "prior_steps": 20, "prior_width": 8},
    "vaells": {"operators": 1, "anchors": 3, "iterations": 1, "restarts": 1, "warmup": 20},
    "two_layer_vae": {"top": 1, "top_hidden": (8,)},
}
every_recipe = pytest.mark.parametrize("name", RECIPES)


def toy(name: str) -> Data:
    """Three hidden causes, six columns: something that every recipe can learn; with a label where it is conditional."""
    if RECIPES[name].kind == "sequence":
        return from_array(sentences(600, 0, places=4)[0], kind="sequence", name="toy")
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(600, 3, generator=generator)
    W = torch.randn(3, 6, generator=generator)
    x = (z @ W + 0.3 * torch.randn(600, 6, generator=generator)).numpy()
    context = "label" if RECIPES[name].conditional else None
    return from_array(x, name="toy", labels=(z[:, 0] > 0).long(), context=context)


def small(name: str, data: Data, **options) -> Method:
    row = RECIPES[name]
    common = {option: value for option, value in SMALL.items() if option in row.options}
    return row.build(data, **common | OWN.get(name, {}) | options)


@every_recipe
def test_the_docstring_has_title_reference_and_formula(name):
    row, text = RECIPES[name], inspect.getdoc(RECIPES[name].source)
    assert re.search(r"\d{4}", row.reference)
    assert row.title
    assert re.search(r"log p\(x|log w|N\(", text), "no formula"


@every_recipe
def test_every_option_has_a_meaning_a_default_and_a_place_on_the_command_line(name):
    row = RECIPES[name]
    text, meanings = row.text
    assert meanings.keys() == row.options.keys()
    assert not set(row.options) & set(inspect.signature(train_options).parameters)
    for parameter in row.options.values():
        assert parameter.default is not inspect.Parameter.empty
        _option(parameter)
    assert row.title in text
    lines = (inspect.getdoc(row.source) or "").splitlines()
    first = next((i for i, line in enumerate(lines) if line.partition(": ")[0] in row.options), len(lines))
    assert all(line.partition(": ")[0] in row.options for line in lines[first:]), "an option of two lines"


@every_recipe
def test_the_longest_path_to_read_a_method_is_six_files(name):
    assert 1 <= len(files(name)) <= 6


@every_recipe
def test_show_prints_the_recipe_and_each_of_its_parts(name):
    text, model = page(name), example(name).model
    assert f"def {name}(" in text
    for part in (model.posterior, model.prior, model.likelihood):
        if part is None:
            continue
        assert f"class {type(part).__name__}(" in text
    compile(text, name, "exec")


@every_recipe
def test_the_seed_decides_the_weights_and_leaves_the_callers_state_alone(name):
    before = torch.get_rng_state()
    a, b, c = (small(name, toy(name), seed=s).model.state_dict() for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a)
    if name != "ppca":  # its weights come from the data alone
        assert any(not torch.equal(a[k], c[k]) for k in a)


@every_recipe
def test_every_learned_parameter_gets_a_gradient(name):
    method = small(name, toy(name))
    method.objective(method.model, toy(name).train.batch(slice(0, 16))).loss.backward()
    for key, parameter in (*method.model.named_parameters(), *method.objective.named_parameters()):
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, key
        assert bool(parameter.grad.isfinite().all()), key


@every_recipe
def test_the_whole_step_is_one_graph(name):
    """Loss, gradient, clipping and Adam's move traced together: terms and weights are those of the steps of the loop."""
    torch.compiler.reset()  # forgets the recipes of the table before
    results = []
    for whole in (False, True):
        torch.manual_seed(1)  # the weights of a network are drawn when it is built
        method = small(name, toy(name)).with_training(clip=1.0, encoder_steps=0)
        method.model.double()
        if method.solve:
            return
        results.append(_four_steps(method, toy(name), whole))
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-12)


def _four_steps(method: Method, data: Data, whole: bool) -> list[torch.Tensor]:
    with arithmetic(torch.device("cpu"), "float64", None, seed=0):
        settings = {"seed": 0, "device": "cpu", "precision": "float64", "compile": "no", "save_every": 1}
        loop = Loop(method, data, settings, reporter(quiet=True))
        loop.open(None, resume=False, force=False)
        loop.whole = loop.as_one_graph(backend="eager") if whole else None
        method.model.train()
        batches = [*islice(loop.feed.epoch(), 2)] * 2
        batches[2] = batches[2].map(lambda t: t[:7])  # another shape goes another way
        terms = [torch.stack([t.detach().double() for t in loop._one_step(batch).values()]) for batch in batches]
    assert not whole or loop.whole is not None
    return terms + list(method.model.state_dict().values()) + list(method.objective.state_dict().values())


@every_recipe
@pytest.mark.parametrize("precision", ["bfloat16", "medium"])
def test_a_lower_precision_trains_to_the_same_loss(name, precision):
    """The same seed, noise and order: after one epoch only rounding is between them."""
    data = toy(name)
    how = {"epochs": 1, "batch_size": 50, "learning_rate": 1e-3, "show": False}
    losses = [
        fit(small(name, data), data, precision=p, **how).rows[-1]["train"]["loss"] for p in ("float32", precision)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.01, abs=0.05)


@every_recipe
def test_it_learns_a_toy_set(name):
    data = toy(name)
    method = small(name, data)
    with torch.no_grad():
        torch.manual_seed(0)
        before = method.objective(method.model, data.held_out.batch()).loss.item()
    run = fit(method, data, epochs=30, batch_size=50, learning_rate=0.01, show=False)
    assert run.best["held_out"]["loss"] < before - 0.5


@every_recipe
def test_saved_and_loaded_it_is_the_same_model(name, tmp_path):
    data = toy(name)
    run = fit(small(name, data), data, epochs=2, show=False, out=tmp_path / "run")
    again = load_run(tmp_path / "run")
    torch.testing.assert_close(again.model.state_dict(), run.model.state_dict(), rtol=0, atol=0)
    x = data.test.batch()
    with at_rest(again.model), at_rest(run.model):  # a denoising encoder adds its noise only in training mode
        assert torch.equal(again.model.encode(x).mean, run.model.encode(x).mean)


@every_recipe
def test_the_doctor_examines_it_or_says_why_not(name):
    data = toy(name)
    run = fit(small(name, data), data, epochs=1, show=False)
    try:
        measured = examine(run, data, rows=20)
    except UserError as why:
        assert str(why).endswith(".")  # noqa: PT017 - either answer will do
        return
    assert json.dumps(measured.summary(), allow_nan=False)
    assert not measured.diverged
    assert all(finding.says.endswith(".") for finding in findings(measured))


@every_recipe
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(name, tmp_path):
    data = toy(name)
    whole = fit(small(name, data), data, epochs=4, show=False, out=tmp_path / "whole")
    fit(small(name, data), data, epochs=2, show=False, out=tmp_path / "broken")
    fit(small(name, data), data, epochs=4, show=False, out=tmp_path / "broken", resume=True)
    again = load_run(tmp_path / "broken")
    torch.testing.assert_close(again.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    assert [r["train"] for r in again.rows] == [r["train"] for r in whole.rows]


@every_recipe
def test_a_last_batch_of_one_row_trains(name):
    rows = toy(name).train
    data = from_array(
        rows.rows[:20],
        labels=None if rows.labels is None else rows.labels[:20],
        kind=RECIPES[name].kind,
        context="label" if RECIPES[name].conditional else None,
        held_out=2,
        test=1,
    )
    run = fit(small(name, data), data, epochs=1, batch_size=16, show=False)
    assert len(data.train) == 17
    for split in ("train", "held_out"):
        assert all(math.isfinite(value) for value in run.rows[0][split].values())


@every_recipe
def test_it_has_an_evidence_file_with_our_number_the_settings_and_the_command(name):
    found = [json.loads(path.read_text()) for path in EVIDENCE.glob("*.json")]
    mine = [value for value in found if value["recipe"] == name]
    assert mine, f"no file in evidence/ names the recipe {name}"
    assert any(value["unit"].startswith("nats") for value in mine), "no file has its log-likelihood"
    for value in mine:
        assert {"settings", "data", "command", "machine", "unit"} <= value.keys()


def test_the_table_holds_what_the_package_offers():
    assert set(RECIPES) <= set(recipes.__all__)
