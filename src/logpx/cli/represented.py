"""What a run's codes say of known factors or labels (floor 8), in words and in numbers."""

from pathlib import Path
from typing import TYPE_CHECKING

from logpx.cli.app import print_json, table
from logpx.cli.opened import reopen
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.evaluate import Representation


def show_representation(
    run: Path, other: str | None, split: str | None, factors: str | None, rows: int | None, seed: int, as_json: bool
) -> None:
    """Scores and probes of the run's own rows, in place of log p(x)."""
    from logpx.evaluate import representation

    if other is not None or split is not None:
        raise UserError(
            "Codes are scored on the run's training rows and probed on its test rows: leave out DATA and --split."
        )
    opened, data = reopen(run, factors)
    found = representation(opened.model, data, rows=rows or 5000, seed=seed)
    if as_json:
        return print_json({"run": str(run), "data": data.name, "protocol": data.protocol} | found.summary())
    print(f"{data.name} ({data.protocol}): {_about(found)}")
    if found.note:
        print(found.note)
    if found.scores:
        print(f"by factors ({', '.join(found.factors)}), {found.rows:,} training rows; 1 is best:")
        table([(score.name, str(score)) for score in found.scores])
    print(f"read from the codes, fitted to {found.rows:,} training rows, scored on {_rows(found)}:")
    return table([(probe.target, probe.reader, str(probe)) for probe in found.probes])


def _about(found: "Representation") -> str:
    return f"{found.codes}, {found.dims} numbers a row, {found.alive} of them with a variance of 0.01 or more"


def _rows(found: "Representation") -> str:
    return f"{found.test_rows:,} {found.split.replace('_', '-')} rows"
