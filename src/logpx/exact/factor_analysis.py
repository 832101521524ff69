"""Factor analysis (floor 6): x = W z + mu + e, z ~ N(0, I), e ~ N(0, diag psi), so x ~ N(mu, W W^T + diag psi).

Rubin & Thayer 1982, Psychometrika 47, 69-76; Bishop 2006, section 12.2.4. In the units x_j / sqrt(psi_j) it is
probabilistic PCA with s2 = 1, so its law and its posterior are that model's. Where psi is one number it is pPCA; unlike
pPCA it does not care about the units of the columns, and its maximum has no closed form.

P data dimensions, D latents, n points; S is the covariance with divisor n. W is identified up to a rotation R of its
columns.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, constraints

from logpx.errors import UserError
from logpx.exact import linear_gaussian, ppca
from logpx.exact.ppca import PPCA
from logpx.model import VAE
from logpx.networks import MLP, Shape
from logpx.objectives.base import whole
from logpx.posteriors import FullNormal
from logpx.priors import StandardNormal

#: psi_j stays above this share of the column's variance. In a Heywood case the likelihood keeps rising as psi_j -> 0
#: and is finite in the limit, which the floor misses by a number of nats of its own order.
FLOOR = 1e-6


class FactorAnalysis(NamedTuple):
    """p(x) = N(x; mu, W W^T + diag psi): the numbers of the model, float64 where fitted here; x (n, P) or (n, *shape)."""

    weight: Tensor  # W (P, D)
    mean: Tensor  # mu (P,)
    variance: Tensor  # psi (P,)

    def double(self) -> "FactorAnalysis":
        """The same numbers in float64."""
        return FactorAnalysis(*(number.double() for number in self))

    @property
    def whitened(self) -> PPCA:
        """The law of y = (x - mu) / sqrt(psi): pPCA with W / sqrt(psi), mean 0 and s2 = 1."""
        W, mu, psi = self
        return PPCA(W / psi.sqrt()[:, None], torch.zeros_like(mu), torch.ones_like(mu[0]))

    def whiten(self, x: Tensor) -> Tensor:
        """y = (x - mu) / sqrt(psi), (n, P)."""
        return ppca.centred(x, self.mean) / self.variance.sqrt()

    def log_evidence(self, x: Tensor) -> Tensor:
        """log N(x; mu, W W^T + diag psi), (n,), in nats per data point: that of y less 1/2 sum_j log psi_j."""
        return self.whitened.log_evidence(self.whiten(x)) - 0.5 * self.variance.log().sum()

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z | x) = N(M^-1 W^T Psi^-1 (x - mu), M^-1), M = I + W^T Psi^-1 W; batch (n,), event (D,)."""
        return self.whitened.posterior(self.whiten(x))

    def log_det(self) -> Tensor:
        """log|W W^T + diag psi|, a scalar."""
        return self.whitened.log_det() + self.variance.log().sum()


# --- expectation maximisation ---------------------------------------------------------------------


def em(
    x: Tensor, latent: int, iterations: int = 1000, tolerance: float = 1e-9, seed: int = 0
) -> Iterator[tuple[FactorAnalysis, float]]:
    """The model and its mean evidence (nats per point) after each iteration of EM; the evidence never falls.

    With B = Psi^-1 W M^-1: W' = S B (M^-1 + B^T S B)^-1 and psi' = diag(S - W' B^T S), held above FLOOR diag S
    (Rubin & Thayer 1982). It starts from a random W and psi = diag S, so a column's unit changes nothing but its own
    numbers. Stops after `iterations`, or when one gains less than `tolerance` nats; columns that determine each other
    exactly let log p(x) rise without end. Raises UserError on nan, on a constant column and on a latent that the data
    cannot fill.
    """
    y, mean = ppca.checked_rows(x)
    n, P = y.shape
    ppca.check_latent(latent, P - 1)
    whole("latent", latent)
    constant = (y == y[0]).all(0)
    if bool(constant.any()):
        raise UserError(_constant(constant.nonzero().flatten().tolist()))
    if latent >= n - 1:
        raise UserError(ppca.too_few(latent, n - 1))
    spread = y.square().mean(0)  # diag S
    W = torch.randn(P, latent, dtype=y.dtype, generator=torch.Generator().manual_seed(seed))
    start = FactorAnalysis(W.to(y.device) * spread.sqrt()[:, None], mean, spread)
    return ppca.while_rising(_em(y, start, spread), iterations, tolerance)


