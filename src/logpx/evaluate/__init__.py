"""Evaluation (floor 5): what a model is worth, in nats per data point with an error bar."""

from logpx.evaluate.annealed import Annealed, annealed
from logpx.evaluate.codes import CodeEvidence, CodeUsage, code_evidence, code_usage
from logpx.evaluate.curve import Curve
from logpx.evaluate.importance import Evidence, Progress, evidence
from logpx.evaluate.impute import impute
from logpx.evaluate.refine import Gap, refine
from logpx.evaluate.rows import Points, at_rest, batch_of, evaluating, private_randomness
from logpx.evaluate.sandwich import Sandwich, sandwich
from logpx.evaluate.sides import BothSides, both_sides
from logpx.evaluate.terms import expected_terms
from logpx.evaluate.upper import ChiSquare, chi_square
from logpx.evaluate.usage import Usage, mutual_information, usage

__all__ = [
    "Annealed",
    "BothSides",
    "ChiSquare",
    "CodeEvidence",
    "CodeUsage",
    "Curve",
    "Evidence",
    "Gap",
    "Points",
    "Progress",
    "Sandwich",
    "Usage",
    "annealed",
    "at_rest",
    "batch_of",
    "both_sides",
    "chi_square",
    "code_evidence",
    "code_usage",
    "evaluating",
    "evidence",
    "expected_terms",
    "impute",
    "mutual_information",
    "private_randomness",
    "refine",
    "sandwich",
    "usage",
]
