"""Linear VAEs whose p(x) is known but not told: exact models as judges of what estimates it."""

import math

import torch
from torch import Tensor

from logpx import exact
from logpx.exact.linear_vae import LinearVAE
from logpx.model import VAE


def linear(P: int = 5, D: int = 2, seed: int = 1, *, diagonal: bool = False) -> LinearVAE:
    """A linear VAE with its best encoder, in float64; `diagonal` W^T W makes that encoder exact."""
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(P, D, generator=g, dtype=torch.float64)
    W = torch.linalg.qr(W).Q * torch.arange(1, D + 1) if diagonal else W
    mean, variance = torch.randn(P, generator=g, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    return exact.linear_vae.best_encoder(exact.ppca.PPCA(W, mean, variance))


def spoilt(model: LinearVAE, wide: float = 1.3) -> LinearVAE:
    """Its encoder shrunk, moved, and with `wide` times the variance."""
    return model._replace(encoder=0.8 * model.encoder + 0.05, noise=wide * model.noise)


def hidden(model: LinearVAE) -> VAE:
    """As a VAE that does not know its marginal, so that it has to be estimated."""
    P, D = model.weight.shape
    vae = exact.linear_vae.build((P,), D).double()
    exact.linear_vae.write_into(vae, model)
    vae.marginal = None
    return vae


def rows(model: LinearVAE, n: int, seed: int = 2) -> Tensor:
    """x drawn from the model, (n, P)."""
    g = torch.Generator().manual_seed(seed)
    z, e = (torch.randn(n, d, generator=g, dtype=torch.float64) for d in (model.weight.shape[1], len(model.mean)))
    return model.mean + z @ model.weight.T + e * model.variance.sqrt()


def toy() -> tuple[VAE, Tensor]:
    """z ~ N(0, 1), x | z ~ N(z, 1), x = 1, q = N(0, 1): log p(x) = -1.5155121235."""
    one = torch.ones(1, 1, dtype=torch.float64)
    model = LinearVAE(one, torch.zeros(1).double(), torch.tensor(1.0).double(), 0 * one, torch.ones(1).double())
    return hidden(model), one


LOG_PX = -0.5 * math.log(2 * math.pi) - 0.5 * math.log(2) - 0.25  # of the toy
