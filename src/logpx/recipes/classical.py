"""Models whose evidence is exact (floor 7): probabilistic PCA, factor analysis and the linear VAE, oracles and methods."""

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from logpx import exact, networks, objectives
from logpx.data import Spec
from logpx.errors import UserError
from logpx.model import VAE
from logpx.recipes.base import recipe
from logpx.recipes.types import Positive
from logpx.train import Method, Training

Solution = Literal["closed form", "em"]


@recipe
def ppca(data: Spec, *, latent: PositiveInt = 2, solution: Solution = "closed form") -> Method:
    """Probabilistic PCA (Tipping & Bishop 1999, J. R. Statist. Soc. B 61).
    A normal law of x with a few directions and equal noise in all, fitted exactly.

    x = W z + mu + e,  z ~ N(0, I),  e ~ N(0, s^2 I);  the maximum of log p(x) from the eigenvectors, or by EM.

    As a VAE it has the exact posterior, so every bound on it is tight. Of standardised columns it is, in the units of the file,
    a factor analysis whose noise is s times each column's standard deviation.

    When: always, first: it takes seconds, log p(x) is exact, and it is the baseline that a VAE on the same rows has to
    beat. Not for binary pixels, counts or clouds that bend, for it is one normal law; with columns of different units take
    factor_analysis.

    latent: dimensions of z
    solution: closed form, or em, which needs no eigendecomposition and raises the evidence at every iteration
    """
    _check(data, "Probabilistic PCA")
    _check_room(data, latent, "probabilistic PCA")
    model = (exact.factor_analysis if data.standard else exact.ppca).build(data.shape, latent)
    steps = _closed_form if solution == "closed form" else _em
    epochs = 1 if solution == "closed form" else 1000
    solve = partial(_solved, partial(steps, latent), data.standard)
    return Method(model, objectives.ELBO(kl="one sample"), Training(epochs=epochs), solve)


def _check(data: Spec, name: str) -> None:
    """An exact model knows one law of x, so it takes no context, and no categories."""
    if data.context:
        raise UserError(f"{name} takes no context: leave it out.")
    if data.kind == "categorical" or any(column.kind == "categorical" for column in data.columns or ()):
        raise UserError(f"{name} takes numbers, and these data have categories: drop them.")


Fits = Iterator[tuple[exact.ppca.PPCA, float]]  # the model after each iteration and its mean evidence


def _closed_form(latent: int, x: Tensor) -> Fits:
    fitted = exact.ppca.closed_form(x, latent)
    yield fitted, fitted.log_evidence(x).mean().item()


def _em(latent: int, x: Tensor) -> Fits:
    return exact.ppca.em(x, latent, iterations=10**9)  # the loop counts the epochs


def _solved(
    steps: Callable[[Tensor], Fits], standard: networks.Standard | None, model: VAE, x: Tensor
) -> Iterator[dict[str, float]]:
    """The fits of x, or of y = (x - mean)/scale, as the model of x: log p(x) = log p(y) - sum_j log scale_j."""
    if standard is None:
        for fitted, evidence in steps(x):
            exact.ppca.write_into(model, fitted)
            yield {"loss": -evidence, "elbo": evidence}
        return
    mean, scale = (n.to(x.device).double().flatten() for n in standard.tensors(tuple(x.shape[1:])))
    for fitted, evidence in steps((x.flatten(1).double() - mean) / scale):
        W, mu, s2 = fitted
        of_x = exact.factor_analysis.FactorAnalysis(scale[:, None] * W, mean + scale * mu, scale.square() * s2)
        exact.factor_analysis.write_into(model, of_x)
        evidence -= scale.log().sum().item()
        yield {"loss": -evidence, "elbo": evidence}


@recipe
def factor_analysis(data: Spec, *, latent: PositiveInt = 2) -> Method:
    """Factor analysis (Rubin & Thayer 1982, Psychometrika 47).
    A normal law of x with a few directions and a noise for each column.

    x = W z + mu + e,  z ~ N(0, I),  e ~ N(0, diag psi);  the maximum of log p(x) by EM.

    Probabilistic PCA with a noise of its own for each column, so the columns' units do not matter. As a VAE it has the
    exact posterior, and every bound on it is tight. psi stays above a millionth of each column's variance.

    When: columns have units and noises of their own, as in questionnaires or sensors, and causes act linearly. EM climbs to
    a local maximum, so compare seeds. Not for columns that never change, and not for clouds that bend.

    latent: dimensions of z
    """
    _check(data, "Factor analysis")
    _check_room(data, latent, "factor analysis")
    solve = partial(_factor_em, latent, int(torch.randint(2**31, ())))  # the recipe's seed decides the start
    return Method(
        exact.factor_analysis.build(data.shape, latent), objectives.ELBO(kl="one sample"), Training(epochs=1000), solve
    )


def _factor_em(latent: int, seed: int, model: VAE, x: Tensor) -> Iterator[dict[str, float]]:
    for fitted, evidence in exact.factor_analysis.em(x, latent, iterations=10**9, seed=seed):
        exact.factor_analysis.write_into(model, fitted)
        yield {"loss": -evidence, "elbo": evidence}


def _check_room(data: Spec, latent: int, name: str) -> None:
    """Raises UserError unless the columns are more than the latents."""
    if (P := prod(data.shape)) == 1:
        raise UserError(f"{name[0].upper()}{name[1:]} needs data with at least two columns.")
    if latent >= P:
        raise UserError(f"latent is {latent}: {name} of {P} columns has room for at most {P - 1}.")


@recipe
def linear_vae(
    data: Spec,
    *,
    latent: PositiveInt = 2,
    sigma: Positive | Literal["shared", "optimal"] = "shared",
    elbo: Literal["analytic", "sampled"] = "analytic",
) -> Method:
    """Linear variational autoencoder (Lucas et al. 2019, arXiv:1911.02469).
    A VAE with linear networks, whose optimum is known.

    p(x|z) = N(W z + mu, s^2 I),  q(z|x) = N(V x + b, diag d): at the optimum it is pPCA with axes, and a latent is
    alive exactly where an eigenvalue of the data exceeds s^2.

    When: one wants to see why latents collapse, or to test an objective where the answer is known. Not to model data: ppca
    has the same optimum, exact and at once.

    latent: dimensions of z
    sigma: s: a number, or one learned by gradient (shared) or kept at its optimum (optimal)
    elbo: analytic, without sampling noise, or sampled, as in any VAE
    """
    _check(data, "The linear VAE")
    if data.standard:
        raise UserError(
            "The linear VAE has one sigma for all columns in their own units: take ppca of standardised ones."
        )
    model = exact.linear_vae.build(data.shape, latent, sigma)
    objective = exact.linear_vae.AnalyticELBO() if elbo == "analytic" else objectives.ELBO()
    return Method(model, objective, Training())
