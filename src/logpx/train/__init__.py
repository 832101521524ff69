"""Training (floor 6): one loop for every method, a run folder that is never unpickled, and resuming to the last bit."""

from logpx.train.loop import fit
from logpx.train.method import Method, Second, Training
from logpx.train.run import Run
from logpx.train.sweep import sweep

__all__ = ["Method", "Run", "Second", "Training", "fit", "sweep"]
