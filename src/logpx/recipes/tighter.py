"""Tighter bounds, and inference that keeps up (floor 7)."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from logpx import ladder, likelihoods, objectives
from logpx.data import Spec
from logpx.recipes.base import ACTIVATIONS, Activation, Network, Sigma, normal_vae, recipe
from logpx.recipes.types import Finite
from logpx.train import Method, Training

Share = Annotated[float, Field(ge=0, le=1)]


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
    k weighted draws are averaged inside the logarithm, which bounds log p(x) more tightly than the ELBO.

    max L_k = E log 1/k sum_j w_j,  w_j = p(x, z_j) / q(z_j|x),  z_j ~ q(z|x) = N(mu(x), diag sigma(x)^2).

    The value reported is the bound whatever the gradient; the networks are those of the paper.

    When: log p(x) is the goal and k times the work of a step is affordable. Not where codes matter most: many draws make up
    for a poor q(z|x), so it need not be a good posterior, and the plain gradient of the encoder drowns in noise as k grows
    (the default, dreg, does not).

    gradient: plain, stl (biased for k > 1), or dreg, the doubly reparameterised one of Tucker et al. 2019
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden, "activation": activation}
    return Method(normal_vae(data, latent, **parts), objectives.IWAE(samples, gradient), Training())


@recipe
def miwae(
    data: Spec,
    *,
    latent: PositiveInt = 50,
    samples: PositiveInt = 8,
    groups: PositiveInt = 8,
    gradient: objectives.Gradient = "plain",
    hidden: tuple[PositiveInt, ...] = (200, 200),
    activation: Activation = "tanh",
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Multiply importance weighted autoencoder (Rainforth et al. 2018, arXiv:1802.04537).
    Several bounds of an IWAE are averaged, so that the encoder's gradient has less noise.

    max E 1/M sum_m log 1/k sum_j w_mj,  w = p(x, z) / q(z|x),  z ~ q(z|x) = N(mu(x), diag sigma(x)^2).

    The same bound L_k as the IWAE's, with M times the draws: the encoder's plain gradient then drowns less in noise.

    When: the bound of an IWAE is wanted, but its encoder learns slowly under the plain gradient. Each row costs samples
    times groups decodings. Not before iwae with the gradient dreg, which is a cheaper remedy of the same illness.

    samples: k, draws of z per row and group
    groups: M, the number of groups
    gradient: plain, stl (biased for k > 1), or dreg, the doubly reparameterised one of Tucker et al. 2019
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden, "activation": activation}
    return Method(normal_vae(data, latent, **parts), objectives.IWAE(samples, gradient, groups=groups), Training())


@recipe
def ciwae(
    data: Spec,
    *,
    latent: PositiveInt = 50,
    samples: PositiveInt = 64,
    share: Share = 0.5,
    hidden: tuple[PositiveInt, ...] = (200, 200),
    activation: Activation = "tanh",
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Combination importance weighted autoencoder (Rainforth et al. 2018, arXiv:1802.04537).
    The ELBO and the bound of the IWAE are trained together, in shares.

    max beta E log w_1 + (1 - beta) E log 1/k sum_j w_j,  w_j = p(x, z_j) / q(z_j|x),  z_j ~ N(mu(x), diag sigma(x)^2).

    Both bounds are made of the same k draws, the first as their mean: the ELBO keeps the encoder's gradient clear, the
    other the bound tight.

    When: something between vae and iwae is wanted, with one dial: the share of the ELBO keeps q(z|x) a posterior, the rest
    tightens the bound. Not for a number of its own: what is trained is a mixture of two bounds, so compare by L_k. On
    digits it was level with miwae (evidence/ciwae.json).

    share: beta, the weight of the ELBO; 0 is the IWAE, 1 the VAE
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden, "activation": activation}
    elbo, tighter = objectives.ELBO(samples=samples, kl="one sample"), objectives.IWAE(samples, "plain")
    return Method(normal_vae(data, latent, **parts), share * elbo + (1 - share) * tighter, Training())


@recipe
def renyi(
    data: Spec,
    *,
    latent: PositiveInt = 50,
    alpha: Finite = 0.5,
    samples: PositiveInt = 50,
    hidden: tuple[PositiveInt, ...] = (200, 200),
    activation: Activation = "tanh",
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """VAE on the variational Renyi bound (Li & Turner 2016, arXiv:1602.02311).
    A family of bounds, by the order of a divergence, that holds the VAE and the IWAE.

    max E 1/(1 - alpha) log 1/k sum_j w_j^(1 - alpha),  w_j = p(x, z_j) / q(z_j|x),  z_j ~ N(mu(x), diag sigma(x)^2).

    When: the family between the VAE and the IWAE is to be explored, or a posterior that covers mass rather than seeks a
    mode. Not below alpha = 0, where the value is a bound no longer; for log p(x) alone take iwae, its limit.

    alpha: order of the divergence: 1 is the VAE, 0 the IWAE, below 0 a bound no longer
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden, "activation": activation}
    return Method(normal_vae(data, latent, **parts), objectives.Renyi(alpha, samples), Training())


