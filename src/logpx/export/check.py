"""Whether what was written says what Python says (floor 7): its runtime opens each file and is asked for rows of the data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from logpx.distributions.spaces import centres
from logpx.errors import UserError
from logpx.evaluate import at_rest, evidence_alone
from logpx.export.parts import Part, Scorer
from logpx.export.program import reason
from logpx.model import VAE, Batch

SOUGHT = 256  # rows among which whole ones are sought
ROWS = 16  # rows that are compared, all at once and the first by itself
TOLERANCE = 1e-4
Outputs = dict[str, Tensor]
Opened = Callable[..., list[Tensor]]


class DiffersError(UserError):
    """A file says something else than Python: nothing of the export is kept."""


def largest_differences(run: Opened, part: Part, given: Tensor, context: Tensor | None) -> dict[str, float]:
    """max |theirs - Python's| of each output, over all rows together and the first alone, in units of its place.

    The unit of an element of an output (a column, say) is the largest number that Python has there, or 1 where that is smaller.
    float32 rounds each operation by 6e-8 of its result. A sum of n terms in another order differs by about 6e-8 sqrt(n) of the
    largest partial sum: by 2e-6 for the thousand terms of a layer, by 1e-5 after some layers. Tolerated is ten times that; an
    error of a formula, a missing term or a wrong axis is far above.
    """
    every = [t for t in (given, context) if t is not None]
    units = {name: t.double().abs().amax(0).clamp_min(1) for name, t in python_says(part, *every).items()}
    found: dict[str, list[float]] = {name: [] for name in units}
    for rows in (slice(0, 1), slice(0, None)):
        some = [t[rows] for t in every]
        for (name, python), theirs in zip(python_says(part, *some).items(), run(*some), strict=True):
            found[name].append(((theirs.double() - python.double()).abs() / units[name]).max().item())
    return {name: torch.tensor(apart).max().item() for name, apart in found.items()}  # torch's maximum keeps a nan


def check(found: dict[str, float], file: str) -> None:
    """Raises DiffersError for a difference that rounding does not explain, nan included."""
    for name, difference in found.items():
        if not difference <= TOLERANCE:
            raise DiffersError(
                f"{file} says something else than Python ({name} differs by {difference:.2g} of its size; rounding explains "
                f"{TOLERANCE:g}), so nothing was kept: use the model from Python, and tell the makers of logpx."
            )


def python_says(part: Part, given: Tensor, context: Tensor | None = None) -> Outputs:
    """What the model itself says, by the functions that Python users call, in the order of the part's outputs."""
    model = part.model
    with at_rest(model):
        own = part.named(given, context)
        if part.input == "z":
            return {"x": model.decode(given, context).mean}
        batch = Batch.of(given, context)
        q = model.encode(batch)
        if isinstance(part, Scorer):
            return {name: _score(model, name, batch, part.seed) for name in own}
        return own | {"z": centres(q)}


def _score(model: VAE, name: str, batch: Batch, seed: int) -> Tensor:
    if name == "reconstruction":
        q = model.encode(batch)
        return -model.at(batch, q, centres(q)[None]).log_px()[0]
    return evidence_alone(model, batch, samples=1, seed=seed).per_point


# --- the runtimes ------------------------------------------------------------------------------------------------------


def opened_onnx(path: Path, names: list[str]) -> Opened:
    """The file in onnxruntime, on the CPU; UserError where that lacks an operation for a type of number."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError("Checking what was exported needs onnxruntime: pip install 'logpx[export]'.") from None
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, all private
        raise UserError(f"onnxruntime cannot run this part ({reason(error)}): export it with --format torch.") from None

    def run(*given: Tensor) -> list[Tensor]:
        inputs: dict[str, Any] = {name: t.numpy() for name, t in zip(names, given, strict=True)}
        return [torch.from_numpy(array) for array in session.run(None, inputs)]

    return run


def opened_torch(path: Path) -> Opened:
    """The file by torch.export.load."""
    module = torch.export.load(path).module()

    def run(*given: Tensor) -> list[Tensor]:
        found = module(*given)
        return list(found) if isinstance(found, tuple) else [found]

    return run
