"""Mutual information: its two ends, the closed form of a linear VAE in between, and what it leaves alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from logpx import exact, likelihoods, posteriors, priors
from logpx.errors import UserError
from logpx.evaluate import mutual_information
from logpx.model import VAE


class Fixed(nn.Module):
    """The mean of q(z|x) is `scale` x, its log-variance the same everywhere."""

    def __init__(self, scale: float, log_variance: float) -> None:
        super().__init__()
        self.scale, self.log_variance = nn.Parameter(torch.tensor(scale)), log_variance

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.scale * x, torch.full_like(x, self.log_variance)], -1)


def model_of(encoder: nn.Module, D: int) -> VAE:
    parts = {"posterior": posteriors.DiagNormal(D), "prior": priors.StandardNormal(D)}
    decoder = nn.Sequential(nn.Linear(D, D), nn.Unflatten(-1, (1, D)))
    return VAE(encoder=encoder, decoder=decoder, likelihood=likelihoods.Gaussian((D,), 1.0), **parts).double()


@pytest.mark.parametrize("n", [2, 50, 400])
def test_codes_far_apart_reach_log_n_and_no_more(n: int) -> None:
    x = torch.arange(n, dtype=torch.float64)[:, None] * 10
    found = mutual_information(model_of(Fixed(1.0, -6.0), 1), x)
    assert found == pytest.approx(math.log(n), abs=1e-9)


def test_a_collapsed_encoder_has_none() -> None:
    assert mutual_information(model_of(Fixed(0.0, 0.3), 3), torch.randn(200, 3).double()) == pytest.approx(0, abs=1e-12)


def test_only_the_first_rows_count() -> None:
    x = torch.arange(400, dtype=torch.float64)[:, None] * 10
    found = mutual_information(model_of(Fixed(1.0, -6.0), 1), x, rows=30)
    assert found == pytest.approx(math.log(30), abs=1e-9)


def test_a_linear_vae_at_its_optimum_has_half_the_sum_of_log_lambda_over_s2() -> None:
    """1/2 (log 4 + log 2) = 1.04 nats, far below log 4000: the aggregate posterior is the prior."""
    g = torch.Generator().manual_seed(0)
    y = torch.randn(4000, 3, dtype=torch.float64, generator=g)
    y = y - y.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(y.T @ y / len(y)), y.T, upper=False).T
    x = white * torch.tensor([4.0, 2.0, 0.5], dtype=torch.float64).sqrt()
    vae = exact.linear_vae.build((3,), 2, 1.0).double()
    exact.linear_vae.write_into(vae, exact.linear_vae.global_optimum(x, 2, variance=1.0))
    found = [mutual_information(vae, x, rows=4000, seed=s) for s in range(4)]
    expected = 0.5 * math.log(4.0 * 2.0)
    assert sum(found) / 4 == pytest.approx(expected, abs=0.03)


def test_it_is_seeded_and_leaves_the_random_state_alone() -> None:
    model, x = model_of(Fixed(1.0, 0.0), 2), torch.randn(100, 2).double()
    before = torch.get_rng_state()
    a, b, c = (mutual_information(model, x, seed=s) for s in (0, 0, 1))
    assert a == b != c
    assert torch.equal(before, torch.get_rng_state())


def test_one_row_is_refused() -> None:
    with pytest.raises(UserError, match="at least two"):
        mutual_information(model_of(Fixed(1.0, 0.0), 1), torch.zeros(1, 1))
