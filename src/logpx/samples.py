"""New data from a model (floor 7): drawing it, given a context or none, and writing it as a picture or a table."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from logpx.data import Cells, Column, columns_in, given_context, pairs_in
from logpx.errors import UserError
from logpx.evaluate import at_rest
from logpx.model import VAE
from logpx.train.state import write_atomically


def draw_samples(model: VAE, n: int, *, draw: bool = False, seed: int = 0, context: Tensor | None = None) -> Tensor:
    """n new points (n, *shape): the means E[x|z], or draws x ~ p(x|z), with z ~ p(z); draws where no mean is known.

    context  (n, C) or (1, C), what a conditional model is given: x ~ p(x|z, c).

    Raises UserError for a model without a prior, n < 1, or draws from a score that is no density.
    """
    if n < 1:
        raise UserError(few(n))
    if context is not None:
        like = next(model.parameters())
        context = context.expand(n, -1).to(like.device, like.dtype)
    with at_rest(model, seed):
        _, px = model.sample(n, context)
        return px.sample() if draw or not model.has_mean else px.mean


def few(n: int) -> str:
    return f"{n} samples: ask for at least one."


def contexts(about: Mapping[str, Any], n: int, given: str | None = None) -> tuple[Tensor | None, dict[str, list[str]]]:
    """(the contexts (n, C) of n samples, what they say by name) for the data that a run describes in `about`.

    given  a class, or "city=Paris,age=40"; without it the classes come in turn. Raises UserError for an unknown class, a
    context that the model does not take, and one that is not complete.
    """
    if n < 1:
        raise UserError(few(n))
    conditions = columns_in(about, "conditions")
    if not conditions:
        if given is not None:
            raise UserError(f"given is {given!r}, and this model takes no context: leave it out.")
        return None, {}
    names = [column.name for column in conditions]
    rows = [_values(given, names)] * n if given is not None else _in_turn(conditions, about["categories"], n)
    made = [given_context(row, conditions, about["categories"]) for row in rows]
    return torch.cat(made), {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _values(given: str, names: list[str]) -> list[str]:
    """The text of each condition."""
    if len(names) == 1 and not given.startswith(f"{names[0]}="):
        return [given]
    pairs = pairs_in(given, names)
    said = dict(pairs)
    if said.keys() != set(names) or len(pairs) > len(names):
        raise UserError(f"given is {given!r}; this model is given {', '.join(f'{name}=...' for name in names)}.")
    return [said[name] for name in names]


def _in_turn(conditions: Sequence[Column], categories: Mapping[str, Sequence[str]], n: int) -> list[list[str]]:
    """Every class, over and over."""
    if len(conditions) > 1 or not conditions[0].levels:
        wanted = ",".join(f"{column.name}=..." for column in conditions)
        raise UserError(f"This model needs to know what its samples are given: say --given {wanted}.")
    names = categories[conditions[0].name][: conditions[0].levels]
    return [[names[i % len(names)]] for i in range(n)]


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


def enlarged(x: Tensor, width: int = 40) -> Tensor:
    """Images (n, C, H, W) with each pixel as a square of k x k, the smallest k that makes them `width` wide."""
    k = -(-width // x.shape[3])
    return x.repeat_interleave(k, 2).repeat_interleave(k, 3)


class Words(NamedTuple):
    """What a table of rows says beside its numbers."""

    columns: Sequence[str] | None = None  # their names
    categories: Sequence[Sequence[str] | None] | None = None  # of each column, the names of its codes
    given: Mapping[str, Sequence[str]] = {}  # further columns, one text a row
    across: int | None = None  # of a sheet of pictures: how many in a line

    @classmethod
    def of(cls, about: Mapping[str, Any], **more: Any) -> "Words":
        """Those of the data that a run describes."""
        kinds = columns_in(about, "column_kinds")
        names = [about["categories"][c.name] if c.kind == "categorical" else None for c in kinds]
        return cls(about.get("columns") or [c.name for c in kinds] or None, names or None, **more)


def write_samples(path: Path, x: Tensor, words: Words | None = None) -> None:
    """Writes x as .png (images of 1, 3 or 4 channels), .npy or .csv (one row per point); UserError for another ending."""
    check_writable(path)
    write_atomically(path, lambda beside: WRITERS[path.suffix](beside, x, words or Words()))


def check_writable(path: Path, *, force: bool = True) -> None:
    """Raises UserError for a file that is there, without `force`; an ending that nothing writes; no folder for it."""
    if path.exists() and not force:
        raise UserError(f"{path} exists: replace it with --force or choose another file with --out.")
    if path.suffix not in WRITERS:
        raise UserError(f"{path.name}: samples are written as {', '.join(WRITERS)}.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write {path.name} in.")


def _write_png(path: Path, x: Tensor, words: Words) -> None:
    from PIL import Image

    if x.ndim != 4 or x.shape[1] not in (1, 3, 4):
        raise UserError(f"Data of shape {tuple(x.shape[1:])} are no pictures: write .npy or .csv.")
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 1.0)  # data outside [0, 1] keep their contrast
    sheet = tile(enlarged((x - low) / (high - low)), words.across)
    Image.fromarray(sheet.squeeze(-1) if x.shape[1] == 1 else sheet).save(path, "PNG")


def _write_npy(path: Path, x: Tensor, words: Words) -> None:
    with path.open("wb") as file:
        np.save(file, x.cpu().numpy(), allow_pickle=False)


def _write_csv(path: Path, x: Tensor, words: Words) -> None:
    flat, exact = x.flatten(1), x.dtype == torch.float64
    names = words.columns or [f"x{i}" for i in range(flat.shape[1])]
    categories = words.categories or [None] * flat.shape[1]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*names, *words.given])
        for i, row in enumerate(flat.tolist()):
            cells = [_cell(value, known, exact) for value, known in zip(row, categories, strict=True)]
            rows.writerow([*cells, *(texts[i] for texts in words.given.values())])


def _cell(value: float, categories: Sequence[str] | None, exact: bool) -> str:
    """A category's name, or the shortest number that is read back as the same (to nine digits, which float32 needs)."""
    if categories is not None:
        if value != value // 1 or not 0 <= value < len(categories):
            raise ValueError(f"{value} is no code of {len(categories)} categories.")
        return categories[int(value)]
    if not exact:
        return f"{value:.9g}"
    return short if float(short := f"{value:.15g}") == value else repr(value)


