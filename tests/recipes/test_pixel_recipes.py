"""Recipes of autoregressive laws: exact alone, guarded against collapse behind a latent, on pixels of every kind."""

import math
from itertools import product

import pytest
import torch

from logpx import likelihoods, networks, recipes
from logpx.data import Column, Spec
from logpx.errors import UserError
from logpx.evaluate import evidence, impute, usage
from logpx.model import Batch
from logpx.samples import draw_samples

BINARY = Spec((1, 4, 4), "binary")
TINY = {"channels": 6, "kernels": (3,)}


def pictures(rows):
    """Binary pictures of 4 x 4."""
    return torch.randint(2, (rows, 1, 4, 4), generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("name", ["made", "pixelcnn"])
def test_without_a_latent_the_evidence_is_exact_and_the_bound_is_tight(name):
    options = TINY if name == "pixelcnn" else {"hidden": (8,)}
    method, x = recipes.find(name).build(BINARY, **options), pictures(8)
    found = evidence(method.model, x)
    assert found.kind == "exact"
    terms = method.objective(method.model, Batch(x)).terms
    assert terms["kl"] == 0
    assert terms["elbo"].item() == pytest.approx(found.mean, rel=1e-5)
    with pytest.raises(UserError, match="no latent"):
        usage(method.model, x)


def test_memory_changes_no_exact_evidence():
    model, x = recipes.pixelcnn(BINARY, **TINY).model.double(), pictures(50).double()
    torch.testing.assert_close(evidence(model, x, memory=1).per_point, evidence(model, x).per_point, rtol=1e-12, atol=0)


def test_a_pixelcnn_learns_what_follows_from_what():
    """Four free bits, twelve that repeat them: log p(x) = -4 log 2 at best, where independent pixels have -16 log 2."""
    first = torch.tensor(list(product((0.0, 1.0), repeat=4))).view(16, 1, 1, 4)
    x, method = first.expand(-1, 1, 4, 4).contiguous(), recipes.pixelcnn(BINARY, **TINY)
    optimizer = torch.optim.Adam(method.model.parameters(), lr=0.03)
    for _ in range(120):
        optimizer.zero_grad()
        method.objective(method.model, Batch(x)).loss.backward()
        optimizer.step()
    found = evidence(method.model, x).mean
    assert -4 * math.log(2) - 0.1 < found < -4 * math.log(2) + 1e-4  # no law can do better on all sixteen
    drawn = draw_samples(method.model, 50)
    assert (drawn[:, :, 1:] == drawn[:, :, :-1]).float().mean() > 0.98


@pytest.mark.parametrize("name", ["made", "pixelcnn", "pixel_vae"])
def test_samples_are_draws_whether_asked_for_or_not(name):
    model = recipes.find(name).build(BINARY).model
    x = draw_samples(model, 5, seed=1)
    assert x.shape == (5, 1, 4, 4)
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(x, draw_samples(model, 5, draw=True, seed=1))


@pytest.mark.parametrize("name", ["made", "pixelcnn", "pixel_vae"])
@pytest.mark.parametrize(
    ("spec", "law"),
    [
        (Spec((3, 2, 2), "integer", 256), likelihoods.DiscretisedLogistic),
        (Spec((1, 3, 2), "categorical", 5), likelihoods.Categorical),
        (Spec((4,), "integer"), likelihoods.NegativeBinomial),
        (Spec((2, 3, 2), "grey"), likelihoods.ContinuousBernoulliPixels),
    ],
)
def test_the_law_of_an_element_is_the_one_of_the_data(name, spec, law):
    method = recipes.find(name).build(spec, **(TINY if name == "pixelcnn" else {}))
    assert type(method.model.likelihood.conditional) is law
    torch.manual_seed(0)
    x = draw_samples(method.model, 3)
    assert bool(method.objective(method.model, Batch(x)).loss.isfinite())


def test_pixel_vae_takes_the_network_that_fits_or_that_is_asked_for():
    nets = {
        networks.GatedPixelCNN: recipes.pixel_vae(BINARY),
        networks.MADE: recipes.pixel_vae(BINARY, causal="made"),
    }
    for kind, method in nets.items():
        assert type(method.model.likelihood.net) is kind
    assert type(recipes.pixel_vae(Spec((5,), "real")).model.likelihood.net) is networks.MADE
    conditional = recipes.pixel_vae(BINARY._replace(context=3), latent=2).model
    _, px = conditional.sample(4, torch.eye(3)[[0, 1, 2, 0]])
    assert px.sample().shape == (4, 1, 4, 4)


def test_pixel_vae_carries_the_remedies():
    method = recipes.pixel_vae(BINARY, encoder_steps=7)
    assert method.objective.free_bits > 0
    assert method.objective.ends() == 2000
    assert method.training.encoder_steps == 7
    bare = recipes.pixel_vae(BINARY, free_bits=0, warmup=0)
    assert bare.objective.free_bits == 0
    assert bare.objective.ends() == 0


@pytest.mark.parametrize("name", ["made", "pixelcnn", "pixel_vae"])
def test_what_cannot_be_is_a_sentence(name):
    build = recipes.find(name).build
    columns = (Column("height", "real"), Column("city", "categorical", 3))
    with pytest.raises(UserError, match="laws of one kind"):
        build(Spec((2,), "mixed", columns=columns))
    with pytest.raises(UserError, match="grey score is no density"):
        build(Spec((1, 4, 4), "grey"), likelihood="grey")
    if name != "pixel_vae":
        with pytest.raises(UserError, match="takes no context"):
            build(BINARY._replace(context=2))
    if name != "made":
        with pytest.raises(UserError, match="odd side of a window"):
            build(BINARY, kernels=(4,))


def test_a_hole_is_a_sentence():
    x = pictures(8)
    x[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="not a product over data elements"):
        impute(recipes.pixel_vae(BINARY).model, x, samples=2)
