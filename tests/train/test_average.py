"""The moving average of the weights: its formula, what is kept of it, and that it survives a resumption and a sweep."""

from typing import Any

import pytest
import torch
from torch import nn

from logpx import recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.evaluate import expected_terms
from logpx.train import fit, sweep
from logpx.train.average import Average

HOW: dict[str, Any] = {"epochs": 3, "batch_size": 4, "learning_rate": 0.02, "average": 0.9, "show": False}


def data() -> Any:
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 5))
    return from_array(x.numpy(), name="toy")


def method(rows: Any, seed: int = 0) -> Any:
    return recipes.vae(rows, latent=2, hidden=(8,), seed=seed)


@pytest.mark.parametrize(("decay", "every"), [(0.995, 10), (0.98, 5), (0.5, 1)])
def test_it_is_the_mean_of_few_and_then_forgets_exponentially(decay: float, every: int) -> None:
    net = nn.Linear(1, 1, bias=False)
    average, seen = Average(net, decay), []
    for step in range(1, (last := round(20 / (1 - decay))) + 1):
        with torch.no_grad():
            net.weight.fill_(step)
        average.after_step()
        if step % every == 0:
            seen.append(float(step))
        if step == 30 and decay > 0.97:  # fewer than it is over: the plain mean of what was seen
            assert average.averages[0].item() == pytest.approx(sum(seen) / len(seen))
    shares = torch.tensor([decay ** (every * (len(seen) - 1 - i)) for i in range(len(seen))], dtype=torch.float64)
    expected = (shares * torch.tensor(seen, dtype=torch.float64)).sum() / shares.sum()
    assert average.averages[0].item() == pytest.approx(expected.item(), rel=1e-4)
    with average.in_place():
        assert net.weight.item() == pytest.approx(expected.item(), rel=1e-4)
    assert net.weight.item() == last


def test_the_average_is_what_is_scored_and_kept() -> None:
    """The held-out loss of the kept epoch is that of the returned model, whose weights no step ever had."""
    rows = data()
    run = fit(method(rows), rows, **HOW)
    found = expected_terms(run.method.objective, run.model, rows.held_out, seed=0)
    assert found["loss"] == pytest.approx(run.best["held_out"]["loss"], rel=1e-6)
    plain = fit(method(rows), rows, **HOW | {"average": None})
    weights = [torch.cat([p.flatten() for p in r.model.parameters()]) for r in (run, plain)]
    assert (weights[0] - weights[1]).abs().max() > 1e-3
    assert [row["train"] for row in run.rows] == [row["train"] for row in plain.rows]  # training itself is not touched


def test_resumed_it_has_the_bits_of_an_unbroken_run(tmp_path: Any) -> None:
    rows = data()
    whole = fit(method(rows), rows, **HOW)
    fit(method(rows), rows, **HOW | {"epochs": 1}, out=tmp_path / "run")
    resumed = fit(method(rows), rows, **HOW, out=tmp_path / "run", resume=True)
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_trained_at_once_each_has_its_own_average() -> None:
    rows, how = data(), HOW | {"precision": "float64"}
    together = sweep([method(rows, seed=s) for s in range(2)], rows, **how)
    for s, run in enumerate(together):
        assert run.info["at_once"] == 2
        alone = fit(method(rows, seed=s), rows, **how, seed=s)
        torch.testing.assert_close(run.model.state_dict(), alone.model.state_dict(), rtol=1e-7, atol=1e-9)
        assert run.best["held_out"]["loss"] == pytest.approx(alone.best["held_out"]["loss"], rel=1e-6)


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0, float("nan")])
def test_a_decay_that_is_none(decay: float) -> None:
    rows = data()
    with pytest.raises(UserError, match="it must lie between 0 and 1"):
        fit(method(rows), rows, **HOW | {"average": decay})
