"""Discrete latents (floor 7)."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from logpx import likelihoods, objectives, posteriors, priors
from logpx.data import Spec
from logpx.distributions.discrete import Draws, count_codes
from logpx.recipes.base import Network, Sigma, assemble, recipe
from logpx.recipes.types import Positive
from logpx.train import Method, Training

#: how each gradient is drawn and estimated
GRADIENTS: dict[str, tuple[Draws, objectives.Estimator]] = {
    "relaxed": ("relaxed", "pathwise"),
    "straight_through": ("straight_through", "pathwise"),
    "leave_one_out": ("hard", "leave_one_out"),
    "exact": ("hard", "exact"),
}


@recipe
def dvae(
    data: Spec,
    *,
    variables: PositiveInt = 20,
    classes: Annotated[int, Field(ge=2)] = 10,
    gradient: Literal["relaxed", "straight_through", "leave_one_out", "exact"] = "relaxed",
    temperature: Positive = 1.0,
    coldest: Positive = 0.5,
    anneal: NonNegativeInt = 20_000,
    prior: Literal["uniform", "learned"] = "uniform",
    samples: PositiveInt | None = None,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Categorical autoencoder (Jang, Gu & Poole 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712).
    A VAE whose latent is made of categorical variables.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  q(z|x) = prod_n Cat(z_n; softmax l_n(x)),  p(z) = prod_n Cat(z_n; pi_n).

    The KL is exact, over the categories. Relaxed draws z = softmax((l + Gumbel noise)/tau) give a biased gradient, and what
    they score in training is no bound (the term `relaxed`). Held-out rows and every evaluation take exact one-hot draws:
    their numbers are bounds on log p(x) of the discrete model.

    When: causes are categories, or a code of so many bits is wanted. Relaxed draws had the best gradient on digits, and
    exact is for few codes (evidence/dvae.json). Not for what varies smoothly: there vae was ahead on the same rows.

    variables: N, categorical variables in z
    classes: K of each
    gradient: by relaxed or straight_through (one-hot) draws, both biased; leave_one_out, unbiased; exact, over all K^N codes
    temperature: tau of relaxed and straight_through draws at the start
    coldest: tau from the end of the annealing on
    anneal: optimiser steps over which tau falls by a constant factor each; 0 leaves it at the start
    prior: p(z), uniform or learned
    samples: k, draws of z per row; 1, or 4 of leave_one_out, unless given
    """
    draws, estimator = GRADIENTS[gradient]
    if gradient == "exact":
        count_codes(variables, classes)
    k = samples or (4 if estimator == "leave_one_out" else 1)
    heat: dict[str, Any] = {"temperature": temperature, "coldest": coldest, "anneal": anneal}
    q = posteriors.Categorical(variables, classes, draws, **heat)
    p = priors.Categorical(variables, classes, learned=prior == "learned")
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    beta = objectives.Warmup(warmup) if warmup else 1.0
    bound = objectives.DiscreteELBO(estimator, samples=k, beta=beta)
    return Method(assemble(data, posterior=q, prior=p, **parts), bound, Training())
