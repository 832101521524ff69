"""The linear VAE's closed forms against autograd, a numerical optimiser, sampling, and pPCA."""

import itertools
import math

import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from logpx.errors import UserError
from logpx.evaluate import evidence, usage
from logpx.exact import linear_vae, ppca
from logpx.exact.linear_vae import AnalyticELBO, LinearVAE
from logpx.exact.ppca import PPCA, Spectrum
from logpx.model import Batch
from logpx.objectives import ELBO, IWAE, Warmup


def data(n: int = 200, P: int = 8, seed: int = 0, scale: Tensor | None = None) -> Tensor:
    """Rows whose covariance has well separated eigenvalues and random axes, with a mean that is not zero."""
    g = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(P, P, dtype=torch.float64, generator=g)).Q
    scale = 2.0 ** -torch.arange(P, dtype=torch.float64) * 4 if scale is None else scale
    return torch.randn(n, P, dtype=torch.float64, generator=g) * scale @ axes.T + torch.arange(P)


def random_linear_vae(P: int = 8, D: int = 3, seed: int = 1) -> LinearVAE:
    g = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=g)

    s2, noise = normal(1)[0].exp(), normal(D).exp()
    return LinearVAE(normal(P, D), normal(P), s2, normal(D, P) / P, noise)


def diagonal(*values: float) -> Spectrum:
    """The population with these variances along its axes."""
    v = torch.tensor(values, dtype=torch.float64)
    return Spectrum(v, torch.eye(len(v), dtype=torch.float64), torch.zeros_like(v))


def population_elbo(W: Tensor, V: Tensor, log_d: Tensor, S: Tensor, s2: float, beta: float = 1.0) -> Tensor:
    """The sheet's formula term by term, averaged over x of mean zero and covariance S, mu = 0."""
    P, D = W.shape
    d = log_d.exp()
    rate = 0.5 * (d.sum() - log_d.sum() + (V @ S @ V.T).trace() - D)
    WV = W @ V
    misfit = (W * d @ W.T).trace() + (WV @ S @ WV.T).trace() - 2 * (WV @ S).trace() + S.trace()
    return -misfit / (2 * s2) - P / 2 * math.log(2 * math.pi * s2) - beta * rate


# --- the bound ---


def test_analytic_elbo_is_the_sampled_one_within_its_error() -> None:
    model, x = random_linear_vae(), data(5)
    vae = linear_vae.write_into(linear_vae.build((8,), 3).double(), model)
    torch.manual_seed(0)
    draw = vae.draw(Batch(x), 100_000)
    log_px, kl = draw.log_px(), draw.kl(sampled=True)
    reconstruction, rate = model.parts(x)
    for sampled, exact in [(-log_px, reconstruction), (kl, rate), (log_px - kl, model.elbo(x))]:
        error = sampled.std(0) / math.sqrt(len(sampled))
        assert ((sampled.mean(0) - exact).abs() < 4 * error).all()
    torch.testing.assert_close(draw.kl(), rate, rtol=1e-12, atol=1e-12)


def test_objective_is_the_value_s_bound_with_the_house_s_terms() -> None:
    model, x = random_linear_vae(), data().reshape(-1, 2, 4)
    vae = linear_vae.write_into(linear_vae.build((2, 4), 3).double(), model)
    step = AnalyticELBO(beta=4.0)(vae, Batch(x))
    reconstruction, kl = (part.mean().item() for part in model.parts(x))
    assert set(step.terms) == {"loss", "elbo", "reconstruction", "kl"}
    assert step.loss.item() == pytest.approx(reconstruction + 4 * kl, abs=1e-10)
    assert step.terms["elbo"].item() == pytest.approx(-(reconstruction + kl), abs=1e-10)
    step.loss.backward()
    assert all(p.grad is not None for p in vae.parameters())


def test_formula_of_the_sheet_on_data_of_mean_zero() -> None:
    x = data()
    x = x - x.mean(0)
    model = random_linear_vae()._replace(mean=torch.zeros(8).double())
    W, _, s2, V, d = model
    expected = population_elbo(W, V, d.log(), x.T @ x / len(x), s2.item())
    assert model.elbo(x).mean().item() == pytest.approx(expected.item(), abs=1e-9)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(4, 8))
