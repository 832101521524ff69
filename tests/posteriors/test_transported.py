"""Codes that are transported: their draws, what stands for their density, and the anchors' mixture, in closed form."""

import math

import pytest
import torch
from torch import nn

from logpx import posteriors, priors
from logpx.distributions import Orbits, Transported
from logpx.errors import UserError
from logpx.networks import Operators

ROTATION = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]], dtype=torch.float64)
SEARCH = {"iterations": 40, "restarts": 4}


def polar(r, angle):
    return torch.tensor([r * math.cos(angle), r * math.sin(angle)], dtype=torch.float64)


def best(r0, r1, angle, rate, noise):
    """max_c of S19's example: c* = |th| - arcsin(zeta/(r0 r1)), zeta = rate s^2."""
    zeta = rate * noise**2
    c = max(abs(angle) - math.asin(zeta / (r0 * r1)), 0)
    squared = r0**2 + r1**2 - 2 * r0 * r1 * math.cos(abs(angle) - c)
    return -squared / (2 * noise**2) - rate * c


@pytest.mark.parametrize("angle", [0.0, 0.05, 0.8, -2.0])
def test_the_best_coefficient_of_a_rotation_is_in_closed_form(angle):
    torch.manual_seed(0)
    law = Transported(polar(1.3, 0.4), ROTATION, rate=4.0, noise=0.2)
    found = law.log_best(polar(0.9, 0.4 + angle), **SEARCH)
    assert found.item() == pytest.approx(best(1.3, 0.9, angle, 4.0, 0.2), rel=1e-9)


def test_the_mixture_is_the_mean_over_anchors():
    torch.manual_seed(0)
    anchors = torch.stack([polar(1.0, 0.0), polar(2.0, 1.0), polar(1.5, -1.0)])
    law = Orbits(Transported(anchors, ROTATION, rate=2.0, noise=0.3))
    z = torch.stack([polar(1.1, 0.5), polar(1.9, -0.5)]).unsqueeze(0)
    places = [(1.0, 0.0), (2.0, 1.0), (1.5, -1.0)]
    right = [
        math.log(sum(math.exp(best(r, s, t - a, 2.0, 0.3)) for r, a in places) / 3)
        for s, t in ((1.1, 0.5), (1.9, -0.5))
    ]
    torch.testing.assert_close(
        law.log_best(z, **SEARCH)[0], torch.tensor(right, dtype=torch.float64), rtol=1e-8, atol=0
    )


def test_its_gradient_is_that_of_the_maximum():
    """Central differences of the maximum itself, c* found anew at each: nothing has to flow through c*."""
    torch.manual_seed(0)
    psi = 0.5 * torch.randn(2, 2, 2).double() + ROTATION
    anchors, z, h = torch.stack([polar(1.0, 0.2), polar(1.4, 2.0)]), polar(1.2, 0.9).unsqueeze(0), 1e-5

    def value(psi, anchors, z):
        torch.manual_seed(1)
        law = Orbits(Transported(anchors, psi, rate=3.0, noise=0.4))
        return law.log_best(z, iterations=40, restarts=2).sum()

    given = [t.clone().requires_grad_() for t in (psi, anchors, z)]
    for i, grad in enumerate(torch.autograd.grad(value(*given), given)):
        direction = torch.randn_like(grad)
        moved = [[t.detach() + (s * h * direction if j == i else 0) for j, t in enumerate(given)] for s in (1, -1)]
        numeric = (value(*moved[0]) - value(*moved[1])) / (2 * h)
        assert (grad * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-5, abs=1e-7)


