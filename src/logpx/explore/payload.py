"""What the page knows of a run (floor 8): a description in words and numbers, and the rows as packed arrays."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

import logpx
from logpx.evaluate import plain, scores
from logpx.evaluate.importance import finite
from logpx.evaluate.rows import PerPoint
from logpx.recipes import RECIPES
from logpx.subject import Subject

ROW_BYTES = 4_000_000  # of pictures or of columns, before they are compressed: the page stays within 12 MB
THUMBNAIL = 32  # pixels on the longer side of an embedded picture
FEW_COLUMNS = 30  # a table of more real columns is drawn as a line, too
ACTIVE = 0.01  # Var E[z_i|x], see evaluate.usage
ENOUGH = 10  # rows: from fewer the page does not say which directions are active


@dataclass
class Payload:
    """`about` goes into the page as JSON, `arrays` as one packed block; about["arrays"] says where each begins."""

    about: dict[str, Any]
    arrays: list[np.ndarray] = field(default_factory=list)

    def pack(self, name: str, array: np.ndarray) -> None:
        """Adds an array, in the order of bytes that every browser has, at a multiple of four bytes."""
        at = sum(_padded(a.nbytes) for a in self.arrays)
        kind = {"float32": "f4", "uint8": "u1"}[array.dtype.name]
        self.about.setdefault("arrays", {})[name] = {"at": at, "kind": kind, "shape": list(array.shape)}
        self.arrays.append(np.ascontiguousarray(array))

    def block(self) -> bytes:
        """All arrays, one after another."""
        return b"".join(a.tobytes().ljust(_padded(a.nbytes), b"\0") for a in self.arrays)


def _padded(n: int) -> int:
    return -(-n // 4) * 4


def payload(s: Subject, rows: int, samples: int) -> Payload:
    """All that the page knows: see the functions below, one for each part of it."""
    n = min(rows, len(s.means), most_rows(s))
    about = {
        "title": s.title,
        "reference": _reference(s),
        "data": s.data_words,
        "rows": {"n": n, "of": len(s.split), "name": s.rows, "centres": s.centres},
        "classes": list(s.classes),
        "version": logpx.__version__,
        "parameters": sum(p.numel() for p in s.model.parameters()),
        "run": s.run.folder.name if s.run.folder else "",
    }
    made = Payload(about)
    made.pack("z", s.means[:n].numpy().astype(np.float32))
    about["latent"] = latent(s, n)
    about["shown"] = what_is_shown(s)
    about["context"] = context(s)
    if s.split.context is not None:
        made.pack("context", s.split.context[:n].numpy().astype(np.float32))
    _pack_rows(made, s, n)
    _pack_columns(made, s, n, samples)
    made.about = plain(about)
    return made


def most_rows(s: Subject) -> int:
    """How many rows fit into the page."""
    if s.is_image:
        height, width = thumbnail_size(s)
        return ROW_BYTES // (s.data.shape[0] * height * width)
    return max(1, ROW_BYTES // (4 * math.prod(s.data.shape)))


def thumbnail_size(s: Subject) -> tuple[int, int]:
    """Height and width of an embedded picture: its own, or the longer side shrunk to THUMBNAIL."""
    height, width = s.data.shape[1:]
    shrink = max(1.0, max(height, width) / THUMBNAIL)
    return max(1, round(height / shrink)), max(1, round(width / shrink))


def _reference(s: Subject) -> str:
    row = RECIPES.get(s.run.info.get("recipe") or "")
    return row.reference if row else ""


# --- the latent space -------------------------------------------------------------------------------------------------


def chart(s: Subject, z: Tensor) -> Tensor:
    """z (N, D) by distance and direction from the origin of each part, (N, n): of a flat part its own numbers."""
    return torch.cat([part.towards(part.origin(z), part.of(z)) for part in s.spaces], -1)


def latent(s: Subject, n: int) -> dict[str, Any]:
    """The spaces that z is made of, and its directions: how much each is used, and how far a slider goes.

    KL where q factorises over the axes of a flat space; elsewhere the standard deviation of the means in each direction, which
    one row does not have: a strip then goes by ones. Whether a direction is active is None below ENOUGH rows.
    """
    u = chart(s, s.means.double())[:n]
    low, high = u.quantile(torch.tensor([0.005, 0.995], dtype=u.dtype), 0)
    if s.is_standard and s.is_euclidean:
        low, high = low.clamp_max(-3), high.clamp_min(3)
    margin = 0.04 * (high - low).clamp_min(0.1)
    kl = s.usage.kl if s.is_one_flat and s.usage else None
    spread = u.std(0) if n > 1 else None
    used = spread if kl is None else kl
    counted = s.usage if s.is_euclidean else None
    rows = len(s.means) if counted else n
    variance = counted.variance_of_means if counted else u.var(0) if n > 1 else None
    letter = "z" if s.is_euclidean else "u"
    dims = [
        {
            "name": f"{letter}{i}",
            "used": None if used is None else float(used[i]),
            "active": None if variance is None or rows < ENOUGH else bool(variance[i] >= ACTIVE),
            "low": float(low[i] - margin[i]),
            "high": float(high[i] + margin[i]),
            "spread": 1.0 if spread is None else float(spread[i]),
        }
        for i in range(u.shape[1])
    ]
    return {
        "dim": s.dim,
        "spaces": [part._asdict() for part in s.spaces],
        "dims": dims,
        "rows": rows,
        "by": "spread" if kl is None else "KL",
        "standard": s.is_standard and s.is_euclidean,
    }


# --- what is decoded --------------------------------------------------------------------------------------------------


def what_is_shown(s: Subject) -> dict[str, Any]:
    """What the decoder's numbers are: the pixels of a picture, or the columns of a table, each with its range."""
    if s.is_image:
        low, high = s.pixel_range
        return {"kind": "image", "shape": list(s.data.shape), "low": low, "high": high}
    columns = [_column(s, i) for i in range(math.prod(s.data.shape))]
    sizes = [len(column["categories"]) or 1 for column in columns]
    for column, size, end in zip(columns, sizes, np.cumsum(sizes).tolist(), strict=True):
        column |= {"at": end - size, "size": size}
    numeric = all(column["kind"] != "categorical" for column in columns)
    kind = "plane" if s.is_plane else "signal" if numeric and len(columns) > FEW_COLUMNS else "table"
    return {"kind": kind, "columns": columns}


