"""Factor analysis against scipy, scikit-learn, pPCA as its special case, a saturated model, and the bounds of its VAE."""

import copy
import math

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.decomposition import FactorAnalysis as Judge
from torch import Tensor

from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.exact import factor_analysis, linear_gaussian, ppca
from logpx.exact.factor_analysis import FactorAnalysis
from logpx.exact.ppca import PPCA
from logpx.model import Batch
from logpx.objectives import ELBO, IWAE


def random_model(P: int = 6, D: int = 2, seed: int = 1) -> FactorAnalysis:
    g = torch.Generator().manual_seed(seed)
    W, mu, psi = (torch.randn(*size, dtype=torch.float64, generator=g) for size in [(P, D), (P,), (P,)])
    return FactorAnalysis(W, mu, (0.5 * psi).exp())


def data(n: int = 400, P: int = 6, D: int = 2, seed: int = 0) -> Tensor:
    """Rows drawn from a random factor analysis."""
    g = torch.Generator().manual_seed(seed)
    W, mu, psi = random_model(P, D, seed + 1)
    z, e = (torch.randn(n, size, dtype=torch.float64, generator=g) for size in (D, P))
    return z @ W.T + mu + psi.sqrt() * e


def covariance(model: FactorAnalysis) -> Tensor:
    return model.weight @ model.weight.T + model.variance.diag()


def fitted(x: Tensor, latent: int, **options) -> FactorAnalysis:
    return list(factor_analysis.em(x, latent, **options))[-1][0]


# --- the law ---


@pytest.mark.parametrize("seed", range(3))
def test_log_evidence_is_scipy_s(seed: int) -> None:
    model, x = random_model(seed=seed), data(50)
    law = scipy.stats.multivariate_normal(model.mean.numpy(), covariance(model).numpy())
    np.testing.assert_allclose(model.log_evidence(x).numpy(), law.logpdf(x.numpy()), rtol=1e-11)
    assert model.log_det().item() == pytest.approx(np.linalg.slogdet(covariance(model).numpy())[1], rel=1e-11)


def test_posterior_is_bayes_rule() -> None:
    """log p(z|x) = log p(x|z) + log p(z) - log p(x), whatever z."""
    model, x = random_model(), data(5)
    W, mu, psi = model
    z = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    log_px = torch.distributions.Normal(z @ W.T + mu, psi.sqrt()).log_prob(x).sum(1)
    log_pz = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    expected = log_px + log_pz - model.log_evidence(x)
    torch.testing.assert_close(model.posterior(x).log_prob(z), expected, rtol=0, atol=1e-10)