def test_elbo_never_exceeds_the_evidence(seed: int, D: int, P: int) -> None:
    model, x = random_linear_vae(P, D, seed), data(4, P, seed)
    log_p = model.ppca.log_evidence(x)
    assert (model.elbo(x) <= log_p + 1e-9).all()
    best = linear_vae.best_encoder(model.ppca)
    assert (model.elbo(x) <= best.elbo(x) + 1e-9).all()
    torch.testing.assert_close(log_p - best.elbo(x), linear_vae.gap(model.ppca).expand(4), rtol=1e-10, atol=1e-10)


def test_gap_is_zero_exactly_where_the_columns_are_orthogonal() -> None:
    model = ppca.closed_form(data(), 3)
    g = torch.Generator().manual_seed(0)
    R = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=g)).Q
    assert abs(linear_vae.gap(model).item()) < 1e-10
    assert linear_vae.gap(model._replace(weight=model.weight @ R)).item() > 0.1


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_best_encoder_is_the_best(beta: float) -> None:
    """The gradient of E log p(x|z) - beta KL by V and d vanishes there, and it is concave in them."""
    x = data()
    best = linear_vae.best_encoder(random_linear_vae().ppca, beta)
    free = [t.clone().requires_grad_() for t in (best.encoder, best.noise)]
    model = LinearVAE(best.weight, best.mean, best.variance, *free)
    reconstruction, kl = model.parts(x)
    (reconstruction + beta * kl).mean().backward()
    assert all(t.grad is not None and t.grad.abs().max() < 1e-9 for t in free)


# --- the global optimum ---


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("variance", [None, 0.02, 0.5, 1000.0])
def test_at_the_optimum_every_closed_form_holds(seed: int, variance: float | None) -> None:
    x, latent = data(seed=seed), 5
    values = ppca.spectrum(x).values
    model, known = (
        linear_vae.global_optimum(x, latent, variance),
        linear_vae.optimum(values, latent, variance),
    )
    s2 = known.variance
    top = values[:latent]
    live = top > s2
    codes = model.code(x)
    nothing, one = torch.zeros_like(top), torch.ones_like(top)
    expected_kl = torch.where(live, 0.5 * (top / s2).log(), nothing)
    kl = 0.5 * (codes.square().mean(0) + model.noise - model.noise.log() - 1)

    def close(a: Tensor, b: Tensor) -> None:
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)

    assert torch.equal(known.live, live)
    assert int(live.sum()) == min(latent, int((values > s2).sum()))
    close(codes.mean(0), nothing)
    for measured, stated, formula in [
        (kl, known.kl, expected_kl),
        (model.noise, known.noise, torch.where(live, s2 / top, one)),
        (codes.var(0, correction=0), known.spread, torch.where(live, 1 - s2 / top, nothing)),
    ]:
        close(measured, stated)
        close(stated, formula)
    close(model.elbo(x), model.ppca.log_evidence(x))
    close(model.elbo(x).mean(), known.elbo)
    close(known.elbo, ppca.maximum(values, latent, variance))


def test_live_latents_change_exactly_at_the_eigenvalues() -> None:
    values = torch.tensor([6.0, 4.0, 2.5, 1.0, 0.3, 0.1], dtype=torch.float64)
    for i, value in enumerate(values[:4]):
        for shift, alive in [(1 - 1e-9, i + 1), (1 + 1e-9, i)]:
            assert int(linear_vae.optimum(values, 4, value.item() * shift).live.sum()) == alive


