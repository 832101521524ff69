"""How time and memory of training grow with rows, latent dimensions, draws of an IWAE, and pixels of a convolutional VAE.

    python benchmarks/growth.py --rounds 3 --keep growth.json --picture growth.svg

Rows are random bits: neither time nor memory depends on what they show. Batch 128, two threads; each point is a process of its
own, up the series and down again in turn: the median of its epochs after the first, and its peak resident memory from start to
end, imports, data and the copy of the best weights included.

What is fitted: a cost is a fixed part and a part that grows, and only their sum is seen. So the smallest point (w0, y0) is
taken off all others, and the slope is that of log(y - y0) against log(w - w0), w the work, over the larger half of the points:
the fixed part drops out whatever its size, and a linear cost has slope 1. Points that rise by less than a tenth of y0 are left
out as noise; where none is left the cost is flat, and where one is, the others count as risen by a tenth. The work of a picture
is its pixels. "At most linear" is a slope of at most 1.1, as near to 1 as a noisy machine can tell. `--keep` writes the points
to a file, or takes them from it.
A run with company is worthless: the load average before and after is printed.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

LIMIT = 1.1


class Quantity(NamedTuple):
    name: str
    values: tuple[int, ...]
    mark: str = "{:,}"  # how a value is written
    power: int = 1  # work = value^power


QUANTITIES = {
    "rows": Quantity("rows of 784 pixels", tuple(2**i for i in range(11, 17))),
    "latent": Quantity("latent dimensions", tuple(2**i for i in range(1, 10))),
    "draws": Quantity("draws k of an IWAE", tuple(2**i for i in range(7))),
    "side": Quantity("pixels, convolutional", (8, 12, 16, 24, 32, 48, 64), "{}²", 2),
}
COSTS = {"seconds": "seconds per epoch", "peak": "peak memory, MiB"}
Points = dict[int, dict[str, list[float]]]  # value of the quantity -> cost -> one number for each round


# --- one point --------------------------------------------------------------------------------------------------------


def problem(quantity: str, value: int, rows: int) -> tuple[str, dict[str, Any], tuple[int, ...]]:
    """Recipe, options, and the shape of the data: `rows` of them, unless rows are the quantity."""
    if quantity == "side":
        return "vae", {"network": "conv", "latent": 20, "hidden": (400,)}, (rows, 1, value, value)
    if quantity == "draws":
        return "iwae", {"samples": value, "latent": 50, "hidden": (200, 200)}, (rows, 784)
    latent, n = (value, 8 * rows) if quantity == "latent" else (20, value)  # its steps are short
    return "vae", {"latent": latent, "hidden": (400,)}, (n, 784)


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Seconds of an epoch and peak memory of this process, MiB."""
    import numpy as np

    from logpx import recipes
    from logpx.data import from_array
    from logpx.train import fit

    recipe, options, shape = problem(given.quantity, given.value, given.rows)
    x = np.random.default_rng(0).integers(0, 2, shape, dtype=np.uint8)
    data = from_array(x, kind="binary", held_out=0, test=0)
    how = {"epochs": given.epochs, "batch_size": 128, "precision": given.precision, "threads": given.threads}
    run = fit(getattr(recipes, recipe)(data, **options), data, show=False, **how)
    seconds = statistics.median(row["seconds"] for row in run.rows[1:])
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}  # KiB on Linux


