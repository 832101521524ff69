"""Deterministic codes as recipes: PCA's error, a density fitted last, and what the program says of it."""

import json

import pytest
import torch

from logpx import recipes
from logpx.cli import run as logpx
from logpx.data import Spec, from_array
from logpx.errors import UserError
from logpx.evaluate import code_evidence
from logpx.recipes import load_run
from logpx.samples import draw_samples
from logpx.train import fit

REAL = Spec((6,), "real")


def rows(n=400):
    W = torch.randn(3, 6)
    return from_array((torch.randn(n, 3) @ W + 0.3 * torch.randn(n, 6) + 1).numpy(), held_out=40, test=0)


def test_the_linear_autoencoder_ends_at_the_error_of_pca():
    x = rows().train.x()
    data = from_array(x.numpy(), held_out=0, test=0)
    method = recipes.linear_ae(data, latent=2, sigma=1.0)
    fit(method, data, epochs=2500, batch_size=len(x), learning_rate=0.03, schedule="cosine", show=False)
    found = method.model.decode(method.model.encoder(x)).mean
    error = (x - found).square().sum(1).mean().item()
    dropped = torch.linalg.eigvalsh((x - x.mean(0)).double().T.cov(correction=0))[:-2].sum().item()
    assert error == pytest.approx(dropped, rel=1e-4)
    assert error >= dropped * (1 - 1e-5)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="must be below 1"):
        recipes.denoising(REAL, noise="masking", amount=1.0)
    with pytest.raises(UserError, match="has 4 elements"):
        recipes.sparse(REAL, penalty="top_k", k=5, latent=4)
    with pytest.raises(UserError, match="no context"):
        recipes.vamp_vae(Spec((6,), "real", context=2))


@pytest.mark.parametrize("penalty", ["l1", "kl", "top_k"])
def test_each_penalty_makes_its_code(penalty):
    model = recipes.sparse(REAL, penalty=penalty, latent=8, k=3).model
    z = model.encoder(torch.randn(20, 6))
    assert penalty != "kl" or bool(((z > 0) & (z < 1)).all())
    assert penalty != "top_k" or bool(((z != 0).sum(1) == 3).all())


@pytest.mark.parametrize("density", ["mixture", "flow"])
def test_a_density_is_fitted_last_kept_and_resumed(density, tmp_path):
    data = rows()
    options = {"latent": 2, "hidden": (8,), "density": density, "components": 2}
    before = recipes.ae(data, **options)
    with pytest.raises(UserError, match="fitted when the training ends"):
        draw_samples(before.model, 3)
    run = fit(before, data, epochs=2, show=False, out=tmp_path / "whole")
    fit(recipes.ae(data, **options), data, epochs=1, show=False, out=tmp_path / "broken")
    fit(recipes.ae(data, **options), data, epochs=2, show=False, out=tmp_path / "broken", resume=True)
    found = code_evidence(run.model, data.held_out)
    for folder in ("whole", "broken"):
        again = load_run(tmp_path / folder)
        assert torch.equal(code_evidence(again.model, data.held_out).per_point, found.per_point)
        assert draw_samples(again.model, 3).shape == (3, 6)


def test_the_density_of_codes_is_the_priors_and_is_never_called_evidence():
    data = rows()
    run = fit(recipes.ae(data, latent=2, density="mixture", components=1), data, epochs=1, show=False)
    z = run.model.encode(data.train.batch()).mean.detach().double()
    found = code_evidence(run.model, data.train)
    judge = torch.distributions.MultivariateNormal(z.mean(0), z.T.cov(correction=0))
    torch.testing.assert_close(found.per_point, judge.log_prob(z), rtol=1e-3, atol=1e-3)
    assert found.standard_error == pytest.approx(found.per_point.std().item() / len(z) ** 0.5)
    assert "not of x" in str(found)
    assert found.summary()["name"] == "log p(z)"


def test_the_density_of_codes_is_refused_where_there_is_none_or_a_better_number():
    x = torch.randn(5, 6)
    with pytest.raises(UserError, match="no prior over its codes"):
        code_evidence(recipes.ae(REAL).model, x)
    with pytest.raises(UserError, match="take evidence"):
        code_evidence(recipes.vae(REAL).model, x)


def test_the_program_prints_the_density_of_codes_under_its_own_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = "--epochs 1 --latent 2 --density mixture --components 2 --quiet --out run --json"
    assert logpx(["train", "ae", "digits", *options.split()]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["evidence"] is None
    assert said["code_evidence"]["name"] == "log p(z)"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "a density of codes" in page
    assert "posterior mean" not in page
    assert "Who is at work" not in page
    assert logpx(["evaluate", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "log p(z)"
    assert logpx(["sample", "run"]) == 0
