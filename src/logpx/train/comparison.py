"""Runs beside each other (floor 6): the same rows asked of each, differences row by row, runs of several seeds as one line."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.evaluate import Evidence, Points, distortion, plain
from logpx.evaluate.rows import PerPoint
from logpx.train.rankable import check_data, check_measures
from logpx.train.run import Run
from logpx.train.standings import COLUMNS, Standing, standing, written

Progress = Callable[[str], Callable[[int, int], None] | None]  # of what is evaluated: a counter of its rows
#: numbers of a standing that a line shows as their mean over seeds
MEANS = ("kl", "reconstruction", "bits_per_dim", "active_units", "seconds")


@dataclass(frozen=True)
class Measured:
    """One run and what it says of the rows: `row` as of `standings`, and its evidence, None where it has none."""

    name: str
    run: Run
    row: Standing
    found: Evidence | None

    @property
    def seed(self) -> int:
        return int(self.run.info["settings"]["seed"])

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a JSON object: a standing, and what the evidence is worth."""
        facts = {"name": self.name, "recipe": self.run.info["recipe"], "seed": self.seed}
        doubt = self.found.doubt if self.found else None
        about = {"options": self.run.info["options"], "training": self.run.info["training"]}
        its = {name: value for name, value in self.row.items() if name in COLUMNS}
        more = {"parameters": parameters(self.run), "epochs": len(self.run.rows), "doubt": doubt}
        return plain(its | facts | more | about)


@dataclass(frozen=True)
class Line:
    """Runs that differ in nothing but their seed, as one model of a table.

    label       the recipe, and what sets it apart from the other lines of that recipe.
    log_px (n,) of each row, the mean over the runs; None where they have no log p(x).
    """

    label: str
    runs: tuple[Measured, ...]
    log_px: Tensor | None

    @property
    def value(self) -> float | None:
        """The mean of log p(x) over rows and seeds, nats per data point."""
        return None if self.log_px is None else self.log_px.mean().item()

    @property
    def seeds_error(self) -> float | None:
        """s/sqrt(n) over n seeds, on these rows; None where one seed shows no spread."""
        values = [its.row["evidence"] for its in self.runs]
        return None if self.log_px is None or len(values) < 2 else stdev(values) / math.sqrt(len(values))

    @property
    def error(self) -> float | None:
        """Over seeds where there are several, and else over rows."""
        if self.log_px is None or self.seeds_error is not None:
            return self.seeds_error
        return _finite(PerPoint(self.log_px).standard_error)

    def mean(self, name: str) -> float | None:
        """Of a number of the standings, over seeds; None where a run has none."""
        values = [its.row[name] for its in self.runs]
        return None if None in values else math.fsum(values) / len(values)

    @property
    def doubts(self) -> list[tuple[str, str]]:
        """(run, sentence) of each run whose evidence may lie below log p(x)."""
        return [(its.name, its.found.doubt) for its in self.runs if its.found and its.found.doubt]


