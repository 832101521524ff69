"""Pictures: MNIST (in the package), Fashion-MNIST, scikit-learn's digits, folders of images (floor 6)."""

import gzip
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from logpx.data.base import Stored
from logpx.data.reading import reading
from logpx.data.splits import PART_OF
from logpx.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
GREYS = ("1", "L", "LA", "La")  # the modes of pictures without colour
IDX_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
FASHION_MD5 = {  # as published by its authors
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
FASHION_MIRRORS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def read_idx(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """An IDX file of unsigned bytes: 0, 0, type 8, the number of axes, their lengths (big-endian), values.

    Raises:
        ValueError: it is not one, or not of the shape expected.
    """
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, dtype=">u4").tobytes()
    if not content.startswith(header) or len(content) != len(header) + math.prod(shape):
        raise ValueError(f"this is no IDX file of unsigned bytes of shape {shape}, or it is cut short")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def read_four(folder: Any, name: str, classes: tuple[str, ...]) -> Stored:
    """The four IDX files (gzipped or not) of a set made like MNIST; the last 5,000 rows are held out."""
    arrays = {}
    for stem, shape in IDX_SHAPES.items():
        plain, packed = folder / stem, folder / f"{stem}.gz"
        with reading(plain if plain.is_file() else packed, "an IDX file"):
            content = plain.read_bytes() if plain.is_file() else gzip.decompress(packed.read_bytes())
            arrays[stem] = read_idx(content, shape)
    images, labels, test, test_labels = arrays.values()
    return Stored(
        name=name,
        source=name.lower(),
        x=images,
        labels=labels,
        test=test,
        test_labels=test_labels,
        classes=classes,
        levels=256,
        protocol="dynamic",
        held_out=5_000,
        in_order=True,
    )


def mnist() -> Stored:
    """MNIST (LeCun, Cortes & Burges): 60,000 + 10,000 grey digits of 28 x 28, as shipped with the package."""
    return read_four(files("logpx.data") / "mnist", "MNIST", DIGITS)


def fashion_mnist(download: bool = False) -> Stored:
    """Fashion-MNIST (Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747): clothes in the format of MNIST.

    Looked for in the folder named by the environment variable LOGPX_DATA; fetched only when asked to.
    """
    folder = fashion_folder()
    if folder is None and (download or os.environ.get("LOGPX_DOWNLOAD") == "1"):
        folder = fetch_fashion()
    if folder is None:
        raise UserError(
            "Fashion-MNIST is not on this machine; put its four .gz files in a folder and name that in "
            "LOGPX_DATA, or set LOGPX_DOWNLOAD=1 (in Python: download=True) to fetch them (31 MB)."
        )
    stored = read_four(folder, "Fashion-MNIST", CLOTHES)
    if stored.labels is not None and stored.labels[:5].tolist() == [5, 0, 4, 1, 9]:
        raise UserError(f"{folder} has files that are MNIST; set LOGPX_DATA to those of Fashion-MNIST.")
    return stored


def fashion_folder() -> Path | None:
    """The folder with the four files: at or below LOGPX_DATA, or that of an earlier download, or None."""
    root = cache()
    for folder in (root, root / "fashion-mnist", root / "FashionMNIST" / "raw"):
        if all((folder / stem).is_file() or (folder / f"{stem}.gz").is_file() for stem in IDX_SHAPES):
            return folder
    return None


def cache() -> Path:
    """LOGPX_DATA, or the user's cache folder."""
    import pooch

    return Path(os.environ.get("LOGPX_DATA") or pooch.os_cache("logpx"))


def fetch_fashion() -> Path:
    """Fetch the four files, each checked against its published md5 sum."""
    folder = cache() / "fashion-mnist"
    for stem, md5 in FASHION_MD5.items():
        fetch_one(f"{stem}.gz", f"md5:{md5}", folder)
    return folder


def fetch_one(name: str, checksum: str, folder: Path) -> None:
    """One file from the first mirror that has it."""
    import pooch

    failure: Exception | None = None
    for mirror in FASHION_MIRRORS:
        try:
            pooch.retrieve(mirror + name, checksum, fname=name, path=folder)
            return
        except Exception as error:  # whatever the network or a wrong checksum raises: try the next mirror
            failure = error
    raise UserError(
        f"{name} could not be fetched ({type(failure).__name__}); get it by hand and set LOGPX_DATA."
    ) from failure


def digits() -> Stored:
    """scikit-learn's 1,797 digits of 8 x 8, levels 0 to 16 (Alpaydin & Kaynak 1998)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = bunch.images.astype(np.uint8)
    return Stored(name="digits", source="digits", x=x, labels=bunch.target, classes=DIGITS, levels=17)


# --- folders ------------------------------------------------------------------------------------------------


def folder(path: Path) -> Stored:
    """All images below a folder, sorted, (N, 1 or 3, H, W) uint8; subfolders, if any, are the labels.

    Folders train, validation and test above them say what the images are for.

    Raises:
        UserError: there is no image, one cannot be read, or one differs in size from the first.
    """
    paths = sorted(p for p in path.rglob("*") if is_image(p))
    if not paths:
        raise UserError(f"{path} holds no images ({', '.join(SUFFIXES)}); name a folder that does.")
    colour, size = survey(paths)
    x = np.empty((len(paths), 3 if colour else 1, size[1], size[0]), np.uint8)
    for i, p in enumerate(paths):
        x[i] = pixels(p, colour)
    said, labels = by_folders([p.relative_to(path) for p in paths])
    named = None if None in labels else np.array(labels)
    split = None if said is None else np.array(said)
    return Stored(name=path.name, source=str(path), x=x, labels=named, levels=256, split=split)


def by_folders(inside: Sequence[Path]) -> tuple[list[str] | None, list[str | None]]:
    """(what each image is for, None where the outermost folders do not say so; its class, `spelled`), from their paths in it.

    Raises:
        UserError: train and another of the three lie there, and an image is in none of them.
    """
    folders = [path.parts[:-1] for path in inside]
    parts = {PART_OF.get(f[0].lower()) if f else None for f in folders}
    if None in parts and "train" in parts and len(parts) > 2:
        stray = next(p for p, f in zip(inside, folders, strict=True) if not f or f[0].lower() not in PART_OF)
        raise UserError(
            f"The folders say which images train and which judge, and {stray} is in none of them: move it into one, or away."
        )
    says = all(f and f[0].lower() in PART_OF for f in folders) and any(
        PART_OF[f[0].lower()] == "train" for f in folders
    )
    said = [f[0] for f in folders] if says else None
    return said, [spelled(Path(f[says])) if len(f) > says else None for f in folders]


def spelled(path: Path) -> str:
    """The path as text that any file can hold: a byte that is no UTF-8 is written out as \\xff."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def is_image(path: Path) -> bool:
    """By name; hidden files (such as the ._ files of some systems) are no images."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def survey(paths: list[Path]) -> tuple[bool, tuple[int, int]]:
    """(whether any image is in colour, their common width and height), from the headers alone."""
    first, colour = None, False
    for path in paths:
        size, mode = header(path)
        first = first or size
        if size != first:
            raise UserError(
                f"{path} is {size[0]} x {size[1]} pixels and {paths[0].name} {first[0]} x {first[1]}; "
                "bring all images to one size."
            )
        colour = colour or mode not in GREYS
    return colour, first or (0, 0)


def header(path: Path) -> tuple[tuple[int, int], str]:
    """((width, height), mode) of one image; more than 8 bits per channel are refused."""
    with opened(path) as image:
        size, mode = image.size, image.mode
    if mode.startswith("I") or mode == "F":
        raise UserError(f"{path} has more than 8 bits per pixel; convert it to 8 bits, or store the array as .npy.")
    return size, mode


def pixels(path: Path, colour: bool) -> np.ndarray:
    """(C, H, W) uint8; transparency is dropped."""
    with opened(path) as image:
        array = np.asarray(image.convert("RGB" if colour else "L"))
    return np.moveaxis(array, 2, 0) if colour else array[None]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A PIL image, closed afterwards; damaged files and decompression bombs become a sentence."""
    from PIL import Image

    with reading(path, "an image"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            yield image
