"""Distributions that torch lacks, and closed-form divergences it does not register (floor 1)."""

from logpx.distributions.autoregressive import Autoregressive
from logpx.distributions.binary import BernoulliLogits, BernoulliPixels, ContinuousBernoulli, GreyScore
from logpx.distributions.counts import NegativeBinomial, PoissonLogMean
from logpx.distributions.discrete import OneHots
from logpx.distributions.flow import Flow, import_zuko
from logpx.distributions.heavy import StudentT
from logpx.distributions.kl import has_closed_kl, kinds, kl_by_dimension
from logpx.distributions.laws import is_density, is_euclidean, log_prob_by_element
from logpx.distributions.levels import CategoricalLogits, LogisticMixture
from logpx.distributions.normal import Normals
from logpx.distributions.point import Point
from logpx.distributions.product import ProductOf, SideBySide
from logpx.distributions.quantised import OverCodes, Quantised, code_counts, perplexity
from logpx.distributions.riemannian import RiemannianNormal
from logpx.distributions.sequence import TokenSequence
from logpx.distributions.spaces import Space, spaces_of
from logpx.distributions.sphere import PowerSpherical, UniformSphere, VonMisesFisher
from logpx.distributions.table import Columns
from logpx.distributions.transported import Orbits, Transported
from logpx.distributions.wrapped import WrappedNormal

__all__ = [
    "Autoregressive",
    "BernoulliLogits",
    "BernoulliPixels",
    "CategoricalLogits",
    "Columns",
    "ContinuousBernoulli",
    "Flow",
    "GreyScore",
    "LogisticMixture",
    "NegativeBinomial",
    "Normals",
    "OneHots",
    "Orbits",
    "OverCodes",
    "Point",
    "PoissonLogMean",
    "PowerSpherical",
    "ProductOf",
    "Quantised",
    "RiemannianNormal",
    "SideBySide",
    "Space",
    "StudentT",
    "TokenSequence",
    "Transported",
    "UniformSphere",
    "VonMisesFisher",
    "WrappedNormal",
    "code_counts",
    "has_closed_kl",
    "import_zuko",
    "is_density",
    "is_euclidean",
    "kinds",
    "kl_by_dimension",
    "log_prob_by_element",
    "perplexity",
    "spaces_of",
]
