"""Evaluation (floor 5): what a model is worth, in nats per data point with an error bar."""

from logpx.evaluate.alone import evidence_alone
from logpx.evaluate.annealed import Annealed, annealed
from logpx.evaluate.codes import CodeEvidence, CodeUsage, code_evidence, code_usage
from logpx.evaluate.collapse import (
    Decomposition,
    Resemblance,
    collapse_thresholds,
    collapsed_share,
    decoder_motion,
    decomposition,
    mutual_information,
    resemblance,
)
from logpx.evaluate.curve import Curve
from logpx.evaluate.encode import Codes, codes, rows_of_codes
from logpx.evaluate.importance import Evidence, Progress, evidence
from logpx.evaluate.impute import impute
from logpx.evaluate.rate import RateDistortion, distortion, rate_distortion
from logpx.evaluate.refine import Gap, refine
from logpx.evaluate.representation import Representation, representation
from logpx.evaluate.rows import Points, at_rest, batch_of, evaluating, placed, plain, private_randomness
from logpx.evaluate.sandwich import Sandwich, sandwich
from logpx.evaluate.score import Reference, Scores, rows_of_a_tile, scores
from logpx.evaluate.sides import BothSides, both_sides
from logpx.evaluate.terms import expected_terms
from logpx.evaluate.upper import ChiSquare, chi_square
from logpx.evaluate.usage import Usage, usage

__all__ = [
    "Annealed",
    "BothSides",
    "ChiSquare",
    "CodeEvidence",
    "CodeUsage",
    "Codes",
    "Curve",
    "Decomposition",
    "Evidence",
    "Gap",
    "Points",
    "Progress",
    "RateDistortion",
    "Reference",
    "Representation",
    "Resemblance",
    "Sandwich",
    "Scores",
    "Usage",
    "annealed",
    "at_rest",
    "batch_of",
    "both_sides",
    "chi_square",
    "code_evidence",
    "code_usage",
    "codes",
    "collapse_thresholds",
    "collapsed_share",
    "decoder_motion",
    "decomposition",
    "distortion",
    "evaluating",
    "evidence",
    "evidence_alone",
    "expected_terms",
    "impute",
    "mutual_information",
    "placed",
    "plain",
    "private_randomness",
    "rate_distortion",
    "refine",
    "representation",
    "resemblance",
    "rows_of_a_tile",
    "rows_of_codes",
    "sandwich",
    "scores",
    "usage",
]
