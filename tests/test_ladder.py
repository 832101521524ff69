"""Two stochastic layers against brute force: densities, bounds and gradients on a model of one and one dimensions."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from logpx import ladder, likelihoods, posteriors
from logpx.evaluate import evidence, usage
from logpx.ladder import Chain
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import ELBO, IWAE

P = 3


def small(dims=(1, 1), seed=0):
    """Random weights, enlarged so that nothing is nearly linear."""
    torch.manual_seed(seed)
    below = VAE(
        encoder=MLP((P,), (4,), (2 * dims[0],), activation=nn.Tanh),
        posterior=posteriors.DiagNormal(dims[0]),
        prior=None,
        decoder=MLP((dims[0],), (4,), (1, P), activation=nn.Tanh),
        likelihood=likelihoods.Bernoulli((P,)),
    )
    model = ladder.with_second_layer(below, dims, (4,)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5).add_(0.1 * torch.randn_like(p))
    return model


def bits(rows=1):
    return Batch(torch.tensor([[1.0, 0.0, 1.0]]).double().repeat(rows, 1))


def grid(model, side=15.0, n=1201):
    """All (z1, z2) of a square, (n n, 1, 2), and the area of a cell."""
    axis = torch.linspace(-side, side, n, dtype=torch.float64)
    z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 1, 2)
    return z, ((axis[1] - axis[0]) ** 2).item()


@torch.no_grad()
def exact(model):
    """log p(x), L_1 and the masses of p(z) and q(z|x), by the trapezoid rule."""
    z, cell = grid(model)
    batch = bits()
    d = model.at(batch, model.encode(batch), z)
    log_q, log_joint = d.log_q()[:, 0], (d.log_px() + d.log_pz())[:, 0]
    elbo = (log_q.exp() * (log_joint - log_q)).sum() * cell
    masses = [(law.exp().sum() * cell).item() for law in (log_q, d.log_pz()[:, 0])]
    return torch.logsumexp(log_joint, 0).item() + math.log(cell), elbo.item(), masses


def assert_mean(draws, expected):
    error = 4 * draws.std(0) / math.sqrt(len(draws))
    assert (draws.mean(0) - expected).abs().le(error).all(), (draws.mean(0), expected, error)


# --- the laws -----------------------------------------------------------------------------------------------


def test_prior_and_posterior_have_mass_one():
    _, _, masses = exact(small())
    assert masses == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_a_chain_of_normals_is_the_joint_normal(turned):
    """a ~ N(1, 4), b | a ~ N(a/2, 1): means (1, 1/2), covariance [[4, 2], [2, 2]]."""
    first = Independent(Normal(torch.ones(1).double(), 2 * torch.ones(1).double()), 1)
    chain = Chain(first, lambda a: Independent(Normal(a / 2, torch.ones_like(a)), 1), (1, 1), turned=turned)
    order = [1, 0] if turned else [0, 1]
    mean, cov = torch.tensor([1.0, 0.5]).double()[order], torch.tensor([[4.0, 2], [2, 2]]).double()[order][:, order]
    joint = torch.distributions.MultivariateNormal(mean, cov)
    z = 3 * torch.randn(50, 2).double()
    torch.testing.assert_close(chain.log_prob(z), joint.log_prob(z), rtol=1e-12, atol=1e-12)
    torch.manual_seed(0)
    draws = chain.rsample((100_000,))
    assert draws.mean(0).tolist() == pytest.approx(mean.tolist(), abs=0.03)
    assert draws.T.cov().flatten().tolist() == pytest.approx(cov.flatten().tolist(), abs=0.08)
    assert chain.mean.tolist() == pytest.approx(mean.tolist(), abs=1e-12)  # antithetic noise: exact where b is linear


@pytest.mark.parametrize("D", [1, 2, 5])
def test_the_mean_of_the_second_layer_is_exact_for_odd_functions_and_errs_for_even_ones_as_32_draws_do(D):
    """Odd and even about the mean of the first layer; the errors are in standard deviations of E[b|a]."""
    first = Independent(Normal(torch.full((D,), 0.5).double(), torch.full((D,), 2.0).double()), 1)
    root = math.sqrt((1 + math.exp(-8)) / 2 - math.exp(-4))
    cases = {
        "odd": (lambda e: e**3 + torch.sin(e), 0.0, 1.0, 1e-12),
        "square": (lambda e: e**2, 1.0, math.sqrt(2), 3 / math.sqrt(32)),
        "size": (lambda e: e.abs(), math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi), 3 / math.sqrt(32)),
        "cosine": (lambda e: torch.cos(2 * e), math.exp(-2), root, 3 / math.sqrt(32)),
    }
    for f, mean, sd, most in cases.values():
        chain = Chain(first, lambda a, f=f: Independent(Normal(f((a - 0.5) / 2), torch.ones_like(a)), 1), (D, D))
        assert ((chain.mean[D:] - mean).abs() / sd).max().item() <= most


def test_shapes_and_which_layer_is_where():
    model = small((3, 2))
    d = model.draw(bits(4), 5)
    assert d.z.shape == (5, 4, 5)
    assert d.log_q().shape == d.log_pz().shape == d.log_px().shape == (5, 4)
    assert d.q.mean.shape == (4, 5)
    z, _ = model.sample(7)
    assert z.shape == (7, 5)
    moved = d.z.clone()
    moved[..., 3:] += 1  # z2 is not read by the decoder, z1 is
    torch.testing.assert_close(model.at(bits(4), d.q, moved).log_px(), d.log_px(), rtol=0, atol=0)
    moved[..., 0] += 1
    assert (model.at(bits(4), d.q, moved).log_px() != d.log_px()).all()
    assert model.how_kl() == "one sample"


def test_the_law_held_constant_has_the_same_value_and_no_gradient_into_any_weight_of_q():
    model = small((2, 2))
    d = model.draw(bits(3), 4)
    z = d.z.detach().requires_grad_()
    fixed = d._replace(z=z).log_q(fixed=True)
    torch.testing.assert_close(fixed, d.log_q(), rtol=1e-14, atol=1e-14)
    weights = [*model.encoder.parameters(), *model.posterior.parameters()]
    gradients = torch.autograd.grad(fixed.sum(), [z, *weights], allow_unused=True)
    assert gradients[0].abs().min() > 0
    assert gradients[1:] == (None,) * len(weights)


# --- bounds -------------------------------------------------------------------------------------------------


def test_the_evidence_is_the_quadrature_and_the_bounds_rise_to_it():
    model = small()
    log_p, l_1, _ = exact(model)
    torch.manual_seed(0)
    with torch.no_grad():
        bounds = {k: IWAE(k).value(model.draw(bits(20_000), k))[1][f"L_{k}"] for k in (1, 5, 50)}
    assert_mean(bounds[1], l_1)
    means = [b.mean().item() for b in bounds.values()]
    assert means == sorted(means)
    assert l_1 < means[1] < means[2] < log_p
    found = evidence(model, bits().x, samples=10_000)
    assert found.mean == pytest.approx(log_p, abs=4 * found.monte_carlo_error)
    assert found.monte_carlo_error < 0.05


def test_the_elbo_is_the_quadrature():
    model = small()
    torch.manual_seed(0)
    terms = ELBO(samples=50_000)(model, bits()).terms
    assert terms["elbo"].item() == pytest.approx(exact(model)[1], abs=0.03)


def _gradients(model, gradient, k, replicates=120, rows=200):
    """One averaged gradient of all of q's weights per replicate."""
    weights = [*model.encoder.parameters(), *model.posterior.parameters()]
    drawn = []
    for _ in range(replicates):
        loss = IWAE(k, gradient)(model, bits(rows)).loss
        drawn.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]))
    return torch.stack(drawn)


