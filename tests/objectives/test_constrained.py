"""Targets and constraints against the linear VAE's closed forms: reverse water-filling, and multipliers with their KKT values.

Data with eigenvalues (4, 1, 0.01) and two latents; every expectation over q is exact (sigma points of a quadratic), so
that what is tested is the objective and not its noise.
"""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from logpx import likelihoods, priors
from logpx.errors import UserError
from logpx.exact import linear_vae
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import ELBO, GECO, Capacity, Constrained, Warmup, finished

SPECTRUM, S2 = (4.0, 1.0, 0.01), 0.5
STEPS = 1500


def data():
    """Six rows whose covariance (divisor n) is diag(SPECTRUM)."""
    half = torch.diag((3 * torch.tensor(SPECTRUM, dtype=torch.float64)).sqrt())
    return torch.cat([half, -half])


def exact_draw(model, batch):
    """2 D points per row at which the mean of a quadratic function is its expectation under a diagonal normal q."""
    q = model.encode(batch)
    D = q.event_shape[0]
    e = math.sqrt(D) * torch.cat([torch.eye(D), -torch.eye(D)]).double().unsqueeze(1)
    return model.at(batch, q, q.mean + q.stddev * e)


def near_the_vae():
    """A linear VAE near its optimum at beta = 1, where both latents live: from there it is not far to any other."""
    model = linear_vae.build((3,), 2, math.sqrt(S2)).double()
    linear_vae.write_into(model, linear_vae.global_optimum(data(), 2, S2))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


