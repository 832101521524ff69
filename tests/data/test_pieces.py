"""A source a piece at a time: the rows of the whole, in their order, whatever the pieces, and what is refused."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from torch import Tensor

from logpx.data import Data, Pieces, load, pieces_like, rows_like
from logpx.errors import UserError

SIZES = (1, 7, 16, 1000)


def described(data: Data) -> dict:
    return json.loads(json.dumps(data.describe()))


def together(pieces: Pieces, rows: int, first: int = 0) -> tuple[Tensor, Tensor | None, list | None]:
    """All pieces as one: x, context, ids."""
    found = list(pieces.read(rows, first))
    assert [piece.first for piece in found] == list(range(first, first + sum(map(len, found)), rows))
    assert all(len(piece) == rows for piece in found[:-1])
    context = None if found[0].context is None else torch.cat([piece.context for piece in found])
    ids = None if found[0].ids is None else list(itertools.chain.from_iterable(piece.ids for piece in found))
    return torch.cat([piece.x for piece in found]), context, ids


def equal(a: Tensor, b: Tensor) -> bool:
    """Bit for bit, nan and all."""
    return a.dtype == b.dtype and np.array_equal(a.numpy(), b.numpy(), equal_nan=True)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A table of all kinds, with gaps in words and as empty cells, truth values, and a text that no model sees."""
    rows = [
        f"{i / 4 if i % 6 else 'NA'},{['Rome', 'Oslo', ''][i % 3]},{i % 5 if i % 7 else ''},{['true', 'false'][i % 2]},"
        f"{['2', '10'][i % 2]},r{i:03d}"
        for i in range(60)
    ]
    path = tmp_path / "mixed.csv"
    path.write_text("\n".join(["age,city,visits,member,zone,who", *rows]) + "\n")
    return path


def of_table(path: Path, **options) -> dict:
    return described(load(path, drop="who", **options))


# --- the rows of the whole --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_mixed_table_is_read_as_a_whole_would_be(mixed: Path, suffix: str, rows: int) -> None:
    """The kind of no column is judged by a piece: with one row a piece, each looks like another kind."""
    about = of_table(mixed, columns="zone=categorical")
    path = mixed
    if suffix == ".parquet":
        from pyarrow import csv

        path = mixed.with_suffix(suffix)
        parquet.write_table(csv.read_csv(mixed), path, row_group_size=13)
    whole = rows_like(path, about)
    pieces = pieces_like(path, about, id_column="who")
    x, context, ids = together(pieces, rows)
    assert equal(x, whole.x())
    assert context is None
    assert ids == [f"r{i:03d}" for i in range(60)]
    assert pieces.id_type == "text"
    assert pieces.total == (60 if suffix == ".parquet" else None)
    assert pieces.name == path.name


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("first", [1, 14, 48, 59])
def test_one_may_begin_in_the_middle(mixed: Path, suffix: str, first: int) -> None:
    about, path = of_table(mixed), mixed
    if suffix == ".parquet":
        from pyarrow import csv

        path = mixed.with_suffix(suffix)
        parquet.write_table(csv.read_csv(mixed), path, row_group_size=13)
    x, _, ids = together(pieces_like(path, about, id_column="who"), 8, first)
    assert equal(x, rows_like(path, about).x()[first:])
    assert ids[0] == f"r{first:03d}"


def test_beyond_the_end_there_is_nothing(mixed: Path) -> None:
    assert list(pieces_like(mixed, of_table(mixed)).read(8, 60)) == []


@pytest.mark.parametrize("context", ["city,age", "zone"])
@pytest.mark.parametrize("rows", [1, 16])
def test_conditions_are_read_by_the_runs_categories(tmp_path: Path, context: str, rows: int) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{i / 4},{['Rome', 'Oslo'][i % 2]},{i % 3},{i * i / 7}" for i in range(40)]
    path.write_text("\n".join(["age,city,zone,x", *lines]) + "\n")
    about = described(load(path, context=context, columns="zone=categorical"))
    whole = rows_like(path, about)
    x, found, _ = together(pieces_like(path, about), rows)
    assert equal(x, whole.x())
    assert whole.context is not None
    assert equal(found, whole.context)


