"""Laws that every distribution obeys, run over a table: a new law is one row here, and all the tests follow.

Integrates to one; sample and density agree; closed KL = sampled KL; reparameterised gradient = exact
derivative; batch shapes; float32 against float64; one graph. Tolerances of sampled quantities are four standard errors.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Laplace, MultivariateNormal, Normal, kl_divergence

from logpx import distributions, likelihoods, posteriors, priors
from logpx.data import Column
from logpx.errors import UserError
from logpx.model import Batch, Draw


class Law(NamedTuple):
    """`make` maps parameters (B, size) to a law of batch (B,); `cdf` is the exact one, in one dimension."""

    name: str
    make: Callable[[Tensor], Distribution]
    params: list[float]  # of the one law that is integrated and sampled
    support: str  # "line", "heavy" (a line with slow tails), "plane", "unit", "bits" or "counts" (0 .. top)
    cdf: Callable[[np.ndarray], np.ndarray] | None = None
    kurtosis: float = 3.0  # a normal's, where the variance is tested
    top: int = 0  # the largest count that is looked at


def alone(law: type[Distribution]) -> Callable[[Tensor], Distribution]:
    """A law per logit as the law of a vector of independent elements."""
    return lambda p: Independent(law(p), 1, validate_args=False)


def alone_of(law: Callable[..., Distribution], logarithms: int = 0) -> Callable[[Tensor], Distribution]:
    """A law of (location, log scale), or of two logarithms, as the law of a vector of one element."""
    return lambda p: Independent(law(p[..., :1], p[..., 1:] if logarithms else p[..., 1:].exp()), 1)


def student_t(p: Tensor) -> Distribution:
    """Of (location, log scale, log(nu - 1))."""
    return Independent(distributions.StudentT(1 + p[..., 2:].exp(), p[..., :1], p[..., 1:2].exp()), 1)


def codes(variables: int, classes: int) -> Callable[[Tensor], Distribution]:
    """A law of N categorical variables, whose outcomes are bits of which most have no mass."""
    return lambda p: distributions.OneHots(p.unflatten(-1, (variables, classes)))


def alone_on_levels(law: type, levels: int, *options: int) -> Callable[[Tensor], Distribution]:
    """A likelihood of one element that is one of these levels."""
    return lambda p: law((1,), levels, *options)(p.unsqueeze(-1))


def standard(dim: int) -> Callable[[Tensor], Distribution]:
    """The standard normal prior, which looks at nothing, in the parameters' dtype."""
    return lambda p: priors.StandardNormal(dim).to(p.dtype)().expand(p.shape[:-1])


def seeded(make: Callable[[], nn.Module]) -> dict[torch.dtype, nn.Module]:
    """A module with weights of its own, the same ones in both types."""
    torch.manual_seed(5)
    narrow = make().requires_grad_(False)
    return {torch.float32: narrow, torch.float64: deepcopy(narrow).double()}


def learned(make: Callable[[], nn.Module]) -> Callable[[Tensor], Distribution]:
    """A prior with weights of its own, which looks at nothing, in the parameters' dtype."""
    priors = seeded(make)
    return lambda p: priors[p.dtype]().expand(p.shape[:-1])


def family(make: Callable[[], nn.Module]) -> Callable[[Tensor], Distribution]:
    """A posterior family with weights of its own, in the parameters' dtype."""
    families = seeded(make)
    return lambda p: families[p.dtype](p)


