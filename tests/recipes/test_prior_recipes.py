"""The VampPrior as a recipe: its pseudo-inputs live where the network sees them, start among the data, and move."""

import numpy as np
import pytest
import torch

from logpx import recipes
from logpx.data import Data, from_array
from logpx.train import fit

SMALL = {"pseudo_inputs": 5, "latent": 2, "hidden": (8,)}
rng = np.random.default_rng(0)


def categories() -> Data:
    return from_array(rng.integers(0, 4, size=(120, 6)), kind="categorical")


def mixed() -> Data:
    x = np.stack([1e4 + 100 * rng.normal(size=120), rng.integers(0, 3, size=120), rng.poisson(30, size=120)], 1)
    return from_array(x, columns={"column 0": "real", "column 1": "categorical", "column 2": "integer"})


def levels() -> Data:
    return from_array(rng.integers(0, 256, size=(120, 1, 4, 4)).astype("uint8"), protocol="integer")


def holes() -> Data:
    x = rng.normal(size=(120, 6))
    return from_array(np.where(rng.random(x.shape) < 0.3, np.nan, x))


@pytest.mark.parametrize("make", [categories, mixed, levels, holes])
def test_the_components_differ_and_every_pseudo_input_gets_a_gradient(make):
    data = make()
    method = recipes.vamp_vae(data, **SMALL)
    method.start(method.model, data.train)
    prior = method.model.prior
    means = prior().component_distribution.mean
    assert torch.pdist(means).min() > 1e-4
    method.objective(method.model, data.train.batch(slice(0, 16))).loss.backward()
    assert (prior.u.grad.flatten(1).abs().amax(1) > 0).all()
    assert prior.pseudo_inputs.isfinite().all()


@pytest.mark.parametrize("make", [categories, mixed, levels])
def test_pseudo_inputs_are_what_the_network_sees_of_rows(make):
    data = make()
    method = recipes.vamp_vae(data, **SMALL)
    method.start(method.model, data.train)
    prior = method.model.prior
    seen = method.model.encoder.features(data.train.x())
    nearest = (prior.pseudo_inputs[:, None] - seen).flatten(2).abs().amax(2).amin(1)
    assert nearest.max() < 0.06  # noise of a hundredth, in features of order one


def test_pseudo_inputs_of_real_data_lie_among_them_and_move_whatever_their_unit():
    data = from_array((1000 + 200 * rng.normal(size=(300, 4))).astype("float32"))
    after = []
    for epochs in (1, 20):
        method = recipes.vamp_vae(data, **SMALL)
        fit(method, data, epochs=epochs, batch_size=100, learning_rate=0.01, show=False)
        after.append(method.model.prior.pseudo_inputs.detach())
    x = data.train.x()
    for u in after:
        assert ((u >= x.amin(0) - 200) & (u <= x.amax(0) + 200)).all()
        assert u.std() > 50
    assert (after[1] - after[0]).abs().max() > 20  # 57 steps of at most a hundredth of the spread of 200


def test_pixels_start_near_a_twentieth_as_published():
    data = from_array((rng.random((60, 1, 4, 4)) * 255).astype("uint8"), protocol="dynamic")
    method = recipes.vamp_vae(data, **SMALL)
    assert method.start is None
    assert method.model.prior.pseudo_inputs.mean().item() == pytest.approx(0.05, abs=0.01)
