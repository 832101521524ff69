"""Muon moves the matrices of linear layers, Adam everything else, each at its own pace."""

import copy

import pytest
import torch
from torch import nn

from logpx import likelihoods, objectives
from logpx.networks import MLP
from logpx.train.optimizer import Together, adam, muon, paces


class Parts(nn.Module):
    """A linear layer, a matrix that is no layer's weight, and a parameter with a pace of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.codes = nn.Linear(12, 8), nn.Parameter(torch.randn(5, 3))
        self.fast = nn.ParameterList([nn.Parameter(torch.randn(2))])
        self.fast.pace = 10.0

    def loss(self) -> torch.Tensor:
        x = torch.randn(40, 12, generator=torch.Generator().manual_seed(1))
        return self.layer(x).square().sum() + self.codes.square().sum() + self.fast[0].square().sum()


def learned(parts: Parts) -> dict[torch.Tensor, float]:
    return paces([parts])


def step(parts: Parts, optimizer) -> dict[str, torch.Tensor]:
    """How far each parameter moved in one step."""
    before = {name: p.detach().clone() for name, p in parts.named_parameters()}
    parts.loss().backward()
    optimizer.step()
    return {name: p.detach() - before[name] for name, p in parts.named_parameters()}


def test_only_the_matrices_of_linear_layers_move_orthogonally():
    """Five Newton-Schulz steps leave every singular value of the update between 0.65 and 1.25; 0.2 sqrt(12) is its scale."""
    rate = 1e-3
    parts = Parts()
    moved = step(parts, muon(learned(parts), rate, [parts]))
    singular = torch.linalg.svdvals(moved["layer.weight"]) / (rate * 0.2 * 12**0.5)
    assert singular.min() > 0.65
    assert singular.max() < 1.25
    plain = Parts()
    expected = step(plain, adam(learned(plain), rate))
    for name in ("layer.bias", "codes", "fast.0"):
        assert torch.equal(moved[name], expected[name])
    assert not torch.allclose(moved["layer.weight"], expected["layer.weight"])


def test_a_parameter_with_a_rate_moves_that_much_faster():
    parts = Parts()
    moved = step(parts, muon(learned(parts), 1e-3, [parts]))
    assert moved["fast.0"].abs().mean().item() == pytest.approx(1e-2, rel=1e-3)
    assert moved["codes"].abs().mean().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_model_without_linear_layers_has_adam_alone():
    parts = nn.ParameterList([nn.Parameter(torch.randn(4, 4))])
    assert isinstance(muon(paces([parts]), 1e-3, [parts]), torch.optim.Adam)


def test_both_together_are_saved_and_put_back():
    straight, broken = Parts(), Parts()
    first = muon(learned(straight), 1e-2, [straight])
    for _ in range(4):
        step(straight, first)
    second = muon(learned(broken), 1e-2, [broken])
    for _ in range(2):
        step(broken, second)
    third = muon(learned(broken), 1e-2, [broken])
    assert isinstance(third, Together)
    third.load_state_dict(second.state_dict())
    for _ in range(2):
        step(broken, third)
    for a, b in zip(learned(straight), learned(broken), strict=True):
        assert torch.equal(a, b)


def test_copies_keep_the_pace_of_a_critic_and_leave_the_optimal_sigma_alone():
    """torch copies a parameter's numbers and nothing else, so the marks stand on its module."""
    critic = objectives.Critic(MLP((2,), (4,), ()), rate=0.5)
    sigma = likelihoods.Gaussian((3,), "optimal")
    for parts in ([critic, sigma], copy.deepcopy([critic, sigma])):
        found = paces(parts)
        assert len(found) == 4
        assert set(found.values()) == {0.5}
        assert parts[1].log_sigma not in found
