"""Weights that decay outside the gradient: the formula, what decays, and that every way of taking a step agrees."""

import json
from typing import Any

import pytest
import torch

from logpx import recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.train import fit, sweep
from logpx.train.loop import Loop
from logpx.train.optimizer import Decay, adam

HOW: dict[str, Any] = {"epochs": 3, "batch_size": 32, "learning_rate": 0.01, "encoder_decay": 0.5, "show": False}
HOW |= {"precision": "float64"}


def data() -> Any:
    x = torch.randn(80, 4, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 5))
    return from_array(x.numpy(), name="toy")


def method(rows: Any, seed: int = 0) -> Any:
    return recipes.vae(rows, latent=2, hidden=(8,), seed=seed)


def test_a_step_is_that_of_adam_and_a_share_less() -> None:
    """w <- w - rate * decay * w - Adam's move, whose moments never see the decay (Loshchilov & Hutter 2019, algorithm 2)."""
    start, gradients = torch.randn(3, 3, dtype=torch.float64), torch.randn(5, 3, 3, dtype=torch.float64)
    w, by_hand = start.clone().requires_grad_(), start.clone()
    optimizer = adam({w: 1.0}, 0.1, Decay(0.3, {w}))
    first = second = torch.zeros_like(start)
    for t, gradient in enumerate(gradients, 1):
        w.grad = gradient.clone()
        optimizer.step()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        move = first / (1 - 0.9**t) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
        by_hand = by_hand - 0.1 * 0.3 * by_hand - 0.1 * move
    torch.testing.assert_close(w.detach(), by_hand, rtol=1e-12, atol=1e-14)


def test_matrices_of_the_encoder_decay_and_nothing_else() -> None:
    """Without a gradient that is all that moves: they keep (1 - rate * decay) of themselves."""
    rows = data()
    made = method(rows).with_training(encoder_decay=0.5, learning_rate=0.1)
    before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    settings = {"seed": 0, "device": "cpu", "precision": "float32", "compile": "no", "save_every": 1}
    loop = Loop(made, rows, settings, None)  # type: ignore[arg-type]
    for p in made.model.parameters():
        p.grad = torch.zeros_like(p)
    assert loop.optimizer is not None
    loop.optimizer.step()
    for name, p in made.model.named_parameters():
        shrinks = name.startswith("encoder.") and name.endswith("weight")
        torch.testing.assert_close(p.detach(), before[name] * (0.95 if shrinks else 1.0))
    assert sum(name.startswith("encoder.") for name in before) == 4


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # when the compiler is imported
def test_as_one_graph_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Loop.as_one_graph
    monkeypatch.setattr(Loop, "as_one_graph", lambda loop: whole(loop, "eager"))
    rows = data()
    runs = [fit(method(rows), rows, **HOW, compile=choice) for choice in ("no", "yes")]  # type: ignore[arg-type]
    assert runs[1].info["compiled"] is True
    torch.testing.assert_close(runs[1].model.state_dict(), runs[0].model.state_dict(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_it_makes_weights_smaller_by_either_optimizer(optimizer: str) -> None:
    rows = data()
    sizes = {}
    for decay in (0.0, 5.0):
        run = fit(method(rows), rows, **HOW | {"encoder_decay": decay, "optimizer": optimizer, "precision": "float32"})
        sizes[decay] = sum(p.square().sum().item() for p in run.model.encoder.parameters() if p.ndim > 1)
    assert sizes[5.0] < 0.8 * sizes[0.0]


def test_resumed_it_has_the_bits_of_an_unbroken_run(tmp_path: Any) -> None:
    rows = data()
    whole = fit(method(rows), rows, **HOW)
    fit(method(rows), rows, **HOW | {"epochs": 1}, out=tmp_path / "run")
    resumed = fit(method(rows), rows, **HOW, out=tmp_path / "run", resume=True)
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_trained_at_once_each_decays_as_alone() -> None:
    """At two learning rates, by which the shares differ."""
    rows = data()
    made = [method(rows, seed=s).with_training(learning_rate=rate) for s, rate in ((0, 0.01), (1, 0.02))]
    how = {name: value for name, value in HOW.items() if name != "learning_rate"}
    together = sweep(made, rows, **how)
    for s, (rate, run) in enumerate(zip((0.01, 0.02), together, strict=True)):
        assert run.info["at_once"] == 2
        alone = fit(method(rows, seed=s), rows, **how, learning_rate=rate, seed=s)
        torch.testing.assert_close(run.model.state_dict(), alone.model.state_dict(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("decay", [-0.1, 100.0, float("nan")])
def test_a_decay_that_is_none(decay: float) -> None:
    rows = data()
    with pytest.raises(UserError, match=r"encoder_decay is .* below 1 / learning_rate"):
        fit(method(rows), rows, **HOW | {"encoder_decay": decay})


def test_a_method_without_weights_that_decay_says_so() -> None:
    rows = data()
    with pytest.raises(UserError, match="encoder has no weights that decay: leave it out"):
        fit(recipes.ppca(rows, latent=2), rows, encoder_decay=0.1, show=False)


def test_a_run_from_before_the_setting_is_resumed(tmp_path: Any) -> None:
    rows = data()
    how = {name: value for name, value in HOW.items() if name != "encoder_decay"}
    fit(method(rows), rows, **how | {"epochs": 1}, out=tmp_path / "run")
    info = json.loads((tmp_path / "run/run.json").read_text())
    del info["training"]["encoder_decay"]
    (tmp_path / "run/run.json").write_text(json.dumps(info))
    assert len(fit(method(rows), rows, **how, out=tmp_path / "run", resume=True).rows) == 3
    with pytest.raises(UserError, match=r"started with encoder_decay 0\.0 and is resumed with 0\.5"):
        fit(method(rows), rows, **HOW, out=tmp_path / "run", resume=True)
