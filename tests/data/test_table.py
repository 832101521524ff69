"""Users' files: what is read, and one sentence for each way in which a file can be wrong."""

import gzip
import io
import json
import struct
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from logpx.data import Data, MappedRows, from_array, load, names, rows_like, table
from logpx.errors import UserError

X = np.random.RandomState(0).standard_normal((20, 3)).round(3)
Y = np.arange(20) % 4


def everything(data: Data) -> np.ndarray:
    """All rows of all splits, sorted, as float64."""
    x = torch.cat([data.train.x(), data.held_out.x(), data.test.x()]).double().numpy()
    return x[np.lexsort(x.T)]


def same_rows(data: Data, x: np.ndarray) -> None:
    np.testing.assert_allclose(everything(data), x[np.lexsort(x.T)], atol=1e-6)


def refused(path: Path | str, match: str, **options: object) -> str:
    with pytest.raises(UserError, match=match) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# --- .npy


def test_npy_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    data = load(tmp_path / "x.npy")
    assert isinstance(data.train.rows, MappedRows)
    assert isinstance(data.train.rows.array, np.memmap)
    assert (len(data.train), len(data.held_out), len(data.test)) == (16, 2, 2)
    assert data.train.rows.shape == (16, 3)
    same_rows(data, X)
    index = torch.tensor([5, 0, 5, 15])
    assert torch.equal(data.train.x(index), data.train.x()[index])
    assert torch.equal(data.train.x(slice(3, 9, 2)), data.train.x()[3:9:2])
    assert data.source == str((tmp_path / "x.npy").resolve())
    assert (data.kind, data.shape) == ("real", (3,))


@pytest.mark.parametrize("dtype", [">f8", "f2", ">i4", "u2", "u4", "u8", "?", "i1", "g"])
def test_npy_of_any_number_type(tmp_path: Path, dtype: str) -> None:
    x = (np.arange(24).reshape(8, 3) % 2 + (0 if dtype == "?" else 3)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    data = load(tmp_path / "x.npy")
    same_rows(data, x.astype(float))
    assert data.train.x().dtype == torch.float32
    assert data.kind == ("binary" if dtype == "?" else "real" if dtype in (">f8", "f2", "g") else "integer")


def test_npy_images_in_both_layouts(tmp_path: Path) -> None:
    x = np.arange(10 * 4 * 5 * 3).reshape(10, 4, 5, 3).astype(np.uint8)
    np.save(tmp_path / "last.npy", x)
    np.save(tmp_path / "first.npy", np.ascontiguousarray(np.moveaxis(x, 3, 1)))
    last, first = load(tmp_path / "last.npy"), load(tmp_path / "first.npy")
    assert last.shape == first.shape == (3, 4, 5)
    assert isinstance(last.train.rows, MappedRows)
    assert torch.equal(last.train.x(), first.train.x())
    assert last.checksum == first.checksum


def test_npy_checksum_does_not_depend_on_the_split(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert load(tmp_path / "x.npy").checksum == load(tmp_path / "x.npy", held_out=0, seed=5).checksum
    np.save(tmp_path / "y.npy", X + 1)
    assert load(tmp_path / "x.npy").checksum != load(tmp_path / "y.npy").checksum


def npy_header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"1,2,3\n4,5,6\n",
        b"",
        npy_header("(1000000000000, 3)") + bytes(24),
        npy_header("(4611686018427387904, 4611686018427387904)") + bytes(24),
        npy_header("(-1, 3)") + bytes(24),
        npy_header("(2, 3)") + bytes(40),
        npy_header("(2, __import__('os').getpid())") + bytes(48),
    ],
    ids=["text", "nothing", "claims a terabyte", "overflows", "negative", "truncated", "code"],
)
def test_npy_that_is_not_what_it_says(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    refused(tmp_path / "x.npy", r"x\.npy cannot be read as a \.npy array")


class Malice:
    def __reduce__(self) -> tuple:
        return (sys.exit, ("unpickled",))


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([Malice(), Malice()], dtype=object), allow_pickle=True)
    refused(tmp_path / "x.npy", "cannot be read")
    np.savez(tmp_path / "x.npz", x=np.array([Malice(), Malice()], dtype=object))
    refused(tmp_path / "x.npz", "cannot be read")


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.zeros((0, 3)), "empty"),
        (np.zeros((3, 0)), "empty"),
        (np.array(1.0), "empty"),
        (np.zeros((1, 3)), "at least 2"),
        (np.array(["a", "b"]), "holds text"),
        (np.zeros(3, complex), "complex"),
        (np.zeros(3, [("a", float)]), "records"),
        (np.array(["2020-01-01"], "M8[D]"), "datetime64"),
    ],
)
def test_npy_that_cannot_be_used(tmp_path: Path, x: np.ndarray, match: str) -> None:
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", match)


