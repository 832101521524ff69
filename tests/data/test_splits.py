"""Which rows train, which choose the epoch, which judge: as a column says, by groups, by a seed - and again on reading."""

import json
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from command_line import refused, run
from logpx.data import from_array, load, pieces_like, rows_like
from logpx.errors import UserError
from logpx.recipes import command

X = np.random.RandomState(0).standard_normal((60, 2)).round(3)
SAID = np.array(["train", "Training", "val", "test", "train", "dev"] * 10)
PATIENT = np.array([f"p{i // 4}" for i in range(60)])


def table(path: Path, **columns: object) -> Path:
    columns = {"a": X[:, 0], "b": X[:, 1]} | columns
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]))
    return path


def parts(data) -> list[list[float]]:
    return [sorted(split.rows[:][:, 0].tolist()) for split in (data.train, data.held_out, data.test)]


# --- as the source says -----------------------------------------------------------------------------------------------


def test_a_column_says_what_each_row_is_for(tmp_path):
    data = load(table(tmp_path / "t.csv", part=SAID), split="part")
    assert data.columns == ("a", "b")
    where = [np.isin(np.char.lower(SAID), words) for words in (["train", "training"], ["val", "dev"], ["test"])]
    assert parts(data) == [pytest.approx(sorted(X[rows, 0])) for rows in where]
    kept = {name: data.options[name] for name in ("held_out", "test", "seed", "label")} | data.options["asked"]
    again = load(data.source, **kept)
    assert parts(again) == parts(data)


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_an_array_in_an_archive_says_so_too(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    if suffix == "npz":
        np.savez(path, x=X, part=SAID, who=PATIENT)
    else:
        with h5py.File(path, "w") as file:
            file["x"], file["part"] = X, SAID.astype("S")
            file["who"] = np.arange(60) // 4
    data = load(path, split="part")
    assert [len(data.train), len(data.held_out), len(data.test)] == [30, 20, 10]
    assert len(load(path, group="who", split=None).train)
    assert len(rows_like(path, data.describe())) == 60
    with pytest.raises(UserError, match="has no array 'no'; it has part"):
        load(path, group="no")


def test_an_array_in_python():
    data = from_array(X, split=SAID, group=np.arange(60))
    assert [len(data.train), len(data.held_out), len(data.test)] == [30, 20, 10]


def test_rows_are_held_out_of_those_for_training_where_none_are_named():
    said = np.where(SAID == "test", "test", "train")
    data = from_array(X, split=said, held_out=0.2)
    assert [len(data.train), len(data.held_out), len(data.test)] == [40, 10, 10]
    assert "10 held-out rows drawn from those for training" in data.note
    assert parts(data)[2] == pytest.approx(sorted(X[said == "test", 0]))
    assert len(from_array(X, split=said, held_out=0).held_out) == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"split": np.where(SAID == "dev", "judge", SAID)},
            r"says 'judge' of row 5 \(counted from 0\), and a row is for train",
        ),
        ({"split": np.full(60, "test")}, "no row that is for training"),
        ({"split": SAID, "test": 0.2}, "says itself which rows are for what; leave out test=0.2"),
        ({"split": SAID, "held_out": 5}, "leave out held_out=5"),
        ({"split": SAID, "group": PATIENT}, "group 'p0' of array has train and held-out rows"),
        ({"split": SAID[:5]}, r"split has shape \(5,\), and 60 rows need one value each"),
        (
            {"group": np.where(np.arange(60) == 7, np.nan, np.arange(60) // 4)},
            r"group has a missing value at row 7 \(counted from 0\)",
        ),
        ({"split": np.where(SAID == "dev", "", SAID)}, "split has a missing value at row 5"),
        ({"group": np.where(PATIENT == "p2", " ", PATIENT), "split": SAID}, "group has a missing value at row 8"),
        ({"group": np.zeros(60)}, r"has 1 group\(s\), too few"),
        ({"group": np.arange(60) % 2}, r"has 2 group\(s\), too few"),
    ],
)
def test_what_cannot_be_is_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        from_array(X, **options)


