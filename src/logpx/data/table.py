"""Users' files: .npy (memory-mapped), .npz, .csv, .parquet, .h5 (floor 6). Nothing is ever unpickled."""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from logpx.data.arrays import is_gap, missing, place, plain_array, stack_columns
from logpx.data.asked import names_in
from logpx.data.base import Stored
from logpx.data.csvs import layout_of, typed_table
from logpx.data.factors import with_factors
from logpx.data.reading import reading, size_on_disk
from logpx.data.sequences import TOKEN
from logpx.data.splits import one_each
from logpx.errors import UserError

MAPPED = 2**28  # bytes: a larger array of an HDF5 file stays on disk if it can
DATA, TEST = ("x_train", "train", "x", "data"), ("x_test", "test")
LABELS, TEST_LABELS = ("y_train", "train_labels", "y", "labels"), ("y_test", "test_labels")


Drop = str | Sequence[str] | None  # names of columns


class Aside(NamedTuple):
    """Columns or arrays that are no data: what each row is for, and which group it belongs to; `needed` of a training file.

    key  of an archive the array that is the data, None to go by its name.
    """

    split: str | None = None
    group: str | None = None
    needed: bool = True
    key: str | None = None


NOTHING = Aside()


# --- arrays -------------------------------------------------------------------------------------------------


def npy(path: Path, label: str | None) -> Stored:
    """A .npy array of any size; it stays on disk and rows are read when asked for."""
    refuse_label(path, label, ".npy files")
    with reading(path, "a .npy array"):
        x = np.lib.format.open_memmap(path, mode="r")
    return Stored(name=path.name, source=str(path), x=x)


def npz(path: Path, label: str | None, aside: Aside = NOTHING) -> Stored:
    """An archive of arrays: x_train and x_test, or x, or its only array; labels in y, y_train, y_test."""
    with reading(path, "a .npz archive"):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no zip file, or it is cut short")
        with np.load(path, allow_pickle=False) as archive:
            return choose(path, archive.files, lambda key: archive[key], label, aside)


def h5(path: Path, label: str | None, aside: Aside = NOTHING) -> Stored:
    """An HDF5 file with the data sets that `npz` looks for; a large one that lies in one piece stays on disk."""
    with reading(path, "an HDF5 file"):
        import h5py

        with h5py.File(path, "r") as file:
            found: dict[str, Any] = {}
            file.visititems(lambda key, item: found.update({key: item}) if hasattr(item, "dtype") else None)
            return choose(path, list(found), lambda key: h5_array(path, key, found[key]), label, aside)


def h5_array(path: Path, key: str, dataset: Any) -> np.ndarray:
    """One data set in memory, unless it claims more than its file could hold.

    deflate cannot shrink anything below 1/1032 of its size: a larger claim is an empty or a hostile header.
    """
    if dataset.nbytes > max(2**28, 1032 * size_on_disk(path)):
        raise UserError(f"{key} in {path} claims {dataset.nbytes:,} bytes, more than the file can hold; check it.")
    if dataset.dtype.kind in "OS":
        return np.asarray(dataset.asstr()[()], dtype=str)
    offset = dataset.id.get_offset()  # None where it lies in chunks, packed or not, or in another file
    if dataset.nbytes > MAPPED and offset is not None and dataset.dtype.kind in "iuf":
        return np.memmap(path, dataset.dtype, "r", offset, dataset.shape)
    return dataset[()]


def choose(
    path: Path, keys: list[str], get: Callable[[str], np.ndarray], label: str | None, aside: Aside = NOTHING
) -> Stored:
    """Pick the arrays out of an archive by their names."""
    for name in (*((aside.split, aside.group) if aside.needed else ()), aside.key):
        if name is not None and name not in keys:
            raise UserError(f"{path} has no array {name!r}; it has {', '.join(sorted(keys)) or 'none'}.")
    if aside.key is not None and aside.key in (label, aside.split, aside.group) and aside.needed:
        use = next(u for u, k in {"label": label, "split": aside.split, "group": aside.group}.items() if k == aside.key)
        raise UserError(f"{aside.key!r} in {path} is the data, so it cannot be the {use} too; leave {use}= out.")
    if label is not None and label not in keys:
        raise UserError(f"{path} has no array {label!r} for labels; it has {', '.join(sorted(keys)) or 'none'}.")
    y, test, test_y = label or find(keys, LABELS), find(keys, TEST), find(keys, TEST_LABELS)
    if aside.key is not None:  # the others may belong to other data
        y, test, test_y = label, None, None
    rest = [key for key in keys if key not in (y, test, test_y, aside.split, aside.group)]
    x = aside.key or find(rest, DATA) or only(path, rest)
    ignored = sorted(key for key in rest if key != x)
    stored = Stored(
        name=path.name,
        source=f"{path}:{aside.key}" if aside.key else str(path),
        x=plain_array(get(x), f"{x} in {path}"),
        test=None if test is None else plain_array(get(test), f"{test} in {path}"),
        labels=None if y is None else plain_array(get(y), f"{y} in {path}", text=True),
        test_labels=None if test is None or test_y is None else plain_array(get(test_y), test_y, text=True),
        note=f"ignored: {', '.join(ignored)}" if ignored else "",
    )
    if aside.needed:
        put_aside(stored, aside, lambda name: one_each(get(name), len(stored.x), f"{name} in {path}"))
    return stored


def put_aside(stored: Stored, aside: Aside, get: Callable[[str], np.ndarray]) -> None:
    """Writes what each row is for, and its group, into `stored`."""
    stored.split = None if aside.split is None else get(aside.split)
    stored.group = None if aside.group is None else get(aside.group)