def test_gaps_are_found_behind_the_first_chunk(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("logpx.data.base.CHUNK_BYTES", 100)
    x = X.copy()
    x[17, 2] = np.inf
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", r"infinite value at row 17 \(counted from 0\), column 2")
    x[9, 1] = -np.inf
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", r"infinite value at row 9 \(counted from 0\), column 1")
    x[3, 0] = 1e39
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", "1e\\+39 at row 3")


# --- .npz and .h5


def save_archive(path: Path, **arrays: np.ndarray) -> Path:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array.astype("S") if array.dtype.kind == "U" else array
    return path


@pytest.fixture(params=[".npz", ".h5"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"set{request.param}"


def test_archive_with_its_own_test_rows(archive: Path) -> None:
    save_archive(archive, x_train=X[:14], x_test=X[14:], y_train=Y[:14], y_test=Y[14:], more=X[:2])
    data = load(archive)
    assert (len(data.train), len(data.held_out), len(data.test)) == (13, 1, 6)
    np.testing.assert_allclose(data.test.x().double().numpy(), X[14:], atol=1e-6)
    assert data.test.labels.tolist() == Y[14:].tolist()
    assert "ignored: more" in data.note
    refused(archive, "test rows of its own", test=3)


def test_archive_of_one_array_and_text_labels(archive: Path) -> None:
    save_archive(archive, numbers=X, labels=np.array(["b", "a"])[Y % 2])
    data = load(archive)
    same_rows(data, X)
    assert data.classes == ("a", "b")
    lookup = {tuple(row): 1 - label % 2 for row, label in zip(X.astype(np.float32).tolist(), Y, strict=True)}
    assert [lookup[tuple(x)] for x in data.train.x().tolist()] == data.train.labels.tolist()


def test_archive_labels_by_name(archive: Path) -> None:
    save_archive(archive, x=X, colour=Y + 5)
    data = load(archive, label="colour")
    assert data.classes == ("5", "6", "7", "8")
    assert set(data.train.labels.tolist()) <= {0, 1, 2, 3}
    refused(archive, "no array 'size' for labels; it has colour, x", label="size")


def test_archive_parts_of_different_types_are_judged_together(archive: Path) -> None:
    save_archive(archive, train=np.arange(12, dtype=np.uint8), test=np.array([0.5, -1.0]))
    data = load(archive)
    assert data.kind == "real"
    assert data.test.x().tolist() == [[0.5], [-1.0]]


def test_archive_refusals(archive: Path) -> None:
    save_archive(archive, a=X, b=X)
    refused(archive, "it has a, b")
    save_archive(archive, train=X, test=X[:, :2])
    refused(archive, r"shape \(2,\), the training rows \(3,\)")
    save_archive(archive, x=X, y=Y[:5])
    refused(archive, r"shape \(5,\), and 20 rows need")
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    refused(archive, "cannot be read as")
    archive.write_text("a,b\n1,2\n")
    refused(archive, "cannot be read as")
    archive.write_bytes(b"")
    refused(archive, "cannot be read as")


def test_archives_that_claim_more_than_they_hold(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("x.npy", npy_header("(1000000000000, 3)") + bytes(24))
    refused(tmp_path / "x.npz", "cannot be read as")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", shape=(10**12,), chunks=(1000,), dtype="f8")
    refused(tmp_path / "x.h5", "more than the file can hold")


# --- .csv and .parquet


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_names_and_a_text_label(tmp_path: Path) -> None:
    rows = "\n".join(f"{a},{b},{'odd' if i % 2 else 'even'},{c}" for i, (a, b, c) in enumerate(X))
    data = load(write(tmp_path / "t.csv", f"\ufeffa,b,kind of,c\n{rows}\n"), label="kind of")
    assert data.columns == ("a", "b", "c")
    assert data.classes == ("even", "odd")
    same_rows(data, X)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["", "a|b|c\n"])
def test_csv_delimiters_and_headers(tmp_path: Path, delimiter: str, header: str) -> None:
    rows = "\n".join("|".join(str(v) for v in row) for row in X)
    data = load(write(tmp_path / "t.csv", (header + rows).replace("|", delimiter)))
    assert data.columns == (("a", "b", "c") if header else ("column 0", "column 1", "column 2"))
    same_rows(data, X)


def test_csv_integers_are_counts_and_integer_labels_keep_their_names(tmp_path: Path) -> None:
    text = "n,m,y\n" + "".join(f"{i},{2 * i},{i % 2 * 10}\n" for i in range(9))
    data = load(write(tmp_path / "t.csv", text), label="y")
    assert (data.kind, data.spec.levels) == ("integer", None)
    assert data.train.rows[:].dtype == torch.int64
    assert data.classes == ("0", "10")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("\n1,2\n", "begins with an empty line"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n", "at least 2"),
        ("a,b\n1,2\n3,x\n4,5\n", r"Column 'b' of .* mixes numbers .* row 1 \(counted from 0\) holds 'x'"),
        (
            "a,b\n1,2020-01-01\n3,2020-01-02\n",
            r"Column 'b' of .* holds dates \(row 0 .* is 2020-01-01\): give a number of days",
        ),
        ("a,b\n1,\n3,\n", "Column 'b' of .* holds no value at all; drop it"),
        ("a,b\n" + "".join(f"{i},row {i}\n" for i in range(20)), "20 different texts in 20 rows: it names rows"),
        ("a,b\n1,2\n3,inf\n", r"infinite value at row 1 \(counted from 0\), column 'b'"),
        ("a,b\n1,2\n3\n", "cannot be read as a table"),
        ("a,a\n1,2\n3,4\n", "two columns named 'a'"),
    ],
)
def test_csv_refusals(tmp_path: Path, text: str, match: str) -> None:
    refused(write(tmp_path / "t.csv", text), match)


def test_csv_that_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    refused(tmp_path / "t.csv", "is not text")
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    refused(tmp_path / "t.csv", "is not text")


def test_csv_unknown_label(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,b\n1,2\n3,4\n5,6\n")
    refused(path, "has no column 'c'; it has 'a', 'b'", label="c")
    gap = write(tmp_path / "gap.csv", "a,b\n1,x\n3,\n5,y\n")
    refused(gap, r"missing value at row 1 \(counted from 0\), column 'b'", label="b")
    refused(write(tmp_path / "one.csv", "a\n1\n3\n5\n"), "no column of numbers", label="a")


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"a": X[:, 0], "b": X[:, 1].astype(np.float32), "c": X[:, 2], "city": ["x", "y"] * 10})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    data = load(tmp_path / "t.parquet", label="city")
    same_rows(data, X)
    assert (data.columns, data.classes) == (("a", "b", "c"), ("x", "y"))
    refused(tmp_path / "t.parquet", "Column 'city' .* holds text, and kind='real' needs numbers", kind="real")
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content[:-30])
    refused(tmp_path / "t.parquet", "cannot be read as a parquet table")
    (tmp_path / "t.parquet").write_text("a,b\n")
    refused(tmp_path / "t.parquet", "cannot be read as a parquet table")


