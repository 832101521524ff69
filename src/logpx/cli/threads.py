"""Threads that wait without spinning where other processes are busy (floor 8)."""

import os
import time
from pathlib import Path


def calm_threads() -> None:
    """Lets threads that wait for work sleep soon where other processes are busy; called before torch is loaded.

    Alone on a machine spinning wins a fifth; beside a busy process it loses severalfold (benchmarks/RESULTS.md). Neither
    changes a bit of any result. A setting of the user's wins.
    """
    if "OMP_WAIT_POLICY" not in os.environ and _has_busy_neighbours():
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _has_busy_neighbours() -> bool:
    """Whether more processes than this one ran at each of a few looks, 3 ms apart; True where nobody can tell."""
    try:
        return min(_running(pause) for pause in (0, 0.003, 0.003, 0.003)) > 1
    except (OSError, ValueError, StopIteration):
        return True


def _running(pause: float) -> int:
    """How many processes are running or ready to, this one included, after a pause in seconds (Linux)."""
    time.sleep(pause)
    lines = Path("/proc/stat").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("procs_running")).split()[1])
