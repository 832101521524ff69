"""VAE and Draw: shapes, missing values, contexts, and models without a prior."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from logpx import likelihoods, networks, posteriors, priors
from logpx.errors import UserError
from logpx.model import VAE, Batch

K, B, D, C = 3, 4, 2, 5


def model_of(shape=(6,), *, context=0, prior=True, family=posteriors.DiagNormal, likelihood=None, conv=False):
    q, px = family(D), likelihood or likelihoods.Gaussian(shape, sigma=0.5)
    if conv:
        encoder = networks.ConvEncoder(shape, (q.size,), hidden=(8,), context=context)
        decoder = networks.ConvDecoder((D,), (px.size, *shape), hidden=(8,), context=context)
    else:
        encoder = networks.MLP(shape, (8,), (q.size,), context=context)
        decoder = networks.MLP((D,), (8,), (px.size, *shape), context=context)
    p = priors.StandardNormal(D) if prior else None
    return VAE(encoder=encoder, posterior=q, prior=p, decoder=decoder, likelihood=px).double()


def batch_of(shape=(6,), n=B, **others):
    return Batch(torch.randn(n, *shape).double(), **others)


class ConditionalPrior(nn.Module):
    """p(z | c) = N(c_1:D, I), batch (B,)."""

    def forward(self, context):
        return Independent(Normal(context[..., :D], 1.0), 1)


class CorrelatedPrior(nn.Module):
    """A full covariance, against which a diagonal posterior has no closed KL."""

    def forward(self, context=None):
        return MultivariateNormal(torch.zeros(D).double(), torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double())


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conv", [False, True], ids=["mlp", "conv"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (1, 28, 28)], ids=str)
@pytest.mark.parametrize("n", [1, B])
def test_a_draw_is_k_by_b(shape, conv, n):
    model = model_of(shape, conv=conv)
    d = model.draw(batch_of(shape, n), K)
    assert d.z.shape == (K, n, D)
    assert d.px.batch_shape == (K, n)
    assert d.px.event_shape == shape
    for numbers in (d.log_px(), d.log_pz(), d.log_q(), d.log_q(fixed=True), d.log_w(), d.kl(sampled=True)):
        assert numbers.shape == (K, n)
    assert d.kl().shape == (n,)


def test_the_four_numbers_are_those_of_the_laws():
    model, batch = model_of(), batch_of()
    d = model.draw(batch, K)
    mean, sigma = d.q.mean, d.q.stddev
    log_q = (-((d.z - mean) ** 2) / (2 * sigma**2) - sigma.log() - math.log(2 * math.pi) / 2).sum(-1)
    log_pz = -d.z.square().sum(-1) / 2 - D * math.log(2 * math.pi) / 2
    m = model.decoder(d.z)[:, :, 0]
    log_px = -((batch.x - m) ** 2).sum(-1) / (2 * 0.25) - 6 * math.log(0.5 * math.sqrt(2 * math.pi))
    for ours, expected in [(d.log_q(), log_q), (d.log_pz(), log_pz), (d.log_px(), log_px)]:
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d.log_w(), log_px + log_pz - log_q, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d.kl(sampled=True), log_q - log_pz, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(d.kl(), (mean**2 + sigma**2 - 1 - 2 * sigma.log()).sum(-1) / 2, rtol=1e-12, atol=1e-12)


def test_encode_at_and_draw_agree():
    model, batch = model_of(), batch_of()
    d, q = model.draw(batch, K), model.encode(batch)
    assert torch.equal(q.mean, d.q.mean)
    again = model.at(batch, q, d.z)
    assert torch.equal(again.log_w(), d.log_w())
    pieces = torch.cat([model.at(batch, q, piece).log_w() for piece in d.z.split(2)])
    torch.testing.assert_close(pieces, d.log_w(), rtol=1e-12, atol=1e-12)


def test_each_sample_belongs_to_its_own_row():
    """Rows of very different x: taking (K, B) for (B, K) would put them in the wrong place."""
    model = model_of()
    batch = Batch(10.0 * torch.arange(B)[:, None].double().expand(B, 6))
    z = model.draw(batch, 500).z
    q = model.encode(batch)
    assert ((z.mean(0) - q.mean).abs() <= 5 * q.stddev / math.sqrt(500)).all()


def test_the_fixed_law_stops_the_gradient_into_its_numbers_only():
    model, batch = model_of(), batch_of()
    d = model.draw(batch, K)
    assert torch.equal(d.log_q(), d.log_q(fixed=True))
    outside = model.at(batch, d.q, d.z.detach(), d.q_fixed)
    assert outside.log_q().requires_grad
    outside.log_w(fixed=True).sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert not outside.log_q(fixed=True).requires_grad
    assert d.log_q(fixed=True).requires_grad  # through z


def test_encoding_twice_is_the_same_and_draws_nothing():
    model, batch = model_of(), batch_of()
    state = torch.get_rng_state()
    assert torch.equal(model.encode(batch).mean, model.encode(batch).mean)
    assert torch.equal(torch.get_rng_state(), state)


# --- missing values ---------------------------------------------------------------------------------------------------


def test_missing_values_leave_the_observed_ones():
    model, observed = model_of(), torch.rand(B, 6) < 0.5
    d = model.draw(batch_of(observed=observed), K)
    per_element = d.px.base_dist.log_prob(d.batch.x)
    expected = torch.stack([per_element[:, i, seen].sum(-1) for i, seen in enumerate(observed)], 1)
    torch.testing.assert_close(d.log_px(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mask", [torch.bool, torch.float64])
@pytest.mark.parametrize("filler", [0.0, 1e6, math.nan, math.inf])
def test_what_fills_a_hole_is_never_read(filler, mask):
    model, observed = model_of(), torch.arange(6).expand(B, 6) < 3
    batch = batch_of()
    d = model.draw(batch, K)
    expected = d._replace(batch=batch._replace(observed=observed)).log_px()
    value = d._replace(batch=Batch(batch.x.where(observed, filler), observed=observed.to(mask))).log_px()
    assert torch.equal(value, expected)
    value.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.decoder.parameters())


def test_a_mask_over_images_counts_every_axis():
    shape = (2, 3, 3)
    model = model_of(shape)
    batch = batch_of(shape, observed=torch.ones(B, *shape))
    d = model.draw(batch, K)
    torch.testing.assert_close(d.log_px(), d.px.log_prob(batch.x), rtol=1e-13, atol=1e-13)
    nothing = d._replace(batch=batch._replace(observed=torch.zeros(B, *shape)))
    assert nothing.log_px().tolist() == [[0.0] * B] * K


def test_with_missing_values_the_weights_are_the_marginal_of_what_was_observed():
    """Linear decoder x = W z + b + s eps: at the posterior given x_o, every weight is N(x_o; b_o, W_o W_o' + s^2 I)."""
    model = model_of()
    model.decoder = networks.MLP((D,), (), (1, 6)).double()
    W, b, s = model.decoder.net[0].weight.detach(), model.decoder.net[0].bias.detach(), 0.5
    seen = torch.tensor([True, False, True, True, False, True])
    batch = batch_of(n=1, observed=seen.expand(1, 6))
    W_o, residual = W[seen], batch.x[0, seen] - b[seen]
    M = W_o.T @ W_o + s**2 * torch.eye(D).double()
    q = MultivariateNormal(torch.linalg.solve(M, W_o.T @ residual)[None], s**2 * torch.linalg.inv(M))
    log_w = model.at(batch, q, q.sample((K,))).log_w()
    marginal = MultivariateNormal(b[seen], W_o @ W_o.T + s**2 * torch.eye(4).double())
    torch.testing.assert_close(log_w, marginal.log_prob(batch.x[:, seen]).expand(K, 1), rtol=1e-11, atol=1e-11)


class Joint(nn.Module):
    """A likelihood that is no product over data elements."""

    size = 1

    def forward(self, h) -> Distribution:
        return MultivariateNormal(h.squeeze(-2), torch.eye(6).double())


def test_missing_values_are_refused_by_a_likelihood_that_is_no_product():
    d = model_of(likelihood=Joint()).draw(batch_of(observed=torch.ones(B, 6)), K)
    with pytest.raises(UserError, match="not a product"):
        d.log_px()


# --- context ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conv", [False, True], ids=["mlp", "conv"])
def test_a_context_reaches_encoder_and_decoder(conv):
    model, batch = model_of((1, 5, 5), context=C, conv=conv), batch_of((1, 5, 5), context=torch.randn(B, C).double())
    d = model.draw(batch, K)
    assert d.log_w().shape == (K, B)
    other = batch._replace(context=batch.context + 1)
    assert not torch.equal(model.encode(other).mean, d.q.mean)
    assert not torch.equal(model.decode(d.z, other.context).mean, d.px.mean)


def test_a_context_reaches_the_networks_untouched():
    class Spy(nn.Module):
        def forward(self, x, context=None):
            seen.append(context)
            return torch.zeros(*x.shape[:-1], 2 * D) if x.shape[-1] == 6 else torch.zeros(*x.shape[:-1], 1, 6)

    seen, context = [], torch.randn(B, C)
    model = model_of()
    model.encoder = model.decoder = Spy()
    model.draw(Batch(torch.randn(B, 6), context), K)
    assert len(seen) == 2
    assert all(c is context for c in seen)


def test_without_a_context_plain_modules_of_one_argument_will_do():
    model = model_of()
    model.encoder, model.decoder = (
        nn.Linear(6, 2 * D).double(),
        nn.Sequential(nn.Linear(D, 6), nn.Unflatten(-1, (1, 6))),
    )
    model.decoder.double()
    assert model.draw(batch_of(), K).log_w().shape == (K, B)


def test_a_conditional_prior_is_each_rows_own():
    model, context = model_of(context=C), torch.randn(B, C).double()
    model.prior = ConditionalPrior()
    d = model.draw(batch_of(context=context), K)
    expected = Normal(context[:, :D], 1.0).log_prob(d.z).sum(-1)
    torch.testing.assert_close(d.log_pz(), expected, rtol=1e-12, atol=1e-12)
    assert d.kl().shape == (B,)


# --- sampling ---------------------------------------------------------------------------------------------------------


def test_samples_come_from_the_prior_through_the_decoder():
    model = model_of()
    z, px = model.sample(20_000)
    assert z.shape == (20_000, D)
    assert torch.equal(px.mean, model.decode(z).mean)
    assert (z.mean(0).abs() <= 4 / math.sqrt(20_000)).all()
    assert ((z.var(0) - 1).abs() <= 4 * math.sqrt(2 / 20_000)).all()


@pytest.mark.parametrize("prior", [priors.StandardNormal(D), ConditionalPrior(), CorrelatedPrior()])
def test_n_samples_given_n_contexts(prior):
    model = model_of(context=C)
    model.prior = prior.double()
    z, px = model.sample(B, torch.randn(B, C).double())
    assert z.shape == (B, D)
    assert px.sample().shape == (B, 6)
    assert len(z.unique(dim=0)) == B


# --- how the KL is computed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [posteriors.DiagNormal, posteriors.FullNormal])
def test_both_normals_have_a_closed_kl(family):
    model = model_of(family=family)
    d = model.draw(batch_of(), K)
    assert d.closed_kl
    assert model.how_kl() == "closed form"


def test_a_kl_without_closed_form_is_one_sample_and_said_to_be():
    model = model_of()
    model.prior = CorrelatedPrior()
    d = model.draw(batch_of(), K)
    assert model.how_kl() == "one sample"
    assert torch.equal(d.kl(), d.log_q() - d.log_pz())
    full = model_of(family=posteriors.FullNormal)
    full.prior = CorrelatedPrior()
    full.draw(batch_of())
    assert full.how_kl() == "closed form"


def test_the_closed_kl_is_the_mean_of_the_sampled_one():
    d = model_of(family=posteriors.FullNormal).draw(batch_of(), 50_000)
    sampled = d.kl(sampled=True)
    assert ((sampled.mean(0) - d.kl()).abs() <= 4 * sampled.std(0) / math.sqrt(50_000)).all()


# --- no prior ---------------------------------------------------------------------------------------------------------


def test_without_a_prior_there_is_reconstruction_and_nothing_else():
    model = model_of(prior=False)
    d = model.draw(batch_of(), K)
    assert d.log_px().shape == d.log_q().shape == (K, B)
    for ask in (d.kl, d.log_pz, d.log_w):
        with pytest.raises(UserError, match="no prior over z"):
            ask()
    with pytest.raises(UserError, match="cannot sample"):
        model.sample(3)


def test_a_prior_fitted_later_is_used_with_its_closed_kl():
    model = model_of(prior=False)
    model.draw(batch_of())
    model.prior = priors.StandardNormal(D).double()
    d = model.draw(batch_of(), K)
    assert model.how_kl() == "closed form"
    assert d.kl().shape == (B,)
    assert model.sample(3)[0].shape == (3, D)


def test_another_prior_is_asked_anew_for_its_closed_kl():
    model, batch = model_of(), batch_of()
    model.draw(batch)
    assert model.how_kl() == "closed form"
    model.prior = priors.Mixture(D, 3).double()
    d = model.draw(batch, K)
    assert model.how_kl() == "one sample"
    assert torch.equal(d.kl(), d.log_q() - d.log_pz())
    model.prior = priors.StandardNormal(D).double()
    step = torch.compile(lambda b: model.draw(b).kl(), fullgraph=True, backend="eager")
    model.draw(batch)
    assert step(batch).shape == (B,)
