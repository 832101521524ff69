"""A folder of images to samples, from the command line alone: pictures in folders by class, trained, scored, drawn, shown."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from logpx import cli

TRAIN = (
    "train vae pictures --likelihood gaussian --latent 8 --hidden 128 --epochs 60 --batch-size 32 --learning-rate 0.003"
)
#: what is done with the run, one command after another; each writes the files beside it
STEPS = {
    "evaluate runs/pictures --samples 20": (),
    "sample runs/pictures -n 40 --out new.png": ("new.png",),
    "sample runs/pictures -n 200 --out new.npy": ("new.npy",),
    "score runs/pictures pictures --samples 20 -o scores.csv": ("scores.csv",),
    "report runs/pictures": ("runs/pictures/report.html",),
    "explore runs/pictures --no-open": ("runs/pictures/explorer.html",),
}


def run(line: str) -> int:
    return cli.run(shlex.split(line))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 600 digits, each in the folder of its class, and one run on them."""
    folder = tmp_path_factory.mktemp("journey")
    bunch = load_digits()
    for i, (levels, digit) in enumerate(zip(bunch.images[:600], bunch.target[:600], strict=True)):
        (folder / "pictures" / str(digit)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((levels * 15).astype(np.uint8)).save(folder / "pictures" / str(digit) / f"{i:04}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(f"{TRAIN} --out runs/pictures --quiet") == 0
        for line, files in STEPS.items():
            assert run(line) == 0, line
            assert all(Path(file).stat().st_size > 500 for file in files), line
    return folder


def pictures(place: Path) -> torch.Tensor:
    files = sorted((place / "pictures").rglob("*.png"))
    return torch.stack([torch.from_numpy(np.array(Image.open(file))) for file in files]).flatten(1) / 255


def nearest(x: torch.Tensor, known: torch.Tensor) -> float:
    """Distance to the nearest known picture, on average."""
    return torch.cdist(x, known).amin(1).mean().item()


def test_folders_became_classes_that_colour_the_map(place: Path) -> None:
    data = json.loads((place / "runs/pictures/run.json").read_text())["data"]
    assert data["classes"] == [str(digit) for digit in range(10)]
    assert data["counts"] == {"train": 480, "held_out": 60, "test": 60}
    assert (data["shape"], data["kind"], data["protocol"]) == ([1, 8, 8], "grey", "grey")


def test_samples_look_like_the_pictures(place: Path) -> None:
    """Nearer to a picture than rows whose pixels are drawn one by one, each from its own law."""
    known, new = pictures(place), torch.from_numpy(np.load(place / "new.npy")).flatten(1).float()
    order = torch.rand(len(known), known.shape[1]).argsort(0)
    pixel_by_pixel = known.gather(0, order)[:200]
    assert new.shape == (200, 64)
    assert nearest(new, known) < 0.6 * nearest(pixel_by_pixel, known)
    assert (new.mean(0) - known.mean(0)).abs().max() < 0.2


def test_the_sheet_of_samples_is_a_picture(place: Path) -> None:
    with Image.open(place / "new.png") as sheet:
        assert sheet.format == "PNG"
        assert min(sheet.size) >= 5 * 8


def test_each_picture_has_its_score_by_the_name_of_its_file(place: Path) -> None:
    lines = (place / "scores.csv").read_text().splitlines()
    assert len(lines) == 1 + 600
    assert any(line.startswith("0/0000.png") for line in lines)
    assert "log_px" in lines[0]


def test_the_page_needs_nothing_beside_it(place: Path) -> None:
    page = (place / "runs/pictures/report.html").read_text()
    assert "nats per data point" in page
    assert 'src="http' not in page
