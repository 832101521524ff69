"""Probabilistic PCA (floor 6): x = W z + mu + e, z ~ N(0, I), e ~ N(0, s2 I), so x ~ N(mu, C) with C = W W^T + s2 I.

Tipping & Bishop 1999, J. R. Statist. Soc. B 61, 611-622. Here are its law, its posterior, its maximum in closed form
and by EM, its other stationary points, and itself as an ordinary VAE.

P data dimensions, D latents, n points; C = W W^T + s2 I (P, P), M = W^T W + s2 I (D, D). S is the covariance of the
data with divisor n, as maximum likelihood has it (with divisor n - 1 the maximum is off by (P/2) log(n/(n-1)) nats);
lambda_1 >= lambda_2 >= ... are its eigenvalues, u_1, u_2, ... its eigenvectors.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from logpx.errors import UserError
from logpx.exact.linear_gaussian import (
    ExactEncoder,
    LinearGaussianMarginal,
    check_size,
    copy_into,
    linear_decoder,
    linear_layer,
)
from logpx.likelihoods import Gaussian
from logpx.maths import LOG_2PI
from logpx.model import VAE
from logpx.networks import MLP, Shape
from logpx.posteriors import FullNormal
from logpx.priors import StandardNormal

Sigma = float | Literal["shared", "optimal"]
T = TypeVar("T")


class PPCA(NamedTuple):
    """p(x) = N(x; mu, W W^T + s2 I): the numbers of the model, float64 where fitted here. x is (n, P) or (n, *shape)."""

    weight: Tensor  # W (P, D)
    mean: Tensor  # mu (P,)
    variance: Tensor  # s2, a scalar

    def double(self) -> "PPCA":
        """The same numbers in float64."""
        return PPCA(*(number.double() for number in self))

    def log_evidence(self, x: Tensor) -> Tensor:
        """log N(x; mu, C), (n,), in nats per data point, through the (D, D) matrix M only (Woodbury).

        y^T C^-1 y = |y - W m|^2 / s2 + |m|^2 at the posterior mean m: a sum of squares, where the usual difference
        (|y|^2 - y^T W M^-1 W^T y) / s2 cancels when s2 is small.
        """
        W, mu, s2 = self
        m = self.posterior_mean(x)
        residual = centred(x, mu) - m @ W.T
        distance = residual.square().sum(1) / s2 + m.square().sum(1)
        return -0.5 * (len(mu) * LOG_2PI + self.log_det() + distance)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z | x) = N(M^-1 W^T (x - mu), s2 M^-1), batch (n,), event (D,)."""
        L = torch.linalg.cholesky(self.variance * torch.cholesky_inverse(self._factor()))
        return MultivariateNormal(self.posterior_mean(x), scale_tril=L, validate_args=False)

    def posterior_mean(self, x: Tensor) -> Tensor:
        """M^-1 W^T (x - mu), (n, D)."""
        W, mu, _ = self
        return torch.cholesky_solve((centred(x, mu) @ W).T, self._factor()).T

    def log_det(self) -> Tensor:
        """log|C| = (P - D) log s2 + log|M|, a scalar."""
        P, D = self.weight.shape
        return (P - D) * self.variance.log() + 2 * self._factor().diagonal().log().sum()

    def _factor(self) -> Tensor:
        """R, lower triangular, with R R^T = M."""
        return torch.linalg.cholesky(inner(self.weight, self.variance))


def inner(W: Tensor, s2: Tensor | float) -> Tensor:
    """M = W^T W + s2 I, (D, D)."""
    return W.T @ W + s2 * torch.eye(W.shape[1], dtype=W.dtype, device=W.device)


def centred(x: Tensor, mu: Tensor) -> Tensor:
    """x - mu, (n, P), for x (n, *shape), in the dtype of mu."""
    return x.flatten(1).to(mu.dtype) - mu


# --- maximum likelihood ---------------------------------------------------------------------------


class Spectrum(NamedTuple):
    """S = U diag(lambda) U^T, lambda descending, and the mean of the data."""

    values: Tensor  # lambda (P,)
    vectors: Tensor  # U (P, P), u_j in column j; the largest entry of each is positive
    mean: Tensor  # mu (P,)


def spectrum(x: Tensor) -> Spectrum:
    """Eigenvalues and eigenvectors of the data's covariance, divisor n; x (n, *shape). Raises UserError on nan or inf."""
    y, mean = checked_rows(x)
    values, U = torch.linalg.eigh(y.T @ y / len(y))
    values, U = values.flip(0).clamp_min(0), U.flip(1)
    return Spectrum(values, U * U.gather(0, U.abs().argmax(0, keepdim=True)).sign(), mean)


