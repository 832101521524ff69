"""A trained run as bytes (floor 8): what a pickled estimator holds in the place of torch's objects."""

import copy
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from logpx.errors import UserError
from logpx.recipes import rebuild
from logpx.recipes.own import HANDED_OVER
from logpx.train import Run, state
from logpx.train.engine import dtype_of, find_device


class Kept(BaseEstimator):
    """How a fitted estimator is pickled: its settings, and its run in bytes without an object of torch. Copies need no bytes.

    Networks of one's own are kept by name, and opened where the environment variable LOGPX_NETWORK trusts that name: to open a
    pickle imports no code that nobody asked for. Raises UserError for those that were handed over as objects.
    """

    def __getstate__(self) -> dict[str, Any]:
        """The settings, and the run as bytes of a safetensors file."""
        state = dict(super().__getstate__())
        if "run_" in state:
            _check_by_name(state["options"], state["run_"].info["options"].get("network"))
            state["run_"] = run_to_bytes(state["run_"], state.pop("_moments", None))
        if "feature_names_in_" in state:
            state["feature_names_in_"] = [str(name) for name in state["feature_names_in_"]]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "feature_names_in_" in state:
            state["feature_names_in_"] = np.array(state["feature_names_in_"], dtype=object)
        if "run_" in state:
            state["run_"], state["_moments"] = run_from_bytes(state["run_"], state["device"])
        super().__setstate__(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__dict__ |= copy.deepcopy(self.__dict__, memo)
        return twin

    def __copy__(self) -> Any:
        """A deep one too, for `partial_fit` moves the weights."""
        return copy.deepcopy(self)


def _check_by_name(options: dict[str, Any] | None, kept: str | None) -> None:
    """Raises UserError for networks that are objects in the options, or had no name when they were trained."""
    if isinstance((options or {}).get("network", ""), str) and kept != HANDED_OVER:
        return
    name = "module:function" if kept in (None, HANDED_OVER) else kept
    raise UserError(
        f"A pickle holds networks of your own by name only: fit with options={{'network': {name!r}}}, a function that "
        "makes them, and not with the object itself."
    )


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

    On `device`, or on the CPU where this machine lacks it. Nothing is unpickled. Raises UserError for damaged bytes, and for
    networks of one's own that LOGPX_NETWORK does not name.
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
