"""The log as TensorBoard's events (floor 6): RUN/tensorboard, a scalar for each term, the learning rate, the settings.

Tags are `TERM/train` and `TERM/held_out` as in log.jsonl, and `learning_rate`; of a second stage the same after `second/`. The
step is the optimiser's. The events are made from the log: a resumed run writes those of before again, so none stands twice.
"""

import math
import time
from pathlib import Path
from typing import Any

from logpx.errors import UserError
from logpx.train.log import Reporter, Row
from logpx.train.run import Folder

OURS = ".logpx"  # how the names of our event files end, which alone are replaced
METRICS = ("loss/held_out", "elbo/held_out")  # beside the settings, where they are logged


def writer_class() -> Any:
    """TensorBoard's writer, as torch wraps it. Raises UserError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "--tensorboard needs TensorBoard: run pip install 'logpx[tensorboard]', or leave it out."
        ) from None
    return SummaryWriter


def write_events(folder: str | Path) -> None:
    """The events of a run that was logged without."""
    events = Events(folder)
    for _ in range(1 + events.folder.second.log.exists()):
        events.start(0, 0)
    events.stop()


class Events(Reporter):
    """Hands on what is said of a run, and writes every epoch as events beside its log.

    folder  of the run, which keeps its log there. Only its folder `tensorboard` is written to.
    """

    def __init__(self, folder: str | Path, says: Reporter | None = None) -> None:
        self.make, self.folder, self.says = writer_class(), Folder(Path(folder)), says or Reporter()
        self.writer: Any = None
        self.prefix = ""

    def start(self, epochs: int, steps: int) -> None:
        """Of the run, and of its second stage when it comes: what each has logged before is written first."""
        self.says.start(epochs, steps)
        folder, self.prefix = (self.folder, "") if self.writer is None else (self.folder.second, "second/")
        rows = folder.read_rows()
        if self.writer is None:
            info, place = folder.read_info(), self.folder.path / "tensorboard"  # no run: nothing is touched
            for file in place.glob(f"events.out.tfevents.*{OURS}"):
                file.unlink()
            self.writer = self.make(str(place), filename_suffix=OURS)
            self._settings(info)
        self._before(rows)

    def _before(self, rows: list[Row]) -> None:
        """Epochs of before, as far back as they took."""
        ends = time.time()
        for i, row in enumerate(rows):
            self._row(row, ends - math.fsum(later["seconds"] for later in rows[i + 1 :]))
        self.writer.flush()

    def _row(self, row: Row, at: float) -> None:
        for part in ("train", "held_out"):
            for term, value in row.get(part, {}).items():
                self.writer.add_scalar(f"{self.prefix}{term}/{part}", value, row["step"], walltime=at)
        if "learning_rate" in row:
            self.writer.add_scalar(f"{self.prefix}learning_rate", row["learning_rate"], row["step"], walltime=at)

    def _settings(self, info: dict[str, Any]) -> None:
        """Recipe, data, options and training as TensorBoard's hyperparameters."""
        from torch.utils.tensorboard.summary import hparams

        about = {"recipe": info["recipe"], "data": info["data"].get("name"), "protocol": info["data"].get("protocol")}
        found = about | info["options"] | info["training"] | {"seed": info["settings"]["seed"]}
        plain = {name: v if isinstance(v, bool | int | float | str) else str(v) for name, v in found.items()}
        for summary in hparams(plain, dict.fromkeys(METRICS, 0.0)):
            self.writer.file_writer.add_summary(summary)

    def note(self, text: str) -> None:
        self.says.note(text)

    def step(self, done: int) -> None:
        self.says.step(done)

    def epoch(self, row: Row, best: bool) -> None:
        """One more row of the log."""
        self._row(row, time.time())
        self.writer.flush()
        self.says.epoch(row, best)

    def stop(self) -> None:
        if self.writer is not None:
            self.writer.close()  # a writer that was closed opens again where a second stage follows
        self.says.stop()
