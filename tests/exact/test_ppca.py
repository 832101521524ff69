"""pPCA against other implementations: scipy, scikit-learn, autograd, and the bounds of its own VAE."""

import copy
import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from logpx import likelihoods, networks
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.exact import linear_gaussian, ppca
from logpx.exact.ppca import PPCA, Spectrum
from logpx.model import VAE, Batch
from logpx.objectives import ELBO, IWAE


def data(n: int = 200, P: int = 8, seed: int = 0) -> Tensor:
    """Rows whose covariance has well separated eigenvalues and random axes, with a mean that is not zero."""
    g = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(P, P, dtype=torch.float64, generator=g)).Q
    scale = 2.0 ** -torch.arange(P, dtype=torch.float64) * 4
    return torch.randn(n, P, dtype=torch.float64, generator=g) * scale @ axes.T + torch.arange(P)


def random_ppca(P: int = 8, D: int = 3, s2: float = 0.3, seed: int = 1) -> PPCA:
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(P, D, dtype=torch.float64, generator=g)
    return PPCA(W, torch.randn(P, dtype=torch.float64, generator=g), torch.tensor(s2, dtype=torch.float64))


def diagonal(*values: float) -> Spectrum:
    """The population with these variances along its axes."""
    v = torch.tensor(values, dtype=torch.float64)
    return Spectrum(v, torch.eye(len(v), dtype=torch.float64), torch.zeros_like(v))


def covariance(model: PPCA) -> Tensor:
    W, mu, s2 = model
    return W @ W.T + s2 * torch.eye(len(mu), dtype=W.dtype)


def mean_evidence(W: Tensor, S: Tensor, s2: Tensor | float) -> Tensor:
    """-1/2 [P log 2pi + log|C| + tr(C^-1 S)] without Woodbury."""
    P = len(S)
    C = W @ W.T + s2 * torch.eye(P, dtype=W.dtype)
    return -0.5 * (P * math.log(2 * math.pi) + torch.logdet(C) + torch.linalg.solve(C, S).trace())


# --- the law ---


@pytest.mark.parametrize("s2", [1e-6, 0.3, 50.0])
def test_log_evidence_is_scipy_s(s2: float) -> None:
    model, x = random_ppca(s2=s2), data()
    law = scipy.stats.multivariate_normal(model.mean.numpy(), covariance(model).numpy())
    expected = law.logpdf(x.numpy())
    np.testing.assert_allclose(model.log_evidence(x).numpy(), expected, rtol=1e-9)
    assert model.log_det().item() == pytest.approx(np.linalg.slogdet(covariance(model).numpy())[1], rel=1e-10)


def test_posterior_is_bayes_rule() -> None:
    """log p(z|x) = log p(x|z) + log p(z) - log p(x), whatever z."""
    model, x = random_ppca(), data(5)
    W, mu, s2 = model
    z = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    log_px = torch.distributions.Normal(z @ W.T + mu, s2.sqrt()).log_prob(x).sum(1)
    log_pz = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(
        model.posterior(x).log_prob(z), log_px + log_pz - model.log_evidence(x), rtol=0, atol=1e-9
    )


def test_law_of_images_has_their_shape_moments_and_entropy() -> None:
    law = linear_gaussian.LinearGaussian(random_ppca(), (2, 4))
    x = data(6).reshape(2, 3, 2, 4)
    torch.testing.assert_close(law.log_prob(x).flatten(), law.model.log_evidence(x.reshape(6, 8)))
    assert law.log_prob(x[0, 0]).shape == ()
    assert law.mean.shape == law.variance.shape == (2, 4)
    torch.manual_seed(0)
    drawn = law.sample((100_000,))
    error = (law.variance / len(drawn)).sqrt()
    assert ((drawn.mean(0) - law.mean).abs() < 4.5 * error).all()
    torch.testing.assert_close(drawn.flatten(1).T.cov(), covariance(law.model), rtol=0.05, atol=0.06)
    log_p = law.log_prob(drawn)
    assert abs(log_p.mean() + law.entropy()) < 4 * log_p.std() / math.sqrt(len(drawn))
    assert bool(law.support.check(drawn).all())


# --- maximum likelihood ---


