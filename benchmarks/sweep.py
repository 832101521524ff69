"""A sweep at once beside the same models one after another, in turn in one run: A B B A A B ...

    python benchmarks/sweep.py --data digits --hidden 32 --latent 8 --models 16 --epochs 50 --rounds 4

beta_vae with four betas and as many seeds as make up the number of models, batch 128, Adam, float32. Both sides build the
models, check them, train them and score held-out rows after every epoch; with --keep both also save every epoch of every run.
At once means `train.sweep`; one after another `train.fit`, model by model. A process of its own for each side of each round;
starting Python and loading the data are left out. The losses of the last epoch are compared: they are the same models.
A run with company is worthless: the load average before and after is printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BETAS = (0.5, 1.0, 2.0, 4.0)


def trained(side: str, given: argparse.Namespace) -> dict[str, Any]:
    """One side: seconds for all models, and the held-out loss of each."""
    from logpx.cli import calm_threads

    calm_threads()
    import torch

    from logpx import recipes
    from logpx.data import load
    from logpx.train import fit, sweep

    torch.set_num_threads(given.threads)
    data = load(given.data, protocol=given.protocol)
    hidden = tuple(int(width) for width in given.hidden.split("x"))
    torch.randn(256, 256) @ torch.randn(256, 256)  # loads the library of matrix products
    start = time.perf_counter()
    methods = [
        recipes.beta_vae(data, beta=BETAS[i % 4], seed=i // 4, latent=given.latent, hidden=hidden, likelihood="grey")
        for i in range(given.models)
    ]
    how: dict[str, Any] = {"epochs": given.epochs, "batch_size": given.batch, "show": False}
    with tempfile.TemporaryDirectory() as folder:
        names = [str(i) for i in range(given.models)]
        if side == "at once":
            runs = sweep(methods, data, names=names, out=Path(folder) / "all" if given.keep else None, **how)
        else:
            out = [Path(folder) / name if given.keep else None for name in names]
            runs = [fit(m, data, seed=i // 4, out=out[i], **how) for i, m in enumerate(methods)]
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "losses": [run.rows[-1]["held_out"]["loss"] for run in runs]}


def measured(side: str, arguments: list[str]) -> dict[str, Any]:
    """One process, alone: its line of JSON."""
    command = [sys.executable, __file__, *arguments, "--worker", side]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", choices=("at once", "one after another"), help="one side alone, in this process")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--protocol", default="grey", help="grey, or dynamic, where each model draws its own pixels")
    parser.add_argument("--hidden", default="32", help="widths, such as 32 or 64x32")
    parser.add_argument("--keep", action="store_true", help="save every epoch of every run")
    for name, value in {"latent": 8, "models": 16, "epochs": 50, "batch": 128, "threads": 1, "rounds": 4}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(trained(given.worker, given)))
        return
    compare(sys.argv[1:], given)


def compare(arguments: list[str], given: argparse.Namespace) -> None:
    """Both sides once per round, the order turned round each time; ratios are of one round."""
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    sides = ("at once", "one after another")
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    losses: dict[str, list[float]] = {}
    for i in range(given.rounds):
        for side in sides[:: 1 if i % 2 == 0 else -1]:
            found = measured(side, arguments)
            seconds[side].append(found["seconds"])
            losses[side] = found["losses"]
            print(f"round {i + 1}  {side:<18} {found['seconds']:.3f} s for {given.models} models", flush=True)
    ratios = [b / a for a, b in zip(*seconds.values(), strict=True)]
    apart = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    print(f"medians: at once {medians['at once']:.3f} s, one after another {medians['one after another']:.3f} s")
    print(
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); losses at most {apart:.1e} nats apart"
    )
    print(f"load average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
