"""`logpx compare`: one table, one object, one page, and one sentence for what is not compared."""

import json
from pathlib import Path

import numpy as np
import pytest

from command_line import refused, run

TINY = "--hidden 8 --epochs 2 --batch-size 16 --quiet --no-report --evidence-samples 3"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of the same table, and one of another."""
    place = tmp_path_factory.mktemp("compare")
    random = np.random.RandomState(0)
    for name in ("real", "other"):
        np.savetxt(place / f"{name}.csv", random.randn(60, 4), delimiter=",", header="a,b,c,d", comments="")
    made = {"all/vae-0": "vae real.csv --seed 0", "all/vae-1": "vae real.csv --seed 1", "all/iwae": "iwae real.csv"}
    for out, what in (
        made
        | {
            "ae": "ae real.csv",
            "other": "vae other.csv",
            "split": "vae real.csv --test 0.3",
            "held": "vae real.csv --held-out 0.3",
        }
    ).items():
        recipe, file, *more = what.split()
        line = f"train {recipe} {place / file} --latent 2 {TINY} --out {place / out} {' '.join(more)}"
        assert run(line) == 0
    return place


@pytest.fixture(autouse=True)
def _inside(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(runs)
    (runs / "compare.html").unlink(missing_ok=True)
    capsys.readouterr()


def test_json_holds_what_evaluate_says_of_every_run(capsys: pytest.CaptureFixture) -> None:
    assert run("compare all ae --samples 7 --seed 2 --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["data"], found["split"], found["samples"], found["seed"]) == ("real.csv", "test", 7, 2)
    assert [one["name"] for one in found["runs"] if one["evidence"] is None] == ["ae"]
    for one in found["runs"][:-1]:
        assert run(f"evaluate {one['name']} --samples 7 --seed 2 --json") == 0
        alone = json.loads(capsys.readouterr().out)
        assert (one["evidence"], one["evidence_error"]) == (alone["value"], alone["standard_error"])
        assert (one["kind"], one["measure"], one["doubt"]) == (alone["kind"], alone["measure"], alone["doubt"])
    assert Path(found["page"]).exists()
    assert [line["kind"] for line in found["lines"]] == ["lower bound", "lower bound", None]
    assert [len(line["runs"]) for line in found["lines"] if line["label"] == "vae"] == [2]


def test_the_table_has_the_best_first_and_the_autoencoder_last(capsys: pytest.CaptureFixture) -> None:
    assert run("compare ae all --samples 5 --out page.html --force") == 0
    head, columns, *rest = capsys.readouterr().out.splitlines()
    assert head == "real.csv (as-is), 6 test rows, nats per data point, the best by L_5 first"
    assert columns.split()[:2] == ["seeds", "L_5"]
    assert columns.split()[2] == "kind"
    assert [row.split()[0] for row in rest[:3]][-1] == "ae"
    assert all("  lower bound  " in row for row in rest[:2])
    assert "no log p(x)" in rest[2]
    assert "over seeds of vae, over rows of the others" in rest[3]
    assert rest[-1] == "page: page.html"


def test_a_limit_and_a_split(capsys: pytest.CaptureFixture) -> None:
    assert run("compare all --samples 5 --split held_out --limit 4 --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["split"]) == (4, "held_out")
    one = found["runs"][0]
    assert run(f"evaluate {one['name']} --samples 5 --split held_out --limit 4 --json") == 0
    assert one["evidence"] == json.loads(capsys.readouterr().out)["value"]


def test_other_shares_are_ranked_where_the_test_rows_are_the_same(capsys: pytest.CaptureFixture) -> None:
    assert run("compare all/iwae held --samples 5 --json") == 0
    assert len(json.loads(capsys.readouterr().out)["lines"]) == 2
    assert "and train rows differ" in refused("compare all/iwae held --split train --out other.html", capsys)


def test_what_has_not_ended_is_said_and_what_stopped_is_left_out(runs: Path, capsys: pytest.CaptureFixture) -> None:
    for name, status in (("vae-0", "running"), ("iwae", "stopped")):
        file = runs / "all" / name / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"status": status}))
    assert run("compare all --samples 5 --json") == 0
    out, err = capsys.readouterr()
    assert [one["name"] for one in json.loads(out)["runs"]].count("all/iwae") == 0
    assert "all/iwae stopped, so it is left out.\n" in err
    assert "all/vae-0 has not ended: it stands as after epoch 2.\n" in err
    for name in ("vae-0", "iwae"):
        file = runs / "all" / name / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "finished"}))


REFUSALS = {
    "compare all/vae-0": "at least two runs",
    "compare all/vae-0 all/../all/vae-0": "at least two runs",
    "compare nowhere": "nowhere is no folder: name run folders",
    "compare all/vae-0/state": "all/vae-0/state holds no run: name run folders",
    "compare all other": "cannot be ranked together, for their data differs: all/iwae, all/vae-0, all/vae-1 (real.csv (",
    "compare all/iwae split": "their setting test and test rows differ: all/iwae (none, ",
    "compare all --out page.png": "the page is an .html file",
    "compare all --out real.csv/page.html": "no folder real.csv",
    "compare all --out all": "the page is an .html file",
    "compare all --samples 0": "--samples",
    "compare all --split nowhere": "--split",
}


@pytest.mark.parametrize("line", REFUSALS)
def test_what_cannot_be_compared_is_one_sentence(line: str, capsys: pytest.CaptureFixture) -> None:
    assert REFUSALS[line] in refused(line, capsys)
    assert not Path("compare.html").exists()


def test_a_page_is_replaced_only_with_force(capsys: pytest.CaptureFixture) -> None:
    Path("compare.html").write_text("mine")
    assert "compare.html exists: replace it with --force" in refused("compare all", capsys)
    assert Path("compare.html").read_text() == "mine"
    assert run("compare all --samples 5 --force") == 0
    assert "<!DOCTYPE html>" in Path("compare.html").read_text()
