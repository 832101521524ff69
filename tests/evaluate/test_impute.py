"""Imputation: against the conditional Gaussian in closed form, and what it must leave alone."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from logpx import exact, likelihoods, networks, posteriors, priors, recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.evaluate import evidence, impute
from logpx.exact.ppca import PPCA
from logpx.model import VAE, Batch
from logpx.train import fit

SEEN, GONE = [0, 2, 4], [1, 3]


class OfTheObserved(nn.Module):
    """The exact posterior given some of the columns."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.encoder(x[:, SEEN])


def law() -> PPCA:
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    return PPCA(W, torch.linspace(-2, 2, 5, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64))


def with_exact_posterior() -> VAE:
    W, mu, s2 = law()[:3]
    model = exact.ppca.as_vae(law(), (5,)).double()
    model.encoder = OfTheObserved(exact.ppca.as_vae(PPCA(W[SEEN], mu[SEEN], s2), (3,)).encoder).double()
    model.marginal = None
    return model


def rows(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """(x with nan in two columns, E[x_mis | x_obs] (n, 2), Cov[x_mis | x_obs])."""
    W, mu, s2 = law()[:3]
    C = W @ W.T + s2 * torch.eye(5, dtype=torch.float64)
    torch.manual_seed(0)
    x = MultivariateNormal(mu, C).sample((n,))
    gain = torch.linalg.solve(C[SEEN][:, SEEN], C[SEEN][:, GONE]).T
    mean = mu[GONE] + (x[:, SEEN] - mu[SEEN]) @ gain.T
    x[:, GONE] = math.nan
    return x, mean, C[GONE][:, GONE] - gain @ C[SEEN][:, GONE]


def test_the_mean_is_the_conditional_gaussians():
    x, mean, _ = rows(20)
    W, _, s2 = law()[:3]
    k = 20_000
    posterior = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + W[SEEN].T @ W[SEEN] / s2)
    error = (W[GONE] @ posterior @ W[GONE].T).diagonal().div(k).sqrt()  # E[x|z] has this spread over the posterior
    made = impute(with_exact_posterior(), x, samples=k)
    assert float(((made[:, GONE] - mean) / error).abs().max()) < 4.5
    assert float(((made[:, GONE] - mean) / error).square().mean()) > 0.3  # the error is Monte-Carlo's, not larger bars


def test_a_poor_proposal_is_corrected_by_the_weights():
    """q(z|x) = N(0, 1.5^2 I), whatever x is: without weights every hole would get the column's mean."""
    x, mean, _ = rows(6)
    model = exact.ppca.as_vae(law(), (5,)).double()
    encoder = networks.MLP((5,), (), (4,)).double()
    model.encoder, model.posterior = encoder, posteriors.DiagNormal(2)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    runs = torch.stack([impute(model, x, samples=4000, seed=seed)[:, GONE] for seed in range(24)])
    error = runs.std(0) / math.sqrt(len(runs))
    assert float(((runs.mean(0) - mean) / error).abs().max()) < 5
    assert float((law().mean[GONE] - mean).abs().max()) > 0.5


def test_draws_have_the_conditional_law():
    x, mean, covariance = rows(4000)
    made = impute(with_exact_posterior(), x, samples=5, draw=True)[:, GONE] - mean
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), made.T, upper=False).T
    n = len(x)
    assert float(whitened.mean(0).abs().max()) < 4 / math.sqrt(n)
    assert float((whitened.T @ whitened / n - torch.eye(2)).abs().max()) < 4 * math.sqrt(2 / n)


def test_the_evidence_is_that_of_the_observed_columns():
    x, _, _ = rows(50)
    W, mu, s2 = law()[:3]
    C = W @ W.T + s2 * torch.eye(5, dtype=torch.float64)
    truth = MultivariateNormal(mu[SEEN], C[SEEN][:, SEEN]).log_prob(x[:, SEEN])
    found = evidence(with_exact_posterior(), x, samples=7)
    torch.testing.assert_close(found.per_point, truth, rtol=0, atol=1e-9)
    assert float(found.ess.min()) == pytest.approx(7)  # with the exact posterior every weight is the same


def test_what_was_observed_stays_and_neither_memory_nor_other_rows_matter():
    model = exact.ppca.as_vae(law(), (5,)).double()
    x = rows(300)[0]
    x[::3, 1] = 1.25  # holes that differ from row to row
    x[5] = torch.arange(5.0)  # nothing missing
    made = impute(model, x, samples=50)
    assert torch.equal(made.where(x.isnan(), torch.nan).nan_to_num(), made.where(x.isnan(), 0))
    assert torch.equal(made[~x.isnan()], x[~x.isnan()])
    assert not bool(made.isnan().any())
    torch.testing.assert_close(impute(model, x, samples=50, memory=1), made)
    torch.testing.assert_close(impute(model, x[:7], samples=50), made[:7])
    assert not torch.equal(impute(model, x, samples=50, seed=1), made)
    batch = Batch.of(x)
    assert torch.equal(impute(model, batch, samples=50), made)


def test_a_category_is_the_most_probable_one():
    """Two columns that always agree: the hole is the other's category, by vote of p(x|z) and not by a mean of codes."""
    code = np.random.RandomState(0).randint(3, size=600) * 1.0
    x = np.stack([code, code, np.random.RandomState(1).randn(600)], 1)
    kinds = {"column 0": "categorical", "column 1": "categorical"}
    data = from_array(x, columns=kinds, held_out=0, test=0)
    run = fit(recipes.vae(data, latent=2, hidden=(32,)), data, epochs=40, learning_rate=0.01, show=False)
    holes = x.copy()
    holes[:, 1] = np.nan
    split = from_array(np.concatenate([x, holes]), columns=kinds, held_out=0, test=0).train
    made = impute(run.model, split, samples=100)[600:]
    assert (made[:, 1] == torch.from_numpy(code)).double().mean() > 0.95
    assert set(impute(run.model, split, samples=100, draw=True)[600:, 1].unique().tolist()) <= {0.0, 1.0, 2.0}


def test_refusals():
    x = rows(10)[0]
    model = with_exact_posterior()
    with pytest.raises(UserError, match="nothing to impute: no value is missing"):
        impute(model, torch.zeros(4, 5, dtype=torch.float64))
    for samples in (0, math.nan, 2.5):
        with pytest.raises(UserError, match=f"samples is {samples}"):
            impute(model, x, samples=samples)
    for levels in ([3, None], [None] * 6, []):
        with pytest.raises(UserError, match=f"levels has {len(levels)} numbers for 5 elements"):
            impute(model, x, levels=levels)
    grey = VAE(
        encoder=networks.MLP((5,), (), (4,)),
        posterior=posteriors.DiagNormal(2),
        prior=priors.StandardNormal(2),
        decoder=networks.MLP((2,), (), (1, 5)),
        likelihood=likelihoods.Grey((5,)),
    )
    with pytest.raises(UserError, match="grey score is no density"):
        impute(grey, torch.tensor([[0.1, math.nan, 0.2, 0.3, 0.4]]))
    grey.prior = None
    with pytest.raises(UserError, match="no density over z"):
        impute(grey, x)
