"""How the runs of a sweep stand (floor 6): one row of plain numbers for each, all of the same held-out rows, the best first."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from logpx.data import Data
from logpx.errors import UserError
from logpx.evaluate import Evidence, Points, evidence, rate_distortion, usage
from logpx.evaluate.rows import plain
from logpx.likelihoods import measure_of
from logpx.train.kept import weights_checksum
from logpx.train.run import Run

Standing = dict[str, Any]
#: the columns of the table after the options, and what each is; every number in nats per data point unless it says otherwise
COLUMNS = {
    "evidence": "log p(x) of held-out rows, as `kind` says: exact, a lower bound L_k, or a score",
    "evidence_error": "its standard error, from having so many rows",
    "monte_carlo_error": "the part of it that more draws would remove",
    "kl": "KL(q(z|x) || p(z)), the rate",
    "kl_error": "its standard error",
    "reconstruction": "-E log p(x|z), the distortion",
    "reconstruction_error": "its standard error",
    "held_out_loss": "what was minimised, of held-out rows at the kept epoch; with other options another quantity",
    "bits_per_dim": "-evidence / (dimensions x log 2), of pictures, in bits",
    "active_units": "latents with Var E[z|x] >= 0.01",
    "best_epoch": "the epoch that was kept",
    "seconds": "of training, the run's share where several were trained at once",
    "kind": "of the evidence",
    "measure": "what p(x|z) is: a density, a probability",
    "samples": "k, draws of z for each row",
    "status": "finished, or stopped",
    "name": "of the run and of its folder",
}


def standings(
    runs: Sequence[Run],
    data: Data,
    *,
    names: Sequence[str],
    options: Sequence[dict[str, Any]],
    samples: int = 100,
    known: dict[str, Standing] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Standing]:
    """A row for each run, ordered by the evidence of held-out rows, or by their reconstruction where there is none.

    options   of each run, what it was swept over.
    known     rows of before by name: one whose weights and `samples` are the same is not computed again.
    The test rows are not looked at: to choose among runs is training. Raises UserError where no rows are held out.
    """
    if not len(data.held_out):
        raise UserError("The runs of a sweep are compared by held-out rows: hold some out (held_out=0.1).")
    rows = []
    for i, (run, name, its) in enumerate(zip(runs, names, options, strict=True)):
        weights = _weights(run)
        row = (known or {}).get(name, {})
        if weights is None or row.get("weights") != weights or row.get("samples") != samples:
            row = standing(run, data.held_out, samples=samples)[0] | {"weights": weights}
        rows.append(row | {"name": name, "options": its, "status": run.info.get("status", "finished")} | _why(run))
        if progress:
            progress(i + 1, len(runs))
    return sorted(rows, key=_place)


def _weights(run: Run) -> str | None:
    with suppress(OSError):
        return weights_checksum(run.folder) if run.folder else None
    return None


def _why(run: Run) -> Standing:
    return {"why": run.info["why"]} if run.info.get("status") == "stopped" else {}


def merit(row: Standing) -> float | None:
    """What the best run has most of: the evidence of held-out rows, or minus their reconstruction where there is none."""
    if row.get("evidence") is not None:
        return float(row["evidence"])
    return None if row.get("reconstruction") is None else -float(row["reconstruction"])


def _place(row: Standing) -> tuple[Any, ...]:
    """What is not a number comes last; densities, probabilities and scores are not compared with each other."""
    by = merit(row)
    return by is None, str(row.get("kind")), str(row.get("measure")), 0.0 if by is None else -by


def standing(run: Run, rows: Points, *, samples: int, **how: Any) -> tuple[Standing, Evidence | None]:
    """COLUMNS of one run, None for what does not apply to it, and its evidence row by row; `how` goes to `evidence`."""
    row: Standing = dict.fromkeys(COLUMNS)
    row |= {"best_epoch": run.best_epoch, "seconds": math.fsum(r["seconds"] for r in run.rows), "samples": samples}
    if run.best is None:
        return row, None
    held = run.best.get("held_out", {})
    row |= {"held_out_loss": held.get("loss"), "reconstruction": held.get("reconstruction")}
    with suppress(UserError):
        row["active_units"] = usage(run.model, rows).active
    if not run.model.has_evidence:
        return plain(row), None
    found = evidence(run.model, rows, samples=samples, **how)
    found = found if len(run.info["data"]["shape"]) == 3 else replace(found, dims=0)  # columns are no dimensions alike
    return plain(row | _evidence(run, found) | _rate(run, rows)), found


def _evidence(run: Run, found: Evidence) -> Standing:
    return {
        "evidence": found.mean,
        "evidence_name": found.name,
        "evidence_error": found.standard_error,
        "monte_carlo_error": found.monte_carlo_error,
        "kind": found.kind,
        "measure": None if found.kind == "score" else measure_of(run.model.likelihood),
        "bits_per_dim": found.bits_per_dim,
    }


def _rate(run: Run, rows: Points) -> Standing:
    rate, distortion = rate_distortion(run.model, rows)
    return {
        "kl": rate.mean,
        "kl_error": rate.standard_error,
        "reconstruction": distortion.mean,
        "reconstruction_error": distortion.standard_error,
    }


def as_csv(rows: Sequence[Standing]) -> str:
    """One line for each run: its options, then COLUMNS; empty where there is nothing to say."""
    names = list(dict.fromkeys(name for row in rows for name in row["options"]))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*names, *COLUMNS])
    for row in rows:
        values = [row["options"].get(name) for name in names]
        cells = ["" if value is None else written(value) for value in values]
        lines.writerow([*cells, *("" if row.get(name) is None else row[name] for name in COLUMNS)])
    return text.getvalue()


def written(value: Any) -> str:
    """The value of an option as it is read: widths of several layers as 400x200."""
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
