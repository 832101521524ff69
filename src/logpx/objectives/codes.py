"""What a deterministic code is trained on (floor 5): the reconstruction, and penalties on the code and its Jacobian."""

import torch
from torch import Tensor

from logpx.distributions import Point
from logpx.errors import UserError
from logpx.model import VAE, Draw
from logpx.objectives.base import Objective, Terms, whole


class Reconstruction(Objective):
    """-E log p(x|z): all that a plain autoencoder minimises (Bourlard & Kamp 1988). It asks for no density of z."""

    def __init__(self, *, samples: int = 1) -> None:
        super().__init__()
        self.samples = whole("samples", samples)

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        reconstruction = -d.log_px().mean()
        return reconstruction, {"reconstruction": reconstruction}


class L1(Objective):
    """E sum_j |z_j| (Olshausen & Field 1996). Only where the decoder cannot grow as z shrinks is it a penalty."""

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        size = d.z.abs().sum(-1).mean()
        return size, {"l1": size}


def kl_rho(rho: float, mean: Tensor) -> Tensor:
    """sum_j rho log(rho/rho_j) + (1 - rho) log((1 - rho)/(1 - rho_j)) for rho_j (..., D), held in [1e-6, 1 - 1e-6]."""
    r, p = torch.as_tensor(rho, dtype=mean.dtype), mean.clamp(1e-6, 1 - 1e-6)
    return (r * (r / p).log() + (1 - r) * ((1 - r) / (1 - p)).log()).sum(-1)


class KLRho(Objective):
    """sum_j KL(rho || rho_j), rho_j the mean over the batch of a code z_j in (0, 1) (Lee et al. 2008; Ng 2011).

    Raises UserError, of a model at rest as in the dry run, for a code that leaves (0, 1): a share of time is no other number.
    """

    def __init__(self, rho: float = 0.05) -> None:
        super().__init__()
        if not 0 < rho < 1:
            raise UserError(f"rho is {rho}: the share of time that a unit is on lies between 0 and 1.")
        self.rho = rho

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        kl = kl_rho(self.rho, d.z.mean((0, 1)))
        return kl, {"kl_rho": kl}

    def value_at(self, model: VAE, d: Draw) -> tuple[Tensor, Terms]:
        outside = not isinstance(d.q, Point)  # any other q(z|x) here has the whole line as its support
        if not model.training:  # while it trains nothing is read back from the device
            outside = outside or bool(((d.z < 0) | (d.z > 1)).any())
        if outside:
            raise UserError(
                "KLRho takes each unit for on or off some share of the time, and these codes leave (0, 1): "
                "end the encoder in a sigmoid, with a deterministic code."
            )
        return self.value(d)


class Contraction(Objective):
    """E ||J_f(x)||_F^2, J_f the Jacobian of the code f(x) = E[z|x] by x (Rifai et al. 2011, eq. 6); exact, any encoder.

    D products of a vector with J, one for each latent, at once. Rows of a batch must not look at each other. Only what was
    observed counts: where x is missing there is nothing to move.
    """

    def value_at(self, model: VAE, d: Draw) -> tuple[Tensor, Terms]:
        norm = jacobian_norm(model, d).mean()
        return norm, {"contraction": norm}


def jacobian_norm(model: VAE, d: Draw) -> Tensor:
    """||J_f(x)||_F^2 of each row by its observed elements, (B,); torch.func keeps its own tape: no gradients are needed."""
    code, pull = torch.func.vjp(lambda x: model.encode(d.batch._replace(x=x)).mean, d.batch.x)  # type: ignore[misc]
    B, D = code.shape
    basis = torch.eye(D, dtype=code.dtype, device=code.device)[:, None].expand(D, B, D)
    (rows,) = torch.func.vmap(pull)(basis)  # (D, B, *shape): row j of every Jacobian
    if d.batch.observed is not None:
        rows = rows * d.batch.observed
    return rows.square().transpose(0, 1).flatten(1).sum(1)
