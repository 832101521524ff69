"""The linear VAE (floor 6): p(x|z) = N(W z + mu, s2 I), q(z|x) = N(V (x - mu), diag d), all in closed form.

Lucas, Tucker, Grosse & Norouzi 2019, arXiv:1911.02469. Its evidence is that of probabilistic PCA, and so is its
maximum; unlike pPCA its axes are identified, and a latent is alive exactly where the data's eigenvalue lambda_i
exceeds s2: posterior collapse, with nothing hidden. For a beta-VAE read theta = beta s2 wherever s2 decides who
lives.

P data dimensions, D latents, n points; nats per data point. A spectrum is that of the covariance with divisor n.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from logpx.errors import UserError
from logpx.exact import linear_gaussian, ppca
from logpx.exact.ppca import PPCA, Sigma, Spectrum, StationaryPoint
from logpx.maths import LOG_2PI
from logpx.model import VAE, Batch, Draw
from logpx.networks import MLP, Shape, flat
from logpx.objectives import Objective, Scalar, Step, Terms, Weight, bound_terms, finished
from logpx.posteriors import DiagNormal


class LinearVAE(NamedTuple):
    """The numbers of a linear VAE; x is (n, P) or (n, *shape)."""

    weight: Tensor  # W (P, D)
    mean: Tensor  # mu (P,), of decoder and encoder
    variance: Tensor  # s2, a scalar
    encoder: Tensor  # V (D, P)
    noise: Tensor  # d (D,), the variances of q

    @property
    def ppca(self) -> PPCA:
        """The decoder alone, whose law of x is known."""
        return PPCA(self.weight, self.mean, self.variance)

    def code(self, x: Tensor) -> Tensor:
        """m = V (x - mu), the mean of q, (n, D)."""
        return ppca.centred(x, self.mean) @ self.encoder.T

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """-E_q log p(x|z) and KL(q(z|x) || p(z)), (n,) each.

        E_q |x - mu - W z|^2 = |x - mu - W m|^2 + sum_i d_i |w_i|^2 is a sum of squares: float32 holds it.
        """
        W, mu, s2, _, d = self
        m = self.code(x)
        misfit = (ppca.centred(x, mu) - m @ W.T).square().sum(1) + (d * W.square().sum(0)).sum()
        reconstruction = 0.5 * (misfit / s2 + len(mu) * (LOG_2PI + s2.log()))
        return reconstruction, 0.5 * (m.square() + d - d.log() - 1).sum(1)

    def elbo(self, x: Tensor) -> Tensor:
        """E_q log p(x|z) - KL(q(z|x) || p(z)), (n,), at beta = 1."""
        reconstruction, kl = self.parts(x)
        return -(reconstruction + kl)


def best_encoder(model: PPCA, beta: float = 1.0) -> LinearVAE:
    """The optimum over q given W: V = M^-1 W^T, d_i = theta / M_ii, with M = W^T W + theta I and theta = beta s2."""
    W, mu, s2 = model
    M = ppca.inner(W, beta * s2)
    return LinearVAE(W, mu, s2, torch.linalg.solve(M, W.T), beta * s2 / M.diagonal())


def gap(model: PPCA) -> Tensor:
    """log p(x) - ELBO at the best q: 1/2 [sum_i log(M_ii / s2) - log|M / s2|], the same number for every x.

    Zero iff the columns of W are orthogonal, for only then is the exact posterior diagonal.
    """
    M = ppca.inner(model.weight, model.variance) / model.variance
    return 0.5 * (M.diagonal().log().sum() - torch.linalg.slogdet(M).logabsdet)


# --- the global optimum ---------------------------------------------------------------------------


class Optimum(NamedTuple):
    """What each latent does at the global optimum, lambda descending; everything but the scalars is (D,)."""

    variance: Tensor  # s2, given or learned
    live: Tensor  # lambda_i > theta
    kl: Tensor  # E_x KL_i = I(x; z_i) = 1/2 log+(lambda_i / theta)
    noise: Tensor  # d_i = theta / lambda_i, or 1
    spread: Tensor  # Var_x of the mean of q(z_i | x) = 1 - theta / lambda_i, or 0
    distortion: Tensor  # E |x - mu - W z|^2 along u_i = min(theta, lambda_i)
    elbo: Tensor  # its mean at beta = 1, a scalar


def optimum(values: Tensor | Sequence[float], latent: int, variance: float | None = None, beta: float = 1.0) -> Optimum:
    """The global optimum of E log p(x|z) - beta KL on data with these eigenvalues, s2 learned unless given.

    Reverse water-filling at the level theta = beta s2. At beta = 1 the elbo is the evidence, `ppca.maximum`. Raises
    UserError as `ppca.maximum` does, and for a beta that is not positive.
    """
    values = ppca.descending(values)
    s2 = _variance(values, latent, variance, beta)
    top, theta = values[:latent], beta * s2
    excess = torch.maximum(top, theta) / theta  # lambda_i / theta, or 1
    distortion, kl = torch.minimum(top, theta), 0.5 * excess.log()
    missed = distortion.sum() + values[latent:].sum()
    elbo = -0.5 * (len(values) * (LOG_2PI + s2.log()) + missed / s2) - kl.sum()
    return Optimum(s2, top > theta, kl, 1 / excess, 1 - 1 / excess, distortion, elbo)


def global_optimum(x: Tensor, latent: int, variance: float | None = None, beta: float = 1.0) -> LinearVAE:
    """W = U_D (Lambda_D - theta)_+^{1/2} with its best encoder: unique up to order and sign of the latents.

    x (n, *shape). Raises UserError as `ppca.closed_form` does.
    """
    values, U, mean = ppca.spectrum(x)
    s2 = _variance(values, latent, variance, beta)
    W = U[:, :latent] * (values[:latent] - beta * s2).clamp_min(0).sqrt()
    return best_encoder(PPCA(W, mean, s2), beta)


def _variance(values: Tensor, latent: int, variance: float | None, beta: float) -> Tensor:
    """s2 as given, or the root of P s2 = sum_{i<=D} min(beta s2, lambda_i) + sum_{j>D} lambda_j.

    That is s2 = E |x - mu - W z|^2 / P at the optimum: with a latents alive, s2 = sum_{j>a} lambda_j / (P - beta a).
    P s2 minus the right side is convex in s2 and negative at 0, so exactly one a is consistent.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise UserError(f"beta is {beta}: give a positive number.")
    s2 = ppca.fitted_variance(values, latent, variance)
    if variance is not None or beta == 1:
        return s2
    P = len(values)
    for a in range(min(latent, math.ceil(P / beta) - 1), 0, -1):
        s2 = values[a:].sum() / (P - beta * a)
        if values[a - 1] > beta * s2 and (a == latent or values[a] <= beta * s2):
            return s2
    return values.mean()


