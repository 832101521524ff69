"""What a data set is once it is loaded: Spec, Rows, Split and Data (floor 6).

Nothing here reads a file or knows a protocol by name.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from logpx.model import Batch
from logpx.networks import Standard

Kind = Literal["binary", "grey", "integer", "real", "categorical", "sequence", "mixed"]
KINDS: tuple[Kind, ...] = ("binary", "grey", "integer", "real", "categorical", "sequence", "mixed")
Share = float | int | None  # a fraction in [0, 1) or a count of rows; None: the default of the source

CHUNK_BYTES = 8 << 20  # a scan holds a handful of arrays of this size: well under 64 MB in all


class Column(NamedTuple):
    """One column of a mixed table: what its numbers are, and where the real ones lie among the training rows."""

    name: str
    kind: Kind
    levels: int | None = None  # number of categories
    mean: float = 0.0
    scale: float = 1.0  # standard deviation


class Spec(NamedTuple):
    """All that a recipe may look at: the shape of one data point and what its numbers are.

    kind says what a prepared batch holds: `binary` {0, 1}; `grey` values in [0, 1]; `integer` counts or
    levels >= 0; `real` any value; `categorical` codes 0 .. levels - 1; `sequence` such codes in order, of which the last
    ends a sequence and fills what follows; `mixed` columns of several of these, each as `columns` says. All are floating
    point tensors.
    """

    shape: tuple[int, ...]  # (C, H, W) for images, (P,) for tables
    kind: Kind
    levels: int | None = None  # number of categories, or of pixel levels (256); None where neither applies
    context: int = 0  # numbers per row that encoder and decoder may condition on
    columns: tuple[Column, ...] | None = None  # of a mixed table
    standard: Standard | None = None  # where real data lie, if a model is to see and make them standardised


class Rows(Protocol):
    """N stored rows, read by a tensor of indices or a slice. A Tensor is one; so is MappedRows."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class MappedRows:
    """The rows `index` of an array that stays on disk: each read copies the rows asked for and no others."""

    def __init__(self, array: np.ndarray, index: np.ndarray) -> None:
        self.array, self.index = array, index

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self.array.shape[1:])

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        wanted = self.index[index if isinstance(index, slice) else index.cpu().numpy()]
        order = np.argsort(wanted, kind="stable")  # sorted reads: the disk is walked once, forwards
        rows = np.empty((len(wanted), *self.array.shape[1:]), self.array.dtype)
        rows[order] = self.array[wanted[order]]
        return to_tensor(rows)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows as they are stored, and how a batch is prepared from them."""

    rows: Rows
    prepare: Callable[[Tensor, torch.Generator | None], Tensor]  # stored rows -> x of Spec.shape and Spec.kind
    labels: Tensor | None = None  # int64 (N,): for colouring and for conditioning, never for training on
    random: bool = False  # True when `prepare` draws and therefore needs a generator (on the rows' device)
    context: Tensor | None = None  # (N, C): what a conditional model conditions on
    missing: bool = False  # True where rows hold nan, which means a value that was not observed
    levels: tuple[int | None, ...] | None = None  # number of categories of each element, where some are categories
    factors: Tensor | None = None  # int64 (N, F): what made each row, where that is known; never for training on

    def __len__(self) -> int:
        return len(self.rows)

    def holes(self) -> int:
        """How many values are missing."""
        return (
            sum(int(self.x(slice(i, i + 4096)).isnan().sum()) for i in range(0, len(self), 4096)) if self.missing else 0
        )

    def filled(self, x: Tensor) -> Tensor:
        """The stored rows where they were observed, in their own precision, and x (N, *shape) where they were not."""
        rows = self.rows[:]
        if rows.shape != x.shape or not torch.equal(rows.to(x.dtype).nan_to_num(), self.x().to(x.dtype).nan_to_num()):
            return x  # pixels that a protocol made: the stored ones are something else
        return x.to(rows.dtype).where(rows.isnan(), rows)

    def batch(self, index: Tensor | slice = slice(None), generator: torch.Generator | None = None) -> Batch:
        """The prepared rows with their context and the mask of what was observed."""
        context = None if self.context is None else self.context[index]
        return Batch.of(self.x(index, generator), context, missing=self.missing)

    def x(self, index: Tensor | slice = slice(None), generator: torch.Generator | None = None) -> Tensor:
        """The prepared rows, (B, *shape), in the default floating point type; nan where nothing was observed."""
        if isinstance(self.rows, Tensor) and isinstance(index, Tensor):
            return self.prepare(self.rows.index_select(0, index), generator)  # whole rows: four times faster than [...]
        return self.prepare(self.rows[index], generator)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set in three splits that never overlap, and all that is needed to load it again."""

    name: str
    source: str  # what `load` takes to load it again: a name or an absolute path
    spec: Spec
    protocol: str  # how pixels became numbers ("dynamic", "grey", ...); "as-is" where that does not apply
    train: Split
    held_out: Split
    test: Split
    checksum: str  # sha256 (hex) of the stored rows, before any split or protocol
    note: str  # for people
    # the pixel_levels and the `division`, a fingerprint of which rows are where; the held_out, test, seed, label and `asked`
    # (kind, columns, context, drop, and standardise, split, group where they were) that `load` was given
    options: dict[str, Any]
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None  # classes[k] is the name of label k
    log_density: Callable[[Tensor], Tensor] | None = None  # exact log p(x): (B, P) -> (B,), nats, float64
    conditions: tuple[Column, ...] = ()  # what the context is made of, in its order
    # of each categorical column: the categories of the training rows (code k is the k-th), then those seen elsewhere only
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    factors: tuple[Column, ...] = ()  # what the columns of a split's `factors` are

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def kind(self) -> Kind:
        return self.spec.kind

    @property
    def judge(self) -> str:
        """Name of the split that speaks most honestly: test, else held_out, else train."""
        return next(name for name in ("test", "held_out", "train") if len(getattr(self, name)))

    def describe(self) -> dict[str, Any]:
        """What run.json keeps; `load` with its source, protocol, kind and options gives the same again."""
        return {
            "name": self.name,
            "source": self.source,
            "protocol": self.protocol,
            "shape": list(self.spec.shape),
            "kind": self.spec.kind,
            "levels": self.spec.levels,
            "counts": {"train": len(self.train), "held_out": len(self.held_out), "test": len(self.test)},
            "checksum": self.checksum,
            "note": self.note,
            "columns": None if self.columns is None else list(self.columns),
            "classes": None if self.classes is None else list(self.classes),
            "context": self.spec.context,
            "column_kinds": self.spec.columns and [list(column) for column in self.spec.columns],
            "standard": self.spec.standard and [list(numbers) for numbers in self.spec.standard],
            "conditions": [list(column) for column in self.conditions],
            "categories": {name: list(names) for name, names in self.categories.items()},
            **self.options,
        }


