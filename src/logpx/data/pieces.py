"""Other rows of a run's kind, a piece at a time (floor 6): sources of any size in bounded memory, in their own order.

.npy                    memory-mapped; looked through once before the first piece
.parquet                row group by row group
.csv, .tsv              block by block, each column read as what it was in the run
a folder of images      file by file, sorted
.npz, .h5, .txt, names  read whole, as anywhere else
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from logpx.data import images, protocols
from logpx.data.about import apart, check_about, columns_in
from logpx.data.arrays import NULLS, place
from logpx.data.asked import names_in
from logpx.data.base import Split, Stored, to_tensor
from logpx.data.csvs import Layout, layout_of
from logpx.data.facts import scan
from logpx.data.like import arrange_like, fits, fitted, rows_like
from logpx.data.reading import reading, reason
from logpx.data.sequences import TOKEN
from logpx.data.sources import names
from logpx.data.table import from_arrow
from logpx.errors import UserError
from logpx.model import Batch


@dataclass(frozen=True)
class Piece:
    """Rows `first`, `first` + 1, ... of a source, prepared as a run's data were, and what they are called."""

    first: int
    x: Tensor  # (n, *shape), nan where nothing was observed
    context: Tensor | None = None
    ids: Sequence[Any] | None = None  # None: their numbers

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: slice) -> Batch:
        return Batch.of(self.x[index], None if self.context is None else self.context[index])


class Pieces:
    """A source that is read a piece at a time.

    total    its number of rows, None where only reading can tell
    id_type  what rows are called by: "integer", "real" or "text"
    """

    id_type: Literal["integer", "real", "text"] = "integer"

    def __init__(self, name: str, total: int | None) -> None:
        self.name, self.total = name, total

    def read(self, rows: int, first: int = 0) -> Iterator[Piece]:
        """Pieces of `rows` rows, the last one shorter, from row `first` on.

        Raises UserError, at the piece that holds it, for a row that does not fit the run's data.
        """
        raise NotImplementedError


def pieces_like(source: str | Path, about: Mapping[str, Any], *, id_column: str | None = None) -> Pieces:
    """The rows of a source, prepared as the data that `about` (a run's account of its data) describes, a piece at a time.

    They are those of `rows_like`, but for pixels that are drawn from grey ones: here each row is drawn by its position, as in
    memory-mapped arrays. Images are called by their file's name, rows of a table by what stands in `id_column`, which then
    need not be a column of the run.

    Raises UserError as `rows_like` does, and for an id_column that there is not.
    """
    check_about(about)
    path, suffix = Path(source).expanduser(), Path(source).suffix.lower()
    is_file = not (isinstance(source, str) and source in names()) and path.is_file()
    if is_file and suffix == ".parquet":
        return _Parquet(path.resolve(), about, id_column)
    if is_file and suffix in (".csv", ".tsv"):
        return _Text(path.resolve(), about, id_column)
    if id_column is not None:
        raise UserError(f"--id names a column, and {source} is no table: leave it out.")
    return _Images(path.resolve(), about) if path.is_dir() else _Whole(str(source), rows_like(source, about))


class _Whole(Pieces):
    """What is in memory already, or lies on the disk as an array."""

    def __init__(self, name: str, split: Split) -> None:
        super().__init__(Path(name).name, len(split))
        self.split = split

    def read(self, rows: int, first: int = 0) -> Iterator[Piece]:
        context = self.split.context
        for start in range(first, len(self.split), rows):
            index = slice(start, start + rows)
            yield Piece(start, self.split.x(index), None if context is None else context[index])