def test_closed_form_has_scikit_learn_s_score_after_its_divisor_is_undone() -> None:
    """PCA.score uses the covariance with divisor n - 1; ours is its score on the spectrum times (n - 1)/n."""
    x, latent = data(), 3
    n = len(x)
    pca = PCA(latent, svd_solver="full").fit(x.numpy())
    pca.explained_variance_ *= (n - 1) / n
    pca.noise_variance_ *= (n - 1) / n
    model = ppca.closed_form(x, latent)
    np.testing.assert_allclose(model.log_evidence(x).numpy(), pca.score_samples(x.numpy()), atol=1e-8)
    assert ppca.maximum(ppca.spectrum(x).values, latent).item() == pytest.approx(pca.score(x.numpy()), abs=1e-8)


def test_divisor_n_minus_one_costs_what_the_file_says() -> None:
    x, latent = data(), 3
    n, P = x.shape
    values = ppca.spectrum(x).values
    unadjusted = ppca.maximum(values * n / (n - 1), latent)
    difference = ppca.maximum(values, latent) - unadjusted
    assert difference.item() == pytest.approx(P / 2 * math.log(n / (n - 1)), abs=1e-10)


@pytest.mark.parametrize("variance", [None, 0.05, 0.8, 100.0])
def test_maximum_is_the_mean_evidence_of_the_closed_form(variance: float | None) -> None:
    x, latent = data(seed=3), 4
    model = ppca.closed_form(x.reshape(-1, 2, 4), latent, variance)
    best = ppca.maximum(ppca.spectrum(x).values, latent, variance)
    assert model.log_evidence(x).mean().item() == pytest.approx(best.item(), abs=1e-10)


def test_s2_between_the_second_and_third_eigenvalue_keeps_two_columns() -> None:
    x = data(seed=4)
    values = ppca.spectrum(x).values
    W = ppca.closed_form(x, 5, variance=(values[1] * values[2]).sqrt().item()).weight
    assert int((W.norm(dim=0) > 0).sum()) == 2


