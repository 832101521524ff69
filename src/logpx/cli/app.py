"""The program's frame (floor 8): what its verbs are entered into, and how they print. Nothing here imports torch."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Variational autoencoders, measured: every number in nats per data point, with an error bar.\n\n"
    "Example: logpx train vae mnist --latent 2",
)


class StoppedError(Exception):
    """Ctrl-C in the middle of training, with the command that goes on."""


def print_json(value: dict[str, Any]) -> None:
    """One line; what is not finite is null, for JSON has no other word for it."""
    from logpx.evaluate import plain

    print(json.dumps(plain(value), ensure_ascii=False, default=str, allow_nan=False))


def table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def plus_minus(value: float | None, error: float | None) -> str:
    """A number and its standard error, where there is one; nothing for None."""
    if value is None:
        return ""
    return f"{value:.3f}" + ("" if error is None else f" +- {error:.3f}")


def progress(label: str, unit: str = "points") -> Callable[[int, int], None] | None:
    """A counter on a terminal, rewritten in place; nothing where no one watches."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, total: int) -> None:
        end = "\r" if done < total else "\r\033[K"
        print(f"\r{label}: {done:,} of {total:,} {unit}", end=end, file=sys.stderr, flush=True)

    return tell
