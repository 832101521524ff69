"""Training steps on curved latent spaces beside the flat ones, in turn in one process: A B C C B A ...

    python benchmarks/curved.py --rounds 6

Each model takes the same number of steps of batch 128 through `fit`, as a user would run it, on dynamically binarised MNIST;
its flat companion has the same networks and as many latent dimensions. The first epoch of each run is left out. A run with
company is worthless: the load average before and after is printed.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any

from logpx.cli.threads import calm_threads

#: goals: a hyperspherical step 1.5 times, a mixed-curvature one 2.5 times the flat one
PAIRS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "hyperspherical, d = 10, vMF": ("hyperspherical_vae", {}, {"latent": 10, "hidden": (256, 128)}),
    "hyperspherical, d = 10, power spherical": (
        "hyperspherical_vae",
        {"law": "power_spherical"},
        {"latent": 10, "hidden": (256, 128)},
    ),
    "Poincare, d = 10, wrapped": ("poincare_vae", {}, {"latent": 10, "hidden": (600,)}),
    "Poincare, d = 10, Riemannian": ("poincare_vae", {"law": "riemannian"}, {"latent": 10, "hidden": (600,)}),
    "mixed, h2,s2,u2 learned": ("mixed_curvature_vae", {}, {"latent": 6, "hidden": (400,)}),
    "mixed, e2,h2,s2 fixed": (
        "mixed_curvature_vae",
        {"signature": "e2,h2,s2", "learned": False},
        {"latent": 6, "hidden": (400,)},
    ),
    "mixed, e2,h2,s2,u2 learned": (
        "mixed_curvature_vae",
        {"signature": "e2,h2,s2,u2"},
        {"latent": 8, "hidden": (400,)},
    ),
}


def milliseconds(build: Callable[[], Any], data: Any, threads: int) -> float:
    """The median over epochs after the first of the time of a step."""
    from logpx.train import fit

    run = fit(build(), data, epochs=4, batch_size=128, threads=threads, show=False)
    steps = -(-len(data.train) // 128)
    return 1e3 * statistics.median(row["seconds"] for row in run.rows[1:]) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=12_800)
    parser.add_argument("--model", default="", help="only those whose label holds this")
    given = parser.parse_args()
    calm_threads()
    from logpx import recipes
    from logpx.data import load

    data = load("mnist", protocol="dynamic", held_out=60_000 - given.rows)
    print(f"load before: {os.getloadavg()[0]:.2f}; {given.threads} threads")
    for label, (recipe, options, flat) in PAIRS.items():
        if given.model not in label:
            continue
        models = (
            lambda flat=flat: recipes.vae(data, **flat),
            lambda r=recipe, o=options: getattr(recipes, r)(data, **o),
        )
        times: list[tuple[float, float]] = []
        for i in range(given.rounds):
            order = (0, 1) if i % 2 == 0 else (1, 0)
            took = {which: milliseconds(models[which], data, given.threads) for which in order}
            times.append((took[0], took[1]))
        ratios = sorted(curved / plain for plain, curved in times)
        plain, curved = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"| {label} | {plain:.2f} | {curved:.2f} | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
            flush=True,
        )
    print(f"load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
