"""The bound of categorical latents and its gradients, held against sums over all codes written by hand.

The toy: N = 2 variables of K = 3 classes, four binary pixels, a decoder with a hidden layer so that log p(x|z) is not
linear in z; one row of encoder numbers for each draw, so that every row's gradient is independent.
"""

import itertools
import math

import pytest
import torch
from torch import nn

from logpx import likelihoods, posteriors, priors
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import ELBO, IWAE, DiscreteELBO

N, K = 2, 3
X = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)


class Numbers(nn.Module):
    """An encoder that emits its own numbers, one set per row."""

    def __init__(self, rows):
        super().__init__()
        start = torch.randn(N * K, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        self.numbers = nn.Parameter(start.repeat(rows, 1))

    def forward(self, x):
        return self.numbers.expand(len(x), -1) if len(self.numbers) == 1 else self.numbers


def toy(rows=1, draws="hard", learned=True, **heat):
    torch.manual_seed(7)
    decoder = MLP((N * K,), (8,), (1, 4), activation=nn.Tanh)
    with torch.no_grad():
        for p in decoder.parameters():
            p.mul_(4)  # far from linear
    model = VAE(
        encoder=Numbers(rows),
        posterior=posteriors.Categorical(N, K, draws, **heat),
        prior=priors.Categorical(N, K, learned=learned),
        decoder=decoder,
        likelihood=likelihoods.Bernoulli((4,)),
    ).double()
    if learned:
        with torch.no_grad():
            model.prior.logits.copy_(torch.randn(N, K, generator=torch.Generator().manual_seed(5)))
    return model, Batch(X.expand(rows, 4))


def tables(model):
    """log q(z|x), log p(z) and log p(x|z) of all nine codes, (9,), by itertools."""
    log_q = model.encoder.numbers[0].view(N, K).log_softmax(-1)
    log_pz = model.prior.logits.log_softmax(-1)
    rows = []
    for a, b in itertools.product(range(K), range(K)):
        z = torch.zeros(N, K, dtype=torch.float64)
        z[0, a] = z[1, b] = 1
        h = model.decoder(z.flatten())[0]
        log_px = (X[0] * h - nn.functional.softplus(h)).sum()
        rows.append(torch.stack([log_q[0, a] + log_q[1, b], log_pz[0, a] + log_pz[1, b], log_px]))
    return torch.stack(rows).unbind(1)


def exact_elbo(model):
    log_q, log_pz, log_px = tables(model)
    return (log_q.exp() * (log_px + log_pz - log_q)).sum()


def exact_evidence(model):
    _, log_pz, log_px = tables(model)
    return (log_pz + log_px).logsumexp(0).item()


def gradients(objective, rows, draws="hard", **heat):
    """Of the encoder's numbers of each row, (rows, N K), and its exact value, both of -log p bounds."""
    model, batch = toy(rows, draws, **heat)
    torch.manual_seed(11)
    (objective(model, batch).loss * rows).backward()
    alone, _ = toy()
    (exact,) = torch.autograd.grad(-exact_elbo(alone), alone.encoder.numbers)
    return model.encoder.numbers.grad, exact[0]


def in_errors(found, exact):
    """Distance of the mean in its standard errors, the largest over numbers."""
    return ((found.mean(0) - exact).abs() / (found.std(0) / math.sqrt(len(found)))).max().item()


# --- values -----------------------------------------------------------------------------------------------------------


def test_the_exact_bound_and_all_its_gradients_are_the_enumerated_ones():
    model, batch = toy()
    step = DiscreteELBO("exact")(model, batch)
    by_hand = exact_elbo(model)
    assert step.loss.item() == pytest.approx(-by_hand.item(), abs=1e-12)
    assert step.terms["elbo"].item() == pytest.approx(by_hand.item(), abs=1e-12)
    learned = list(model.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(step.loss, learned), torch.autograd.grad(-by_hand, learned), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_beta_weighs_the_kl_alone():
    model, batch = toy()
    one, three = (DiscreteELBO("exact", beta=beta)(model, batch) for beta in (1.0, 3.0))
    assert three.loss.item() - one.loss.item() == pytest.approx(2 * one.terms["kl"].item(), abs=1e-12)
    assert three.terms["elbo"].item() == one.terms["elbo"].item()


@pytest.mark.parametrize("draws", ["hard", "straight_through"])
def test_one_hot_draws_score_the_bound(draws):
    model, batch = toy(20_000, draws, temperature=0.7)
    torch.manual_seed(0)
    d = model.draw(batch)
    f = (d.log_px() - d.kl()).detach().flatten()
    assert abs(f.mean() - exact_elbo(toy()[0])) <= 4 * f.std() / math.sqrt(len(f))


def test_a_relaxed_score_is_not_called_a_bound_and_may_be_above_log_p():
    """At hot draws the decoder sees points that no code reaches."""
    model, batch = toy(2000, "relaxed", temperature=1.0)
    terms = DiscreteELBO()(model, batch).terms
    assert "elbo" not in terms
    assert terms["relaxed"].item() == pytest.approx(-(terms["reconstruction"] + terms["kl"]).item(), abs=1e-12)
    model.eval()
    assert "elbo" in DiscreteELBO()(model, batch).terms
    assert "relaxed" not in DiscreteELBO()(model, batch).terms


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 5])
def test_leaving_one_out_is_unbiased(k):
    found, exact = gradients(DiscreteELBO("leave_one_out", samples=k), 40_000)
    assert in_errors(found, exact) < 4


