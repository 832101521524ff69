"""The folder of an export: its files, its card, what it refuses, and that a file that says something else is not kept."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from markdown_it import MarkdownIt

from logpx import data as sources
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.evaluate import evidence_alone
from logpx.export import check, check_place, write
from logpx.recipes import RECIPES
from logpx.train import Run, fit

ROWS = """age,city,smokes
41.5,Rome,0
,Paris,1
67,,0
23,Rome,1
35,Oslo,0
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> tuple[Run, Data]:
    """A run on a csv with a column of each kind and missing values."""
    folder = tmp_path_factory.mktemp("table")
    head, *rows = ROWS.splitlines()
    (folder / "people.csv").write_text("\n".join([head, *rows * 12]) + "\n")
    data = sources.load(str(folder / "people.csv"))
    method = RECIPES["vae"].build(data, latent=2, hidden=(8,))
    return fit(method, data, epochs=2, batch_size=16, show=False, out=folder / "run"), data


@pytest.fixture(scope="module")
def exported(table) -> Path:
    run, data = table
    write(run, data, parts=["scorer"], evidence="test rows: a number", finding="healthy")
    return run.folder / "export"


def test_the_files_their_account_and_the_card_stand_in_the_runs_folder(exported):
    assert {path.name for path in exported.iterdir()} == {"scorer.onnx", "export.json", "MODEL_CARD.md"}
    about = json.loads((exported / "export.json").read_text())
    assert about["left_out"] == {}
    assert [column["name"] for column in about["rows"]["columns"]] == ["age", "city", "smokes"]
    assert about["rows"]["columns"][1]["categories"] == ["Oslo", "Paris", "Rome"]
    for name, part in about["parts"].items():
        assert part["differs"].keys() == part["outputs"].keys()
        assert max(part["differs"].values()) <= check.TOLERANCE
        model = onnx.load(exported / f"{name}.onnx")
        kept = {entry.key: entry.value for entry in model.metadata_props}
        assert json.loads(kept["logpx"])["rows"] == about["rows"]
    assert [path.name for path in exported.parent.iterdir() if path.name.startswith(".")] == []


def test_the_scorer_of_rows_with_holes_is_pythons(exported, table):
    run, data = table
    x = data.train.x()[:20].float()
    assert bool(x.isnan().any())
    session = onnxruntime.InferenceSession(exported / "scorer.onnx", providers=["CPUExecutionProvider"])
    l1, _ = session.run(["l1", "reconstruction"], {"x": x.numpy()})
    by_python = evidence_alone(run.model, data.train.batch(slice(0, 20)), samples=1, seed=0).per_point
    np.testing.assert_allclose(l1, by_python, rtol=1e-5)
    alone = session.run(["l1"], {"x": x[7:8].numpy()})[0]  # the same noise, whatever rows are beside it
    np.testing.assert_allclose(alone, l1[7:8], rtol=1e-6)


def test_the_card_says_what_the_run_is_and_nothing_of_the_machine(exported, table):
    text = (exported / "MODEL_CARD.md").read_text()
    for words in ("Kingma & Welling 2014", "people", table[1].checksum, "`city` (one of Oslo, Paris, Rome)"):
        assert words in text
    for words in ("test rows: a number", "latent space: healthy", "InferenceSession", "no anomaly score by itself"):
        assert words in text
    assert str(exported.parent.parent) not in text
    assert str(exported.parent.parent) not in (exported / "export.json").read_text()


