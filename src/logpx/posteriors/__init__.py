"""Posterior families q(z | x) (floor 3): modules that turn the encoder's numbers into a law over z.

A family declares `dim`, what the decoder receives, and `size`, how many numbers the encoder must emit; its call maps
(B, size) to a distribution with event shape (dim,). Calling it on detached numbers gives the same law held constant.
"""

from logpx.posteriors.curved import PowerSpherical, Product, RiemannianNormal, VonMisesFisher, WrappedNormal
from logpx.posteriors.discrete import Categorical
from logpx.posteriors.flow import Flow
from logpx.posteriors.normal import DiagNormal, FullNormal
from logpx.posteriors.point import Deterministic
from logpx.posteriors.quantised import Codebook, FiniteScalar
from logpx.posteriors.transported import Transported

__all__ = [
    "Categorical",
    "Codebook",
    "Deterministic",
    "DiagNormal",
    "FiniteScalar",
    "Flow",
    "FullNormal",
    "PowerSpherical",
    "Product",
    "RiemannianNormal",
    "Transported",
    "VonMisesFisher",
    "WrappedNormal",
]
