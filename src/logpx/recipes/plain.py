"""The variational autoencoder itself (floor 7)."""

from pydantic import NonNegativeInt, PositiveInt

from logpx import likelihoods, objectives
from logpx.data import Spec
from logpx.recipes.base import Network, Sigma, normal_vae, recipe
from logpx.train import Method, Training


@recipe
def vae(
    data: Spec,
    *,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114, eq. 3).

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  q(z|x) = N(mu(x), diag sigma(x)^2),  p(z) = N(0, I).
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(model, objectives.ELBO(objectives.Warmup(warmup) if warmup else 1.0), Training())
