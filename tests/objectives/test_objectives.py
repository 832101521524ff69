"""The algebra of objectives, the meaning of their weights, and one graph for each."""

import math

import pytest
import torch
from torch import nn

from logpx import likelihoods, posteriors, priors
from logpx.distributions import is_density
from logpx.errors import UserError
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import (
    DIP,
    ELBO,
    GECO,
    IWAE,
    Capacity,
    Constrained,
    KLRho,
    Objective,
    Renyi,
    Sum,
    Warmup,
    Wasserstein2,
    Weight,
    surrogate,
)

P, D = 6, 2


def small(family=posteriors.DiagNormal, likelihood=likelihoods.Bernoulli, prior=True, **options):
    px = likelihood((P,), **options)
    return VAE(
        encoder=MLP((P,), (5,), (family(D).size,), activation=nn.Tanh),
        posterior=family(D),
        prior=priors.StandardNormal(D) if prior else None,
        decoder=MLP((D,), (5,), (px.size, P), activation=nn.Tanh),
        likelihood=px,
    )


def bits(n=4):
    return Batch(torch.rand(n, P).round())


def seeded(objective, model, batch):
    torch.manual_seed(1)
    return objective(model, batch)


def gradients(loss, model):
    return torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)


def all_close(ours, theirs, tolerance=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


class Norm(Objective):
    """E |z|^2: a second term with nothing in common with the bounds."""

    def value(self, d):
        norm = d.z.square().sum(-1)
        return norm.mean(), {"norm": norm}


# --- algebra ------------------------------------------------------------------------------------------------


def test_a_sum_is_the_weighted_sum_on_one_draw():
    model, batch = small().double(), Batch(bits().x.double())
    elbo, norm = seeded(ELBO(), model, batch), seeded(Norm(), model, batch)
    step = seeded(2 * ELBO() + 0.25 * Norm(), model, batch)
    torch.testing.assert_close(step.loss, 2 * elbo.loss + 0.25 * norm.loss, rtol=1e-14, atol=0)
    assert step.terms == elbo.terms | norm.terms | {"loss": step.loss.detach()}
    all_close(
        gradients(step.loss, model),
        [2 * a + 0.25 * b for a, b in zip(gradients(elbo.loss, model), gradients(norm.loss, model), strict=True)],
    )


def test_a_sum_of_one_with_weight_one_is_the_objective_itself():
    model, batch = small(), bits()
    for objective in (ELBO(beta=3.0), IWAE(5, "plain"), IWAE(5, "dreg")):
        assert torch.equal(seeded(1.0 * objective, model, batch).loss, seeded(objective, model, batch).loss)


def test_sums_flatten_and_weights_multiply():
    whole = 2.0 * (ELBO() + 0.5 * Norm()) + 3.0 * IWAE(4)
    assert [(w, type(o)) for w, o in whole.parts()] == [(2.0, ELBO), (1.0, Norm), (3.0, IWAE)]


def test_a_sum_shares_a_draw_between_terms_of_equal_samples_only():
    model, batch = small(), bits()
    seen = []
    model.likelihood.register_forward_hook(lambda m, i, px: seen.append(px.batch_shape[0]))
    (ELBO(samples=7) + IWAE(7, "plain"))(model, batch)
    assert seen == [7]
    (ELBO(samples=3) + IWAE(7, "plain"))(model, batch)
    assert seen == [7, 3, 7]


def test_dreg_in_a_sum_draws_for_itself_and_nothing_is_drawn_in_vain():
    model, batch = small(), bits()
    seen = []
    model.likelihood.register_forward_hook(lambda m, i, px: seen.append(px.batch_shape[0]))
    (0.5 * IWAE(7, "dreg"))(model, batch)
    (ELBO(samples=3) + IWAE(7, "dreg"))(model, batch)
    assert seen == [7, 3, 7]


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_dreg_in_a_sum_does_not_change_the_other_terms_gradient(weight):
    model, batch = small().double(), Batch(bits().x.double())
    torch.manual_seed(1)
    elbo = ELBO(samples=3)(model, batch)
    dreg = IWAE(7)(model, batch)
    expected = [a + weight * b for a, b in zip(gradients(elbo.loss, model), gradients(dreg.loss, model), strict=True)]
    all_close(gradients(seeded(ELBO(samples=3) + weight * IWAE(7), model, batch).loss, model), expected)


def test_a_bound_is_named_after_the_draws_it_is_made_of():
    model, batch = small(), bits()
    assert "L_7" in IWAE(7)(model, batch).terms
    assert "L_7" in (ELBO(samples=9) + IWAE(7, "plain"))(model, batch).terms


def test_two_terms_of_one_name_are_refused():
    with pytest.raises(UserError, match="ELBO"):
        ELBO() + 2.0 * ELBO()


def test_objectives_do_not_multiply_each_other():
    with pytest.raises(UserError, match="do not multiply"):
        ELBO() * IWAE()


def test_a_schedule_times_a_sum_is_refused():
    with pytest.raises(UserError, match="schedule"):
        Warmup(10) * (ELBO() + Norm())
    with pytest.raises(UserError, match="schedule"):
        2.0 * (ELBO() + Warmup(10) * Norm())


# --- beta and schedules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kl", ["closed form", "one sample"])
def test_the_derivative_by_beta_is_the_kl_term_exactly(kl):
    objective = ELBO(beta=1.5, samples=3, kl=kl)
    objective.beta.now.requires_grad_()
    step = objective(small(), bits())
    (slope,) = torch.autograd.grad(step.loss, objective.beta.now)
    assert slope.item() == step.terms["kl"].item()


def test_the_derivative_by_a_weight_is_its_terms_loss():
    model, batch = small(), bits()
    objective = ELBO() + 0.5 * Norm()
    objective.weights[1].now.requires_grad_()
    (slope,) = torch.autograd.grad(seeded(objective, model, batch).loss, objective.weights[1].now)
    assert slope.item() == seeded(Norm(), model, batch).loss.item()


def test_the_loss_is_reconstruction_plus_beta_times_kl():
    step = ELBO(beta=4.0)(small(), bits())
    terms = {name: value.item() for name, value in step.terms.items()}
    assert terms["loss"] == pytest.approx(terms["reconstruction"] + 4 * terms["kl"], rel=1e-6)
    assert terms["elbo"] == pytest.approx(-terms["reconstruction"] - terms["kl"], rel=1e-6)


def movers(objective):
    return [m for m in objective.modules() if hasattr(m, "after_step")]


@pytest.mark.parametrize("scheduled", [lambda w: ELBO(beta=w), lambda w: Norm() + w * ELBO()], ids=["beta", "weight"])
def test_a_schedule_moves_in_after_step_and_nowhere_else(scheduled):
    objective, model, batch = scheduled(Warmup(4, 0.0, 2.0)), small(), bits()
    (weight,) = [m for m in movers(objective) if m.schedule]
    values = []
    for _ in range(6):
        for _ in range(2):  # looking twice does not move it
            objective(model, batch)
        values.append(weight().item())
        for m in movers(objective):
            m.after_step({})
    assert values == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    assert objective.ends() == 4


def test_a_schedule_is_linear_and_then_stays():
    assert [Warmup(10, 1.0, 3.0)(step) for step in (0, 5, 10, 11, 10**9)] == [1, 2, 3, 3, 3]


def test_a_schedule_of_no_steps_has_arrived():
    assert Warmup(0)(0) == 1.0
    assert Weight(Warmup(0))().item() == 1.0


def test_a_schedules_place_is_part_of_the_state():
    objective = ELBO(beta=Warmup(4))
    objective.beta.after_step({})
    other = ELBO(beta=Warmup(4))
    other.load_state_dict(objective.state_dict())
    other.beta.after_step({})
    assert other.beta().item() == 0.5


def test_a_number_never_moves():
    weight = Weight(0.25)
    weight.after_step({})
    assert weight().item() == 0.25
    assert weight.ends == 0


# --- scales -------------------------------------------------------------------------------------------------

OBJECTIVES = {
    "elbo": lambda: ELBO(beta=2.0, samples=5),
    "elbo, one sample": lambda: ELBO(samples=5, kl="one sample"),
    "iwae plain": lambda: IWAE(5, "plain"),
    "iwae stl": lambda: IWAE(5, "stl"),
    "iwae dreg": lambda: IWAE(5, "dreg"),
    "sum": lambda: 0.5 * ELBO(samples=5) + Warmup(10, 0.5, 1.0) * IWAE(5),
}
each_objective = pytest.mark.parametrize("make", OBJECTIVES.values(), ids=OBJECTIVES)
each_single = pytest.mark.parametrize(
    "make", [v for k, v in OBJECTIVES.items() if k != "sum"], ids=list(OBJECTIVES)[:-1]
)


@each_single
def test_doubling_the_batch_by_repetition_changes_no_term(make):
    model, batch = small().double(), Batch(bits().x.double())
    once = model.draw(batch, 5)
    twice_batch = Batch(batch.x.repeat(2, 1))
    twice = model.at(twice_batch, model.encode(twice_batch), once.z.repeat(1, 2, 1))
    (loss, terms), (loss_2, terms_2) = make().value(once), make().value(twice)
    torch.testing.assert_close(loss_2, loss, rtol=1e-13, atol=1e-13)
    for name in terms:
        torch.testing.assert_close(terms_2[name].mean(), terms[name].mean(), rtol=1e-13, atol=1e-13)


BY_REPETITION = {
    "DIP i": lambda: DIP("i"),
    "DIP ii": lambda: DIP("ii"),
    "Wasserstein": Wasserstein2,
    "capacity": lambda: Capacity(3.0),
    "constrained": lambda: Constrained(3.0),
    "GECO": lambda: GECO(0.3),
    "free bits": lambda: ELBO(free_bits=0.2),
    "Renyi": lambda: Renyi(0.5, 5),
    "KL of rho": KLRho,
}


@pytest.mark.parametrize("make", BY_REPETITION.values(), ids=BY_REPETITION)
def test_doubling_the_batch_changes_no_penalty_and_no_constraint(make):
    """Covariances, means over the batch and multipliers see the law of the rows, not their number."""
    model, batch = small().double(), Batch(bits().x.double())
    once = model.draw(batch, 5)
    twice_batch = Batch(batch.x.repeat(2, 1))
    twice = model.at(twice_batch, model.encode(twice_batch), once.z.repeat(1, 2, 1))
    objective = make()
    (loss, terms), (loss_2, terms_2) = objective.value(once), objective.value(twice)
    torch.testing.assert_close(loss_2, loss, rtol=1e-12, atol=1e-12)
    for name in terms:
        torch.testing.assert_close(terms_2[name].mean(), terms[name].mean(), rtol=1e-12, atol=1e-12)


def test_repeating_the_data_dimension_adds_log_likelihoods_and_leaves_the_kl():
    """A mean over pixels in place of their sum would show here as an effective beta."""
    model, batch = small().double(), Batch(bits().x.double())
    d = model.draw(batch, 3)
    wide = likelihoods.Bernoulli((2 * P,))(model.decoder(d.z).repeat(1, 1, 1, 2))
    (loss, terms), (loss_2, terms_2) = (
        ELBO(beta=3.0).value(e) for e in (d, d._replace(px=wide, batch=Batch(batch.x.repeat(1, 2))))
    )
    assert terms_2["reconstruction"].item() == pytest.approx(2 * terms["reconstruction"].item(), rel=1e-13)
    assert terms_2["kl"].item() == terms["kl"].item()
    assert (loss_2 - loss).item() == pytest.approx(terms["reconstruction"].item(), rel=1e-12)


def test_terms_are_nats_per_data_point():
    """Logits of zero and q = prior: P log 2 nats of reconstruction and no KL, at any batch size."""
    model = small()
    for p in model.parameters():
        nn.init.zeros_(p)
    for n in (1, 2, 7):
        terms = ELBO()(model, bits(n)).terms
        assert terms["reconstruction"].item() == pytest.approx(P * math.log(2), rel=1e-6)
        assert terms["kl"].item() == 0


def test_a_score_is_not_called_elbo():
    model = small(likelihood=likelihoods.Grey)
    terms = ELBO()(model, Batch(torch.rand(4, P))).terms
    assert "elbo" not in terms
    assert terms["score"].item() == pytest.approx(-terms["reconstruction"].item() - terms["kl"].item(), rel=1e-6)
    assert not is_density(model.draw(bits()).px)


# --- running ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "name"), [(posteriors.DiagNormal, name) for name in OBJECTIVES] + [(posteriors.FullNormal, "sum")]
)
def test_a_step_is_one_graph_equal_to_eager(family, name):
    model, batch, objective = small(family), bits(), OBJECTIVES[name]()
    eager = seeded(objective, model, batch)  # the first call also warms torch's KL dispatch
    torch.compiler.reset()
    compiled = torch.compile(lambda batch: objective(model, batch), fullgraph=True, backend="aot_eager")
    torch.manual_seed(1)
    traced = compiled(batch)
    assert traced.terms.keys() == eager.terms.keys()
    all_close([traced.loss, *traced.terms.values()], [eager.loss, *eager.terms.values()], 1e-6)
    all_close(gradients(traced.loss, model), gradients(eager.loss, model), 2e-6)


