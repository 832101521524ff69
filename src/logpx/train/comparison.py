"""Runs beside each other (floor 6): the same rows asked of each, differences row by row, runs of several seeds as one line."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

import torch
from torch import Tensor

from logpx.data import Data
from logpx.errors import UserError
from logpx.evaluate import Evidence, Points, distortion, plain
from logpx.evaluate.rows import PerPoint
from logpx.train.alike import key_of, labels, seeds_of
from logpx.train.rankable import check_data, check_division, check_measures
from logpx.train.run import Run
from logpx.train.standings import COLUMNS, Standing, standing

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
    def seeds(self) -> tuple[int, int]:
        """(of the initial weights, of the training)."""
        return seeds_of(self.run)

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a JSON object: a standing, and what the evidence is worth."""
        weights, training = self.seeds
        facts = {"name": self.name, "recipe": self.run.info["recipe"], "seed": training, "weights_seed": weights}
        doubt = self.found.doubt if self.found else None
        about = {"options": self.run.info["options"], "training": self.run.info["training"]}
        its = {name: value for name, value in self.row.items() if name in COLUMNS}
        more = {"parameters": parameters(self.run), "epochs": len(self.run.rows), "doubt": doubt}
        return plain(its | facts | more | about)


@dataclass(frozen=True)
class Line:
    """Runs that differ in nothing but their seeds, as one model of a table.

    label       the recipe, and what sets it apart from the other lines of that recipe.
    log_px (n,) of each row, the mean over the runs; None where they have no log p(x).
    """

    label: str
    runs: tuple[Measured, ...]
    log_px: Tensor | None

    @property
    def seeds(self) -> list[str]:
        """ "0", "1", ...; "0/7" where the weights began from seed 0 and the training ran by 7."""
        pairs = [its.seeds for its in self.runs]
        same = all(weights == training for weights, training in pairs)
        return [str(training) if same else f"{weights}/{training}" for weights, training in pairs]

    @property
    def name(self) -> str:
        """ "L_1000", "log p(x)": what its number is called; "" where it has none."""
        return self._told("evidence_name")

    @property
    def kind(self) -> str:
        """ "exact", "lower bound" or "score"; "" where it has no number."""
        return self._told("kind")

    def _told(self, column: str) -> str:
        return " or ".join(dict.fromkeys(its.row[column] for its in self.runs if its.found))

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
        return " or ".join(dict.fromkeys(line.name for line in self.lines if line.name))

    def kind(self, line: Line) -> str:
        """ "lower bound"; where lines have numbers of several names, by its own: "L_1000, lower bound"."""
        return line.kind if line.name in ("", self.name) else f"{line.name}, {line.kind}"

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
            "seeds": [its.seeds[1] for its in line.runs],
            "weights_seeds": [its.seeds[0] for its in line.runs],
            "name": line.name or None,
            "kind": line.kind or None,
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
    data: Sequence[Data] | None = None,
    samples: int = 1000,
    seed: int = 0,
    memory: int = 256 * 2**20,
    progress: Progress | None = None,
) -> Comparison:
    """The runs on the same rows, by `evidence` with the same samples and seed; runs that differ only in seeds are one line.

    rows   which no run was trained on, nor chosen by: test rows.
    data   what each run was trained on, if given: `rows` are then seen to be the same split of each. Without them runs whose
           data were divided by other settings (seed, shares) are refused, as test rows of one may have trained another.
    Raises UserError for fewer than two runs, and where numbers would not be of one kind and of the same data: a density and a
    probability, a score, another protocol, another division. It names them.
    """
    if len(runs) < 2:
        raise UserError("A comparison needs at least two runs: name more of them, or a folder of runs.")
    abouts = {name: run.info["data"] for name, run in zip(names, runs, strict=True)}
    check_data(abouts)
    check_division(abouts, rows, None if data is None else dict(zip(names, data, strict=True)))
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


# --- which runs are one line ------------------------------------------------------------------------------------------


def lines_of(measured: Sequence[Measured]) -> list[Line]:
    """Runs of one recipe, options, training and division of the data, each of other seeds, together."""
    groups: dict[str, list[Measured]] = {}
    for i, its in enumerate(measured):
        key, again = key_of(its.run) or f"alone {i}", 0
        while its.seeds in {other.seeds for other in groups.get(f"{again} {key}", [])}:
            again += 1  # the same once more, perhaps on another machine: a line of its own
        groups.setdefault(f"{again} {key}", []).append(its)
    runs = list(groups.values())
    names = labels([its[0].name for its in runs], [its[0].run for its in runs])
    return [Line(label, tuple(its), _over_seeds(its)) for label, its in zip(names, runs, strict=True)]


def _over_seeds(runs: Sequence[Measured]) -> Tensor | None:
    found = [its.found.per_point for its in runs if its.found]
    return torch.stack(found).mean(0) if len(found) == len(runs) else None
