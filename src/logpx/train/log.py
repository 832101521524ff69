"""What a person sees while a run trains (floor 6): a bar on a terminal, one plain line per epoch elsewhere."""

import sys
import time
from typing import Any, TextIO

Row = dict[str, Any]


def line(row: Row, epochs: int) -> str:
    """One epoch in words: every number in nats per data point."""
    train, held = row["train"], row.get("held_out")
    shown = " ".join(f"{name} {value:.2f}" for name, value in train.items() if abs(value) != abs(train["loss"]))
    text = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {train['loss']:.2f}  {shown}"
    return f"{text}  | held out {held['loss']:.2f}" if held else text


class Reporter:
    """Says nothing: the base of the two that do."""

    def start(self, epochs: int, steps: int) -> None: ...
    def note(self, text: str) -> None: ...
    def step(self, done: int) -> None: ...
    def epoch(self, row: Row, best: bool) -> None: ...
    def stop(self) -> None: ...


class Lines(Reporter):
    """Rows on standard error, at most one every half second, the first and the last always."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream, self.epochs, self.last = stream or sys.stderr, 0, 0.0

    def start(self, epochs: int, steps: int) -> None:
        self.epochs = epochs

    def note(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def epoch(self, row: Row, best: bool) -> None:
        now = time.monotonic()
        if now - self.last > 0.5 or row["epoch"] == self.epochs:
            self.last = now
            print(line(row, self.epochs) + (" *" if best else ""), file=self.stream, flush=True)


class Bar(Reporter):
    """A progress bar over all steps, with the terms of the last epoch and the time that is left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.row: Row | None = None
        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            console=self.console,
            transient=True,
        )

    def start(self, epochs: int, steps: int) -> None:
        self.epochs, self.per_epoch = epochs, max(steps // epochs, 1)
        for task in self.progress.task_ids:  # of a stage before
            self.progress.remove_task(task)
        self.task = self.progress.add_task("", total=steps, epoch="1", terms="")
        self.progress.start()

    def note(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def step(self, done: int) -> None:
        if done % 16 == 0:
            self.progress.update(self.task, completed=done, epoch=f"{1 + done // self.per_epoch}/{self.epochs}")

    def epoch(self, row: Row, best: bool) -> None:
        held = row.get("held_out")
        terms = f"loss {row['train']['loss']:.2f}" + (f" | held out {held['loss']:.2f}" if held else "")
        self.progress.update(self.task, terms=terms)
        self.row = row

    def stop(self) -> None:
        self.progress.stop()
        if self.row is not None:
            self.console.print(line(self.row, self.epochs), markup=False, soft_wrap=True)
            self.row = None


def reporter(quiet: bool = False) -> Reporter:
    if quiet:
        return Reporter()
    return Bar() if sys.stderr.isatty() else Lines()
