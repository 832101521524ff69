"""The Bayesian mixture against scikit-learn from one start, against Bishop's sum of terms, and against log p(X) itself."""

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from sklearn.mixture import BayesianGaussianMixture
from torch import Tensor

from logpx.errors import UserError
from logpx.exact import gaussian_mixture
from logpx.exact.gaussian_mixture import Mixture, Prior


def data(n: int = 300, P: int = 2, seed: int = 0) -> Tensor:
    """Three clusters of different shape."""
    g = torch.Generator().manual_seed(seed)
    centres = 4 * torch.randn(3, P, dtype=torch.float64, generator=g)
    shapes = torch.randn(3, P, P, dtype=torch.float64, generator=g)
    which = torch.randint(3, (n,), generator=g)
    e = torch.randn(n, P, dtype=torch.float64, generator=g)
    return centres[which] + (shapes[which] @ e[:, :, None])[..., 0]


def random_start(n: int, K: int, seed: int = 0) -> Tensor:
    r = torch.rand(n, K, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return r / r.sum(1, keepdim=True)


def some_prior(P: int = 2) -> Prior:
    mean = torch.linspace(-0.5, 0.7, P, dtype=torch.float64)
    return Prior(0.3, mean, 0.7, torch.eye(P, dtype=torch.float64) + 0.4, P + 1.5)


# --- scikit-learn ---


class Judge(BayesianGaussianMixture):
    """scikit-learn's mixture, begun from given responsibilities."""

    def _initialize_parameters(self, X, random_state, xp=None):
        self._initialize(X, self.start)


def judge_of(prior: Prior, iterations: int) -> Judge:
    return Judge(
        n_components=4,
        tol=0.0,
        reg_covar=0.0,
        max_iter=iterations,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=prior.alpha,
        mean_prior=prior.mean.numpy(),
        mean_precision_prior=prior.beta,
        covariance_prior=prior.covariance.numpy(),
        degrees_of_freedom_prior=prior.nu,
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("iterations", [1, 2, 7, 60])
def test_it_is_scikit_learn_s_iteration_for_iteration(iterations: int) -> None:
    x, prior, start = data(), some_prior(), random_start(300, 4)
    judge = judge_of(prior, iterations)
    judge.start = start.numpy()
    judge.fit(x.numpy())
    q, _ = list(gaussian_mixture.fit(x, 4, prior, start=start, iterations=iterations, tolerance=-math.inf))[-1]
    np.testing.assert_allclose(q.weights().numpy(), judge.weights_, atol=1e-10)
    np.testing.assert_allclose(q.components.mean.numpy(), judge.means_, atol=1e-9)
    np.testing.assert_allclose(q.covariances().numpy(), judge.covariances_, atol=1e-9)
    np.testing.assert_allclose(q.components.nu.numpy(), judge.degrees_of_freedom_, atol=1e-9)
    np.testing.assert_allclose(q.log_responsibilities(x).exp().numpy(), judge.predict_proba(x.numpy()), atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_its_bound_is_scikit_learn_s_plus_the_constants_left_out_there() -> None:
    """Theirs omits log C(alpha0), log Z_0, the powers of 2 pi and of pi in Gamma_P: numbers that no iteration changes."""
    x, prior, start = data(), some_prior(), random_start(300, 4)
    gaps = []
    for iterations in (1, 3, 20):
        judge = judge_of(prior, iterations)
        judge.start = start.numpy()
        bound = judge.fit(x.numpy()).lower_bound_
        found = list(gaussian_mixture.fit(x, 4, prior, start=start, iterations=iterations, tolerance=-math.inf))
        gaps.append(found[-1][1] - bound)
    n, P, K, g = 300, 2, 4, scipy.special.gammaln
    log_2pi, V0 = math.log(2 * math.pi), prior.covariance.numpy()
    log_z0 = 0.5 * P * (log_2pi - math.log(prior.beta)) + 0.5 * prior.nu * (P * math.log(2) - np.linalg.slogdet(V0)[1])
    log_z0 += scipy.special.multigammaln(prior.nu / 2, P)
    constant = g(K * prior.alpha) - K * g(prior.alpha) - K * log_z0 - 0.5 * n * P * log_2pi
    constant += K * (0.5 * P * log_2pi + 0.25 * P * (P - 1) * math.log(math.pi))  # left out of their Z_k
    assert gaps == pytest.approx([constant] * 3, abs=1e-8)


# --- the bound ---


def elbo_term_by_term(x: np.ndarray, prior: Prior, q: Mixture) -> float:
    """Bishop (10.71) to (10.77), in his letters and his order, for any q."""
    r, alpha = q.responsibilities.numpy(), q.alpha.numpy()
    m, beta, nu = q.components.mean.numpy(), q.components.beta.numpy(), q.components.nu.numpy()
    W = np.linalg.inv(q.components.scale.numpy())
    W0, m0 = np.linalg.inv(prior.covariance.numpy()), prior.mean.numpy()
    P = x.shape[1]
    psi = scipy.special.digamma

    def log_b(W: np.ndarray, nu: float) -> float:
        return -0.5 * nu * np.linalg.slogdet(W)[1] - (
            0.5 * nu * P * math.log(2) + scipy.special.multigammaln(nu / 2, P)
        )

    def log_c(a: np.ndarray) -> float:
        return scipy.special.gammaln(a.sum()) - scipy.special.gammaln(a).sum()

    log_pi = psi(alpha) - psi(alpha.sum())
    log_Lambda = np.array(
        [psi((nu[k] - np.arange(P)) / 2).sum() + P * math.log(2) + np.linalg.slogdet(W[k])[1] for k in range(len(m))]
    )
    total = log_c(np.full(len(m), prior.alpha)) + (prior.alpha - 1) * log_pi.sum()
    total += (r * log_pi).sum() - scipy.special.xlogy(r, r).sum()
    total -= ((alpha - 1) * log_pi).sum() + log_c(alpha)
    for k in range(len(m)):
        d = x - m[k]
        squares = np.einsum("np,pq,nq->n", d, W[k], d)
        total += 0.5 * (r[:, k] * (log_Lambda[k] - P / beta[k] - nu[k] * squares - P * math.log(2 * math.pi))).sum()
        away = m[k] - m0
        total += 0.5 * (P * math.log(prior.beta / (2 * math.pi)) + log_Lambda[k] - P * prior.beta / beta[k])
        total -= 0.5 * prior.beta * nu[k] * away @ W[k] @ away
        total += log_b(W0, prior.nu) + 0.5 * (prior.nu - P - 1) * log_Lambda[k]
        total -= 0.5 * nu[k] * np.trace(np.linalg.inv(W0) @ W[k])
        entropy = -log_b(W[k], nu[k]) - 0.5 * (nu[k] - P - 1) * log_Lambda[k] + 0.5 * nu[k] * P
        total -= 0.5 * log_Lambda[k] + 0.5 * P * math.log(beta[k] / (2 * math.pi)) - 0.5 * P - entropy
    return total


@pytest.mark.parametrize("P", [1, 2, 4])
def test_the_elbo_is_bishop_s_sum_and_never_falls(P: int) -> None:
    x, prior = data(80, P), some_prior(P)
    values, start = [], random_start(80, 3)
    for q, elbo in gaussian_mixture.fit(x, 3, prior, start=start, iterations=60, tolerance=-math.inf):
        assert elbo == pytest.approx(elbo_term_by_term(x.numpy(), prior, q), rel=1e-11)
        values.append(elbo)
    assert (np.diff(values) > -1e-9).all()
    assert values[-1] > values[0] + 0.01


def log_marginal(x: np.ndarray, prior: Prior) -> float:
    """log p(x_1, .., x_n) of one component: the chain of Student t predictives, by scipy."""
    P, total = x.shape[1], 0.0
    m, beta, V, nu = prior.mean.numpy(), prior.beta, prior.covariance.numpy(), prior.nu
    for row in x:
        freedom = nu + 1 - P
        total += scipy.stats.multivariate_t(m, V * (1 + beta) / (beta * freedom), freedom).logpdf(row)
        V = V + beta / (1 + beta) * np.outer(row - m, row - m)
        m, beta, nu = (beta * m + row) / (beta + 1), beta + 1, nu + 1
    return total


def log_p_of_all(x: np.ndarray, prior: Prior, K: int) -> float:
    """log p(X) by summing over all K^n assignments, each with its Dirichlet-multinomial probability."""
    g, terms = scipy.special.gammaln, []
    for z in itertools.product(range(K), repeat=len(x)):
        counts = np.bincount(z, minlength=K)
        log_pz = g(K * prior.alpha) - g(K * prior.alpha + len(x)) + (g(prior.alpha + counts) - g(prior.alpha)).sum()
        terms.append(log_pz + sum(log_marginal(x[np.array(z) == k], prior) for k in range(K)))
    return scipy.special.logsumexp(terms)


@pytest.mark.parametrize("P", [1, 3])
def test_one_component_is_exact(P: int) -> None:
    """With K = 1 nothing is approximated: ELBO = log p(X), and the predictive is the ratio of two such numbers."""
    x, prior = data(30, P), some_prior(P)
    q, elbo = list(gaussian_mixture.fit(x, 1, prior))[-1]
    assert elbo == pytest.approx(log_marginal(x.numpy(), prior), abs=1e-8)
    new = data(4, P, seed=1)
    both = [log_marginal(torch.cat([x, row[None]]).numpy(), prior) for row in new]
    np.testing.assert_allclose(q.log_evidence(new).numpy(), np.array(both) - log_marginal(x.numpy(), prior), atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_the_elbo_is_below_log_p_of_the_data(seed: int) -> None:
    """Seven rows in two clusters: 128 assignments are summed. The gap holds log 2!, one for each name of the clusters."""
    g = torch.Generator().manual_seed(seed)
    near, far = (torch.randn(n, 1, dtype=torch.float64, generator=g) * 0.3 + c for n, c in [(4, -3.0), (3, 3.0)])
    x, prior = torch.cat([near, far]), Prior(2.0, torch.zeros(1).double(), 0.05, torch.eye(1).double() * 0.3, 3.0)
    truth = log_p_of_all(x.numpy(), prior, 2)
    for _, elbo in gaussian_mixture.fit(x, 2, prior, start=random_start(7, 2, seed)):
        assert elbo < truth
    _, best = list(gaussian_mixture.fit(x, 2, prior, seed=seed))[-1]
    assert math.log(2) < truth - best < math.log(2) + 0.2


def test_log_p_of_the_data_by_sampling_the_prior_agrees() -> None:
    """The oracle's own oracle: E over the prior of the likelihood of three rows, by simple Monte Carlo."""
    x, K, n = np.array([[-0.6], [0.4], [0.9]]), 2, 400_000
    prior = Prior(0.8, torch.zeros(1).double(), 0.7, torch.eye(1).double(), 3.0)
    random = np.random.default_rng(0)
    pi = random.dirichlet([prior.alpha] * K, n)
    precision = random.gamma(prior.nu / 2, 2.0, (n, K))  # Wishart in one dimension, W0 = 1
    mu = random.standard_normal((n, K)) / np.sqrt(prior.beta * precision)
    densities = scipy.stats.norm(mu, precision**-0.5).pdf(x[:, :, None])  # (3, n, K)
    likelihood = (pi * densities).sum(-1).prod(0)
    error = likelihood.std() / math.sqrt(n)
    assert abs(likelihood.mean() - math.exp(log_p_of_all(x, prior, K))) < 4 * error
    elbo = list(gaussian_mixture.fit(torch.from_numpy(x), K, prior))[-1][1]
    assert math.exp(elbo) < likelihood.mean() - 4 * error


# --- what comes out ---


def test_the_predictive_density_has_mass_one_and_is_the_average_over_q() -> None:
    x = data(60, 1)
    q, _ = list(gaussian_mixture.fit(x, 3))[-1]
    grid = torch.linspace(-400, 400, 800_001, dtype=torch.float64)[:, None]
    mass = torch.trapezoid(q.log_evidence(grid).exp(), grid[:, 0]).item()
    tail = 2 * 400 * q.log_evidence(torch.tensor([[400.0]]).double()).exp().item()
    assert mass == pytest.approx(1, abs=1e-4 + 10 * tail)
    random, nu = np.random.default_rng(0), q.components.nu.numpy()
    n, at = 200_000, np.array([-2.0, 0.5, 3.0])
    Lambda = random.gamma(nu / 2, 2.0, (n, 3)) / q.components.scale[:, 0, 0].numpy()
    mu = q.components.mean[:, 0].numpy() + random.standard_normal((n, 3)) / np.sqrt(q.components.beta.numpy() * Lambda)
    pi = random.dirichlet(q.alpha.numpy(), n)
    sampled = (pi * scipy.stats.norm(mu, Lambda**-0.5).pdf(at[:, None, None])).sum(-1)  # (3, n)
    density = q.log_evidence(torch.from_numpy(at)[:, None]).exp().numpy()
    assert (np.abs(sampled.mean(1) - density) < 4 * sampled.std(1) / math.sqrt(n)).all()


def test_superfluous_components_are_left_empty_and_the_clusters_found() -> None:
    x = data(600)
    q, _ = list(gaussian_mixture.fit(x, 8, gaussian_mixture.prior_of(x, 8)._replace(alpha=1e-3)))[-1]
    assert int((q.weights() > 0.02).sum()) == 3
    assert q.weights().sum().item() == pytest.approx(1, abs=1e-12)
    held_out = data(600, seed=0)  # the same law's own rows: what they cost by one Gaussian is far more
    one, _ = list(gaussian_mixture.fit(x, 1))[-1]
    assert q.log_evidence(held_out).mean() > one.log_evidence(held_out).mean() + 0.3


def test_units_change_the_evidence_by_their_jacobian_only() -> None:
    x, units = data(), torch.tensor([1e-3, 50.0], dtype=torch.float64)
    (a, low), (b, high) = (list(gaussian_mixture.fit(rows, 3, iterations=20))[-1] for rows in (x, x * units + 7))
    shift = units.log().sum().item()
    torch.testing.assert_close(b.log_evidence(x * units + 7), a.log_evidence(x) - shift, rtol=0, atol=1e-8)
    assert high == pytest.approx(low - len(x) * shift, abs=1e-6)


def test_the_start_is_seeded_hard_and_uses_every_component() -> None:
    x = data()
    first, again, other = (gaussian_mixture.far_apart(x, 5, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.sum(1) == 1).all()
    assert (first.sum(0) > 0).all()
    same = gaussian_mixture.far_apart(torch.ones(6, 2).double(), 3)
    assert same.shape == (6, 3)


def test_an_emptied_component_returns_to_the_prior() -> None:
    x, prior = data(20), some_prior()
    start = torch.zeros(20, 2, dtype=torch.float64)
    start[:, 0] = 1
    update = prior.components(2).given(x, start)
    for found, expected in zip(update, prior.components(2), strict=True):
        torch.testing.assert_close(found[1], expected[1], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("x", "options", "sentence"),
    [
        (data(), {"components": 0}, "components is 0: give a whole number from 1 to 300"),
        (data(5), {"components": 6}, "from 1 to 5, the number of rows"),
        (data(), {"components": 2.5}, "components is 2.5: give a whole number"),
        (data(), {"components": math.nan}, "components is nan: give a whole number"),
        (data(), {"components": 2, "start": torch.full((300, 2), math.nan)}, "probabilities that sum to one"),
        (data(), {"components": 2, "prior": some_prior()._replace(mean=torch.tensor([math.nan, 0]))}, "number finite"),
        (data(), {"components": 2, "prior": some_prior()._replace(alpha=math.inf)}, "number finite"),
        (data(), {"components": 2, "prior": some_prior()._replace(nu=math.nan)}, "number finite"),
        (
            data(),
            {"components": 2, "prior": some_prior()._replace(covariance=math.nan * torch.eye(2))},
            "number finite",
        ),
        (data(), {"components": 2, "start": torch.ones(300, 2)}, "300 rows of 2 probabilities that sum to one"),
        (data(), {"components": 2, "start": torch.ones(300, 3) / 3}, "300 rows of 2 probabilities"),
        (data(), {"components": 2, "prior": some_prior(3)}, "The prior does not fit 2 columns"),
        (data(), {"components": 2, "prior": some_prior()._replace(nu=0.5)}, "nu above 1"),
        (data()[:, [0, 0]], {"components": 2}, "constant or depend on each other"),
        (data().index_fill(0, torch.tensor([3]), math.nan), {"components": 2}, "Row 3 holds a value that is nan"),
    ],
)
def test_bad_input_is_a_sentence(x: Tensor, options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        gaussian_mixture.fit(x, **options)