@pytest.mark.parametrize("names", [("3", "8"), ("cat", "dog")])
def test_labels_may_be_the_context(tmp_path: Path, names: tuple[str, str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,y,kind", *(f"{i / 3},{-i},{names[i % 2]}" for i in range(30))]) + "\n")
    about = described(load(path, label="kind", context="label"))
    x, context, _ = together(pieces_like(path, about), 4)
    assert equal(x, rows_like(path, about).x())
    assert context.argmax(1).tolist() == [i % 2 for i in range(30)]


@pytest.mark.parametrize("rows", [1, 5])
def test_numbers_without_names_and_sequences(tmp_path: Path, rows: int) -> None:
    bare, words = tmp_path / "bare.csv", tmp_path / "words.csv"
    bare.write_text("\n".join(f"{i},{i / 7},{-i}" for i in range(20)) + "\n")
    words.write_text("\n".join(["p,q,r", *["d,c,", "b,,", "a,d,c"] * 6]) + "\n")
    (codes := tmp_path / "codes.csv").write_text("\n".join(["a,b", *(f"{i % 3},{i % 2}" for i in range(20))]) + "\n")
    for path, options in ((bare, {}), (words, {"kind": "sequence"}), (codes, {"kind": "categorical"})):
        about = described(load(path, **options))
        assert equal(together(pieces_like(path, about), rows)[0], rows_like(path, about).x())


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "digits", "pinwheel"])
def test_arrays_and_names_in_pieces(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.RandomState(0).randint(0, 256, (30, 6, 6)).astype(np.uint8)
    np.save("x.npy", x)
    np.savez("x.npz", x=x)
    about = described(load(name, protocol=None if name == "pinwheel" else "dynamic"))
    whole = rows_like(name, about)
    pieces = pieces_like(name, about)
    found, _, ids = together(pieces, 500)
    assert equal(found, whole.x())
    assert ids is None
    assert pieces.total == len(whole)
    assert equal(together(pieces, 7, 21)[0], whole.x()[21:])


@pytest.mark.parametrize("protocol", ["grey", "threshold", "integer", "dynamic", "static:3"])
def test_a_folder_of_images_in_sorted_order(tmp_path: Path, protocol: str) -> None:
    """Pixels that are drawn do not depend on the pieces, and are those of the same images in a mapped array."""
    folder = tmp_path / "pictures"
    (folder / "b").mkdir(parents=True)
    (folder / "a").mkdir()
    x = np.random.RandomState(0).randint(0, 256, (9, 5, 4)).astype(np.uint8)
    files = sorted([f"a/{i}.png" for i in range(5)] + [f"b/{i}.png" for i in range(4)])
    for name, image in zip(files, x, strict=True):
        Image.fromarray(image).save(folder / name)
    about = described(load(folder, protocol=protocol))
    found, _, ids = together(pieces_like(folder, about), 4)
    assert ids == files
    np.save(tmp_path / "x.npy", x)
    assert equal(found, rows_like(tmp_path / "x.npy", about).x())
    assert equal(found, together(pieces_like(folder, about), 2)[0])
    assert equal(found[6:], together(pieces_like(folder, about), 2, 6)[0])


def test_folders_may_be_the_context(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / "abc"[i % 3]).mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / "abc"[i % 3] / f"{i}.png")
    about = described(load(tmp_path, context="label"))
    assert equal(together(pieces_like(tmp_path, about), 5)[1], rows_like(tmp_path, about).context)


def test_pixels_have_the_levels_of_the_runs(tmp_path: Path) -> None:
    """Digits go to 16: read as if they went to 255 they would be black."""
    about = described(load("digits", protocol="grey"))
    np.save(tmp_path / "x.npy", np.full((3, 8, 8), 8, np.uint8))
    assert (rows_like(tmp_path / "x.npy", about).x() == 0.5).all()
    assert (next(pieces_like(tmp_path / "x.npy", about).read(3)).x == 0.5).all()
    np.save(tmp_path / "x.npy", np.full((3, 8, 8), 200, np.uint8))
    with pytest.raises(UserError, match="level 200, and pixels of the run's data go from 0 to 16"):
        rows_like(tmp_path / "x.npy", about)


@pytest.mark.parametrize("column", ["age", "member"])
def test_a_column_of_the_run_may_name_the_rows(mixed: Path, column: str) -> None:
    about = of_table(mixed)
    pieces = pieces_like(mixed, about, id_column=column)
    x, _, ids = together(pieces, 7)
    assert equal(x, rows_like(mixed, about).x())
    assert pieces.id_type == "real"
    assert ids[1] == {"age": 0.25, "member": 0.0}[column]