@pytest.mark.parametrize(
    ("column", "match"),
    [
        (pa.array([None, None, None]), "Column 'b' .* holds no value at all"),
        (pa.array([[1], [2], [3]]), "Column 'b' .* holds neither numbers nor text"),
    ],
)
def test_parquet_refusals(tmp_path: Path, column: pa.Array, match: str) -> None:
    pa.parquet.write_table(pa.table({"a": [1, 2, 3], "b": column}), tmp_path / "t.parquet")
    refused(tmp_path / "t.parquet", match)


@pytest.mark.parametrize(("name", "module"), [("t.csv", "pyarrow"), ("t.parquet", "pyarrow"), ("t.h5", "h5py")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch, name: str, module: str) -> None:
    for loaded in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, loaded, None)
    refused(write(tmp_path / name, "a,b\n1,2\n3,4\n"), r"pip install logpx\[files\]")


# --- names and paths


def test_unknown_sources(tmp_path: Path) -> None:
    assert "did you mean mnist" in refused("mnits", "no data set or file 'mnits'")
    assert all(name in refused("zzz", "known are") for name in names())
    refused("mnits:grey", "did you mean mnist")
    refused(tmp_path / "x.npy", "There is no file or folder")
    refused("x.csv", "There is no file or folder")
    refused(write(tmp_path / "x.docx", ""), r"no known type; give \.npy, \.npz")
    refused("", "needs a name or a path")
    refused(X, "not ndarray; for arrays use from_array")  # type: ignore[arg-type]
    refused("mixture", "label='y' does not apply", label="y")
    np.save(tmp_path / "x.npy", X)
    refused(tmp_path / "x.npy", "label='y' does not apply", label="y")


