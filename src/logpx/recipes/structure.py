"""Learned latent structure: orbits of transport operators (floor 7)."""

from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.data import Spec, Split
from logpx.errors import UserError
from logpx.model import VAE
from logpx.posteriors.quantised import k_means, nearest
from logpx.recipes.base import Network, Sigma, assemble, recipe
from logpx.recipes.types import NonNegative, Positive
from logpx.train import Method, Training

LOOKED_AT = 5000  # training rows among which anchors are sought


@recipe
def vaells(
    data: Spec,
    *,
    operators: PositiveInt = 4,
    anchors: PositiveInt = 10,
    latent: PositiveInt = 2,
    posterior_rate: Positive = 100.0,
    posterior_noise: Positive = 0.1,
    prior_rate: Positive = 2.0,
    prior_noise: Positive = 0.3,
    eta: NonNegative = 2.0,
    radius: Positive = 5.0,
    pace: Positive = 50.0,
    iterations: PositiveInt = 6,
    restarts: PositiveInt = 8,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 500,
) -> Method:
    """Autoencoder with learned latent structure (Connor, Canal & Rozell 2021, arXiv:2006.10597, section 3).
    The orbits along which data move in the latent space are learned, and the prior runs along them.

    max E_q log p(x|z) - log q~(z|x) + log p~(z) - eta/2 sum_m |Psi_m|^2,  z = T(c) f(x) + N(0, s^2 I),  c_m ~ Laplace,

    T(c) = expm(sum_m c_m Psi_m) carries z along orbits that the operators Psi_m learn. p(z) has the same form around anchors,
    f of a few training rows in the place of f(x): one of each cluster of k-means, whatever their class. They are kept
    with the weights and encoded anew at each step, with a gradient.

    q~ and p~ stand for the densities, which are integrals over c, by their largest integrand without its constants. So the
    loss is no bound, neither log p(x) nor an ELBO is printed, and the model is judged by its reconstruction, its orbits (in
    the report) and its samples. The published settings for circles, over the weight 0.01 of their squared error, are rates 100
    and 1, noise 0.1 in both laws, eta 1 and sigma 1; with a rate and an eta of 2 and more noise in p(z) one operator is left.

    When: data move along smooth orbits, such as rotations, that are to be found without labels: look at the operators and
    at what is decoded along them. Not for a density, which has no number here, and not in a hurry: it searches orbits at
    every step and is sensitive to its rates.

    operators: M, how many Psi_m; those that are not needed vanish
    anchors: rows whose codes the orbits of p(z) run through
    latent: dimensions of z, 2 or more
    posterior_rate: of the Laplace law of c in q(z|x): 1 over its scale
    posterior_noise: s in q(z|x)
    prior_rate: of the Laplace law of c in p(z)
    prior_noise: s in p(z)
    eta: weight of the operators' size
    radius: R of a term |f(x)|^2/(2 R^2) that keeps codes around 0, about which operators turn; the paper has none (a large R)
    pace: how many times faster than the networks the operators learn
    iterations: steps of the search for the best c
    restarts: draws of c that it may begin at, beside 0
    warmup: optimiser steps in which the operators stay as drawn, while the weight of all but log p(x|z) rises from 0 to 1
    """
    if data.context:
        raise UserError("The orbits of vaells have no context: leave it out, or take conditional_vae.")
    psi = networks.Operators(operators, latent, pace=pace, hold=warmup)
    q = posteriors.Transported(psi, rate=posterior_rate, noise=posterior_noise)
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = assemble(data, posterior=q, prior=None, **parts)
    model.prior = priors.Orbits(model.encoder, psi, data.shape, anchors, rate=prior_rate, noise=prior_noise)
    loss = objectives.Transport(
        eta,
        radius=radius,
        weight=objectives.Warmup(warmup) if warmup else 1.0,
        iterations=iterations,
        restarts=restarts,
    )
    return Method(model, loss, Training(), start=_start)


def _start(model: VAE, train: Split) -> None:
    """The anchors at training rows, one drawn from each cluster of k-means in x: spread out, and no label is looked at.

    The rows nearest to the centres would be those furthest inside: none on the outer of two circles. Raises UserError for
    fewer rows than anchors.
    """
    prior, like = model.prior, next(model.parameters())
    assert isinstance(prior, priors.Orbits)
    N, seen = len(prior.anchors), torch.randperm(len(train))[:LOOKED_AT]
    if len(seen) < N:
        raise UserError(f"anchors is {N}, and p(z) finds {len(seen)} rows to run through: ask for fewer anchors.")
    batch = train.batch(seen, torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    rows = batch.x.flatten(1)
    centres, _ = k_means(rows, N)
    of_cluster = nearest(rows, centres) == torch.arange(N, device=rows.device)[:, None]  # (anchors, rows)
    drawn = (of_cluster * torch.rand(len(rows), device=rows.device)).argmax(1)
    prior.anchors.copy_(model.shown(batch)[drawn])