def test_draws_turn_by_laplace_angles():
    """|z| without noise stays, E|c| = 1/rate and E c^2 = 2/rate^2, four standard errors."""
    torch.manual_seed(0)
    law = Transported(polar(1.5, 0.3), ROTATION, rate=5.0, noise=1e-9)
    z = law.rsample((20_000,))
    torch.testing.assert_close(z.norm(dim=-1), torch.full((20_000,), 1.5).double(), rtol=1e-7, atol=0)
    c = torch.atan2(z[:, 1], z[:, 0]) - 0.3
    for power, mean in ((1, 1 / 5), (2, 2 / 25)):
        drawn = c.abs() ** power
        assert abs(drawn.mean().item() - mean) < 4 * drawn.std().item() / math.sqrt(len(drawn))
    assert law.sample((7,)).shape == (7, 2)


def test_draws_of_the_prior_lie_on_the_orbits_of_all_anchors_alike():
    torch.manual_seed(0)
    anchors = torch.stack([polar(1.0, 0.0), polar(2.0, 1.0)])
    z = Orbits(Transported(anchors, ROTATION, rate=1.0, noise=1e-9)).sample((4000,))
    assert z.shape == (4000, 2)
    near = (z.norm(dim=-1) - 1).abs() < 1e-6
    torch.testing.assert_close(z[~near].norm(dim=-1), torch.full((int((~near).sum()),), 2.0).double())
    assert near.double().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))


def test_laplace_draws_are_reparameterised():
    """d/dPsi of E|z - b|^2 at fixed noise against differences."""
    points, b, direction = polar(1.2, 0.1).expand(50, 2), polar(1.0, 1.0), torch.randn(1, 2, 2).double()

    def value(psi):
        torch.manual_seed(3)
        return (Transported(points, psi, rate=2.0, noise=0.1).rsample() - b).square().sum()

    psi = ROTATION.clone().requires_grad_()
    (grad,) = torch.autograd.grad(value(psi), psi)
    numeric = (value(ROTATION + 1e-6 * direction) - value(ROTATION - 1e-6 * direction)) / 2e-6
    assert (grad * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-6)


def test_neither_law_has_a_density():
    law = Transported(torch.zeros(3, 2), torch.zeros(1, 2, 2), 1.0, 1.0)
    for refuses in (law, Orbits(law)):
        with pytest.raises(UserError, match="integral without a closed form"):
            refuses.log_prob(torch.zeros(2))


def test_the_anchors_codes_are_those_of_the_encoder_as_it_stands():
    encoder, psi = nn.Linear(3, 2), Operators(2, 2)
    prior = priors.Orbits(encoder, psi, (3,), 4, rate=1.0, noise=0.1)
    prior.anchors.copy_(torch.randn(4, 3))
    torch.testing.assert_close(prior.points, encoder(prior.anchors))
    assert set(prior.state_dict()) == {"anchors", "operators.psi", "operators.moves", "operators.step"}
    family = posteriors.Transported(psi, rate=1.0, noise=0.1)
    assert family.operators.psi is prior.operators.psi


def test_operators_are_held_while_the_codes_find_their_places():
    psi = Operators(3, 2, hold=2)
    for moves in (False, False, True):
        psi.psi.grad = None
        psi().square().sum().backward()
        assert bool(psi.psi.grad.any()) == moves
        psi.after_step({})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Operators(4, 1), "an orbit needs two or more"),
        (lambda: Operators(0, 2), "give 1 or more"),
        (lambda: Operators(1, 2, pace=0.0), "give a positive pace"),
        (lambda: Operators(1, 2, hold=-1), "0 or more steps"),
        (lambda: posteriors.Transported(Operators(1, 2), rate=0.0, noise=1.0), "give positive numbers"),
        (lambda: priors.Orbits(nn.Identity(), Operators(1, 2), (2,), 0, rate=1.0, noise=1.0), "one or more"),
        (lambda: priors.Orbits(nn.Identity(), Operators(1, 2), (2,), 1, rate=1.0, noise=-1.0), "give positive numbers"),
    ],
)
def test_what_makes_no_orbit_is_refused_in_a_sentence(make, said):
    with pytest.raises(UserError, match=said):
        make()