def _constant(columns: list[int]) -> str:
    """The sentence about columns (counted from 0) that never change."""
    listed = ", ".join(map(str, columns[:20])) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
    if len(columns) == 1:
        return f"Column {listed} is constant, so its noise would be 0 and log p(x) infinite: drop it."
    return f"Columns {listed} are constant, so their noise would be 0 and log p(x) infinite: drop them."


def _em(y: Tensor, model: FactorAnalysis, spread: Tensor) -> Iterator[tuple[FactorAnalysis, float]]:
    while True:
        model = _em_step(model, y, spread)
        yield model, model._replace(mean=torch.zeros_like(model.mean)).log_evidence(y).mean().item()


def _em_step(model: FactorAnalysis, y: Tensor, spread: Tensor) -> FactorAnalysis:
    _, mean, psi = model
    W = model.whitened.weight
    covariance = torch.cholesky_inverse(torch.linalg.cholesky(ppca.inner(W, 1.0)))  # M^-1, of p(z|x)
    B = W @ covariance / psi.sqrt()[:, None]  # E[z|x] = B^T (x - mu)
    SB = y.T @ (y @ B) / len(y)
    W_next = torch.linalg.solve(covariance + B.T @ SB, SB, left=False)
    psi_next = spread - (W_next * SB).sum(1)
    return FactorAnalysis(W_next, mean, torch.maximum(psi_next, FLOOR * spread))


# --- as a VAE -------------------------------------------------------------------------------------


class ColumnGaussian(nn.Module):
    """log p(x|z) = -1/2 sum_j [ (x_j - m_j)^2 / psi_j + log 2 pi psi_j ], one learned psi_j for each element of x.

    m is the decoder's output; unlike likelihoods.Gaussian's "pixel", psi does not depend on z.
    """

    support = constraints.real
    size = 1

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.log_sigma = nn.Parameter(torch.zeros(shape))

    def forward(self, h: Tensor) -> Distribution:
        (m,) = h.unbind(-1 - len(self.shape))
        return Independent(Normal(m, self.log_sigma.exp(), validate_args=False), len(self.shape), validate_args=False)


def read(decoder: nn.Module, likelihood: nn.Module) -> FactorAnalysis:
    """W, mu and psi of a linear decoder and a ColumnGaussian, in their dtype, with their gradients; UserError for others."""
    linear = linear_gaussian.linear_layer(linear_gaussian.linear_decoder(decoder))
    if not isinstance(likelihood, ColumnGaussian):
        raise UserError("Factor analysis has one noise for each column: build it with exact.factor_analysis.build.")
    return FactorAnalysis(linear.weight, linear.bias, (2 * likelihood.log_sigma).exp().flatten())


def build(shape: Shape, latent: int) -> VAE:
    """Factor analysis as an ordinary VAE with its exact posterior and its exact marginal: every bound on it is tight."""
    decoder, likelihood = MLP((latent,), (), (1, *shape)), ColumnGaussian(shape)
    return VAE(
        encoder=linear_gaussian.ExactEncoder(decoder, likelihood, read),
        posterior=FullNormal(latent),
        prior=StandardNormal(latent),
        decoder=decoder,
        likelihood=likelihood,
        marginal=linear_gaussian.LinearGaussianMarginal(decoder, likelihood, read),
    )


def as_vae(model: FactorAnalysis, shape: Shape) -> VAE:
    """The same model as a VAE for data of this shape, in the dtype and on the device of the numbers (float64)."""
    vae = build(shape, model.weight.shape[1]).to(model.weight.device, model.weight.dtype)
    return write_into(vae, model)


@torch.no_grad()
def write_into(vae: VAE, model: FactorAnalysis) -> VAE:
    """Fills a VAE from `build` with these numbers, in place; returns it. Raises UserError for another VAE or size."""
    read(vae.decoder, vae.likelihood)  # refuses any other model
    decoder: MLP = vae.decoder  # type: ignore[assignment]
    likelihood: ColumnGaussian = vae.likelihood  # type: ignore[assignment]
    linear_gaussian.check_size(decoder, model)
    linear_gaussian.copy_into(decoder, model)
    likelihood.log_sigma.copy_(0.5 * model.variance.log().reshape(likelihood.shape))
    return vae
