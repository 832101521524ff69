"""Other divergences as regularisers: known answers, ranges, inequalities, and gradients that vanish or do not."""

import math

import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Independent, MultivariateNormal, Normal

from logpx import priors
from logpx.distributions import Point
from logpx.errors import UserError
from logpx.model import Batch, Draw
from logpx.objectives import JensenShannon, ReverseKL, SlicedWasserstein, TotalVariation, Wasserstein2


def normal(mu, sigma):
    return Independent(Normal(mu, sigma), 1)


def draw(q, k=1, prior=True):
    z = q.rsample((k,))
    p = priors.StandardNormal(z.shape[-1]).to(z.dtype)() if prior else None
    return Draw(Batch(z[0]), q, lambda: q, z, p, Normal(0.0, 1.0))


def shifted(d, sigma=1.0, n=1):
    """n rows of N(d, sigma^2) in one dimension, and its mean as a leaf."""
    mean = torch.full((n, 1), d, dtype=torch.float64, requires_grad=True)
    return mean, normal(mean, torch.full((n, 1), sigma, dtype=torch.float64))


def js_by_quadrature(d, sigma):
    q, p = stats.norm(d, sigma), stats.norm(0, 1)

    def integrand(z):
        a, b = q.pdf(z), p.pdf(z)
        return 0.5 * sum(c * math.log(2 * c / (a + b)) for c in (a, b) if c > 0)

    return integrate.quad(integrand, -15, 15, limit=400, epsabs=1e-12)[0]


def sampled(objective, d, sigma=1.0, n=40_000):
    """Mean and standard error over independent rows."""
    torch.manual_seed(0)
    value = torch.stack([objective.value(draw(shifted(d, sigma, n // 100)[1]))[0].detach() for _ in range(100)])
    return value.mean().item(), value.std().item() / 10


@pytest.mark.parametrize(("d", "sigma"), [(1.0, 1.0), (0.0, 0.2), (3.0, 0.5)])
def test_jensen_shannon_equals_quadrature(d, sigma):
    value, error = sampled(JensenShannon(), d, sigma)
    assert abs(value - js_by_quadrature(d, sigma)) < 4 * error
    assert error < 2e-3


@pytest.mark.parametrize("d", [0.3, 1.0, 3.0])
def test_total_variation_equals_the_error_functions(d):
    value, error = sampled(TotalVariation(), d)
    assert abs(value - (2 * stats.norm.cdf(d / 2) - 1)) < 4 * error


def test_the_known_answers_of_two_normals_a_unit_apart():
    _, q = shifted(1.0)
    assert ReverseKL().value(draw(q))[0].item() == 0.5
    assert Wasserstein2().value(draw(q))[0].item() == 1
    _, q = shifted(1.0, n=20_000)
    torch.manual_seed(0)
    for order in (1, 2):
        assert SlicedWasserstein(1, order).value(draw(q))[0].item() == pytest.approx(1, abs=0.06)


def test_a_batchs_value_never_leaves_its_range_even_with_one_row():
    torch.manual_seed(0)
    for objective, most in ((JensenShannon(), math.log(2)), (TotalVariation(), 1.0)):
        for d in (0.0, 0.5, 2.0, 50.0):
            values = [objective.value(draw(shifted(d)[1]))[0].item() for _ in range(50)]
            assert min(values) >= 0
            assert max(values) <= most + 1e-12


def test_reverse_kl_swaps_the_laws_and_agrees_with_its_samples():
    mu, sigma = torch.tensor([[0.5, -1.0]]).double(), torch.tensor([[0.6, 1.5]]).double()
    p = normal(torch.zeros(2).double(), torch.ones(2).double())
    closed = ReverseKL().value(draw(normal(mu, sigma)))[0].item()
    assert closed == pytest.approx(torch.distributions.kl_divergence(p, normal(mu, sigma)).item(), rel=1e-12)
    full = MultivariateNormal(mu.expand(4000, 2), scale_tril=torch.diag_embed(sigma).expand(4000, 2, 2))
    torch.manual_seed(0)
    values = torch.stack([ReverseKL().value(draw(full))[0] for _ in range(40)])  # no closed form is registered
    assert abs(values.mean().item() - closed) < 4 * values.std().item() / math.sqrt(40)


def test_wasserstein_takes_a_full_covariance_and_refuses_what_is_not_normal():
    mu, root = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[[1.0, 0.0], [0.5, 0.3]]]).double()
    from scipy.linalg import sqrtm

    S = (root @ root.mT)[0].numpy()
    expected = 5 + S.trace() + 2 - 2 * sqrtm(S).trace().real
    assert Wasserstein2().value(draw(MultivariateNormal(mu, scale_tril=root)))[0].item() == pytest.approx(expected)
    with pytest.raises(UserError, match="normal laws only"):
        Wasserstein2().value(draw(Point(mu)))
    with pytest.raises(UserError, match="no prior"):
        JensenShannon().value(draw(shifted(1.0)[1], prior=False))
    with pytest.raises(UserError, match="no prior"):
        Wasserstein2().value(draw(shifted(1.0)[1], prior=False))
    with pytest.raises(UserError, match="direction"):
        SlicedWasserstein(0)


@pytest.mark.parametrize("objective", [JensenShannon(), TotalVariation()])
def test_at_mean_20_these_have_no_gradient_left(objective):
    torch.manual_seed(0)
    mean, q = shifted(20.0, n=1000)
    (slope,) = torch.autograd.grad(objective.value(draw(q))[0], mean)
    assert slope.abs().sum().item() < 1e-30


def test_at_mean_20_the_wasserstein_distances_still_pull():
    torch.manual_seed(0)
    mean, q = shifted(20.0, n=1000)
    (slope,) = torch.autograd.grad(SlicedWasserstein(1, 1).value(draw(q))[0], mean)
    assert slope.sum().item() == pytest.approx(1, rel=1e-10)  # W_1 grows by 1 for each unit that q moves
    (slope,) = torch.autograd.grad(Wasserstein2().value(draw(q))[0], mean)
    assert slope.sum().item() == pytest.approx(40, rel=1e-12)


@pytest.mark.parametrize("objective", [JensenShannon(), TotalVariation()])
def test_the_gradient_is_that_of_the_exact_divergence(objective):
    """d JS/dm by differences of the quadrature; d TV/dm = phi(d/2)."""
    torch.manual_seed(0)
    slopes = []
    for _ in range(200):
        mean, q = shifted(1.0, n=200)
        slopes.append(torch.autograd.grad(objective.value(draw(q))[0], mean)[0].sum())
    slopes = torch.stack(slopes)
    js = (js_by_quadrature(1.001, 1.0) - js_by_quadrature(0.999, 1.0)) / 0.002
    expected = js if isinstance(objective, JensenShannon) else stats.norm.pdf(0.5)
    assert abs(slopes.mean().item() - expected) < 4 * slopes.std().item() / math.sqrt(200)


def test_more_draws_give_the_same_mean():
    torch.manual_seed(0)
    _, q = shifted(1.0, n=2000)
    few, many = JensenShannon().value(draw(q))[0].item(), JensenShannon(8).value(draw(q, 8))[0].item()
    assert few == pytest.approx(many, abs=0.02)
    assert JensenShannon(8).samples == 8