def _column(s: Subject, i: int) -> dict[str, Any]:
    """One column: its name, its kind, the names of its categories, and the range of its values among the rows."""
    spec = s.data.spec.columns[i] if s.data.spec.columns else None
    values = s.x.flatten(1)[:, i]
    values = values[~values.isnan()]
    ends = values.quantile(torch.tensor([0.005, 0.995])).tolist() if len(values) else [0.0, 1.0]
    kind = spec.kind if spec else s.data.kind
    names = list(s.categories(i)) if kind == "categorical" and spec else []
    return {"name": s.columns[i], "kind": kind, "categories": names, "low": ends[0], "high": ends[1]}


def context(s: Subject) -> list[dict[str, Any]]:
    """What a conditional model is given: its conditions, categories one-hot and numbers standardised."""
    found = []
    for column in s.data.conditions:
        names = list(s.data.categories[column.name])[: column.levels] if column.kind == "categorical" else []
        found.append(
            {"name": column.name, "kind": column.kind, "categories": names, "mean": column.mean, "scale": column.scale}
        )
    return found


# --- the rows ---------------------------------------------------------------------------------------------------------


def _pack_rows(made: Payload, s: Subject, n: int) -> None:
    """Pictures as bytes, at most THUMBNAIL pixels wide; other rows as they are, nan where a value is missing."""
    x = s.split.x(slice(0, n), s.generator())
    if not s.is_image:
        made.pack("x", x.flatten(1).numpy().astype(np.float32))
        return
    low, high = s.pixel_range
    x = ((x.float() - low) / (high - low)).nan_to_num(0.5).clamp(0, 1)
    if x.shape[2:] != (size := thumbnail_size(s)):
        x = adaptive_avg_pool2d(x, size)
    made.pack("thumbnails", (x * 255).round().to(torch.uint8).numpy())


def _pack_columns(made: Payload, s: Subject, n: int, samples: int) -> None:
    """What points may be coloured by: the label, log p(x), KL, and the columns of a table (which are packed already)."""
    colours = made.about["colours"] = []

    def add(name: str, values: Tensor, categories: tuple[str, ...] = (), unit: str = "") -> None:
        key = f"colour{len(colours)}"
        made.pack(key, values.numpy().astype(np.float32))
        colours.append({"name": name, "array": key, "categories": list(categories), "unit": unit})

    if s.labels is not None:
        add("label", s.labels[:n], s.classes or tuple(str(k) for k in range(int(s.labels.max()) + 1)))
    made.about["evidence"] = None
    if s.model.has_evidence:
        found = scores(s.model, s.split.batch(slice(0, n), s.generator()), samples=samples, seed=s.seed)
        name = {"exact": "log p(x)", "score": "score"}.get(found.kind, f"L_{samples}")
        mean = PerPoint(finite(found.log_px))
        made.about["evidence"] = {
            "name": name,
            "kind": found.kind,
            "value": mean.mean,
            "error": mean.standard_error,
        }
        add("score" if found.kind == "score" else f"log p(x), {found.kind}", found.log_px, unit="nats")
    if s.is_one_flat and s.usage is not None and s.usage.kl_of_rows is not None:
        add("KL(q(z|x) || p(z))", s.usage.kl_of_rows[:n].sum(1), unit="nats")
    for i, column in enumerate(made.about["shown"].get("columns", ())):
        colours.append({"name": column["name"], "column": i, "categories": column["categories"], "unit": ""})
