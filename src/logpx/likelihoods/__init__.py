"""Likelihoods p(x | z) (floor 3): modules that turn the decoder's output h into a law over x.

A likelihood declares `size`, how many numbers it needs per data element, and `support`, where x may lie. Its call maps
h (..., size, *shape) to a distribution with event shape `shape`, in nats summed over the data's dimensions.
"""

from logpx.likelihoods.autoregressive import Autoregressive, Marginal
from logpx.likelihoods.binary import Bernoulli, ContinuousBernoulliPixels, Grey
from logpx.likelihoods.choice import (
    DEFAULT,
    LIKELIHOODS,
    PROTOCOL,
    Name,
    check_choice,
    check_support,
    for_kind,
    measure_of,
    that_accept,
)
from logpx.likelihoods.counts import NegativeBinomial, Poisson
from logpx.likelihoods.levels import Categorical, DiscretisedLogistic
from logpx.likelihoods.real import Gaussian, Laplace, StudentT
from logpx.likelihoods.sequence import Tokens
from logpx.likelihoods.table import Table

__all__ = [
    "DEFAULT",
    "LIKELIHOODS",
    "PROTOCOL",
    "Autoregressive",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulliPixels",
    "DiscretisedLogistic",
    "Gaussian",
    "Grey",
    "Laplace",
    "Marginal",
    "Name",
    "NegativeBinomial",
    "Poisson",
    "StudentT",
    "Table",
    "Tokens",
    "check_choice",
    "check_support",
    "for_kind",
    "measure_of",
    "that_accept",
]