@dataclass
class Stored:
    """What a reader hands over: arrays as they lie in the source, (N, ...), not yet checked or divided."""

    name: str
    source: str
    x: np.ndarray
    test: np.ndarray | None = None  # the source's own test rows
    labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    log_density: Callable[[Tensor], Tensor] | None = None
    levels: int | None = None  # set where the reader knows that these are pixels
    protocol: str = "grey"  # the default for pixels
    held_out: float | int = 0.1
    in_order: bool = False  # True: the held-out rows are the last ones, by convention; False: a seeded permutation
    note: str = ""
    typed: tuple[str, ...] | None = None  # of a table's columns: "text", "bool", "integer" or "real"
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each text column: its values, by code
    dropped: tuple[str, ...] = ()  # columns of the file that were left out, as asked
    doubts: dict[str, str] = field(default_factory=dict)  # sentences on columns that hardly are what they seem
    kind: Kind | None = None  # where the reader knows what the numbers are
    split: np.ndarray | None = None  # (N,) words: where each row belongs, if the source says so
    group: np.ndarray | None = None  # (N,): rows of one group stay together
    factors: np.ndarray | None = None  # (N, F) integers from 0: what made each row
    factor_columns: tuple[Column, ...] = ()
    given: "Stored | None" = None  # a table of conditions beside the rows

    def __post_init__(self) -> None:
        """A file's name in bytes that are no UTF-8 has them spelled out, as \\xff: it is printed, drawn and kept."""
        self.name = self.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of a table, given or made up."""
        return self.columns or tuple(f"column {i}" for i in range(self.x.shape[1]))

    def texts(self, i: int) -> list[str | None]:
        """The values of a table's column as text, None where one is missing."""
        names, values = self.categories.get(self.names[i]), self.x[:, i].tolist()
        return [None if v != v else names[int(v)] if names else f"{v:.17g}" for v in values]


def is_mapped(array: np.ndarray) -> bool:
    """Whether the array lies on disk; a view of a memory map (a new axis, say) is still one."""
    return isinstance(array, np.memmap)


def to_tensor(array: np.ndarray) -> Tensor:
    """A tensor of the same values, in a wider type where torch lacks theirs (uint64 becomes float64)."""
    keep = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
    dtype = array.dtype.newbyteorder("=")
    wider: dict[str, Any] = {"b": np.uint8, "u": np.result_type(dtype, np.int64), "f": np.float64}
    target = dtype if dtype.name in keep else np.dtype(wider[dtype.kind])
    return torch.from_numpy(np.require(array.astype(target, copy=False), requirements=["C", "W"]))


def take(array: np.ndarray, index: np.ndarray) -> Rows:
    """The rows `index`: a tensor, or for an array on disk a view that reads on demand."""
    return MappedRows(array, index) if is_mapped(array) else to_tensor(array[index])


def chunks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows in memory and in native byte order), a few megabytes at a time."""
    row_bytes = max(1, array.dtype.itemsize * math.prod(array.shape[1:]))
    step = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, len(array), step):
        part = np.asarray(array[start : start + step])
        yield start, np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("="))
