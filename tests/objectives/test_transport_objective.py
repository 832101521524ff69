"""The loss of learned orbits: its parts by hand, that it names no bound, and that circles leave one rotation."""

import math

import pytest
import torch
from torch import nn

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.errors import UserError
from logpx.model import VAE, Batch


def model(operators: int = 1, **prior) -> VAE:
    """z = x: the networks leave everything as it is."""
    psi = networks.Operators(operators, 2)
    q = posteriors.Transported(psi, rate=10.0, noise=0.1)
    p = priors.Orbits(nn.Identity(), psi, (2,), prior.pop("anchors", 1), **({"rate": 1.0, "noise": 0.3} | prior))
    decoder = nn.Unflatten(-1, (1, 2))
    law = likelihoods.Gaussian((2,), sigma=1.0)
    return VAE(encoder=nn.Identity(), posterior=q, prior=p, decoder=decoder, likelihood=law)


def test_the_loss_is_the_sum_of_its_parts_by_hand():
    """A rotation, so that each maximum over c is known: c* = |th| - arcsin(zeta/(r0 r1))."""
    made = model()
    with torch.no_grad():
        made.posterior.operators.psi.copy_(torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]))
        made.prior.anchors.copy_(torch.tensor([[1.0, 0.0]]))
    x = torch.tensor([[0.0, 1.2]])
    torch.manual_seed(0)
    draw = made.draw(Batch(x))
    loss, terms = objectives.Transport(2.0, iterations=30, restarts=4).value(draw)

    def best(r, a, t, b, rate, noise):
        zeta, angle = rate * noise**2, abs((t - b + math.pi) % (2 * math.pi) - math.pi)
        c = max(angle - math.asin(zeta / (r * a)), 0)
        return -(r**2 + a**2 - 2 * r * a * math.cos(angle - c)) / (2 * noise**2) - rate * c

    z = draw.z[0, 0].tolist()
    r, t = math.hypot(*z), math.atan2(z[1], z[0])
    reconstruction = 0.5 * ((draw.z[0] - x) ** 2).sum().item() + math.log(2 * math.pi)
    assert terms["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-6)
    assert terms["log_q_best"].item() == pytest.approx(best(r, 1.2, t, math.pi / 2, 10.0, 0.1), rel=1e-4, abs=1e-5)
    assert terms["log_p_best"].item() == pytest.approx(best(r, 1.0, t, 0.0, 1.0, 0.3), rel=1e-4)
    whole = terms["reconstruction"] + terms["log_q_best"] - terms["log_p_best"] + 2.0 / 2 * 2.0
    torch.testing.assert_close(loss, whole)


def test_no_term_of_it_is_called_a_bound_and_the_run_says_that_there_is_no_kl():
    made = model()
    terms = objectives.Transport()(made, Batch(torch.randn(5, 2))).terms
    assert set(terms) == {"loss", "reconstruction", "log_q_best", "log_p_best", "operators"}
    assert objectives.Transport().how_kl(made).startswith("none")


def test_the_weight_rises_in_steps_and_leaves_the_reconstruction_alone():
    made, x = model(), Batch(torch.randn(5, 2))
    loss = objectives.Transport(weight=objectives.Warmup(2))
    assert loss.ends() == 2
    step = loss(made, x)
    torch.testing.assert_close(step.loss, step.terms["reconstruction"])


def test_the_radius_adds_the_squared_length_of_the_codes():
    made, x = model(), Batch(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    found = []
    for radius in (math.inf, 2.0):
        torch.manual_seed(0)
        found.append(objectives.Transport(radius=radius)(made, x).loss)
    assert (found[1] - found[0]).item() == pytest.approx((25 + 1) / 2 / 8, rel=1e-4)


def test_it_needs_orbits():
    normal = VAE(
        encoder=nn.Linear(2, 4),
        posterior=posteriors.DiagNormal(2),
        prior=priors.StandardNormal(2),
        decoder=nn.Unflatten(-1, (1, 2)),
        likelihood=likelihoods.Gaussian((2,), sigma=1.0),
    )
    with pytest.raises(UserError, match="needs orbits"):
        objectives.Transport()(normal, Batch(torch.randn(3, 2)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eta": -1.0}, "0 or a positive"),
        ({"radius": 0.0}, "positive"),
        ({"iterations": 0}, "iterations"),
        ({"restarts": 0}, "restarts"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        objectives.Transport(**options)


def test_codes_on_circles_leave_one_rotation():
    """The loss itself, its networks left out: random operators become one with imaginary eigenvalues, the others vanish."""
    torch.manual_seed(0)
    made = model(2, anchors=4, rate=5.0, noise=0.1)  # zeta = 0.05
    psi, radii = made.posterior.operators.psi, torch.tensor([0.6, 1.2])

    def points(angle, which):
        return radii[which, None] * torch.stack([angle.cos(), angle.sin()], 1)

    made.prior.anchors.copy_(points(torch.tensor([0.0, math.pi, 0.0, math.pi]), torch.tensor([0, 0, 1, 1])))
    loss, adam = objectives.Transport(5.0, iterations=4, restarts=8), torch.optim.Adam([psi], lr=0.05)
    for _ in range(60):
        x = points(2 * math.pi * torch.rand(24), torch.randint(2, (24,)))
        adam.zero_grad()
        loss(made, Batch(x)).loss.backward()
        adam.step()
    length, sorted_psi = made.posterior.operators.by_length()
    assert length[1] < 0.15 * length[0]
    turn = torch.linalg.eigvals(sorted_psi[0])
    assert (turn.real.abs() < 0.15 * turn.imag.abs()).all()
