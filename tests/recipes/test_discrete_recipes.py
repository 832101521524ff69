"""Categorical latents as a recipe: what each gradient sets up, true bounds from any of them, reports, what is refused."""

import math

import pytest
import torch

from logpx import recipes
from logpx.data import Spec, from_array
from logpx.errors import UserError
from logpx.evaluate import at_rest, evidence, impute, mutual_information, usage
from logpx.model import Batch
from logpx.objectives import DIP, ELBO
from logpx.recipes import load_run
from logpx.report import write
from logpx.train import fit

PIXELS = Spec((6,), "binary")
SMALL = {"hidden": (8,), "variables": 2, "classes": 3}
GRADIENTS = ("relaxed", "straight_through", "leave_one_out", "exact")
each_gradient = pytest.mark.parametrize("gradient", GRADIENTS)


def random_pixels(rows=32, shape=(6,), seed=0):
    return (torch.rand(rows, *shape, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


def two_kinds(rows=400):
    """Rows of six equal pixels, half of them 0, with a tenth of the pixels flipped."""
    g = torch.Generator().manual_seed(0)
    kind = (torch.rand(rows, 1, generator=g) < 0.5).float()
    return (kind - (torch.rand(rows, 6, generator=g) < 0.1).float()).abs()


def log_p(model, x):
    """log sum_z p(z) p(x|z) over all codes."""
    with at_rest(model):
        prior = model.prior()
        z = prior.enumerate_support()
        return (model.decode(z[:, None].expand(-1, len(x), -1)).log_prob(x) + prior.log_prob(z)[:, None]).logsumexp(0)


@pytest.fixture(scope="module")
def fitted():
    """Two kinds of rows, and a model of them."""
    data = from_array(two_kinds().numpy())
    how = {"epochs": 15, "batch_size": 20, "learning_rate": 0.01, "show": False, "compile": "no"}
    options = SMALL | {"anneal": 100, "prior": "learned", "hidden": (16,)}
    return data, fit(recipes.dvae(data, **options), data, **how).model


def test_trained_by_relaxed_draws_it_finds_two_kinds_and_its_evidence_is_a_bound(fitted):
    (data, model), x = fitted, fitted[0].train.batch().x
    ones = x.sum(1)
    truth = torch.logaddexp(ones * math.log(9), (6 - ones) * math.log(9)) + 6 * math.log(0.1) - math.log(2)
    found, exact = evidence(model, x, samples=50), log_p(model, x)
    assert found.mean <= exact.mean().item() + 4 * found.monte_carlo_error
    assert found.mean == pytest.approx(exact.mean().item(), abs=0.05)
    assert found.mean == pytest.approx(truth.mean().item(), abs=0.15)
    assert usage(model, x).kl.max().item() > 0.4
    assert evidence(model, data.test, samples=5).kind == "lower bound"


@each_gradient
def test_training_terms_say_what_is_a_bound(gradient):
    data = from_array(random_pixels(60).numpy())
    run = fit(recipes.dvae(data, gradient=gradient, **SMALL), data, epochs=1, show=False)
    row = run.rows[0]
    assert ("elbo" in row["train"]) == (gradient != "relaxed") == ("relaxed" not in row["train"])
    assert "elbo" in row["held_out"]
    assert run.info["kl"] == "closed form"


def test_the_temperature_of_a_resumed_run_goes_on(tmp_path):
    data = from_array(random_pixels(60).numpy())
    build = SMALL | {"anneal": 6}
    fit(recipes.dvae(data, **build), data, epochs=1, batch_size=16, show=False, out=tmp_path / "run")
    first = load_run(tmp_path / "run").model.posterior.temperature.item()
    run = recipes.dvae(data, **build)
    fit(run, data, epochs=3, batch_size=16, show=False, out=tmp_path / "run", resume=True)
    steps = math.ceil(len(data.train) / 16)
    assert first == pytest.approx(0.5 ** (steps / 6), rel=1e-5)
    assert run.model.posterior.temperature.item() <= first


def test_leaving_one_out_takes_four_draws_and_the_others_one():
    found = {
        g: recipes.dvae(PIXELS, gradient=g, **SMALL).objective.samples for g in ("leave_one_out", "relaxed", "exact")
    }
    assert found == {"leave_one_out": 4, "relaxed": 1, "exact": 1}


def test_use_is_counted_by_variable_and_information_is_below_log_of_the_codes():
    method = recipes.dvae(PIXELS, **SMALL)
    with torch.no_grad():
        method.model.encoder.net[-1].weight *= 30
    x = random_pixels(500)
    found = usage(method.model, x)
    assert found.kl.shape == found.variance_of_means.shape == (2,)
    assert found.active == 2
    assert 0 < mutual_information(method.model, x) < 2 * math.log(3)


def test_missing_values_are_filled_by_the_class_they_belong_to(fitted):
    x = torch.tensor([[1.0, 1, 1, 1, 1, math.nan], [0.0, 0, 0, 0, 0, math.nan]])
    filled = impute(fitted[1], x, samples=200)
    assert filled[0, 5] > 0.7
    assert filled[1, 5] < 0.3


@pytest.mark.parametrize("variables", [1, 12])
def test_a_report_takes_each_variable_through_its_classes(tmp_path, variables):
    data = from_array(random_pixels(80, (1, 4, 4)).numpy())
    method = recipes.dvae(data, variables=variables, classes=2 if variables == 1 else 20, hidden=(8,))
    run = fit(method, data, epochs=1, show=False, out=tmp_path / "run")
    html = write(run, data, evidence(run.model, data.test, samples=5)).read_text()
    assert "Class by class" in html
    assert "most probable code of the first" in html
    assert f"of {variables} active" in html
    assert ("the first 16 of 20" in html) == (variables == 12)
    assert "posterior mean" not in html
    assert "Latent space<" not in html
    assert (tmp_path / "run" / "figures" / "classes.png").exists()


@pytest.mark.parametrize("columns", [2, 3])
def test_a_report_of_a_plane_and_of_columns_is_written(tmp_path, columns):
    data = from_array(torch.randn(60, columns).numpy())
    run = fit(recipes.dvae(data, **SMALL), data, epochs=1, show=False, out=tmp_path / "run")
    assert "Samples" in write(run, data).read_text()


def test_a_conditional_model_is_possible():
    spec = Spec((6,), "binary", context=2)
    method = recipes.dvae(spec, **SMALL)
    assert method.model.encoder.net[0].in_features == 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gradient": "exact", "variables": 20, "classes": 10}, "too many to enumerate"),
        ({"gradient": "leave_one_out", "samples": 1}, "samples of 2 or more"),
        ({"temperature": 0.2}, "from 0.2 to 0.5"),
        ({"classes": 1}, "greater than or equal to 2"),
        ({"variables": 0}, "greater than 0"),
        ({"temperature": math.nan}, "finite"),
    ],
)
def test_bad_options_are_a_sentence(options, said):
    with pytest.raises(UserError, match=said):
        recipes.dvae(PIXELS, **SMALL | options)


def test_penalties_that_need_axes_refuse():
    method = recipes.dvae(PIXELS, **SMALL)
    with pytest.raises(UserError, match="have none"):
        (ELBO() + DIP())(method.model, Batch(random_pixels()))
