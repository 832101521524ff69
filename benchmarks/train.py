"""Training speed beside other software, in turn in one run: A B B A A B ...

    python benchmarks/train.py --data MNIST_FOLDER --peer .venv-pythae/bin/python:bench_pythae.py --rounds 3 --epochs 5

784-400-20 on grey MNIST, batch 128, Adam 1e-3, two threads, 60,000 rows, the short last batch included. Our side trains in each
manner of --ours; beside it stand the matrix products of its steps alone, which no loop can beat. A peer is PYTHON:SCRIPT, a
script that takes --data, --epochs, --batch and --latent and prints one line of JSON, {"peer", "epoch_seconds", "train_loss"};
each lives in an environment of its own. The first epoch of each process is left out of the median (it contains warming up, and
compilation where there is any) but shown. A run with company is worthless: the load average before and after is printed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def ours(how: str, epochs: int, batch: int, latent: int) -> dict[str, Any]:
    """Our side, through the public functions, as the command line runs them; `how` is PRECISION:COMPILE."""
    from logpx.cli import calm_threads

    calm_threads()
    import torch

    from logpx import recipes
    from logpx.data import load
    from logpx.train import fit

    torch.set_num_threads(2)
    data = load("mnist", protocol="grey", held_out=0)
    precision, _, compile = how.partition(":")
    method = recipes.vae(data, latent=latent, likelihood="grey")
    manner: dict[str, Any] = {"precision": precision, "compile": compile}
    run = fit(method, data, epochs=epochs, batch_size=batch, show=False, **manner)
    check_compiled(run, compile)
    return {
        "peer": f"logpx {how}",
        "epoch_seconds": [row["seconds"] for row in run.rows],
        "train_loss": [row["train"]["loss"] for row in run.rows],
    }


def products(dtype: str, epochs: int, batch: int, latent: int) -> dict[str, Any]:
    """The matrix products of an epoch's steps and nothing else: what no loop over them can beat."""
    import torch

    torch.set_num_threads(2)
    sizes = [(784, 400), (400, 2 * latent), (latent, 400), (400, 784)]
    kind = getattr(torch, dtype)
    layers = [
        (torch.rand(batch, i).to(kind), torch.rand(o, i).to(kind), torch.rand(batch, o).to(kind)) for i, o in sizes
    ]
    seconds = []
    for _ in range(epochs):
        start = time.perf_counter()
        for _ in range(-(-60_000 // batch)):
            for x, weight, _ in layers:
                x @ weight.t()
            for i, (x, weight, slope) in reversed(list(enumerate(layers))):
                slope.t() @ x
                if i:  # the gradient by the rows of data is nobody's
                    slope @ weight
        seconds.append(time.perf_counter() - start)
    return {"peer": f"products {dtype}", "epoch_seconds": seconds, "train_loss": [math.nan]}


def measured(command: list[str]) -> dict[str, Any]:
    """One process, alone: its line of JSON."""
    return json.loads(last_line(command))


def last_line(command: list[str], environment: dict[str, str] | None = None) -> str:
    """What a process says last; what it complains of, where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nfailed: {done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def check_compiled(run: Any, choice: str) -> None:
    """No number of a step that was to be one graph and is not."""
    if choice == "yes" and not run.info["compiled"]:
        sys.exit("The step could not be compiled here: not measured.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", metavar="PRECISION:COMPILE", help="our side alone, in this process")
    parser.add_argument("--products", metavar="DTYPE", help="the matrix products alone, in this process")
    parser.add_argument("--ours", nargs="+", default=["bfloat16:yes", "float32:yes", "float32:no"])
    parser.add_argument("--peer", action="append", default=[], metavar="PYTHON:SCRIPT")
    parser.add_argument("--data", default=".", help="folder with the MNIST idx files, for the peers")
    for name, value in {"epochs": 5, "batch": 128, "latent": 20, "rounds": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    sizes = ["--epochs", str(given.epochs), "--batch", str(given.batch), "--latent", str(given.latent)]
    if given.worker:
        print(json.dumps(ours(given.worker, given.epochs, given.batch, given.latent)))
        return
    if given.products:
        print(json.dumps(products(given.products, given.epochs, given.batch, given.latent)))
        return
    from logpx.cli import calm_threads

    calm_threads()  # all sides inherit its choice
    sides = {f"logpx {how}": [sys.executable, __file__, "--worker", how, *sizes] for how in given.ours}
    for dtype in ("bfloat16", "float32"):
        sides[f"products {dtype}"] = [sys.executable, __file__, "--products", dtype, *sizes]
    for peer in given.peer:
        python, _, script = peer.partition(":")
        sides[Path(script).stem] = [python, script, "--data", given.data, *sizes]
    compare(sides, given.rounds)


def compare(sides: dict[str, list[str]], rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Every side once per round, the order turned round each time: the median of its epochs and its last loss, per round.

    "{round}" in a command is the number of the round, to seed by. Ratios are of one round's medians.
    """
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    medians: dict[str, list[float]] = {name: [] for name in sides}
    losses: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds):
        for name in list(sides)[:: 1 if i % 2 == 0 else -1]:
            result = measured([part.replace("{round}", str(i)) for part in sides[name]])
            steady = result["epoch_seconds"][1:] or result["epoch_seconds"]
            medians[name].append(statistics.median(steady))
            losses[name].append(result["train_loss"][-1])
            first, shown = result["epoch_seconds"][0], " ".join(f"{loss:.2f}" for loss in result["train_loss"])
            said = f"{medians[name][-1]:.3f} s per epoch (first {first:.3f}), loss {shown}"
            print(f"round {i + 1}  {name:<24} {said}", flush=True)
    for name in list(sides)[1:]:
        print(f"{name}: {ratio(medians, name)} times the time per epoch of {next(iter(sides))}")
    print(f"load average after: {os.getloadavg()[0]:.2f}")
    return medians, losses


def ratio(medians: dict[str, list[float]], name: str) -> str:
    """A side's time by that of the first, ours: the median of the rounds' ratios and their range."""
    ratios = [b / a for a, b in zip(next(iter(medians.values())), medians[name], strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