def test_an_export_is_replaced_only_when_asked_and_nothing_else_ever(exported, table, tmp_path):
    run, data = table
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    with pytest.raises(UserError, match="--force"):
        write(run, data)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="no export"):
        write(run, data, to=tmp_path, force=True)
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    with pytest.raises(UserError, match=r"'mine.txt' besides an export"):
        write(run, data, to=tmp_path, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {*before, "mine.txt"}


@pytest.mark.parametrize("content", ['{"precious": 1}', "{}", "[1]", "7", "nothing", '{"logpx": "0.1", "parts": [2]}'])
def test_what_is_called_like_an_export_and_is_none_is_kept(content, tmp_path):
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(UserError, match="is no export"):
        check_place(tmp_path, force=True)
    assert (tmp_path / "export.json").read_text() == content


def test_what_an_export_has_not_written_is_not_its(exported, tmp_path):
    place = tmp_path / "export"
    shutil.copytree(exported, place)
    assert check_place(place, force=True) == place
    (place / "MODEL_CARD.md").unlink()
    (place / "MODEL_CARD.md").mkdir()
    with pytest.raises(UserError, match=r"'MODEL_CARD.md' besides"):
        check_place(place, force=True)
    (place / "MODEL_CARD.md").rmdir()
    (place / "decoder.onnx").write_bytes(b"another's")
    with pytest.raises(UserError, match=r"'decoder.onnx' besides"):
        check_place(place, force=True)


def test_links_are_followed_and_the_folder_one_is_in_stays(table, tmp_path, monkeypatch):
    run, data = table
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("there")
    write(run, data, to=tmp_path / "link", format="torch", parts=["decoder"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "decoder.pt2").is_file()
    (tmp_path / "there" / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="is no export"):
        check_place(tmp_path / "there" / "loop", force=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="the folder that you are in"):
        write(run, data, to=".", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "link", "there"]


def test_a_folder_that_cannot_be_moved_leaves_nothing_beside_it(table, tmp_path, monkeypatch):
    run, data = table
    place = tmp_path / "place"
    place.mkdir()
    moved = Path.replace

    def busy(path: Path, to: Path) -> Path:
        if path == place:
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        return moved(path, to)

    monkeypatch.setattr(Path, "replace", busy)
    with pytest.raises(OSError, match="busy"):
        write(run, data, to=place, format="torch", parts=["decoder"])
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_what_was_standardised_is_written_in_the_units_of_the_file(format, tmp_path):
    """Rows go in and means come out as they lie in the file, wherever its columns lie and however they are spread."""
    x = np.random.RandomState(0).standard_normal((60, 3)) * [1e-3, 1.0, 5e4] + [0.0, -7.0, 1e6]
    data = from_array(x, name="X", standardise=True)
    run = fit(RECIPES["vae"].build(data, latent=2, hidden=(4,)), data, epochs=1, show=False)
    about = write(run, data, to=tmp_path / "out", format=format, parts=["encoder", "decoder"])
    assert max(max(part["differs"].values()) for part in about["parts"].values()) <= check.TOLERANCE
    rows = data.test.x()
    if format == "onnx":
        z = onnxruntime.InferenceSession(tmp_path / "out" / "encoder.onnx").run(["z"], {"x": rows.numpy()})[0]
        mean = onnxruntime.InferenceSession(tmp_path / "out" / "decoder.onnx").run(["x"], {"z": z})[0]
    else:
        z = torch.export.load(tmp_path / "out" / "encoder.pt2").module()(rows)[0].detach()
        mean = torch.export.load(tmp_path / "out" / "decoder.pt2").module()(z).detach().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(mean, run.model.eval().decode(torch.as_tensor(z)).mean, rtol=1e-4)
    assert (
        np.abs(mean.mean(0) - x.mean(0)) < 2 * x.std(0)
    ).all()  # one without its scale is off by 7 and by 20 deviations


def test_names_of_the_data_mark_nothing_up_on_the_card(tmp_path):
    """What the renderer of GitHub's Markdown would make of a heading, a link, a tag in a column, a category, a file's name."""
    bad = "a\n\n## Injected heading\n\n[x](javascript:1)"
    table = pd.DataFrame({bad: [0.5, 1.5] * 20, "c`d": ["<script>", "*e*"] * 20, "snake_case": [0, 1] * 20})
    folder = tmp_path / "it's" / "<script>"
    folder.mkdir(parents=True)
    table.to_parquet(folder / "da'ta <b> [y](z).parquet")
    data = sources.load(str(folder / "da'ta <b> [y](z).parquet"))
    run = fit(RECIPES["vae"].build(data, latent=2, hidden=(4,)), data, epochs=1, show=False, out=tmp_path / "run")
    run.info["warning"] = "of <i>\n# x"
    write(run, data, format="torch", parts=["decoder"], evidence=f"of {bad}", finding=f"of {bad}")
    text = (run.folder / "export" / "MODEL_CARD.md").read_text()
    shown = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(text)
    for tag in ("<script", "<b>", "<i>", "<em>", "<a "):
        assert tag not in shown, tag
    assert [line for line in text.splitlines() if "Injected" in line and line.startswith("#")] == []
    assert "<h2>Injected" not in shown
    assert "one of *e*, &lt;script&gt;" in shown
    assert "<code>c`d</code>" in shown
    assert "<code>snake_case</code>" in shown
    assert str(tmp_path) not in text
    assert "logpx train vae" in text


def test_torch_programs_are_loaded_without_unpickling(table, tmp_path, monkeypatch):
    run, data = table
    about = write(run, data, to=tmp_path / "new" / "there", format="torch", parts=["decoder"])
    monkeypatch.setattr(torch, "load", None)
    part = torch.export.load(tmp_path / "new" / "there" / "decoder.pt2").module()
    z = torch.randn(7, 2)
    with torch.no_grad():
        torch.testing.assert_close(part(z), run.model.eval().decode(z).mean, rtol=1e-5, atol=1e-5)
    assert list(about["parts"]) == ["decoder"]
    assert b"/" + __file__.split("/")[1].encode() + b"/" not in (tmp_path / "new/there/decoder.pt2").read_bytes()
    again = write(run, data, to=tmp_path / "new" / "there", format="torch", parts=["decoder"], force=True)
    assert again == about


def test_a_file_that_says_something_else_is_not_kept(table, tmp_path, monkeypatch):
    run, data = table
    opened = check.opened_torch
    monkeypatch.setattr(check, "opened_torch", lambda path: lambda *given: [t + 2e-2 for t in opened(path)(*given)])
    with pytest.raises(UserError, match=r"decoder.pt2 says something else than Python \(x differs by") as said:
        write(run, data, to=tmp_path / "out", format="torch", parts=["decoder"])
    assert str(said.value).endswith(".")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"x differs by nan"):
        check.check({"x": float("nan")}, "decoder.pt2")


def test_what_a_model_has_not_is_refused_where_it_is_asked_for_and_said_where_it_is_not(tmp_path):
    data = from_array(torch.randn(40, 4, generator=torch.Generator().manual_seed(0)).numpy(), name="X")
    run = fit(RECIPES["made"].build(data, hidden=(8,)), data, epochs=1, show=False)
    with pytest.raises(UserError, match="name the one that the export goes to"):
        write(run, data)
    with pytest.raises(UserError, match="There is no part 'prior'; parts: encoder, decoder, scorer"):
        write(run, data, to=tmp_path / "a", parts=["prior"])
    with pytest.raises(UserError, match="no decoder to export"):
        write(run, data, to=tmp_path / "a", parts=["decoder"])
    assert list(tmp_path.iterdir()) == []
    about = write(run, data, to=tmp_path / "a", format="torch")
    assert about["left_out"].keys() == {"encoder", "decoder"}
    assert about["parts"]["scorer"]["outputs"].keys() == {"log_px"}
    card = (tmp_path / "a" / "MODEL_CARD.md").read_text()
    assert "- No decoder: This model has no decoder" in card
    assert "- No `reconstruction` of the scorer: it has no latent" in card