def test_a_path_may_carry_its_protocol(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(60, dtype=np.uint8).reshape(10, 6))
    assert load(f"{tmp_path / 'x.npy'}:static:2").protocol == "static:2"
    assert load(str(tmp_path / "x.npy"), protocol="threshold").source == str((tmp_path / "x.npy").resolve())


@pytest.mark.parametrize("source", ["digits", "digits:dynamic", "digits:static:4", "mixture", "tree", "npy", "csv"])
def test_described_data_load_again(tmp_path: Path, source: str) -> None:
    if source == "npy":
        np.save(tmp_path / "x.npy", X)
        source = str(tmp_path / "x.npy")
    if source == "csv":
        source = str(write(tmp_path / "t.csv", "a,b,y\n" + "".join(f"{i},{i * i},{i % 3}\n" for i in range(9))))
        first = load(source, held_out=2, test=0.3, seed=7, label="y")
    else:
        first = load(source, held_out=2, seed=7)
    d = json.loads(json.dumps(first.describe()))
    again = load(
        d["source"], **{key: d[key] for key in ("protocol", "held_out", "test", "seed", "label")}, **d["asked"]
    )
    assert again.describe() == first.describe()
    assert again.spec == first.spec
    assert torch.equal(again.test.x(), first.test.x())
    assert d["counts"]["held_out"] == 2


def test_names_are_loadable_and_described() -> None:
    assert list(names())[:3] == ["mnist", "fashion-mnist", "digits"]
    assert all(line and "\n" not in line for line in names().values())


def test_buffers_in_memory_are_no_paths() -> None:
    refused(io.BytesIO(b""), "needs a name or a path")  # type: ignore[arg-type]