class _Images(Pieces):
    """A folder: the files' names are read at once, their pixels when they are due."""

    id_type = "text"

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.files = sorted(p for p in path.rglob("*") if images.is_image(p))
        if not self.files:
            raise UserError(f"{path} holds no images ({', '.join(images.SUFFIXES)}); name a folder that does.")
        if len(about["shape"]) != 3:
            raise UserError(f"The run's data have shape {tuple(about['shape'])}, and {path} holds images.")
        super().__init__(path.name, len(self.files))
        self.path, self.about = path, about
        self.labels = images.by_folders([file.relative_to(path) for file in self.files])[1]

    def read(self, rows: int, first: int = 0) -> Iterator[Piece]:
        for start in range(first, len(self.files), rows):
            files = self.files[start : start + rows]
            inside = [images.spelled(file.relative_to(self.path)) for file in files]
            stored = Stored(
                self.path.name, str(self.path), np.stack([self._pixels(file) for file in files]), levels=256
            )
            if self.about.get("by_label"):
                stored.labels = np.array(self.labels[start : start + rows], object)
            yield _piece(stored, self.about, start, False, inside)

    def _pixels(self, file: Path) -> np.ndarray:
        C, H, W = self.about["shape"]
        size, mode = images.header(file)
        if size != (W, H):
            raise UserError(
                f"{file} is {size[0]} x {size[1]} pixels, and the run's images are {W} x {H}: bring it to that."
            )
        if C == 1 and mode not in images.GREYS:
            raise UserError(f"{file} is in colour, and the run's images are grey: convert it.")
        return images.pixels(file, C == 3)


class _Table(Pieces):
    """A file of columns, as arrow's record batches."""

    def __init__(
        self, path: Path, about: Mapping[str, Any], id_column: str | None, held: Sequence[str], total: int | None
    ):
        super().__init__(path.name, total)
        self.path, self.about, self.id_column = path, about, id_column
        twice = next((name for i, name in enumerate(held) if name in held[:i]), None)
        if twice is not None:
            raise UserError(f"{path} has two columns named {twice!r}; rename one of them.")
        if id_column is not None and id_column not in held:
            raise UserError(
                f"{path.name} has no column {id_column!r} for --id; it has {', '.join(map(repr, held[:20]))}."
            )
        dropped = {*names_in((about.get("asked") or {}).get("drop"), held), *apart(about)}
        if id_column not in _columns_of(about):
            dropped.add(id_column or "")
        self.kept = [name for name in held if name not in dropped]

    def batches(self, first: int) -> Iterator[tuple[int, Any]]:
        """(the first row, arrow's batch) in order, from the one with row `first` in it, or an earlier one, on."""
        raise NotImplementedError

    def read(self, rows: int, first: int = 0) -> Iterator[Piece]:
        for start, table in _regrouped(self.batches(first), rows, first):
            ids = None if self.id_column is None else self._ids(table.column(self.id_column).to_pylist())
            yield self._piece(table.select(self.kept), start, ids)

    def _ids(self, values: list[Any]) -> list[Any]:
        return [None if v is None else str(v) for v in values] if self.id_type == "text" else values

    def _piece(self, table: Any, start: int, ids: Sequence[Any] | None) -> Piece:
        with counted_from(start), reading(self.path, "a table"):
            stored = from_arrow(self.path, _without_spelled_gaps(table, self.about), None)
        return _piece(stored, self.about, start, True, ids)


class _Parquet(_Table):
    def __init__(self, path: Path, about: Mapping[str, Any], id_column: str | None) -> None:
        with reading(path, "a parquet table"):
            import pyarrow.parquet

            file = pyarrow.parquet.ParquetFile(path)
            held, total = list(file.schema_arrow.names), file.metadata.num_rows
            if id_column in held:
                self.id_type = _id_type(file.schema_arrow.field(id_column).type)
            self.sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            file.close()
        super().__init__(path, about, id_column, held, total)

    def batches(self, first: int) -> Iterator[tuple[int, Any]]:
        import pyarrow.parquet

        ends = np.cumsum(self.sizes)
        groups = np.flatnonzero(ends > first).tolist()
        start = int(ends[groups[0]] - self.sizes[groups[0]]) if groups else first
        wanted = list(dict.fromkeys([*self.kept, *([self.id_column] if self.id_column else [])]))
        with reading(self.path, "a parquet table"), pyarrow.parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(4096, row_groups=groups, columns=wanted, use_threads=False):
                yield start, batch
                start += batch.num_rows


