"""A table's cells as they stand in its file (floor 6): all columns in their order, so that only holes need be written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from logpx.data.csvs import layout_of, read_csv
from logpx.data.reading import reading
from logpx.data.table import TABLES


class Cells(NamedTuple):
    """A table as text."""

    columns: dict[str, list[str]]  # by name, in the file's order; "" where a cell is empty
    delimiter: str = ","
    bare: bool = False  # whether the file has no line of names

    def filled(self, holes: Mapping[str, Mapping[int, str]]) -> "Cells":
        """The same with some cells of a column, by row, written anew."""
        new = {
            name: [holes.get(name, {}).get(i, text) for i, text in enumerate(texts)]
            for name, texts in self.columns.items()
        }
        return self._replace(columns=new)

    def lines(self) -> list[Sequence[str]]:
        """The table from its line of names, if it has one, to its last row."""
        return [*([] if self.bare else [list(self.columns)]), *zip(*self.columns.values(), strict=True)]


def is_table(source: str | Path) -> bool:
    """Whether a path is that of a file of named columns."""
    return Path(source).suffix.lower() in TABLES


def cells_of(source: str | Path) -> Cells | None:
    """Every cell of a table, as its file spells it; None where a source is no table.

    Raises:
        UserError: the file cannot be read.
    """
    if not is_table(source):
        return None
    path = Path(source).expanduser().resolve()
    with reading(path, "a table"):
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet

            table = pyarrow.parquet.ParquetFile(path).read()
            return Cells(
                {name: [_text(value) for value in table.column(name).to_pylist()] for name in table.column_names}
            )
        form = layout_of(path)
        written = read_csv(path, form, texts=form.names)
        return Cells(dict(zip(form.names, written.to_pydict().values(), strict=True)), form.delimiter, form.bare)


def _text(value: Any) -> str:
    """A value of a typed table, "" where it is missing."""
    return "" if value is None or value != value else str(value)
