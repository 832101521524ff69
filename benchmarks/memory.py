"""Peak memory of `logpx evaluate` on a run, and its time.

python benchmarks/memory.py RUN --samples 5000
"""

import argparse
import json
import resource
import subprocess
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--limit", type=int, help="the first so many rows; all are loaded all the same")
    given = parser.parse_args()
    start = time.perf_counter()
    command = [sys.executable, "-m", "logpx.cli", "evaluate", given.run, "--samples", str(given.samples), "--json"]
    command += ["--limit", str(given.limit)] if given.limit else []
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # kibibytes on Linux
    print(f"{found['name']} of {found['points']:,} points: peak {peak:.2f} GiB, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