class _Text(_Table):
    """Rows as lines. What a column holds is known from the run, so that no block is judged by its own values."""

    def __init__(self, path: Path, about: Mapping[str, Any], id_column: str | None) -> None:
        self.form = layout_of(path)
        super().__init__(path, about, id_column, self.form.names, None)
        if id_column is not None:
            self.id_type = "real" if _types(self.kept, about).get(id_column) in ("number", "truth") else "text"

    def batches(self, first: int) -> Iterator[tuple[int, Any]]:
        import pyarrow as pa

        types = _types(self.kept, self.about)
        if self.id_column is not None:
            types.setdefault(self.id_column, "text")
        truths = [name for name, kind in types.items() if kind == "truth"]
        start = 0
        with reading(self.path, "a table of comma-separated values"):
            try:
                for batch in _open_csv(self.path, self.form, types):
                    for name in truths:
                        i = batch.schema.get_field_index(name)
                        batch = batch.set_column(i, name, self._truth(batch.column(i), name, start))
                    yield start, batch
                    start += batch.num_rows
            except pa.ArrowInvalid as error:
                raise UserError(self._sentence(error)) from None

    def _truth(self, column: Any, name: str, start: int) -> Any:
        """0 and 1 of a column that spells them so, or as false and true."""
        from pyarrow import compute, float64, scalar, string

        text = compute.utf8_lower(compute.utf8_trim_whitespace(column))
        gaps = compute.is_in(compute.utf8_trim_whitespace(column), value_set=_nulls())
        known = {"true": "1", "false": "0"}
        for word, digit in known.items():
            text = compute.if_else(compute.equal(text, word), digit, text)
        numbers = compute.match_substring_regex(text, r"^[+-]?(\d+\.?\d*|\.\d+)$")
        bad = compute.index(compute.or_(gaps, numbers), False).as_py()
        if bad >= 0:
            raise UserError(
                f"Column {name!r} of {self.name} holds {column[bad].as_py()!r} at {place(start + bad)}, and in the run it was "
                "binary."
            )
        return compute.cast(compute.if_else(gaps, scalar(None, string()), text), float64())

    def _sentence(self, error: Exception) -> str:
        """What arrow says of a value that is no number, with its row."""
        said = re.search(
            r"In CSV column #(\d+): .*conversion error to double: invalid value '(.*)'", str(error), re.DOTALL
        )
        if not said:
            return f"{self.path} cannot be read as a table of comma-separated values ({reason(error)}); check the file."
        name, value, start = self.form.names[int(said[1])], said[2], 0
        for batch in _open_csv(self.path, self.form, {name: "text"}):
            cells = [cell.strip() for cell in batch.column(0).to_pylist()]
            if value.strip() in cells:
                start += cells.index(value.strip())
                break
            start += len(cells)
        return f"Column {name!r} of {self.name} holds {value!r} at {place(start)}, and in the run it was a number."


# --- one piece --------------------------------------------------------------------------------------------------------


@contextmanager
def counted_from(first: int) -> Iterator[None]:
    """Sentences that count the rows of a piece then count those of the whole."""
    try:
        yield
    except UserError as error:
        row = r"\brow (\d+)(?= \(counted from 0\))"
        raise UserError(re.sub(row, lambda found: f"row {int(found[1]) + first}", str(error))) from None


def _piece(stored: Stored, about: Mapping[str, Any], first: int, named: bool, ids: Sequence[Any] | None) -> Piece:
    """Stored rows prepared by the run's account alone: nothing is concluded from what this piece happens to hold."""
    with counted_from(first):
        context = fitted(stored, about, named)
        arrange_like(stored, about)
        scan(stored)  # refuses what is infinite
        _check_values(stored, about)
    rows = to_tensor(np.array(stored.x))
    levels = None if about["kind"] == "sequence" else stored.levels
    return Piece(first, protocols.apply_to_piece(about["protocol"], rows, levels, first), context, ids)


def _check_values(stored: Stored, about: Mapping[str, Any]) -> None:
    """Refuse a value that data of the run's kind do not hold, naming its row."""
    kind = about["kind"]
    if kind in ("mixed", "sequence") or stored.levels:
        return  # seen to already, or pixels
    if about["protocol"] != protocols.AS_IS:
        kind = "grey"  # what a protocol starts from
    flat = np.asarray(stored.x).reshape(len(stored.x), -1)
    good = fits(flat, "integer") & (flat < about["levels"]) if kind == "categorical" else fits(flat, kind)
    bad = np.argwhere(~good & ~np.isnan(flat.astype(np.float64, copy=False)))
    if len(bad):
        row, i = (int(n) for n in bad[0])
        where = place(row, f"column {stored.columns[i]!r}" if stored.columns else f"column {i}")
        raise UserError(f"{stored.name} has {flat[row, i]:g} at {where}, and the run's data are {kind}.")


