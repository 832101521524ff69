"""Methods that look at the aggregated posterior q(z) = E_x q(z|x), or leave the KL for another divergence (floor 7)."""

from functools import partial
from typing import Any, Literal

from pydantic import PositiveInt
from torch import nn

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.data import Spec
from logpx.errors import UserError
from logpx.model import VAE
from logpx.objectives import Objective
from logpx.recipes.base import Network, Sigma, assemble, normal_vae, recipe
from logpx.recipes.types import Finite, NonNegative, Positive
from logpx.train import Method, Training

Encoder = Literal["deterministic", "gaussian"]
FAMILIES = {"deterministic": posteriors.Deterministic, "gaussian": posteriors.DiagNormal}


def _with_a_prior(data: Spec, latent: int, encoder: Encoder, **parts: Any) -> VAE:
    """A code, or a normal law around one, and the prior N(0, I) that a penalty compares all codes with."""
    return assemble(data, posterior=FAMILIES[encoder](latent), prior=priors.StandardNormal(latent), **parts)


@recipe
def wae_mmd(
    data: Spec,
    *,
    latent: PositiveInt = 8,
    lam: NonNegative = 100.0,
    kernel: objectives.KernelName = "imq",
    encoder: Encoder = "deterministic",
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    sigma: Positive = 1.0,
) -> Method:
    """Wasserstein autoencoder with a kernel (Tolstikhin, Bousquet, Gelly & Schoelkopf 2018, arXiv:1711.01558, algorithm 2).
    Reconstructs, and holds the codes of all rows together to p(z) by a kernel's distance.

    min E |x - g(z)|^2 / (2 sigma^2) + lam MMD^2(q(z), p(z)),  p(z) = N(0, I); the cost is -log p(x|z) but for a constant.

    lam 100 beside a cost of |x - g|^2 / 2 is the ratio of the published code, lam 10 beside 0.05 |x - g|^2. With a
    deterministic code there is no bound on log p(x): judge the samples.

    When: samples count more than a likelihood, and codes are to fill p(z) as a whole, by a loss without an adversary. Not
    to compare log p(x), which there is none of, and not for z of many dimensions, in which a kernel sees little of a batch.

    lam: weight of the penalty
    kernel: imq, the sum over seven scales of C/(C + |a - b|^2), or rbf with the median distance as its width
    encoder: deterministic, or gaussian for z ~ N(mu(x), diag sigma(x)^2)
    sigma: of the cost, fixed
    """
    parts = {"likelihood": "gaussian", "sigma": sigma, "network": network, "hidden": hidden}
    objective = objectives.Reconstruction() + lam * objectives.MMD(kernel)
    return Method(_with_a_prior(data, latent, encoder, **parts), objective, Training())


@recipe
def wae_gan(
    data: Spec,
    *,
    latent: PositiveInt = 8,
    lam: Positive = 1.0,
    critic: tuple[PositiveInt, ...] = (512, 512, 512, 512),
    rate: Positive = 0.5,
    prior_trick: bool = False,
    encoder: Encoder = "deterministic",
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    sigma: Positive = 1.0,
) -> Method:
    """Wasserstein autoencoder with a critic (Tolstikhin, Bousquet, Gelly & Schoelkopf 2018, arXiv:1711.01558, algorithm 1).
    Reconstructs, and holds the codes of all rows together to p(z) by a critic.

    min E |x - g(z)|^2 / (2 sigma^2) + lam E softplus(-D(z)),  the cost being -log p(x|z) but for a constant;
    D: min E softplus(-D(z')) + E softplus(D(z)),  z' ~ p(z) = N(0, I), at its best log p(z) - log q(z).

    lam 100 is the ratio of the published code, whose encoder is trained beforehand and whose Adam has beta_1 = 0.5; here
    the critic then wins at once and the codes are lost (evidence/wae_gan.json), so lam is 1.

    When: as wae_mmd, where a kernel is too weak a judge: its samples were nearer to the data than the VAE's
    (evidence/wae_gan.json). Not without a look at them: a critic that wins takes the codes away, as it did at the published
    weight.

    lam: weight of the penalty
    critic: widths of the critic's layers
    rate: the critic's multiple of the learning rate
    prior_trick: learn h in D(z) = h(z) + log p(z)
    encoder: deterministic, or gaussian for z ~ N(mu(x), diag sigma(x)^2)
    sigma: of the cost, fixed
    """
    parts = {"likelihood": "gaussian", "sigma": sigma, "network": network, "hidden": hidden}
    judge = objectives.Critic(networks.MLP((latent,), critic, ()), rate=rate, prior_trick=prior_trick)
    return Method(_with_a_prior(data, latent, encoder, **parts), objectives.Reconstruction() + lam * judge, Training())


