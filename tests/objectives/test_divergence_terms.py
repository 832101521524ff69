"""Other divergences as regularisers: known answers, ranges, inequalities, and gradients that vanish or do not."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal, Uniform

from logpx import priors
from logpx.distributions import Point
from logpx.errors import UserError
from logpx.model import Batch, Draw
from logpx.objectives import MMD, JensenShannon, ReverseKL, SlicedWasserstein, TotalVariation, Wasserstein2


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


# --- a prior that learns ------------------------------------------------------------------------------------

M, SIGMA = 0.7, 0.8  # p = N(m, 1) with m to be learned, q = N(0, 0.8^2)
DENSITIES = {
    JensenShannon: lambda q, p: 0.5 * (q * math.log(2 * q / (p + q)) + p * math.log(2 * p / (p + q))),
    TotalVariation: lambda q, p: 0.5 * abs(q - p),
    ReverseKL: lambda q, p: p * math.log(p / q),
}


def by_quadrature(integrand, m):
    """The divergence of q from N(m, 1) on the line."""
    crossing = np.roots([1 / SIGMA**2 - 1, 2 * m, -m * m + 2 * math.log(SIGMA)]).real.tolist()  # where q = p

    def f(z):
        return integrand(stats.norm.pdf(z, 0, SIGMA), stats.norm.pdf(z, m, 1))

    return integrate.quad(f, -9, 9, points=crossing, limit=400, epsabs=1e-12)[0]


def against(p, n=1, k=1):
    """n rows of q, and the prior p."""
    zeros = torch.zeros(n, 1, dtype=torch.float64)
    return draw(normal(zeros, zeros + SIGMA), k, prior=False)._replace(prior=p)


class Sampled(ReverseKL):
    """By samples where there is a closed form as well."""

    def _is_closed(self, prior, q):
        return False


def mean_slope(objective, law, leaf, n=2000, times=60):
    """Mean and standard error of the gradient by `leaf` of the objective, p = law(leaf)."""
    torch.manual_seed(0)
    drawn = [torch.autograd.grad(objective.value(against(law(leaf), n))[0], leaf)[0] for _ in range(times)]
    slopes = torch.stack(drawn)
    return slopes.mean().item(), slopes.std().item() / math.sqrt(times)


@pytest.mark.parametrize(
    ("kind", "objective", "known"),
    [
        (JensenShannon, JensenShannon(), 0.1786),
        (TotalVariation, TotalVariation(), 0.3941),
        (ReverseKL, Sampled(), 1.0939),
    ],
)
def test_a_learned_prior_gets_the_derivative_of_the_exact_divergence(kind, objective, known):
    h = 1e-3
    exact = (by_quadrature(DENSITIES[kind], M + h) - by_quadrature(DENSITIES[kind], M - h)) / (2 * h)
    assert exact == pytest.approx(known, abs=5e-4)
    m = torch.tensor([M], dtype=torch.float64, requires_grad=True)
    slope, error = mean_slope(objective, lambda m: normal(m, torch.ones_like(m)), m)
    assert abs(slope - exact) < 4 * error
    assert error < 0.01


def test_the_closed_forms_and_the_distances_of_samples_move_a_learned_prior_too():
    """d/dm of W_2^2 is 2 m, of W_1 (here all of p lies above q, in mean) 1, of MMD^2 that of the closed form."""
    m = torch.tensor([M], dtype=torch.float64, requires_grad=True)

    def law(m):
        return normal(m, torch.ones_like(m))

    (slope,) = torch.autograd.grad(Wasserstein2().value(against(law(m)))[0], m)
    assert slope.item() == pytest.approx(2 * M, rel=1e-12)
    (slope,) = torch.autograd.grad(ReverseKL().value(against(law(m)))[0], m)
    assert slope.item() == pytest.approx(M / SIGMA**2, rel=1e-12)
    far = torch.tensor([20.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(SlicedWasserstein(1, 1).value(against(law(far), 500))[0], far)
    assert slope.item() == pytest.approx(1, rel=1e-10)
    total = 0.9**2 + 1 + SIGMA**2  # E k across = (1 + (1 + s^2)/l^2)^-1/2 exp(-m^2/(2 total))
    exact = 2 * (total / 0.9**2) ** -0.5 * math.exp(-(M**2) / (2 * total)) * M / total
    slope, error = mean_slope(MMD("rbf", width=0.9), law, m, n=200)
    assert abs(slope - exact) < 4 * error


def test_a_mixture_cannot_be_reparameterised_and_is_held_constant_throughout():
    """Half of its gradient would be biased; the codes' gradient is whole."""
    means = torch.tensor([[-1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    weights = Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64))
    p = MixtureSameFamily(weights, normal(means, torch.ones_like(means)))
    for objective in (JensenShannon(3), TotalVariation(3), ReverseKL(3), MMD(), SlicedWasserstein()):
        mean, q = shifted(0.4, n=40)
        slopes, values = [], []
        for prior in (p, MixtureSameFamily(weights, normal(means.detach(), torch.ones_like(means)))):
            torch.manual_seed(0)
            value = objective.value(draw(q, 3, prior=False)._replace(prior=prior))[0]
            slopes.append(torch.autograd.grad(value, [mean, means], allow_unused=True))
            values.append(value.item())
        assert slopes[0][1] is None
        assert values[0] == pytest.approx(values[1], rel=1e-12)
        torch.testing.assert_close(slopes[0][0], slopes[1][0], rtol=1e-10, atol=1e-14)
        assert slopes[0][0].abs().max() > 0


def test_one_reverse_kl_serves_models_with_and_without_a_closed_form():
    objective, (_, q) = ReverseKL(), shifted(1.0, n=50)
    full = MultivariateNormal(q.mean, scale_tril=torch.ones(50, 1, 1, dtype=torch.float64))
    for _ in range(2):
        assert objective.value(draw(q))[0].item() == 0.5
        torch.manual_seed(0)
        assert objective.value(draw(full))[0].item() == pytest.approx(0.5, abs=0.6)  # no closed form is registered


def test_disjoint_supports_a_distance_apart():
    """KL infinite, JS log 2, TV 1: none of them knows how far; W does."""
    for d in (3.0, 30.0):
        low = torch.full((200, 1), d, dtype=torch.float64)
        q = Independent(Uniform(low, low + 1e-9, validate_args=False), 1)
        zero = torch.zeros(1, dtype=torch.float64)
        p = Independent(Uniform(zero, zero + 1e-9, validate_args=False), 1)
        both = draw(q, prior=False)._replace(prior=p)
        assert ReverseKL().value(both)[0].item() == math.inf
        assert JensenShannon().value(both)[0].item() == pytest.approx(math.log(2), rel=1e-12)
        assert TotalVariation().value(both)[0].item() == 1
        assert SlicedWasserstein(1, 1).value(both)[0].item() == pytest.approx(d, rel=1e-8)
        assert SlicedWasserstein(1, 2).value(both)[0].item() == pytest.approx(d**2, rel=1e-8)
