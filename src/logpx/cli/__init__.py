"""The command line (floor 8). Importing it loads no torch: `logpx --help` answers at once."""

from logpx.cli.app import app
from logpx.cli.main import VERBS, main, run
from logpx.cli.threads import calm_threads

__all__ = ["VERBS", "app", "calm_threads", "main", "run"]
