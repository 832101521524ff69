"""What every maker of evidence uses: runs that are kept and resumed, means over seeds, the file itself."""

import json
import math
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from logpx import recipes
from logpx.data import Data
from logpx.evaluate import Evidence, batch_of, evidence
from logpx.train import Method, Run, fit
from logpx.train.run import machine

HERE = Path(__file__).parent


def trained(work: Path, name: str, method: Any, data: Data, **settings: Any) -> Run:
    """The run of that name, finished: trained, resumed or simply read again."""
    out = work / name
    if (out / "run.json").exists() and json.loads((out / "run.json").read_text())["status"] == "finished":
        return recipes.load_run(out)
    resume = (out / "state" / "state.safetensors").exists()
    run = fit(method, data, out=out, resume=resume, force=not resume, **settings)
    assert run.folder
    return run


def centred(method: Method, data: Data) -> Method:
    """The output bias at the logit of the mean pixel, as in the paper's code: Adam would take an epoch to get there."""
    mean = data.train.x(slice(0, 10_000), torch.Generator().manual_seed(0)).mean(0).clamp(1e-3, 1 - 1e-3)
    layers: Any = method.model.decoder
    while hasattr(layers, "net"):
        layers = layers.net
    with torch.no_grad():
        layers[-1].bias.copy_(torch.logit(mean).flatten())
    return method


def kept(work: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A measurement, made once and kept in the work folder."""
    path = work / f"{name}.json"
    if not path.exists():
        path.write_text(json.dumps(measure()))
    return json.loads(path.read_text())


def over_seeds(values: list[float]) -> dict[str, Any]:
    """n, mean and its standard error over seeds, and the values themselves."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return {"n": len(values), "mean": statistics.fmean(values), "standard_error": error, "values": values}


def estimate(run: Run, data: Data, samples: int, rows: int = 10_000) -> dict[str, Any]:
    """The evidence of the first so many test rows."""

    def show(done: int, total: int) -> None:
        if done * 10 // total != max(done - 128, 0) * 10 // total:
            print(f"  evidence {done:,}/{total:,}", file=sys.stderr, flush=True)

    found: Evidence = evidence(run.model, batch_of(data.test, slice(0, rows)), samples=samples, progress=show)
    return found.summary()


def write(name: str, command: str, value: dict[str, Any]) -> None:
    value |= {"command": command, "machine": machine()}
    (HERE / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")
    print(f"evidence/{name}.json written", file=sys.stderr)