class Vamp(nn.Module):
    """Five pseudo-inputs in the plane beside the linear encoder that the prior shares and does not own."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(2, 4)
        self.prior = priors.Vamp(self.encoder, posteriors.DiagNormal(2), (2,), 5)

    def forward(self):
        return self.prior()


def full_mixture() -> nn.Module:
    """Three normal laws with correlated latents."""
    prior = priors.FullMixture(2, 3)
    prior.mu.copy_(2 * torch.randn(3, 2))
    prior.L[:, 1, 0] = torch.randn(3)
    return prior


def continuous_bernoulli_cdf(a: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.expm1(a * x) / np.expm1(a)


NORMAL, FULL = posteriors.DiagNormal, posteriors.FullNormal
BERNOULLI, CONTINUOUS = distributions.BernoulliLogits, distributions.ContinuousBernoulli
MIXTURE = [0.4, -0.4, -0.1, 0.2, 0.5, -1.0]  # logits of the weights, means, log scales
LAWS = [
    Law("standard normal 1-D", standard(1), [0.0], "line", stats.norm.cdf),
    Law("standard normal 2-D", standard(2), [0.0], "plane"),
    Law("diagonal normal 1-D", NORMAL(1), [0.7, -1.2], "line", stats.norm(0.7, math.exp(-0.6)).cdf),
    Law("diagonal normal 2-D", NORMAL(2), [0.5, -1.0, 0.8, -0.9], "plane"),
    Law("full normal 1-D", FULL(1), [-0.4, 0.3], "line", stats.norm(-0.4, math.exp(0.3)).cdf),
    Law("full normal 2-D", FULL(2), [0.5, -1.0, 0.2, -0.4, 0.9], "plane"),
    Law("mixture prior 1-D", learned(lambda: priors.Mixture(1, 3)), [0.0], "line"),
    Law("mixture prior 2-D", learned(lambda: priors.Mixture(2, 4)), [0.0], "plane"),
    Law("full mixture prior 2-D", learned(full_mixture), [0.0], "plane"),
    Law("VampPrior 2-D", learned(Vamp), [0.0], "plane"),
    Law("flow prior 1-D", learned(lambda: priors.Flow(1, layers=2, hidden=(8,))), [0.0], "line"),
    Law("flow prior 2-D", learned(lambda: priors.Flow(2, layers=2, hidden=(8,))), [0.0], "plane"),
    Law(
        "flow posterior 1-D", family(lambda: posteriors.Flow(1, context=2, hidden=(8,))), [0.4, -0.5, 0.7, -1.0], "line"
    ),
    Law(
        "flow posterior 2-D",
        family(lambda: posteriors.Flow(2, context=1, hidden=(8,))),
        [0.4, -0.3, -2, -1.6, 0.7],
        "plane",
    ),
    Law("continuous Bernoulli -40", alone(CONTINUOUS), [-40.0], "unit", continuous_bernoulli_cdf(-40)),
    Law("continuous Bernoulli 0", alone(CONTINUOUS), [0.0], "unit", stats.uniform.cdf),
    Law("continuous Bernoulli 3", alone(CONTINUOUS), [3.0], "unit", continuous_bernoulli_cdf(3)),
    Law("Bernoulli", alone(BERNOULLI), [-0.8], "bits"),
    Law("Bernoulli, three bits", alone(BERNOULLI), [2.0, 0.0, -3.0], "bits"),
    Law("one-hot codes", codes(2, 3), [1.0, -0.5, 0.2, 0.0, 2.0, -3.0], "bits"),
    Law("one-hot codes of the prior", learned(lambda: priors.Categorical(2, 2)), [0.0], "bits"),
    Law("Laplace", alone_of(Laplace), [0.7, -1.0], "line", stats.laplace(0.7, math.exp(-1)).cdf, kurtosis=6),
    Law("Student's t", student_t, [-0.4, 0.3, math.log(8)], "heavy", stats.t(9, -0.4, math.exp(0.3)).cdf, kurtosis=4.2),
    Law("categorical", alone_on_levels(likelihoods.Categorical, 4), [0.3, -2.0, 1.0, 0.0], "counts", top=3),
    Law("logistic mixture", alone_on_levels(likelihoods.DiscretisedLogistic, 9, 2), MIXTURE, "counts", top=8),
    Law("one logistic", alone_on_levels(likelihoods.DiscretisedLogistic, 5, 1), [0.0, -0.4, 0.7], "counts", top=4),
    Law("Poisson", alone(distributions.PoissonLogMean), [1.3], "counts", top=60),
    Law("negative binomial", alone_of(distributions.NegativeBinomial, 1), [1.2, 0.4], "counts", top=400),
    Law("nearly Poisson", alone_of(distributions.NegativeBinomial, 1), [1.2, 40.0], "counts", top=60),
]
CONTINUA = [law for law in LAWS if law.support not in ("bits", "counts")]
PATHWISE = [law for law in CONTINUA if law.params != [0.0] or law.support == "unit"]  # a prior has no parameters here


def over(laws: list[Law]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("law", laws, ids=lambda law: law.name)


def made(law: Law, dtype: torch.dtype = torch.float64) -> Distribution:
    return law.make(torch.tensor([law.params], dtype=dtype))


def outcomes(law: Law) -> Tensor:
    """Every value that has a probability worth counting, (N, event)."""
    if law.support == "counts":
        return torch.arange(law.top + 1).double()[:, None]
    dim = made(law).event_shape[0]
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * dim).reshape(-1, dim)


# --- density ------------------------------------------------------------------------------------------------


@over(LAWS)
def test_integrates_to_one(law):
    q = made(law)

    def density(*z):
        return q.log_prob(torch.tensor([z], dtype=torch.float64)).exp().item()

    if law.support in ("bits", "counts"):
        total = q.log_prob(outcomes(law)).exp().sum().item()
    elif law.support == "heavy":
        total = integrate.quad(density, -math.inf, math.inf)[0]
    elif law.support == "unit":
        total = integrate.quad(density, 0, 1, points=[0.05, 0.95])[0]
    elif law.support == "line":
        total = integrate.quad(density, -12, 12, points=[0.0, law.params[0]])[0]  # a peak may have a kink
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


@over([law for law in LAWS if law.support in ("bits", "counts")])
def test_samples_of_bits_and_counts_follow_their_probabilities(law):
    q, n = made(law), 20_000
    rows = outcomes(law)
    draws = q.sample((n,))
    counts = (draws == rows).all(-1).sum(0).numpy()
    assert counts.sum() == n
    expected = n * q.log_prob(rows).exp().flatten().numpy()
    common = expected > 5  # the rare ones are taken together
    counts, expected = (np.append(a[common], a[~common].sum() + 1e-9) for a in (counts, expected))
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-4


@over([law for law in LAWS if law.name != "categorical"])  # categories have no mean
def test_the_mean_is_the_mean_of_the_samples(law):
    q, n = made(law), 40_000
    draws = q.sample((n,))
    error = (draws.mean(0) - q.mean).abs()
    assert (error <= 4 * draws.std(0) / math.sqrt(n)).all()


@over([law for law in LAWS if law.support in ("line", "heavy", "plane")])
def test_the_variance_of_the_samples_is_the_laws(law):
    """Catches z = mu + sigma^2 eps: the sample variance has standard error sigma^2 sqrt((kurtosis - 1)/n)."""
    q, n = made(law), 40_000
    error = (q.sample((n,)).var(0) / q.variance - 1).abs()
    assert (error <= 4 * math.sqrt((law.kurtosis - 1) / n)).all()


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
    elif law.support == "heavy":  # z = sinh t reaches 10^4
        t = torch.linspace(-10, 10, 4001, dtype=torch.float64)
        z, w = t.sinh()[:, None], t.cosh() * float(t[1] - t[0])
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


@over([law for law in CONTINUA if made(law).has_rsample])
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


def laplace_by_scipy(x, h):
    return stats.laplace.logpdf(x, h[..., 0, :], 0.3)


def student_t_by_scipy(x, h):
    return stats.t.logpdf(x, 4.5, h[..., 0, :], 0.3)


def logistic_by_scipy(x, h):
    """Five levels, two components: differences of distribution functions, taken in the tail where they are small."""
    w, m, s = special.softmax(h[..., :2, :], -2), h[..., 2:4, :], h[..., 4:, :]
    m = 4 * (m + np.array([[0.25], [0.75]]))
    s = (1 + 0.5 / 0.05 * np.exp(s)) * 0.05  # exp(log floor + softplus(s + log start - log floor))
    low, high = np.where(x > 0, x - 0.5, -np.inf)[:, None], np.where(x < 4, x + 0.5, np.inf)[:, None]
    below = stats.logistic.cdf(high, m, s) - stats.logistic.cdf(low, m, s)
    above = stats.logistic.sf(low, m, s) - stats.logistic.sf(high, m, s)
    return np.log((w * np.where(x[:, None] < m, below, above)).sum(-2))


def categorical_by_scipy(x, h):
    log_p = special.log_softmax(h, -2)
    return np.take_along_axis(log_p, np.broadcast_to(x, (2, *x.shape)).astype(int)[..., None, :], -2)[..., 0, :]


def poisson_by_scipy(x, h):
    return stats.poisson.logpmf(x, np.exp(h[..., 0, :]))


def negative_binomial_by_scipy(x, h):
    return stats.nbinom.logpmf(x, 1, 1 / (1 + np.exp(h[..., 0, :])))  # r = 1, where it starts


TABLE = [
    Column("height", "real", None, 170.0, 10.0),
    Column("smokes", "binary"),
    Column("colour", "categorical", 3),
    Column("visits", "integer", None, 4.0, 3.0),
    Column("town", "categorical", 2),
]


def table_by_scipy(x, h):
    mu = 4 * np.exp(h[..., 0, 3])
    columns = [
        stats.norm.logpdf(x[..., 0], 170 + 10 * h[..., 0, 0], 10),
        bernoulli_by_scipy(x[..., 1:2], h[..., 1:2])[..., 0],
        categorical_by_scipy(x[..., 2:3], h[..., 2:3])[..., 0],
        stats.nbinom.logpmf(x[..., 3], 1, 1 / (1 + mu)),
        categorical_by_scipy(x[..., 4:5], h[..., :2, 4:5])[..., 0],
    ]
    return np.stack(columns, -1)


def table_data(n: int, P: int) -> Tensor:
    columns = [170 + 10 * torch.randn(n), *(torch.randint(k, (n,)) for k in (2, 3, 20, 2))]
    return torch.stack([c.double() for c in columns], -1)


class Row(NamedTuple):
    """A likelihood's own options, data it may see, log p(x | h) per element with h (..., size, P), where x may lie."""

    options: dict
    data: Callable[..., Tensor]
    log_p: Callable[[np.ndarray, np.ndarray], np.ndarray]
    low: float = 0.0
    high: float = math.inf


