"""The ELBO's free bits and cycles, the Renyi bound, bounds in groups and in combination."""

import math

import pytest
import torch
from torch import nn

from logpx import likelihoods, posteriors, priors
from logpx.distributions import kl_by_dimension
from logpx.errors import UserError
from logpx.maths import log_mean_exp
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import ELBO, IWAE, Cyclical, Renyi, Warmup, Weight

P, D = 6, 3


def small(family=posteriors.DiagNormal):
    torch.manual_seed(0)
    return VAE(
        encoder=MLP((P,), (5,), (family(D).size,), activation=nn.Tanh),
        posterior=family(D),
        prior=priors.StandardNormal(D),
        decoder=MLP((D,), (5,), (1, P), activation=nn.Tanh),
        likelihood=likelihoods.Bernoulli((P,)),
    ).double()


def bits(n=4):
    return Batch(torch.rand(n, P, generator=torch.Generator().manual_seed(1)).round().double())


def seeded(objective, model, batch):
    torch.manual_seed(1)
    return objective(model, batch)


def gradients(loss, model):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)])


# --- beta and free bits -------------------------------------------------------------------------------------


def test_the_gradient_is_linear_in_beta():
    model, batch = small(), bits()
    at = {b: gradients(seeded(ELBO(b), model, batch).loss, model) for b in (0.0, 1.0, 4.0)}
    torch.testing.assert_close(at[4.0], at[0.0] + 4 * (at[1.0] - at[0.0]), rtol=1e-12, atol=1e-13)
    assert (at[1.0] - at[0.0]).abs().max() > 1e-3


def test_free_bits_are_a_floor_under_each_dimensions_mean_over_the_batch():
    model, batch = small(), bits()
    d = model.draw(batch)
    by_dimension = kl_by_dimension(d.q, d.prior).mean(0)
    floor = by_dimension.median().item()  # one dimension below, one above
    loss, terms = ELBO(2.0, free_bits=floor).value(d)
    expected = -d.log_px().mean() + 2 * sum(max(kl.item(), floor) for kl in by_dimension)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    plain = ELBO().value(d)[1]
    assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in plain.items()}


def test_a_dimension_within_its_free_bits_is_not_pushed():
    model, batch = small(), bits()
    free, none = (gradients(seeded(ELBO(free_bits=50.0) if f else ELBO(0.0), model, batch).loss, model) for f in (1, 0))
    torch.testing.assert_close(free, none, rtol=1e-12, atol=1e-14)


def test_free_bits_of_zero_are_the_vae_bit_for_bit():
    model, batch = small(), bits()
    assert torch.equal(seeded(ELBO(free_bits=0.0), model, batch).loss, seeded(ELBO(), model, batch).loss)


def test_free_bits_need_dimensions():
    with pytest.raises(UserError, match="no product"):
        ELBO(free_bits=0.1)(small(posteriors.FullNormal), bits())
    with pytest.raises(UserError, match="closed KL"):
        ELBO(free_bits=0.1, kl="one sample")
    with pytest.raises(UserError, match="free_bits is -1"):
        ELBO(free_bits=-1)


def test_free_bits_are_one_graph():
    model, batch, objective = small(), bits(), ELBO(free_bits=0.3)
    eager = seeded(objective, model, batch).loss
    torch.compiler.reset()
    compiled = torch.compile(objective, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(seeded(compiled, model, batch).loss, eager, rtol=1e-10, atol=1e-12)


# --- cycles -------------------------------------------------------------------------------------------------


def test_a_cycle_rises_for_its_first_part_and_stays_for_the_rest():
    schedule = Cyclical(16, cycles=2)  # cycles of 8 steps, 4 of them rising
    values = [schedule(step).item() for step in range(18)]
    assert values == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1] * 2 + [1, 1]
    assert schedule.ends == 12
    assert all(schedule(step) == 1 for step in (12, 13, 16, 1000))


def test_one_cycle_that_rises_all_the_way_is_the_warm_up():
    for step in (0, 3, 7, 10, 11):
        assert Cyclical(10, 1, 1.0, 0.5, 2.0)(step).item() == pytest.approx(Warmup(10, 0.5, 2.0)(step).item(), rel=1e-6)


def test_cycles_that_do_not_divide_the_steps_reach_their_ends():
    schedule = Cyclical(10, cycles=3)
    values = [schedule(step).item() for step in range(12)]
    assert values[0] == 0
    assert values[4] == pytest.approx((4 - 10 / 3) / (10 / 6), rel=1e-5)
    assert values[schedule.ends :] == [1.0] * (12 - schedule.ends)


def test_a_cycle_is_a_weight_that_is_saved():
    one, two = Weight(Cyclical(8, 2)), Weight(Cyclical(8, 2))
    for _ in range(5):
        one.after_step({})
    two.load_state_dict(one.state_dict())
    two.after_step({})
    one.after_step({})
    assert one().item() == two().item() == 1.0
    assert (ELBO(Cyclical(8, 2)) + Cyclical(12, 2) * IWAE(2)).ends() == 9


@pytest.mark.parametrize("options", [(0, 1), (3, 4), (3, 0), (10, 2, 0.0), (10, 2, 1.5)])
def test_cycles_that_are_none_are_refused(options):
    with pytest.raises(UserError, match="cycle"):
        Cyclical(*options)


