"""The run and its folder (floor 6): what was trained, how it went, and the files that hold it.

run.json             recipe, options, data, settings, versions, machine, status
weights.safetensors  the weights of the best epoch (lowest held-out loss)
state/               state.safetensors, all that resuming needs, replaced whole after every epoch
log.jsonl            one row per epoch
evaluation.json      what `evaluate --sandwich` found, if it was asked (see train.kept)
latents.safetensors  for two latents: the means of the same held-out points, epoch by epoch
second/              of a method in two stages, the same files of the second one; its weights end up in the run's own
"""

import json
import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import logpx
from logpx.errors import UserError
from logpx.model import VAE
from logpx.train import state
from logpx.train.method import Method

Row = dict[str, Any]


@dataclass
class Run:
    """A trained method. `rows` are the epochs as in log.jsonl, `info` is run.json, `folder` None if nothing is kept.

    `second` are the epochs of the second stage, where the method has one.

    Terms in rows are means in nats per data point; `train` is measured while the weights move, `held_out` after.
    """

    method: Method
    info: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    best_epoch: int | None = None
    folder: Path | None = None
    second: list[Row] = field(default_factory=list)

    @property
    def model(self) -> VAE:
        return self.method.model

    @property
    def best(self) -> Row | None:
        """The row of the epoch whose weights were kept."""
        return next((row for row in self.rows if row["epoch"] == self.best_epoch), None)


class Folder:
    """The files of one run. Every write replaces a whole file, or appends one whole line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info = path / "run.json"
        self.weights = path / "weights.safetensors"
        self.state = path / "state" / "state.safetensors"
        self.log = path / "log.jsonl"
        self.latents = path / "latents.safetensors"

    @property
    def second(self) -> "Folder":
        return Folder(self.path / "second")

    @classmethod
    def create(cls, path: str | Path, *, force: bool = False) -> "Folder":
        """A new folder. Raises UserError where something is there already; `force` replaces a run, nothing else."""
        cls.check(path, force=force)
        folder = cls(Path(path))
        if folder.info.exists():
            shutil.rmtree(folder.path)
        folder.state.parent.mkdir(parents=True, exist_ok=True)
        return folder

    @classmethod
    def check(cls, path: str | Path, *, force: bool = False) -> None:
        """Raises UserError where `create` would; nothing is touched."""
        folder = cls(Path(path))
        if not folder.path.exists() or (folder.path.is_dir() and not any(folder.path.iterdir())):
            return
        if not force:
            raise UserError(
                f"{path} exists: resume it (--resume), replace it (--force) or choose another folder (--out)."
            )
        if not folder.info.exists():
            raise UserError(f"{path} exists and is not a run folder, so it is not replaced: choose another (--out).")

    @classmethod
    def existing(cls, path: str | Path) -> "Folder":
        folder = cls(Path(path))
        if not folder.path.is_dir():
            raise UserError(f"There is no run folder {path}.")
        return folder

    def read_info(self) -> dict[str, Any]:
        info = state.read_json(self.info)
        parts = ("options", "data", "training", "settings")
        if not isinstance(info, dict) or "recipe" not in info or not all(isinstance(info.get(p), dict) for p in parts):
            raise UserError(f"{self.info} does not describe a run: the file is damaged or not ours.")
        recipe, seed = info["recipe"], info["settings"].get("seed")
        if not isinstance(recipe, str | None) or not isinstance(seed, int):
            raise UserError(f"{self.info} says recipe {recipe!r} and seed {seed!r}: the file is damaged or not ours.")
        return info

    def checksum(self) -> str | None:
        """Of the data that the run in this folder was trained on; None where there is no run."""
        try:
            return self.read_info()["data"].get("checksum")
        except UserError:
            return None

    def read_rows(self) -> list[Row]:
        """The whole lines of the log; half a line at the end, from a crash while it was written, is dropped.

        Raises UserError for a line that is whole and no row.
        """
        rows: list[Row] = []
        if self.log.exists():
            for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    break
                if not _is_row(row):
                    raise UserError(
                        f"{self.log} is damaged: line {len(rows) + 1} is no row of a log; restore it or train again."
                    )
                rows.append(row)
        return rows

    def append_row(self, row: Row) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def write_rows(self, rows: list[Row]) -> None:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        state.write_text(self.log, text)

    def save_weights(self, weights: dict[str, Tensor], epoch: int) -> None:
        state.save(self.weights, {"epoch": epoch, "weights": weights})

    def load_weights(self, model: torch.nn.Module) -> int:
        """Fills the model; returns the epoch the weights come from. UserError where they do not fit it."""
        saved = state.load(self.weights)
        try:
            model.load_state_dict(saved["weights"])
            return int(saved["epoch"])
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            first = str(error).splitlines()[-1].strip().rstrip(".")
            raise UserError(f"{self.weights} does not fit the model that run.json describes ({first}).") from None


def _is_row(row: Any) -> bool:
    """Whether it has what every row of a log has: epoch, step, seconds and terms."""
    if not isinstance(row, dict) or not all(
        isinstance(row.get(name), int | float) for name in ("epoch", "step", "seconds")
    ):
        return False
    parts = [row.get("train"), row.get("held_out", {})]
    return all(isinstance(part, dict) and all(isinstance(v, int | float) for v in part.values()) for part in parts)


def machine() -> dict[str, Any]:
    """What ran it: for tables that compare, and for anyone who wants the same bits."""
    return {
        "logpx": logpx.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