# --- arrow's tables ---------------------------------------------------------------------------------------------------


def _regrouped(batches: Iterator[tuple[int, Any]], rows: int, first: int) -> Iterator[tuple[int, Any]]:
    """(the first row, a table of exactly `rows` rows; fewer at the end) from row `first` on, however the batches lie."""
    import pyarrow as pa

    held: list[Any] = []
    n, start = 0, first
    for begins, batch in batches:
        batch = batch.slice(max(0, first - begins))
        while n + batch.num_rows >= rows:
            yield start, pa.Table.from_batches([*held, batch.slice(0, rows - n)])
            batch, held, start, n = batch.slice(rows - n), [], start + rows, 0
        if batch.num_rows:
            held, n = [*held, batch], n + batch.num_rows
    if n:
        yield start, pa.Table.from_batches(held)


def _open_csv(path: Path, form: Layout, types: Mapping[str, str]) -> Iterator[Any]:
    """Arrow's batches of some columns, as numbers with gaps or as they are written."""
    from pyarrow import csv as arrow
    from pyarrow import float64, string

    with arrow.open_csv(
        path,
        read_options=arrow.ReadOptions(column_names=form.names, skip_rows=0 if form.bare else 1, use_threads=False),
        parse_options=arrow.ParseOptions(delimiter=form.delimiter, newlines_in_values=True),
        convert_options=arrow.ConvertOptions(
            strings_can_be_null=False,
            null_values=list(NULLS),
            column_types={name: float64() if kind == "number" else string() for name, kind in types.items()},
            include_columns=list(types),
        ),
    ) as file:
        yield from file


def _types(held: Sequence[str], about: Mapping[str, Any]) -> dict[str, str]:
    """Whether each column is to be read as a number, a text or a truth value: what it was in the run."""
    if about["kind"] == "sequence":
        return dict.fromkeys(held, "text" if about["categories"].get(TOKEN) else "number")
    known = {column.name: column for column in (*columns_in(about, "conditions"), *columns_in(about, "column_kinds"))}
    types = dict.fromkeys(held, "text")  # of what the run does not know
    types |= dict.fromkeys(about["columns"] or (), "truth" if about["kind"] == "binary" else "number")
    for name, column in known.items():
        numbers = column.kind != "categorical" or all(map(_is_number, about["categories"][name][: column.levels]))
        types[name] = "truth" if column.kind == "binary" else "number" if numbers else "text"
    return {name: types[name] for name in held}


def _id_type(column: Any) -> Literal["integer", "real", "text"]:
    """How ids of an arrow type are kept: numbers as such, all else as text."""
    import pyarrow as pa

    if pa.types.is_integer(column) and not pa.types.is_uint64(column):
        return "integer"
    return "real" if pa.types.is_floating(column) else "text"


def _is_number(name: str) -> bool:
    """Whether a category is called what a number would be."""
    try:
        return f"{float(name):.17g}" == name
    except ValueError:
        return False


def _columns_of(about: Mapping[str, Any]) -> set[str]:
    """The columns that the run looks at."""
    conditions = [column.name for column in columns_in(about, "conditions")]
    return {*(about["columns"] or ()), *conditions, *([about["label"]] if about.get("by_label") else [])}


def _without_spelled_gaps(table: Any, about: Mapping[str, Any]) -> Any:
    """The same with nothing where a text says NA or the like, unless the run knows that for a category."""
    import pyarrow as pa
    from pyarrow import compute

    for i, name in enumerate(table.column_names):
        if pa.types.is_string(table.column(i).type) or pa.types.is_large_string(table.column(i).type):
            known = about["categories"].get(name if about["kind"] != "sequence" else TOKEN, ())
            column = table.column(i).cast(pa.string())
            gaps = compute.is_in(column, value_set=_nulls(known))
            table = table.set_column(i, name, compute.if_else(gaps, pa.scalar(None, pa.string()), column))
    return table


def _nulls(but: Sequence[str] = ()) -> Any:
    from pyarrow import array

    return array([word for word in NULLS if word not in but])
