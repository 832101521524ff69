"""Writing a run's parts into a folder of their own (floor 7): files that were checked, what they are as JSON, a model card."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import logpx
from logpx.data import Data
from logpx.errors import UserError
from logpx.evaluate import batch_of
from logpx.export import check
from logpx.export.card import card
from logpx.export.onnx import onnx_bytes
from logpx.export.parts import OUTPUTS, PARTS, Decoder, Encoder, Part, Scorer
from logpx.export.program import program_of, save
from logpx.export.rows import rows_of
from logpx.model import VAE
from logpx.train import Run
from logpx.train.kept import weights_checksum
from logpx.train.state import write_json, write_text

Format = Literal["onnx", "torch"]
SUFFIX: dict[str, str] = {"onnx": ".onnx", "torch": ".pt2"}
INFO, CARD = "export.json", "MODEL_CARD.md"
OURS = {INFO, CARD, *(name + suffix for name in PARTS for suffix in SUFFIX.values())}  # all that an export may hold
Rows = tuple[Tensor, Tensor | None]  # x or z, and the context


def write(
    run: Run,
    data: Data,
    *,
    to: str | Path | None = None,
    format: Format = "onnx",
    parts: Sequence[str] | None = None,
    force: bool = False,
    evidence: str | None = None,
    finding: str | None = None,
) -> dict[str, Any]:
    """Writes encoder, decoder, scorer, export.json and MODEL_CARD.md into RUN/export or `to`; returns what export.json holds.

    data      what the run was trained on: on some of its rows each file is compared with Python.
    parts     some of "encoder", "decoder", "scorer"; None for all that the model has, the others named with their reason.
    force     replaces an export that is there already; nothing else is ever replaced.
    evidence, finding   sentences for the card: the run's number with its error, and what ails its latent space.

    All files are written and checked beside the folder, which then is put in its place whole. Raises UserError for a part that
    was asked for and cannot be had, where there is none at all, where a file does not say what Python says, and where something
    is in the way.
    """
    place = check_place(_place(run, to), force=force)
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        about = _about(run, data, format)
        about |= _written(run.model, data, format, parts, beside, about)
        write_json(beside / INFO, about)
        write_text(beside / CARD, card(run, data, about, evidence, finding))
        beside.chmod(0o755)
        check_place(place, force=force)  # it took a while: what came meanwhile is nobody's to delete
        _put(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return about


def check_place(place: Path, *, force: bool) -> Path:
    """The folder that `place` is, links followed. Raises UserError where something is that may not be replaced."""
    real = Path(os.path.realpath(place))
    if real == Path.cwd():
        raise UserError(f"{real} is the folder that you are in, which cannot be replaced: choose another (--out).")
    if not os.path.lexists(real) or (real.is_dir() and not any(real.iterdir())):
        return real
    ours = _files_of(real)
    if not ours:
        raise UserError(f"{place} exists and is no export, so it is not replaced: choose another folder (--out).")
    if others := sorted(path.name for path in real.iterdir() if path.name not in ours or not path.is_file()):
        raise UserError(
            f"{place} holds {others[0]!r} besides an export, so it is not replaced: choose another (--out)."
        )
    if not force:
        raise UserError(f"{place} exists: replace it (--force) or choose another folder (--out).")
    return real


def _files_of(place: Path) -> set[str]:
    """The files of the export in a folder, as its export.json has them; none where that is not one of ours."""
    try:
        about = json.loads((place / INFO).read_text(encoding="utf-8"))
        written = {part["file"] for part in about["parts"].values()} if about["logpx"] else set()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return set()
    return OURS & ({INFO, CARD} | written) if written else set()


def _place(run: Run, to: str | Path | None) -> Path:
    if to is None and run.folder is None:
        raise UserError("This run kept no folder: name the one that the export goes to.")
    return Path(to) if to else Path(run.folder or "") / "export"


def _put(beside: Path, place: Path) -> None:
    """Moves a folder into its place; one that is there is out of the way before, and gone after."""
    if not place.exists():
        beside.replace(place)
        return
    old = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        place.replace(old)
    except OSError:
        old.rmdir()
        raise
    try:
        beside.replace(place)
    except OSError:
        old.replace(place)
        raise
    shutil.rmtree(old)


def _about(run: Run, data: Data, format: str) -> dict[str, Any]:
    """What the files were made of."""
    weights = weights_checksum(run.folder) if run.folder else None
    made = {"logpx": logpx.__version__, "torch": torch.__version__, "format": format}
    source = {"name": data.name, "checksum": data.checksum}
    return made | {
        "recipe": run.info.get("recipe"),
        "weights": weights,
        "data": source,
        "rows": rows_of(data.describe()),
    }


# --- the parts ---------------------------------------------------------------------------------------------------------


def _written(
    model: VAE, data: Data, format: str, asked: Sequence[str] | None, folder: Path, about: dict[str, Any]
) -> dict[str, Any]:
    """Each part that can be had, written and compared; the reason for each that cannot."""
    for name in asked or ():
        if name not in PARTS:
            raise UserError(f"There is no part {name!r}; parts: {', '.join(PARTS)}.")
    found: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in asked or PARTS:
        try:
            found[name] = _one(model, data, name, format, folder, about)
        except check.DiffersError:
            raise
        except UserError as error:
            if asked:
                raise
            (folder / f"{name}{SUFFIX[format]}").unlink(missing_ok=True)
            left_out[name] = str(error)
    if not found:
        raise UserError(next(iter(left_out.values())))
    return {"parts": found, "left_out": left_out}


def _one(model: VAE, data: Data, name: str, format: str, folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    part = PARTS[name](model)
    given, context = rows = _rows(part, data)
    inputs = {part.input: given} | ({} if context is None else {"context": context})
    outputs = part.named(given, context)
    says: dict[str, Any] = {
        "file": f"{name}{SUFFIX[format]}",
        "inputs": {key: _tensor(t) for key, t in inputs.items()},
        "outputs": {key: _tensor(t) | {"says": OUTPUTS[key]} for key, t in outputs.items()},
        "lacks": part.lacks,
    }
    if isinstance(part, Scorer) and part.draws:
        says["noise_seed"] = part.seed
    path = folder / says["file"]
    if format == "onnx":
        metadata = {"logpx": json.dumps(about | says, ensure_ascii=False)}
        path.write_bytes(onnx_bytes(part, rows, list(inputs), list(outputs), metadata))
        opened = check.opened_onnx(path, list(inputs))
    else:
        save(program_of(part, rows), path)
        opened = check.opened_torch(path)
    differences = check.largest_differences(opened, part, given, context)
    check.check(differences, says["file"])
    return says | {"bytes": path.stat().st_size, "checked_rows": len(given), "differs": differences}


def _tensor(t: Tensor) -> dict[str, Any]:
    return {"shape": ["batch", *t.shape[1:]], "type": str(t.dtype).removeprefix("torch.")}


def _rows(part: Part, data: Data) -> Rows:
    """Rows of the data with their context, nan where a value is missing; for a decoder their codes."""
    split = getattr(data, data.judge)
    x, context, observed = batch_of(split, slice(0, check.SOUGHT))
    x = x if observed is None else x.masked_fill(~observed, torch.nan)
    if not part.missing:
        whole = ~x.flatten(1).isnan().any(1)
        x, context = x[whole], None if context is None else context[whole]
    x, context = x[: check.ROWS].float(), None if context is None else context[: check.ROWS].float()
    if not len(x):
        raise UserError(
            f"Each of the first {check.SOUGHT} rows misses a value, and this model reads whole rows: nothing to check it by."
        )
    return (Encoder(part.model).named(x, context)["z"], context) if isinstance(part, Decoder) else (x, context)
