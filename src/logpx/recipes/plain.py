"""The variational autoencoder itself (floor 7)."""

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt

from logpx import likelihoods, objectives, posteriors, priors
from logpx.data import Spec
from logpx.errors import UserError
from logpx.objectives import Scalar
from logpx.recipes.base import Network, Sigma, assemble, recipe
from logpx.recipes.types import NonNegative
from logpx.train import Method, Training

POSTERIORS = {"diagonal": posteriors.DiagNormal, "full": posteriors.FullNormal}


@recipe
def vae(
    data: Spec,
    *,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    posterior: Literal["diagonal", "full"] = "diagonal",
    samples: PositiveInt = 1,
    free_bits: NonNegative = 0.0,
    warmup: NonNegativeInt = 0,
    cycles: PositiveInt = 1,
) -> Method:
    """Variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114, eq. 3).
    An encoder and a decoder are trained together to bound log p(x) through a normal latent.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  q(z|x) = N(mu(x), Sigma(x)),  p(z) = N(0, I).

    When: the first model to try on a table, images or counts: a density with a bound that can be checked, and a map of the
    data where z has two dimensions. Not where samples must be sharp (pixel_vae, vq_vae), and not without an exact baseline
    beside it, such as ppca.

    posterior: covariance of q(z|x), diagonal or full
    samples: draws of z per row, averaged: less noise, the same bound
    free_bits: nats of KL that each latent dimension has for free (Kingma et al. 2016); 0 for none
    cycles: of the warm-up, which then rises that often within its steps (Fu et al. 2019)
    """
    q, p = POSTERIORS[posterior](latent), priors.StandardNormal(latent)
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = assemble(data, posterior=q, prior=p, **parts)
    beta = _rising(warmup, cycles)
    return Method(model, objectives.ELBO(beta, samples=samples, free_bits=free_bits), Training())


def _rising(warmup: int, cycles: int) -> Scalar:
    """The weight of the KL: 1, or from 0 to 1 over `warmup` steps, once or in cycles."""
    if cycles > 1 and not warmup:
        raise UserError(f"{cycles} cycles divide the steps of a warm-up, and warmup is 0: say how many steps it takes.")
    if cycles > 1:
        return objectives.Cyclical(warmup, cycles)
    return objectives.Warmup(warmup) if warmup else 1.0