def closed_form(x: Tensor, latent: int, variance: float | None = None) -> PPCA:
    """W = U_D (Lambda_D - s2 I)^{1/2} R with R = I, and s2 = 1/(P - D) sum_{j > D} lambda_j (Tipping & Bishop 1999).

    x (n, *shape). Where `variance` holds s2 fixed, the columns with lambda_i <= s2 are zero. Raises UserError on nan,
    on a latent outside 1..P-1, and where the discarded directions have no variance left for s2.
    """
    values, U, mean = spectrum(x)
    s2 = fitted_variance(values, latent, variance)
    return PPCA(U[:, :latent] * (values[:latent] - s2).clamp_min(0).sqrt(), mean, s2)


def maximum(values: Tensor | Sequence[float], latent: int, variance: float | None = None) -> Tensor:
    """The largest mean log-likelihood that D latents reach on data with eigenvalues lambda, nats per data point.

    -1/2 [P log 2pi + sum_{i <= D} log lambda_i + (P - D) log s2 + P] with s2 learned; where `variance` holds it fixed
    only the `lambda_i > s2` are fitted, and the others cost lambda_j / s2 instead of 1.
    """
    values = descending(values)
    s2 = fitted_variance(values, latent, variance)
    return _mean_evidence(values, live(values, latent, s2), s2)


def live(values: Tensor, latent: int, s2: Tensor) -> Tensor:
    """Which of lambda_1 .. lambda_P a column of W fits at the maximum, (P,): lambda_i > s2 and i <= D."""
    return (values > s2) & (torch.arange(len(values), device=values.device) < latent)


def fitted_variance(values: Tensor, latent: int, variance: float | None = None) -> Tensor:
    """s2 = mean of the discarded lambda_j, or the number it is held at; raises UserError where that cannot be."""
    P = len(values)
    if variance is not None:
        check_latent(latent, P)
        return checked_variance(variance, values)
    check_latent(latent, P - 1)
    if latent >= (rank := _rank(values)):
        raise UserError(too_few(latent, rank))
    return values[latent:].mean()


def descending(values: Tensor | Sequence[float]) -> Tensor:
    """A spectrum in float64, largest first; raises UserError on a negative or non-finite eigenvalue."""
    values = torch.as_tensor(values, dtype=torch.float64).sort(descending=True).values
    if not bool((values.isfinite() & (values >= 0)).all()):
        raise UserError("An eigenvalue is negative or not finite: give the eigenvalues of a covariance matrix.")
    return values


def checked_variance(variance: float, like: Tensor) -> Tensor:
    """s2 as a tensor; raises UserError unless it is positive and finite."""
    if not (math.isfinite(variance) and variance > 0):
        raise UserError(f"The variance is {variance}: give a positive number, or None to learn it.")
    return torch.as_tensor(variance, dtype=like.dtype, device=like.device)


def _mean_evidence(values: Tensor, fitted: Tensor, s2: Tensor) -> Tensor:
    """-1/2 [P log 2pi + log|C| + tr(C^-1 S)]: C has lambda_i along a fitted u_i and s2 along the others."""
    c = torch.where(fitted, values, s2)
    return -0.5 * (LOG_2PI + c.log() + values / c).sum()


# --- expectation maximisation ---------------------------------------------------------------------


def em(
    x: Tensor, latent: int, iterations: int = 1000, tolerance: float = 1e-9, seed: int = 0
) -> Iterator[tuple[PPCA, float]]:
    """The model and its mean evidence (nats per point) after each iteration of EM; the evidence never falls.

    W' = S W (s2 I + M^-1 W^T S W)^-1, s2' = 1/P tr(S - S W M^-1 W'^T) (Tipping & Bishop 1999), with S W taken as Y^T
    (Y W) / n: neither (n, n) nor (P, P) is formed. It stops after `iterations`, or when one gains less than
    `tolerance` nats; W is then the closed form's up to a rotation R of its columns. Raises UserError on nan, on a
    latent that the data cannot fill, and when no residual variance is left.
    """
    y, mean = checked_rows(x)
    n, P = y.shape
    check_latent(latent, P - 1)
    total = y.square().sum() / n  # tr S
    if latent >= n - 1 or total == 0:
        raise UserError(too_few(latent, n - 1 if total > 0 else 0))
    W = torch.randn(P, latent, dtype=y.dtype, generator=torch.Generator().manual_seed(seed))
    s2 = total / P
    return while_rising(_em(y, total, PPCA(W.to(y.device) * s2.sqrt(), mean, s2)), iterations, tolerance)