@recipe
def aggressive_vae(
    data: Spec,
    *,
    latent: PositiveInt = 20,
    encoder_steps: NonNegativeInt = 99,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """VAE with an aggressively trained encoder (He et al. 2019, arXiv:1901.05534, algorithm 1).
    The encoder catches up before each step of the decoder.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  q(z|x) = N(mu(x), diag sigma(x)^2),  p(z) = N(0, I).

    Before each step of the decoder the encoder moves alone until the loss falls no more, as long as the mutual
    information of held-out rows still rises from epoch to epoch: a lagging encoder is what lets the posterior collapse.

    When: the posterior collapses because the encoder lags behind a strong decoder, as with text or autoregressive pixels
    (pixel_vae has it as encoder_steps). The first epochs cost many times as much. Not where the KL is healthy from the
    start: then it is the VAE, slower.

    encoder_steps: at most so many steps of the encoder before each of the decoder; 0 is the VAE
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(model, objectives.ELBO(), Training(encoder_steps=encoder_steps))


@recipe
def two_layer_vae(
    data: Spec,
    *,
    latent: PositiveInt = 100,
    top: PositiveInt = 50,
    objective: Literal["elbo", "iwae"] = "iwae",
    samples: PositiveInt = 50,
    gradient: objectives.Gradient = "dreg",
    hidden: tuple[PositiveInt, ...] = (200, 200),
    top_hidden: tuple[PositiveInt, ...] = (100, 100),
    activation: Activation = "tanh",
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Two stochastic layers (Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 2-4, 8).
    A second latent makes the law of the first.

    p(x, z1, z2) = p(z2) p(z1|z2) p(x|z1),  q(z1, z2|x) = q(z1|x) q(z2|z1),  each conditional N(mu, diag sigma^2).

    The bounds are those of one layer with log w = log p(x, z1, z2) - log q(z1, z2|x), z being z1 and z2 in one vector.

    When: one layer of normal latents is too simple a law, and bounds by importance sampling are affordable. Not for maps or
    walks, for no single layer is the code of x; and look at the active units, for the layer above may keep few.

    latent: dimensions of z1, the layer that the decoder reads
    top: dimensions of z2, the layer above
    objective: elbo, averaged over the draws, or iwae
    gradient: of iwae: plain, stl (biased for k > 1), or dreg, the doubly reparameterised one of Tucker et al. 2019
    top_hidden: widths of the layers from z1 to z2, mirrored from z2 to z1
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden, "activation": activation}
    below = normal_vae(data, latent, **parts)
    model = ladder.with_second_layer(below, (latent, top), top_hidden, ACTIVATIONS[activation])
    bound: Any = objectives.ELBO(samples=samples) if objective == "elbo" else objectives.IWAE(samples, gradient)
    return Method(model, bound, Training())