@dataclass(frozen=True)
class Difference:
    """A line's mean of log p(x) minus the best one's: the same rows of both, so that what rows have in common drops out.

    standard_error  sqrt(var_rows(d_i)/n + s_a^2/n_a + s_b^2/n_b): of the difference d_i of each row, and of the seeds of either
                    line where there are several. With one seed each it is that of these two models, and not of two methods.
    """

    value: float
    standard_error: float | None

    @property
    def is_clear(self) -> bool:
        """Beyond two standard errors."""
        return self.standard_error is not None and abs(self.value) > 2 * self.standard_error

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a JSON object."""
        return plain({"value": self.value, "standard_error": self.standard_error, "beyond_2_errors": self.is_clear})


@dataclass(frozen=True)
class Comparison:
    """Lines, the best first; those without log p(x) last, by their reconstruction."""

    lines: tuple[Line, ...]

    @property
    def best(self) -> Line | None:
        """The line with the highest log p(x)."""
        return self.lines[0] if self.lines[0].value is not None else None

    @property
    def name(self) -> str:
        """ "L_1000", "log p(x)", "grey score (k = 1000)": what the numbers are called."""
        names = list(dict.fromkeys(its.row["evidence_name"] for line in self.lines for its in line.runs if its.found))
        return " or ".join(names)

    def difference(self, line: Line) -> Difference | None:
        """To the best line; None of itself and of a line without log p(x)."""
        best = self.best
        if best is None or line is best or line.log_px is None or best.log_px is None:
            return None
        d = PerPoint(line.log_px - best.log_px)
        errors = [d.standard_error, *(its.seeds_error or 0.0 for its in (line, best))]
        return Difference(d.mean, _finite(math.hypot(*errors)))

    def summary(self) -> list[dict[str, Any]]:
        """A plain object for each line."""
        return [self._summary(line) for line in self.lines]

    def _summary(self, line: Line) -> dict[str, Any]:
        difference = self.difference(line)
        numbers: dict[str, Any] = {
            "label": line.label,
            "runs": [its.name for its in line.runs],
            "seeds": [its.seed for its in line.runs],
            "value": line.value,
            "standard_error": line.error,
            "standard_error_over": None if line.error is None else "rows" if line.seeds_error is None else "seeds",
            "difference": difference and difference.summary(),
        }
        return plain(numbers | {name: line.mean(name) for name in MEANS})


def compare(
    runs: Sequence[Run],
    rows: Points,
    *,
    names: Sequence[str],
    samples: int = 1000,
    seed: int = 0,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> Comparison:
    """The runs on the same rows, by `evidence` with the same samples and seed; runs that differ only in seed are one line.

    rows   which no run was trained on, nor chosen by: test rows.
    Raises UserError for fewer than two runs, and where numbers would not be of one kind and of the same data: a density and a
    probability, a score, another protocol. It names them.
    """
    if len(runs) < 2:
        raise UserError("A comparison needs at least two runs: name more of them, or a folder of runs.")
    check_data({name: run.info["data"] for name, run in zip(names, runs, strict=True)})
    check_measures({name: run.model for name, run in zip(names, runs, strict=True)})
    how = {"samples": samples, "seed": seed, "memory": memory}
    measured = [
        _measured(name, run, rows, progress=progress(name) if progress else None, **how)
        for name, run in zip(names, runs, strict=True)
    ]
    return Comparison(tuple(sorted(lines_of(measured), key=_place)))


def parameters(run: Run) -> int:
    """How many numbers the optimiser moves."""
    return sum(p.numel() for p in run.model.parameters())


def _measured(name: str, run: Run, rows: Points, **how: Any) -> Measured:
    row, found = standing(run, rows, **how)
    if found is None:
        far = distortion(run.model, rows)
        row |= plain({"reconstruction": far.mean, "reconstruction_error": far.standard_error})
    return Measured(name, run, row, found)


def _place(line: Line) -> tuple[bool, float]:
    value = line.value
    return value is None, (line.mean("reconstruction") or 0.0) if value is None else -value


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None


# --- which runs are one line, and what it is called -------------------------------------------------------------------


def lines_of(measured: Sequence[Measured]) -> list[Line]:
    """Runs of one recipe, options, training and division of the data, each of another seed, together."""
    groups: dict[str, list[Measured]] = {}
    for its in measured:
        key, again = json.dumps(_settings(its.run), sort_keys=True, default=str), 0
        while its.seed in {other.seed for other in groups.get(f"{again} {key}", [])}:
            again += 1  # the same once more, perhaps on another machine: a line of its own
        groups.setdefault(f"{again} {key}", []).append(its)
    runs = list(groups.values())
    return [Line(label, tuple(its), _over_seeds(its)) for label, its in zip(_labels(runs), runs, strict=True)]


def _over_seeds(runs: Sequence[Measured]) -> Tensor | None:
    found = [its.found.per_point for its in runs if its.found]
    return torch.stack(found).mean(0) if len(found) == len(runs) else None


def _settings(run: Run) -> dict[str, Any]:
    """All that is not the seed: recipe, options, training, precision, how the data were divided."""
    info = run.info
    options = {name: value for name, value in info["options"].items() if name != "seed"}
    divided = {"training_rows": info["data"].get("counts", {}).get("train"), "split_seed": info["data"].get("seed")}
    precision = {"precision": info["settings"].get("precision")}
    return {"recipe": info["recipe"]} | options | info["training"] | precision | divided


def _labels(groups: Sequence[Sequence[Measured]]) -> list[str]:
    """The recipe, with the settings that differ among its lines; the run's name where nothing does."""
    settings = [_settings(runs[0].run) for runs in groups]
    labels = [_label(its, [other for other in settings if other["recipe"] == its["recipe"]]) for its in settings]
    return [
        label if labels.count(label) == 1 else f"{label} ({runs[0].name})"
        for label, runs in zip(labels, groups, strict=True)
    ]


def _label(its: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    apart = [name for name in its if any(other.get(name) != its[name] for other in others)]
    return " ".join([str(its["recipe"] or "parts"), *(f"{name}={written(its[name])}" for name in apart)])
