"""What is known of a run when it has ended (floor 8): its evidence, its report."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from logpx.cli.app import progress

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.evaluate import CodeEvidence, Evidence
    from logpx.train import Run


def judged(run: "Run", rows: Any, *, show: bool = True, **how: Any) -> "Evidence | CodeEvidence | None":
    """log p(x) of rows, log p(z) where z is a code of no density, None where there is no prior either."""
    from logpx.evaluate import code_evidence, evidence

    if run.model.has_evidence:
        return evidence(run.model, rows, progress=progress("evidence") if show else None, **how)
    return code_evidence(run.model, rows) if run.model.prior is not None else None


def write_report(run: "Run", data: "Data", found: "Evidence | CodeEvidence | None") -> Path:
    from logpx import report

    return report.write(run, data, found if run.model.has_evidence else None)  # type: ignore[arg-type]
