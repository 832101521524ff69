"""Rate and distortion: their sum is minus the ELBO, and both are what a linear model knows in closed form."""

import math

import pytest
import torch

from logpx import recipes
from logpx.errors import UserError
from logpx.evaluate import expected_terms, rate_distortion
from logpx.model import Batch


def rows(n: int = 400) -> torch.Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(3)).double()


def test_of_a_linear_model_in_closed_form() -> None:
    """q = N(m, s^2 I), p(x|z) = N(W z + b, sigma^2 I): R is torch's formula by hand, E D the expected square by hand."""
    model = recipes.vae(rows(), latent=2, hidden=(), sigma=0.7).model.double()
    x = rows(4000)
    with torch.no_grad():
        mu, log_variance = model.encoder(x).chunk(2, -1)
        layer = model.decoder.net[0]
        W, b = layer.weight, layer.bias
        rate = 0.5 * (mu.square() + log_variance.exp() - 1 - log_variance).sum(1)
        spread = (log_variance.exp() * W.square().sum(0)).sum(1)
        square = (x - mu @ W.T - b).square().sum(1) + spread
        distortion = square / (2 * 0.49) + 4 * math.log(0.7 * math.sqrt(2 * math.pi))
    found = rate_distortion(model, x)
    torch.testing.assert_close(found.rate.per_point, rate)
    apart = found.distortion.per_point - distortion  # of one draw: zero on average
    assert abs(apart.mean()) < 4 * apart.std() / math.sqrt(len(x))
    assert found.rate.standard_error == pytest.approx(rate.std().item() / math.sqrt(len(x)))


@pytest.mark.parametrize("recipe", ["vae", "mixture_vae"])  # with a closed KL, and without
def test_their_sum_is_minus_the_elbo_of_the_objective(recipe: str) -> None:
    method = getattr(recipes, recipe)(rows(), latent=2, hidden=(8,))
    method.model.double()
    method.objective(method.model, Batch(rows()))
    rate, distortion = rate_distortion(method.model, rows(), batch_size=100)
    terms = expected_terms(method.objective, method.model, rows(), batch_size=100)
    assert -(rate.mean + distortion.mean) == pytest.approx(terms["elbo"], rel=1e-12)
    assert (rate.mean, distortion.mean) == pytest.approx((terms["kl"], terms["reconstruction"]), rel=1e-12)


def test_without_a_kl_or_rows_there_is_neither() -> None:
    with pytest.raises(UserError, match="lacks one"):
        rate_distortion(recipes.ae(rows(), latent=2, hidden=(8,)).model, rows())
    with pytest.raises(UserError, match="no rows"):
        rate_distortion(recipes.vae(rows(), latent=2, hidden=(8,)).model, rows(0))
