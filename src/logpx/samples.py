"""New data from a model (floor 7): drawing it, and writing it as a picture or a table."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.evaluate import at_rest
from logpx.model import VAE
from logpx.train.state import write_atomically


def draw_samples(model: VAE, n: int, *, draw: bool = False, seed: int = 0) -> Tensor:
    """n new points (n, *shape): the means E[x|z], or draws x ~ p(x|z), with z ~ p(z).

    Raises UserError for a model without a prior, n < 1, or draws from a score that is no density.
    """
    if n < 1:
        raise UserError(f"{n} samples: ask for at least one.")
    with at_rest(model, seed):
        _, px = model.sample(n)
        return px.sample() if draw else px.mean


def tile(x: Tensor, columns: int | None = None, gap: int = 1) -> np.ndarray:
    """Images (n, C, H, W) with values in [0, 1] as one (rows, columns, C) array of bytes, `gap` pixels between."""
    n, C, H, W = x.shape
    across = columns or int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    sheet = np.full((down * (H + gap) + gap, across * (W + gap) + gap, C), 255, np.uint8)
    pixels = (x.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    for i, image in enumerate(pixels):
        top, left = gap + i // across * (H + gap), gap + i % across * (W + gap)
        sheet[top : top + H, left : left + W] = image
    return sheet


def write_samples(path: Path, x: Tensor, columns: list[str] | None) -> None:
    """Writes x as .png (images of 1, 3 or 4 channels), .npy or .csv (one row per point); UserError for another ending."""
    writers = {".png": _write_png, ".npy": _write_npy, ".csv": _write_csv}
    if path.suffix not in writers:
        raise UserError(f"{path.name}: samples are written as {', '.join(writers)}.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write {path.name} in.")
    write_atomically(path, lambda beside: writers[path.suffix](beside, x, columns))


def _write_png(path: Path, x: Tensor, columns: list[str] | None) -> None:
    from PIL import Image

    if x.ndim != 4 or x.shape[1] not in (1, 3, 4):
        raise UserError(f"Data of shape {tuple(x.shape[1:])} are no pictures: write .npy or .csv.")
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 1.0)  # data outside [0, 1] keep their contrast
    sheet = tile((x - low) / (high - low))
    Image.fromarray(sheet.squeeze(-1) if x.shape[1] == 1 else sheet).save(path, "PNG")


def _write_npy(path: Path, x: Tensor, columns: list[str] | None) -> None:
    with path.open("wb") as file:
        np.save(file, x.cpu().numpy(), allow_pickle=False)


def _write_csv(path: Path, x: Tensor, columns: list[str] | None) -> None:
    flat = x.flatten(1).tolist()
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(columns or [f"x{i}" for i in range(len(flat[0]))])
        rows.writerows([f"{value:.9g}" for value in row] for row in flat)
