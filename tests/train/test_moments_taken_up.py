"""The optimiser's moments, handed from one `fit` to the next."""

from typing import Any

import numpy as np
import pytest
import torch

from logpx import recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.train import fit
from logpx.train.run import Run

X = np.random.RandomState(0).randn(20, 4) @ np.random.RandomState(1).randn(4, 4)


def train(method: Any, epochs: int, **settings: Any) -> Run:
    """Full batches of an ELBO without noise: only what the optimiser remembers can tell one run from two."""
    data = from_array(X, held_out=0, test=0)
    how = {"batch_size": 20, "learning_rate": 0.05, "precision": "float64", "show": False}
    return fit(method, data, epochs=epochs, **(how | settings))


def weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_two_fits_with_moments_are_one(optimizer: str) -> None:
    data = from_array(X, held_out=0, test=0)
    one, two, anew = (recipes.linear_vae(data, latent=2, seed=0) for _ in range(3))
    whole, moments = train(one, 7, optimizer=optimizer), {}
    for epochs in (3, 4):
        run = train(two, epochs, moments=moments, optimizer=optimizer)
        other = train(anew, epochs, optimizer=optimizer)
    torch.testing.assert_close(weights(run), weights(whole), rtol=1e-9, atol=1e-12)
    assert (weights(other) - weights(whole)).abs().max() > 1e-3


def test_moments_leave_the_settings_alone() -> None:
    data, moments = from_array(X, held_out=0, test=0), {}
    method = recipes.linear_vae(data, latent=2, seed=0)
    before = weights(train(method, 2, moments=moments)).clone()
    still = weights(train(method, 2, moments=moments, learning_rate=1e-30))
    torch.testing.assert_close(still, before, rtol=0, atol=1e-12)


def test_moments_of_another_model_are_refused() -> None:
    data, moments = from_array(X, held_out=0, test=0), {}
    train(recipes.linear_vae(data, latent=2, seed=0), 1, moments=moments)
    with pytest.raises(UserError, match="those of another optimiser"):
        train(recipes.vae(data, latent=2, hidden=(4, 4), seed=0), 1, moments=moments)