def _em(y: Tensor, total: Tensor, model: PPCA) -> Iterator[tuple[PPCA, float]]:
    SW = y.T @ (y @ model.weight) / len(y)
    while True:
        model = _em_step(model, SW, total)
        SW = y.T @ (y @ model.weight) / len(y)
        yield model, _evidence_of(model, SW, total)


def while_rising(steps: Iterator[tuple[T, float]], iterations: int, tolerance: float) -> Iterator[tuple[T, float]]:
    """The first `iterations` of an ascent's (model, value), up to one that gains less than `tolerance`."""
    before = -math.inf
    for model, now in islice(steps, iterations):
        yield model, now
        if now - before < tolerance:
            return
        before = now


def _em_step(model: PPCA, SW: Tensor, total: Tensor) -> PPCA:
    W, mean, s2 = model
    M = inner(W, s2)
    identity = torch.eye(len(M), dtype=W.dtype, device=W.device)
    W_next = torch.linalg.solve(s2 * identity + torch.linalg.solve(M, W.T @ SW), SW, left=False)
    s2_next = (total - (torch.linalg.solve(M, SW, left=False) * W_next).sum()) / len(mean)
    if s2_next <= total * torch.finfo(total.dtype).eps:
        raise UserError(too_few(len(M), len(M)))
    return PPCA(W_next, mean, s2_next)


def _evidence_of(model: PPCA, SW: Tensor, total: Tensor) -> float:
    """-1/2 [P log 2pi + log|C| + tr(C^-1 S)], tr(C^-1 S) = (tr S - tr(M^-1 W^T S W)) / s2."""
    W, mean, s2 = model
    trace = (total - torch.linalg.solve(inner(W, s2), W.T @ SW).trace()) / s2
    return -0.5 * (len(mean) * LOG_2PI + model.log_det() + trace).item()


# --- what the data allow --------------------------------------------------------------------------


def checked_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Y = X - mean (n, P) in float64, and the mean; raises UserError on a value that is not finite."""
    x = x.flatten(1).double()
    if not bool(x.isfinite().all()):
        row = int((~x.isfinite()).any(1).nonzero()[0])
        raise UserError(f"Row {row} holds a value that is nan or infinite: fill in or drop such rows first.")
    if len(x) < 2:
        raise UserError("A covariance needs at least two rows: give more data.")
    mean = x.mean(0)
    return x - mean, mean


def _rank(values: Tensor) -> int:
    """How many eigenvalues are not zero to rounding."""
    return int((values > values[0] * len(values) * torch.finfo(values.dtype).eps).sum())


def check_latent(latent: int, most: int) -> None:
    if most < 1:
        raise UserError("These data have one dimension, and a latent needs at least two: give data with more columns.")
    if not 1 <= latent <= most:
        raise UserError(f"latent is {latent}: give a whole number from 1 to {most} for these data.")


def too_few(latent: int, rank: int) -> str:
    remedy = f"choose a latent below {rank}" if rank > 1 else "give data that vary more"
    return f"The data vary in {rank} directions only, so a latent of {latent} leaves no variance over: {remedy}."


# --- stationary points ----------------------------------------------------------------------------


class StationaryPoint(NamedTuple):
    """A zero of the log-likelihood's gradient by W, and whether it is a maximum or a saddle."""

    model: PPCA
    evidence: Tensor  # mean log-likelihood, nats per data point
    curvature: Tensor  # (D, P): its second derivative when column i of W moves along u_j
    stable: bool  # no direction upward: a maximum


def stationary_point(
    data: Spectrum, kept: Sequence[int], latent: int, variance: float | None = None
) -> StationaryPoint:
    """W = U_K (Lambda_K - s2)^{1/2} for any subset K of eigenvectors with lambda > s2, the other columns zero.

    s2 is `variance` or the mean of the lambda_j outside K. At fixed s2 the curvature along a u_j outside K is
    (lambda_j - s2)/s2^2 in a zero column and (lambda_j - lambda_i)/(s2 lambda_i) in the column of u_i; so the point
    is stable iff K holds the largest eigenvalues and leaves out none above s2 while a column is free. Raises
    UserError for a subset that repeats, does not fit, or holds an eigenvalue not above s2.
    """
    values, U, mean = data
    K, P = list(kept), len(values)
    fits = len(set(K)) == len(K) <= latent and len(K) < P and all(0 <= j < P for j in K)
    if not fits:
        raise UserError(f"kept is {K}: give at most {min(latent, P - 1)} different indices from 0 to {P - 1}.")
    fitted = torch.zeros_like(values, dtype=torch.bool)
    fitted[K] = True
    s2 = checked_variance(values[~fitted].mean().item() if variance is None else variance, values)
    if bool((values[K] <= s2).any()):
        raise UserError(
            f"An eigenvalue in kept is not above s2 = {s2.item():.6g}: no column of W can hold it; drop it."
        )
    W = torch.zeros(P, latent, dtype=values.dtype, device=values.device)
    W[:, : len(K)] = U[:, K] * (values[K] - s2).sqrt()
    curvature = _curvature(values, K, latent, s2)
    stable = not bool((curvature[:, ~fitted] > 0).any())
    return StationaryPoint(PPCA(W, mean, s2), _mean_evidence(values, fitted, s2), curvature, stable)


