"""Laws of the bounds, on models whose evidence is known.

The toy: z ~ N(0, 1), x | z ~ N(theta z, 1), q(z | x) = N(mu, e^v), x = 1. Every L_k has an exact value, without
sampling, from E log S = int_0^inf (e^-t - M(t)^k) dt/t with S = sum_k w_k and M(t) = E e^(-t w), so that values
and gradients of all estimators are held against it. Sampled means are compared within four standard errors.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from logpx import likelihoods, maths, posteriors, priors
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import ELBO, IWAE, Renyi

LOG_P = -1.5155121235  # log N(1; 0, 2)
L_1 = -1.9189385332  # -log(2 pi)/2 - 1
LIMIT = 0.1820587524  # lim k (log p - L_k) = Var(w)/(2 p^2) = e^(1/6)/sqrt 3 - 1/2
each_gradient = pytest.mark.parametrize("gradient", ["plain", "stl", "dreg"])


class Numbers(nn.Module):
    """An encoder that emits its own numbers, one set per row: each row's gradient is one independent draw."""

    def __init__(self, mu, v, rows):
        super().__init__()
        self.numbers = nn.Parameter(torch.tensor([mu, v], dtype=torch.float64).repeat(rows, 1))

    def forward(self, x):
        return self.numbers


class Slope(nn.Module):
    """A decoder m = theta z with one theta per row."""

    def __init__(self, theta, rows):
        super().__init__()
        self.theta = nn.Parameter(torch.full((rows, 1), theta, dtype=torch.float64))

    def forward(self, z):
        return (self.theta * z).unsqueeze(-2)


def toy(rows=1, mu=0.0, v=0.0, theta=1.0):
    model = VAE(
        encoder=Numbers(mu, v, rows),
        posterior=posteriors.DiagNormal(1),
        prior=priors.StandardNormal(1),
        decoder=Slope(theta, rows),
        likelihood=likelihoods.Gaussian((1,), sigma=1.0),
    ).double()
    return model, Batch(torch.ones(rows, 1, dtype=torch.float64))


def exact_bound(k, mu=0.0, v=0.0, theta=1.0):
    """L_k of the toy: E log S by the trapezoid rule in log t, M(t) by the trapezoid rule over q's noise."""
    e = np.linspace(-12, 12, 1201)
    weight = np.exp(-(e**2) / 2) / math.sqrt(2 * math.pi) * (e[1] - e[0])
    z = mu + math.exp(v / 2) * e
    log_w = (v + e**2 - z**2 - (1 - theta * z) ** 2 - math.log(2 * math.pi)) / 2
    s = np.linspace(-40, 45, 1701)
    log_m = np.log1p(np.expm1(-np.exp(np.minimum(s[:, None] + log_w, 700))) @ weight)
    return (np.exp(-np.exp(s)) - np.exp(k * log_m)).sum() * (s[1] - s[0]) - math.log(k)


def sampled(gradient, k, rows=50_000, **parameters):
    """The bound and its gradient by (mu, v) and theta, one independent draw per row."""
    model, batch = toy(rows, **parameters)
    loss, terms = IWAE(k, gradient).value(model.draw(batch, k))
    (-loss * rows).backward()
    return terms[f"L_{k}"].detach(), model.encoder.numbers.grad, model.decoder.theta.grad


def assert_mean(draws, expected):
    error = 4 * draws.std(0) / math.sqrt(len(draws))
    assert (draws.mean(0) - torch.as_tensor(expected)).abs().le(error + 1e-9).all(), (
        draws.mean(0),
        expected,
        error,
    )


# --- values -------------------------------------------------------------------------------------------------


def test_the_exact_bounds_are_the_known_constants():
    assert exact_bound(1) == pytest.approx(L_1, abs=1e-9)
    assert exact_bound(1) == pytest.approx(-math.log(2 * math.pi) / 2 - 1, abs=1e-10)
    assert -math.log(4 * math.pi) / 2 - 1 / 4 == pytest.approx(LOG_P, abs=1e-9)


