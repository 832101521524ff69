"""What the data allow before anything is trained (floor 7): their eigenvalues against sigma^2, by probabilistic PCA.

A linear VAE on data with covariance eigenvalues lambda_1 >= lambda_2 >= ... keeps latent i alive iff lambda_i > sigma^2, and
it then pays 1/2 log(lambda_i / sigma^2) nats (Lucas et al. 2019, arXiv:1911.02469; `exact.linear_vae`). For deep models and for
data that are not real numbers the same count is a comparison, not a theorem.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from logpx.data import Data
from logpx.errors import UserError
from logpx.exact import ppca
from logpx.networks import Standardised

ROWS, SIDE = 20_000, 4096  # rows looked at; more dimensions than this are seen through the rows' inner products,
FEW = 2000  # of so many rows


@dataclass(frozen=True)
class Forecast:
    """The spectrum of the training rows and what it lets live. Units of x, squared, for eigenvalues and variances.

    values (r,)   eigenvalues of the covariance with divisor n, largest first; those beyond n - 1 rows or numbers are 0
    dims          P, how many there would be
    rows          n
    noise         the level that sigma^2 settles at when as many latents live as stand out
    standing_out  eigenvalues above those that n rows of noise alone, of one variance, would show but once in a thousand
                  times (Johnstone 2001, Ann. Statist. 29), and so how many latents are worth having
    gaussian      whether the data are real numbers, so that the linear VAE is one of their models
    """

    values: Tensor
    dims: int
    rows: int
    noise: float
    standing_out: int
    gaussian: bool

    def live(self, latent: int, variance: float) -> int:
        """How many of so many latents live at the optimum for this sigma^2: those with lambda_i > sigma^2."""
        return int((self.values[:latent] > variance).sum())

    def learned_variance(self, latent: int) -> float:
        """sigma^2 where it is learned: the mean of the eigenvalues that are left out."""
        return (self.values[latent:].sum() / max(1, self.dims - latent)).item()

    def kl(self, latent: int, variance: float) -> Tensor:
        """E KL_i = 1/2 log+(lambda_i / sigma^2) of each latent, nats, (latent,)."""
        return 0.5 * (self.values[:latent] / variance).clamp_min(1).log()

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a JSON object."""
        return {
            "rows": self.rows,
            "dims": self.dims,
            "eigenvalues": self.values[:64].tolist(),
            "noise": self.noise,
            "standing_out": self.standing_out,
            "live_at_sigma_1": self.live(self.dims, 1.0),
            "gaussian": self.gaussian,
        }


def forecast(data: Data) -> Forecast:
    """The forecast for a data set, from its first 20,000 training rows.

    Raises UserError for data without a covariance: with missing values, of categories, or of fewer than two rows.
    """
    spec = data.spec
    if spec.kind in ("mixed", "categorical", "sequence"):
        raise UserError(
            f"These data are {spec.kind}: a spectrum is one of numbers, so there is no forecast; train a run and ask about it."
        )
    if data.train.holes():
        raise UserError(
            "These rows have missing values, so they have no covariance: fill them (logpx impute) or drop them."
        )
    x = data.train.x(slice(0, ROWS), torch.Generator().manual_seed(0))
    x = (Standardised(spec.shape, spec.standard)(x) if spec.standard else x).flatten(1)
    return _forecast(x, gaussian=spec.kind == "real")


def _forecast(x: Tensor, *, gaussian: bool) -> Forecast:
    x = x if x.shape[1] <= SIDE else x[:FEW]
    values, (n, P) = eigenvalues(x), x.shape
    noise, out = _standing_out(values, n, P)
    return Forecast(values, P, n, noise, out, gaussian)


def eigenvalues(x: Tensor) -> Tensor:
    """Those of the covariance of x (n, P), divisor n, in float64, largest first, (min(n, P),).

    Of more than 4096 dimensions those of the rows' inner products, which are the same numbers.
    """
    if x.shape[1] <= SIDE:
        return ppca.spectrum(x).values[: min(x.shape)]
    y, _ = ppca.checked_rows(x)
    return torch.linalg.eigvalsh(y @ y.T / len(y)).flip(0).clamp_min(0)


def _standing_out(values: Tensor, n: int, P: int) -> tuple[float, int]:
    """(noise, how many stand out): the first eigenvalues, as long as each is above the edge of the noise from it onwards."""
    count = 0
    for k, value in enumerate(values.tolist()):
        left = values[k:].sum().item() / (P - k)  # the variance if it and all after it were noise
        if not value > _edge(n, P - k) * left or value <= values[0] * P * torch.finfo(values.dtype).eps:
            break
        count = k + 1
    return (values[count:].sum() / max(1, P - count)).item(), count


def _edge(n: int, P: int) -> float:
    """Over the variance, what the largest eigenvalue of n rows of P numbers of noise exceeds once in a thousand times.

    Its law is mu + s TW_1, and 3.27 the quantile of Tracy & Widom's law.
    """
    a, b = math.sqrt(max(1, n - 1)), math.sqrt(P)
    return ((a + b) ** 2 + 3.27 * (a + b) * (1 / a + 1 / b) ** (1 / 3)) / n


# --- where a linear run sits -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stationary:
    """The stationary point of the likelihood that a linear VAE sits nearest to, on its training rows.

    kept       indices of the eigenvectors that its columns hold
    distance   |W W^T - U_K (Lambda_K - s2) U_K^T| over |Lambda_D|, Frobenius
    stable     whether the point is a maximum, with sigma held where it is
    stable_learned  the same with sigma learned
    missing    the largest eigenvalue left out while a column is free, and what log p(x) curves upwards by along it; or None
    """

    kept: list[int]
    distance: float
    stable: bool
    stable_learned: bool
    missing: tuple[int, float] | None
    variance: float


def where_it_sits(model: Any, x: Tensor) -> Stationary:
    """The nearest stationary point of `exact.ppca.stationary_point` for a linear VAE or probabilistic PCA and rows x.

    Raises UserError for another model, and for rows with values that are not finite.
    """
    W, _, s2 = (t.detach().double() for t in ppca.read(model.decoder, model.likelihood))
    data, latent, variance = ppca.spectrum(x), W.shape[1], float(s2)
    values, U, _ = data
    held = (U.T @ W).square().sum(1)  # the squared length of W along each eigenvector
    excess = (values - s2).clamp_min(0)
    kept = torch.nonzero((held > 0.5 * excess) & (excess > 0)).flatten().tolist()
    kept = sorted(kept, key=lambda j: -float(held[j]))[:latent]
    ideal = (U[:, kept] * excess[kept]) @ U[:, kept].T
    scale = values[:latent].norm()
    fixed = ppca.stationary_point(data, kept, latent, variance)
    return Stationary(
        sorted(kept),
        ((W @ W.T - ideal).norm() / scale).item(),
        fixed.stable,
        _stable_when_learned(data, kept, latent),
        _way_up(fixed, values, kept, latent),
        variance,
    )


def _stable_when_learned(data: ppca.Spectrum, kept: list[int], latent: int) -> bool:
    """Of the point with the same columns and sigma learned; one that learning sigma would leave at once is not stable."""
    try:
        return ppca.stationary_point(data, kept, latent).stable
    except UserError:  # a kept eigenvalue below the mean of the others: no stationary point at all
        return False


def _way_up(point: ppca.StationaryPoint, values: Tensor, kept: list[int], latent: int) -> tuple[int, float] | None:
    out = [j for j in range(len(values)) if j not in kept]
    if not out or point.stable:
        return None
    best = max(out, key=lambda j: float(point.curvature[:, j].max()))
    return best, float(point.curvature[:, best].max())
