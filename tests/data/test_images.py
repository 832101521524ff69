"""MNIST, Fashion-MNIST, digits and folders of images: known counts, means and labels, and damaged files."""

import gzip
import hashlib
import io
import json
import os
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from logpx.data import Data, load, pieces_like
from logpx.data import images as module
from logpx.errors import UserError


@pytest.fixture(scope="module")
def mnist() -> Data:
    return load("mnist")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGPX_DATA", str(tmp_path / "nowhere"))
    monkeypatch.delenv("LOGPX_DOWNLOAD", raising=False)


def test_mnist_is_the_known_set(mnist: Data) -> None:
    assert (len(mnist.train), len(mnist.held_out), len(mnist.test)) == (55_000, 5_000, 10_000)
    assert mnist.shape == (1, 28, 28)
    assert (mnist.kind, mnist.protocol) == ("binary", "dynamic")
    assert mnist.train.rows[:2].dtype == torch.uint8
    # the first labels, the counts per digit and the mean level of the 60,000 are published many times over
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    every = torch.cat([mnist.train.labels, mnist.held_out.labels]).bincount().tolist()
    assert every == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    grey = load("mnist:grey")
    total = grey.train.rows[:].sum() + grey.held_out.rows[:].sum()
    assert total.item() / (60_000 * 784 * 255) == pytest.approx(0.1306604762738429, abs=1e-12)
    assert grey.checksum == mnist.checksum
    assert "55,000 train, 5,000 held out, 10,000 test" in mnist.note


def test_mnist_files_are_the_published_ones() -> None:
    published = {  # md5 sums of the unpacked files
        "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
    }
    for name, md5 in published.items():
        content = gzip.decompress((files("logpx.data") / "mnist" / name).read_bytes())
        assert hashlib.md5(content).hexdigest() == md5


def test_mnist_held_out_rows_are_the_last_and_can_be_none() -> None:
    data = load("mnist:integer", held_out=0)
    assert (len(data.train), len(data.held_out)) == (60_000, 0)
    assert data.held_out.x().shape == (0, 1, 28, 28)
    fewer = load("mnist:integer", held_out=0.1)
    assert torch.equal(fewer.held_out.x(), data.train.x(slice(54_000, None)))
    with pytest.raises(UserError, match="test rows of its own"):
        load("mnist", test=100)


def test_digits_are_scikit_learns() -> None:
    data = load("digits")
    assert len(data.train) + len(data.held_out) + len(data.test) == 1797
    assert (data.shape, data.kind, data.protocol) == ((1, 8, 8), "grey", "grey")
    assert data.spec.levels == 17
    x = torch.cat([data.train.x(), data.held_out.x(), data.test.x()])
    assert x.max() == 1
    assert x.mean().item() * 16 == pytest.approx(4.884164579855314, abs=1e-5)
    assert set(data.train.labels.tolist()) == set(range(10))


# --- Fashion-MNIST: a stand-in of the right shapes, because the set itself is not shipped


def write_idx(folder: Path, packed: bool = True) -> None:
    folder.mkdir(parents=True)
    for stem, shape in module.IDX_SHAPES.items():
        values = (np.arange(np.prod(shape)) % 10).astype(np.uint8)
        content = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + values.tobytes()
        path = folder / (stem + ".gz" if packed else stem)
        path.write_bytes(gzip.compress(content, 1) if packed else content)