def test_the_exact_bounds_rise_to_the_evidence_as_variance_over_2k():
    bounds = [exact_bound(k) for k in (1, 5, 50, 500, 5000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] < LOG_P
    gap = {k: k * (LOG_P - exact_bound(k)) for k in (500, 1000)}
    assert 2 * gap[1000] - gap[500] == pytest.approx(LIMIT, abs=1e-4)  # the 1/k term extrapolated away


@pytest.mark.parametrize("k", [1, 5, 50])
@each_gradient
def test_the_bound_is_the_exact_one(gradient, k):
    bound, _, _ = sampled(gradient, k)
    assert_mean(bound, exact_bound(k))


@pytest.mark.parametrize("objective", [Renyi(0.0, 5), IWAE(5, groups=3)], ids=["renyi", "groups"])
def test_relatives_of_the_bound_are_the_exact_one(objective):
    """alpha = 0 is L_5, and so is a mean over groups of five, whose value has a third of the variance."""
    model, batch = toy(50_000)
    terms = objective.value(model.draw(batch, objective.samples))[1]
    assert_mean(terms.get("renyi", terms.get("L_5")).detach(), exact_bound(5))


def test_bounds_rise_with_k_and_stay_below_the_evidence():
    """One set of noise, so that the ordering is tested more sharply than each value."""
    model, batch = toy(20_000)
    log_w = model.draw(batch, 50).log_w().detach()
    bounds = [maths.log_mean_exp(log_w.reshape(50 // k, k, -1), 1).mean(0) for k in (1, 5, 10, 50)]
    for lower, higher in itertools.pairwise(bounds):
        assert (higher - lower >= -1e-12).all()  # Jensen holds draw by draw
    assert bounds[-1].mean() - LOG_P <= 4 * bounds[-1].std() / math.sqrt(20_000)


@each_gradient
def test_one_sample_is_the_sampled_elbo_of_the_same_noise(gradient):
    model, batch = toy(7, mu=0.3, v=-0.5, theta=0.8)
    torch.manual_seed(1)
    iwae = IWAE(1, gradient)(model, batch)
    torch.manual_seed(1)
    elbo = ELBO(kl="one sample")(model, batch)
    assert iwae.loss.item() == pytest.approx(elbo.loss.item(), abs=1e-14)
    assert iwae.terms["L_1"].item() == pytest.approx(elbo.terms["elbo"].item(), abs=1e-14)


def test_the_value_is_logsumexp_minus_log_k_whatever_the_gradient():
    model, batch = toy(7, mu=0.3, v=-0.5, theta=0.8)
    torch.manual_seed(1)
    expected = (torch.logsumexp(model.draw(batch, 9).log_w(), 0) - math.log(9)).mean().item()
    for gradient in ("plain", "stl", "dreg"):
        torch.manual_seed(1)
        step = IWAE(9, gradient)(model, batch)
        assert step.loss.item() == pytest.approx(-expected, abs=1e-12)
        assert step.terms["L_9"].item() == pytest.approx(expected, abs=1e-12)
        assert step.terms["loss"].item() == step.loss.item()


def test_the_elbo_term_is_the_bound_at_beta_1_whatever_is_trained():
    model, batch = toy(50_000, mu=0.2, v=-0.3)
    kl = (0.04 + math.exp(-0.3) - 1 + 0.3) / 2
    for objective in (ELBO(), ELBO(beta=4.0), IWAE(1), 0.5 * ELBO()):
        terms = objective(model, batch).terms
        assert terms["kl"].item() == pytest.approx(kl, abs=1e-12)
        assert terms["elbo"].item() == pytest.approx(-terms["reconstruction"].item() - kl, abs=1e-12)
        assert terms["elbo"].item() == pytest.approx(exact_bound(1, 0.2, -0.3), abs=4 * 0.8 / math.sqrt(50_000))


# --- gradients ----------------------------------------------------------------------------------------------

AT = {"mu": 0.2, "v": -0.3, "theta": 0.9}  # no point of symmetry


def exact_slope(k, name, step=1e-3):
    f = [exact_bound(k, **(AT | {name: AT[name] + j * step})) for j in (-2, -1, 1, 2)]
    return (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * step)


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("gradient", ["plain", "dreg"])
def test_the_mean_gradient_is_the_derivative_of_the_exact_bound(gradient, k):
    _, by_phi, by_theta = sampled(gradient, k, **AT)
    assert_mean(by_phi, [exact_slope(k, "mu"), exact_slope(k, "v")])
    assert_mean(by_theta, [exact_slope(k, "theta")])
    print(f"{gradient}, k = {k}: variance of the gradient by (mu, v) {by_phi.var(0).tolist()}")


@each_gradient
def test_the_decoders_gradient_is_the_same_draw_by_draw(gradient):
    torch.manual_seed(1)
    _, _, plain = sampled("plain", 5, rows=100, **AT)
    torch.manual_seed(1)
    _, _, other = sampled(gradient, 5, rows=100, **AT)
    torch.testing.assert_close(other, plain, rtol=1e-12, atol=1e-14)


def test_dreg_on_the_encoder_is_the_formula_with_squared_weights():
    """sum_k w~_k^2 (d log w_k/d z_k)(d z_k/d phi) (Tucker et al. 2019, eq. 8), written out for the toy."""
    mu, v, theta = AT.values()
    model, batch = toy(11, **AT)
    torch.manual_seed(1)
    z = model.draw(batch, 6).z.detach()[..., 0]
    torch.manual_seed(1)
    loss, _ = IWAE(6, "dreg").value(model.draw(batch, 6))
    (-loss * 11).backward()
    log_w = -((1 - theta * z) ** 2) / 2 - z**2 / 2 + (z - mu) ** 2 / (2 * math.exp(v))
    slope = log_w.softmax(0) ** 2 * (theta * (1 - theta * z) - z + (z - mu) / math.exp(v))
    expected = torch.stack([slope.sum(0), (slope * (z - mu) / 2).sum(0)], -1)  # dz/dmu = 1, dz/dv = (z - mu)/2
    torch.testing.assert_close(model.encoder.numbers.grad, expected, rtol=1e-11, atol=1e-13)


def test_stl_is_unbiased_for_one_sample_and_biased_for_more():
    _, by_phi, _ = sampled("stl", 1, **AT)
    assert_mean(by_phi, [exact_slope(1, "mu"), exact_slope(1, "v")])
    _, by_phi, _ = sampled("stl", 5, **AT)
    bias = by_phi.mean(0) - torch.tensor([exact_slope(5, "mu"), exact_slope(5, "v")])
    assert (bias.abs() > 6 * by_phi.std(0) / math.sqrt(len(by_phi))).any()


def test_a_frozen_encoder_leaves_the_decoders_gradient():
    model, batch = toy(5, **AT)
    model.encoder.requires_grad_(False)
    for gradient in ("plain", "stl", "dreg"):
        torch.manual_seed(1)
        (slope,) = torch.autograd.grad(IWAE(4, gradient)(model, batch).loss, model.decoder.theta)
        if gradient == "plain":
            expected = slope
        torch.testing.assert_close(slope, expected, rtol=1e-12, atol=1e-14)


# --- at the exact posterior ---------------------------------------------------------------------------------


def linear_model():
    """x = W z + b + s eps: q = N(M^-1 W'(x - b), s^2 M^-1), M = W'W + s^2 I, and x ~ N(b, W W' + s^2 I)."""
    W, b, s = torch.randn(4, 2).double(), torch.randn(4).double(), 0.6
    inverse = torch.linalg.inv(W.T @ W + s**2 * torch.eye(2).double())
    L = torch.linalg.cholesky(s**2 * inverse)
    encoder, decoder = MLP((4,), (), (5,)).double(), MLP((2,), (), (1, 4)).double()
    with torch.no_grad():
        encoder.net[0].weight.zero_()[:2] = inverse @ W.T
        encoder.net[0].bias.copy_(torch.cat([-inverse @ W.T @ b, L.diagonal().log(), L[1, :1]]))
        decoder.net[0].weight.copy_(W)
        decoder.net[0].bias.copy_(b)
    model = VAE(
        encoder=encoder,
        posterior=posteriors.FullNormal(2),
        prior=priors.StandardNormal(2),
        decoder=decoder,
        likelihood=likelihoods.Gaussian((4,), sigma=s),
    ).double()
    return model, MultivariateNormal(b, W @ W.T + s**2 * torch.eye(4).double())


def test_at_the_exact_posterior_every_weight_is_the_evidence():
    model, marginal = linear_model()
    x = 2 * torch.randn(9, 4).double()
    log_w = model.draw(Batch(x), 7).log_w()
    torch.testing.assert_close(log_w, marginal.log_prob(x).expand(7, 9), rtol=1e-12, atol=1e-12)
    for objective in (ELBO(kl="one sample"), IWAE(5, "plain"), IWAE(5, "stl"), IWAE(5, "dreg"), Renyi(0.5, 5)):
        assert objective(model, Batch(x)).loss.item() == pytest.approx(-marginal.log_prob(x).mean().item(), abs=1e-11)


def test_at_the_exact_posterior_the_closed_kl_gives_the_evidence_in_the_mean():
    model, marginal = linear_model()
    x = torch.randn(1, 4).double()
    d = model.draw(Batch(x), 50_000)
    elbo = (d.log_px() - d.kl())[:, 0].detach()
    assert elbo.std() > 0.1
    assert_mean(elbo, marginal.log_prob(x)[0])


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("gradient", ["stl", "dreg"])
def test_at_the_exact_posterior_the_encoders_gradient_vanishes(gradient, k):
    model, _ = linear_model()
    batch = Batch(torch.randn(9, 4).double())
    IWAE(k, gradient)(model, batch).loss.backward()
    assert max(p.grad.abs().max().item() for p in model.encoder.parameters()) < 1e-12
    model.zero_grad()
    IWAE(k, "plain")(model, batch).loss.backward()
    assert max(p.grad.abs().max().item() for p in model.encoder.parameters()) > 1e-3


# --- extremes -----------------------------------------------------------------------------------------------


@each_gradient
@pytest.mark.parametrize(("residual", "level"), [(0.0, 1e4), (6.4e-5, -1e4)])
def test_log_weights_of_ten_thousand_either_way_give_finite_bounds_and_gradients(gradient, residual, level):
    """A thousand data at sigma = 1e-5 have log-densities of 1000 (log 1e5 - log(2 pi)/2 - r^2/2)."""
    decoder = MLP((1,), (), (1, 1000))
    with torch.no_grad():
        decoder.net[0].weight.fill_(1e-7)
        decoder.net[0].bias.zero_()
    model = VAE(
        encoder=MLP((1000,), (), (2,)),
        posterior=posteriors.DiagNormal(1),
        prior=priors.StandardNormal(1),
        decoder=decoder,
        likelihood=likelihoods.Gaussian((1000,), sigma=1e-5),
    )
    step = IWAE(10, gradient)(model, Batch(torch.full((3, 1000), residual)))
    step.loss.backward()
    assert step.terms["L_10"].item() == pytest.approx(level, rel=0.1)
    assert all(p.grad.isfinite().all() for p in model.parameters())