def _curvature(values: Tensor, K: list[int], latent: int, s2: Tensor) -> Tensor:
    """Second derivatives of -1/2 [log|C| + tr(C^-1 S)], (D, P). Between kept directions they are <= 0: a rotation of
    the columns changes nothing, and a single column that leaves its axis loses."""
    a = values[K] - s2  # squared lengths of the columns
    curvature = ((values - s2) / s2**2).repeat(latent, 1)
    curvature[:, K] = 0.0  # a zero column along a kept u_j: a rotation
    curvature[: len(K)] = (values - values[K, None]) / (s2 * values[K, None])
    curvature[: len(K), K] = -a[:, None] / (values[K, None] * values[K])
    curvature[range(len(K)), K] = -2 * a / values[K] ** 2
    return curvature


# --- as a VAE -------------------------------------------------------------------------------------


def read(decoder: nn.Module, likelihood: nn.Module) -> PPCA:
    """W, mu and s2 of a linear decoder and its Gaussian likelihood, in their dtype, with their gradients."""
    decoder, likelihood = _linear_gaussian(decoder, likelihood)
    linear = linear_layer(decoder)
    px = likelihood(linear.bias.reshape(decoder.outputs))
    return PPCA(linear.weight, linear.bias, px.variance.flatten()[0])


def _linear_gaussian(decoder: nn.Module, likelihood: nn.Module) -> tuple[MLP, Gaussian]:
    if not isinstance(likelihood, Gaussian) or likelihood.sigma == "pixel" or likelihood.standard:
        raise UserError("The exact p(x) needs a Gaussian likelihood with one sigma: a number, 'shared' or 'optimal'.")
    return linear_decoder(decoder), likelihood


def build(shape: Shape, latent: int, sigma: Sigma = "shared") -> VAE:
    """A VAE with a linear decoder, its exact posterior as encoder and its exact marginal: every bound on it is tight."""
    decoder, likelihood = MLP((latent,), (), (1, *shape)), Gaussian(shape, sigma)
    return VAE(
        encoder=ExactEncoder(decoder, likelihood, read),
        posterior=FullNormal(latent),
        prior=StandardNormal(latent),
        decoder=decoder,
        likelihood=likelihood,
        marginal=LinearGaussianMarginal(decoder, likelihood, read),
    )


def as_vae(model: PPCA, shape: Shape) -> VAE:
    """The same model as a VAE for data of this shape, in the dtype and on the device of the numbers (float64)."""
    vae = build(shape, model.weight.shape[1]).to(model.weight.device, model.weight.dtype)
    return write_into(vae, model)


@torch.no_grad()
def write_into(vae: VAE, model: PPCA) -> VAE:
    """Fills the linear decoder and the sigma of a VAE with W, mu and s2, in place; returns the VAE.

    Raises UserError where the sizes differ, or the VAE's sigma is fixed at another value or cannot be so small.
    """
    decoder, likelihood = _linear_gaussian(vae.decoder, vae.likelihood)
    check_size(decoder, model)
    sigma = model.variance.sqrt()
    trial = copy.deepcopy(likelihood)
    if isinstance(trial.sigma, str):
        trial.log_sigma.copy_(sigma.log())
    held = read(decoder, trial).variance.sqrt()
    if not math.isclose(held.item(), sigma.item(), rel_tol=1e-5):
        raise UserError(
            f"The fit has sigma {sigma.item():.6g}, the VAE's likelihood holds it at {held.item():.6g}: build "
            "the VAE with sigma='shared', fit with the variance held there, or rescale the data."
        )
    copy_into(decoder, model)
    likelihood.load_state_dict(trial.state_dict())  # empty where sigma is a number
    return vae
