"""A trained run as bytes (floor 8): what a pickled estimator holds in the place of torch's objects."""

from typing import Any

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.recipes import rebuild
from logpx.train import Run, state
from logpx.train.engine import dtype_of, find_device


def run_to_bytes(run: Run, moments: dict[str, Any] | None = None) -> bytes:
    """The run, and the moments of its optimiser, in the format of a run folder's files: safetensors, and JSON in its header.

    The weights are as they were trained.
    """
    dtype = dtype_of(run.info["settings"]["precision"])
    tree = {
        "info": run.info,
        "rows": run.rows,
        "second": run.second,
        "best_epoch": run.best_epoch,
        "weights": _narrowed(run.model.state_dict(), dtype),
        "objective": run.method.objective.state_dict(),
        "moments": moments or {},
    }
    return state.to_bytes(tree)


def run_from_bytes(content: bytes, device: str) -> tuple[Run, dict[str, Any]]:
    """The run and the moments again, the model at rest and in float64.

    The recipe is called with the kept options and filled with the weights.

    On `device`, or on the CPU where this machine lacks it. Nothing is unpickled. Raises UserError for damaged bytes.
    """
    tree = state.from_bytes(content)
    try:
        method = rebuild(tree["info"]).with_training(**tree["info"]["training"])
        place = _device(device)
        method.model.to(place, torch.float64).load_state_dict(tree["weights"])
        method.objective.to(place).load_state_dict(tree["objective"])
        run, moments = (
            Run(method, tree["info"], tree["rows"], tree["best_epoch"], second=tree["second"]),
            tree["moments"],
        )
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"The saved model is damaged ({type(error).__name__}): restore it or train again.") from None
    run.model.eval()
    return run, moments


def _device(name: str) -> torch.device:
    try:
        return find_device(name)
    except UserError:
        return torch.device("cpu")


def _narrowed(weights: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    """Back to the type of the training, which loses nothing: widening to float64 was exact."""
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in weights.items()}
