"""The command line on tables: what impute leaves alone, what evaluate takes, and what is said when something is wrong."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import refused, run
from logpx import recipes
from logpx.cli.main import in_flags
from logpx.cli.results import terms_in_words
from logpx.cli.train import help_of, load_data
from logpx.data import Data, load
from logpx.train.dry_run import dry_run

TINY = "--hidden 8 --epochs 2 --batch-size 16 --quiet --no-report --evidence-samples 3"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table: a label, two columns of numbers, one of text, and holes."""
    monkeypatch.chdir(tmp_path)
    x = np.random.RandomState(0).randn(60, 2).round(2)
    width = [f"{value:.2f}" if i % 9 else "" for i, value in enumerate(x[:, 0])]
    visits = [str(i % 4) if i % 7 else "" for i in range(60)]
    cells = [
        [width[i], ["cat", "dog", "cow"][i % 3], visits[i], f"{x[i, 1]:.3f}", ["true", "false"][i % 2]]
        for i in range(60)
    ]
    lines = ["width;species;visits;height;sold", *(";".join(row) for row in cells)]
    Path("table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def rows(path: str) -> list[list[str]]:
    return [line.split(";") for line in Path(path).read_text().splitlines()]


def test_impute_changes_nothing_but_holes(place: Path, capsys: pytest.CaptureFixture) -> None:
    """The label's and the context's columns, the order, the delimiter and the spelling of every cell stay."""
    assert run(f"train vae table.csv --label species --context sold --latent 2 {TINY} --out run") == 0
    source = Path("table.csv").read_bytes()
    for line in ("impute run --samples 5", "impute run table.csv --samples 5 --out other.csv --round"):
        assert run(line) == 0
    assert Path("table.csv").read_bytes() == source
    before = rows("table.csv")
    for name in ("run/imputed.csv", "other.csv"):
        after = rows(name)
        assert after[0] == before[0]
        changed = [
            (a, b) for old, new in zip(before, after, strict=True) for a, b in zip(old, new, strict=True) if a != b
        ]
        assert [a for a, _ in changed] == [""] * 16
        assert all(len(b.lstrip("-0.").replace(".", "").partition("e")[0]) <= 9 for _, b in changed)
    counts = [row[2] for row in rows("other.csv")[1:]]
    assert set(counts) <= set("0123456789")
    assert run("impute run other.csv --samples 5 --out third.csv") == 2  # nothing is missing, and it is readable
    assert "nothing to impute" in capsys.readouterr().err
    assert "visits" in refused("evaluate run run/imputed.csv", capsys)  # means of counts are no counts
    assert run("evaluate run other.csv --samples 5") == 0


def test_truth_values_are_filled_in_as_the_column_spells_them(place: Path) -> None:
    Path("t.csv").write_text("a,b\n" + "".join(f"{i / 7},{['True', 'False', ''][i % 3]}\n" for i in range(60)))
    assert run(f"train vae t.csv --latent 2 {TINY} --out run") == 0
    assert run("impute run --samples 5 --round") == 0
    assert {line.split(",")[1] for line in Path("run/imputed.csv").read_text().splitlines()[1:]} == {"True", "False"}
    assert run("evaluate run run/imputed.csv --samples 5") == 0


def test_evaluate_on_other_rows(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae table.csv --label species --columns visits=real --latent 2 {TINY} --out run") == 0
    lines = Path("table.csv").read_text().splitlines()
    Path("new.csv").write_text("\n".join([lines[0], *lines[5:9]]) + "\n")
    cut = [";".join(cell for i, cell in enumerate(line.split(";")) if i != 1) for line in (lines[0], *lines[5:9])]
    Path("unlabelled.csv").write_text("\n".join(cut) + "\n")
    capsys.readouterr()
    values = []
    for name in ("new.csv", "unlabelled.csv"):
        assert run(f"evaluate run {name} --samples 5 --json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["data"], found["split"], found["points"]) == (name, f"rows of {name}", 4)
        values.append(found["value"])
    assert values[0] == values[1]
    assert run("evaluate run new.csv --samples 5") == 0
    assert "new.csv (as-is), rows of new.csv: L_5 = " in capsys.readouterr().out
    other = load("table.csv", label="species", columns="visits=real")
    assert other.kind == "mixed"


def test_the_headline_says_what_is_summed_and_bits_are_for_pictures(place: Path, capsys: pytest.CaptureFixture) -> None:
    np.save("images.npy", (np.random.RandomState(0).rand(60, 6, 6) * 255).astype(np.uint8))
    np.savetxt("real.csv", np.random.RandomState(0).randn(60, 3), delimiter=",")
    both = "log-density of the continuous columns plus log-probability of the others"
    for line, measure, bits in (
        ("vae table.csv --hidden 8", both, False),
        ("vae real.csv --hidden 8", "log-density", False),
        ("ppca real.csv --latent 1", "log-density", False),
        ("vae images.npy --hidden 8 --protocol threshold", "log-probability", True),
        ("vae images.npy --hidden 8 --protocol integer", "log-probability", True),
        ("vae images.npy --hidden 8 --protocol grey", "log-density", True),
    ):
        rest = "--epochs 1 --quiet --no-report --evidence-samples 3"
        assert run(f"train {line} {rest} --out run --force --json") == 0
        found = json.loads(capsys.readouterr().out)["evidence"]
        assert (found["measure"], found["bits_per_dim"] is not None) == (measure, bits), line
        assert run("evaluate run --samples 2") == 0
        out = capsys.readouterr().out
        assert f"; a {measure}\n" in out
        assert ("bits/dim" in out) == bits


def test_a_score_is_neither_density_nor_probability(place: Path, capsys: pytest.CaptureFixture) -> None:
    np.save("images.npy", (np.random.RandomState(0).rand(60, 6, 6) * 255).astype(np.uint8))
    assert run(f"train vae images.npy --likelihood grey {TINY} --json --out run") == 0
    assert json.loads(capsys.readouterr().out)["evidence"]["measure"] is None


def test_one_draw_has_no_error_to_speak_of(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae table.csv {TINY} --out run") == 0
    assert run("evaluate run --samples 1") == 0
    out = capsys.readouterr().out
    assert "nan" not in out
    assert "effective sample size" not in out


def test_terms_that_are_not_in_nats_stand_apart() -> None:
    terms = {"loss": 3.0, "mmd": 0.5, "kl": 1.0, "multiplier": 2.0}
    assert terms_in_words(terms) == "loss 3.000, kl 1.000; not in nats: mmd 0.500, multiplier 2.000"
    assert terms_in_words({"kl": 1.0}) == "kl 1.000"


# --- models without a density -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ae", "linear_ae", "denoising", "sparse"])
def test_an_autoencoder_ends_with_its_reconstruction(name: str, place: Path, capsys: pytest.CaptureFixture) -> None:
    np.savetxt("real.csv", np.random.RandomState(0).randn(60, 3), delimiter=",")
    assert run(f"train {name} real.csv --latent 2 --epochs 1 --quiet --no-report --out run --json") == 0
    best = json.loads(capsys.readouterr().out)["best"]["held_out"]["reconstruction"]
    assert run(f"train {name} real.csv --latent 2 --epochs 1 --quiet --no-report --out again") == 0
    assert f"held-out rows: reconstruction {best:.3f} nats per data point" in capsys.readouterr().out
    for verb in ("sample", "impute"):
        assert "train " in (said := refused(f"{verb} run", capsys))
        assert "--density mixture" in said


def test_a_sigma_that_is_a_weight_draws_nothing(place: Path, capsys: pytest.CaptureFixture) -> None:
    np.savetxt("real.csv", np.random.RandomState(0).randn(60, 3), delimiter=",")
    assert run("train wae_mmd real.csv --latent 2 --hidden 8 --epochs 1 --quiet --no-report --out run") == 0
    assert "The sigma of wae_mmd (1) weighs the parts of its cost" in refused("sample run --draw", capsys)
    assert run("sample run -n 3") == 0


# --- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "line"),
    [
        ("kind='foo' is unknown; choose one.", "--kind foo is unknown; choose one."),
        ("held_out=2.0 is neither.", "--held-out 2.0 is neither."),
        ("name their column with label=.", "name their column with --label."),
        ("columns= and context= are for tables.", "--columns and --context are for tables."),
        ("say columns=b=categorical.", "say --columns b=categorical."),
        ("name it with label='my column'.", "name it with --label 'my column'."),
        ("epochs is 0: give more.", "--epochs is 0: give more."),
        ("batch_size is -1: give more.", "--batch-size is -1: give more."),
        ("given is 'x': leave it out.", "--given is 'x': leave it out."),
        ("this model is given city=..., label=....", "this model is given city=..., label=...."),
        ("There is no file a/kind=b.csv.", "There is no file a/kind=b.csv."),
        ("Column 'test' of 'label=x' is text.", "Column 'test' of 'label=x' is text."),
    ],
)
def test_python_s_names_become_flags(python: str, line: str) -> None:
    assert in_flags(python) == line


def test_a_column_named_twice_and_names_with_commas(place: Path, capsys: pytest.CaptureFixture) -> None:
    said = refused("train vae table.csv --columns visits=real,visits=integer", capsys)
    assert "--columns visits=real,visits=integer names the column 'visits' twice" in said
    Path("odd.csv").write_text('"a,b",c=d\n' + "".join(f"{i % 5},{i / 7}\n" for i in range(40)))
    assert run(f"train vae odd.csv --columns a,b=real,c=d=real {TINY} --out run") == 0
    assert json.loads(Path("run/run.json").read_text())["data"]["kind"] == "real"


def test_no_samples_is_said_before_anything_else(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae table.csv {TINY} --out run") == 0
    assert "0 samples: ask for at least one" in refused("sample run -n 0 --out table.csv", capsys)


@pytest.mark.parametrize("key", ["categories", "column_kinds", "conditions", "shape", "recipe"])
def test_an_edited_run_is_named(key: str, place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae table.csv --context species {TINY} --out run") == 0
    info: dict[str, Any] = json.loads(Path("run/run.json").read_text())
    if key == "recipe":
        info["recipe"] = "vea"
    else:
        info["data"][key] = {} if key == "categories" else [["x"]]
    Path("run/run.json").write_text(json.dumps(info))
    for verb in ("sample", "impute", "evaluate", "report"):
        assert "run/run.json" in (said := refused(f"{verb} run", capsys))
        assert "damaged" in said
    if key != "recipe":
        del info["data"][key]
        Path("run/run.json").write_text(json.dumps(info))
        assert f"run/run.json is damaged: it does not say {key!r}" in refused("sample run", capsys)


# --- examples ---------------------------------------------------------------------------------------------------------


@cache
def some_rows(source: str, likelihood: str, context: str | None) -> Data:
    """What the command line would load, but one row of a hundred."""
    given = dict.fromkeys(("protocol", "kind", "held_out", "test", "label", "columns", "drop")) | {
        "data": source,
        "context": context,
    }
    data = load_data(given, likelihood)
    few = {
        name: replace(
            split, rows=split.rows[::100], labels=None, context=None if context is None else split.context[::100]
        )
        for name in ("train", "held_out", "test")
        for split in [getattr(data, name)]
    }
    return replace(data, **few)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_the_example_in_the_help_is_one_that_the_recipe_takes(name: str) -> None:
    """Built and tried on two rows; solvers take their first step on one row of a hundred."""
    row = recipes.RECIPES[name]
    example = (help_of(row).rpartition("Example: logpx train ")[2]).split()
    assert example[0] == name
    method_options = {option: p.default for option, p in row.options.items()}
    data = some_rows(example[1], method_options.get("likelihood", "gaussian"), "label" if row.conditional else None)
    method = row.build(data)
    dry_run(method, data)
    if method.solve:
        next(iter(method.solve(method.model, data.train.x())))


def test_dropped_columns_go_through_impute_unchanged(place: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(f"train vae table.csv --drop species,sold --latent 2 {TINY} --out run") == 0
    assert run("impute run --samples 5") == 0
    before, after = rows("table.csv"), rows("run/imputed.csv")
    assert before[0] == after[0]
    assert [(row[1], row[4]) for row in before] == [(row[1], row[4]) for row in after]
    assert run("evaluate run --samples 5") == 0
    assert run("evaluate run table.csv --samples 5") == 0