def trained(objective, model=None, steps=STEPS):
    """Model, its last terms, and how one of them went, by Adam with a rate that falls to zero."""
    torch.manual_seed(0)
    model = (model or near_the_vae()).double()
    adam = torch.optim.Adam(model.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        step = finished(*objective.value(exact_draw(model, Batch(data()))))
        adam.zero_grad()
        step.loss.backward()
        adam.step()
        schedule.step()
        for m in objective.modules():
            if hasattr(m, "after_step"):
                m.after_step(step.terms)
    return model, {name: value.item() for name, value in step.terms.items()}


def kl_by_latent(model):
    q = model.encode(Batch(data()))
    kl = torch.distributions.kl_divergence(q.base_dist, model.prior().base_dist).mean(0)
    return sorted(kl.tolist(), reverse=True)


def water(theta):
    return [max(0.0, 0.5 * math.log(v / theta)) for v in SPECTRUM[:2]]


# --- the KL's weight ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.5, 4.0])
def test_a_sweep_of_beta_is_reverse_water_filling(beta):
    model, terms = trained(ELBO(beta), steps=700)
    assert kl_by_latent(model) == pytest.approx(water(beta * S2), abs=2e-3)
    assert terms["kl"] == pytest.approx(sum(water(beta * S2)), abs=2e-3)


# --- the constraint on the KL -------------------------------------------------------------------------------


def test_the_constraint_is_met_by_reverse_water_filling_and_the_multiplier_is_theta_over_s2():
    eps = 1.5  # both latents live
    theta = linear_vae.water_level(SPECTRUM[:2], eps).item()
    model, terms = trained(Constrained(eps))
    assert terms["kl"] == pytest.approx(eps, rel=5e-3)
    assert kl_by_latent(model) == pytest.approx(water(theta), abs=5e-3)
    assert terms["multiplier"] == pytest.approx(theta / S2, rel=1e-2)


def test_the_known_answer_of_one_live_latent():
    """lambda = (4, 1), eps = 1/2 log 4: theta = 1, KL = (0.6931, 0), distortion (1, 1)."""
    model, terms = trained(Constrained(0.5 * math.log(4)))
    assert terms["multiplier"] == pytest.approx(1 / S2, rel=1e-2)
    assert kl_by_latent(model) == pytest.approx([0.6931, 0.0], abs=5e-3)
    d = exact_draw(model, Batch(data()))
    distortion = (data() - d.px.mean).square().mean((0, 1))
    assert distortion.tolist() == pytest.approx([1.0, 1.0, 0.01], abs=2e-2)
    assert terms["elbo"] == pytest.approx(-terms["reconstruction"] - terms["kl"], rel=1e-12)


class Narrow(nn.Module):
    """q = N(tanh(m), 0.3^2 .. 1): its KL cannot exceed 1/2 (1 + 1 - 1 - 2 log 0.3) per latent, whatever the weights."""

    dim, size = 2, 4

    def forward(self, params):
        m, s = params.split(2, -1)
        return Independent(Normal(m.tanh(), 0.3 + 0.7 * s.sigmoid(), validate_args=False), 1, validate_args=False)


def narrow():
    return VAE(
        encoder=MLP((3,), (), (4,)),
        posterior=Narrow(),
        prior=priors.StandardNormal(2),
        decoder=MLP((2,), (), (1, 3)),
        likelihood=likelihoods.Gaussian((3,), sigma=math.sqrt(S2)),
    )


def test_a_slack_constraint_lets_the_multiplier_go_to_zero():
    eps = 10.0
    assert 2 * 0.5 * (1 + 1 - 1 - 2 * math.log(0.3)) < eps
    _, terms = trained(Constrained(eps), narrow(), steps=2500)
    assert terms["kl"] < eps
    assert terms["multiplier"] * eps < 1e-3
    _, free = trained(ELBO(beta=0.0), narrow(), steps=2500)
    assert terms["reconstruction"] == pytest.approx(free["reconstruction"], abs=1e-3)


def test_the_multiplier_moves_only_in_after_step_and_on_a_running_mean():
    objective, model = Constrained(1.0, rate=0.5), linear_vae.build((3,), 2, 1.0)
    batch = Batch(data().float())
    for _ in range(3):
        assert objective(model, batch).terms["multiplier"].item() == 1
    objective.after_step({"kl": torch.tensor(1.5)})
    assert objective.multiplier().item() == pytest.approx(math.exp(0.5 * 0.5), rel=1e-6)  # the first is the mean
    objective.after_step({"kl": torch.tensor(0.5)})
    mean = 0.99 * 0.5 - 0.01 * 0.5
    assert objective.multiplier().item() == pytest.approx(math.exp(0.5 * 0.5 + 0.5 * mean), rel=1e-6)
    objective.after_step({"kl": torch.tensor(1e9)})  # no jump: a step is clipped
    assert objective.multiplier().item() == pytest.approx(math.exp(0.5 * 0.5 + 0.5 * mean + 0.5), rel=1e-6)


def test_the_multiplier_is_saved_and_goes_on_from_there():
    one, two = Constrained(1.0), Constrained(1.0)
    for kl in (2.0, 3.0):
        one.after_step({"kl": torch.tensor(kl)})
    two.load_state_dict(one.state_dict())
    for objective in (one, two):
        objective.after_step({"kl": torch.tensor(0.1)})
    assert one.state_dict() == two.state_dict()
    assert not one.compares_epochs


# --- the constraint on the error ----------------------------------------------------------------------------


def test_geco_ends_on_the_rate_distortion_curve_with_its_multiplier():
    theta = 0.5
    tolerance = sum(min(theta, v) for v in SPECTRUM[:2]) + SPECTRUM[2]
    kappa = math.sqrt(tolerance / 3)
    model, terms = trained(GECO(kappa))
    assert terms["tolerance"] == pytest.approx(tolerance, rel=1e-12)
    assert terms["squared_error"] <= 1.005 * tolerance
    assert terms["kl"] == pytest.approx(sum(water(theta)), abs=5e-3)
    assert kl_by_latent(model) == pytest.approx(water(theta), abs=1e-2)
    assert terms["multiplier"] == pytest.approx(1 / (2 * theta), rel=2e-2)


def test_the_squared_error_is_that_of_the_observed_elements():
    model = linear_vae.build((3,), 2, 1.0).double()
    x = data().clone()
    x[0, 1] = x[3, 0] = math.nan
    d = model.draw(Batch.of(x), 5)
    terms = GECO(0.5).value(d)[1]
    error = (torch.as_tensor(x) - d.px.mean).square().nan_to_num(0).sum(-1).mean()
    assert terms["squared_error"].item() == pytest.approx(error.item(), rel=1e-12)
    assert terms["tolerance"].item() == pytest.approx(0.25 * 16 / 6, rel=1e-12)


def test_geco_starts_as_the_elbo_of_sigma_kappa():
    """With lam = 1/(2 kappa^2) the loss is -ELBO less constants: the gradients are those of the VAE."""
    model, batch = linear_vae.build((3,), 2, 0.5).double(), Batch(data())
    gradients = []
    for objective in (GECO(0.5), ELBO()):
        torch.manual_seed(0)
        gradients.append(torch.autograd.grad(objective(model, batch).loss, list(model.parameters())))
    for ours, elbo in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, elbo, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kappa", [1e-6, 1.0, 1e6])
def test_the_multiplier_starts_where_its_unit_puts_it_and_stays_within_e20_of_that(kappa):
    """lam has unit 1/x^2: a bound on lam itself would be another one in other units."""
    objective, start = GECO(kappa, rate=5.0), 0.5 / kappa**2
    objective.multiplier.follow(torch.tensor(0.0))
    assert objective.multiplier().item() == pytest.approx(start, rel=1e-5)
    for excess, sign in ((1e9, 1), (-1.0, -1)):
        objective = GECO(kappa, rate=5.0)
        for _ in range(6):
            objective.multiplier.follow(torch.tensor(excess))
        assert objective.multiplier().item() == pytest.approx(start * math.exp(sign * 20), rel=1e-4)


def test_a_batch_without_an_observed_value_moves_nothing():
    objective, model = GECO(0.5, rate=0.5), linear_vae.build((3,), 2, 1.0)
    empty, full = Batch.of(torch.full((2, 3), math.nan)), Batch(data().float())
    for batch in (empty, full, empty, full):
        before = {name: value.clone() for name, value in objective.state_dict().items()}
        objective.after_step(objective(model, batch).terms)
        moved = [not torch.equal(value, before[name]) for name, value in objective.state_dict().items()]
        assert moved == [batch is full] * 3
    assert objective.multiplier().isfinite()


def test_the_kl_rises_with_the_eps_that_is_asked_for():
    """Each run starts beside its optimum, whose multiplier is theta / s2: from the other side of the sweep it is long."""
    wanted, found = (0.3, 0.5, 0.8, 1.2, 2.0), []
    for eps in wanted:
        theta, objective = linear_vae.water_level(SPECTRUM[:2], eps).item(), Constrained(eps)
        objective.multiplier.log_b.fill_(math.log(theta / S2))
        model = linear_vae.build((3,), 2, math.sqrt(S2)).double()
        linear_vae.write_into(model, linear_vae.global_optimum(data(), 2, S2, theta / S2))
        with torch.no_grad():
            for p in model.encoder.parameters():
                p.mul_(1.02)
        found.append(trained(objective, model, steps=100)[1]["kl"])
    assert found == sorted(found)
    assert found == pytest.approx(wanted, rel=0.05)


# --- capacity -----------------------------------------------------------------------------------------------


def test_capacity_ends_with_a_kl_within_one_percent_of_c():
    capacity = 1.2
    model, terms = trained(Capacity(Warmup(300, 0.0, capacity), gamma=30.0), steps=2500)
    assert terms["capacity"] == pytest.approx(capacity, rel=1e-6)
    assert terms["kl"] == pytest.approx(capacity, rel=0.01)
    theta = linear_vae.water_level(SPECTRUM[:2], capacity).item()
    assert kl_by_latent(model) == pytest.approx(water(theta), abs=2e-2)


def test_capacity_pulls_the_kl_from_both_sides():
    model, batch = linear_vae.build((3,), 2, 1.0).double(), Batch(data())
    for C, sign in ((0.0, 1.0), (50.0, -1.0)):
        torch.manual_seed(0)
        step = Capacity(C, gamma=7.0)(model, batch)
        expected = step.terms["reconstruction"] + 7 * sign * (step.terms["kl"] - C)
        assert step.loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_capacity_term_is_the_one_the_step_used():
    objective, model = Capacity(Warmup(2, 0.0, 1.0)), linear_vae.build((3,), 2, 1.0)
    terms = objective(model, Batch(data().float())).terms
    objective.capacity.after_step(terms)
    assert terms["capacity"].item() == 0.0
    assert objective.ends() == 2


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_a_goal_that_is_no_positive_number_is_refused(value):
    for make in (lambda: Constrained(value), lambda: GECO(value), lambda: Capacity(1.0, gamma=value)):
        with pytest.raises(UserError, match="give a positive number"):
            make()
