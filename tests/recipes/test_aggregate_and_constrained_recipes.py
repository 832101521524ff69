"""What the recipes with other weights and divergences refuse, and what they are equal to."""

import math
from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from logpx.data import from_array
from logpx.errors import UserError
from logpx.recipes import RECIPES, types
from logpx.train import fit


@pytest.fixture(scope="module")
def data():
    return from_array(torch.randn(60, 6, generator=torch.Generator().manual_seed(0)).numpy())


def test_beta_vae_at_beta_1_is_the_vae_bit_for_bit(data):
    weights = []
    for name, options in (("vae", {}), ("beta_vae", {"beta": 1.0})):
        method = RECIPES[name].build(data, latent=2, hidden=(8,), sigma=1.0, seed=3, **options)
        run = fit(method, data, epochs=1, batch_size=25, seed=3, show=False, compile="no")
        assert run.rows[-1]["step"] == 2
        weights.append(run.method.model.state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(("alpha", "lam"), [(0.0, 0.5), (-5.0, 1.0), (1.5, 10.0)])
def test_info_vae_refuses_weights_that_reward_a_distance(data, alpha, lam):
    with pytest.raises(UserError, match="would be rewarded") as error:
        RECIPES["info_vae"].build(data, alpha=alpha, lam=lam)
    assert str(error.value).count(". ") == 0
    weights = RECIPES["info_vae"].build(data, alpha=0.25, lam=0.75, latent=2, hidden=(4,)).objective.weights
    assert [w().item() for w in weights] == [1.0, 0.0]


OPTIONS = {
    "beta_vae": ["beta"],
    "capacity_vae": ["capacity", "gamma"],
    "constrained_vae": ["eps", "rate"],
    "geco": ["kappa", "rate"],
    "wae_mmd": ["lam", "sigma"],
    "wae_gan": ["lam", "rate", "sigma"],
    "aae": ["lam", "rate"],
    "info_vae": ["alpha", "lam"],
    "beta_tc": ["beta"],
    "factor_vae": ["gamma", "rate"],
    "dip_vae": ["lam", "diagonal"],
    "divergence_vae": ["weight"],
    "renyi": ["alpha"],
    "ciwae": ["share"],
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("name", "option"), [(name, option) for name, all_ in OPTIONS.items() for option in all_])
def test_an_option_that_is_no_finite_number_is_refused(data, name, option, value):
    with pytest.raises(UserError, match=f"option {option} of {name}"):
        RECIPES[name].build(data, **{option: value})


def test_the_types_of_options_are_what_their_names_say():
    for name, kept, refused in (
        ("Finite", [-2.0, 0.0, 3.0], [math.nan, math.inf]),
        ("Positive", [1e-300, 3.0], [0.0, -1.0, math.nan, math.inf]),
        ("NonNegative", [0.0, 3.0], [-1.0, math.nan, math.inf]),
    ):
        kind = getattr(types, name)
        assert get_args(kind)[0] is float
        adapter = TypeAdapter(kind)
        assert [adapter.validate_python(value) for value in kept] == kept
        for value in refused:
            with pytest.raises(ValidationError):
                adapter.validate_python(value)
