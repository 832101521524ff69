"""Evaluation (floor 5): what a model is worth, in nats per data point with an error bar."""

from logpx.evaluate.codes import CodeEvidence, CodeUsage, code_evidence, code_usage
from logpx.evaluate.importance import Evidence, Progress, evidence
from logpx.evaluate.impute import impute
from logpx.evaluate.rows import Points, at_rest, batch_of, evaluating, private_randomness
from logpx.evaluate.score import Reference, Scores, rows_of_a_tile, scores
from logpx.evaluate.terms import expected_terms
from logpx.evaluate.usage import Usage, mutual_information, usage

__all__ = [
    "CodeEvidence",
    "CodeUsage",
    "Evidence",
    "Points",
    "Progress",
    "Reference",
    "Scores",
    "Usage",
    "at_rest",
    "batch_of",
    "code_evidence",
    "code_usage",
    "evaluating",
    "evidence",
    "expected_terms",
    "impute",
    "mutual_information",
    "private_randomness",
    "rows_of_a_tile",
    "scores",
    "usage",
]