def water_level(values: Tensor | Sequence[float], rate: float) -> Tensor:
    """theta with sum_i 1/2 log+(lambda_i / theta) = rate, in nats: the level a constrained beta-VAE must find.

    The left side is the largest of the lines 1/2 sum_{i<=k} log(lambda_i / theta) in log theta, so theta is the
    largest of their roots, exp((sum_{i<=k} log lambda_i - 2 rate) / k). Raises UserError for a rate that is not
    positive.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise UserError(f"The rate is {rate}: give a positive number of nats.")
    values = ppca.descending(values)
    k = torch.arange(1, len(values) + 1, dtype=values.dtype, device=values.device)
    return ((values.log().cumsum(0) - 2 * rate) / k).max().exp()


# --- stationary points ----------------------------------------------------------------------------


def stationary_point(
    data: Spectrum, kept: Sequence[int], latent: int, variance: float | None = None
) -> tuple[LinearVAE, StationaryPoint]:
    """The same as pPCA's, with its best encoder: there the bound is tight, and it is stable exactly where pPCA is.

    The ELBO adds no local maximum of its own (Lucas et al. 2019): it only removes the rotations of the columns of W.
    Raises UserError as `ppca.stationary_point` does.
    """
    point = ppca.stationary_point(data, kept, latent, variance)
    return best_encoder(point.model), point


def collapse_hessian(eigenvalue: float, variance: float, beta: float = 1.0) -> Tensor:
    """Hessian of the mean objective at total collapse W = V = 0, d = 1, in (w, v) of one latent along u_i, (2, 2).

    -[[1/s2, -lambda/s2], [-lambda/s2, beta lambda]]: it has a direction upward iff lambda > beta s2, so a collapsed
    model is a saddle until s2 (or beta) is so large that nothing is worth encoding.
    """
    lam, s2 = eigenvalue, variance
    return -torch.tensor([[1 / s2, -lam / s2], [-lam / s2, beta * lam]], dtype=torch.float64)


# --- as a VAE -------------------------------------------------------------------------------------


class LinearEncoder(nn.Module):
    """x (..., *shape) -> (V (x - mu), log d), the numbers of posteriors.DiagNormal; log d is free of x.

    mu is the bias of the linear decoder, as in the paper: once it has found the data's mean, V learns from centred
    data. It stays the decoder's parameter.
    """

    def __init__(self, decoder: MLP, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self._decoder = (linear_gaussian.linear_layer(decoder),)  # a tuple, so that it is not registered twice
        latent = math.prod(decoder.inputs)
        self.linear = nn.Linear(math.prod(shape), latent, bias=False)
        self.log_variance = nn.Parameter(torch.zeros(latent))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        m = self.linear(flat(x, self.shape, None) - self._decoder[0].bias)
        return torch.cat([m, self.log_variance.expand_as(m)], -1)


def build(shape: Shape, latent: int, sigma: Sigma = "shared") -> VAE:
    """A linear VAE as an ordinary VAE, for any objective, with its exact evidence; sigma as in Gaussian."""
    vae = ppca.build(shape, latent, sigma)
    vae.encoder, vae.posterior = LinearEncoder(vae.decoder, shape), DiagNormal(latent)  # type: ignore[arg-type]
    return vae


def read(vae: VAE) -> LinearVAE:
    """The numbers of a VAE from `build`, in its dtype, with gradients. Raises UserError for another model."""
    e = vae.encoder
    if not (isinstance(e, LinearEncoder) and isinstance(vae.posterior, DiagNormal)):
        raise UserError("The analytic ELBO is that of a linear VAE: build it with exact.linear_vae.build.")
    W, mu, s2 = ppca.read(vae.decoder, vae.likelihood)
    return LinearVAE(W, mu, s2, e.linear.weight, e.log_variance.exp())


@torch.no_grad()
def write_into(vae: VAE, model: LinearVAE) -> VAE:
    """Fills a VAE from `build` with these numbers; returns it. Raises UserError as `ppca.write_into` does."""
    read(vae)  # refuses any other model
    ppca.write_into(vae, model.ppca)
    e: LinearEncoder = vae.encoder  # type: ignore[assignment]
    e.linear.weight.copy_(model.encoder)
    e.log_variance.copy_(model.noise.log())
    return vae


class AnalyticELBO(Objective):
    """-(E_q log p(x|z) - beta KL(q(z|x) || p(z))) of a linear VAE with both terms in closed form: no sample is drawn.

    For models from `build` only. It stands alone: in a sum there would be a draw, of which it makes no use.
    """

    def __init__(self, beta: Scalar = 1.0) -> None:
        super().__init__()
        self.beta = Weight(beta)

    def forward(self, model: VAE, batch: Batch) -> Step:
        if batch.observed is not None:
            raise UserError("The analytic ELBO needs complete rows: it has no place for a mask of observed values.")
        reconstruction, kl = (part.mean() for part in read(model).parts(batch.x))
        return finished(reconstruction + self.beta() * kl, bound_terms(reconstruction, kl))

    def how_kl(self, model: VAE) -> str:
        return "closed form"

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        raise UserError("AnalyticELBO needs the model's weights and no draw: use it alone, not in a sum.")
