"""Rows that `scores` and `evidence` take per second beside the bare forward passes of the same work, in turn in one run.

    python benchmarks/scoring.py --rounds 5

Bare: the encoder once for each row, as many draws of noise, the decoder for each draw, in batches of the size (of 64 to 4096
draws) that is the fastest, and nothing of what comes out is looked at: no law, no density, no weight, no error. What is scored
has k = 100 as the command line has it, two threads, weights as they start (time does not depend on them).

    pixels   784-400-20, binarised images         columns  64 numbers, 128 and 128 units, 8 latents, a normal law for each
    conv     convolutions of stride 2 to 64 channels and back, 400 units, 20 latents, binarised images

A run with company is worthless: the load average before and after is printed.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

#: options of the recipe, shape and kind of a row, rows
CASES: dict[str, tuple[dict[str, Any], tuple[int, ...], str, int]] = {
    "pixels": ({"latent": 20, "hidden": (400,)}, (1, 28, 28), "binary", 1024),
    "columns": ({"latent": 8, "hidden": (128, 128)}, (64,), "real", 8192),
    "conv": ({"latent": 20, "hidden": (400,), "network": "conv"}, (1, 28, 28), "binary", 128),
}
SIZES = (64, 256, 1024, 4096)  # draws that the bare passes decode at once


def bare(model: Any, x: Any, k: int, size: int) -> None:
    """The networks' forward passes alone."""
    import torch

    rows = max(1, size // k)
    with torch.inference_mode():
        for batch in x.split(128):
            mean, log_variance = model.encoder(batch).chunk(2, -1)
            spread = (0.5 * log_variance).exp()
            for part in range(0, len(batch), rows):
                here = slice(part, part + rows)
                z = mean[here] + spread[here] * torch.randn(k, *mean[here].shape)
                for piece in z.flatten(0, 1).split(size):
                    model.decoder(piece)


def sides(case: str, k: int) -> dict[str, Callable[[], Any]]:
    """What is timed, by name, bare passes first."""
    import torch

    from logpx import recipes
    from logpx.data import Spec
    from logpx.evaluate import evidence, scores

    options, shape, kind, n = CASES[case]
    torch.manual_seed(0)
    model = recipes.vae(Spec(shape, kind), **options).model.eval()
    x = (torch.rand(n, *shape) < 0.2).float() if kind == "binary" else torch.randn(n, *shape)
    for size in SIZES:
        bare(model, x[:128], k, size)
    fastest = min(SIZES, key=lambda size: min(seconds(lambda: bare(model, x[:128], k, size)) for _ in range(3)))
    return {
        "bare passes": lambda: bare(model, x, k, fastest),
        "scores": lambda: scores(model, x, samples=k),
        "evidence": lambda: evidence(model, x, samples=k),
    }


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    for name, value in {"samples": 100, "rounds": 5, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    from logpx.cli import calm_threads

    calm_threads()
    import torch

    torch.set_num_threads(given.threads)
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    print("| case | side | rows per second | time, bare passes = 1 |\n|---|---|---|---|")
    for case in given.case:
        works, n = sides(case, given.samples), CASES[case][3]
        taken: dict[str, list[float]] = {name: [] for name in works}
        for name in works:
            works[name]()
        for i in range(given.rounds):
            for name in list(works)[:: 1 if i % 2 == 0 else -1]:
                taken[name].append(seconds(works[name]))
        for name, spent in taken.items():
            ratios = [a / b for a, b in zip(spent, taken["bare passes"], strict=True)]
            told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"| {case} | {name} | {n / statistics.median(spent):,.0f} | {told} |", flush=True)
    print(f"load average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
