"""The program (floor 8): runs a verb and turns errors into a sentence and an exit code.

Each verb prints its result on standard output, everything else on standard error; `--json` prints one JSON object
and nothing else. An error that a user can cause is one sentence and exit code 2; Ctrl-C is 130.
"""

import errno
import re
import sys
from typing import Annotated

import typer

import logpx
from logpx.cli import (  # noqa: F401 - each enters its verbs
    compare,
    convert,
    doctor,
    encode,
    explore,
    export,
    made,
    methods,
    runs,
    score,
    sweep,
    train,
)
from logpx.cli.app import StoppedError, app
from logpx.cli.threads import calm_threads
from logpx.errors import UserError

#: the frozen list of verbs; a test compares it with what the program offers
VERBS = (
    "list",
    "show",
    "train",
    "sweep",
    "evaluate",
    "doctor",
    "score",
    "encode",
    "sample",
    "impute",
    "report",
    "explore",
    "compare",
    "export",
    "convert",
    "verify",
)


def main() -> None:
    """The program: runs the verb and turns errors into a sentence and an exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line; returns its exit code (0, 2 for the user's errors, 130 for Ctrl-C)."""
    calm_threads()
    try:
        code = int(app(arguments, prog_name="logpx", standalone_mode=False) or 0)
        return _complain("Stopped.", code) if code == 130 else code
    except UserError as error:
        return _complain(in_flags(str(error)))
    except StoppedError as error:
        return _complain(str(error), 130)
    except KeyboardInterrupt:
        return _complain("Stopped.", 130)
    except OSError as error:
        return _complain(_about_files(error))
    except Exception as error:
        if type(error).__name__ == "Abort":
            return _complain("Stopped.", 130)
        if (message := getattr(error, "format_message", None)) is None:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message(), file=sys.stderr)
            return 2
        return _complain(_sentence(message()))


#: what sentences call by its Python name and the command line by a flag
OF_DATA = ("columns", "context", "label", "kind", "protocol", "held_out", "test", "drop", "split", "group", "given")
OF_TRAINING = (
    "epochs",
    "batch_size",
    "learning_rate",
    "clip",
    "average",
    "encoder_decay",
    "patience",
    "threads",
    "save_every",
    "samples",
    "warmup",
)


def in_flags(text: str) -> str:
    """A sentence with `held_out=0.5` as `--held-out 0.5`, `kind='real'` as `--kind real`, `epochs is 0` as `--epochs is 0`."""
    names = "|".join(OF_DATA + OF_TRAINING)

    def flag(match: re.Match[str]) -> str:
        value = match[2] or ""
        quoted = re.fullmatch(r"'([\w,=.:-]+)'", value)
        return f"--{match[1].replace('_', '-')}{' ' * bool(value)}{quoted[1] if quoted else value}"

    value = r"'[^']*'|[\w.-]*\w[^\s;,)]*"
    text = re.sub(rf"(?<![\w'\"=,/-])({names})=(?!\.\.\.)({value})?", flag, text)
    return re.sub(rf"^({names}) (?=is )", lambda match: f"--{match[1].replace('_', '-')} ", text)


def _complain(text: str, code: int = 2) -> int:
    print(f"logpx: {text}", file=sys.stderr)
    return code


def _sentence(text: str) -> str:
    """The command-line parser's message as one line with a full stop."""
    text = " ".join(text.replace("Value error, ", "").split())
    return text if text.endswith((".", "'", "?")) else f"{text}."


def _about_files(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{where}: free some room and go on with --resume; what was saved before is whole."
    return f"{error.strerror or error}{where}."


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        print(logpx.__version__)
