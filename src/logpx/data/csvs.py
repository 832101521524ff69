"""Text tables (floor 6): cells as they are written, and which of them are numbers, text, or nothing."""

import codecs
import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from logpx.data.arrays import LEADING_ZERO, NULLS, is_decimal_comma, is_number
from logpx.data.reading import reading
from logpx.errors import UserError


class Layout(NamedTuple):
    """How a text table is laid out."""

    names: list[str]
    delimiter: str
    bare: bool  # whether its first line holds numbers already


def layout_of(path: Path) -> Layout:
    """From the first line. Raises UserError for a file that is empty or no text, and for a line that is half numbers."""
    header, delimiter = first_line(path)
    comma = next((cell for cell in header if "," in cell and is_decimal_comma(cell)), None)
    if comma is not None:
        raise UserError(f"{path} has decimal commas ({comma!r} in its first line): write points in their place.")
    numbers = [is_number(cell) for cell in header]
    bare = all(numbers)
    if any(numbers) and not bare:
        at = numbers.index(False)
        raise UserError(
            f"The first line of {path} mixes numbers with {header[at]!r} in place {at} (counted from 0); "
            "make it a line of names, or of numbers without a gap."
        )
    return Layout([f"column {i}" for i in range(len(header))] if bare else header, delimiter, bare)


def first_line(path: Path) -> tuple[list[str], str]:
    """(cells of the first line, the delimiter: whichever of comma, semicolon and tab it holds most often).

    Semicolons win where what they part are numbers, if with decimal commas. Raises UserError for a file that is empty, or
    is not text.
    """
    with reading(path, "text"), path.open("rb") as file:
        start = file.read(1 << 20)
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path} is not text in UTF-8, whatever its name says; check the file.")
    line = re.split(r"\r\n?|\n", text, maxsplit=1)[0]  # splitlines would part a cell at U+2028 too
    if not line.strip():
        raise UserError(f"{path} is empty or begins with an empty line; its first line must be names or numbers.")
    parted = ";" in line and all(map(is_decimal_comma, line.split(";")))
    delimiter = ";" if parted else max(",;\t", key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))], delimiter


def read_csv(path: Path, form: Layout, *, texts: Sequence[str] | None = None) -> Any:
    """An arrow table with types to judge by the values; with `texts` those columns alone, as they are written."""
    from pyarrow import csv as arrow
    from pyarrow import string

    typed = {} if texts is None else {name: string() for name in texts}
    return arrow.read_csv(
        path,
        read_options=arrow.ReadOptions(column_names=form.names, skip_rows=0 if form.bare else 1),
        parse_options=arrow.ParseOptions(delimiter=form.delimiter, newlines_in_values=True),
        convert_options=arrow.ConvertOptions(
            strings_can_be_null=texts is None,
            null_values=list(NULLS),
            column_types=typed,
            include_columns=list(texts or ()),
        ),
    )


def typed_table(path: Path, form: Layout) -> tuple[Any, set[str]]:
    """(an arrow table, how the gaps in its numbers are spelled where they are not empty cells).

    Arrow reads NA as a gap in any column and 01234 as 1234: a column of text keeps all but its empty cells, and one with a
    number of several digits that begins with 0 is text.
    """
    import pyarrow as pa
    from pyarrow import compute

    table = read_csv(path, form)
    spelled: set[str] = set()
    names = list(table.column_names)
    kinds = [column.type for column in table.columns]
    whole, text = ([is_kind(kind) for kind in kinds] for is_kind in (pa.types.is_integer, pa.types.is_string))
    looked_at = [i for i in range(len(names)) if text[i] or whole[i] or table.column(i).null_count]
    if len(set(names)) < len(names) or not looked_at:
        return table, spelled
    written = read_csv(path, form, texts=[names[i] for i in looked_at])
    for column, i in zip(written.columns, looked_at, strict=True):
        zeros = whole[i] and compute.any(compute.match_substring_regex(column, f"^{LEADING_ZERO.pattern}$")).as_py()
        nothing = pa.types.is_null(kinds[i]) and compute.any(compute.not_equal(column, "")).as_py()  # NA throughout
        if text[i] or zeros or nothing:
            empty = compute.equal(compute.utf8_trim_whitespace(column), "")
            table = table.set_column(i, names[i], compute.if_else(empty, pa.scalar(None, pa.string()), column))
        elif table.column(i).null_count:
            spelled |= set(compute.unique(column.filter(compute.is_null(table.column(i)))).to_pylist()) - {""}
    return table, spelled