@pytest.mark.parametrize("line", ["1.0,,3.0", "nan,2,3", "1,b,3"])
def test_a_first_line_that_is_half_numbers_is_refused_and_not_taken_for_names(tmp_path, line):
    path = tmp_path / "gap.csv"
    path.write_text(f"{line}\n4,5,6\n7,8,9\n")
    with pytest.raises(UserError, match="mixes numbers with"):
        load(path)


def test_an_alpha_channel_is_refused_and_not_read_as_rows():
    with pytest.raises(UserError, match="drop the alpha"):
        from_array(np.zeros((5, 8, 8, 4), np.uint8))


def test_columns_that_are_factors_follow_their_rows(tmp_path: Path) -> None:
    """Whatever the split, and whether the model sees them or not; numbers are ordered, text is a category."""
    x, size = np.arange(60.0), np.arange(60) // 20 / 2
    table = pa.table({"x": x + 0.5, "size": size, "kind": np.array(["b", "a"])[np.arange(60) % 2]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    plain = load(tmp_path / "t.parquet", drop="kind,size")
    data = load(tmp_path / "t.parquet", drop="kind,size", factors="size,kind")
    assert [(c.name, c.kind, c.levels) for c in data.factors] == [("size", "integer", 3), ("kind", "categorical", 2)]
    for split in (data.train, data.held_out, data.test):
        at = split.x()[:, 0].long()
        assert torch.equal(split.factors, torch.stack([at // 20, 1 - at % 2], 1))
    assert data.checksum == plain.checksum
    assert load(tmp_path / "t.parquet", columns="kind=categorical", factors="size").spec.shape == (3,)


def test_columns_that_can_be_no_factors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y,gap\n" + "".join(f"{i}.5,{i}.5,{i if i else ''}\n" for i in range(50)))
    for factors, words in (("z", "no column 'z'"), ("gap", "missing value"), ("y", "hardly one twice")):
        with pytest.raises(UserError, match=words):
            load(tmp_path / "t.csv", factors=factors)
    np.save(tmp_path / "x.npy", np.eye(4))
    with pytest.raises(UserError, match="are columns of a table"):
        load(tmp_path / "x.npy", factors="y")


# --- archives with several arrays ------------------------------------------------------------------------------------------


@pytest.fixture
def several(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["deep/pictures"] = np.arange(640, dtype=np.uint8).reshape(10, 8, 8)
        file["other"] = np.arange(30.0).reshape(10, 3)
        file["packed"] = np.zeros((10, 3))
        file.create_dataset("gzip", data=np.arange(30.0).reshape(10, 3), compression="gzip")
    np.savez(tmp_path / "a.npz", one=np.arange(30.0).reshape(10, 3), two=np.zeros((10, 2)))
    return tmp_path


def test_one_array_of_an_archive_is_named_behind_a_colon(several):
    data = load(f"{several}/a.h5:deep/pictures")
    assert data.shape == (1, 8, 8)
    assert load(f"{several}/a.h5:deep/pictures:threshold").protocol == "threshold"
    assert load(f"{several}/a.npz:one").shape == (3,)
    assert load(data.source).checksum == data.checksum
    assert len(rows_like(data.source, data.describe())) == 10
    with pytest.raises(UserError, match=r"be asked for one as a\.h5:NAME; it has deep/pictures, gzip, other, packed"):
        load(several / "a.h5")
    with pytest.raises(UserError, match="has no array 'no'; it has"):
        load(f"{several}/a.h5:no")


def test_a_large_array_in_one_piece_stays_on_disk(several, monkeypatch):
    held = load(f"{several}/a.h5:other")
    monkeypatch.setattr(table, "MAPPED", 100)
    mapped = load(f"{several}/a.h5:other")
    assert isinstance(mapped.train.rows, MappedRows)
    assert mapped.checksum == held.checksum
    assert torch.equal(mapped.train.x(), held.train.x())
    assert not isinstance(load(f"{several}/a.h5:gzip").train.rows, MappedRows)
    assert torch.equal(load(f"{several}/a.h5:gzip").train.x(), held.train.x())
