"""A law for every recipe: models trained at once are those that would be trained one after another, in float64 to rounding."""

import pytest
import torch

from logpx.data import Data, from_array
from logpx.recipes import RECIPES
from logpx.train import Method, fit, sweep
from logpx.train.log import Reporter
from test_law_recipes import small, toy

#: who cannot be vectorised, and what the sentence says of it
ALONE = {
    "ppca": "solves for its weights",
    "factor_analysis": "solves for its weights",
    "aggressive_vae": "steps of the encoder alone",
    "vq_vae": "noise whose law depends on the data",
    "factor_vae": "noise whose law depends on the data",  # it permutes the codes of a batch
    "pixelcnn": "Tensor.clone",
}


class Notes(Reporter):
    """What was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def few(data: Data) -> Data:
    """Some rows of it: a last batch that is short, and two held out."""
    x, labels = data.train.x()[:22], data.train.labels
    context = "label" if data.spec.context else None
    return from_array(
        x.numpy(), kind=data.kind, held_out=4, test=0, labels=None if labels is None else labels[:22], context=context
    )


def two(name: str, data: Data) -> list[Method]:
    return [small(name, data, seed=seed) for seed in (0, 1)]


@pytest.mark.parametrize("name", RECIPES)
def test_at_once_and_one_after_another_are_the_same(name: str) -> None:
    data, notes = few(toy(name)), Notes()
    how = {"epochs": 2, "batch_size": 8, "precision": "float64"}
    at_once = sweep(two(name, data), data, show=notes, **how)
    alone = [fit(m, data, seed=seed, show=False, **how) for seed, m in enumerate(two(name, data))]
    said = " ".join(notes.said)
    assert ("at once" in said) != (name in ALONE), said
    assert ALONE.get(name, "") in said
    close = 1e-9 if not list(alone[0].method.objective.parameters()) else 1e-6  # an adversary computes in float32
    for a, b in zip(at_once, alone, strict=True):
        for (key, one), other in zip(a.model.state_dict().items(), b.model.state_dict().values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9, msg=lambda text, key=key: f"{key}: {text}")
        assert a.best_epoch == b.best_epoch
        for mine, its in zip(a.rows, b.rows, strict=True):
            assert mine["train"] == pytest.approx(its["train"], rel=close, abs=close)
            assert mine["held_out"] == pytest.approx(its["held_out"], rel=close, abs=close)