@pytest.mark.parametrize("below", [".", "fashion-mnist", "FashionMNIST/raw"])
def test_fashion_is_found_in_the_named_folder(tmp_path: Path, monkeypatch, below: str) -> None:
    write_idx(tmp_path / "sets" / below, packed=below == ".")
    monkeypatch.setenv("LOGPX_DATA", str(tmp_path / "sets"))
    data = load("fashion-mnist:threshold")
    assert (len(data.train), len(data.held_out), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.source == "fashion-mnist"
    assert data.classes[9] == "ankle boot"
    assert data.train.labels[:3].tolist() == [0, 1, 2]


def test_fashion_says_how_to_get_it() -> None:
    with pytest.raises(UserError, match=r"LOGPX_DATA.*LOGPX_DOWNLOAD=1"):
        load("fashion-mnist")


def test_fashion_is_not_mnist_under_another_name(tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(Path(str(files("logpx.data") / "mnist")), tmp_path / "m")
    monkeypatch.setenv("LOGPX_DATA", str(tmp_path / "m"))
    with pytest.raises(UserError, match="are MNIST"):
        load("fashion-mnist")


def test_fashion_is_fetched_only_when_asked_and_checked(tmp_path: Path, monkeypatch) -> None:
    import pooch

    asked = []

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> None:
        asked.append((url, known_hash))
        if "github" in url:
            raise OSError("unreachable")
        (path / fname).write_bytes((tmp_path / "from" / fname).read_bytes())

    write_idx(tmp_path / "from")
    (tmp_path / "to" / "fashion-mnist").mkdir(parents=True)
    monkeypatch.setenv("LOGPX_DATA", str(tmp_path / "to"))
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(load("fashion-mnist:integer", download=True).test) == 10_000
    assert len(asked) == 8  # two mirrors for each of four files
    assert {known for _, known in asked} == {f"md5:{md5}" for md5 in module.FASHION_MD5.values()}
    assert len(load("fashion-mnist:integer").test) == 10_000  # found again without fetching
    assert len(asked) == 8


def test_fashion_that_cannot_be_fetched_is_one_sentence(monkeypatch) -> None:
    import pooch

    def retrieve(*args: object, **options: object) -> None:
        raise ValueError("wrong checksum")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setenv("LOGPX_DOWNLOAD", "1")
    with pytest.raises(UserError, match=r"could not be fetched \(ValueError\)"):
        load("fashion-mnist")


@pytest.mark.parametrize("damage", ["truncated gzip", "no gzip", "short", "shape"])
def test_damaged_idx_is_one_sentence(tmp_path: Path, monkeypatch, damage: str) -> None:
    write_idx(tmp_path / "sets")
    monkeypatch.setenv("LOGPX_DATA", str(tmp_path / "sets"))
    path = tmp_path / "sets" / "t10k-labels-idx1-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(
        {
            "truncated gzip": path.read_bytes()[:-20],
            "no gzip": b"hello",
            "short": gzip.compress(content[:-1]),
            "shape": gzip.compress(content[:4] + b"\xff\xff\xff\xff" + content[8:]),
        }[damage]
    )
    with pytest.raises(UserError, match=r"t10k-labels-idx1-ubyte\.gz cannot be read as an IDX file"):
        load("fashion-mnist")


# --- folders


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def test_folder_of_images(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / ("cat" if i % 2 else "dog") / f"{i}.png", np.full((4, 5), 40 * i, np.uint8))
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / "._1.png").write_text("no image either")
    data = load(tmp_path, held_out=1, test=1, kind="integer")
    assert (data.shape, data.spec.levels) == ((1, 4, 5), 256)
    assert data.classes == ("cat", "dog")
    seen = {
        int(x.unique()): int(y)
        for split in (data.train, data.held_out, data.test)
        for x, y in zip(split.x(), split.labels, strict=True)
    }
    assert seen == {0: 1, 40: 0, 80: 1, 120: 0, 160: 1, 200: 0}
    assert load(tmp_path).protocol == "grey"


def test_folder_in_colour_puts_channels_first(tmp_path: Path) -> None:
    colours = np.zeros((3, 4, 5, 3), np.uint8)
    colours[..., 0] = 255
    for i, array in enumerate(colours):
        save(tmp_path / f"{i}.png", array)
    save(tmp_path / "9.png", np.full((4, 5), 255, np.uint8))  # one grey picture among them becomes grey RGB
    data = load(tmp_path, held_out=0, test=0)
    assert data.shape == (3, 4, 5)
    assert data.train.labels is None
    assert data.train.x()[:, :, 0, 0].tolist() == [[1, 0, 0]] * 3 + [[1, 1, 1]]


