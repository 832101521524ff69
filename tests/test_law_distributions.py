"""Laws that every distribution obeys, run over a table: a new law is one row here, and all the tests follow.

Integrates to one; sample and density agree; closed KL = sampled KL; reparameterised gradient = exact
derivative; batch shapes; float32 against float64; one graph. Tolerances of sampled quantities are four standard errors.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from logpx import distributions, likelihoods, posteriors, priors


class Law(NamedTuple):
    """`make` maps parameters (B, size) to a law of batch (B,); `cdf` is the exact one, in one dimension."""

    name: str
    make: Callable[[Tensor], Distribution]
    params: list[float]  # of the one law that is integrated and sampled
    support: str  # "line", "plane", "unit" or "bits"
    cdf: Callable[[np.ndarray], np.ndarray] | None = None


def alone(law: type[Distribution]) -> Callable[[Tensor], Distribution]:
    """A law per logit as the law of a vector of independent elements."""
    return lambda p: Independent(law(p), 1, validate_args=False)


def standard(dim: int) -> Callable[[Tensor], Distribution]:
    """The standard normal prior, which looks at nothing, in the parameters' dtype."""
    return lambda p: priors.StandardNormal(dim).to(p.dtype)().expand(p.shape[:-1])


def continuous_bernoulli_cdf(a: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.expm1(a * x) / np.expm1(a)


NORMAL, FULL = posteriors.DiagNormal, posteriors.FullNormal
BERNOULLI, CONTINUOUS = distributions.BernoulliLogits, distributions.ContinuousBernoulli
LAWS = [
    Law("standard normal 1-D", standard(1), [0.0], "line", stats.norm.cdf),
    Law("standard normal 2-D", standard(2), [0.0], "plane"),
    Law("diagonal normal 1-D", NORMAL(1), [0.7, -1.2], "line", stats.norm(0.7, math.exp(-0.6)).cdf),
    Law("diagonal normal 2-D", NORMAL(2), [0.5, -1.0, 0.8, -0.9], "plane"),
    Law("full normal 1-D", FULL(1), [-0.4, 0.3], "line", stats.norm(-0.4, math.exp(0.3)).cdf),
    Law("full normal 2-D", FULL(2), [0.5, -1.0, 0.2, -0.4, 0.9], "plane"),
    Law("continuous Bernoulli -40", alone(CONTINUOUS), [-40.0], "unit", continuous_bernoulli_cdf(-40)),
    Law("continuous Bernoulli 0", alone(CONTINUOUS), [0.0], "unit", stats.uniform.cdf),
    Law("continuous Bernoulli 3", alone(CONTINUOUS), [3.0], "unit", continuous_bernoulli_cdf(3)),
    Law("Bernoulli", alone(BERNOULLI), [-0.8], "bits"),
    Law("Bernoulli, three bits", alone(BERNOULLI), [2.0, 0.0, -3.0], "bits"),
]
CONTINUA = [law for law in LAWS if law.support != "bits"]
PATHWISE = [law for law in CONTINUA if not law.name.startswith("standard")]


def over(laws: list[Law]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("law", laws, ids=lambda law: law.name)


def made(law: Law, dtype: torch.dtype = torch.float64) -> Distribution:
    return law.make(torch.tensor([law.params], dtype=dtype))


def bits(dim: int) -> Tensor:
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * dim).reshape(-1, dim)


# --- density ------------------------------------------------------------------------------------------------


@over(LAWS)
def test_integrates_to_one(law):
    q = made(law)

    def density(*z):
        return q.log_prob(torch.tensor([z], dtype=torch.float64)).exp().item()

    if law.support == "bits":
        total = q.log_prob(bits(q.event_shape[0])).exp().sum().item()
    elif law.support == "unit":
        total = integrate.quad(density, 0, 1, points=[0.05, 0.95])[0]
    elif law.support == "line":
        total = integrate.quad(density, -12, 12, points=[0.0])[0]
    else:
        axis = torch.linspace(-14, 14, 1401, dtype=torch.float64)  # spectral for what decays like this
        z = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
        total = q.log_prob(z.reshape(-1, 2)).exp().sum().item() * 0.02**2
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("a", [-100.0, -3.0, 1e-3, 0.5, 20.0])
def test_the_grey_score_is_no_density_and_says_so(a):
    """Its exponential integrates to tanh(a/2)/a <= 1/2: e^{a x} / (1 + e^a) over [0, 1]."""
    grey = distributions.GreyScore(torch.tensor(a, dtype=torch.float64))
    total = integrate.quad(
        lambda x: grey.log_prob(torch.tensor(x, dtype=torch.float64)).exp().item(), 0, 1, points=[0.05, 0.95]
    )[0]
    assert total == pytest.approx(math.tanh(a / 2) / a, abs=1e-9)
    assert not distributions.is_density(grey)
    assert not distributions.is_density(Independent(grey.expand((3,)), 1))


@over(LAWS)
def test_a_density_is_called_one(law):
    assert distributions.is_density(made(law))


# --- samples ------------------------------------------------------------------------------------------------


@over([law for law in LAWS if law.cdf])
def test_samples_follow_the_exact_distribution_function(law):
    """Kolmogorov-Smirnov, 20,000 draws; a right sampler fails one seed in ten thousand, and the seed is fixed."""
    draws = made(law).sample((20_000,)).flatten().numpy()
    assert stats.kstest(draws, law.cdf).pvalue > 1e-4


@over([law for law in LAWS if law.support == "plane"])
def test_samples_and_density_agree_in_the_plane(law):
    """Chi-square of counts in unit squares against the density's integral over them."""
    q, n = made(law), 40_000
    edges = np.arange(-4.0, 5.0)
    counts, _, _ = np.histogram2d(*q.sample((n,))[:, 0].numpy().T, bins=[edges, edges])
    axis = torch.from_numpy(np.linspace(-4, 4, 801)[:-1] + 0.005)  # a hundred midpoints to a side
    density = q.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(8, 100, 8, 100)
    expected = n * density.sum((1, 3)).numpy() * 1e-4
    seen, wanted = counts[expected > 5], expected[expected > 5]
    seen, wanted = np.append(seen, n - seen.sum()), np.append(wanted, n - wanted.sum())
    assert stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > 1e-4


@over([law for law in LAWS if law.support == "bits"])
def test_samples_of_bits_follow_their_probabilities(law):
    q, n = made(law), 20_000
    rows = bits(q.event_shape[0])
    draws = q.sample((n,))
    counts = (draws == rows).all(-1).sum(0).numpy()
    assert counts.sum() == n
    assert stats.chisquare(counts, n * q.log_prob(rows).exp().numpy()).pvalue > 1e-4


@over(LAWS)
def test_the_mean_is_the_mean_of_the_samples(law):
    q, n = made(law), 40_000
    draws = q.sample((n,))
    error = (draws.mean(0) - q.mean).abs()
    assert (error <= 4 * draws.std(0) / math.sqrt(n)).all()


@over([law for law in LAWS if law.support in ("line", "plane")])
def test_the_variance_of_the_samples_is_the_laws(law):
    """Catches z = mu + sigma^2 eps: the sample variance of a normal has standard error sigma^2 sqrt(2/n)."""
    q, n = made(law), 40_000
    error = (q.sample((n,)).var(0) / q.variance - 1).abs()
    assert (error <= 4 * math.sqrt(2 / n)).all()


# --- reparameterised gradients ------------------------------------------------------------------------------


@over(PATHWISE)
def test_the_pathwise_gradient_is_the_derivative_of_the_expectation(law):
    """d/dp E f(z), f = sum sin(z + j/2): the sampled gradient against central differences of an exact integral."""
    n = 200_000

    def f(z):
        return (z + 0.5 * torch.arange(z.shape[-1])).sin().sum(-1)

    p = torch.tensor([law.params], dtype=torch.float64, requires_grad=True)
    rows = p.expand(n, -1).detach().requires_grad_()  # one copy per draw shows each draw's gradient
    f(law.make(rows).rsample()).sum().backward()
    sampled, error = rows.grad.mean(0), rows.grad.std(0) / math.sqrt(n)
    exact = [central(lambda t, i=i: expectation(f, law, bumped(p, i, t))) for i in range(p.shape[1])]
    assert ((sampled - torch.tensor(exact)).abs() <= 4 * error + 1e-7).all()


def bumped(p: Tensor, i: int, t: float) -> Tensor:
    return p.detach() + t * torch.eye(p.shape[1]).double()[i]


def central(g: Callable[[float], float], step: float = 1e-3) -> float:
    """Fourth order: the error is g''''' step^4 / 30."""
    return (8 * (g(step) - g(-step)) - (g(2 * step) - g(-2 * step))) / (12 * step)


def expectation(f: Callable[[Tensor], Tensor], law: Law, p: Tensor) -> float:
    """E f by the trapezoid rule (spectral for normals) or Gauss-Legendre quadrature, straight from log_prob."""
    q = law.make(p)
    if law.support == "unit":
        nodes, weights = np.polynomial.legendre.leggauss(200)
        z, w = torch.from_numpy((nodes + 1) / 2)[:, None], torch.from_numpy(weights / 2)
    else:
        dim = q.event_shape[0]
        axis = torch.linspace(-12, 12, 4801 if dim == 1 else 481, dtype=torch.float64)
        z = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
        w = torch.full((len(z),), float(axis[1] - axis[0]) ** dim).double()
    return (w * q.log_prob(z).exp() * f(z)).sum().item()


@over(PATHWISE)
def test_every_parameter_gets_a_gradient(law):
    p = torch.tensor([law.params], dtype=torch.float64, requires_grad=True)
    law.make(p).rsample((50,)).square().sum().backward()
    assert (p.grad != 0).all()
    assert p.grad.isfinite().all()


# --- shapes, precision, one graph ---------------------------------------------------------------------------


@over(LAWS)
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
def test_batch_and_event_shapes(law, batch):
    q = law.make(torch.tensor(law.params).expand(*batch, -1))
    event = made(law).event_shape
    assert q.batch_shape == batch
    assert q.event_shape == event
    z = q.sample((5,))
    assert z.shape == (5, *batch, *event)
    assert q.log_prob(z).shape == (5, *batch)
    assert q.mean.shape == (*batch, *event)


@over(LAWS)
def test_expand_repeats_the_law(law):
    q = made(law)
    wide = q.expand((4, 1))
    assert wide.batch_shape == (4, 1)
    assert wide.event_shape == q.event_shape
    assert wide.sample((2,)).shape == (2, 4, 1, *q.event_shape)
    z = q.sample()
    torch.testing.assert_close(wide.log_prob(z), q.log_prob(z).expand(4, 1), rtol=1e-14, atol=0)


@over(LAWS)
def test_rows_of_a_batch_are_separate_laws(law):
    rows = torch.tensor([law.params]).double() * torch.tensor([[1.0], [0.5], [-1.0]]).double()
    batch = law.make(rows)
    z = batch.sample()
    one_by_one = torch.stack([law.make(row).log_prob(z[i]) for i, row in enumerate(rows)])
    torch.testing.assert_close(batch.log_prob(z), one_by_one, rtol=1e-14, atol=1e-14)


@over(LAWS)
def test_float32_agrees_with_float64(law):
    narrow, wide = made(law, torch.float32), made(law)
    z = narrow.sample((500,))
    assert z.dtype == narrow.mean.dtype == torch.float32
    assert wide.sample().dtype == torch.float64
    torch.testing.assert_close(narrow.log_prob(z).double(), wide.log_prob(z.double()), rtol=2e-6, atol=1e-5)


def one_graph(f: Callable) -> Callable:
    """Raises at the first call where f is not one graph; the reset forgets the rows of the table before."""
    torch.compiler.reset()
    return torch.compile(f, fullgraph=True, backend="aot_eager")


@over(LAWS)
def test_log_prob_is_one_graph(law):
    p = torch.tensor([law.params], requires_grad=True)
    z = made(law, torch.float32).sample((7,))
    compiled = one_graph(lambda p, z: law.make(p).log_prob(z))
    eager = law.make(p).log_prob(z)
    torch.testing.assert_close(compiled(p, z), eager, rtol=1e-6, atol=1e-6)
    if eager.requires_grad:
        grads = [torch.autograd.grad(f.sum(), p)[0] for f in (compiled(p, z), law.make(p).log_prob(z))]
        torch.testing.assert_close(*grads, rtol=1e-6, atol=1e-6)


@over(CONTINUA)
def test_rsample_is_one_graph(law):
    p = torch.tensor([law.params], requires_grad=True)
    compiled = one_graph(lambda p: law.make(p).rsample((7,)))
    torch.manual_seed(3)
    traced = compiled(p)
    torch.manual_seed(3)
    eager = law.make(p).rsample((7,))
    torch.testing.assert_close(traced, eager, rtol=1e-6, atol=1e-6)
    if eager.requires_grad:
        grads = [torch.autograd.grad(z.square().sum(), p)[0] for z in (traced, eager)]
        torch.testing.assert_close(*grads, rtol=1e-6, atol=1e-6)


# --- Kullback-Leibler divergences ---------------------------------------------------------------------------

PAIRS = [
    pytest.param(family(dim), priors.StandardNormal(dim).double(), id=f"{family.__name__} {dim} against prior")
    for family in (posteriors.DiagNormal, posteriors.FullNormal)
    for dim in (1, 2, 4)
]


@pytest.mark.parametrize(("family", "prior"), PAIRS)
def test_closed_kl_is_the_sampled_kl(family, prior):
    q, p = family(torch.randn(5, family.size, dtype=torch.float64)), prior()
    assert distributions.has_closed_kl(q, p)
    z = q.sample((100_000,))
    sampled = q.log_prob(z) - p.log_prob(z)
    error = (sampled.mean(0) - kl_divergence(q, p)).abs()
    assert (error <= 4 * sampled.std(0) / math.sqrt(len(z))).all()


@pytest.mark.parametrize(("family", "prior"), PAIRS)
def test_kl_is_zero_with_zero_gradient_at_the_prior(family, prior):
    """The formula with log sigma for log sigma^2 is smallest elsewhere, at sigma^2 = 1/2."""
    params = torch.zeros(1, family.size, dtype=torch.float64, requires_grad=True)
    kl = kl_divergence(family(params), prior())
    kl.sum().backward()
    assert kl.item() == 0
    assert params.grad.abs().max().item() < 1e-15


numbers = st.lists(st.floats(-5, 5), min_size=9, max_size=9)


@given(numbers)
def test_kl_is_never_negative(params):
    for family in (posteriors.DiagNormal(3), posteriors.FullNormal(3)):
        p = priors.StandardNormal(3).double()()
        assert kl_divergence(family(torch.tensor(params[: family.size]).double()), p).item() >= -1e-12


@given(numbers, numbers)
def test_kl_of_full_against_diagonal_is_never_negative_and_zero_at_equal_laws(ours, theirs):
    q = posteriors.FullNormal(3)(torch.tensor(ours).double())
    other = posteriors.DiagNormal(3)(torch.tensor(theirs[:6]).double())
    assert kl_divergence(q, other).item() >= -1e-12
    diagonal = MultivariateNormal(other.mean, scale_tril=torch.diag(other.stddev))
    assert kl_divergence(diagonal, other).item() == pytest.approx(0, abs=1e-12)


def test_kl_of_full_against_diagonal_keeps_its_constant():
    """KL(N((1, 2), [[1, .5], [.5, 2]]) || N(0, I)); with mu^T Sigma^-1 mu for mu^T mu it would be 1.3630492489."""
    covariance = torch.tensor([[1.0, 0.5], [0.5, 2.0]]).double()
    q = MultivariateNormal(torch.tensor([1.0, 2.0]).double(), covariance)
    kl = kl_divergence(q, priors.StandardNormal(2).double()()).item()
    assert kl == pytest.approx((3 + 5 - 2 - math.log(1.75)) / 2, abs=1e-14)
    assert kl == pytest.approx(2.7201921060322887, abs=1e-14)
    assert abs(kl - 1.3630492489) > 1


def test_kl_of_full_against_diagonal_equals_torchs_between_full_laws():
    q = posteriors.FullNormal(3)(torch.randn(4, 9).double())
    p = posteriors.DiagNormal(3)(torch.randn(4, 6).double())
    full = MultivariateNormal(p.mean, scale_tril=torch.diag_embed(p.stddev))
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(q, full), rtol=1e-12, atol=1e-12)


