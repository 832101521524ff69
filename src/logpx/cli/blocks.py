"""Columns of numbers about single rows, and the files that hold them (floor 8)."""

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import torch
from torch import Tensor

from logpx.evaluate import plain as finite_or_null
from logpx.samples import nine_digits


class Block(NamedTuple):
    """Rows in a row: what they are called, and columns of numbers; None for a column that has none."""

    first: int
    ids: Sequence[Any]
    columns: Mapping[str, Tensor | None]

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, index: slice) -> "Block":
        columns = {name: None if t is None else t[index] for name, t in self.columns.items()}
        return Block(self.first + index.indices(len(self))[0], self.ids[index], columns)

    def lists(self) -> list[list[Any]]:
        """The columns as plain numbers, None where there is none; of float32 as short as they are read back the same."""
        short = {
            n: nine_digits(t) if t is not None and t.dtype == torch.float32 else t for n, t in self.columns.items()
        }
        held = [[None] * len(self) if t is None else t.tolist() for t in short.values()]
        return [[None if v is None or math.isnan(v) else v for v in column] for column in held]


def joined(blocks: Sequence[Block]) -> Block:
    """Blocks that follow one another as one."""
    columns = {name: [block.columns[name] for block in blocks] for name in blocks[0].columns}
    together = {name: None if parts[0] is None else torch.cat(parts) for name, parts in columns.items()}  # type: ignore[arg-type]
    return Block(blocks[0].first, [name for block in blocks for name in block.ids], together)


# --- files ------------------------------------------------------------------------------------------------------------


def _write_parquet(path: Path, blocks: Iterator[Block], id_type: str, n: int) -> None:
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


def _write_csv(path: Path, blocks: Iterator[Block], id_type: str, n: int) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(_Lines(file), lineterminator="\r\n")
        for block in blocks:
            if not block.first:
                lines.writerow(["id", *block.columns])
            lines.writerows(zip(block.ids, *block.lists(), strict=True))


class _Lines:
    """Lines that end in a newline alone. csv itself quotes the characters of its line's end only, so a lone \\r needs both."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, line: str) -> None:
        self.file.write(line.removesuffix("\r\n") + "\n")


def _write_jsonl(path: Path, blocks: Iterator[Block], id_type: str, n: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for block in blocks:
            _write_lines(file, block)


def _write_lines(file: TextIO, block: Block) -> None:
    names = ["id", *block.columns]
    for row in zip(block.ids, *block.lists(), strict=True):
        file.write(json.dumps(finite_or_null(dict(zip(names, row, strict=True))), ensure_ascii=False) + "\n")


def _write_npy(path: Path, blocks: Iterator[Block], id_type: str, n: int) -> None:
    """(n, columns), without the ids."""
    array = None
    for block in blocks:
        rows = np.stack([t.numpy() for t in block.columns.values() if t is not None], 1)
        if array is None:
            array = np.lib.format.open_memmap(path, "w+", rows.dtype, (n, rows.shape[1]))
        array[block.first : block.first + len(block)] = rows
    assert array is not None
    array.flush()


WRITERS: Mapping[str, Callable[[Path, Iterator[Block], str, int], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".npy": _write_npy,
}