def test_folder_refusals(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(UserError, match="holds no images"):
        load(tmp_path)
    save(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match="at least 2"):
        load(tmp_path)
    save(tmp_path / "b.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(UserError, match=r"b\.png is 5 x 4 pixels and a\.png 4 x 4"):
        load(tmp_path)
    (tmp_path / "b.png").write_text("text")
    with pytest.raises(UserError, match=r"b\.png cannot be read as an image"):
        load(tmp_path)
    for name in "ab":
        save(tmp_path / f"{name}.png", np.random.RandomState(0).randint(0, 256, (64, 64)).astype(np.uint8))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    with pytest.raises(UserError, match=r"b\.png cannot be read as an image"):
        load(tmp_path)
    save(tmp_path / "b.png", np.zeros((64, 64), np.uint16))
    with pytest.raises(UserError, match="more than 8 bits"):
        load(tmp_path)
    with pytest.raises(UserError, match="label='y' does not apply"):
        load(tmp_path, label="y")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
        load(tmp_path)


def test_folders_say_what_images_are_for_and_what_they_show(tmp_path):
    """train/cat/1.png: the outer folder is the split, the next one the class; no split is taken for a class."""
    for part, n in (("train", 6), ("val", 2), ("test", 3)):
        for i in range(n):
            place = tmp_path / part / ["cat", "dog"][i % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), i, np.uint8)).save(place / f"{i}.png")
    data = load(tmp_path, kind="grey")
    assert [len(data.train), len(data.held_out), len(data.test)] == [6, 2, 3]
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(UserError, match=r"says itself which rows are for what; leave out test=0\.5"):
        load(tmp_path, test=0.5)
    conditional = load(tmp_path, kind="grey", context="label").describe()
    contexts = [piece.context for piece in pieces_like(tmp_path, conditional).read(4)]
    assert torch.cat(contexts).sum(0).tolist() == [6, 5]


@pytest.mark.parametrize("stray", ["preview.png", "extra/a.png", "extra/cat/a.png"])
def test_an_image_outside_the_folders_that_say_so_is_refused(tmp_path, stray):
    """It would have turned the split into classes, and drawn another."""
    for place in ("train/cat/0.png", "train/dog/1.png", "Val/cat/2.png", "test/dog/3.png", stray):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(tmp_path / place)
    with pytest.raises(UserError, match=rf"train and which judge, and {stray} is in none of them"):
        load(tmp_path)
    (tmp_path / stray).unlink()
    assert [len(part) for part in (load(tmp_path).train, load(tmp_path).held_out, load(tmp_path).test)] == [2, 1, 1]


def test_trains_may_be_a_class_beside_cars(tmp_path):
    for i, place in enumerate(("train", "car", "bus", "train", "car", "bus")):
        (tmp_path / place).mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / place / f"{i}.png")
    assert load(tmp_path).classes == ("bus", "car", "train")


def test_a_folder_s_name_may_be_no_utf_8(tmp_path: Path) -> None:
    """Its bytes are written out: what is printed, drawn and kept of a class is text, and the same in new rows."""
    folder = tmp_path / os.fsdecode(b"p\xe9s")
    for name in (b"\xff\xfe", b"cats"):
        for i in range(4):
            place = folder / os.fsdecode(name) / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((2, 2), i, np.uint8)).save(file := io.BytesIO(), "PNG")
            place.write_bytes(file.getvalue())
    data = load(folder, held_out=0.25, test=0)
    assert data.classes == (r"\xff\xfe", "cats")
    assert data.name == r"p\xe9s"
    json.dumps(data.describe(), ensure_ascii=False).encode("utf-8", "backslashreplace")
    assert load(data.source).checksum == data.checksum
