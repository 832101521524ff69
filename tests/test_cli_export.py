"""`logpx export` as a user types it."""

import json
import os

import numpy as np
import onnxruntime
import pytest

from command_line import refused, run
from logpx.data import load
from logpx.recipes import load_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("export")
    assert run(f"train vae pinwheel --latent 2 --hidden 8 --epochs 1 --quiet --out {place}/run") == 0
    return place / "run"


def test_a_run_becomes_files_that_say_what_it_says(folder, tmp_path, capsys):
    out = tmp_path / "for-others"
    capsys.readouterr()
    assert run(f"export {folder} --out {out} --parts encoder,decoder --samples 2 --json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["parts"].keys() == {"encoder", "decoder"}
    assert said["export"] == str(out)
    data, model = load("pinwheel"), load_run(folder).model
    x = data.test.x(slice(0, 5))
    z, sd = onnxruntime.InferenceSession(out / "encoder.onnx").run(None, {"x": x.numpy()})
    q = model.encode(data.test.batch(slice(0, 5)))
    np.testing.assert_allclose(z, q.mean.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sd, q.stddev.detach(), rtol=1e-5, atol=1e-6)
    card = (out / "MODEL_CARD.md").read_text()
    assert "test rows: L_2 = " in card
    assert "nats per data point" in card


def test_what_was_written_and_left_out_is_said_in_lines(folder, capsys):
    assert run(f"export {folder} --format torch --parts decoder --samples 2") == 0
    out = capsys.readouterr().out
    assert "decoder.pt2: z -> x; within" in out
    assert "model card: " in out
    error = refused(f"export {folder}", capsys)
    assert "--force" in error
    assert "no part 'prior'" in refused(f"export {folder} --parts prior --samples 2 --force", capsys)
    assert (folder / "export" / "decoder.pt2").exists()


def test_data_in_a_file_whose_name_is_no_utf_8(tmp_path, capsys):
    """Trained, reported and exported like any: the bytes are spelled out."""
    place = tmp_path / os.fsdecode(b"\xff.npy")
    with place.open("wb") as file:
        np.save(file, np.random.RandomState(0).standard_normal((40, 3)))
    assert run(f"train vae {place} --latent 1 --hidden 4 --epochs 1 --quiet --out {tmp_path}/run") == 0
    assert r"\xff.npy" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert run(f"export {tmp_path}/run --format torch --parts decoder --samples 2") == 0
    assert r"on \\xff.npy" in (tmp_path / "run" / "export" / "MODEL_CARD.md").read_text(encoding="utf-8")