def test_one_noise_for_all_columns_is_ppca() -> None:
    W, mu, _ = random_model()
    x = data(50)
    same, plain = FactorAnalysis(W, mu, torch.full_like(mu, 0.3)), PPCA(W, mu, torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(same.log_evidence(x), plain.log_evidence(x), rtol=1e-12, atol=0)
    torch.testing.assert_close(same.posterior(x).mean, plain.posterior(x).mean)
    torch.testing.assert_close(same.posterior(x).covariance_matrix, plain.posterior(x).covariance_matrix)


def test_law_of_images_has_their_shape_moments_and_entropy() -> None:
    law = linear_gaussian.LinearGaussian(random_model(), (2, 3))
    torch.manual_seed(0)
    drawn = law.sample((200_000,))
    assert drawn.shape[1:] == law.mean.shape == law.variance.shape == (2, 3)
    torch.testing.assert_close(law.variance.flatten(), covariance(random_model()).diagonal())
    torch.testing.assert_close(drawn.flatten(1).T.cov(), covariance(random_model()), rtol=0.03, atol=0.05)
    log_p = law.log_prob(drawn)
    assert abs(log_p.mean() + law.entropy()) < 4 * log_p.std() / math.sqrt(len(drawn))


# --- expectation maximisation ---


@pytest.mark.parametrize("seed", range(3))
def test_em_rises_to_scikit_learn_s_maximum(seed: int) -> None:
    """Both use the covariance with divisor n; only W up to a rotation is compared, by W W^T."""
    x = data(seed=seed)
    runs = list(factor_analysis.em(x, 2, iterations=20_000, tolerance=1e-13))
    values = torch.tensor([value for _, value in runs], dtype=torch.float64)
    model = runs[-1][0]
    judge = Judge(2, tol=1e-13, max_iter=20_000, svd_method="lapack").fit(x.numpy())
    assert (values.diff() > -1e-11).all()
    assert len(runs) < 20_000
    assert values[-1].item() == pytest.approx(judge.score(x.numpy()), abs=1e-8)
    np.testing.assert_allclose(model.log_evidence(x).numpy(), judge.score_samples(x.numpy()), atol=2e-4)
    np.testing.assert_allclose(covariance(model).numpy(), judge.get_covariance(), atol=2e-4)
    np.testing.assert_allclose(model.variance.numpy(), judge.noise_variance_, rtol=1e-3)


def test_the_stated_evidence_is_the_model_s() -> None:
    x = data()
    for model, value in factor_analysis.em(x, 2, iterations=5):
        assert value == pytest.approx(model.log_evidence(x).mean().item(), abs=1e-11)


def with_covariance(S: Tensor, n: int = 60) -> Tensor:
    """Rows whose covariance with divisor n is S exactly."""
    y = torch.randn(n, len(S), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = y - y.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(y.T @ y / n), y.T, upper=False).T
    return white @ torch.linalg.cholesky(S).T


def test_one_factor_on_three_columns_fits_the_covariance_exactly() -> None:
    """w_1^2 = s12 s13 / s23 and so on, psi = diag S - w^2: log p(x) is then -1/2 (P log 2pi + log|S| + P)."""
    w, psi = torch.tensor([1.0, -0.8, 0.5]).double(), torch.tensor([0.5, 0.7, 1.2]).double()
    S = torch.outer(w, w) + psi.diag()
    model, value = list(factor_analysis.em(with_covariance(S), 1, 100_000, 1e-15))[-1]
    expected = -0.5 * (3 * math.log(2 * math.pi) + torch.logdet(S) + 3)
    assert value == pytest.approx(expected.item(), abs=1e-10)
    torch.testing.assert_close(model.weight[:, 0] * model.weight[0, 0].sign(), w, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.variance, psi, rtol=0, atol=1e-5)


def test_units_of_the_columns_change_nothing_but_their_own_numbers() -> None:
    x, units = data(), torch.tensor([1e-4, 1.0, 1e3, 1.0, 7.0, 0.1], dtype=torch.float64)
    a, b = fitted(x, 2, iterations=50), fitted(x * units, 2, iterations=50)
    torch.testing.assert_close(b.weight, a.weight * units[:, None])
    torch.testing.assert_close(b.variance, a.variance * units**2)
    torch.testing.assert_close(b.log_evidence(x * units), a.log_evidence(x) - units.log().sum())


def test_it_is_at_least_as_good_as_ppca() -> None:
    """pPCA is the same model with one psi."""
    x = data(seed=5)
    best = factor_analysis.em(x, 2, iterations=2000)
    assert list(best)[-1][1] > ppca.closed_form(x, 2).log_evidence(x).mean().item() + 0.01


def test_a_heywood_case_stops_at_the_floor_within_its_own_order_of_the_limit() -> None:
    """s12 s13 / s23 = 1.5 > s11 = 1, so the best psi_1 is 0, where x_1 itself is the factor.

    In the limit x_2 and x_3 are independent given x_1, and log p(x) is that of three regressions. EM creeps towards it
    (psi_1 falls like 1/t), so the floor is reached from a start beside it.
    """
    S = torch.tensor([[1.0, 0.6, 0.5], [0.6, 1.0, 0.2], [0.5, 0.2, 1.0]], dtype=torch.float64)
    x, spread, w = with_covariance(S), S.diagonal(), S[:, :1]
    limit = -0.5 * sum(math.log(2 * math.pi * v) + 1 for v in (1.0, 1 - 0.36, 1 - 0.25))
    model = FactorAnalysis(w, x.mean(0), torch.tensor([1e-6 + 1e-13, 0.6, 0.8], dtype=torch.float64))
    values = []
    for _ in range(200):
        model = factor_analysis._em_step(model, x - x.mean(0), spread)
        values.append(model.log_evidence(x).mean())
    assert model.variance[0].item() == pytest.approx(factor_analysis.FLOOR, rel=1e-12)
    assert (torch.stack(values).diff() > -1e-11).all()
    assert limit - 1e-5 < values[-1].item() < limit
    creeping = list(factor_analysis.em(x, 1, 3000, 0.0))
    assert limit - 1e-2 < creeping[-1][1] < limit
    assert creeping[-1][0].variance[0] < 0.01


# --- as a VAE ---


def test_every_bound_is_tight_and_the_evidence_exact() -> None:
    model, x = random_model(), data(7).reshape(-1, 2, 3)
    vae, log_p = factor_analysis.as_vae(model, (2, 3)), model.log_evidence(x)
    torch.manual_seed(0)
    torch.testing.assert_close(vae.draw(Batch(x), 3).log_w(), log_p.expand(3, -1), rtol=0, atol=1e-9)
    assert -IWAE(5)(vae, Batch(x)).loss.item() == pytest.approx(log_p.mean().item(), abs=1e-9)
    found = evidence(vae, x)
    assert found.kind == "exact"
    torch.testing.assert_close(found.per_point, log_p, rtol=0, atol=1e-10)
    vae.marginal = None
    torch.testing.assert_close(evidence(vae, x, samples=10).per_point, log_p, rtol=0, atol=1e-9)


def test_it_owns_each_number_once_and_survives_copy_and_state() -> None:
    model, x = random_model(), data(4)
    vae = factor_analysis.as_vae(model, (6,))
    assert set(vae.state_dict()) == {"decoder.net.0.weight", "decoder.net.0.bias", "likelihood.log_sigma"}
    twin = copy.deepcopy(vae)
    with torch.no_grad():
        twin.likelihood.log_sigma.add_(1.0)
    assert twin.marginal().log_prob(x).ne(vae.marginal().log_prob(x)).all()
    fresh = factor_analysis.build((6,), 2).double()
    fresh.load_state_dict(vae.state_dict())
    torch.testing.assert_close(fresh.marginal().log_prob(x), model.log_evidence(x), rtol=0, atol=1e-10)


def test_it_trains_by_gradient_too() -> None:
    torch.manual_seed(0)
    x = data().float()
    vae = factor_analysis.build((6,), 2)
    optimiser = torch.optim.Adam(vae.parameters(), 0.05)
    for _ in range(500):
        optimiser.zero_grad()
        ELBO(kl="one sample")(vae, Batch(x)).loss.backward()
        optimiser.step()
    best = list(factor_analysis.em(x, 2, iterations=3000))[-1][1]
    assert best - 0.05 < evidence(vae, x).mean < best


# --- bad input ---


@pytest.mark.parametrize(
    ("x", "latent", "sentence"),
    [
        (data(), 0, "latent is 0: give a whole number from 1 to 5"),
        (data(), 6, "latent is 6: give a whole number from 1 to 5"),
        (data(), 1.5, "latent is 1.5: give a whole number"),
        (data(), math.nan, "latent is nan: give a whole number"),
        (data(4), 3, "The data vary in 3 directions only"),
        (data().index_fill(1, torch.tensor([3]), 0.1), 2, "Column 3 is constant, .*: drop it"),
        (data().index_fill(0, torch.tensor([3]), math.nan), 2, "Row 3 holds a value that is nan"),
    ],
)
def test_bad_data_are_refused_in_a_sentence(x: Tensor, latent: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        factor_analysis.em(x, latent)


def test_another_model_or_size_is_refused() -> None:
    with pytest.raises(UserError, match="one noise for each column"):
        factor_analysis.write_into(ppca.build((6,), 2), random_model())
    with pytest.raises(UserError, match="6 x 2, the VAE's 6 x 3"):
        factor_analysis.write_into(factor_analysis.build((6,), 3), random_model())