def test_spectrum_does_not_depend_on_the_sign_that_the_solver_took() -> None:
    x = data(seed=5)
    flipped = ppca.spectrum(-x)
    torch.testing.assert_close(flipped.vectors, ppca.spectrum(x).vectors)
    torch.testing.assert_close((flipped.vectors.T @ flipped.vectors), torch.eye(8, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(3))
def test_em_rises_to_the_closed_form(seed: int) -> None:
    x, latent = data(seed=seed), 3
    runs = list(ppca.em(x, latent, iterations=2000, tolerance=1e-13, seed=seed))
    values = torch.tensor([value for _, value in runs], dtype=torch.float64)
    assert (values.diff() > -1e-10).all()
    assert len(runs) < 2000
    model, exact = runs[-1][0], ppca.closed_form(x, latent)
    assert values[-1].item() == pytest.approx(exact.log_evidence(x).mean().item(), abs=1e-8)
    assert model.log_evidence(x).mean().item() == pytest.approx(values[-1].item(), abs=1e-10)
    torch.testing.assert_close(model.variance, exact.variance, rtol=1e-5, atol=0)
    cosines = torch.linalg.svdvals(torch.linalg.qr(model.weight).Q.T @ torch.linalg.qr(exact.weight).Q)
    assert (cosines > 1 - 1e-8).all()


def test_em_is_the_same_for_one_seed_and_takes_fewer_rows_than_dimensions() -> None:
    x = data(6, P=20)
    first, second = (list(ppca.em(x, 2, iterations=5, seed=7)) for _ in range(2))
    assert [v for _, v in first] == [v for _, v in second]
    many = [v for _, v in ppca.em(x, 2, iterations=5000, tolerance=1e-13)]
    assert many[-1] == pytest.approx(ppca.maximum(ppca.spectrum(x).values, 2).item(), abs=1e-8)


# --- stationary points ---


SPECTRUM = (5.0, 3.0, 1.5, 0.7, 0.2)
SUBSETS = [k for size in range(4) for k in itertools.combinations(range(4), size)]  # 0.2 lies below s2 = 0.4


@pytest.mark.parametrize("kept", SUBSETS)
def test_every_subset_is_stationary_with_the_stated_curvature(kept: tuple[int, ...]) -> None:
    data, latent, s2 = diagonal(*SPECTRUM), 3, 0.4
    point = ppca.stationary_point(data, kept, latent, s2)
    S = torch.diag(data.values)
    W = point.model.weight
    gradient = torch.autograd.functional.jacobian(lambda w: mean_evidence(w, S, s2), W)
    hessian = torch.autograd.functional.hessian(lambda w: mean_evidence(w, S, s2), W)  # (P, D, P, D)
    own = torch.einsum("jiji->ij", hessian)
    assert gradient.abs().max() < 1e-12
    torch.testing.assert_close(point.curvature, own, rtol=0, atol=1e-10)
    assert point.evidence.item() == pytest.approx(mean_evidence(W, S, s2).item(), abs=1e-12)
    eigenvalues, k = torch.linalg.eigvalsh(hessian.reshape(W.numel(), W.numel())), len(kept)
    assert point.stable == (eigenvalues.max() < 1e-9) == (kept == (0, 1, 2))
    assert (eigenvalues.abs() < 1e-9).sum() == k * (k - 1) // 2 + k * (latent - k)  # rotations of the columns, no more


def test_learned_variance_is_the_mean_of_what_is_left_out() -> None:
    point = ppca.stationary_point(diagonal(*SPECTRUM), (0, 1), 2)
    assert point.model.variance.item() == pytest.approx((1.5 + 0.7 + 0.2) / 3)
    assert point.evidence.item() == pytest.approx(ppca.maximum(SPECTRUM, 2).item(), abs=1e-12)
    assert point.stable
    assert not ppca.stationary_point(diagonal(*SPECTRUM), (0, 2), 2, 0.4).stable


def test_stationary_point_in_the_data_s_own_axes() -> None:
    x = data(seed=6)
    spectrum = ppca.spectrum(x)
    point = ppca.stationary_point(spectrum, (0, 2), 3, spectrum.values[4].item())
    assert point.model.log_evidence(x).mean().item() == pytest.approx(point.evidence.item(), abs=1e-10)


# --- as a VAE ---


@pytest.fixture
def exact() -> tuple[VAE, Tensor, Tensor]:
    model = random_ppca()
    x = data(7).reshape(-1, 1, 2, 4)
    return ppca.as_vae(model, (1, 2, 4)), x, model.log_evidence(x)


def test_one_sample_elbo_at_the_exact_posterior_is_the_evidence(exact: tuple[VAE, Tensor, Tensor]) -> None:
    vae, x, log_p = exact
    for seed in range(5):
        torch.manual_seed(seed)
        draw = vae.draw(Batch(x), 3)
        torch.testing.assert_close(draw.log_w(), log_p.expand(3, -1), rtol=0, atol=1e-9)
        step = ELBO(kl="one sample")(vae, Batch(x))
        assert -step.loss.item() == pytest.approx(log_p.mean().item(), abs=1e-9)


@pytest.mark.parametrize("samples", [1, 5, 50])
def test_iwae_at_the_exact_posterior_is_the_evidence_for_every_k(
    exact: tuple[VAE, Tensor, Tensor], samples: int
) -> None:
    vae, x, log_p = exact
    torch.manual_seed(samples)
    assert -IWAE(samples)(vae, Batch(x)).loss.item() == pytest.approx(log_p.mean().item(), abs=1e-9)


@pytest.mark.parametrize(("gradient", "samples"), [("dreg", 1), ("dreg", 8), ("stl", 1), ("stl", 8)])
def test_low_variance_encoder_gradients_vanish_at_the_exact_posterior(
    exact: tuple[VAE, Tensor, Tensor], gradient: str, samples: int
) -> None:
    """The encoder reads a copy of the decoder, so that its gradient and the decoder's are told apart."""
    vae, x, _ = exact
    decoder, likelihood = copy.deepcopy(vae.decoder), copy.deepcopy(vae.likelihood)
    vae.encoder = linear_gaussian.ExactEncoder(decoder, likelihood, ppca.read)
    torch.manual_seed(0)
    IWAE(samples, gradient=gradient)(vae, Batch(x)).loss.backward()  # type: ignore[arg-type]
    for parameter in (*decoder.parameters(), *likelihood.parameters()):
        assert parameter.grad.abs().max() < 1e-10
    assert max(p.grad.abs().max() for p in vae.decoder.parameters()) > 0.01


def test_decoder_gradient_of_the_bound_is_that_of_the_evidence(exact: tuple[VAE, Tensor, Tensor]) -> None:
    """Where the bound is tight its gradient by theta is Fisher's identity: E_{p(z|x)} of that of log p(x|z)."""
    vae, x, _ = exact
    vae.marginal().log_prob(x).mean().backward()
    wanted = [p.grad.clone() for p in vae.parameters()]
    vae.zero_grad()
    torch.manual_seed(0)
    q = vae.encode(Batch(x))
    z = q.rsample((200_000,)).detach()
    per_draw = vae.decode(z).log_prob(x).mean()
    per_draw.backward()
    for p, w in zip(vae.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, w, rtol=0.02, atol=0.05)


def test_vae_owns_each_number_once_and_survives_copy_dtype_and_state() -> None:
    vae = ppca.as_vae(random_ppca(), (8,))
    assert set(vae.state_dict()) == {"decoder.net.0.weight", "decoder.net.0.bias", "likelihood.log_sigma"}
    twin = copy.deepcopy(vae)
    with torch.no_grad():
        twin.decoder.net[0].bias.add_(1.0)
    x = data(4)
    assert twin.marginal().log_prob(x).ne(vae.marginal().log_prob(x)).all()
    fresh = ppca.build((8,), 3).double()
    fresh.load_state_dict(vae.state_dict())
    torch.testing.assert_close(fresh.marginal().log_prob(x), vae.marginal().log_prob(x))
    estimate = evidence(vae, x)
    assert estimate.kind == "exact"
    torch.testing.assert_close(estimate.per_point, random_ppca().log_evidence(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("sigma", [0.5, "shared", "optimal"])
def test_every_sigma_is_read(sigma: float | str) -> None:
    vae = ppca.build((8,), 3, sigma)  # type: ignore[arg-type]
    vae.double()
    x = data(4)
    s2 = 0.25 if sigma == 0.5 else 1.0
    W, mu = vae.decoder.net[0].weight, vae.decoder.net[0].bias
    expected = PPCA(W, mu, torch.tensor(s2, dtype=torch.float64)).log_evidence(x)
    torch.testing.assert_close(vae.marginal().log_prob(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(vae.draw(Batch(x)).log_w()[0], vae.marginal().log_prob(x), rtol=0, atol=1e-9)


def test_float32_on_784_dimensions_with_small_sigma_is_right_to_a_thousandth() -> None:
    """sigma = 0.01 under weights of size 1: y^T C^-1 y is a difference of numbers near 10^6 in the usual formula."""
    g = torch.Generator().manual_seed(0)
    W = torch.randn(784, 50, dtype=torch.float64, generator=g) * torch.linspace(0.02, 0.3, 50, dtype=torch.float64)
    mu = torch.rand(784, dtype=torch.float64, generator=g)
    model = PPCA(W, mu, torch.tensor(1e-4, dtype=torch.float64))
    z, e = (torch.randn(64, size, dtype=torch.float64, generator=g) for size in (50, 784))
    x = (z @ W.T + mu + 0.01 * e).float()
    vae = ppca.as_vae(model, (1, 28, 28)).float()
    images = x.reshape(-1, 1, 28, 28)
    wanted = model.log_evidence(x)
    assert (vae.marginal().log_prob(images) - wanted).abs().max() < 1e-2
    assert (vae.marginal().log_prob(images) - wanted).mean().abs() < 1e-3
    torch.manual_seed(0)
    assert (vae.draw(Batch(images)).log_w()[0] - wanted).mean().abs() < 1e-2


def test_exact_vae_trains_by_gradient_in_one_graph() -> None:
    torch.manual_seed(0)
    x = (data(P=4) / 2).float()
    vae = ppca.build((4,), 2)
    step = torch.compile(lambda batch: ELBO()(vae, batch).loss, fullgraph=True, backend="aot_eager")
    vae.draw(Batch(x)).kl()  # torch's KL dispatch cannot be traced on its first call
    optimiser = torch.optim.Adam(vae.parameters(), 0.05)
    for _ in range(400):
        optimiser.zero_grad()
        step(Batch(x)).backward()
        optimiser.step()
    best = ppca.maximum(ppca.spectrum(x).values, 2).item()
    assert best - 0.1 < vae.marginal().log_prob(x).mean().item() < best


def test_write_into_fills_a_vae_and_refuses_what_it_cannot_hold() -> None:
    model = random_ppca()
    fixed = ppca.build((8,), 3, math.sqrt(0.3)).double()
    assert ppca.write_into(fixed, model) is fixed
    before = copy.deepcopy(fixed.state_dict())
    with pytest.raises(UserError, match=r"sigma 0\.707107, the VAE's likelihood holds it at 0\.547723"):
        ppca.write_into(fixed, random_ppca(s2=0.5, seed=9))
    with pytest.raises(UserError, match="8 x 3, the VAE's 8 x 2"):
        ppca.write_into(ppca.build((8,), 2), model)
    with pytest.raises(UserError, match="rescale the data"):
        ppca.write_into(ppca.build((8,), 3), random_ppca(s2=1e-14))
    assert all(torch.equal(before[k], v) for k, v in fixed.state_dict().items())


# --- bad input ---


@pytest.mark.parametrize("fit", [ppca.closed_form, ppca.em])
@pytest.mark.parametrize(
    ("x", "latent", "sentence"),
    [
        (data(), 0, "latent is 0: give a whole number from 1 to 7"),
        (data(), 8, "latent is 8: give a whole number from 1 to 7"),
        (data(4), 3, "The data vary in 3 directions only, .*: choose a latent below 3"),
        (data(1), 2, "at least two rows"),
        (data()[:, :1], 1, "one dimension"),
        (torch.ones(5, 4), 2, "in 0 directions only, .*: give data that vary more"),
        (data().index_fill(0, torch.tensor([3]), math.nan), 2, "Row 3 holds a value that is nan"),
        (data() / 0, 2, "Row 0 holds"),
    ],
)
def test_bad_data_are_refused_in_a_sentence(fit, x: Tensor, latent: int, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=sentence):
        fit(x, latent)


def test_no_residual_variance_is_refused() -> None:
    x = torch.cat([data(50, 3), torch.zeros(50, 4)], 1)  # constant pixels: three directions in seven dimensions
    for latent in (3, 5):
        with pytest.raises(UserError, match=r"The data vary in 3 directions only, .*: choose a latent below 3"):
            ppca.closed_form(x, latent)
    assert ppca.closed_form(x, 2).variance > 0
    assert ppca.closed_form(x, 5, variance=0.1).variance == pytest.approx(0.1)
    with pytest.raises(UserError, match="leaves no variance over"):
        list(ppca.em(x, 3, iterations=100_000, tolerance=0.0))


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf])
def test_bad_variance(variance: float) -> None:
    with pytest.raises(UserError, match=r"The variance is .*: give a positive number"):
        ppca.closed_form(data(), 2, variance)


def test_bad_spectra_and_subsets() -> None:
    with pytest.raises(UserError, match="eigenvalue is negative"):
        ppca.maximum([2.0, -1.0], 1)
    with pytest.raises(UserError, match="directions only"):
        ppca.maximum([2.0, 0.0, 0.0], 1)
    spectrum = diagonal(*SPECTRUM)
    for kept in [(0, 0), (0, 1, 2, 3), (7,), (-1,)]:
        with pytest.raises(UserError, match="give at most 3 different indices from 0 to 4"):
            ppca.stationary_point(spectrum, kept, 3, 0.1)
    with pytest.raises(UserError, match=r"not above s2 = 0\.4"):
        ppca.stationary_point(spectrum, (4,), 3, 0.4)


@pytest.mark.parametrize(
    ("decoder", "likelihood", "sentence"),
    [
        (networks.MLP((3,), (5,), (1, 8)), likelihoods.Gaussian((8,)), "without hidden layers"),
        (nn.Linear(3, 8), likelihoods.Gaussian((8,)), "without hidden layers"),
        (networks.MLP((3,), (), (1, 8), context=2), likelihoods.Gaussian((8,)), "context=0"),
        (networks.MLP((3,), (), (2, 8)), likelihoods.Gaussian((8,), "pixel"), "with one sigma"),
        (networks.MLP((3,), (), (1, 8)), likelihoods.Bernoulli((8,)), "with one sigma"),
    ],
)
def test_models_without_a_known_evidence_are_refused(decoder: nn.Module, likelihood: nn.Module, sentence: str) -> None:
    for part in (linear_gaussian.LinearGaussianMarginal, linear_gaussian.ExactEncoder):
        with pytest.raises(UserError, match=sentence):
            part(decoder, likelihood, ppca.read)