def test_dreg_has_the_mean_of_the_plain_gradient_and_stl_has_not():
    model = small()
    torch.manual_seed(0)
    plain, dreg, stl = (_gradients(model, name, 5) for name in ("plain", "dreg", "stl"))

    def distance(a, b):  # in standard errors, the largest over the weights
        error = ((a.var(0) + b.var(0)) / len(a)).sqrt()
        return ((a.mean(0) - b.mean(0)).abs() / error.clamp_min(1e-12)).max().item()

    assert distance(plain, dreg) < 4.5
    assert distance(dreg, stl) > 6


def test_the_decoders_and_the_priors_gradient_is_the_same_for_every_estimator():
    model = small((2, 2))
    weights = [*model.prior.parameters(), *model.decoder.parameters()]
    found = []
    for gradient in ("plain", "stl", "dreg"):
        torch.manual_seed(0)
        found.append(torch.autograd.grad(IWAE(6, gradient)(model, bits(4)).loss, weights))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-11, atol=1e-13)


# --- units at work ------------------------------------------------------------------------------------------


def test_active_units_are_counted_by_layer():
    """z1 = (x_1 + noise, noise), z2 = (z1_1, 0, z1_2, z1_1 z1_1 - 1 - z1_2 / 2) in the mean: 1 active below, 2 above."""

    class Above(nn.Module):
        def forward(self, z1):
            a, b = z1.unbind(-1)
            mu = torch.stack([a, 0 * a, b, a * a - 1 - b / 2], -1)
            return torch.cat([mu, torch.zeros_like(mu)], -1)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1).double())

        def forward(self, x):
            return torch.stack([self.weight * x[:, 0], 0 * x[:, 0], 0 * x[:, 0], 0 * x[:, 0]], -1)

    model = small((2, 4))
    model.encoder, model.posterior.above.net = Encoder(), Above()
    x = torch.randn(4000, P, generator=torch.Generator().manual_seed(0)).double()
    found = usage(model, x)
    assert (found.variance_of_means >= 0.01).tolist() == [True, False, True, False, False, True]
    assert found.kl is None
    # E[z2_4|x] = x_1^2, whose variance is 2; E[z2_3|x] = 0 though z2_3 itself has variance 2
    assert found.variance_of_means[5].item() == pytest.approx(2.0, abs=0.35)
    assert found.variance_of_means[4].item() < 1e-20
