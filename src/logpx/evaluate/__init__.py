"""Evaluation (floor 5): what a model is worth, in nats per data point with an error bar."""

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
from logpx.evaluate.importance import Evidence, Progress, evidence
from logpx.evaluate.impute import impute
from logpx.evaluate.representation import Representation, representation
from logpx.evaluate.rows import Points, at_rest, batch_of, evaluating, placed, private_randomness
from logpx.evaluate.score import Reference, Scores, rows_of_a_tile, scores
from logpx.evaluate.terms import expected_terms
from logpx.evaluate.usage import Usage, usage

__all__ = [
    "CodeEvidence",
    "CodeUsage",
    "Decomposition",
    "Evidence",
    "Points",
    "Progress",
    "Reference",
    "Representation",
    "Resemblance",
    "Scores",
    "Usage",
    "at_rest",
    "batch_of",
    "code_evidence",
    "code_usage",
    "collapse_thresholds",
    "collapsed_share",
    "decoder_motion",
    "decomposition",
    "evaluating",
    "evidence",
    "expected_terms",
    "impute",
    "mutual_information",
    "placed",
    "private_randomness",
    "representation",
    "resemblance",
    "rows_of_a_tile",
    "scores",
    "usage",
]
