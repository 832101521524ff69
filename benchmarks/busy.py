"""How a run slows when the machine is shared: with 0, 1 and 2 other busy processes, threads spinning or sleeping.

    python benchmarks/busy.py [--epochs 2]

In proportion: on two cores, one busy neighbour leaves at least 1.5 of them to two threads, so 1.3 to 2 times is fair;
threads that spin while they wait for a descheduled one can make it ten times or more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HOG = "while True: pass"
WORKER = Path(__file__).with_name("train.py")
POLICIES = {"threads spin, as by default": {"GOMP_SPINCOUNT": "300000"}, "as the command line chooses": {}}


@contextmanager
def neighbours(count: int):
    """So many processes that never rest."""
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()


def seconds(epochs: int, setting: dict[str, str]) -> float:
    command = [sys.executable, str(WORKER), "--worker", "float32:no", "--epochs", str(epochs)]
    done = subprocess.run(command, env=os.environ | setting, stdout=subprocess.PIPE, text=True, check=True)
    return statistics.median(json.loads(done.stdout)["epoch_seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    alone: dict[str, float] = {}
    for busy in (0, 1, 2):
        for name, setting in POLICIES.items():
            with neighbours(busy):
                taken = seconds(given.epochs, setting)
            alone.setdefault(name, taken)
            print(
                f"{busy} busy neighbours, {name}: {taken:.2f} s per epoch, {taken / alone[name]:.1f} times alone",
                flush=True,
            )


if __name__ == "__main__":
    main()
