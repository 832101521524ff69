"""The recommended run, trained and compared with the sick one on the same rows (floor 7)."""

import copy
import math
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from logpx.data import Data
from logpx.doctor.findings import Remedy
from logpx.errors import UserError
from logpx.evaluate import Evidence, Progress, batch_of, evidence, plain
from logpx.likelihoods import ContinuousBernoulliPixels, Grey
from logpx.recipes import command, find
from logpx.train import Run, fit

SETTINGS = ("seed", "device", "precision", "compile", "save_every")


@dataclass(frozen=True)
class Treatment:
    """A run and the one that the remedy makes of it, both by L_k (or exactly) on the same rows with the same noise."""

    run: Run
    before: Evidence
    after: Evidence
    note: str | None = None  # where `before` is not the run's own number

    @property
    def gain(self) -> float:
        """Nats per data point."""
        return (self.after.per_point - self.before.per_point).mean().item()

    @property
    def standard_error(self) -> float:
        """Of the gain, row by row."""
        d = self.after.per_point - self.before.per_point
        return d.std().item() / math.sqrt(len(d)) if len(d) > 1 else math.nan

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a JSON object."""
        numbers = {
            "run": str(self.run.folder),
            "before": self.before.summary(),
            "after": self.after.summary(),
            "gain": self.gain,
            "standard_error": self.standard_error,
            "note": self.note,
        }
        return plain(numbers)


def prescribed(run: Run, remedy: Remedy) -> dict[str, Any]:
    """run.json of the recommended run: everything as it was but for what the remedy changes.

    What another recipe has no option for stays behind. Raises UserError for a run of hand-made parts, and for a remedy whose
    options the recipe lacks.
    """
    if run.info["recipe"] is None:
        raise UserError("This run was trained from hand-made parts: change them by hand, as the diagnosis says.")
    recipe = remedy.recipe or run.info["recipe"]
    known = find(recipe).options.keys() | {"seed"}
    if lacking := remedy.options.keys() - known:
        raise UserError(f"{recipe} has no option {', '.join(sorted(lacking))}: this remedy is none for it.")
    options = {n: v for n, v in (run.info["options"] | remedy.options).items() if n in known}
    training = run.info["training"] | remedy.training
    if remedy.recipe:  # what the other recipe says itself
        training = {n: v for n, v in training.items() if n != "encoder_steps"}
    return run.info | {"recipe": recipe, "options": options, "training": training}


def beside(folder: Path) -> Path:
    """Where the recommended run goes, if nobody says otherwise: beside the sick one."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    return folder.with_name(f"{folder.name}-fixed")


def command_of(run: Run, remedy: Remedy | None, out: Path | None) -> str | None:
    """The command that trains the recommended run into that folder; None where no command line can."""
    if remedy is None or run.info.get("recipe") is None or (again := command(prescribed(run, remedy))) is None:
        return None
    return again if out is None else f"{again} --out {shlex.quote(str(out))}"


def treat(
    run: Run,
    data: Data,
    remedy: Remedy,
    *,
    out: str | Path | None = None,
    samples: int = 100,
    rows: int = 1000,
    show: bool = True,
    progress: Progress | None = None,
) -> Treatment:
    """Trains the recommended run as long as the sick one and compares log p(x) of the judging rows, the first `rows` of them.

    A run whose likelihood is the grey score is read as a continuous Bernoulli law with the same decoder: else there would be
    nothing to compare. Raises UserError for a run without a recipe or without a density over x.
    """
    info = prescribed(run, remedy)
    built = find(info["recipe"]).build(data, **info["options"])
    training = replace(built.training, **{n: v for n, v in info["training"].items() if n != "encoder_steps"})
    method = replace(built, training=training)
    settings = {name: value for name in SETTINGS if (value := run.info["settings"].get(name)) is not None}
    treated = fit(method, data, out=out, show=show, **settings)
    split = getattr(data, data.judge)
    batch = batch_of(split, slice(0, rows))
    sick, note = _comparable(run)
    found = [evidence(m, batch, samples=samples, progress=progress) for m in (sick.model, treated.model)]
    if len(data.shape) != 3:  # columns of a table are no dimensions alike: no bits for each of them
        found = [replace(e, dims=0) for e in found]
    return Treatment(treated, found[0], found[1], note)


def _comparable(run: Run) -> tuple[Run, str | None]:
    """The run, or what its decoder says when its likelihood is a density."""
    if not isinstance(run.model.likelihood, Grey):
        return run, None
    model = copy.deepcopy(run.model)
    model.likelihood = ContinuousBernoulliPixels(model.likelihood.shape)  # type: ignore[arg-type]
    note = (
        "before: the same decoder read as a continuous Bernoulli law, since a score cannot be compared with a density"
    )
    return replace(run, method=replace(run.method, model=model)), note
