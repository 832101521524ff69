"""The doctor (floor 7): what a latent space does, why it collapsed, and what to do about it."""

from logpx.doctor.examine import EPS, Examination, examine
from logpx.doctor.findings import Finding, Remedy, findings
from logpx.doctor.forecast import Forecast, Stationary, eigenvalues, forecast, where_it_sits
from logpx.doctor.treat import Treatment, beside, command_of, prescribed, treat

__all__ = [
    "EPS",
    "Examination",
    "Finding",
    "Forecast",
    "Remedy",
    "Stationary",
    "Treatment",
    "beside",
    "command_of",
    "eigenvalues",
    "examine",
    "findings",
    "forecast",
    "prescribed",
    "treat",
    "where_it_sits",
]
