"""What a model says of each single row (floor 5): log p(x) with its error, typicality, likelihood regret.

Everything is in nats. A row's numbers depend on the seed, its position and its own values, so a set of any size may be scored
a piece at a time: `scores(model, rows[a:b], first=a)` are those of `scores(model, rows)` from a to b, to the last bit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from logpx.distributions import is_density
from logpx.errors import UserError
from logpx.evaluate.importance import (
    Evidence,
    Progress,
    drawn,
    evidence,
    filled_up,
    log_weights,
    tile_rows,
)
from logpx.evaluate.refine import OwnPosteriors
from logpx.evaluate.rows import Points, at_rest, batch_of, check_rows, count, draws_at_once, placed, plain
from logpx.evaluate.why import shares
from logpx.maths import effective_sample_size, log_mean_exp
from logpx.model import VAE, Batch
from logpx.objectives.base import whole

RATE, DRAWS = 0.1, 256  # of the likelihood regret: Adam's first step; draws of z, of equal noise, by which it is told


@dataclass(frozen=True)
class Reference:
    """What is typical: log p(x) of n rows that the model knows as its own (Nalisnick et al. 2019, arXiv:1906.02994).

    entropy      H = -mean log p(x), nats; the model's entropy, as its own data show it.
    typicality   |log p(x) + H| of a row, as of a batch of one in the paper: large where log p(x) is unusual on either side.
    p_value      (1 + rows of the reference at least as far from -H) / (1 + n): at most `a` for about a share `a` of rows
                 like those of the reference. With n rows none is below 1/(n + 1).
    """

    log_px: Tensor  # (n,), nats
    _far: Tensor = field(init=False, repr=False)  # the typicality of each, ascending

    def __post_init__(self) -> None:
        if len(self.log_px) < 2 or not bool(self.log_px.isfinite().all()):
            raise UserError("What is typical is told by at least two rows whose log p(x) is finite: give more.")
        object.__setattr__(self, "_far", self.typicality(self.log_px).sort().values)

    @classmethod
    def of(cls, model: VAE, data: Points, *, samples: int = 100, seed: int = 0, **how: Any) -> "Reference":
        """That of rows which were not trained on, or of training rows, by as many draws as the rows to be judged."""
        return cls(evidence(model, data, samples=samples, seed=seed, **how).per_point)

    @property
    def entropy(self) -> float:
        return -self.log_px.mean().item()

    def typicality(self, log_px: Tensor) -> Tensor:
        return (log_px.double() + self.entropy).abs()

    def p_value(self, log_px: Tensor) -> Tensor:
        n = len(self._far)
        nearer = torch.searchsorted(self._far, self.typicality(log_px).contiguous())
        return (1 + n - nearer).double() / (1 + n)


@dataclass(frozen=True)
class Scores:
    """A number of each kind for each of n rows, (n,) in float64 and nats; None where there is none.

    kind        of log_px: "exact", "lower bound" or "score", as of Evidence.
    log_px      log p(x), or L_k; -inf where it lies below all numbers, of a row with a cell far from all others, whose ess,
                error and shares are then nan.
    error       sqrt(1/ESS - 1/k), the Monte-Carlo error of L_k to first order; 0 where nothing was drawn, nan for k = 1.
    ess         effective sample size of the row's k weights.
    elbo        the mean of the k log-weights: the ELBO by the very draws of L_k, so elbo <= log_px.
    dims        observed elements of the row.
    typicality, p_value   as of Reference.
    regret      likelihood regret, see `scores`.
    shares      (n, *shape): what each element contributes to -log p(x), nan where it is missing; see `evaluate.why`.
    code        what the code costs, KL(p(z|x) || p(z)): the shares and it add up to -log p(x).
    """

    kind: str
    log_px: Tensor
    error: Tensor
    elbo: Tensor
    dims: Tensor
    ess: Tensor | None = None
    typicality: Tensor | None = None
    p_value: Tensor | None = None
    regret: Tensor | None = None
    shares: Tensor | None = None
    code: Tensor | None = None

    @property
    def bits_per_dim(self) -> Tensor | None:
        """-log p(x) / (dims log 2); None for a score."""
        return None if self.kind == "score" else -self.log_px / (self.dims * math.log(2))

    def columns(self) -> dict[str, Tensor | None]:
        """By name, in the order of a table."""
        names = ("log_px", "error", "ess", "elbo", "bits_per_dim", "typicality", "p_value", "regret")
        return {name: getattr(self, name) for name in names}

    def summary(self) -> dict[str, Any]:
        """The means, as plain numbers for a JSON object."""
        whole = Evidence(self.log_px, self.kind, self.dims.mean().item())
        means = {name: t.mean().item() for name, t in self.columns().items() if t is not None and name != "log_px"}
        numbers = {"log_px": whole.mean, "standard_error": whole.standard_error, **means}
        return plain({"kind": self.kind, "unit": "nats", "rows": len(self.log_px), **numbers})


def scores(
    model: VAE,
    data: Points,
    *,
    samples: int = 100,
    seed: int = 0,
    first: int = 0,
    reference: Reference | None = None,
    regret: int = 0,
    why: bool = False,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> Scores:
    """The scores of each row; log_px is `evidence(...).per_point`, to the last bit.

    samples    k of L_k, and the draws of the ELBO.
    first      the position of data's first row in the whole that it is a piece of: a multiple of `rows_of_a_tile`.
    reference  rows that tell what is typical.
    regret     steps of Adam as in `refine`, 0 for no likelihood regret: max_tau ELBO(x; tau, theta) - ELBO(x; phi, theta), phi
               the encoder's and theta the decoder's weights (Xiao, Yan & Amit 2020, arXiv:2003.02977). The paper optimises
               the encoder's weights for each x; here tau are the numbers that the encoder emits for the row, so that all
               rows are optimised at once, and 0 says that the encoder could not have done better for it.
    why        the shares of the elements in -log p(x) too, by the same draws.
    memory     bytes that decoding may use at once; it changes the speed, not the result.

    Raises UserError for a model without evidence, no rows, and where log p(x) of a row is no number (it names the row).
    """
    whole("samples", samples)
    check_rows(data)
    _check(model)
    rows = rows_of_a_tile(batch_of(data, slice(0, 1)).x.shape[1:], samples)
    if first % rows:
        raise UserError(
            f"first is {first}: a piece begins at a multiple of {rows} rows, so that its noise is that of the whole."
        )
    parts = []
    for start in range(0, count(data), rows):
        batch, tile = batch_of(data, slice(start, start + rows)), (first + start) // rows
        parts.append(_tile(model, batch, rows, samples, seed * 1_000_003 + tile, regret, why, memory, first + start))
        if progress:
            progress(start + len(batch.x), count(data))
    kind, found = parts[0][0], {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}
    if reference:
        found |= {"typicality": reference.typicality(found["log_px"]), "p_value": reference.p_value(found["log_px"])}
    return Scores(kind, **found)


def rows_of_a_tile(shape: Sequence[int], samples: int) -> int:
    """How many rows of that shape share a tile of noise: pieces are cut at multiples of it."""
    return tile_rows(math.prod(shape), samples)


def _check(model: VAE) -> None:
    if not model.has_evidence:
        raise UserError(
            "This model says nothing of log p(x): it has no prior, or its codes have no density; score rows with another."
        )


def _tile(
    model: VAE, batch: Batch, rows: int, k: int, seed: int, regret: int, why: bool, memory: int, first: int
) -> tuple[str, dict[str, Tensor]]:
    """(kind, the columns of at most `rows` rows), of a tile that is filled up, so that none depends on their number."""
    n, P = len(batch.x), math.prod(batch.x.shape[1:])
    tile = filled_up(placed(batch, model), rows)
    with at_rest(model):
        kind, found = _by_law(model, tile, first) if model.marginal else ("", {})
        if not _has_latent(model, tile):
            found["elbo"] = found["log_px"]
            if why:
                raise UserError(
                    "This model has no code given which the columns are independent, so they have no shares to tell."
                )
        else:
            k = 1 if _is_one_code(model) else k
            at_once = draws_at_once(model, P, rows, memory)
            log_w, density = log_weights(model, tile, k, seed, at_once)
            kind, found = kind or ("lower bound" if density else "score"), _by_weights(model, log_w) | found
            if why:
                found["shares"] = shares(drawn(model, tile, k, seed, at_once), log_w)
                code = -found["log_px"].double() - found["shares"].flatten(1).nansum(1)
                found["code"] = code.masked_fill(code.isinf(), math.nan)
        if regret:
            found["regret"] = _regret(model, tile, regret, seed, memory)
    found["dims"] = torch.full((rows,), P) if tile.observed is None else tile.observed.flatten(1).sum(1)
    found = {name: value[:n].double().cpu() for name, value in found.items()}
    _check_numbers(found["log_px"], first)
    return kind, found


def _by_law(model: VAE, tile: Batch, first: int) -> tuple[str, dict[str, Tensor]]:
    """Where p(x) itself is known."""
    if tile.observed is not None:
        row = first + int((~tile.observed.flatten(1).all(1)).nonzero()[0])
        raise UserError(
            f"Row {row} has a missing value, and the exact log p(x) knows none yet: fill it, or drop the row."
        )
    law = model.marginal()  # type: ignore[misc]
    try:
        log_px = law.log_prob(tile.x)
    except torch.linalg.LinAlgError:
        raise UserError("The covariance of p(x) is no covariance: the model's weights are broken.") from None
    return "exact" if is_density(law) else "score", {"log_px": log_px, "error": torch.zeros_like(log_px)}


def _by_weights(model: VAE, log_w: Tensor) -> dict[str, Tensor]:
    """L_k and what it is worth, of log-weights (k, B)."""
    k, found = len(log_w), {"log_px": log_mean_exp(log_w), "elbo": log_w.mean(0)}
    if _is_one_code(model):
        return found | {"error": torch.zeros_like(found["elbo"])}
    ess = effective_sample_size(log_w)
    error = (1 / ess - 1 / k).clamp_min(0).sqrt() if k > 1 else torch.full_like(ess, math.nan)
    return found | {"error": error} | ({} if model.marginal else {"ess": ess})


def _regret(model: VAE, tile: Batch, steps: int, seed: int, memory: int) -> Tensor:
    """What a q of each row's own gains over the encoder's, (B,), in expectation never more than the best one would."""
    rows = OwnPosteriors(model, tile, seed, memory)
    own, best, _ = rows.compared(rows.refined(steps, RATE), DRAWS)
    return best - own


def _is_one_code(model: VAE) -> bool:
    return bool(getattr(model.posterior, "is_one_code", False))


def _has_latent(model: VAE, tile: Batch) -> bool:
    return model.encode(tile).event_shape != (0,)


def _check_numbers(log_px: Tensor, first: int) -> None:
    """-inf is one: all the draws say of a cell too far for them."""
    bad = (log_px.isnan() | log_px.isposinf()).nonzero()
    if len(bad):
        i = int(bad[0])
        raise UserError(
            f"log p(x) of row {first + i} (counted from 0) is {log_px[i].item()}: drop the row if a value in it is far from "
            "all others; if others fail alike, the model's weights are broken: train it again."
        )
