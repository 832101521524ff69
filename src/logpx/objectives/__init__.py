"""Objectives (floor 5): what is minimised. They know Draw, no part and no network, and they add: `ELBO() + w * MMD()`."""

from logpx.objectives.base import (
    Objective,
    Scalar,
    Step,
    Sum,
    Terms,
    Warmup,
    Weight,
    bound_terms,
    finished,
    surrogate,
)
from logpx.objectives.bounds import ELBO, IWAE, Gradient

__all__ = [
    "ELBO",
    "IWAE",
    "Gradient",
    "Objective",
    "Scalar",
    "Step",
    "Sum",
    "Terms",
    "Warmup",
    "Weight",
    "bound_terms",
    "finished",
    "surrogate",
]
