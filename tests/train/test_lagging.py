"""Encoder-only steps (He et al. 2019, algorithm 1): who moves when, when they end, and that a resumed run knows."""

import copy

import pytest
import torch
from torch import nn

from logpx import recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.objectives import ELBO
from logpx.posteriors import Deterministic
from logpx.recipes import load_run
from logpx.train import Method, Training, fit, loop


def data(n=120, P=5):
    g = torch.Generator().manual_seed(0)
    return from_array((torch.randn(n, 2, generator=g) @ torch.randn(2, P, generator=g)).numpy(), held_out=30, test=0)


def small(encoder_steps=4, **options):
    return recipes.aggressive_vae(data(), latent=2, hidden=(6,), encoder_steps=encoder_steps, **options)


class Watched(loop.Loop):
    """Notes before each step which parts it moved, as (encoder moved, decoder moved)."""

    moved: list[tuple[bool, bool]]

    def _move(self, batch, **who):
        before = {k: v.clone() for k, v in self.model.state_dict().items()}
        terms = super()._move(batch, **who)
        now = self.model.state_dict()
        parts = ("encoder", "decoder")
        self.moved.append(tuple(any(not torch.equal(before[k], now[k]) for k in now if k.startswith(p)) for p in parts))
        return terms


@pytest.fixture
def moved(monkeypatch):
    found = Watched.moved = []
    monkeypatch.setattr(loop, "Loop", Watched)
    return found


def test_while_it_lags_the_encoder_moves_alone_and_then_the_rest_alone(moved):
    fit(small(4), data(), epochs=1, batch_size=45, show=False)
    assert moved == [(True, False)] * 4 + [(False, True)] + [(True, False)] * 4 + [(False, True)]


def test_without_encoder_steps_both_move_at_once_and_it_is_the_vae(moved):
    one = fit(small(0), data(), epochs=2, batch_size=45, show=False)
    assert moved == [(True, True)] * 4
    other = fit(recipes.vae(data(), latent=2, hidden=(6,)), data(), epochs=2, batch_size=45, show=False)
    torch.testing.assert_close(one.model.state_dict(), other.model.state_dict(), rtol=0, atol=0)


def test_once_held_out_information_rises_no_more_both_move_at_once(moved, monkeypatch):
    values = iter([1.0, 2.0, 1.5])
    monkeypatch.setattr(loop, "mutual_information", lambda *a, **k: next(values))
    fit(small(3), data(), epochs=5, batch_size=90, show=False)  # one step an epoch
    assert moved == ([(True, False)] * 3 + [(False, True)]) * 3 + [(True, True)] * 2


def test_the_inner_loop_ends_when_fifteen_steps_lower_the_loss_no_more(moved, monkeypatch):
    """Their mean losses are 3, 2, 2: the third fifteen is the last of at most 99 steps."""
    means = iter([3.0] * 15 + [2.0] * 15 + [2.0] * 15 + [0.0])

    def told(self, batch, **who):
        terms = Watched._move(self, batch, **who)
        return terms | {"loss": torch.tensor(next(means))} if who.get("only") else terms

    monkeypatch.setattr(loop, "Loop", type("Told", (Watched,), {"_move": told}))
    fit(small(99), data(), epochs=1, batch_size=90, show=False)
    assert moved == [(True, False)] * 45 + [(False, True)]


class Scaled(nn.Module):
    """A family with a weight of its own, the scale of the mean, which belongs to q as much as the encoder does."""

    def __init__(self, family):
        super().__init__()
        self.family, self.dim, self.size = family, family.dim, family.size
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, params):
        return self.family(params * self.scale)


def test_the_posteriors_own_weights_move_with_the_encoder():
    method = small(4)
    model = copy.deepcopy(method.model)
    model.posterior = Scaled(model.posterior)
    kept = []

    class Spy(loop.Loop):
        def _move(self, batch, **who):
            before = self.model.posterior.scale.item()
            terms = super()._move(batch, **who)
            kept.append((bool(who.get("only")), before != self.model.posterior.scale.item()))
            return terms

    monkey = pytest.MonkeyPatch()
    monkey.setattr(loop, "Loop", Spy)
    try:
        fit(Method(model, ELBO(), Training(encoder_steps=4)), data(), epochs=1, batch_size=90, show=False)
    finally:
        monkey.undo()
    assert kept == [(True, True)] * 4 + [(False, False)]


def test_a_frozen_layer_of_the_encoder_is_left_alone():
    method = small(4)
    first = next(method.model.encoder.parameters()).requires_grad_(False)
    before = first.clone()
    fit(method, data(), epochs=1, batch_size=45, show=False)
    assert torch.equal(before, first)


def test_a_run_resumed_while_the_encoder_lags_has_the_bits_of_an_unbroken_one(tmp_path):
    settings = {"batch_size": 45, "show": False}
    fit(small(4), data(), epochs=3, out=tmp_path / "whole", **settings)
    fit(small(4), data(), epochs=1, out=tmp_path / "broken", **settings)
    fit(small(4), data(), epochs=3, out=tmp_path / "broken", resume=True, **settings)
    a, b = (load_run(tmp_path / name).model.state_dict() for name in ("whole", "broken"))
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_what_cannot_be_judged_is_refused_before_the_first_step():
    x = data()
    with pytest.raises(UserError, match="hold some rows out"):
        fit(small(4), from_array(x.train.x().numpy(), held_out=0, test=0), epochs=1, show=False)
    method = small(4)
    method.model.posterior = Deterministic(4)
    with pytest.raises(UserError, match="posterior with a density"):
        fit(method, x, epochs=1, show=False)
    with pytest.raises(UserError, match="encoder_steps is -1"):
        Training(encoder_steps=-1)
