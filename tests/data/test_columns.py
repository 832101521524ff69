"""Mixed tables, missing values and contexts: what a column is, what is coded how, and sentences for what does not fit."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from logpx.data import Column, from_array, given_context, load, rows_like
from logpx.errors import UserError
from logpx.recipes import rebuild

N = 60
RANDOM = np.random.RandomState(0)
AGE = RANDOM.randn(N).round(3) * 10 + 40
CITY = np.array(["Rome", "Paris", "Oslo"])[np.arange(N) % 3]
TABLE = {"age": AGE, "city": CITY, "visits": np.arange(N) % 7, "member": np.arange(N) % 2 == 0}


def csv(path: Path, columns: dict, holes: tuple = ()) -> Path:
    lines = [",".join(columns)]
    for i in range(len(next(iter(columns.values())))):
        cells = ["" if (i, name) in holes else str(values[i]) for name, values in columns.items()]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return csv(tmp_path / "t.csv", TABLE)


class Frame(dict):
    """What a pandas or polars frame offers and `from_array` uses."""

    columns = property(dict.keys)

    def to_numpy(self) -> np.ndarray:
        raise AssertionError("frames are read by column")

    def __getitem__(self, name: str):
        return Series(dict.__getitem__(self, name))


class Series(list):
    def to_numpy(self) -> np.ndarray:
        return np.asarray(self, object if isinstance(self[0], str) else None)


def refused(match: str, make, *arguments, **options) -> None:
    with pytest.raises(UserError, match=match) as caught:
        make(*arguments, **options)
    assert "\n" not in str(caught.value)


# --- kinds and codes


def test_a_mixed_table_says_what_each_column_is(table: Path) -> None:
    data = load(table, held_out=0, test=0)
    assert data.kind == "mixed"
    assert [(c.name, c.kind, c.levels) for c in data.spec.columns] == [
        ("age", "real", None),
        ("city", "categorical", 3),
        ("visits", "integer", None),
        ("member", "binary", None),
    ]
    assert data.categories == {"city": ("Oslo", "Paris", "Rome")}
    assert [data.categories["city"][int(code)] for code in data.train.x()[:, 1]] == CITY.tolist()
    np.testing.assert_array_equal(data.train.rows.numpy()[:, 0], AGE)
    assert data.spec.columns[0].mean == pytest.approx(AGE.mean())
    assert data.spec.columns[0].scale == pytest.approx(AGE.std())
    assert "mixed data: age real, city categorical (3), visits integer, member binary" in data.note
    assert data.train.levels == (None, 3, None, None)


def test_parquet_and_frames_are_read_alike(tmp_path: Path, table: Path) -> None:
    pyarrow.parquet.write_table(pa.table(TABLE), tmp_path / "t.parquet")
    wanted = load(table)
    for data in (load(tmp_path / "t.parquet"), from_array(Frame(**TABLE))):
        assert data.spec == wanted.spec
        assert data.categories == wanted.categories
        assert torch.equal(data.train.x(), wanted.train.x())


def test_means_and_categories_are_those_of_the_training_rows(tmp_path: Path) -> None:
    x = np.arange(40.0)[:, None] + 0.5
    codes = np.array([3.0] * 10 + [7.0] * 29 + [5.0])[:, None]
    data = from_array(np.concatenate([x, codes], 1), columns={"column 1": "categorical"}, test=0.3, held_out=0, seed=1)
    train = data.train.rows
    assert data.spec.columns[0].mean == pytest.approx(train[:, 0].mean().item())
    assert data.spec.columns[0].scale == pytest.approx(train[:, 0].std(correction=0).item())
    rare_in_test = bool((data.test.rows[:, 0] == 39.5).any())
    assert data.spec.columns[1].levels == (2 if rare_in_test else 3)
    assert data.categories["column 1"] == (("3", "7", "5") if rare_in_test else ("3", "5", "7"))


def test_a_category_that_no_training_row_has_is_refused_by_name(tmp_path: Path) -> None:
    from logpx.recipes import vae
    from logpx.train import fit

    path = csv(tmp_path / "t.csv", TABLE | {"city": np.where(np.arange(N) == 17, "Bern", CITY)})
    seeds = (s for s in range(100) if load(path, seed=s).spec.columns[1].levels == 3)
    data = load(path, seed=next(seeds))
    assert data.categories["city"] == ("Oslo", "Paris", "Rome", "Bern")
    refused("Column 'city' is 'Bern' in 1 (test|held-out) row", fit, vae(data), data, epochs=1, show=False)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"a": [0.5, 1.5, 2.5], "b": [1.5, 2.0, 3.0]}, "real"),
        ({"a": [0, 1, 1], "b": [1, 0, 1]}, "binary"),
        ({"a": [0, 1, 1], "b": [5, 0, 1]}, "integer"),  # counts throughout, some of which are small
        ({"a": [0.5, 1.5, 2.5], "b": [5, 0, 1]}, "mixed"),
        ({"a": [0.5, 1.5, 2.5], "b": [-5, 0, 1]}, "real"),
        ({"a": ["x", "y", "x"]}, "mixed"),
        ({"a": [True, False, True], "b": [5, 0, 1]}, "mixed"),
    ],
)
def test_a_table_is_mixed_only_where_its_columns_differ(tmp_path: Path, columns: dict, kind: str) -> None:
    columns = {name: values * 3 for name, values in columns.items()}
    assert load(csv(tmp_path / "t.csv", columns), held_out=0, test=0).kind == kind


def test_kinds_can_be_set(table: Path) -> None:
    data = load(table, columns={"visits": "categorical", "member": "real"}, held_out=0, test=0)
    assert [c.kind for c in data.spec.columns] == ["real", "categorical", "categorical", "real"]
    assert data.categories["visits"] == tuple("0123456")
    numbers = csv(table.parent / "n.csv", {"age": AGE, "visits": TABLE["visits"]})
    assert load(numbers).kind == "mixed"
    assert load(numbers, columns={"visits": "real"}).kind == "real"
    assert load(numbers, kind="real").kind == "real"
    assert load(csv(table.parent / "r.csv", {"age": AGE, "b": AGE}), kind="mixed").spec.columns[1].kind == "real"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"columns": {"agee": "real"}}, "has no column 'agee' for columns; its columns are 'age', 'city'"),
        ({"columns": {"age": "number"}}, "Column 'age' cannot be 'number': choose one of binary, grey, integer"),
        ({"columns": {"city": "real"}}, "Column 'city' of t.csv holds text, so it can only be categorical, not real"),
        ({"columns": {"age": "integer"}}, "Column 'age' has values from .* integer needs whole numbers"),
        ({"columns": {"age": "categorical"}}, "Column 'age' has values that are not whole"),
        ({"columns": {"visits": "binary"}}, "Column 'visits' has values from 0 to 6, and binary needs 0 and 1"),
        ({"columns": {"visits": "grey"}}, r"Column 'visits' has values from 0 to 6, and grey needs \[0, 1\]"),
        ({"kind": "real"}, "Column 'city' of t.csv holds text, and kind='real' needs numbers"),
        ({"kind": "real", "columns": {"age": "integer"}}, "asked to be integer, and kind='real'"),
        ({"kind": "mixed", "protocol": "grey"}, "'grey' is for pixels"),
        ({"context": "town"}, "has no column 'town' for context"),
        ({"context": "age,city,visits,member"}, "names every column"),
        ({"context": "label"}, "needs a label for every row"),
    ],
)
def test_what_does_not_fit_is_one_sentence(table: Path, options: dict, match: str) -> None:
    refused(match, load, table, **options)


def test_columns_are_for_tables(tmp_path: Path) -> None:
    refused("names columns, and array is no table", from_array, np.zeros((9, 4, 4)), context="a")
    refused("are for tables", from_array, np.zeros((9, 4, 4)), kind="mixed")


# --- missing values


def test_holes_keep_the_kind_and_are_counted(tmp_path: Path) -> None:
    holes = ((3, "age"), (4, "city"), (5, "visits"), (6, "member"), (7, "age"))
    data = load(csv(tmp_path / "t.csv", TABLE, holes), held_out=0, test=0)
    assert [c.kind for c in data.spec.columns] == ["real", "categorical", "integer", "binary"]
    assert "5 of 240 values are missing" in data.note
    gaps = data.train.x().isnan().nonzero().tolist()
    assert gaps == [[3, 0], [4, 1], [5, 2], [6, 3], [7, 0]]
    assert data.spec.columns[0].mean == pytest.approx(np.delete(AGE, [3, 7]).mean())
    batch = data.train.batch(slice(0, 8))
    assert torch.equal(batch.observed, ~data.train.x(slice(0, 8)).isnan())
    assert not bool(batch.x.isnan().any())


@pytest.mark.parametrize("gap", ["nan", "mask", "None"])
def test_arrays_with_holes(gap: str) -> None:
    whole = np.random.RandomState(0).randint(0, 2, size=(20, 3))
    hole = np.zeros(whole.shape, bool)
    hole[2, 1] = True
    x = np.ma.masked_array(whole, hole)
    if gap != "mask":
        x = np.where(hole, None if gap == "None" else np.nan, whole)
    data = from_array(x, held_out=0, test=0)
    assert data.kind == "binary"
    assert data.train.missing
    assert data.train.x().isnan().nonzero().tolist() == [[2, 1]]
    assert from_array(np.where(hole, np.nan, 4 * whole), held_out=0, test=0).kind == "integer"
    assert not from_array(whole).train.missing


def test_pixels_with_holes_keep_them_under_every_protocol(tmp_path: Path) -> None:
    x = np.random.RandomState(0).rand(30, 4, 4).astype(np.float32)
    x[:, 1, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    for source, make in ((x, from_array), (tmp_path / "x.npy", load)):
        for protocol in ("grey", "threshold", "dynamic", "static:3"):
            data = make(source, protocol=protocol)
            for split in (data.train, data.held_out, data.test):
                made = split.x(generator=torch.Generator().manual_seed(0))
                assert torch.equal(made.isnan(), torch.from_numpy(np.isnan(x[: len(made)]))[:, None]), protocol
                assert protocol == "grey" or set(made.nan_to_num(0).unique().tolist()) <= {0.0, 1.0}
    full = from_array(np.nan_to_num(x), protocol="static:3").test.x()
    assert torch.equal(full, from_array(x, protocol="static:3").test.x().nan_to_num(0))


def test_the_checksum_knows_holes_and_names(tmp_path: Path) -> None:
    sums = {
        load(csv(tmp_path / "t.csv", TABLE)).checksum,
        load(csv(tmp_path / "t.csv", TABLE, ((3, "age"),))).checksum,
        load(csv(tmp_path / "t.csv", TABLE | {"city": np.char.upper(CITY)})).checksum,
    }
    assert len(sums) == 3


@pytest.mark.parametrize("name", ["ppca", "linear_vae"])
def test_exact_models_refuse_missing_values_before_training(tmp_path: Path, name: str) -> None:
    from logpx.recipes import RECIPES
    from logpx.train import fit

    x = RANDOM.randn(30, 4)
    x[3, 2] = np.nan
    data = from_array(x)
    method = RECIPES[name].build(data)
    refused("complete rows", fit, method, data, epochs=1, show=False, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- context


def test_labels_as_context() -> None:
    labels = np.array(["b", "a", "c"])[np.arange(30) % 3]
    data = from_array(RANDOM.randn(30, 2), labels=labels, context="label")
    assert data.spec.context == 3
    assert data.conditions == (Column("label", "categorical", 3),)
    assert data.categories["label"] == ("a", "b", "c")
    for split in (data.train, data.held_out, data.test):
        assert torch.equal(split.context, torch.eye(3)[split.labels])
        assert torch.equal(split.batch(slice(1, 3)).context, split.context[1:3])
    assert "given: label categorical (3)" in data.note
    assert load("digits", context="label").spec.context == 10


def test_columns_as_context(table: Path) -> None:
    data = load(table, context="age,city", held_out=10, test=0)
    assert data.columns == ("visits", "member")
    assert (data.kind, data.spec.shape, data.spec.context) == ("mixed", (2,), 4)
    age = data.train.context[:, 0]
    assert age.mean().item() == pytest.approx(0, abs=1e-6)
    assert age.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    codes = [data.categories["city"].index(city) for city in CITY]
    everyone = load(table, context="age,city", held_out=0, test=0)
    assert torch.equal(everyone.train.context[:, 1:], torch.eye(3)[codes])
    counts = load(table, context=("age", "city", "member"))
    assert (counts.kind, counts.columns) == ("integer", ("visits",))


def test_a_context_must_be_known(tmp_path: Path) -> None:
    path = csv(tmp_path / "t.csv", TABLE, ((3, "city"),))
    refused(r"'city' is the context and has a missing value at row \d+", load, path, context="city")
    path = csv(tmp_path / "u.csv", TABLE | {"city": np.where(np.arange(N) == 17, "Bern", CITY)})
    seed = next(s for s in range(100) if load(path, seed=s).spec.columns[1].levels == 3)
    refused("context 'city' is 'Bern' .* no training row has", load, path, context="city", seed=seed)


def test_a_given_context_is_what_a_row_would_have(table: Path) -> None:
    data = load(table, context="age,city", held_out=0, test=0)
    made = given_context([str(AGE[4]), CITY[4]], data.conditions, data.categories)
    torch.testing.assert_close(made[0], data.train.context[4])
    refused(
        "city 'Bern' is not one of Oslo, Paris, Rome", given_context, ["4", "Bern"], data.conditions, data.categories
    )
    for number in ("1e400", "-inf", "nan", "1e60"):
        refused("no number that float32 can hold", given_context, [number, "Rome"], data.conditions, data.categories)
    refused("age 'old' is no number", given_context, ["old", "Rome"], data.conditions, data.categories)


# --- again


@pytest.mark.parametrize("options", [{}, {"context": "city"}, {"columns": {"visits": "real"}}, {"label": "city"}])
def test_described_tables_load_again(tmp_path: Path, options: dict) -> None:
    path = csv(tmp_path / "t.csv", TABLE, ((3, "age"), (5, "visits")))
    first = load(path, held_out=0.2, test=5, **options)
    d = json.loads(json.dumps(first.describe()))
    given = {key: d[key] for key in ("protocol", "held_out", "test", "seed", "label")}
    again = load(d["source"], **given, **d["asked"])
    assert again.describe() == first.describe()
    assert again.spec == first.spec
    assert torch.equal(again.test.x().nan_to_num(), first.test.x().nan_to_num())
    method = rebuild({"recipe": "vae", "options": {"latent": 2}, "data": d})
    assert method.model.encode(first.train.batch(slice(0, 3))).mean.shape == (3, 2)


def test_rows_of_another_file_are_read_as_the_runs_were(tmp_path: Path, table: Path) -> None:
    about = json.loads(json.dumps(load(table, context="member").describe()))
    other = csv(
        tmp_path / "new.csv",
        {"member": ["True"], "visits": [5], "city": ["Rome"], "age": [""]},
    )
    split = rows_like(other, about)
    assert split.x().nan_to_num(-1).tolist() == [[-1.0, 2.0, 5.0]]
    assert split.context.tolist() == [[1.0]]
    whole = rows_like(table, about)
    assert [about["categories"]["city"][int(c)] for c in whole.x()[:, 1]] == CITY.tolist()
    rest = {"visits": [5], "member": ["True"], "age": [3.5]}
    refused("it lacks 'city'; give it", rows_like, csv(tmp_path / "a.csv", rest), about)
    more = rest | {"city": ["Rome"], "pet": ["dog"]}
    refused("it has 'pet' besides", rows_like, csv(tmp_path / "b.csv", more), about)
    refused("'city' holds 'Bern' at row 0", rows_like, csv(tmp_path / "c.csv", rest | {"city": ["Bern"]}), about)
    parts = rest | {"city": ["Rome"], "visits": [2.5]}
    refused("'visits' holds 2.5 at row 0 .* it was integer", rows_like, csv(tmp_path / "e.csv", parts), about)
    words = rest | {"city": ["Rome"], "age": ["old"]}
    refused("'age' of d.csv holds text, and in the run it was real", rows_like, csv(tmp_path / "d.csv", words), about)
