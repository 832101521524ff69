"""Training of other models beside a plain loop, and beside Pythae where it has them, in turn in one run: A B C C B A ...

    python benchmarks/models.py --peer .venv-pythae/bin/python --rounds 3

The first rows of MNIST, binarised at a half, batch 128, Adam 1e-3, two threads. Every side has the same rows, networks, law of
the pixels, number of draws and rule for starting weights, and is a process of its own (sides.py).

    conv      VAE, convolutions of stride 2 to 64 channels and back, 400 units, 20 latents    Pythae VAE
    poincare  wrapped normal laws on the ball, 600 units, 10 latents, a linear decoder        Pythae PoincareVAE
    sphere    von Mises-Fisher on S^10, 256 and 128 units                                     Pythae SVAE
    iwae      k = 50, twice 200 units with tanh, 50 latents, the plain gradient               Pythae IWAE
    pixel     PixelVAE, gated masked convolutions of 32 channels behind 20 latents, gradients clipped at 5

The plain loop trains the models of written.py, a DataLoader over a TensorDataset. Precision and compilation are options of our
side; the others are float32 and eager. The first epoch of each process is left out of the median. The losses of the last epoch
are compared over the rounds, each with a seed of its own. Two differ by what they are: on the sphere ours makes the
concentration of the length of a vector, the others softplus + 1; and Pythae's IWAE reports the weighted mean of log w, up to
log 50 nats above the bound that it follows. A run with company is worthless: the load average before and after is printed.
"""

import argparse
import math
import statistics
import sys
import tempfile
from pathlib import Path

from sides import CASES as ALL
from train import compare, ratio

#: those of MNIST that the documentation above lists
CASES = {name: ALL[name] for name in ("conv", "poincare", "sphere", "iwae", "pixel")}


def apart(losses: dict[str, list[float]], name: str) -> str:
    """How far a side's last loss lies from ours, in nats and in standard errors over the rounds."""
    a, b = losses[name], losses["logpx"]
    nats = statistics.mean(a) - statistics.mean(b)
    if len(a) < 2:
        return f"{nats:+.2f}"
    error = math.sqrt((statistics.variance(a) + statistics.variance(b)) / len(a))
    return f"{nats:+.2f} ({abs(nats) / error:.1f} s.e.)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with Pythae 0.1.2")
    parser.add_argument("--precision", default="float32", help="of our side")
    parser.add_argument("--compile", default="auto", help="of our side")
    for name, value in {"rows": 6400, "epochs": 3, "batch": 128, "rounds": 3, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    from logpx.cli import calm_threads

    calm_threads()  # the sides inherit its choice
    import numpy as np

    from logpx.data import load

    with tempfile.TemporaryDirectory() as folder:
        x = load("mnist", protocol="threshold", held_out=0).train.x(slice(0, given.rows))
        np.save(file := f"{folder}/rows.npy", x.numpy().astype(np.uint8))
        lines = [line for case in given.case for line in beside(case, file, given)]
    print("\n| case | beside | our s per epoch | its | ratio | its loss less ours |\n|---|---|---|---|---|---|")
    print("\n".join(lines))


def beside(case: str, file: str, given: argparse.Namespace) -> list[str]:
    """The sides of one case in turn, and a line of the table for each beside ours."""
    print(f"\n{case}, {given.rows:,} rows, ours in {given.precision}, compile {given.compile}")
    passed = ("epochs", "batch", "threads", "precision", "compile")
    options = [case, file, "--seed", "{round}"]
    options += [part for name in passed for part in (f"--{name}", str(getattr(given, name)))]
    script = str(Path(__file__).with_name("sides.py"))
    sides = {"logpx": [sys.executable, script, "logpx", *options]}
    sides["plain loop"] = [sys.executable, script, "plain", *options]
    if given.peer and CASES[case][2]:
        sides["Pythae"] = [given.peer, script, "pythae", *options]
    medians, losses = compare(sides, given.rounds)
    middle = {name: f"{statistics.median(values):.3f}" for name, values in medians.items()}
    return [
        f"| {case} | {name} | {middle['logpx']} | {middle[name]} | {ratio(medians, name)} | {apart(losses, name)} |"
        for name in list(sides)[1:]
    ]


if __name__ == "__main__":
    main()
