"""A run's account of its data: labels as context by how they came to be it, and damage in one sentence."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from logpx.data import check_about, from_array, load, rows_like
from logpx.errors import UserError
from logpx.samples import Words, contexts

X = np.random.RandomState(0).randn(40, 2).round(3)
CLASS = [3, 5, 9, 5] * 10


def table(path: Path, **columns: list) -> Path:
    columns = {"x": X[:, 0].tolist(), **columns, "y": X[:, 1].tolist()}
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def described(data: Any) -> dict[str, Any]:
    return json.loads(json.dumps(data.describe()))


def test_a_column_called_label_of_few_whole_numbers_is_a_class(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", label=CLASS)
    data = load(path, context="label", held_out=0, test=0)
    assert [(c.name, c.kind, c.levels) for c in data.conditions] == [("label", "categorical", 3)]
    assert data.categories["label"] == ("3", "5", "9")
    assert contexts(described(data), 4)[1] == {"label": ["3", "5", "9", "3"]}
    again = rows_like(path, described(data))
    assert torch.equal(again.context, data.train.context)
    assert load(path, context="label", columns={"label": "real"}).conditions[0].kind == "real"
    many = load(table(tmp_path / "many.csv", label=list(range(40))), context="label", columns={"label": "integer"})
    assert many.conditions[0].kind == "integer"
    fractions = load(table(tmp_path / "f.csv", label=[i / 7 for i in range(40)]), context="label")
    assert fractions.conditions[0].kind == "real"
    assert torch.equal(rows_like(tmp_path / "f.csv", described(fractions)).context[:, 0], rows_of(fractions))


def rows_of(data: Any) -> torch.Tensor:
    """The standardised condition of all rows, from the file's numbers."""
    condition = data.conditions[0]
    return torch.tensor([(i / 7 - condition.mean) / condition.scale for i in range(40)])


def test_a_label_beside_a_column_called_label(tmp_path: Path) -> None:
    """The condition is named by the label's column; the other column stays data with its own categories."""
    path = table(tmp_path / "t.csv", species=["cat", "dog"] * 20, label=["u", "v", "w", "u"] * 10)
    data = load(path, label="species", context="label", held_out=0, test=0)
    assert [(c.name, c.levels) for c in data.conditions] == [("species", 2)]
    assert data.categories == {"label": ("u", "v", "w"), "species": ("cat", "dog")}
    new = rows_like(path, described(data))
    assert torch.equal(new.context, data.train.context)
    assert torch.equal(new.x(), data.train.x())
    assert load(path, label="species", context="species", held_out=0, test=0).conditions == data.conditions


def test_labels_of_a_frame_with_a_column_called_label() -> None:
    class Frame(dict):
        columns = property(dict.keys)
        to_numpy = None

    class Series(list):
        def to_numpy(self) -> np.ndarray:
            return np.asarray(self)

    frame = Frame(x=Series(X[:, 0]), label=Series(X[:, 1]))
    with pytest.raises(UserError, match="has labels and a column 'label' too"):
        from_array(frame, labels=CLASS, context="label")


def mixed(tmp_path: Path) -> dict[str, Any]:
    city = ["Rome", "Oslo", "Bern", "Oslo"] * 10
    return described(load(table(tmp_path / "t.csv", city=city, sort=city), context="sort", held_out=0, test=0))


DAMAGE = {
    "categories": [{}, None, [], {"city": ["Rome"], "sort": ["Rome"]}],
    "column_kinds": [None, [], "x", [["city"]], [["x", "real"], ["city", "categorical", 3], ["y", "nope"]]],
    "conditions": ["x", [["sort", "categorical", 9]], [[]]],
    "shape": [None, [], ["3"], [0]],
    "kind": ["nope", "real"],
    "columns": [["x"]],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in DAMAGE.items() for value in values])
def test_damage_is_one_sentence(tmp_path: Path, key: str, value: Any) -> None:
    about = mixed(tmp_path)
    check_about(about)
    broken = copy.deepcopy(about) | {key: value}
    with pytest.raises(UserError, match=r"^runs/a/run\.json is damaged: [^\n]+\.$"):
        check_about(broken, "runs/a/run.json")
    with pytest.raises(UserError, match=r"^run\.json is damaged"):
        rows_like(tmp_path / "t.csv", broken)
    del broken[key]
    with pytest.raises(UserError, match="does not say"):
        check_about(broken)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source", 1),
        ("source", None),
        ("protocol", [1]),
        ("label", 1),
        ("seed", "x"),
        ("counts", None),
        ("counts", {"train": "x"}),
        ("columns", -1),
        ("classes", [1]),
        ("asked", None),
        ("asked", "x"),
        ("asked", {"a": 1}),
        ("asked", {"columns": [1]}),
        ("asked", {"context": -1}),
        ("asked", {"drop": -1}),
    ],
)
def test_what_cannot_be_said_of_data_is_one_sentence(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"^run\.json is damaged: {key} .* cannot be said of data[^\n]+\.$"):
        check_about(mixed(tmp_path) | {key: value})


def test_samples_need_the_names_of_categories(tmp_path: Path) -> None:
    about = mixed(tmp_path) | {"categories": {}}
    for make in (lambda: contexts(about, 2), lambda: Words.of(about)):
        with pytest.raises(UserError, match=r"is damaged: its .* do not fit its categories"):
            make()


def test_dropped_columns_are_never_looked_at(tmp_path: Path) -> None:
    """Dates and names of rows may stand in the file, of the training or a new one, or be absent from it."""
    days = [f"2020-01-{i % 28 + 1:02d}" for i in range(40)]
    path = table(tmp_path / "t.csv", id=[f"row {i}" for i in range(40)], day=days)
    data = load(path, drop="id, day", held_out=0, test=0)
    assert data.columns == ("x", "y")
    assert "left out: id, day" in data.note
    about = described(data)
    assert about["asked"]["drop"] == ["id", "day"]
    assert load(data.source, **about["asked"], held_out=0, test=0).describe() == data.describe()
    for source in (path, table(tmp_path / "bare.csv")):
        assert torch.equal(rows_like(source, about).x(), data.train.x())
    with pytest.raises(UserError, match="has no column 'nope' to drop; its columns are 'id'"):
        load(path, drop="id,day,nope")
    with pytest.raises(UserError, match=r"'id' .* is the label and cannot be dropped"):
        load(path, drop="id,day", label="id")
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(UserError, match="has no column 'id' to drop"):
        load(tmp_path / "x.npy", drop="id")


@pytest.mark.parametrize("data", ["x", None, {"shape": [2], "kind": "mixed", "levels": None, "column_kinds": [[]]}])
def test_a_run_of_broken_data_is_damaged_and_no_traceback(data: Any) -> None:
    from logpx.recipes import rebuild

    with pytest.raises(UserError, match="the file is damaged"):
        rebuild({"recipe": "vae", "options": {"latent": 2}, "data": data})