def test_a_pair_without_a_closed_kl_is_said_to_have_none():
    q = posteriors.DiagNormal(2)(torch.zeros(1, 4))
    assert not distributions.has_closed_kl(q, posteriors.FullNormal(2)(torch.zeros(1, 5)))
    matrix = Independent(Normal(torch.zeros(2, 2), 1.0), 2)
    assert not distributions.has_closed_kl(posteriors.FullNormal(2)(torch.zeros(1, 5)), matrix)


# --- likelihoods against scipy ------------------------------------------------------------------------------


def bernoulli_by_scipy(x, h):
    return stats.bernoulli.logpmf(x, special.expit(h[..., 0, :]))


def continuous_bernoulli_by_numpy(x, h):
    a = h[..., 0, :]
    return a * x - np.log(np.expm1(a) / a)


def gaussian_by_scipy(x, h):
    return stats.norm.logpdf(x, h[..., 0, :], 0.3)


def grey_by_numpy(x, h):
    mean = special.expit(h[..., 0, :])
    return x * np.log(mean) + (1 - x) * np.log1p(-mean)


class Row(NamedTuple):
    """A likelihood's own options, data it may see, and log p(x | h) per element with h (..., size, P)."""

    options: dict
    data: Callable[..., Tensor]
    log_p: Callable[[np.ndarray, np.ndarray], np.ndarray]


