"""Tighter bounds (floor 7)."""

from typing import Literal

from pydantic import PositiveInt
from torch import nn

from logpx import likelihoods, objectives, posteriors, priors
from logpx.data import Spec
from logpx.recipes.base import Network, Sigma, assemble, recipe
from logpx.train import Method, Training

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


@recipe
def iwae(
    data: Spec,
    *,
    latent: PositiveInt = 50,
    samples: PositiveInt = 50,
    gradient: objectives.Gradient = "dreg",
    hidden: tuple[PositiveInt, ...] = (200, 200),
    activation: Literal["relu", "tanh"] = "tanh",
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Importance weighted autoencoder (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 8).

    max L_k = E log 1/k sum_j w_j,  w_j = p(x, z_j) / q(z_j|x),  z_j ~ q(z|x) = N(mu(x), diag sigma(x)^2).

    samples: k. gradient: plain, stl (biased for k > 1) or dreg, the doubly reparameterised one of Tucker et al. 2019;
    the reported value is the bound for each. The networks are those of the paper: two tanh layers of 200.
    """
    model = assemble(
        data,
        posterior=posteriors.DiagNormal(latent),
        prior=priors.StandardNormal(latent),
        likelihood=likelihood,
        sigma=sigma,
        network=network,
        hidden=hidden,
        activation=ACTIVATIONS[activation],
    )
    return Method(model, objectives.IWAE(samples, gradient), Training())