def test_leaving_one_out_has_less_variance_than_the_plain_score_function():
    found, exact = gradients(DiscreteELBO("leave_one_out", samples=4), 5000)
    model, batch = toy(5000)
    d = model.draw(batch, 4)
    score = -(d.log_px().detach() * d.log_q()).mean(0) + d.kl()
    (plain,) = torch.autograd.grad(score.sum(), model.encoder.numbers)
    assert in_errors(plain, exact) < 4
    assert (found.var(0) < 0.5 * plain.var(0)).all()


def test_the_decoders_gradient_by_leaving_one_out_is_that_of_the_reconstruction():
    model, batch = toy(50)
    torch.manual_seed(0)
    loss = DiscreteELBO("leave_one_out", samples=3)(model, batch).loss
    mine = torch.autograd.grad(loss, list(model.decoder.parameters()))
    torch.manual_seed(0)
    theirs = torch.autograd.grad(-model.draw(batch, 3).log_px().mean(), list(model.decoder.parameters()))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_bias_of_the_relaxed_gradient_vanishes_with_the_temperature():
    bias, error = {}, {}
    for temperature in (2.0, 0.5, 0.1):
        found, exact = gradients(DiscreteELBO(), 40_000, "relaxed", temperature=temperature)
        bias[temperature] = (found.mean(0) - exact).norm().item()
        error[temperature] = (found.var(0) / len(found)).sum().sqrt().item()
    assert bias[2.0] - 4 * error[2.0] > 1.5 * (bias[0.5] + 4 * error[0.5])
    assert bias[0.5] - 4 * error[0.5] > bias[0.1] + 4 * error[0.1]
    assert bias[0.1] < 4 * error[0.1]


def test_the_straight_through_gradient_is_biased():
    """No claim is made of it; were it unbiased here, the docstrings would be wrong."""
    found, exact = gradients(DiscreteELBO(), 20_000, "straight_through", temperature=0.7)
    assert in_errors(found, exact) > 8


# --- what evaluation says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draws", ["hard", "relaxed", "straight_through"])
def test_evidence_is_of_the_discrete_model_and_below_log_p(draws):
    """The model in training mode: evaluation takes hard draws by itself. E L_1 is the ELBO; L_k rises to log p(x)."""
    model, _ = toy(1, draws, temperature=2.0)
    truth, bounds = exact_evidence(model), []
    for k in (1, 4, 64):
        found = evidence(model, X.expand(4000, 4), samples=k)
        bounds.append(found.mean)
        assert found.kind == "lower bound"
        assert found.mean <= truth + 4 * found.standard_error
        if k == 1:
            assert abs(found.mean - exact_elbo(model).item()) <= 4 * found.standard_error
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(truth, abs=0.05)


def test_at_the_exact_posterior_every_weight_is_the_evidence():
    """One variable of nine classes can be the posterior of any model of nine codes."""
    one = VAE(
        encoder=nn.Linear(4, 9),
        posterior=posteriors.Categorical(1, 9),
        prior=priors.Categorical(1, 9),
        decoder=MLP((9,), (), (1, 4)),
        likelihood=likelihoods.Bernoulli((4,)),
    ).double()
    joint = one.decode(torch.eye(9).double()).log_prob(X[0]) - math.log(9)
    with torch.no_grad():
        one.encoder.weight.zero_()
        one.encoder.bias.copy_(joint)
    found = evidence(one, X.expand(5, 4), samples=1)
    torch.testing.assert_close(found.per_point, joint.logsumexp(0).expand(5).detach(), rtol=1e-12, atol=1e-12)


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_one_draw_cannot_be_left_out():
    with pytest.raises(UserError, match="samples of 2 or more"):
        DiscreteELBO("leave_one_out")


def test_a_flat_space_is_refused():
    model, batch = toy()
    model.posterior, model.prior = posteriors.DiagNormal(3), priors.StandardNormal(3).double()
    model.decoder = MLP((3,), (), (1, 4)).double()
    with pytest.raises(UserError, match="of categorical latents"):
        DiscreteELBO().value_at(model, model.draw(batch))


@pytest.mark.parametrize("objective", [IWAE(3), ELBO(kl="one sample")], ids=["weights", "one sample"])
def test_relaxed_draws_have_no_weights(objective):
    model, batch = toy(3, "relaxed")
    with pytest.raises(UserError, match="Relaxed draws are no codes"):
        objective(model, batch)


def test_free_bits_are_per_variable():
    model, batch = toy()
    floor = 50.0
    loss = ELBO(free_bits=floor)(model, batch)
    assert loss.loss.item() - loss.terms["reconstruction"].item() == pytest.approx(N * floor)