# --- Renyi --------------------------------------------------------------------------------------------------


def test_alpha_zero_is_the_iwae_in_value_and_gradient():
    model, batch = small(), bits()
    ours, theirs = seeded(Renyi(0.0, 7), model, batch), seeded(IWAE(7, "plain"), model, batch)
    assert ours.loss.item() == pytest.approx(theirs.loss.item(), rel=1e-14)
    torch.testing.assert_close(gradients(ours.loss, model), gradients(theirs.loss, model), rtol=1e-12, atol=1e-14)


def test_alpha_one_is_the_sampled_elbo_and_the_limit_of_its_neighbours():
    model, batch = small(), bits()
    at = {a: seeded(Renyi(a, 7), model, batch) for a in (1 - 1e-5, 1.0, 1 + 1e-5)}
    elbo = seeded(ELBO(samples=7, kl="one sample"), model, batch)
    assert at[1.0].loss.item() == pytest.approx(elbo.loss.item(), rel=1e-13)
    torch.testing.assert_close(gradients(at[1.0].loss, model), gradients(elbo.loss, model), rtol=1e-11, atol=1e-13)
    for neighbour in (1 - 1e-5, 1 + 1e-5):
        assert at[neighbour].loss.item() == pytest.approx(elbo.loss.item(), abs=1e-4)


def test_the_bound_falls_as_alpha_rises_and_ends_at_the_extreme_weights():
    model, batch = small(), bits()
    torch.manual_seed(1)
    log_w = model.draw(batch, 7).log_w()
    values = [-seeded(Renyi(a, 7), model, batch).loss.item() for a in (-300.0, -1.0, 0.0, 0.5, 1.0, 2.0, 300.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(log_w.amax(0).mean().item(), abs=math.log(7) / 300)
    assert values[-1] == pytest.approx(log_w.amin(0).mean().item(), abs=math.log(7) / 299 + 1e-9)


def test_an_alpha_that_is_no_number_is_refused():
    for alpha in (math.nan, math.inf):
        with pytest.raises(UserError, match="alpha"):
            Renyi(alpha)


# --- groups and combinations --------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", ["plain", "stl", "dreg"])
def test_groups_are_a_mean_of_bounds_in_value_and_gradient(gradient):
    model, batch = small(), bits()
    ours = seeded(IWAE(3, gradient, groups=2), model, batch)
    torch.manual_seed(1)
    d = model.draw(batch, 6)
    expected = log_mean_exp(d.log_w().reshape(2, 3, -1), 1).mean()
    assert ours.loss.item() == pytest.approx(-expected.item(), rel=1e-13)
    assert ours.terms["L_3"].item() == pytest.approx(expected.item(), rel=1e-13)
    one = IWAE(3, gradient)
    grads = []
    for z in d.z.detach().split(3):  # the same noise through each group alone
        params = model.emit(batch)
        q = model.posterior(params)
        noise = (z - q.mean.detach()) / q.stddev.detach()
        moving = q.mean + q.stddev * noise
        alone = model.at(batch, q, moving, lambda params=params: model.posterior(params.detach()))
        grads.append(gradients(one.value(alone)[0], model))
    torch.testing.assert_close(gradients(ours.loss, model), sum(grads) / 2, rtol=1e-10, atol=1e-12)


def test_no_group_is_refused():
    with pytest.raises(UserError, match="groups is 0"):
        IWAE(3, groups=0)


def test_the_combination_shares_its_draws_and_reports_the_bound_at_beta_1():
    """CIWAE: beta mean log w + (1 - beta) log mean w."""
    model, batch = small(), bits()
    seen = []
    hook = model.likelihood.register_forward_hook(lambda m, i, px: seen.append(px.batch_shape[0]))
    step = seeded(0.25 * ELBO(samples=5, kl="one sample") + 0.75 * IWAE(5, "plain"), model, batch)
    hook.remove()
    assert seen == [5]
    torch.manual_seed(1)
    log_w = model.draw(batch, 5).log_w()
    elbo, bound = log_w.mean().item(), log_mean_exp(log_w).mean().item()
    assert step.loss.item() == pytest.approx(-0.25 * elbo - 0.75 * bound, rel=1e-12)
    assert step.terms["elbo"].item() == pytest.approx(elbo, rel=1e-12)
    assert step.terms["L_5"].item() == pytest.approx(bound, rel=1e-12)


@pytest.mark.parametrize("power", [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize("sign", [1, -1])
def test_near_alpha_one_float32_keeps_the_bound(power, sign):
    """Log weights near -100 and 30 apart: log mean exp(p log w)/p would magnify their rounding by 1/p."""
    batch = Batch(bits().x.float())
    d = small().float().draw(batch, 50)
    generator = torch.Generator().manual_seed(0)
    log_px = -100 + 30 * torch.rand(50, len(batch.x), generator=generator)

    class Given(type(d)):
        def log_px(self):
            return log_px

    alpha = 1 - sign * power
    narrow = Given(*d)
    log_w = (narrow.log_px() + narrow.log_pz() - narrow.log_q()).double()
    exact = torch.log1p(torch.expm1((1 - alpha) * (log_w - log_w[0])).mean(0)) / (1 - alpha) + log_w[0]
    assert Renyi(alpha, 50).value(narrow)[1]["renyi"].tolist() == pytest.approx(exact.tolist(), abs=3e-5)
