"""Autoregressive laws: each element given those before it, alone or behind a latent (floor 7)."""

from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.data import Spec
from logpx.errors import UserError
from logpx.model import VAE
from logpx.recipes.base import Network, Sigma, assemble, choose_likelihood, features, recipe, without_latent
from logpx.recipes.types import NonNegative
from logpx.train import Method, Training

Causal = Literal["auto", "pixelcnn", "made"]


@recipe
def made(
    data: Spec,
    *,
    hidden: tuple[PositiveInt, ...] = (500,),
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Masked autoencoder for distribution estimation (Germain et al. 2015, arXiv:1502.03509, eq. 9-10).
    An exact log p(x) from one network, whose masks let each element see those before it.

    max log p(x) = sum_i log p(x_i | h_i(x_1, ..., x_{i-1})),  h an MLP whose masks leave only these paths.

    There is no latent, and log p(x) is exact. Elements come in the order of the data, colours of a pixel together; one
    order and one set of masks, not the paper's ensemble. Samples take one step for each element.

    When: an exact log p(x) of binary images or of a table is wanted for little work, or a yardstick for bounds. Not for
    codes or maps, for there is no latent, and not for large images, which pixelcnn sees as images.

    hidden: widths of the hidden layers
    likelihood: p(x_i | x_<i), the law of one element; auto as for any recipe
    """
    law = _conditional(data, likelihood, sigma, "made")
    net = networks.MADE(data.shape, law.size, hidden=hidden, see=features(data))
    return Method(_alone(data, net, law), objectives.ELBO(), Training())


@recipe
def pixelcnn(
    data: Spec,
    *,
    channels: PositiveInt = 32,
    kernels: tuple[PositiveInt, ...] = (7, 5, 5, 3, 3),
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328, section 2).
    An exact log p(x) of pictures from convolutions that see only the pixels before.

    max log p(x) = sum_i log p(x_i | h_i(x_1, ..., x_{i-1})),  h two stacks of gated convolutions without a blind spot.

    There is no latent, and log p(x) is exact. Pixels come row by row, the colours of a pixel in turn. Samples take one step
    for each pixel, of which only what is new is computed.

    When: an exact log p(x) of small images is wanted, and samples with sharp edges. Not for codes, and not where draws must
    be fast: each pixel is a step. What is far apart it does not see: pixel_vae leaves that to z.

    channels: of each stack
    kernels: sides of the windows of the layers, odd; their halves add up to how far a pixel sees
    likelihood: p(x_i | x_<i), the law of one element; auto as for any recipe
    """
    law = _conditional(data, likelihood, sigma, "pixelcnn")
    net = networks.GatedPixelCNN(data.shape, law.size, channels=channels, kernels=kernels, see=_of_pictures(data))
    return Method(_alone(data, net, law), objectives.ELBO(), Training(clip=5.0))


@recipe
def pixel_vae(
    data: Spec,
    *,
    latent: PositiveInt = 20,
    causal: Causal = "auto",
    channels: PositiveInt = 32,
    kernels: tuple[PositiveInt, ...] = (7, 3),
    maps: PositiveInt = 4,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    free_bits: NonNegative = 0.1,
    warmup: NonNegativeInt = 2000,
    encoder_steps: NonNegativeInt = 0,
) -> Method:
    """VAE with an autoregressive decoder (Gulrajani et al. 2017, arXiv:1611.05013, section 3).
    A VAE whose decoder also sees the pixels before, so that z holds what is global.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  log p(x|z) = sum_i log p(x_i | x_1, ..., x_{i-1}, f(z)),  p(z) = N(0, I).

    A decoder that can do without z does: the posterior collapses to the prior. Three remedies are at hand, and a fourth:
    small windows, which leave to z what is far away.

    When: samples must be sharp and still have a code for what is global; on binarised MNIST it has the highest log p(x)
    measured here (evidence/pixel_vae.json). Not without a look at the KL, for the decoder may leave z unused, and not where
    E[x|z] is needed: there are only draws, pixel by pixel.

    causal: the network of p(x_i | x_<i, z): pixelcnn, or made; auto is pixelcnn for images
    channels: of each stack of the PixelCNN, or ten times as many units of MADE
    kernels: sides of the windows of the PixelCNN's layers, odd
    maps: numbers of f(z) for each element
    free_bits: nats of KL that each latent dimension has for free (Kingma et al. 2016); 0 for none
    encoder_steps: at most so many steps of the encoder before each of the decoder (He et al. 2019); 0 for none
    """
    law = _conditional(data, likelihood, sigma, "pixel_vae")
    if causal == "made" or (causal == "auto" and len(data.shape) != 3):
        see, hidden_units = features(data), (10 * channels,)
        net: nn.Module = networks.MADE(data.shape, law.size, features=maps, hidden=hidden_units, see=see)
    else:
        see = _of_pictures(data)
        net = networks.GatedPixelCNN(data.shape, law.size, features=maps, channels=channels, kernels=kernels, see=see)
    q, p = posteriors.DiagNormal(latent), priors.StandardNormal(latent)
    whole = likelihoods.Autoregressive(net, law)
    model = assemble(data, posterior=q, prior=p, likelihood=whole, network=network, hidden=hidden)
    bound = objectives.ELBO(objectives.Warmup(warmup) if warmup else 1.0, free_bits=free_bits)
    return Method(model, bound, Training(clip=5.0, encoder_steps=encoder_steps))


def _conditional(data: Spec, name: str, sigma: Sigma, recipe: str) -> Any:
    """The law of one element; UserError where elements have no law in common, or a score in its place."""
    if data.standard:
        raise UserError(f"{recipe} reads elements as they are and standardises none: rescale the file, or take vae.")
    law = choose_likelihood(data, name, sigma)
    if isinstance(law, likelihoods.Table):
        raise UserError(f"{recipe} gives all elements laws of one kind, and these columns are of several: take vae.")
    if isinstance(law, likelihoods.Grey):
        raise UserError("The grey score is no density, so no element can follow another by it: leave likelihood out.")
    return law


def _of_pictures(data: Spec) -> nn.Module | None:
    """What a PixelCNN sees in the place of data that are not just real numbers."""
    return features(data._replace(shape=networks.picture(data.shape)))


def _alone(data: Spec, net: nn.Module, law: nn.Module) -> VAE:
    if data.context:
        raise UserError("A law without a latent takes no context: leave it out, or take pixel_vae.")
    return without_latent(data.shape, net, law)