@recipe
def aae(
    data: Spec,
    *,
    latent: PositiveInt = 8,
    critic: tuple[PositiveInt, ...] = (512, 512),
    rate: Positive = 1.0,
    lam: Positive = 1.0,
    encoder: Encoder = "deterministic",
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Adversarial autoencoder (Makhzani, Shlens, Jaitly, Goodfellow & Frey 2015, arXiv:1511.05644, section 2).
    An autoencoder whose codes an adversary cannot tell from draws of p(z).

    max E log p(x|z) - lam E softplus(-D(z)),  D(z) telling codes from draws of p(z) = N(0, I).

    The ELBO with the KL of each q(z|x) replaced by an adversary's view of q(z) as a whole; no bound remains.

    When: codes are to follow p(z) as a whole, judged by an adversary, and p(x|z) is to be any likelihood. Not to compare
    log p(x), which there is none of, and not as the first choice: wae_mmd has the same aim and one player.

    critic: widths of the critic's layers
    rate: the critic's multiple of the learning rate
    lam: weight of the adversary
    encoder: deterministic, or gaussian for z ~ N(mu(x), diag sigma(x)^2)
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    judge = objectives.Critic(networks.MLP((latent,), critic, ()), rate=rate)
    return Method(_with_a_prior(data, latent, encoder, **parts), objectives.Reconstruction() + lam * judge, Training())


@recipe
def info_vae(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    alpha: Finite = 0.0,
    lam: Positive = 10.0,
    kernel: objectives.KernelName = "imq",
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """InfoVAE (Zhao, Song & Ermon 2017, arXiv:1706.02262, section 3).
    What z knows of x and how far q(z) is from p(z) are weighted apart.

    max E_q log p(x|z) - (1 - alpha) KL(q(z|x) || p(z)) - (alpha + lam - 1) MMD^2(q(z), p(z)),  q = N(mu(x), diag sigma(x)^2).

    alpha weighs the information I(x; z) that the KL takes away: at 1 (MMD-VAE) nothing but the aggregate is held to
    p(z), at 0 and lam 1 it is the VAE. The elbo reported is the bound at beta = 1. Neither weight may be negative.

    When: z should keep more of x than the VAE leaves it, with q(z) still near p(z). At alpha = 1 the KL is gone and log
    p(x) falls far (evidence/info_vae.json), so that is not for a density; at the defaults it is the VAE with one more
    penalty.

    alpha: preference for information, at most 1, for none of the KL
    lam: weight of the distance between q(z) and p(z), at least 1 - alpha
    kernel: imq, the sum over seven scales of C/(C + |a - b|^2), or rbf with the median distance as its width
    """
    if alpha > 1 or alpha + lam < 1:
        raise UserError(
            f"alpha is {alpha} and lam {lam}, so a KL or a distance would be rewarded: take alpha up to 1 and lam from "
            "1 - alpha on."
        )
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(model, objectives.ELBO(1 - alpha) + (alpha + lam - 1) * objectives.MMD(kernel), Training())


@recipe
def beta_tc(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    beta: NonNegative = 6.0,
    rows: PositiveInt | None = None,
    weights: objectives.Weights = "weighted",
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Beta-TC-VAE (Chen, Li, Grosse & Duvenaud 2018, arXiv:1802.04942, eq. 4).
    The dependence between latents is penalised, and not what they know of x.

    max E_q log p(x|z) - I(x; z) - beta TC - sum_i KL(q(z_i) || p(z_i)),  TC = KL(q(z) || prod_i q(z_i)),
    q(z|x) = N(mu(x), diag sigma(x)^2).

    That is ELBO - (beta - 1) TC. The estimate of TC from a batch is biased and saturates. Weighted sampling adds about
    (latent - 1) log rows to its value, 99 nats for MNIST, and nothing to the gradient; the elbo is free of it.

    When: latents are to follow single causes: on sprites its mutual information gap was several times that of the VAE, at a
    lower log p(x) (evidence/representation.json). Not for a density, and not with small batches, from which TC is read with
    bias. No objective warrants causes: compare seeds.

    beta: weight of the total correlation; below 1 its estimate is rewarded, against the exact one within the KL
    rows: N, the number of training rows, which is found out where it is not given
    weights: of the batch's rows in q(z): weighted, the paper's own, or stratified, which is unbiased for q(z)
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(
        model, objectives.ELBO() + (beta - 1) * objectives.TotalCorrelation(rows or 60_000, weights), Training()
    )


@recipe
def factor_vae(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    gamma: Positive = 10.0,
    critic: tuple[PositiveInt, ...] = (256, 256, 256),
    rate: Positive = 1.0,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """Factor-VAE (Kim & Mnih 2018, arXiv:1802.05983, eq. 2 and 3).
    The dependence between latents is penalised, as a critic reads it.

    max ELBO - gamma KL(q(z) || prod_i q(z_i)),  q(z|x) = N(mu(x), diag sigma(x)^2),  the KL as E_q D(z), D a critic's logit.

    The critic tells codes from codes whose dimensions were each put in an order of their own. It is leaky as the
    paper's, which has six layers of 1000.

    When: as beta_tc, with TC read by a critic instead of off the batch. Not first: a critic is a second player, and beta_tc
    has the same aim without one. No objective warrants causes: compare the walks of several seeds.

    gamma: weight of the total correlation
    critic: widths of the critic's layers
    rate: the critic's multiple of the learning rate
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    judge = networks.MLP((latent,), critic, (), activation=partial(nn.LeakyReLU, 0.2))
    return Method(model, objectives.ELBO() + gamma * objectives.FactorCritic(judge, rate=rate), Training())


@recipe
def dip_vae(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    version: objectives.Version = "ii",
    lam: NonNegative = 10.0,
    diagonal: NonNegative = 1.0,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """DIP-VAE (Kumar, Sattigeri & Balakrishnan 2018, arXiv:1711.00848, eq. 6 and 7).
    The covariance between latents is penalised.

    max ELBO - lam [sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2],  q(z|x) = N(mu(x), diag sigma(x)^2).

    C is the covariance of the posterior's means (i) or of q(z) (ii); the paper takes diagonal 10 and 1 for them.

    When: latents without correlation are enough: second moments of q(z), no critic, and on MNIST less log p(x) lost than by
    beta_tc (evidence/dip_vae.json, evidence/beta_tc.json). Not where causes depend on each other in more than their
    covariance, which it does not see.

    version: i or ii
    lam: weight of the crossed covariances
    diagonal: weight of the variances, as a multiple of lam
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(model, objectives.ELBO() + lam * objectives.DIP(version, diagonal), Training())


Which = Literal["reverse_kl", "jensen_shannon", "total_variation", "sliced_wasserstein", "wasserstein2"]


def _divergence(which: Which, samples: int) -> Objective:
    if which in ("sliced_wasserstein", "wasserstein2"):
        return objectives.SlicedWasserstein() if which == "sliced_wasserstein" else objectives.Wasserstein2()
    sampled = {
        "reverse_kl": objectives.ReverseKL,
        "jensen_shannon": objectives.JensenShannon,
        "total_variation": objectives.TotalVariation,
    }
    return sampled[which](samples)


@recipe
def divergence_vae(
    data: Spec,
    *,
    which: Which = "jensen_shannon",
    weight: Positive = 1.0,
    latent: PositiveInt = 10,
    samples: PositiveInt = 1,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
) -> Method:
    """VAE with another divergence (Kolouri et al. 2019, arXiv:1804.01947, eq. 9, sliced; Deasy et al. 2020, arXiv:2006.10599).
    A VAE with another divergence in the place of the KL.

    max E_q log p(x|z) - weight D(q, p),  q(z|x) = N(mu(x), diag sigma(x)^2),  p(z) = N(0, I),  D in the place of the KL.

    What is trained is no bound on log p(x). The elbo reported is nevertheless that at beta = 1: compare models by
    importance sampling. Jensen-Shannon and total variation are bounded, and lose their gradient far from the prior.

    When: one wants to see what the KL is good for, with another divergence in its place. Not for a density: those measured
    were far behind the VAE (evidence/divergence_vae.json). The Wasserstein distances keep their gradient far from the
    prior.

    which: reverse_kl, jensen_shannon, total_variation and wasserstein2 of q(z|x) from p(z); sliced_wasserstein of q(z) from it
    weight: of the divergence
    """
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(model, objectives.ELBO(0.0, samples=samples) + weight * _divergence(which, samples), Training())