def test_a_captured_graph_follows_a_schedule():
    objective, model, batch = ELBO(beta=Warmup(2)), small(), bits()
    objective(model, batch)
    torch.compiler.reset()
    compiled = torch.compile(lambda batch: objective(model, batch), fullgraph=True, backend="aot_eager")
    for _ in range(3):
        torch.manual_seed(1)
        traced = compiled(batch)
        assert traced.loss.item() == pytest.approx(seeded(objective, model, batch).loss.item(), rel=1e-6)
        objective.beta.after_step({})


@each_objective
@pytest.mark.parametrize("law", [name for name in likelihoods.LIKELIHOODS if name != "table"])  # made of the others
def test_every_parameter_gets_a_finite_gradient_even_from_one_row(make, law):
    options = {"levels": 2} if law in ("categorical", "logistic") else {}
    model = small(likelihood=likelihoods.LIKELIHOODS[law], **options)
    make()(model, bits(1)).loss.backward()
    for name, p in model.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.abs().sum() > 0, name


@each_objective
def test_a_model_without_a_prior_is_refused_in_a_sentence(make):
    with pytest.raises(UserError, match="no prior"):
        make()(small(prior=False), bits())


def test_surrogate_has_the_value_of_one_and_the_gradient_of_the_other():
    t = torch.tensor(3.0, requires_grad=True)
    s = surrogate(t**2, value=5 * t)
    s.backward()
    assert (s.item(), t.grad.item()) == (15.0, 6.0)


def test_a_sum_is_an_objective():
    assert isinstance(ELBO() + Norm(), Sum)
    assert isinstance(ELBO() + Norm(), Objective)


def test_a_sum_says_how_each_of_its_terms_takes_the_kl():
    model = small()
    model.draw(bits())
    assert ELBO().how_kl(model) == "closed form"
    assert (0.5 * ELBO(kl="one sample")).how_kl(model) == "one sample"
    assert (ELBO() + IWAE(3)).how_kl(model).startswith("closed form and ")
