"""Codes (floor 5): what a prior says of those of rows, where q(z|x) is no density, and which of finitely many are used."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from logpx.distributions import Quantised, code_counts, perplexity
from logpx.errors import UserError
from logpx.evaluate.rows import PerPoint, Points, at_rest, batch_of, check_rows, count, placed, plain
from logpx.model import VAE

NO_DENSITY = (
    "The prior of this model can be drawn from, but its density is an integral without a closed form, so log p(x) is not "
    "bounded and codes are not rated: compare such models by their reconstruction and their samples."
)


@dataclass(frozen=True)
class CodeEvidence(PerPoint):
    """log p(z) at the code z = f(x) of each of n points, in nats; exact, and never a statement about log p(x).

    It changes with the scale of the codes: compare priors on one encoder with it, not two encoders.
    """

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        return plain(self.head("exact log-density of codes", "log p(z)"))

    def __str__(self) -> str:
        n = len(self.per_point)
        return f"log p(z) = {self.said}, density of the codes and not of x, exact, {n:,} point{'s' * (n != 1)}"


def code_evidence(model: VAE, data: Points) -> CodeEvidence:
    """log p(z) at z = f(x), exactly; raises UserError without a prior, and where q(z|x) is a density and log p(x) is due."""
    if model.prior is None:
        raise UserError("This model has no prior over its codes: train it with one, such as --density mixture.")
    if not model.rates_codes:
        raise UserError(NO_DENSITY)
    if model.has_evidence:
        raise UserError("Here q(z|x) is a density, so log p(x) itself can be bounded: take evidence.")
    check_rows(data)
    parts = []
    with at_rest(model):
        for start in range(0, count(data), 1000):
            batch = placed(batch_of(data, slice(start, start + 1000)), model)
            parts.append(model.prior(batch.context).log_prob(model.encode(batch).mean).double().cpu())
    per_point = torch.cat(parts)
    if not bool(per_point.isfinite().all()):
        raise UserError("The density of a code is not finite: the model's weights or a row are broken.")
    return CodeEvidence(per_point)


@dataclass(frozen=True)
class CodeUsage:
    """How often each code of each codebook stands for a place of some row, counts (stages, K)."""

    counts: Tensor

    @property
    def used(self) -> int:
        """Codes that are used at all, of all codebooks together."""
        return int((self.counts > 0).sum())

    @property
    def codes(self) -> int:
        return self.counts.numel()

    @property
    def perplexity(self) -> float:
        """exp(H) of the shares, the mean over codebooks: K where all codes are used alike, 1 where one stands for all."""
        return perplexity(self.counts.double()).mean().item()


def code_usage(model: VAE, data: Points) -> CodeUsage:
    """Which codes the rows use; raises UserError where q(z|x) is no code of a codebook, and for no rows."""
    check_rows(data)
    total = torch.zeros(())
    with at_rest(model):
        for start in range(0, count(data), 500):
            q = model.encode(placed(batch_of(data, slice(start, start + 500)), model))
            if not isinstance(q, Quantised):
                raise UserError("This model has no discrete codes whose use could be counted: train vq_vae for some.")
            total = total + code_counts(q.indices, q.codes, q.stages).double().cpu()
    return CodeUsage(total)
