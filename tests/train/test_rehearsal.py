"""The rehearsal: the faster way where that is right, the sure one where it is not, neither where both are wrong."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from logpx import recipes
from logpx.data import from_array
from logpx.objectives import ELBO, Step
from logpx.train import Method, group, rehearsal
from logpx.train.at_once import Stream
from logpx.train.group import How, Member
from logpx.train.log import Reporter
from logpx.train.loop import Loop
from logpx.train.rehearsal import belong_together, how_at_once


def rows() -> Tensor:
    return torch.randn(60, 4, generator=torch.Generator().manual_seed(8))


def members(recipe: str = "vae", objective: Any = None, n: int = 2, **options: Any) -> list[Member]:
    x = rows() if "likelihood" not in options else (rows() > 0).float()
    data = from_array(x.numpy())
    made = []
    for seed in range(n):
        sizes = {"hidden": (8,)} | ({} if recipe == "dvae" else {"latent": 2})
        method = getattr(recipes, recipe)(data, seed=seed, **sizes, **options)
        method = method if objective is None else Method(method.model, objective(), method.training)
        loop = Loop(method, data, {"seed": seed, "precision": "float32"}, Reporter())
        made.append(Member(str(seed), loop, Stream(torch.device("cpu"))))
    return made


@pytest.mark.parametrize(
    ("recipe", "options", "how"),
    [
        ("vae", {}, How(inside=False, scores=True)),
        ("iwae", {"samples": 3, "gradient": "plain"}, How(inside=False, scores=True)),
        ("iwae", {"samples": 3, "gradient": "dreg"}, How(inside=True, scores=True)),
        ("vae", {"likelihood": "bernoulli"}, How(inside=False, scores=True)),  # it scores in place, without gradients
        ("dvae", {}, How(inside=False, scores=True)),
    ],
)
def test_the_way_that_is_right_is_chosen(recipe: str, options: dict[str, Any], how: How) -> None:
    assert how_at_once(members(recipe, **options)) == how


def test_nothing_of_the_runs_is_touched() -> None:
    runs = members()
    before = [{n: t.clone() for n, t in run.loop.model.state_dict().items()} for run in runs]
    streams = [run.stream.generator.get_state() for run in runs]
    outside = torch.get_rng_state()
    feeds = [run.loop.feed.state()["order"].clone() for run in runs]
    assert isinstance(how_at_once(runs), How)
    for run, weights, stream, feed in zip(runs, before, streams, feeds, strict=True):
        assert all(torch.equal(t, weights[n]) for n, t in run.loop.model.state_dict().items())
        assert torch.equal(run.stream.generator.get_state(), stream)
        assert torch.equal(run.loop.feed.state()["order"], feed)
        assert (run.loop.step, run.loop.epoch) == (0, 0)
    assert torch.equal(torch.get_rng_state(), outside)


class Slightly(ELBO):
    """One of its terms is wrong by a hundred-thousandth where its input is vectorised."""

    def forward(self, model: Any, batch: Any) -> Step:
        loss, terms = super().forward(model, batch)
        vectorised = torch._C._functorch.is_functorch_wrapped_tensor(batch.x)
        return Step(loss, terms | {"kl": terms["kl"] * (1 + 1e-5 * vectorised)})


class Moving(ELBO):
    """Its state moves by a number of Python's."""

    outside_the_step = ("moved",)

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0
        self.register_buffer("weight", torch.tensor(1.0))

    def forward(self, model: Any, batch: Any) -> Step:
        self.moved += model.training
        loss, terms = super().forward(model, batch)
        return Step(loss, terms)

    def after_step(self, terms: Any) -> None:
        self.weight.fill_(self.moved)


@pytest.mark.parametrize("objective", [Slightly, Moving])
def test_a_difference_in_anything_is_seen(objective: Any) -> None:
    """In what is reported and in what `after_step` moves, too: weights alone would not tell."""
    assert how_at_once(members(objective=objective)) == "vectorised steps would differ from their own"


def test_steps_that_raise_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **how: Any) -> Any:
        raise IndexError("vmap: something about\nlines")

    monkeypatch.setattr(group.Stacked, "gradients", refuse)
    assert how_at_once(members()) == "their steps cannot be vectorised (something about)"


class Slowly(ELBO):
    """It needs an operation that vmap does one model after another."""

    def forward(self, model: Any, batch: Any) -> Step:
        loss, terms = super().forward(model, batch)
        return Step(loss + 0 * torch.zeros_like(batch.x).addcmul_(batch.x, batch.x).sum(), terms)


def test_what_vmap_does_slowly_is_done_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "cannot be vectorised" in str(how_at_once(members(objective=Slowly)))


def test_scores_that_raise_are_asked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise RuntimeError("vmap")

    monkeypatch.setattr(group.Stacked, "terms", refuse)
    assert how_at_once(members()) == How(inside=False, scores=False)


def test_who_belongs_together() -> None:
    from dataclasses import replace

    (a, b), (c,) = members(n=2), members(n=1, free_bits=0.1)
    assert belong_together(a.loop, b.loop)
    assert not belong_together(a.loop, c.loop)
    b.loop.training = replace(b.loop.training, learning_rate=0.5)
    assert belong_together(a.loop, b.loop)
    b.loop.training = replace(b.loop.training, epochs=7)
    assert not belong_together(a.loop, b.loop)


def test_many_held_out_rows_are_scored_member_by_member(monkeypatch: pytest.MonkeyPatch) -> None:
    both = group.Group(members(), How(scores=True))
    scores = both.held_out()
    assert [its["loss"] for its in scores if its] == pytest.approx(
        [loop.score_held_out()["loss"] for loop in both.loops], rel=1e-5
    )
    monkeypatch.setattr(group, "ROWS_AT_ONCE", 2 * len(both.loops[0].data.held_out) - 1)
    assert both.held_out() == [None, None]
    assert rehearsal.ROWS == 20
