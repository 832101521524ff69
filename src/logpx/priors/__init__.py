"""Priors p(z) (floor 3): modules whose call, given an optional context, returns a law over z with event shape (D,)."""

from logpx.priors.standard import StandardNormal

__all__ = ["StandardNormal"]
