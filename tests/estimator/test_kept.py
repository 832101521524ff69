"""A fitted estimator with networks of one's own: copied as it is, pickled by name, opened where its user trusts the name."""

import copy
import pickle
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from torch import nn

from logpx import VAE
from logpx.errors import UserError
from logpx.networks import Sizes

SOURCE = """
from math import prod
from torch import nn


def make(sizes):
    return nn.Linear(prod(sizes.x), sizes.q), nn.Linear(sizes.z, prod(sizes.px))
"""
x = np.random.RandomState(0).randn(60, 3)


def make(sizes: Sizes) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(prod(sizes.x), sizes.q), nn.Linear(sizes.z, prod(sizes.px))


def fitted(network: Any) -> VAE:
    return VAE(options={"network": network}, epochs=1, samples=3, random_state=0).fit(x)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The name of a function in a file of the current folder, which no other test has."""
    monkeypatch.chdir(tmp_path)
    name = f"kept_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("network", [make, make(Sizes((3,), 4, 2, (1, 3)))], ids=["function", "pair"])
def test_copies_say_the_same_and_go_their_own_way(network):
    model = fitted(network)
    said = model.score_samples(x)
    for copied in (copy.deepcopy, copy.copy):
        twin = copied(model)
        np.testing.assert_array_equal(twin.score_samples(x), said)
        assert not np.array_equal(twin.partial_fit(x).score_samples(x), said)
    np.testing.assert_array_equal(model.score_samples(x), said)
    np.testing.assert_array_equal(clone(model).fit(x).score_samples(x), said)


def test_a_copy_goes_on_with_the_moments_of_the_optimiser():
    model = VAE(options={"network": make}, random_state=0).partial_fit(x)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin.partial_fit(x).transform(x), model.partial_fit(x).transform(x))


@pytest.mark.parametrize(
    ("network", "named"),
    [(make, f"'{__name__}:make'"), (make(Sizes((3,), 4, 2, (1, 3))), "'module:function'")],
    ids=["function", "pair"],
)
def test_objects_are_not_pickled(network, named):
    with pytest.raises(UserError, match="by name only") as error:
        pickle.dumps(fitted(network))
    assert named in str(error.value)


def test_a_search_hands_unfitted_ones_to_its_processes():
    unfitted = pickle.loads(pickle.dumps(VAE(options={"network": make})))
    assert unfitted.options == {"network": make}


def test_a_name_is_opened_where_it_is_trusted(module, monkeypatch):
    model = fitted(f"{module}:make")
    content = pickle.dumps(model)
    del sys.modules[module]
    monkeypatch.delenv("LOGPX_NETWORK", raising=False)
    with pytest.raises(UserError, match=f"set the environment variable LOGPX_NETWORK={module}:make") as error:
        pickle.loads(content)
    assert "load_run" not in str(error.value)
    assert module not in sys.modules
    monkeypatch.setenv("LOGPX_NETWORK", f"{module}:make")
    np.testing.assert_array_equal(pickle.loads(content).score_samples(x), model.score_samples(x))


def test_other_options_given_after_the_training_do_not_change_what_is_copied(module):
    model = fitted(make)
    said = model.score_samples(x)
    model.set_params(options={"hidden": (3,)})
    np.testing.assert_array_equal(copy.deepcopy(model).score_samples(x), said)
