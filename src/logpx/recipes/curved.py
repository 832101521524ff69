"""Latent spaces that are curved: spheres, the Poincare ball, products of both with flat ones (floor 7)."""

import math
import re
from itertools import groupby
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from logpx import likelihoods, posteriors, priors
from logpx.data import Spec
from logpx.errors import UserError
from logpx.model import VAE
from logpx.networks import Ambient, Curvature, Curvatures, Geodesic, Own
from logpx.recipes.base import Network, Sigma, assemble, elbo, recipe
from logpx.recipes.types import Positive
from logpx.train import Method, Training

ON_THE_SPHERE = {"vmf": posteriors.VonMisesFisher, "power_spherical": posteriors.PowerSpherical}


@recipe
def hyperspherical_vae(
    data: Spec,
    *,
    latent: PositiveInt = 10,
    law: Literal["vmf", "power_spherical"] = "vmf",
    hidden: tuple[PositiveInt, ...] = (256, 128),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Hyperspherical autoencoder (Davidson et al. 2018, arXiv:1804.00891, eq. 8; power spherical: De Cao & Aziz 2020).
    A VAE whose latent is a direction, a point of a sphere.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  q(z|x) = vMF(mu(x), kappa(x)),  p(z) uniform on the sphere S^d.

    z is a unit vector of d + 1 numbers. The KL is closed, and the gradient of kappa exact; the published one is not. The
    decoder's first layer starts sqrt(d + 1) times wider, as for numbers of variance one.

    When: directions matter and lengths do not, or a latent space without a centre is wanted, in few dimensions: on MNIST it
    was ahead of the normal law at two and five, and behind at ten (evidence/hyperspherical_mnist.json). Not above that: all
    directions share one concentration.

    latent: d, dimensions of the sphere
    law: q(z|x), von Mises-Fisher or power spherical
    """
    q, p = ON_THE_SPHERE[law](latent), priors.UniformSphere(latent)
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = assemble(data, posterior=q, prior=p, **parts)
    if not isinstance(model.decoder, Own):  # whoever brings networks starts them
        with torch.no_grad():
            _first_layer(model)[1].weight[:, : latent + 1] *= math.sqrt(latent + 1)
    return Method(model, elbo(warmup), Training(batch_size=64))


@recipe
def poincare_vae(
    data: Spec,
    *,
    curvature: Positive = 0.7,
    law: Literal["wrapped", "riemannian"] = "wrapped",
    scale: Positive = 1.0,
    decoder: Literal["geodesic", "linear"] = "geodesic",
    learned: bool = False,
    latent: PositiveInt = 10,
    hidden: tuple[PositiveInt, ...] = (600,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Poincare autoencoder (Mathieu et al. 2019, arXiv:1901.06033, section 3).
    A VAE whose latent lies in hyperbolic space, which has room for trees.

    max E_q [log p(x|z) + log p(z) - log q(z|x)],  q and p normal on the ball of curvature -c, per Riemannian volume.

    In float32 points are told apart up to distance 9.5/sqrt c from 0: a prior that reaches further asks for float64.

    When: the data are a tree or another hierarchy, and few dimensions should hold it: on a branching tree it was ahead of
    flat latents on the same rows (evidence/poincare_tree.json). Not without a hierarchy: on MNIST it had no advantage
    (evidence/poincare_mnist.json).

    curvature: c, the ball has radius 1/sqrt c
    law: of q and p; wrapped is the normal law of the tangent space, riemannian that of the distance
    scale: standard deviation of p(z) in units of distance
    decoder: its first layer, distances to geodesic hyperplanes or a linear map of the coordinates
    learned: whether c is learned, at a tenth of the learning rate
    """
    kappa = Curvature(-curvature, "learned" if learned else "fixed")
    if law == "wrapped":
        q: nn.Module = posteriors.WrappedNormal(latent, kappa)
        p: nn.Module = priors.WrappedNormal(latent, kappa, scale)
    else:
        q, p = posteriors.RiemannianNormal(latent, kappa), priors.RiemannianNormal(latent, kappa, scale)
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = assemble(data, posterior=q, prior=p, **parts)
    if decoder == "geodesic":
        name, linear = _first_layer(model)
        first = Geodesic(latent, linear.out_features, kappa, context=linear.in_features - latent)
        model.decoder.set_submodule(name, first)
    return Method(model, elbo(warmup), Training(learning_rate=5e-4))


@recipe
def mixed_curvature_vae(
    data: Spec,
    *,
    signature: str = "h2,s2,u2",
    curvature: Positive = 1.0,
    learned: bool = True,
    hold: NonNegativeInt = 0,
    scale: Positive = 1.0,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Mixed-curvature autoencoder (Skopek et al. 2020, arXiv:1911.08411, section 3).
    A VAE whose latent lies in a product of flat, spherical and hyperbolic spaces.

    max E_q [log p(x|z) + log p(z) - log q(z|x)],  z = (z_1, ..., z_m) in a product of spaces, q and p products of normal laws.

    Each space, such as e2 or h2, has a curvature of its own; that of u is learned from 0 on and takes the sign it likes. Curved
    parts are drawn in stereographic coordinates (Poincare ball, projected sphere), and the decoder reads them in ambient ones
    (hyperboloid, sphere), of n + 1 numbers: h and p are one space, s and d another. Neighbours of as many dimensions are
    computed at once.

    When: the shape of the latent space is the question: parts of either sign, or a part u that learns its curvature. What
    it learns depends on the decoder too (evidence/learned_curvature.json), so it is no property of the data alone. Not for
    the best density: on digits the flat VAE was ahead.

    signature: spaces with their dimensions: e flat, h or p hyperbolic, s or d a sphere, u universal
    curvature: |kappa| of h, p, s and d, or where it starts
    learned: whether it is learned, its sign kept, at a tenth of the learning rate
    hold: optimiser steps before curvatures move
    scale: standard deviation of p(z) of the curved parts in units of distance
    """
    move: Literal["learned", "fixed"] = "learned" if learned else "fixed"
    spaces = _side_by_side([(n, _curvature(letter, curvature, move, hold)) for letter, n in _letters(signature)])
    q = posteriors.Product([posteriors.WrappedNormal(n, k) if k else posteriors.DiagNormal(n) for n, k in spaces])
    p = priors.Product([priors.WrappedNormal(n, k, scale) if k else priors.StandardNormal(n) for n, k in spaces])
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = assemble(data, posterior=q, prior=p, **parts)
    if (ambient := Ambient(spaces)).wider:
        name, linear = _first_layer(model)
        wider = nn.Linear(linear.in_features + ambient.wider, linear.out_features)
        model.decoder.set_submodule(name, nn.Sequential(ambient, wider))
    return Method(model, elbo(warmup), Training(batch_size=100))


def _letters(signature: str) -> list[tuple[str, int]]:
    """ "e2,h2" -> [("e", 2), ("h", 2)]; UserError names the part that is none."""
    found = []
    for part in signature.lower().replace(" ", "").split(","):
        match = re.fullmatch(r"([ehspdu])([1-9][0-9]{0,3})", part)
        if not match:
            raise UserError(
                f"The part {part!r} of the signature {signature!r} is none: write e, h, s, p, d or u and its dimensions, one "
                "or more, as in e2,h2,s2."
            )
        found.append((match[1], int(match[2])))
    return found


def _curvature(letter: str, curvature: float, move: Literal["learned", "fixed"], hold: int) -> Curvature | None:
    if letter == "e":
        return None
    if letter == "u":
        return Curvature(0.0, "universal", hold=hold)
    return Curvature(-curvature if letter in "hp" else curvature, move, hold=hold)


def _side_by_side(spaces: list[tuple[int, Curvature | None]]) -> list[tuple[int, Curvatures | None]]:
    """Neighbours of as many dimensions together, where they are curved."""
    found: list[tuple[int, Curvatures | None]] = []
    for (n, _), run in groupby(spaces, key=lambda space: (space[0], space[1] is None)):
        each = [kappa for _, kappa in run]
        curved = [kappa for kappa in each if kappa is not None]
        found += [(n, Curvatures(curved))] if curved else [(n, None)] * len(each)
    return found


def _first_layer(model: VAE) -> tuple[str, nn.Linear]:
    """The decoder's first linear layer, which receives z and the context behind it, and its name in the decoder.

    Raises UserError for a decoder of the user's own, whose first layer is nobody's to replace.
    """
    if isinstance(model.decoder, Own):
        raise UserError(
            "The first layer of the decoder belongs to the method here (in poincare_vae unless decoder is linear, and wherever "
            "a space is curved in mixed_curvature_vae), so networks of your own do not fit: take mlp or conv."
        )
    return next((name, m) for name, m in model.decoder.named_modules() if isinstance(m, nn.Linear))
