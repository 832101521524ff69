"""What can be said of log p(x) from below and from above, on real rows and on drawn ones (floor 5)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from logpx.evaluate.annealed import Annealed, annealed, check_annealable
from logpx.evaluate.importance import Evidence, Progress, evidence
from logpx.evaluate.rows import PerPoint, Points, batch_of, plain
from logpx.evaluate.sandwich import Sandwich, sandwich
from logpx.evaluate.upper import ChiSquare, chi_square
from logpx.model import VAE

Stage = Callable[[str], Progress | None]


@dataclass(frozen=True)
class BothSides:
    """log p(x) of some rows from below, what stands above it, and how far the two are apart on rows the model drew.

    evidence   L_k of the rows: a lower bound
    lower      of the same rows by annealing: a lower bound, nearer
    upper      of the same rows by chi-square: an upper bound only where its `trusted` says so
    simulated  both bounds on as many rows that the model drew, with the same chains. No upper bound with a guarantee exists for
               real rows, since no exact draw of p(z|x) is at hand; this gap says how far below log p(x) the annealed number
               is on rows that the model understands best, so real rows may be further off.
    """

    evidence: Evidence
    lower: Annealed
    upper: ChiSquare
    simulated: Sandwich

    @property
    def rise(self) -> PerPoint:
        """By how much annealing is above L_k, row by row: what more samples would still have to find."""
        return PerPoint(self.lower.per_point - self.evidence.per_point)

    @property
    def sentences(self) -> list[str]:
        """What was found, a line each."""
        error = self.rise.standard_error
        spread = "" if math.isnan(error) else f" +- {error:.3f} (s.e. of the difference)"
        rise = (
            f"{self.lower.name} - {self.evidence.name} = {self.rise.mean:.3f}{spread} nats per data point, row by row"
        )
        above = [str(self.upper), self.upper.doubt] if self.upper.doubt else [str(self.upper)]
        return [str(self.evidence), str(self.lower), rise, *above, f"on drawn rows {self.simulated}"]

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a JSON object."""
        numbers = {
            "rows": len(self.lower.per_point),
            "rise": self.rise.mean,
            "rise_standard_error": self.rise.standard_error,
            "evidence": self.evidence.summary(),
            "lower": self.lower.summary(),
            "upper": self.upper.summary(),
            "simulated": self.simulated.summary(),
        }
        return plain(numbers)


def both_sides(
    model: VAE,
    data: Points,
    *,
    rows: int = 100,
    temperatures: int = 200,
    chains: int = 16,
    samples: int = 1000,
    seed: int = 0,
    memory: int = 256 * 2**20,
    bits: bool = True,
    progress: Stage | None = None,
) -> BothSides:
    """`evidence`, `annealed` and `chi_square` of the first `rows` rows, and `sandwich` of as many drawn like them.

    progress  is asked for a callback by the name of each of the two long stages.
    bits      whether dimensions are alike, so that bits for each of them mean something.

    Raises UserError as these four do.
    """
    check_annealable(model)
    some = batch_of(data, slice(0, rows))
    how: dict[str, Any] = {"seed": seed, "memory": memory}
    chain: dict[str, Any] = {"temperatures": temperatures, "chains": chains} | how

    def stage(name: str) -> Progress | None:
        return progress(name) if progress else None

    lower = annealed(model, some, progress=stage("annealing"), **chain)
    simulated = sandwich(model, like=some, progress=stage("annealing both ways"), **chain)
    found = evidence(model, some, samples=samples, **how)
    upper = chi_square(model, some, samples=samples, **how)
    if not bits:
        found, lower = replace(found, dims=0), replace(lower, dims=0)
    return BothSides(found, lower, upper, simulated)