WRITERS = {".png": _write_png, ".npy": _write_npy, ".csv": _write_csv}


# --- imputed values ---------------------------------------------------------------------------------------------------


def nine_digits(x: Tensor) -> Tensor:
    """x rounded to the nine significant digits that float32 has, in float64."""
    return torch.from_numpy(np.array([float(f"{value:.9g}") for value in x.flatten().tolist()])).view(x.shape)


def rounded(x: Tensor, about: Mapping[str, Any]) -> Tensor:
    """x (N, *shape) with counts as the nearest integer >= 0 and binary elements as the likelier value, the rest as it is."""
    columns = columns_in(about, "column_kinds")
    kinds = [column.kind for column in columns] or [about["kind"]]
    whole = torch.tensor([kind in ("integer", "binary") for kind in kinds])
    return x.round().clamp_min(0).where(whole.view(-1) if columns else whole, x)


def write_filled(path: Path, cells: Cells, x: Tensor, holes: Tensor, words: Words) -> None:
    """Writes a table as it stands in its file, all columns, with x (N, P) in its holes (N, P): nothing else changes.

    words  the names of x's columns and of their categories.
    """
    names = words.columns or list(cells.columns)
    categories = words.categories or [None] * len(names)
    new = {
        name: {
            i: truth.get(text := _cell(x[i, j].item(), categories[j], True), text)
            for i in holes[:, j].nonzero().flatten().tolist()
        }
        for j, name in enumerate(names)
        for truth in [_truth_in(cells.columns[name])]
    }
    lines = cells.filled(new).lines()

    def write(beside: Path) -> None:
        with beside.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=cells.delimiter, lineterminator="\n").writerows(lines)

    write_atomically(path, write)


def _truth_in(cells: Sequence[str]) -> dict[str, str]:
    """{"0": "false", "1": "true"} as a column of truth values spells them; {} of any other column."""
    seen = {cell.lower(): cell for cell in cells if cell.strip()}
    return (
        {"0": seen.get("false", "false"), "1": seen.get("true", "true")}
        if seen and seen.keys() <= {"true", "false"}
        else {}
    )
