"""What the latent space does, against closed forms: collapse curves, the parts of the KL, what the decoder answers."""

import math

import pytest
import torch
from scipy.stats import chi2
from torch import nn

from logpx import exact, likelihoods, posteriors, priors
from logpx.data import from_array
from logpx.errors import UserError
from logpx.evaluate import (
    Resemblance,
    collapse_thresholds,
    collapsed_share,
    decoder_motion,
    decomposition,
    mutual_information,
    resemblance,
    usage,
)
from logpx.model import VAE

LAMBDA = torch.tensor([4.0, 2.0, 1.0, 0.4, 0.2], dtype=torch.float64)  # of the data
S2 = 0.7  # between the third eigenvalue and the fourth: three latents live


def whitened(n, seed=0, values=LAMBDA):
    """n rows (n, P) whose covariance, with divisor n, has exactly these eigenvalues along the axes."""
    y = torch.randn(n, len(values), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    y = y - y.mean(0)
    return y @ torch.linalg.inv(torch.linalg.cholesky(y.T @ y / n)).T * values.sqrt()


def linear(x, latent=4, variance=S2):
    """The linear VAE at its global optimum, in float64."""
    best = exact.linear_vae.global_optimum(x, latent, variance)
    return exact.linear_vae.write_into(
        exact.linear_vae.build((x.shape[1],), latent, math.sqrt(variance)).double(), best
    )


def test_use_of_the_latents_is_the_closed_form_on_the_rows_that_it_was_fitted_to():
    x = whitened(4000)
    used, best = usage(linear(x), x), exact.linear_vae.optimum(LAMBDA, 4, S2)
    n = len(x)
    torch.testing.assert_close(used.variance_of_means * (n - 1) / n, best.spread, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(used.kl, best.kl, rtol=1e-9, atol=1e-12)
    assert used.active == int(best.live.sum()) == 3
    assert used.kl_of_rows.shape == (4000, 4)


def test_the_collapse_curve_is_that_of_the_chi_square_law():
    """KL_i(x) = (d - log d - 1 + (1 - d) chi)/2, chi of one degree of freedom, d = s2/lambda; 0 where nothing lives."""
    x = whitened(40_000)
    kl = usage(linear(x), x, rows=len(x)).kl_of_rows
    d = exact.linear_vae.optimum(LAMBDA, 4, S2).noise
    for delta in (0.01, 0.2):
        expected = 0.5 * (d - d.log() - 1 + (1 - d) * chi2(1).ppf(1 - delta))
        found = collapse_thresholds(kl, delta)
        torch.testing.assert_close(found, expected, rtol=0.06, atol=1e-9)
        eps = torch.tensor([0.0, 1e-6, expected[2] * 0.9, expected[2] * 1.1, expected[0] * 1.1])
        assert collapsed_share(kl, eps, delta).tolist() == [0, 0.25, 0.25, 0.5, 1.0]


def test_collapse_counts_rows_as_its_definition_says():
    kl = torch.tensor([[0.0, 1.0], [0.0, 1.0], [5.0, 1.0], [0.0, 1.0]])
    eps = torch.tensor([0.5, 1.0, 1.5, 6.0])
    assert collapsed_share(kl, eps, 0.25).tolist() == [0.5, 0.5, 1.0, 1.0]  # one row of four may differ
    assert collapsed_share(kl, eps, 0.2).tolist() == [0.0, 0.0, 0.5, 1.0]
    with pytest.raises(UserError, match="share of rows"):
        collapsed_share(kl, eps, 1.0)


def test_the_parts_of_the_kl_are_those_of_the_linear_vae():
    """q(z) is N(0, I) over all x: then the rate is all information, and neither marginal nor correlation is left."""
    x = torch.randn(1500, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * LAMBDA.sqrt()
    model = linear(whitened(1500))
    found, best = decomposition(model, x, rows=1500), exact.linear_vae.optimum(LAMBDA, 4, S2)
    for value, expected in (
        (found.rate, best.kl.sum().item()),
        (found.mutual_information, best.kl.sum().item()),
        (found.marginal_kl, 0.0),
        (found.total_correlation, 0.0),
        (found.dimension_wise, 0.0),
    ):
        assert abs(value[0] - expected) < 4 * value[1] + 0.01, (value, expected)
    assert not found.saturated
    assert found.limit == math.log(1500)


def test_the_parts_of_the_kl_add_up_draw_by_draw():
    x = whitened(200)
    found = decomposition(linear(x), x)
    assert found.rate[0] == pytest.approx(found.mutual_information[0] + found.marginal_kl[0], abs=1e-12)
    assert found.marginal_kl[0] == pytest.approx(found.total_correlation[0] + found.dimension_wise[0], abs=1e-12)
    assert found.mutual_information[0] == pytest.approx(mutual_information(linear(x), x, rows=200), abs=0.2)


class _Aware(nn.Module):
    """Emits mean x and a fixed log variance."""

    def __init__(self, log_variance):
        super().__init__()
        self.log_variance = nn.Parameter(torch.tensor(log_variance))

    def forward(self, x, context=None):
        return torch.cat([x, self.log_variance.expand_as(x)], -1)


def by_hand(log_variance):
    return VAE(
        encoder=_Aware(log_variance),
        posterior=posteriors.DiagNormal(2),
        prior=priors.StandardNormal(2),
        decoder=nn.Sequential(nn.Linear(2, 3), nn.Unflatten(-1, (1, 3))),
        likelihood=likelihoods.Gaussian((3,), 1.0),
    )


def test_information_saturates_at_the_logarithm_of_the_rows_and_says_so():
    found = decomposition(by_hand(-20.0), 10 * torch.randn(64, 2))
    assert found.mutual_information[0] == pytest.approx(math.log(64), abs=1e-6)
    assert found.saturated


def test_total_correlation_is_that_of_a_correlated_normal_law():
    """q(z) = N(0, [[1, r], [r, 1]]): TC = -log(1 - r^2)/2, and no dimension differs from N(0, 1)."""
    r, noise = 0.6, 0.35
    g = torch.Generator().manual_seed(0)
    L = torch.linalg.cholesky(torch.tensor([[1.0, r], [r, 1.0]]) - noise * torch.eye(2))
    x = torch.randn(2000, 2, generator=g) @ L.T
    found = decomposition(by_hand(math.log(noise)), x, rows=2000)
    assert found.total_correlation[0] == pytest.approx(-0.5 * math.log(1 - r**2), abs=0.03)
    assert found.dimension_wise[0] == pytest.approx(0.0, abs=0.02)


def test_a_collapsed_encoder_has_no_information():
    model = by_hand(0.0)
    model.encoder = nn.Linear(2, 4)
    nn.init.zeros_(model.encoder.weight)
    nn.init.zeros_(model.encoder.bias)
    found = decomposition(model, torch.randn(50, 2))
    assert [abs(part[0]) < 1e-6 for part in (found.rate, found.mutual_information)] == [True, True]


def test_a_linear_decoder_moves_by_the_norms_of_its_columns():
    model = by_hand(0.0)
    expected = model.decoder[0].weight.norm(dim=0)
    torch.testing.assert_close(decoder_motion(model, torch.randn(20, 2)), expected.detach(), rtol=1e-5, atol=1e-6)
    model.likelihood.has_mean = False
    assert decoder_motion(model, torch.randn(20, 2)) is None


def test_samples_of_the_true_law_look_like_data_and_those_of_another_do_not():
    x = torch.randn(1500, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * LAMBDA.sqrt()
    model = linear(whitened(1500))
    same = resemblance(model, x[:800], rows=800)
    assert abs(same.z_score) < 4
    assert isinstance(same, Resemblance)
    assert resemblance(model, x[:800] + 20, rows=800).same > 0.99


def test_what_cannot_be_compared_is_said_in_a_sentence():
    x = whitened(20)
    model = linear(x)
    with pytest.raises(UserError, match="at least two"):
        decomposition(model, x[:1])
    with pytest.raises(UserError, match="at least two"):
        resemblance(model, x[:1])
    holes = x.clone()
    holes[0, 0] = math.nan
    with pytest.raises(UserError, match="complete rows"):
        resemblance(model, holes)
    model.prior = None
    with pytest.raises(UserError, match="need a prior"):
        decoder_motion(model, x)
    with pytest.raises(UserError, match="no prior"):
        decomposition(model, x)


def test_rows_prepared_by_a_data_set_are_taken_as_tensors_are():
    data = from_array(whitened(100).float().numpy())
    model = linear(whitened(100)).float()
    assert decomposition(model, data.train, rows=50) == decomposition(model, data.train.x(), rows=50)
