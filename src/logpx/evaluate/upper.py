"""The chi-square upper bound on log p(x), by sampling (floor 5)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.evaluate.annealed import check_annealable
from logpx.evaluate.importance import FEW, Progress, weights_by_tile
from logpx.evaluate.rows import PerPoint, Points, at_rest, check_rows, count, plain, weights_error
from logpx.maths import effective_sample_size, log_mean_exp, pareto_khat
from logpx.model import VAE
from logpx.objectives.base import whole


@dataclass(frozen=True)
class ChiSquare(PerPoint):
    """An estimate of CUBO_2 >= log p(x) for each of n points, and how far the estimate is to be believed.

    ess, khat (n,)   of the weights w^2 that are averaged: 1 of k where one draw decides, above 0.7 where the tail does.
    trusted (n,)     ess >= 10 and k-hat <= 0.7. Elsewhere the largest weights have probably not been seen yet, and the number
                     may lie below log p(x): it then bounds nothing.
    """

    samples: int
    ess: Tensor
    khat: Tensor
    kind: str = "upper bound in the limit of many samples"

    @property
    def name(self) -> str:
        """ "CUBO_2,1000": of the second power, with so many draws."""
        return f"CUBO_2,{self.samples}"

    @property
    def trusted(self) -> Tensor:
        return (self.ess >= FEW) & ~(self.khat > 0.7)

    @property
    def monte_carlo_error(self) -> float:
        """Of the mean, from having k draws only: var(log mean w^2) = 1/ESS - 1/k to first order, and half of its root."""
        return 0.5 * weights_error(self.ess, self.samples)

    @property
    def doubt(self) -> str | None:
        """One sentence where too few points can be believed, None where at least nine of ten can."""
        share = self.trusted.double().mean().item()
        if share >= 0.9:
            return None
        share_said = f"{share:.0%}" if share else "none"
        return (
            f"{self.name} is to be believed for {share_said} of the points (effective sample size of w^2 at least 10, k-hat at "
            "most 0.7): for the others it may even lie below log p(x)."
        )

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        numbers = self.head(self.kind, self.name) | {
            "monte_carlo_error": self.monte_carlo_error,
            "samples": self.samples,
            "ess": self.ess.mean().item(),
            "khat": self.khat.nanmedian().item(),
            "trusted": self.trusted.double().mean().item(),
            "doubt": self.doubt,
        }
        return plain(numbers)

    def __str__(self) -> str:
        return f"{self.name} = {self.said}, {self.kind}"


def chi_square(
    model: VAE,
    data: Points,
    *,
    samples: int = 1000,
    seed: int = 0,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> ChiSquare:
    """CUBO_2 = 1/2 log E_q w^2 >= log p(x), w = p(x, z)/q(z|x), by k draws (Dieng et al. 2017, arXiv:1611.00328, eq. 3).

    CUBO_2 - log p(x) = 1/2 log(1 + chi^2(p(z|x) || q(z|x))), infinite where q has lighter tails than the posterior. What is
    computed is 1/2 log 1/k sum_j w_j^2, and the log of a mean is below the mean's log in expectation: with few draws the
    estimate is too low, and so it is an upper bound in the limit only. `trusted` says for which points the limit is near. With
    the same seed and samples the draws are those of `evidence`, and then CUBO_2 >= L_k always.

    Raises UserError where `evidence` is exact, for a score or a model without a density over z, and for no rows.
    """
    whole("samples", samples)
    check_rows(data)
    check_annealable(model)
    parts, done = [], 0
    with at_rest(model):
        for log_w, _, density in weights_by_tile(model, data, samples, seed, memory):
            if not density:
                raise UserError("The grey score is no density, so there is no log p(x) to be bounded.")
            squares = 2 * log_w
            parts.append(
                torch.stack([0.5 * log_mean_exp(squares), effective_sample_size(squares), pareto_khat(squares)]).cpu()
            )
            done += log_w.shape[1]
            if progress:
                progress(done, count(data))
    return ChiSquare(*_split(torch.cat(parts, 1), samples))


def _split(found: Tensor, samples: int) -> tuple[Tensor, int, Tensor, Tensor]:
    per_point, ess, khat = found
    if not bool(per_point.isfinite().all()):
        raise UserError("The upper bound of a row is not finite: the model's weights or this row are broken.")
    return per_point, samples, ess, khat
