"""Other weights and constraints on the KL (floor 7)."""

from pydantic import NonNegativeInt, PositiveInt

from logpx import likelihoods, objectives
from logpx.data import Spec
from logpx.errors import UserError
from logpx.recipes.base import Network, Sigma, normal_vae, recipe
from logpx.recipes.types import Positive
from logpx.train import Method, Training


@recipe
def beta_vae(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    beta: Positive = 4.0,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Beta-VAE (Higgins et al. 2017, ICLR, eq. 4).
    The KL counts beta times: nats of log p(x) are traded for a simpler code.

    max E_q log p(x|z) - beta KL(q(z|x) || p(z)),  q(z|x) = N(mu(x), diag sigma(x)^2),  p(z) = N(0, I).

    beta = 1 is the VAE; for a Gaussian with fixed sigma beta is a VAE of variance beta sigma^2. The `elbo` reported is
    the bound on log p(x), at beta = 1; a learned sigma rises with beta, for it is fitted to the larger error.

    When: a shorter code, or latents that are more alike single causes, are worth a lower log p(x), which falls as beta
    leaves 1. Not to compare models by, and not the first choice for disentangling: beta_tc went further on the same sprites
    (evidence/representation.json).

    beta: weight of the KL
    warmup: optimiser steps over which the weight of the KL rises from 0 to beta
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    weight = objectives.Warmup(warmup, 0.0, beta) if warmup else beta
    return Method(model, objectives.ELBO(weight), Training())


@recipe
def capacity_vae(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    capacity: Positive = 25.0,
    gamma: Positive = 100.0,
    steps: NonNegativeInt = 20_000,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """VAE of controlled capacity (Burgess et al. 2018, arXiv:1804.03599).
    The KL is held at a value that rises while the model trains.

    max E_q log p(x|z) - gamma |KL(q(z|x) || p(z)) - C(t)|,  q(z|x) = N(mu(x), diag sigma(x)^2),  p(z) = N(0, I).

    C rises linearly from 0; the KL follows it, so that latents begin to work one after the other.

    When: the number of nats in z is to rise step by step, as for latents that begin to work one after the other. Not for a
    density: the KL is held at C even where more nats, or fewer, would pay. Where a limit is enough constrained_vae needs no
    schedule.

    capacity: C at the end, nats of KL per data point
    gamma: weight of the distance of the KL from C
    steps: optimiser steps over which C rises (published: 100,000)
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    rising = objectives.Warmup(steps, 0.0, capacity)
    return Method(model, objectives.Capacity(rising, gamma), Training())


@recipe
def constrained_vae(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    eps: Positive = 10.0,
    rate: Positive = 0.01,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """VAE with a constraint on the KL (Higgins et al. 2017, ICLR, the problem of eq. 2).
    Reconstructs as well as a budget of KL allows.

    max E log p(x|z)  subject to  E KL(q(z|x) || p(z)) <= eps,  q(z|x) = N(mu(x), diag sigma(x)^2),  p(z) = N(0, I).

    A beta-VAE whose beta, the multiplier of the constraint, is found by dual ascent for the eps that was asked for. The
    last epoch is kept: the loss moves with the multiplier.

    When: a budget of nats is given and beta is not, as for codes of one rate, or for runs that are to be compared at one
    KL. Within the budget nothing is charged, so a KL below eps rises to it. Not for the best density, which beta = 1 has.

    eps: largest mean KL, nats per data point
    rate: of the multiplier's logarithm per step and relative violation
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(model, objectives.Constrained(eps, rate=rate), Training())


@recipe
def geco(
    data: Spec,
    *,
    latent: PositiveInt = 20,
    kappa: Positive = 0.15,
    rate: Positive = 0.01,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
) -> Method:
    """Generalised ELBO with constrained optimisation (Rezende & Viola 2018, arXiv:1810.00597).
    Keeps the error at a tolerance and says as little in z as that takes.

    min E KL(q(z|x) || p(z))  subject to  E |x - m(z)|^2 <= P kappa^2,  p(x|z) = N(m(z), kappa^2 I), P data elements.

    Among all models that reconstruct this well, the one that says least about x. On the constraint kappa is the
    Gaussian's best sigma, so the `elbo` reported is a fair one. The last epoch is kept: the loss moves with the multiplier.

    When: how well x must be reconstructed is known in the unit of x, such as an instrument's error, and the shortest code
    that does it is wanted. A kappa that the network cannot reach makes the multiplier grow and grow: watch it. Not for
    binary data or counts, for p(x|z) is normal.

    kappa: largest root-mean-square error per data element, in the unit of x
    rate: of the multiplier's logarithm per step and relative violation
    """
    if data.standard:
        raise UserError("kappa is an error in the units of the data: do not standardise them, or take constrained_vae.")
    model = normal_vae(data, latent, likelihood="gaussian", sigma=kappa, network=network, hidden=hidden)
    return Method(model, objectives.GECO(kappa, rate=rate), Training())
