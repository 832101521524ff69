"""Standardisation lives inside the model: what it says of x is in the units of the file, whatever the units are."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import run
from logpx import VAE, data, exact, recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.recipes import RECIPES, load_run
from logpx.samples import draw_samples
from logpx.train import fit

UNITS, OFFSETS = torch.tensor([1.0, 1e3, 1e-2, 8.0]), torch.tensor([0.0, 5e3, -1.0, 64.0])


def rows(n: int = 200) -> torch.Tensor:
    return torch.randn(n, 2) @ torch.randn(2, 4) + 0.3 * torch.randn(n, 4)


def test_a_vae_does_not_care_about_the_units():
    """log p(a x + b) = log p(x) - sum_j log a_j after the same training, by the same noise."""
    x = rows()
    found = []
    for own in (x, UNITS * x + OFFSETS):
        made = from_array(own, standardise=True)
        trained = fit(recipes.vae(made, latent=2, hidden=(8,)), made, epochs=3, show=False, precision="float64")
        found.append(evidence(trained.model, made.test, samples=20, seed=1).per_point)
    assert torch.allclose(found[0] - UNITS.log().sum(), found[1], atol=1e-3)


@pytest.mark.parametrize("solution", ["closed form", "em"])
def test_ppca_of_standardised_columns_is_exact_in_the_units_of_the_file(solution):
    x = UNITS * rows() + OFFSETS
    made = from_array(x, standardise=True)
    method, epochs = recipes.ppca(made, latent=2, solution=solution), 30 if solution == "em" else 1
    trained = fit(method, made, epochs=epochs, show=False, precision="float64")
    mean, scale = (n.double() for n in made.spec.standard.tensors((4,)))
    y = (made.train.x().double() - mean) / scale
    steps = exact.ppca.em(y, 2, iterations=10**9)
    kept = next(islice(steps, trained.best_epoch - 1, None))[0]
    fitted = exact.ppca.closed_form(y, 2) if solution == "closed form" else kept
    expected = fitted.log_evidence((made.test.x().double() - mean) / scale) - scale.log().sum()
    found = evidence(trained.model, made.test)
    assert found.kind == "exact"
    assert torch.allclose(found.per_point, expected, atol=1e-4)


def test_factor_analysis_is_the_same_with_and_without():
    x = rows()
    values = []
    for standardise in (False, True):
        made = from_array(x, standardise=standardise)
        trained = fit(recipes.factor_analysis(made, latent=2), made, epochs=100, show=False)
        values.append(evidence(trained.model, made.test).mean)
    assert values[0] == pytest.approx(values[1], abs=1e-9)


@pytest.mark.parametrize("name", [name for name, row in RECIPES.items() if not (row.kind or row.conditional)])
def test_every_recipe_standardises_or_says_that_it_does_not(name):
    made = from_array(rows(60), standardise=True)
    row = RECIPES[name]
    small = {"latent": 2, "hidden": (4,), "top": 1, "critic": (4,), "samples": 2, "iterations": 1, "restarts": 1}
    small |= {"anchors": 3, "operators": 1, "codes": 4, "width": 4, "prior_steps": 2}
    options = {option: value for option, value in small.items() if option in row.options}
    options |= {"eps": 1.0} if name == "constrained_vae" else {}
    if name in ("linear_vae", "contractive", "geco", "made", "pixelcnn", "pixel_vae"):
        with pytest.raises(UserError, match="tandardise"):
            row.build(made, **options)
        return
    trained = fit(row.build(made, **options), made, epochs=1, show=False)
    if trained.model.prior is None:
        return
    x = draw_samples(trained.model, 200, draw=True, seed=0)
    assert ((x - x.mean(0)).abs().amax(0) > 0).all()


def test_a_likelihood_of_other_numbers_is_refused():
    with pytest.raises(UserError, match="no law of standardised numbers: choose one of gaussian, laplace, student_t"):
        recipes.vae(from_array(torch.rand(30, 3), kind="real", standardise=True), likelihood="continuous_bernoulli")


def test_the_command_line_keeps_it_and_gives_original_units(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = (UNITS * rows() + OFFSETS).double()
    lines = [[f"{v:.6g}" for v in row] for row in x.tolist()]
    lines[3][1] = ""
    Path("t.csv").write_text("a,b,c,d\n" + "\n".join(map(",".join, lines)))
    assert run("train vae t.csv --standardise --latent 2 --epochs 5 --quiet --out run --evidence-samples 5") == 0
    info = json.loads(Path("run/run.json").read_text())
    assert len(info["data"]["standard"][0]) == 4
    assert "--standardise" in recipes.command(info)
    first = evidence(load_run("run").model, data.load("t.csv", standardise=True).test, samples=5).mean
    capsys.readouterr()
    assert run("evaluate run --samples 5 --json") == 0
    assert json.loads(capsys.readouterr().out)["value"] == pytest.approx(first)
    assert run("sample run -n 50 --draw --out new.csv") == 0
    assert run("impute run --out full.csv") == 0
    new, full = (np.loadtxt(name, delimiter=",", skiprows=1) for name in ("new.csv", "full.csv"))
    centre, scale = np.array(info["data"]["standard"])
    assert (np.abs(new.mean(0) - centre) < 2 * scale).all()
    assert (new.std(0) / scale < 5).all()
    assert abs(full[3, 1] - centre[1]) < 4 * scale[1]


def test_the_estimator_standardises_inside(tmp_path):
    X = (UNITS * rows(80) + OFFSETS).numpy()
    model = VAE(standardise=True, epochs=2, random_state=0, samples=5).fit(X)
    assert model.run_.info["data"]["standard"]
    again = model.partial_fit(X)
    assert again.inverse_transform(again.transform(X)).shape == X.shape
    assert np.isfinite(again.score(X))