LIKELIHOODS = {
    "bernoulli": Row({}, lambda *shape: torch.rand(*shape).round().double(), bernoulli_by_scipy),
    "continuous_bernoulli": Row({}, lambda *shape: torch.rand(*shape).double(), continuous_bernoulli_by_numpy),
    "gaussian": Row({"sigma": 0.3}, lambda *shape: torch.randn(*shape).double(), gaussian_by_scipy),
    "grey": Row({}, lambda *shape: torch.rand(*shape).double(), grey_by_numpy),
}
each_likelihood = pytest.mark.parametrize("name", likelihoods.LIKELIHOODS)
each_shape = pytest.mark.parametrize("shape", [(5,), (1, 4, 4), (3, 2, 2)], ids=str)


def test_every_likelihood_has_a_row_here():
    assert LIKELIHOODS.keys() == likelihoods.LIKELIHOODS.keys()


@each_likelihood
@each_shape
def test_log_px_equals_an_independent_one_with_its_constants(name, shape):
    row = LIKELIHOODS[name]
    likelihood = likelihoods.LIKELIHOODS[name](shape, **row.options).double()
    x = row.data(6, *shape)
    h = torch.randn(2, 6, likelihood.size, *shape, dtype=torch.float64) * 2
    px = likelihood(h)
    expected = row.log_p(x.reshape(6, -1).numpy(), h.reshape(2, 6, likelihood.size, -1).numpy()).sum(-1)
    assert px.batch_shape == (2, 6)
    assert px.event_shape == shape
    np.testing.assert_allclose(px.log_prob(x).numpy(), expected, rtol=1e-12, atol=1e-12)


@each_likelihood
@each_shape
def test_the_mean_of_px_is_a_picture(name, shape):
    likelihood = likelihoods.LIKELIHOODS[name](shape)
    px = likelihood(torch.randn(2, 6, likelihood.size, *shape))
    assert px.mean.shape == (2, 6, *shape)
    assert bool(likelihood.support.check(px.mean).all()) or name == "bernoulli"


@each_likelihood
def test_only_the_grey_likelihood_is_no_density(name):
    likelihood = likelihoods.LIKELIHOODS[name]((3,))
    assert distributions.is_density(likelihood(torch.zeros(2, likelihood.size, 3))) == (name != "grey")


@each_likelihood
def test_log_px_and_its_gradient_are_finite_at_outputs_of_ten_thousand(name):
    likelihood = likelihoods.LIKELIHOODS[name]((2,))
    h = torch.tensor([1e4, -1e4]).expand(4, likelihood.size, 2).clone().requires_grad_()
    x = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    value = likelihood(h).log_prob(x)
    value.sum().backward()
    assert value.isfinite().all()
    assert h.grad.isfinite().all()
