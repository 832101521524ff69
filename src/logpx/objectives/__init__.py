"""Objectives (floor 5): what is minimised. They know Draw, no part and no network, and they add: `ELBO() + w * MMD()`."""

from logpx.objectives.adversarial import Critic, FactorCritic
from logpx.objectives.base import (
    Cyclical,
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
from logpx.objectives.bounds import ELBO, IWAE, Gradient, Renyi
from logpx.objectives.codes import L1, Contraction, KLRho, Reconstruction
from logpx.objectives.constrained import GECO, Capacity, Constrained
from logpx.objectives.discrete import DiscreteELBO, Estimator
from logpx.objectives.divergences import JensenShannon, ReverseKL, SlicedWasserstein, TotalVariation, Wasserstein2
from logpx.objectives.penalties import DIP, MMD, KernelName, TotalCorrelation, Version, Weights
from logpx.objectives.quantised import Quantisation
from logpx.objectives.transport import Transport

__all__ = [
    "DIP",
    "ELBO",
    "GECO",
    "IWAE",
    "L1",
    "MMD",
    "Capacity",
    "Constrained",
    "Contraction",
    "Critic",
    "Cyclical",
    "DiscreteELBO",
    "Estimator",
    "FactorCritic",
    "Gradient",
    "JensenShannon",
    "KLRho",
    "KernelName",
    "Objective",
    "Quantisation",
    "Reconstruction",
    "Renyi",
    "ReverseKL",
    "Scalar",
    "SlicedWasserstein",
    "Step",
    "Sum",
    "Terms",
    "TotalCorrelation",
    "TotalVariation",
    "Transport",
    "Version",
    "Warmup",
    "Wasserstein2",
    "Weight",
    "Weights",
    "bound_terms",
    "finished",
    "surrogate",
]