def series(quantity: str, given: argparse.Namespace) -> Points:
    """All points of a quantity, up and down in turn. This process stays small: a child's peak begins at its parent's."""
    values = [v for v in QUANTITIES[quantity].values if not given.most or v <= given.most]
    points: Points = {value: {cost: [] for cost in COSTS} for value in values}
    sizes = [
        part for name in ("rows", "epochs", "threads", "precision") for part in (f"--{name}", getattr(given, name))
    ]
    for i in range(given.rounds):
        for value in values[:: 1 if i % 2 == 0 else -1]:
            command = [sys.executable, __file__, *map(str, sizes), "--quantity", quantity, "--value", str(value)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            for cost, number in json.loads(done.stdout.splitlines()[-1]).items():
                points[value][cost].append(number)
            print(f"round {i + 1}  {quantity} {value}: {done.stdout.strip()}", file=sys.stderr, flush=True)
    return points


# --- what it shows ----------------------------------------------------------------------------------------------------


def cost_of(quantity: str, points: Points, cost: str) -> list[tuple[int, float]]:
    """(work, median cost) of each point."""
    power = QUANTITIES[quantity].power
    return [(value**power, statistics.median(found[cost])) for value, found in points.items()]


def slope(at: list[tuple[int, float]]) -> float | None:
    """d log(y - y0) / d log(w - w0) over the larger half; None where y does not grow."""
    (w0, y0), *_ = at
    half = [(w - w0, y - y0) for w, y in at[len(at) // 2 :] if w > w0]
    risen = [(w, y) for w, y in half if y > y0 / 10]
    if not risen:
        return None
    if len(risen) == 1:  # a jump at one point: the others rise by a tenth at most
        risen = [(w, max(y, y0 / 10)) for w, y in half]
    return statistics.linear_regression(*zip(*((math.log(w), math.log(y)) for w, y in risen), strict=True)).slope


def verdict(found: float | None) -> str:
    if found is None:
        return "flat"
    return f"slope {found:.2f}" + ("" if found <= LIMIT else ", more than linear")


def table(quantity: str, points: Points) -> str:
    """The points in Markdown, and below them the slopes."""
    kind = QUANTITIES[quantity]
    lines = [f"\n| {kind.name} | {' | '.join(COSTS.values())} |", "|---|---|---|"]
    for value, found in points.items():
        seconds, peak = found["seconds"], found["peak"]
        told = f"{statistics.median(seconds):.3f} ({min(seconds):.3f} to {max(seconds):.3f})"
        lines.append(f"| {kind.mark.format(value)} | {told} | {statistics.median(peak):,.0f} |")
    slopes = {cost: slope(cost_of(quantity, points, cost)) for cost in COSTS}
    linear = all(found is None or found <= LIMIT for found in slopes.values())
    told = "; ".join(f"{COSTS[cost].split(',')[0]}: {verdict(found)}" for cost, found in slopes.items())
    lines.append(
        f"\nAbove the smallest point, over the larger half: {told}. At most linear: {'yes' if linear else 'no'}."
    )
    return "\n".join(lines)


def panels(quantity: str, points: Points) -> list[Any]:
    """Time and memory of a quantity, for the picture."""
    from panels import Panel

    kind = QUANTITIES[quantity]
    names = [kind.mark.format(value) for value in points]
    at = {cost: cost_of(quantity, points, cost) for cost in COSTS}
    return [Panel(kind.name, unit, names, at[cost], verdict(slope(at[cost]))) for cost, unit in COSTS.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantity", choices=list(QUANTITIES), help="this one alone")
    parser.add_argument("--value", type=int, help="one point of it, in this process")
    parser.add_argument("--most", type=int, help="no value above it")
    parser.add_argument("--precision", default="float32")
    for name, value in {"rows": 1280, "epochs": 4, "rounds": 3, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--keep", type=Path, metavar="FILE.json")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg")
    given = parser.parse_args()
    if given.value:
        print(json.dumps(measure(given)))
        return
    from logpx.cli import calm_threads

    calm_threads()  # the points inherit its choice
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    if given.keep and given.keep.exists():
        found = {
            q: {int(v): costs for v, costs in its.items()} for q, its in json.loads(given.keep.read_text()).items()
        }
    else:
        found = {q: series(q, given) for q in ([given.quantity] if given.quantity else QUANTITIES)}
        print(f"load average after: {os.getloadavg()[0]:.2f}")
        if given.keep:
            given.keep.write_text(json.dumps(found))
    for quantity, points in found.items():
        print(table(quantity, points))
    if given.picture:
        from panels import picture

        given.picture.write_bytes(picture([panel for q, points in found.items() for panel in panels(q, points)]))


if __name__ == "__main__":
    main()