def txt(path: Path, label: str | None) -> Stored:
    """Lines of text, each a sequence: of words where any line holds several, else of characters. Empty lines are left out."""
    refuse_label(path, label, ".txt files")
    with reading(path, "text in UTF-8"):
        lines = path.read_text("utf-8-sig").splitlines()
    worded = any(len(line.split()) > 1 for line in lines)
    rows = [line.split() if worded else list(line.strip()) for line in lines if line.strip()]
    names = sorted({token for row in rows for token in row})
    code = {token: i for i, token in enumerate(names)}
    x = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int32)
    for i, row in enumerate(rows):
        x[i, : len(row)] = [code[token] for token in row]
    empty = len(lines) - len(rows)
    note = f"sequences of {'words' if worded else 'characters'}" + (
        f", {empty:,} empty lines left out" if empty else ""
    )
    stored = Stored(name=path.name, source=str(path), x=x, kind="sequence", note=note)
    stored.categories = {TOKEN: tuple(names)}
    return stored


def find(keys: list[str], words: tuple[str, ...]) -> str | None:
    """The first key that equals one of the words, in the words' order, upper or lower case."""
    return next((key for word in words for key in keys if key.lower() == word), None)


def only(path: Path, keys: list[str]) -> str:
    """The single key there is."""
    if len(keys) != 1:
        held = ", ".join(sorted(keys)) or "none"
        raise UserError(
            f"{path} must hold one array, name its data x or x_train, or be asked for one as {path.name}:NAME; it has {held}."
        )
    return keys[0]


def refuse_label(path: Path, label: str | None, what: str) -> None:
    """label= is for sources whose parts have names."""
    if label is not None:
        raise UserError(f"label={label!r} does not apply to {path}: {what} have no columns; leave it out.")


# --- tables -------------------------------------------------------------------------------------------------


def csv_file(path: Path, label: str | None, drop: Drop = None, factors: Drop = None, aside: Aside = NOTHING) -> Stored:
    """A text table with commas, semicolons or tabs, with or without a line of names; empty cells are missing values."""
    form = layout_of(path)
    with reading(path, "a table of comma-separated values"):
        table, spelled = typed_table(path, form)
    stored = from_arrow(path, table, label, drop, factors, aside)
    if spelled:
        stored.note = f"{', '.join(map(repr, sorted(spelled)))} among numbers read as missing"
    return stored


def parquet(path: Path, label: str | None, drop: Drop = None, factors: Drop = None, aside: Aside = NOTHING) -> Stored:
    """A parquet table; nulls are missing values."""
    with reading(path, "a parquet table"):
        import pyarrow.parquet

        table = pyarrow.parquet.ParquetFile(path).read()
    return from_arrow(path, table, label, drop, factors, aside)


def from_arrow(
    path: Path,
    table: Any,
    label: str | None,
    drop: Drop = None,
    factors: Drop = None,
    aside: Aside = NOTHING,
) -> Stored:
    """Columns to rows: the label apart and without gaps, the others as numbers or as codes of their texts.

    drop     columns that are no data; the Stored says which of them there were.
    factors  columns that say what made each row, whether they are data or not.
    aside    columns that say what each row is for, and its group, which are no data.
    """
    names = list(table.column_names)
    if not table.num_rows:
        raise UserError(f"{path} is empty: it has columns but no rows; give at least 2 rows.")
    made_by = names_in(factors, names)
    apart = [name for name in (aside.split, aside.group) if name is not None]
    for wanted in (*made_by, *([label] if label is not None else []), *(apart if aside.needed else [])):
        if wanted not in names:
            raise UserError(f"{path} has no column {wanted!r}; it has {', '.join(map(repr, names[:20]))}.")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise UserError(f"{path} has two columns named {twice!r}; rename one of them.")
    left_out = tuple(name for name in names_in(drop, names) if name in names)
    if label in left_out:
        raise UserError(
            f"The column {label!r} of {path} is the label and cannot be dropped; take it out of one of the two."
        )
    columns = {
        name: column(table.column(i)) for i, name in enumerate(names) if name not in left_out and name not in apart
    }
    y = None if label is None else complete_labels(path, label, column(table.column(label)))
    columns.pop(str(label), None)
    stored = Stored(name=path.name, source=str(path), labels=y, dropped=left_out, **stack_columns(columns, str(path)))
    if aside.needed:
        put_aside(stored, aside, lambda name: complete_labels(path, name, column(table.column(name))))
    with_factors(stored, {name: complete_labels(path, name, column(table.column(name))) for name in made_by})
    return stored


def complete_labels(path: Path, label: str, y: np.ndarray) -> np.ndarray:
    """The labels, as text where they are objects; a gap is refused."""
    gaps = [is_gap(value) for value in y]
    if True in gaps:
        raise UserError(missing(str(path), place(gaps.index(True), f"column {label!r}")))
    return y.astype(str) if y.dtype.kind == "O" else y


def column(values: Any) -> np.ndarray:
    """One arrow column as numpy, None or nan in its gaps; decimals become floats, what is no number objects."""
    import pyarrow as pa

    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type):
        return values.to_numpy()
    return np.array([*values.to_pylist(), None], dtype=object)[:-1]  # the None keeps lists from becoming axes


TABLES: Mapping[str, Callable[[Path, str | None, Drop, Drop, Aside], Stored]] = {
    ".csv": csv_file,
    ".tsv": csv_file,
    ".parquet": parquet,
}
ARCHIVES: Mapping[str, Callable[[Path, str | None, Aside], Stored]] = {".npz": npz, ".h5": h5, ".hdf5": h5}
ARRAYS: Mapping[str, Callable[[Path, str | None], Stored]] = {".npy": npy, ".txt": txt}
READERS = (".npy", ".npz", *TABLES, ".h5", ".hdf5", ".txt")
