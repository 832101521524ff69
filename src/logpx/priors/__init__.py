"""Priors p(z) (floor 3): modules whose call, given an optional context, returns a law over z with event shape (D,)."""

from logpx.priors.curved import Product, RiemannianNormal, UniformSphere, WrappedNormal
from logpx.priors.discrete import Categorical
from logpx.priors.flow import Flow
from logpx.priors.later import Codes, Later
from logpx.priors.mixture import FullMixture, Mixture
from logpx.priors.orbits import Orbits
from logpx.priors.standard import StandardNormal
from logpx.priors.vamp import Vamp

__all__ = [
    "Categorical",
    "Codes",
    "Flow",
    "FullMixture",
    "Later",
    "Mixture",
    "Orbits",
    "Product",
    "RiemannianNormal",
    "StandardNormal",
    "UniformSphere",
    "Vamp",
    "WrappedNormal",
]
