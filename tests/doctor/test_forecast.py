"""The spectrum against sigma^2: what the forecast says, what trained linear VAEs do, and where they sit."""

import math

import pytest
import torch

from logpx import recipes
from logpx.data import Spec, from_array
from logpx.doctor import eigenvalues, forecast, where_it_sits
from logpx.doctor.forecast import _forecast
from logpx.errors import UserError
from logpx.evaluate import usage
from logpx.exact import linear_vae, ppca
from logpx.model import Batch

VALUES = torch.tensor([4.0, 2.5, 1.2, 0.5, 0.3, 0.1], dtype=torch.float64)


def rows(n=300, values=VALUES, seed=0):
    """n rows whose covariance, divisor n, has exactly these eigenvalues, in a random basis."""
    g, P = torch.Generator().manual_seed(seed), len(values)
    y = torch.randn(n, P, generator=g, dtype=torch.float64)
    y = y - y.mean(0)
    y = y @ torch.linalg.inv(torch.linalg.cholesky(y.T @ y / n)).T * values.sqrt()
    return y @ torch.linalg.qr(torch.randn(P, P, generator=g, dtype=torch.float64)).Q.T + 3


def ascended(x, latent, variance, steps=60, seed=0, start=0.05):
    """A linear VAE trained by LBFGS on its analytic ELBO from small random weights, sigma held at sqrt(variance)."""
    torch.manual_seed(seed)
    model = linear_vae.build((x.shape[1],), latent, math.sqrt(variance)).double()
    decoder = next(m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        decoder.weight.normal_(0, start)
        decoder.bias.copy_(x.mean(0))
        model.encoder.linear.weight.normal_(0, start)
    objective, batch = linear_vae.AnalyticELBO(), Batch(x)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = objective(model, batch).loss
        value.backward()
        return value

    for _ in range(4):
        optimizer.step(loss)
    return model


def test_eigenvalues_are_those_of_the_covariance_also_through_inner_products():
    x = rows()
    torch.testing.assert_close(eigenvalues(x), VALUES, rtol=1e-9, atol=1e-12)
    wide = torch.randn(30, 5000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = wide - wide.mean(0)
    expected = torch.linalg.svdvals(y).square() / 30
    torch.testing.assert_close(eigenvalues(wide), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variance", [5.0, 3.0, 1.8, 0.8, 0.4, 0.2])
def test_as_many_latents_live_as_the_forecast_says_between_any_two_eigenvalues(variance):
    x = rows()
    f = _forecast(x, gaussian=True)
    model = ascended(x, 5, variance)
    used = usage(model, x)
    assert used.active == f.live(5, variance)
    torch.testing.assert_close(used.kl.sort(descending=True).values, f.kl(5, variance), rtol=1e-3, atol=1e-4)


def test_learned_variance_is_that_of_probabilistic_pca():
    f = _forecast(rows(), gaussian=True)
    for latent in (1, 2, 4):
        assert f.learned_variance(latent) == pytest.approx(VALUES[latent:].mean().item(), rel=1e-9)


def test_what_stands_out_is_the_signal_and_noise_is_its_variance():
    g = torch.Generator().manual_seed(0)
    for n, P, trials in ((200, 5, 200), (50, 10, 200), (1000, 2, 50), (30, 200, 50)):
        alarms = sum(_forecast(torch.randn(n, P, generator=g), gaussian=True).standing_out > 0 for _ in range(trials))
        assert alarms <= 2, (n, P, alarms)
    noise = 0.3 * torch.randn(2000, 40, generator=g)
    signal = torch.randn(2000, 5, generator=g) @ torch.randn(5, 40, generator=g)
    f = _forecast(signal + noise, gaussian=True)
    assert f.standing_out == 5
    assert f.noise == pytest.approx(0.09, rel=0.03)


def test_hessian_signs_by_autograd_agree_at_every_stationary_point():
    """The curvature of log p(x) along u_j in every column, by automatic differentiation, for every subset of eigenvectors."""
    data, x = ppca.spectrum(rows(values=VALUES[:4])), rows(values=VALUES[:4])
    S = torch.cov(x.T, correction=0)
    for variance in (3.0, 1.8, 0.8):
        above = [j for j in range(4) if VALUES[j] > variance]
        subsets = [[j for i, j in enumerate(above) if mask >> i & 1] for mask in range(2 ** len(above))]
        for kept in (K for K in subsets if len(K) <= 2):
            point = ppca.stationary_point(data, kept, 2, variance)

            def log_p(W, variance=variance):
                C = W @ W.T + variance * torch.eye(4, dtype=torch.float64)
                return -0.5 * (torch.logdet(C) + torch.linalg.solve(C, S).trace())

            W = point.model.weight
            for i in range(2):
                for j in range(4):
                    direction = torch.zeros_like(W)
                    direction[:, i] = data.vectors[:, j]
                    second = torch.autograd.functional.hessian(
                        lambda t, d=direction, W=W: log_p(W + t * d), torch.zeros((), dtype=torch.float64)
                    )
                    assert second.item() == pytest.approx(point.curvature[i, j].item(), abs=1e-8)


def test_a_trained_linear_vae_sits_at_the_maximum():
    x = rows()
    found = where_it_sits(ascended(x, 2, 0.8), x)
    assert found.kept == [0, 1]
    assert found.stable
    assert found.missing is None
    assert found.distance < 1e-3


def test_probabilistic_pca_sits_there_too_and_a_collapsed_one_at_a_finite_distance():
    x = rows()
    assert where_it_sits(ppca.as_vae(ppca.closed_form(x, 2), (6,)), x).kept == [0, 1]
    small = linear_vae.build((6,), 2, 3.0).double()
    assert where_it_sits(small, x).distance < 2


def test_one_put_at_a_saddle_is_found_there_with_the_way_up():
    x = rows()
    data = ppca.spectrum(x)
    best, _ = linear_vae.stationary_point(data, [0, 2], 3, 0.8)
    model = linear_vae.write_into(linear_vae.build((6,), 3, math.sqrt(0.8)).double(), best)
    found = where_it_sits(model, x)
    assert (found.kept, found.stable) == ([0, 2], False)
    assert found.distance < 1e-9
    j, curvature = found.missing
    assert j == 1
    assert curvature == pytest.approx((2.5 - 0.8) / 0.8**2, rel=1e-6)  # along u_2, in the column that is free


def test_total_collapse_is_a_maximum_where_sigma_is_too_large_and_a_saddle_else():
    x = rows()
    data = ppca.spectrum(x)
    for variance, stable in ((5.0, True), (3.0, False)):
        point, _ = linear_vae.stationary_point(data, [], 2, variance)
        model = linear_vae.write_into(linear_vae.build((6,), 2, math.sqrt(variance)).double(), point)
        found = where_it_sits(model, x)
        assert (found.kept, found.stable, found.stable_learned) == ([], stable, False)


def test_what_has_no_spectrum_is_said_in_a_sentence():
    holes = rows(20)
    holes[::2, 0] = math.nan
    with pytest.raises(UserError, match="missing values"):
        forecast(from_array(holes.float().numpy()))
    with pytest.raises(UserError, match="no forecast"):
        forecast(from_array(torch.randint(0, 5, (20, 3)).numpy(), kind="categorical"))
    with pytest.raises(UserError, match="linear decoder"):
        where_it_sits(recipes.vae(Spec((6,), "real"), latent=2, hidden=(4,)).model, rows(20))