def whole(below: int) -> Callable[..., Tensor]:
    return lambda *shape: torch.randint(below, shape).double()


LINE = {"low": -math.inf}
LIKELIHOODS = {
    "bernoulli": Row({}, whole(2), bernoulli_by_scipy, high=1),
    "continuous_bernoulli": Row({}, lambda *shape: torch.rand(*shape).double(), continuous_bernoulli_by_numpy, high=1),
    "gaussian": Row({"sigma": 0.3}, lambda *shape: torch.randn(*shape).double(), gaussian_by_scipy, **LINE),
    "laplace": Row({"sigma": 0.3}, lambda *shape: torch.randn(*shape).double(), laplace_by_scipy, **LINE),
    "student_t": Row(
        {"sigma": 0.3, "freedom": 4.5}, lambda *shape: torch.randn(*shape).double(), student_t_by_scipy, **LINE
    ),
    "logistic": Row({"levels": 5, "components": 2}, whole(5), logistic_by_scipy, high=4),
    "categorical": Row({"levels": 5}, whole(5), categorical_by_scipy, high=4),
    "negative_binomial": Row({}, whole(30), negative_binomial_by_scipy),
    "poisson": Row({}, whole(30), poisson_by_scipy),
    "table": Row({"columns": TABLE}, table_data, table_by_scipy, **LINE),
    "grey": Row({}, lambda *shape: torch.rand(*shape).double(), grey_by_numpy, high=1),
}
SHAPES = [(5,), (1, 4, 4), (3, 2, 2)]
each_likelihood = pytest.mark.parametrize("name", likelihoods.LIKELIHOODS)
each_of_each_shape = pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name in likelihoods.LIKELIHOODS for shape in SHAPES[: 1 if name == "table" else 3]],
)


