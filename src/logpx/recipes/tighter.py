"""Tighter bounds (floor 7)."""

from pydantic import PositiveInt

from logpx import likelihoods, objectives
from logpx.data import Spec
from logpx.recipes.base import Activation, Network, Sigma, normal_vae, recipe
from logpx.train import Method, Training


@recipe
def iwae(
    data: Spec,
    *,
    latent: PositiveInt = 50,
    samples: PositiveInt = 50,
    gradient: objectives.Gradient = "dreg",
    hidden: tuple[PositiveInt, ...] = (200, 200),
    activation: Activation = "tanh",
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Importance weighted autoencoder (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 8).

    max L_k = E log 1/k sum_j w_j,  w_j = p(x, z_j) / q(z_j|x),  z_j ~ q(z|x) = N(mu(x), diag sigma(x)^2).

    The value reported is the bound whatever the gradient; the networks are those of the paper.

    gradient: plain, stl (biased for k > 1), or dreg, the doubly reparameterised one of Tucker et al. 2019
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden, "activation": activation}
    return Method(normal_vae(data, latent, **parts), objectives.IWAE(samples, gradient), Training())
