"""Text tables as people write them: NA, leading zeros, decimal commas, dates."""

from pathlib import Path

import numpy as np
import pytest

from logpx.data import load, rows_like
from logpx.data.cells import cells_of
from logpx.errors import UserError

N = 24


def write(path: Path, header: str, *columns: list) -> Path:
    rows = zip(*columns, strict=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def numbers() -> list[float]:
    return np.random.RandomState(0).randn(N).round(3).tolist()


def test_na_is_text_among_text_and_a_gap_among_numbers(tmp_path: Path) -> None:
    """Namibia's code is NA; only an empty cell of text is missing."""
    country = ["NA", "DE", "null", ""] * 6
    holes = ["NA" if i == 3 else "n/a" if i == 5 else "" if i == 7 else x for i, x in enumerate(numbers())]
    path = write(tmp_path / "t.csv", "country,x", country, holes)
    data = load(path, held_out=0, test=0)
    assert data.categories["country"] == ("DE", "NA", "null")
    assert data.train.x().isnan().sum(0).tolist() == [6, 3]
    assert "'NA', 'n/a' among numbers read as missing" in data.note
    clean = load(write(tmp_path / "u.csv", "country,x", ["a", "b"] * 12, numbers()))
    assert "among numbers" not in clean.note


def test_na_alone_in_a_new_file(tmp_path: Path) -> None:
    about = load(write(tmp_path / "t.csv", "country,x", ["NA", "DE"] * 12, numbers()), held_out=0, test=0).describe()
    new = rows_like(write(tmp_path / "new.csv", "country,x", ["NA"], ["NA"]), about)
    assert new.x().nan_to_num(-9).tolist() == [[1.0, -9.0]]
    with pytest.raises(UserError, match=r"Column 'x' of .* holds nothing but 'NA': drop it"):
        load(write(tmp_path / "v.csv", "country,x", ["NA", "DE"] * 12, ["NA"] * N))


def test_leading_zeros_are_kept(tmp_path: Path) -> None:
    zips = ["01234", "12345", "00000"] * 8
    data = load(write(tmp_path / "t.csv", "zip,n,x", zips, [0, 10, 20] * 8, numbers()), held_out=0, test=0)
    assert [(c.name, c.kind) for c in data.spec.columns or ()] == [
        ("zip", "categorical"),
        ("n", "integer"),
        ("x", "real"),
    ]
    assert data.categories["zip"] == ("00000", "01234", "12345")
    new = rows_like(write(tmp_path / "new.csv", "zip,n,x", ["12345"], [5], [0.5]), data.describe())
    assert new.x()[0, 0].item() == 2
    assert load(tmp_path / "t.csv", label="zip").classes == ("00000", "01234", "12345")
    floats = load(write(tmp_path / "f.csv", "a,b", ["0.5", "0", "-0.25"] * 8, numbers()))
    assert floats.kind == "real"


@pytest.mark.parametrize(
    "text",
    [
        "a;b\n0,5;2\n1,5;3\n2,5;4\n",
        "0,5;2\n1,5;3\n2,5;4\n",
        "0,5;2,5\n1,5;3,25\n2,5;4\n",
    ],
)
def test_decimal_commas_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=r"has decimal commas \('0,5'.*: write points in their place"):
        load(tmp_path / "t.csv")


@pytest.mark.parametrize("dates", [["01.02.2020", "11.12.2021"], ["1/2/20", "2/3/20"], ["2020-01-01", "2020-02-03"]])
def test_dates_are_named(tmp_path: Path, dates: list[str]) -> None:
    path = write(tmp_path / "t.csv", "day,x", dates * 12, numbers())
    with pytest.raises(UserError, match=r"Column 'day' of .* holds dates .* a number of days"):
        load(path)


def test_a_slip_among_numbers_is_named_and_not_the_gap_beside_it(tmp_path: Path) -> None:
    column = ["NA", "x", *range(22)]
    with pytest.raises(UserError, match=r"row 1 \(counted from 0\) holds 'x'"):
        load(write(tmp_path / "t.csv", "a,b", column, numbers()))


def test_cells_are_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeffa;"b;c";zip\n1.50;"x;y";007\n;true;\n')
    cells = cells_of(tmp_path / "t.csv")
    assert cells is not None
    assert cells.columns == {"a": ["1.50", ""], "b;c": ["x;y", "true"], "zip": ["007", ""]}
    assert (cells.delimiter, cells.bare) == (";", False)
    filled = cells.filled({"zip": {1: "5"}, "a": {1: "2"}})
    assert filled.lines() == [["a", "b;c", "zip"], ("1.50", "x;y", "007"), ("2", "true", "5")]
    (tmp_path / "bare.csv").write_text("1,2\n3,\n")
    bare = cells_of(tmp_path / "bare.csv")
    assert bare is not None
    assert bare.filled({"column 1": {1: "4"}}).lines() == [("1", "2"), ("3", "4")]
    assert cells_of("mnist") is None


def test_a_line_ends_where_the_format_ends_it_and_nowhere_else(tmp_path: Path) -> None:
    """str.splitlines ends a line at U+2028, U+0085 and others too, which are characters of a name like any."""
    x = numbers()
    for i, (name, ends) in enumerate((("a\u2028b", "\n"), ("a\x85b", "\r\n"), ("a\x0bb", "\r"))):
        path = tmp_path / f"{i}.csv"
        path.write_bytes(ends.join([f"{name},y", *(f"{v},{v}" for v in x)]).encode() + ends.encode())
        assert load(path).columns == (name, "y")
