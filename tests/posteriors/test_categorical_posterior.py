"""The family of categorical latents: what it draws in which mode, and a temperature that is state."""

import math

import pytest
import torch

from logpx import posteriors, priors
from logpx.errors import UserError


def test_training_draws_what_was_asked_and_evaluation_draws_codes():
    family, params = posteriors.Categorical(2, 3, "relaxed"), torch.randn(4, 6)
    assert family(params).is_relaxed
    family.eval()
    q = family(params)
    assert not q.is_relaxed
    assert q.support.check(q.rsample((20,))).all()
    assert family.dim == family.size == priors.Categorical(2, 3).dim == 6


def test_the_temperature_falls_by_a_constant_factor_and_stays():
    family, seen = posteriors.Categorical(2, 3, temperature=2.0, coldest=0.5, anneal=4), []
    for _ in range(6):
        seen.append(family.temperature.item())
        family.after_step({})
    wanted = [2.0, 2 / math.sqrt(2), 1.0, 1 / math.sqrt(2), 0.5, 0.5]
    assert seen == pytest.approx(wanted, rel=1e-6)


def test_without_annealing_it_stays_where_it_starts():
    family = posteriors.Categorical(2, 3, temperature=0.3)
    family.after_step({})
    assert family.temperature.item() == pytest.approx(0.3)


def test_the_temperature_is_kept_with_the_weights():
    family = posteriors.Categorical(2, 3, anneal=10)
    for _ in range(3):
        family.after_step({})
    again = posteriors.Categorical(2, 3, anneal=10)
    again.load_state_dict(family.state_dict())
    assert again.temperature.item() == family.temperature.item() < 1
    for f in (family, again):
        f.after_step({})
    assert again.temperature.item() == family.temperature.item()


def test_the_law_follows_the_temperature_of_now():
    family, params = posteriors.Categorical(1, 3, temperature=2.0, coldest=0.1, anneal=1), torch.randn(1, 3)
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        found.append(family(params).rsample((200,)).max(-1).values.mean().item())
        family.after_step({})
    assert found[1] > found[0] + 0.2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variables": 0}, "0 variables of 3 classes"),
        ({"classes": 1}, "2 variables of 1 classes"),
        ({"draws": "soft"}, "not 'soft'"),
        ({"temperature": 0.0}, "from 0.0"),
        ({"temperature": math.inf}, "from inf"),
        ({"temperature": math.nan}, "from nan"),
        ({"temperature": 0.3, "anneal": 5}, "from 0.3 to 0.5"),
        ({"anneal": -1}, "anneal is -1"),
    ],
)
def test_bad_numbers_are_a_sentence(options, said):
    with pytest.raises(UserError, match=said):
        posteriors.Categorical(**{"variables": 2, "classes": 3} | options)


def test_the_prior_is_uniform_until_it_is_learned():
    fixed, learned = priors.Categorical(3, 4), priors.Categorical(3, 4, learned=True)
    for prior in (fixed, learned):
        assert prior().log_prob(prior().sample()).item() == pytest.approx(-3 * math.log(4), abs=1e-6)
    assert not list(fixed.parameters())
    assert [p.shape for p in learned.parameters()] == [(3, 4)]