def built(name: str, shape: tuple[int, ...]) -> torch.nn.Module:
    """The likelihood on data of that shape; a table has the shape of its columns."""
    options = LIKELIHOODS[name].options
    return likelihoods.LIKELIHOODS[name](**options | ({} if name == "table" else {"shape": shape}))


def test_every_likelihood_has_a_row_here():
    assert LIKELIHOODS.keys() == likelihoods.LIKELIHOODS.keys()


@each_of_each_shape
def test_log_px_equals_an_independent_one_with_its_constants(name, shape):
    row = LIKELIHOODS[name]
    likelihood = built(name, shape).double()
    x = row.data(6, *shape)
    h = torch.randn(2, 6, likelihood.size, *shape, dtype=torch.float64) * 2
    px = likelihood(h)
    expected = row.log_p(x.reshape(6, -1).numpy(), h.reshape(2, 6, likelihood.size, -1).numpy()).sum(-1)
    assert px.batch_shape == (2, 6)
    assert px.event_shape == shape
    np.testing.assert_allclose(px.log_prob(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@each_of_each_shape
def test_the_mean_of_px_is_a_picture(name, shape):
    likelihood = built(name, shape)
    px = likelihood(torch.randn(2, 6, likelihood.size, *shape))
    assert px.mean.shape == (2, 6, *shape)
    assert px.mean.min() >= LIKELIHOODS[name].low
    assert px.mean.max() <= LIKELIHOODS[name].high


@each_of_each_shape
def test_draws_of_px_are_data_that_it_accepts(name, shape):
    likelihood = built(name, shape)
    px = likelihood(torch.randn(2, 6, likelihood.size, *shape))
    if not distributions.is_density(px):
        with pytest.raises(UserError):
            px.sample()
        return
    x = px.sample((3,))
    assert x.shape == (3, 2, 6, *shape)
    assert x.dtype == torch.float32
    likelihoods.check_support(likelihood, x.flatten(0, 2))
    assert px.log_prob(x).isfinite().all()


@each_of_each_shape
def test_any_elements_can_be_left_out(name, shape):
    """log p of what was observed is the sum over it, whatever fills the holes."""
    likelihood, row = built(name, shape).double(), LIKELIHOODS[name]
    x, h = row.data(6, *shape), torch.randn(2, 6, likelihood.size, *shape).double()
    each = distributions.log_prob_by_element(likelihood(h), x)
    expected = row.log_p(x.reshape(6, -1).numpy(), h.reshape(2, 6, likelihood.size, -1).numpy())
    np.testing.assert_allclose(each.detach().reshape(2, 6, -1).numpy(), expected, rtol=1e-11, atol=1e-11)
    observed = torch.rand(6, *shape) < 0.5
    batch = Batch.of(x.where(observed, math.nan))
    draw = Draw(batch, None, None, torch.zeros(2, 6, 1), None, likelihood(h))
    seen = (expected * observed.reshape(6, -1).numpy()).sum(-1)
    np.testing.assert_allclose(draw.log_px().detach().numpy(), seen, rtol=1e-11, atol=1e-11)


@each_likelihood
def test_only_the_grey_likelihood_is_no_density(name):
    likelihood = built(name, (5,))
    assert distributions.is_density(likelihood(torch.zeros(2, likelihood.size, 5))) == (name != "grey")


@each_likelihood
def test_log_px_and_its_gradient_are_finite_at_outputs_of_ten_thousand(name):
    likelihood = built(name, (5,))
    for sign in (1, -1):
        h = sign * torch.tensor([1e4, -1e4, 1e4, 1e4, -1e4]).expand(32, likelihood.size, 5)
        h = h.clone().requires_grad_()
        value = likelihood(h).log_prob(torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 5))
        value.sum().backward()
        assert value.isfinite().all()
        assert h.grad.isfinite().all()


@each_likelihood
def test_log_px_is_one_graph_with_every_gradient(name):
    likelihood, row = built(name, (5,)), LIKELIHOODS[name]
    x, h = row.data(6, 5).float(), torch.randn(2, 6, likelihood.size, 5, requires_grad=True)
    compiled = one_graph(lambda h: likelihood(h).log_prob(x).sum())
    inputs = [h, *likelihood.parameters()]
    found = [torch.autograd.grad(f(h), inputs) for f in (compiled, lambda h: likelihood(h).log_prob(x).sum())]
    for ours, eager in zip(*found, strict=True):
        assert (eager != 0).any()
        torch.testing.assert_close(ours, eager, rtol=1e-5, atol=1e-5)
