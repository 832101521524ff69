"""L_k as a function of k from one set of draws (floor 5)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from logpx.maths import log_mean_exp


def powers_up_to(K: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below K, and K."""
    return [k for e in range(len(str(K))) for m in (1, 2, 5) if (k := m * 10**e) < K] + [K]


@dataclass(frozen=True)
class Curve:
    """L_k of n points at several k, from the same K draws of each: L_1 = ELBO <= L_2 <= ... <= log p(x) in expectation.

    samples              the k, ascending
    per_point (len, n)   log 1/k sum w averaged over the K // k blocks of k draws: unbiased for L_k, at k = 1 all K draws' ELBO
    error (len, n)       its standard error over blocks, nan where there is one block
    """

    samples: tuple[int, ...]
    per_point: Tensor
    error: Tensor

    @classmethod
    def of(cls, log_w: Tensor) -> "Curve":
        """From log weights (K, n)."""
        samples = powers_up_to(len(log_w))
        rows = [_blocked(log_w, k) for k in samples]
        return cls(tuple(samples), torch.stack([mean for mean, _ in rows]), torch.stack([error for _, error in rows]))

    @classmethod
    def joined(cls, parts: "list[Curve]") -> "Curve":
        """Those of several tiles of points as one."""
        values = (torch.cat([getattr(part, name) for part in parts], 1).cpu() for name in ("per_point", "error"))
        return cls(parts[0].samples, *values)

    @property
    def means(self) -> list[float]:
        """L_k, the mean over points, at each k."""
        return self.per_point.mean(1).tolist()

    @property
    def standard_errors(self) -> list[float]:
        """From having n points only; nan for one."""
        n = self.per_point.shape[1]
        return (self.per_point.std(1) / math.sqrt(n)).tolist() if n > 1 else [math.nan] * len(self.samples)

    @property
    def monte_carlo_errors(self) -> list[float]:
        """Of the means, from having K draws only; nan at the largest k, of which there is one block."""
        return (self.error.square().sum(1).sqrt() / self.per_point.shape[1]).tolist()

    def summary(self) -> list[dict[str, Any]]:
        """Plain numbers for a table or a JSON object, one entry for each k."""
        names = ("samples", "value", "standard_error", "monte_carlo_error")
        columns = (self.samples, self.means, self.standard_errors, self.monte_carlo_errors)
        rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
        return [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in rows]


def _blocked(log_w: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The mean over blocks of k draws of log-mean-exp, and its standard error over blocks, (n,) each."""
    blocks = len(log_w) // k
    bounds = log_mean_exp(log_w[: blocks * k].unflatten(0, (blocks, k)).transpose(0, 1))  # (blocks, n)
    error = bounds.std(0) / math.sqrt(blocks) if blocks > 1 else torch.full_like(bounds[0], math.nan)
    return bounds.mean(0), error