@pytest.mark.parametrize("beta", [0.25, 1.0, 2.0, 7.0])
@pytest.mark.parametrize("variance", [None, 0.3])
def test_beta_optimum_is_what_a_numerical_optimiser_finds(beta: float, variance: float | None) -> None:
    """L-BFGS over W, V, d (and s2) from a random start, on a spectrum with eigenvalues on both sides of beta s2."""
    spectrum, latent = diagonal(5.0, 2.0, 0.9, 0.4, 0.2), 3
    S, P = torch.diag(spectrum.values), 5
    sizes = [P * latent, latent * P, latent, 1]

    def objective(flat: object) -> tuple[float, object]:
        t = torch.tensor(flat, dtype=torch.float64, requires_grad=True)
        w, v, log_d, log_s2 = t.split(sizes)
        s2 = log_s2.exp()[0] if variance is None else torch.tensor(variance, dtype=torch.float64)
        d, W, V = log_d.exp(), w.reshape(P, latent), v.reshape(latent, P)
        misfit = (d * W.square().sum(0)).sum() + ((torch.eye(P) - W @ V) @ S @ (torch.eye(P) - W @ V).T).trace()
        rate = 0.5 * (d.sum() - log_d.sum() + (V @ S @ V.T).trace() - latent)
        loss = 0.5 * (misfit / s2 + P * torch.log(2 * math.pi * s2)) + beta * rate
        loss.backward()
        return loss.item(), t.grad.numpy()

    start = torch.randn(sum(sizes), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.3
    found = scipy.optimize.minimize(
        objective,
        start.numpy(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9},
    )
    known = linear_vae.optimum(spectrum.values, latent, variance, beta)
    loss = -known.elbo.item() + (beta - 1) * known.kl.sum().item()
    assert found.fun == pytest.approx(loss, abs=1e-7)
    if variance is None:
        assert math.exp(found.x[-1]) == pytest.approx(known.variance.item(), rel=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_beta_vae_at_s2_has_the_weights_of_the_vae_at_beta_s2(seed: int) -> None:
    x, beta, s2 = data(seed=seed), 3.0, 0.1
    heavy, plain = linear_vae.global_optimum(x, 5, s2, beta), linear_vae.global_optimum(x, 5, beta * s2)
    for a, b in [(heavy.weight, plain.weight), (heavy.encoder, plain.encoder), (heavy.noise, plain.noise)]:
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    values = ppca.spectrum(x).values
    kl = linear_vae.optimum(values, 5, s2, beta).kl
    torch.testing.assert_close(kl, 0.5 * (values[:5] / (beta * s2)).log().clamp_min(0), rtol=0, atol=1e-12)
    assert heavy.elbo(x).mean().item() == pytest.approx(linear_vae.optimum(values, 5, s2, beta).elbo.item(), abs=1e-9)


def test_rate_distortion_known_answer() -> None:
    """lambda = (4, 1), eps = 1/2 ln 4: theta = 1, KL = (0.6931471806, 0), D = (1, 1)."""
    theta = linear_vae.water_level([4.0, 1.0], 0.5 * math.log(4)).item()
    known = linear_vae.optimum([4.0, 1.0], 2, theta)
    assert theta == pytest.approx(1.0, abs=1e-12)
    assert known.kl.tolist() == pytest.approx([0.6931471806, 0.0], abs=1e-10)
    assert known.distortion.tolist() == pytest.approx([1.0, 1.0], abs=1e-12)


@given(st.lists(st.floats(0.01, 100.0), min_size=8, max_size=8), st.floats(1e-3, 30.0))
def test_water_level_spends_the_rate(values: list[float], rate: float) -> None:
    theta = linear_vae.water_level(values, rate).item()
    spent = sum(max(0.0, 0.5 * math.log(value / theta)) for value in values)
    assert spent == pytest.approx(rate, rel=1e-9)
    assert linear_vae.optimum(values, 8, theta).kl.sum().item() == pytest.approx(rate, rel=1e-9)


# --- stationary points ---


def test_hessian_at_total_collapse() -> None:
    """lambda = 2, s2 = 1: eigenvalues +0.56155281 and -3.56155281."""
    eigenvalues = torch.linalg.eigvalsh(linear_vae.collapse_hessian(2.0, 1.0))
    assert eigenvalues.tolist() == pytest.approx([-3.56155281, 0.56155281], abs=1e-8)


@pytest.mark.parametrize("beta", [1.0, 2.5])
@pytest.mark.parametrize("eigenvalue", [0.2, 0.9, 2.0, 6.0])
def test_hessian_at_total_collapse_is_autograd_s(eigenvalue: float, beta: float) -> None:
    s2 = 0.7
    S = torch.diag(torch.tensor([eigenvalue, 0.1], dtype=torch.float64))
    axis = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def along(wv: Tensor) -> Tensor:
        return population_elbo(wv[0] * axis[:, None], wv[1] * axis[None], torch.zeros(1).double(), S, s2, beta)

    hessian = torch.autograd.functional.hessian(along, torch.zeros(2, dtype=torch.float64))
    stated = linear_vae.collapse_hessian(eigenvalue, s2, beta)
    torch.testing.assert_close(stated, hessian, rtol=0, atol=1e-12)
    assert (torch.linalg.eigvalsh(stated)[-1] > 0) == (eigenvalue > beta * s2)


def in_random_axes(*values: float) -> tuple[Spectrum, Tensor]:
    """A spectrum with these eigenvalues, and rows that have it exactly."""
    P, g = len(values), torch.Generator().manual_seed(0)
    U = torch.linalg.qr(torch.randn(P, P, dtype=torch.float64, generator=g)).Q
    found = Spectrum(torch.tensor(values, dtype=torch.float64), U, torch.arange(P, dtype=torch.float64))
    half = (P * found.values).sqrt() * U
    return found, found.mean + torch.cat([half, -half], 1).T


def curvatures(model: LinearVAE, x: Tensor, learned: bool) -> Tensor:
    """Eigenvalues of the mean ELBO's Hessian by W, V, log d, mu and, if learned, log s2; the gradient must be zero."""
    W, mu, s2, V, d = model
    sizes = [W.numel(), V.numel(), len(d), len(mu)] + [1] * learned

    def bound(flat: Tensor) -> Tensor:
        w, v, log_d, mean, *log_s2 = flat.split(sizes)
        noise = log_s2[0][0].exp() if learned else s2
        return LinearVAE(w.reshape(W.shape), mean, noise, v.reshape(V.shape), log_d.exp()).elbo(x).mean()

    here = torch.cat([W.flatten(), V.flatten(), d.log(), mu] + [s2.log()[None]] * learned)
    assert torch.autograd.functional.jacobian(bound, here).abs().max() < 1e-12
    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(bound, here))


@pytest.mark.parametrize("latent", [2, 3])
@pytest.mark.parametrize("variance", [None, 0.5, 1.5, 5.0])
def test_the_bound_s_hessian_has_the_signs_of_the_closed_form_at_every_stationary_point(
    variance: float | None, latent: int
) -> None:
    """Of the ELBO by every parameter, for every subset K of eigenvectors that can be held, sigma fixed or learned.

    As many directions lead upward as the curvature of log p(x) has positive entries outside K: the best encoder only
    follows, and s2 meets only the lengths of the columns, along which all is a maximum. And none is flat: the symmetries of
    log p(x) are the rotations of the columns of W, which the diagonal q removes.
    """
    spectrum, x = in_random_axes(4.0, 2.0, 1.0, 0.2)
    values, stable = spectrum.values, []
    for kept in (K for size in range(latent + 1) for K in itertools.combinations(range(4), size)):
        left = torch.tensor([j not in kept for j in range(4)])
        if any(values[j] <= (values[left].mean() if variance is None else variance) for j in kept):
            continue
        model, point = linear_vae.stationary_point(spectrum, kept, latent, variance)
        found = curvatures(model, x, learned=variance is None)
        assert model.elbo(x).mean().item() == pytest.approx(point.evidence.item(), abs=1e-12)
        assert found.abs().min() > 1e-3
        assert (found > 0).sum() == (point.curvature[:, left] > 0).sum()
        assert point.stable == bool((found < 0).all())
        stable += [kept] if point.stable else []
    live = latent if variance is None else min(latent, int((values > variance).sum()))
    assert stable == [tuple(range(live))]


@pytest.mark.parametrize("variance", [None, 0.5])
def test_equal_eigenvalues_leave_the_bound_the_rotations_of_their_axes(variance: float | None) -> None:
    """One flat direction each: two columns turn in the plane of theirs together, or one turns out of its own."""
    for values, kept in [((4.0, 2.0, 2.0, 0.2), (0, 1)), ((3.0, 3.0, 1.0, 0.2), (0, 1))]:
        spectrum, x = in_random_axes(*values)
        found = curvatures(linear_vae.stationary_point(spectrum, kept, 2, variance)[0], x, learned=variance is None)
        assert (found.abs() < 1e-9).sum() == 1
        assert (found < 1e-9).all()


# --- as a VAE ---


def test_trained_by_adam_it_reaches_the_maximum_along_the_principal_axes() -> None:
    torch.manual_seed(0)
    spread = torch.tensor([3.0, 2.0, 1.3, 0.5, 0.4, 0.3, 0.3, 0.2], dtype=torch.float64)
    x, latent = data(scale=spread), 3
    vae = linear_vae.build((8,), latent).double()
    objective = AnalyticELBO()
    optimiser = torch.optim.Adam(vae.parameters(), 0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 3000)
    for _ in range(3000):
        optimiser.zero_grad()
        loss = objective(vae, Batch(x)).loss
        loss.backward()
        optimiser.step()
        schedule.step()
    best = ppca.maximum(ppca.spectrum(x).values, latent).item()
    assert best - 0.01 < -loss.item() < best + 1e-9
    assert best - 0.01 < evidence(vae, x).mean < best + 1e-9
    W = linear_vae.read(vae).weight.detach()
    cosines = (torch.nn.functional.normalize(W, dim=0).T @ ppca.spectrum(x).vectors[:, :latent]).abs()
    assert (cosines.max(0).values > 0.999).all()
    assert (cosines.max(1).values > 0.999).all()
    known = linear_vae.optimum(ppca.spectrum(x).values, latent)
    used = usage(vae, x)
    assert used.kl is not None
    assert used.kl.sort(descending=True).values.tolist() == pytest.approx(known.kl.tolist(), abs=0.02)


def test_float32_analytic_elbo_adds_up_on_784_dimensions() -> None:
    g = torch.Generator().manual_seed(0)
    W = torch.randn(784, 20, dtype=torch.float64, generator=g) * 0.2
    z, e = (torch.randn(64, size, dtype=torch.float64, generator=g) for size in (20, 784))
    x = (z @ W.T + 0.5 + 0.02 * e).float()
    model = linear_vae.best_encoder(PPCA(W, torch.full((784,), 0.5).double(), torch.tensor(4e-4).double()))
    vae = linear_vae.write_into(linear_vae.build((784,), 20), model)
    elbo = AnalyticELBO()(vae, Batch(x)).terms["elbo"]
    assert elbo.dtype == torch.float32
    assert elbo.item() == pytest.approx(model.elbo(x).mean().item(), abs=0.01)


def test_bounds_are_in_order_on_a_random_linear_vae() -> None:
    model, x = random_linear_vae(seed=4), data(20)
    vae = linear_vae.write_into(linear_vae.build((8,), 3).double(), linear_vae.best_encoder(model.ppca))
    exact = evidence(vae, x).mean
    torch.manual_seed(0)
    with torch.no_grad():
        iwae = [-IWAE(k)(vae, Batch(x.repeat(50, 1))).loss.item() for k in (1, 5, 50)]
    elbo = AnalyticELBO()(vae, Batch(x)).terms["elbo"].item()
    assert iwae[0] == pytest.approx(elbo, abs=0.2)
    assert elbo < iwae[1] < iwae[2] < exact + 0.02


def test_one_graph_and_ordinary_objectives() -> None:
    vae, batch = linear_vae.build((8,), 3, "optimal"), Batch(data().float())
    loss = torch.compile(lambda b: AnalyticELBO()(vae, b).loss, fullgraph=True, backend="aot_eager")(batch)
    torch.testing.assert_close(loss, AnalyticELBO()(vae, batch).loss)
    sum_of = ELBO()(vae, batch)
    assert vae.how_kl() == "closed form"
    assert sum_of.loss.isfinite()


def test_beta_may_be_a_schedule() -> None:
    objective = AnalyticELBO(Warmup(10))
    assert objective.beta().item() == 0.0
    assert objective.ends() == 10


# --- bad input ---


def test_bad_input_is_refused_in_a_sentence() -> None:
    x, values = data(), [3.0, 1.0, 0.5]
    with pytest.raises(UserError, match="beta is 0"):
        linear_vae.optimum(values, 2, beta=0.0)
    with pytest.raises(UserError, match="latent is 9: give a whole number from 1 to 7"):
        linear_vae.global_optimum(x, 9)
    with pytest.raises(UserError, match="The variance is -1"):
        linear_vae.global_optimum(x, 2, -1.0)
    with pytest.raises(UserError, match="The rate is 0"):
        linear_vae.water_level(values, 0.0)
    with pytest.raises(UserError, match=r"linear_vae\.build"):
        linear_vae.read(ppca.build((8,), 2))
    with pytest.raises(UserError, match=r"linear_vae\.build"):
        linear_vae.write_into(ppca.build((8,), 2), linear_vae.global_optimum(x, 2))
    with pytest.raises(UserError, match=r"linear_vae\.build"):
        AnalyticELBO()(ppca.build((8,), 2), Batch(x.float()))
    vae = linear_vae.build((8,), 2)
    with pytest.raises(UserError, match="needs complete rows"):
        AnalyticELBO()(vae, Batch(x.float(), observed=torch.ones_like(x)))
    with pytest.raises(UserError, match="use it alone"):
        (AnalyticELBO() + ELBO())(vae, Batch(x.float()))
