"""Many runs (floor 6): `sweep` trains methods at once where their shapes agree, one after another where they do not."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.objectives.base import whole
from logpx.train.at_once import Stream, alike
from logpx.train.dry_run import dry_run
from logpx.train.engine import Compile, Precision, arithmetic, dtype_of, find_device
from logpx.train.group import How, Member, train_at_once
from logpx.train.log import Reporter, reporter
from logpx.train.loop import Loop, check_settings
from logpx.train.method import Method, Optimizer, Schedule
from logpx.train.rehearsal import belong_together, how_at_once
from logpx.train.run import Folder, Run

AT_ONCE = 32  # models that are trained together, at most


def sweep(
    methods: Sequence[Method],
    data: Data | Any,
    *,
    names: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: Schedule | None = None,
    optimizer: Optimizer | None = None,
    clip: float | None = None,
    average: float | None = None,
    encoder_decay: float | None = None,
    patience: int | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    compile: Compile = "auto",
    threads: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    save_every: int = 1,
    at_once: int = AT_ONCE,
    show: Reporter | bool = True,
) -> list[Run]:
    """Trains every method on the same data, as `fit` would one after another; returns their runs in the same order.

    Methods that differ in seed, learning rate and numbers that are tensors (beta, a warm-up) take their steps at once,
    vectorised over models, at most `at_once` of them. Each has the order of rows, the noise and the initial weights that
    `fit` would give it, so the results are those of `fit` to rounding. Methods of different shapes form groups, one after
    another; what cannot be vectorised is trained by the same loop one by one, and a sentence says so.

    names       of the run folders inside `out`; by default 0, 1, 2, ...
    seeds       of order and noise; by default each method's own, which its recipe was given.
    epochs ...  as in `fit`, for every method.
    resume      goes on with the folders that are there, and does not train again what is finished.
    A run whose loss stops being finite is set aside and the others go on: its `info["status"]` is then "stopped", and
    `info["why"]` says why. Raises UserError for what `fit` refuses, before anything is trained.
    """
    check_settings(precision=precision, compile=compile, threads=threads, save_every=save_every)
    names = [str(i) for i in range(len(methods))] if names is None else list(names)
    seeds = [int(method.options.get("seed", 0)) for method in methods] if seeds is None else list(seeds)
    _check(methods, names, seeds, at_once, out, resume)
    data = data if isinstance(data, Data) else from_array(data)
    given: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    given |= {"schedule": schedule, "optimizer": optimizer, "clip": clip, "average": average}
    given |= {"encoder_decay": encoder_decay, "patience": patience}
    methods = [method.with_training(**given) for method in methods]
    place = find_device(device)
    settings = {"device": str(place), "precision": precision, "compile": compile, "save_every": save_every}
    says = show if isinstance(show, Reporter) else reporter(quiet=not show)
    folders = [None if out is None else Path(out) / name for name in names]
    with arithmetic(place, precision, threads, 0):
        loops = _ready(methods, data, [settings | {"seed": seed} for seed in seeds], _Once(says))
        for folder in folders:
            if folder is not None and not resume:
                Folder.check(folder, force=force)
        members = [_open(*each, resume, force) for each in zip(names, loops, folders, strict=True)]
        try:
            for group in _groups(members, at_once):
                _train(group, says, len(members))
        finally:
            says.stop()
    return [member.result() for member in members]


def _check(
    methods: Sequence[Method],
    names: Sequence[str],
    seeds: Sequence[int],
    at_once: int,
    out: str | Path | None,
    resume: bool,
) -> None:
    whole("at_once", at_once)
    if not methods:
        raise UserError("There is nothing to sweep over: give at least one method.")
    if len(names) != len(methods) or len(seeds) != len(methods):
        raise UserError(
            f"There are {len(methods)} methods, {len(names)} names and {len(seeds)} seeds: give one of each."
        )
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"Two runs of one name: {', '.join(sorted(twice))}; give each a name of its own.")
    if len({id(module) for method in methods for module in (method.model, method.objective)}) < 2 * len(methods):
        raise UserError("Two methods share a model or an objective: build each by itself.")
    if resume and out is None:
        raise UserError("There is nothing to resume without a folder: name it with `out`.")


def _ready(methods: Sequence[Method], data: Data, settings: list[dict[str, Any]], says: Reporter) -> list[Loop]:
    """A loop for each method, checked before anything is written. One of each likelihood looks through all the rows."""
    loops: list[Loop] = []
    for method, its in zip(methods, settings, strict=True):
        method.model.to(its["device"], dtype_of(its["precision"]))
        method.objective.to(its["device"])
        seen = any(alike(loop.model.likelihood, method.model.likelihood) for loop in loops)
        loop = Loop(method, data, its, says)
        dry_run(method, data, rows=not seen)
        if loops:
            loop.feed.split = loops[0].feed.split  # one copy of the rows on the device
        loops.append(loop)
    return loops


def _open(name: str, loop: Loop, folder: Path | None, resume: bool, force: bool) -> Member:
    """A run up to its first step, with the random numbers that `fit` would give it."""
    torch.manual_seed(loop.settings["seed"])
    goes_on = resume and folder is not None and not _is_nothing(folder)
    loop.open(folder, resume=goes_on, force=force, rows=False)
    return Member(name, loop, Stream(loop.feed.device))


def _is_nothing(folder: Path) -> bool:
    """Whether no run is there; what was left when a run's first file was being written is removed."""
    if not folder.is_dir() or Folder(folder).info.exists():
        return not folder.exists()
    if any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*")):
        return False
    shutil.rmtree(folder)
    return True


def _groups(members: list[Member], at_once: int) -> list[list[Member]]:
    """Members whose steps may be taken at once, in the order of their first; none larger than `at_once`."""
    groups: list[list[Member]] = []
    for member in members:
        fitting = (g for g in groups if len(g) < at_once and belong_together(g[0].loop, member.loop))
        if (group := next(fitting, None)) is not None:
            group.append(member)
        else:
            groups.append([member])
    return groups


def _train(group: list[Member], says: Reporter, total: int) -> None:
    """One group: at once where that can be, and otherwise one after another, with a sentence that says why."""
    left = [member for member in group if member.goes_on]
    how = how_at_once(left) if len(left) > 1 else ""
    if isinstance(how, How):
        says.note(f"{len(left)} of {total} models at once, from {left[0].name} to {left[-1].name}; means over them:")
        for member in left:
            member.loop.info |= {"at_once": len(left), "compiled": False}
        if left[0].loop.settings["compile"] == "yes":
            says.note("Not compiled: models that are trained at once are not.")
        train_at_once(group, how, says)
    else:
        if how:
            says.note(f"{len(left)} of {total} models one after another: {how}.")
        for member in group:
            _train_alone(member, says)
    says.stop()


def _train_alone(member: Member, says: Reporter) -> None:
    if member.goes_on:
        says.note(f"{member.name}:")
        member.loop.says = says
    member.attempt(member.loop.run_to_the_end)
    says.stop()


class _Once(Reporter):
    """Hands on what is said of all runs alike, once."""

    def __init__(self, says: Reporter) -> None:
        self.says, self.said = says, set[str]()

    def note(self, text: str) -> None:
        if text not in self.said:
            self.said.add(text)
            self.says.note(text)