@pytest.mark.parametrize("option", ["split", "group", "label"])
def test_the_data_of_an_archive_are_neither_their_split_nor_group_nor_label(tmp_path, option):
    np.savez(tmp_path / "t.npz", x=X, who=np.arange(60) // 4)
    with pytest.raises(UserError, match=f"'who' in .* is the data, so it cannot be the {option} too"):
        load(f"{tmp_path / 't.npz'}:who", **{option: "who"})


def test_groups_of_a_source_with_test_rows_of_its_own_are_refused(tmp_path):
    """Nobody says which groups those rows belong to: a patient might train and judge."""
    np.savez(tmp_path / "t.npz", x_train=X, x_test=X, who=np.arange(60) // 4)
    with pytest.raises(UserError, match="test rows of its own, whose groups nobody said"):
        load(tmp_path / "t.npz", group="who")


# --- by groups and by seeds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [[4] * 15, [30, 1, 1, 1, 1, 26], [20, 20, 20]])
def test_no_group_is_parted_and_each_split_has_one(seed, sizes):
    group = np.repeat(np.arange(len(sizes)), sizes)
    data = from_array(np.column_stack([X[:, 0], group]), kind="real", group=group, seed=seed)
    seen = [set(split.rows[:][:, 1].tolist()) for split in (data.train, data.held_out, data.test)]
    for a, b in combinations(seen, 2):
        assert not a & b
    assert set.union(*seen) == set(group)
    assert all(seen)
    assert f"groups kept together: {len(seen[0])} train" in data.note


def test_groups_come_as_near_to_the_shares_as_they_can():
    data = from_array(X, group=PATIENT, held_out=0.2, test=0.3)
    assert [len(data.train), len(data.held_out), len(data.test)] == [28, 12, 20]
    assert parts(data)[2] == parts(from_array(X, group=PATIENT, held_out=0.4, test=0.3))[2]


def test_the_seed_draws_other_rows():
    assert parts(from_array(X, seed=1)) != parts(from_array(X, seed=2))
    assert parts(from_array(X, group=PATIENT, seed=1)) != parts(from_array(X, group=PATIENT, seed=2))


# --- the command line, and other files --------------------------------------------------------------------------------


TRAIN = "train vae {} --latent 1 --epochs 1 --quiet --no-report --evidence-samples 2 --out run"


def test_the_command_line_keeps_and_honours_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = np.repeat(["train", "validation", "test"], [40, 8, 12])
    path = table(tmp_path / "t.csv", part=said, patient=PATIENT)
    assert run(f"{TRAIN.format('t.csv')} --split part --group patient") == 0
    info = json.loads(Path("run/run.json").read_text())
    assert info["data"]["counts"] == {"train": 40, "held_out": 8, "test": 12}
    assert info["data"]["columns"] == ["a", "b"]
    assert "--split part --group patient" in command(info)
    capsys.readouterr()
    assert run("evaluate run --samples 2 --json") == 0
    assert json.loads(capsys.readouterr().out)["points"] == 12
    table(tmp_path / "new.csv")
    for other in (path, tmp_path / "new.csv"):  # other rows need not say what they are for
        assert len(rows_like(other, info["data"])) == 60
        assert sum(map(len, pieces_like(other, info["data"]).read(7))) == 60
    assert run("score run t.csv -o scores.csv --samples 2") == 0


def test_the_seed_of_the_split_has_a_flag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv", patient=PATIENT)
    assert run(f"{TRAIN.format('t.csv')} --group patient --split-seed 7") == 0
    info = json.loads(Path("run/run.json").read_text())
    assert info["data"]["seed"] == 7
    assert "--split-seed 7" in command(info)
    data = load("t.csv", group="patient", seed=7)
    assert len(data.test) == info["data"]["counts"]["test"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("t.csv --split nothing", "has no column 'nothing'; it has 'a', 'b', 'part'"),
        ("t.csv --group nothing", "has no column 'nothing'"),
        ("t.csv --split part --test 5", "leave out --test 5"),
        ("t.csv --split gaps", "has a missing value at row 0"),
        ("t.csv --group part --context part", "Column 'part' parts the rows, so it cannot be the context too"),
        ("digits --split part", "--split part names a column, and digits has none"),
        ("x.npy --group part", "names a column, and x.npy has none"),
    ],
)
def test_the_command_line_refuses_what_cannot_be(line, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    table(tmp_path / "t.csv", part=SAID, gaps=np.where(np.arange(60) % 5, "train", ""))
    assert sentence in refused(TRAIN.format(line), capsys)


def test_a_label_may_be_the_group_too(tmp_path):
    kind = np.repeat(["a", "b", "c", "d"], 15)
    data = load(table(tmp_path / "t.csv", kind=kind), label="kind", group="kind")
    assert not set(data.train.labels.tolist()) & set(data.test.labels.tolist())
    assert isinstance(data.train.labels, torch.Tensor)
