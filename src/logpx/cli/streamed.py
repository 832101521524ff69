"""Verbs that say something of each row (floor 8): pieces saved as they are made, and put together in the end.

OUT.part/ holds what is done of an unfinished OUT: begun.safetensors, what was asked for and what all pieces need, and one file
for each piece, named by its first row. Every file, and the folder itself, is made beside its place and moved into it, and the
folder is moved away before it is removed, so that a kill at any moment leaves whole pieces, and OUT itself appears when it is
complete.
"""

import hashlib
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from logpx.cli.app import StoppedError
from logpx.cli.blocks import WRITERS, Block, joined
from logpx.errors import UserError
from logpx.train import state

if TYPE_CHECKING:
    from logpx.data import Piece, Pieces

OURS = re.compile(r"\.?(begun|rows-\d+)\.safetensors")  # what the files in OUT.part, finished or not, are called
ROWS = 65_536  # of a block of the finished file, whatever the pieces were


class Begun(NamedTuple):
    """What was asked for, by which a later command knows whether it may go on, and what every piece needs, made once."""

    asked: dict[str, Any]
    held: dict[str, Any]


class Part:
    """What is done of an unfinished file of `what`, which may have one of the `forms`."""

    def __init__(self, out: Path, what: str, forms: Sequence[str]) -> None:
        self.out, self.path = out, out.with_name(f"{out.name}.part")
        self.what, self.forms = what, forms
        self.begun = self.path / "begun.safetensors"

    def check(self, *, resume: bool, force: bool) -> None:
        """Raises UserError where something would be lost: a file that is there, or pieces of one that was not finished."""
        if self.out.suffix not in self.forms:
            raise UserError(f"{self.out.name}: {self.what} are written as {', '.join(self.forms)}.")
        if self.out.suffix == ".parquet" and find_spec("pyarrow") is None:
            raise UserError("Writing .parquet needs pyarrow: run pip install logpx[files], or write .csv.")
        state.check_free(self.out, force=force)
        if self.path.exists() and not self.begun.exists():
            raise UserError(f"{self.path} is in the way and not of ours: move it, or choose another file with --out.")
        if self.path.exists() and not (resume or force):
            raise UserError(
                f"{self.path} holds {self.what} that were not finished: go on with --resume, or anew with --force."
            )

    def resumed(self, asked: Mapping[str, Any]) -> Begun | None:
        """What was begun, None where nothing was; UserError where something else was asked for then."""
        if not self.path.exists():
            return None
        begun = Begun(**state.load(self.begun))
        for name, value in state.as_json(asked).items():
            if begun.asked.get(name) != value:
                was = "" if isinstance(value, list) else f" ({begun.asked.get(name)}, and now {value})"
                raise UserError(f"{self.path} was begun with another {name}{was}: begin anew with --force.")
        return begun

    def begin(self, begun: Begun) -> None:
        """A new one in the place of any that was there."""
        self.discard()
        beside = self._beside("new")
        try:
            beside.mkdir()
            state.save(beside / self.begun.name, begun._asdict())
            beside.rename(self.path)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            raise

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

        state.write_atomically(self.out, lambda beside: WRITERS[self.out.suffix](beside, seen(), id_type, self.done))
        self.discard()

    def discard(self) -> None:
        if self.begun.exists():
            beside = self._beside("old")
            self.path.rename(beside)
            shutil.rmtree(beside)

    def _beside(self, what: str) -> Path:
        """A hidden neighbour that is free: what a kill has left of one, begun or half removed, goes."""
        path = self.path.with_name(f".{self.path.name}.{what}")
        if path.is_dir() and all(OURS.match(file.name) for file in path.iterdir()):
            shutil.rmtree(path)
        if path.exists():
            raise UserError(f"{path} is in the way and not of ours: move it, or choose another file with --out.")
        return path


# --- the rows of a source, one piece after another ---------------------------------------------------------------------


def write_rows(
    part: Part,
    source: "Pieces",
    asked: Mapping[str, Any],
    *,
    rows: int,
    resume: bool,
    begin: Callable[[], dict[str, Any]],
    columns: Callable[["Piece", dict[str, Any]], Mapping[str, Tensor | None]],
    look: Callable[[Block], None] = lambda block: None,
) -> dict[str, Any]:
    """Fills `part` with the columns of each piece of `rows` rows, from where it stands, and puts the file together.

    begin    makes what all pieces need, once and not again where the work goes on; it is returned.
    columns  of a piece, given that.
    look     is shown every block of the finished file.

    Raises UserError for a source without rows, and where a row does not fit: what was done before it stays.
    """
    begun = part.resumed(asked) if resume else None
    first = part.done if begun else 0
    pieces = source.read(rows, first)
    ahead = next(pieces, None)  # what does not fit at all is refused before anything is written
    if begun is None:
        if ahead is None:
            raise UserError(f"{source.name} has no rows: give some.")
        begun = Begun(dict(asked), begin())
        part.begin(begun)
    tell = _pace(part.what, source.total, first)
    with _kept(part):
        for piece in chain([ahead] if ahead else [], pieces):
            ids = piece.ids if piece.ids is not None else range(piece.first, piece.first + len(piece))
            part.add(Block(piece.first, ids, columns(piece, begun.held)))
            tell(piece.first + len(piece))
        part.finish(source.id_type, look)
    return begun.held


def rows_of_a_piece(shape: Sequence[int], asked: int | None, tile: int) -> int:
    """About 16 MB of numbers, at most 8192 rows, or as asked for; a multiple of the rows that are computed together."""
    return tile * max(1, -(-(asked or min(8192, 2**22 // math.prod(shape))) // tile))


@contextmanager
def _kept(part: Part) -> Iterator[None]:
    """Whatever stops the work, what is done stays; where nothing is, nothing does."""
    try:
        yield
    except BaseException as error:
        done = part.done
        if not done:
            part.discard()
        elif isinstance(error, KeyboardInterrupt):
            again = "go on with the same command and --resume"
            raise StoppedError(f"Stopped; {done:,} rows are kept in {part.path}, {again}.") from None
        raise


def _pace(what: str, total: int | None, first: int) -> Callable[[int], None]:
    """Rows done and their number in a second, rewritten in place on a terminal; nothing where no one watches."""
    if not sys.stderr.isatty():
        return lambda done: None
    began = time.monotonic()

    def tell(done: int) -> None:
        rate = (done - first) / max(time.monotonic() - began, 1e-9)
        of = "" if total is None else f" of {total:,} ({done / total:.0%})"
        end = "\r\033[K" if done == total else "\r"
        print(f"\r{what}: {done:,}{of} rows, {rate:,.0f} rows/s", end=end, file=sys.stderr, flush=True)

    return tell


# --- what a file follows from, so that it is not finished with something else -------------------------------------------


def stamp(source: str) -> list[Any]:
    """What tells whether a source is the same still: of a file its size and time, of a folder those of all that is in it."""
    path = Path(source).expanduser()
    if not path.exists():
        return [source]
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        about = file.stat()
        digest.update(os.fsencode(f"{file.resolve()} {about.st_size} {about.st_mtime_ns}\n"))  # a name may be no UTF-8
    return [str(path.resolve()), digest.hexdigest()[:16]]
