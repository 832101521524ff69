"""Start-up: what `import logpx` adds to Python, how long `logpx --help` takes, and five epochs with compile "auto" and "no".

    python benchmarks/startup.py --rounds 20

Processes in turn, A B B A; the first of each, which fills the cache of files, is left out. Five epochs are those of a VAE
784-400-20 on all of MNIST in float32 and in bfloat16, whole processes, training alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

Clock = Callable[[list[str]], float]
TRAIN = """
import json, sys, torch
from logpx import recipes
from logpx.data import load
from logpx.train import fit
precision, choice = sys.argv[1:]
torch.set_num_threads(2)
data = load("mnist")
run = fit(recipes.vae(data), data, epochs=5, precision=precision, compile=choice, show=False)
print(json.dumps(sum(row["seconds"] for row in run.rows)))
"""


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def told(command: list[str]) -> float:
    """The number that a process prints."""
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def in_turn(commands: dict[str, list[str]], rounds: int, clock: Clock = seconds) -> dict[str, list[float]]:
    """Every command once per round, the order turned round each time."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for i in range(rounds):
        for name in list(commands)[:: 1 if i % 2 == 0 else -1]:
            found[name].append(clock(commands[name]))
    return found


def middle(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} s ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--trainings", type=int, default=3, help="rounds of five epochs; 0 for none")
    given = parser.parse_args()
    from logpx.cli import calm_threads

    calm_threads()
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    python = sys.executable
    commands = {"python -c pass": [python, "-c", "pass"], "python -c 'import logpx'": [python, "-c", "import logpx"]}
    commands["logpx --help"] = [python, "-m", "logpx.cli", "--help"]
    found = {name: values[1:] for name, values in in_turn(commands, given.rounds + 1).items()}
    for name, values in found.items():
        print(f"{name}: {middle(values)}")
    bare, imported = found["python -c pass"], found["python -c 'import logpx'"]
    print(f"import logpx adds {middle([b - a for a, b in zip(bare, imported, strict=True)])}")
    for precision in ("float32", "bfloat16") if given.trainings else ():
        trainings = {choice: [python, "-c", TRAIN, precision, choice] for choice in ("no", "auto")}
        spent = in_turn(trainings, given.trainings, told)
        ratios = [a / b for a, b in zip(spent["auto"], spent["no"], strict=True)]
        said = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"five epochs in {precision}: auto {middle(spent['auto'])}, {said} times those without")
    print(f"load average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
