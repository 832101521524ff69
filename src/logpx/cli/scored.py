"""Files of scores (floor 8): pieces saved as they are made, and put together in the end.

OUT.part/ holds what is done of an unfinished OUT: begun.safetensors, what was asked for and the reference, and one file for
each piece, named by its first row. Every file is written beside its place and moved into it, so that a kill at any moment
leaves whole pieces, and OUT itself appears when it is complete.
"""

import csv
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.train import state

FEW = 10  # an effective sample size below which L_k is hardly log p(x): a bias of 1/(2 ESS) to first order, and itself too high
ROWS = 65_536  # of a block of the finished file, whatever the pieces were


class Block(NamedTuple):
    """Scored rows in a row: what they are called, and columns of numbers; None for a column that has none."""

    first: int
    ids: Sequence[Any]
    columns: Mapping[str, Tensor | None]

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, index: slice) -> "Block":
        columns = {name: None if t is None else t[index] for name, t in self.columns.items()}
        return Block(self.first + index.indices(len(self))[0], self.ids[index], columns)

    def lists(self) -> list[list[Any]]:
        """The columns as plain numbers, None where there is none."""
        held = [[None] * len(self) if t is None else t.tolist() for t in self.columns.values()]
        return [[None if v is None or math.isnan(v) else v for v in column] for column in held]


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks that follow one another as one."""
    columns = {name: [block.columns[name] for block in blocks] for name in blocks[0].columns}
    together = {name: None if parts[0] is None else torch.cat(parts) for name, parts in columns.items()}  # type: ignore[arg-type]
    return Block(blocks[0].first, [name for block in blocks for name in block.ids], together)


class Begun(NamedTuple):
    """What was asked for, by which a later command knows whether it may go on, and what is typical."""

    asked: dict[str, Any]
    reference: Tensor  # log p(x) of the rows that tell it
    kind: str  # of log p(x), as of Evidence
    name: str


class Part:
    """What is done of an unfinished file."""

    def __init__(self, out: Path) -> None:
        self.out, self.path = out, out.with_name(f"{out.name}.part")
        self.begun = self.path / "begun.safetensors"

    def check(self, *, resume: bool, force: bool) -> None:
        """Raises UserError where something would be lost: a file that is there, or pieces of one that was not finished."""
        if self.out.suffix not in WRITERS:
            raise UserError(f"{self.out.name}: scores are written as {', '.join(WRITERS)}.")
        if self.out.suffix == ".parquet" and find_spec("pyarrow") is None:
            raise UserError("Writing .parquet needs pyarrow: run pip install logpx[files], or write .csv.")
        if not self.out.parent.is_dir():
            raise UserError(f"There is no folder {self.out.parent} to write {self.out.name} in.")
        if self.out.exists() and (not force or self.out.is_dir()):
            raise UserError(f"{self.out} exists: replace it with --force or choose another file with --out.")
        if self.path.exists() and not self.begun.exists():
            raise UserError(f"{self.path} is in the way and not of ours: move it, or choose another file with --out.")
        if self.path.exists() and not (resume or force):
            raise UserError(
                f"{self.path} holds scores that were not finished: go on with --resume, or anew with --force."
            )

    def resumed(self, asked: Mapping[str, Any]) -> "Begun | None":
        """What was begun, None where nothing was; UserError where something else was asked for then."""
        if not self.path.exists():
            return None
        begun = Begun(**state.load(self.begun))
        for name, value in state.as_json(asked).items():
            if begun.asked.get(name) != value:
                was = "" if isinstance(value, list) else f" ({begun.asked.get(name)}, and now {value})"
                raise UserError(f"{self.path} was begun with another {name}{was}: begin anew with --force.")
        return begun

    def begin(self, begun: "Begun") -> None:
        """A new one in the place of any that was there."""
        self.discard()
        self.path.mkdir()
        state.save(self.begun, begun._asdict())

    def pieces(self) -> Iterator[Block]:
        """What is saved, in order and without a gap."""
        row = 0
        for file in sorted(self.path.glob("rows-*.safetensors")):
            saved = state.load(file)
            if saved["first"] != row:
                return
            block = Block(row, saved["ids"] or range(row, row + saved["rows"]), saved["columns"])
            row += len(block)
            yield block

    @property
    def done(self) -> int:
        """How many rows are saved."""
        return sum(len(block) for block in self.pieces())

    def add(self, block: Block) -> None:
        ids = None if isinstance(block.ids, range) else list(block.ids)
        saved = {"first": block.first, "rows": len(block), "ids": ids, "columns": dict(block.columns)}
        state.save(self.path / f"rows-{block.first:015d}.safetensors", saved)

    def blocks(self) -> Iterator[Block]:
        """All that is saved in blocks of `ROWS` rows, so that the pieces leave no trace in the file."""
        held: list[Block] = []
        for piece in self.pieces():
            held.append(piece)
            while sum(map(len, held)) >= ROWS:
                whole = joined(held)
                yield whole.part(slice(0, ROWS))
                held = [whole.part(slice(ROWS, None))]
        if held and sum(map(len, held)):
            yield joined(held)

    def finish(self, id_type: str, look: Callable[[Block], None]) -> None:
        """Puts the file together, showing each block to `look`, and leaves nothing else behind."""

        def seen() -> Iterator[Block]:
            for block in self.blocks():
                look(block)
                yield block

        state.write_atomically(self.out, lambda beside: WRITERS[self.out.suffix](beside, seen(), id_type))
        self.discard()

    def discard(self) -> None:
        if self.begun.exists():
            shutil.rmtree(self.path)


# --- the finished file ------------------------------------------------------------------------------------------------


def _write_parquet(path: Path, blocks: Iterator[Block], id_type: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    ids = {"integer": pa.int64(), "real": pa.float64(), "text": pa.string()}[id_type]
    writer = None
    try:
        for block in blocks:
            schema = pa.schema([("id", ids), *((name, pa.float64()) for name in block.columns)])
            writer = writer or parquet.ParquetWriter(path, schema)
            writer.write_table(pa.table([list(block.ids), *block.lists()], schema=schema))
    finally:
        if writer:
            writer.close()


def _write_csv(path: Path, blocks: Iterator[Block], id_type: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        for block in blocks:
            if not block.first:
                lines.writerow(["id", *block.columns])
            lines.writerows(zip(block.ids, *block.lists(), strict=True))


def _write_jsonl(path: Path, blocks: Iterator[Block], id_type: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        for block in blocks:
            _write_lines(file, block)


def _write_lines(file: TextIO, block: Block) -> None:
    names = ["id", *block.columns]
    for row in zip(block.ids, *block.lists(), strict=True):
        file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")


WRITERS: Mapping[str, Callable[[Path, Iterator[Block], str], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}


# --- what all rows say together ---------------------------------------------------------------------------------------


class Totals:
    """The mean of log p(x) with its standard error, how many rows are atypical or in doubt, and the most atypical ones.

    by       the column whose largest values come first; of log_px the smallest.
    samples  k: fewer than 25 are too few to judge by their effective sample size.
    """

    def __init__(self, top: int, by: str, samples: int) -> None:
        self.top, self.by, self.judges = top, by, samples >= 25
        self.rows, self.mean, self.squares, self.unlikely, self.doubtful = 0, 0.0, 0.0, 0, 0
        self.most: list[dict[str, Any]] = []

    def add(self, block: Block) -> None:
        x, p = block.columns["log_px"], block.columns["p_value"]
        assert x is not None
        assert p is not None
        n, mean = len(x), x.mean().item()
        shift, total = mean - self.mean, self.rows + n
        self.squares += (x - mean).square().sum().item() + shift**2 * self.rows * n / total
        self.mean, self.rows = self.mean + shift * n / total, total
        self.unlikely += int((p <= 0.05).sum())
        if self.judges and (ess := block.columns["ess"]) is not None:
            self.doubtful += int((ess < FEW).sum())
        if self.top:
            self._keep(block)

    @property
    def standard_error(self) -> float | None:
        return math.sqrt(self.squares / (self.rows - 1) / self.rows) if self.rows > 1 else None

    def _keep(self, block: Block) -> None:
        key = block.columns[self.by]
        assert key is not None
        order = key.argsort(descending=self.by != "log_px", stable=True)[: self.top].tolist()
        lists = dict(zip(block.columns, block.lists(), strict=True))
        new = [{"row": block.first + i, "id": block.ids[i]} | {k: v[i] for k, v in lists.items()} for i in order]
        sign = 1 if self.by == "log_px" else -1
        self.most = sorted([*self.most, *new], key=lambda row: sign * row[self.by])[: self.top]
