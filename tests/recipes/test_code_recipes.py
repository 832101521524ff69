"""Deterministic codes as recipes: PCA's error, a density fitted last, and what the program says of it."""

import json
import math
from itertools import chain, repeat

import pytest
import torch

from logpx import recipes
from logpx.cli import run as logpx
from logpx.data import Spec, from_array
from logpx.errors import UserError
from logpx.evaluate import code_evidence
from logpx.model import Batch
from logpx.objectives import Reconstruction
from logpx.recipes import code_density, load_run
from logpx.samples import draw_samples
from logpx.train import fit, loop

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
def test_a_density_is_fitted_last_kept_and_resumed(density, tmp_path, monkeypatch):
    monkeypatch.setattr(code_density, "STEPS", 50)
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


def test_a_flow_fitted_twice_is_fitted_afresh(tmp_path, monkeypatch):
    """Best epoch before the break: the weights on disk hold a fitted flow, from which no second fit may start."""
    monkeypatch.setattr(code_density, "STEPS", 10)
    data = rows(60)

    def trained(epochs, losses=(), **place):
        left = chain(losses, repeat(2.0))  # held-out losses as written down
        monkeypatch.setattr(loop, "expected_terms", lambda *a, **k: {"loss": next(left)})
        method = recipes.ae(data, latent=2, hidden=(8,), density="flow")
        return fit(method, data, epochs=epochs, batch_size=16, learning_rate=0.1, show=False, **place)

    whole = trained(3, [1.0])
    assert whole.best_epoch == 1
    trained(2, [1.0], out=tmp_path / "run")
    for _ in range(3):  # the first goes on, the others have nothing to do
        run = trained(3, out=tmp_path / "run", resume=True)
        for key, weight in whole.model.state_dict().items():
            assert torch.equal(weight, run.model.state_dict()[key]), key


@pytest.mark.parametrize(("density", "n"), [("mixture", 40), ("flow", 3)])
def test_too_few_rows_for_the_density_are_refused_before_the_training(density, n, tmp_path):
    x = torch.randn(n, 6)
    method = recipes.ae(REAL, latent=2, hidden=(4,), density=density, components=41)
    with pytest.raises(UserError, match=r"needs at least \d+ codes and will see \d+") as error:
        fit(method, from_array(x, held_out=1, test=1), epochs=1, show=False, out=tmp_path / "run")
    assert str(error.value).count(". ") == 0
    assert list(tmp_path.iterdir()) == []


def linear(x, latent=2):
    """The recipe with s = 1 in double precision, and its parameters V, a, W, b."""
    model = recipes.linear_ae(Spec((x.shape[1],), "real"), latent=latent, sigma=1.0).model.double()
    V, W = model.encoder.net[0], model.decoder.net[0]
    return model, (V.weight, V.bias, W.weight, W.bias)


def minimised(objective, model, batch, steps=300):
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def closure():
        optimizer.zero_grad()
        loss = objective(model, batch).loss
        loss.backward()
        return loss

    optimizer.step(closure)
    return closure().item()


def squared_error(loss, P):
    """E |x - m|^2 from -log N(x; m, I)."""
    return 2 * loss - P * math.log(2 * math.pi)


def test_the_linear_autoencoder_spans_the_principal_subspace():
    x = torch.randn(200, 6).double() @ torch.randn(6, 6).double() + 3
    model, (_, _, W, _) = linear(x)
    loss = minimised(Reconstruction(), model, Batch(x))
    values, U = torch.linalg.eigh(x.T.cov(correction=0))
    assert squared_error(loss, 6) == pytest.approx(values[:-2].sum().item(), rel=1e-9)
    cosines = torch.linalg.svdvals(torch.linalg.qr(W.detach())[0].T @ U[:, -2:])
    assert cosines.acos().nan_to_num().max().item() < 1e-4
    assert cosines.min().item() == pytest.approx(1, abs=1e-9)


def test_another_set_of_eigenvectors_is_a_saddle():
    """Baldi & Hornik 1989: no gradient there, the dropped eigenvalues as the error, and a way down."""
    x = torch.randn(200, 6).double() @ torch.randn(6, 6).double()
    x -= x.mean(0)
    values, U = torch.linalg.eigh(x.T.cov(correction=0))
    model, (V, a, W, b) = linear(x)
    for bias in (a, b):
        bias.data.zero_()

    def at(vectors):
        V.data, W.data = vectors.T.clone(), vectors.clone()
        return Reconstruction()(model, Batch(x)).loss

    loss = at(U[:, [1, 3]])
    assert squared_error(loss.item(), 6) == pytest.approx(values[[0, 2, 4, 5]].sum().item(), rel=1e-12)
    assert max(g.abs().max().item() for g in torch.autograd.grad(loss, (V, a, W, b))) < 1e-12
    turned = math.cos(0.01) * U[:, 3] + math.sin(0.01) * U[:, 5]
    assert at(torch.stack([U[:, 1], turned], 1)) < loss


def test_a_wide_code_copies():
    """As many code elements as columns and no noise: the error goes to 0, which is why codes are narrow or penalised."""
    x = torch.randn(60, 4).double()
    method = recipes.ae(Spec((4,), "real"), latent=4, hidden=(16,), sigma=1.0)
    loss = minimised(method.objective, method.model.double(), Batch(x), steps=400)
    assert squared_error(loss, 4) < 1e-3


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
