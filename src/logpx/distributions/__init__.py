"""Distributions that torch lacks, and closed-form divergences it does not register (floor 1)."""

from logpx.distributions.binary import BernoulliLogits, ContinuousBernoulli, GreyScore
from logpx.distributions.kl import has_closed_kl, kl_by_dimension
from logpx.distributions.laws import is_density, log_prob_by_element
from logpx.distributions.point import Point

__all__ = [
    "BernoulliLogits",
    "ContinuousBernoulli",
    "GreyScore",
    "Point",
    "has_closed_kl",
    "is_density",
    "kl_by_dimension",
    "log_prob_by_element",
]
