"""What is known of a run when it has ended (floor 8): its evidence, in words and in numbers, and its report."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logpx.cli.app import progress

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.evaluate import CodeEvidence, Evidence
    from logpx.train import Run

#: terms of objectives that are measured in something else than nats
NOT_NATS = {
    *("contraction", "dip", "l1", "mmd", "multiplier", "sliced_wasserstein", "squared_error", "tolerance"),
    *("commitment", "perplexity", "usage"),
    "operators",
    *("total_variation", "wasserstein2"),
}


def judged(run: "Run", rows: Any, *, show: bool = True, **how: Any) -> "Evidence | CodeEvidence | None":
    """log p(x) of rows, log p(z) where z is a code of no density, None where there is no prior, or none with a density, either.

    Bits per dimension are for pictures: columns of a table are no dimensions alike.
    """
    from logpx.evaluate import code_evidence, evidence

    if run.model.has_evidence:
        found = evidence(run.model, rows, progress=progress("evidence") if show else None, **how)
        is_picture = len(run.info["data"]["shape"]) == 3
        return found if is_picture else replace(found, dims=0)  # 0 dimensions: no bits for each of them
    return code_evidence(run.model, rows) if run.model.rates_codes else None


def why_none(run: "Run") -> str:
    """Why `judged` found nothing."""
    if run.model.prior is None:
        return "no log p(x), for this model has no prior over z"
    return "no log p(x), for p(z) and q(z|x) of this model are integrals without a closed form"


def measured(run: "Run", found: "Evidence | CodeEvidence | None") -> str | None:
    """What the number is the logarithm of: a density, a probability, or both; None of codes and of scores."""
    from logpx.likelihoods import measure_of

    if not run.model.has_evidence or getattr(found, "kind", "score") == "score":
        return None
    return measure_of(run.model.likelihood)


def in_words(run: "Run", found: "Evidence | CodeEvidence | None") -> str:
    """The evidence as a line, with what it is the logarithm of."""
    measure = measured(run, found)
    return f"{found}; a {measure}" if measure else str(found)


def in_numbers(run: "Run", found: "Evidence | CodeEvidence | None") -> dict[str, Any] | None:
    """The same for JSON."""
    return found.summary() | {"measure": measured(run, found)} if found else None


def terms_in_words(terms: dict[str, float]) -> str:
    """Terms in nats first, then what is measured in something else."""
    nats = [f"{k} {v:.3f}" for k, v in terms.items() if k not in NOT_NATS]
    others = [f"{k} {v:.3f}" for k, v in terms.items() if k in NOT_NATS]
    return ", ".join(nats) + (f"; not in nats: {', '.join(others)}" if others else "")


def reconstruction(run: "Run") -> str | None:
    """What an autoencoder is judged by, for it has no log p(x): the held-out reconstruction of the epoch that was kept."""
    best = run.best or {}
    part = next((name for name in ("held_out", "train") if "reconstruction" in best.get(name, {})), None)
    if part is None:
        return None
    value = best[part]["reconstruction"]
    return f"{part.replace('_', '-')} rows: reconstruction {value:.3f} nats per data point (-log p(x|z)); no log p(x)"


def write_report(run: "Run", data: "Data", found: "Evidence | CodeEvidence | None") -> Path:
    from logpx import report

    return report.write(run, data, found if run.model.has_evidence else None)  # type: ignore[arg-type]
