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

    The value reported is the bound whatever the gradient; the networks are those of the paper.

    latent: dimensions of z
    samples: k, draws of z per row
    gradient: plain, stl (biased for k > 1), or dreg, the doubly reparameterised one of Tucker et al. 2019
    hidden: widths of the encoder's layers, mirrored in the decoder
    activation: between the layers
    network: mlp, or conv for images
    likelihood: p(x|z); auto is bernoulli for binary data, continuous_bernoulli for grey, gaussian for real
    sigma: of a gaussian: a number, one learned (shared) or optimal for all elements, or one for each (pixel)
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
