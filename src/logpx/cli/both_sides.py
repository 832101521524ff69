"""`logpx evaluate --sandwich` (floor 8): log p(x) from both sides, in words, in numbers, and kept beside the run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from logpx.cli.app import progress

if TYPE_CHECKING:
    from logpx.evaluate import BothSides
    from logpx.train import Run


def two_sided(run: "Run", rows: Any, **how: Any) -> "BothSides":
    """The first 100 rows from both sides; bits per dimension for pictures only."""
    from logpx.evaluate import both_sides

    is_picture = len(run.info["data"]["shape"]) == 3
    return both_sides(run.model, rows, bits=is_picture, progress=progress, **how)


def say_both_sides(both: "BothSides") -> None:
    """A line for each thing that was found, below its title."""
    print(f"from both sides, the first {len(both.lower.per_point):,} rows:")
    for line in both.sentences:
        print(f"  {line}")


def keep(folder: Path, about: dict[str, str], both: "BothSides") -> None:
    """evaluation.json, which the report draws; with the gap of every drawn row."""
    from logpx.train.kept import keep_evaluation

    gaps = [round(gap, 6) for gap in both.simulated.gap.per_point.tolist()]
    keep_evaluation(folder, about | {"sandwich": both.summary() | {"gaps": gaps}})