@pytest.mark.parametrize(
    ("ids", "kind", "first"),
    [
        (pa.array([7, 8, None], pa.int32()), "integer", 7),
        (pa.array([0.5, 1.5, 2.5], pa.float32()), "real", 0.5),
        (pa.array(["007", "b", None]), "text", "007"),
        (pa.array([1, 2, 3], pa.date32()), "text", "1970-01-02"),
    ],
)
def test_ids_of_parquet_keep_their_type(tmp_path: Path, ids: pa.Array, kind: str, first: object) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"key": ids, "x": [0.1, 0.2, 0.3], "y": [0.5, -2.0, 0.3]}), path)
    about = described(load("pinwheel"))
    about |= {"columns": ["x", "y"]}
    pieces = pieces_like(path, about, id_column="key")
    assert pieces.id_type == kind
    found = together(pieces, 2)[2]
    assert found[0] == first
    assert (found[2] is None) == (ids[2].as_py() is None)


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(match: str, path: Path, about: dict, rows: int = 4, **options) -> None:
    with pytest.raises(UserError, match=match) as caught:
        list(pieces_like(path, about, **options).read(rows))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("age", "x7", "'age' of mixed.csv holds 'x7' at row 33 "),
        ("age", "inf", "'age' holds inf at row 33 "),
        ("city", "Bern", "'city' holds 'Bern' at row 33 "),
        ("visits", "2.5", "'visits' holds 2.5 at row 33 "),
        ("member", "maybe", "'member' of mixed.csv holds 'maybe' at row 33 "),
        ("member", "2", "'member' holds 2 at row 33 "),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_its_place_in_the_whole(
    mixed: Path, column: str, value: str, match: str, rows: int
) -> None:
    about = of_table(mixed)
    lines = mixed.read_text().splitlines()
    cells = lines[34].split(",")
    cells[lines[0].split(",").index(column)] = value
    lines[34] = ",".join(cells)
    mixed.write_text("\n".join(lines) + "\n")
    refused(match, mixed, about, rows)


def test_the_rows_before_it_are_read(mixed: Path) -> None:
    about = of_table(mixed)
    mixed.write_text(mixed.read_text().replace("r033", "r033,more"))
    pieces = pieces_like(mixed, about).read(4)
    with pytest.raises(UserError, match="Expected 6 columns, got 7"):
        list(pieces)


@pytest.mark.parametrize(
    ("kind", "value", "match"), [("integer", -1, "has -1 at row 9 "), ("binary", 2, "has 2 at row 9 ")]
)
def test_a_table_of_one_kind_names_the_row(tmp_path: Path, kind: str, value: float, match: str) -> None:
    path = tmp_path / "t.csv"
    rows = np.random.RandomState(0).randint(0, 2, (12, 3))
    np.savetxt(path, rows, "%d", ",", header="a,b,c", comments="")
    about = described(load(path, kind=kind))
    rows[9, 1] = value
    np.savetxt(path, rows, "%d", ",", header="a,b,c", comments="")
    refused(match, path, about)


def test_other_columns_shapes_and_images_are_refused(mixed: Path, tmp_path: Path) -> None:
    about = of_table(mixed)
    (tmp_path / "few.csv").write_text("age,city\n1,Rome\n")
    refused("it lacks 'visits'", tmp_path / "few.csv", about)
    (tmp_path / "more.csv").write_text("age,city,visits,member,zone,pet\n1,Rome,2,true,2,cat\n")
    refused("it has 'pet' besides", tmp_path / "more.csv", about)
    (tmp_path / "twice.csv").write_text("age,age\n1,2\n")
    refused("two columns named 'age'", tmp_path / "twice.csv", about)
    refused("no column 'nobody' for --id", mixed, about, id_column="nobody")
    refused("is no table", "digits", described(load("digits")), id_column="who")  # type: ignore[arg-type]
    refused("no file or folder", tmp_path / "none.csv", about)
    folder = tmp_path / "pictures"
    folder.mkdir()
    refused("holds no images", folder, described(load("digits")))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "0.png")
    Image.fromarray(np.zeros((4, 8), np.uint8)).save(folder / "1.png")
    refused(r"1.png is 8 x 4 pixels, and the run's images are 8 x 8", folder, described(load("digits")))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "1.png")
    refused("1.png is in colour", folder, described(load("digits")))
    refused("holds images", folder, about)
