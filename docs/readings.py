"""What a headline's paths lead to: our number with its error, how long it was trained, and what it is compared with."""

import json
import re
from pathlib import Path
from typing import Any

from headlines import Headline, Keys

EVIDENCE = Path(__file__).parents[1] / "evidence"


def evidence(name: str) -> dict[str, Any]:
    return json.loads((EVIDENCE / f"{name}.json").read_text())


def at(found: Any, keys: Keys) -> Any:
    """What a path leads to; KeyError where it leads nowhere."""
    for key in keys:
        found = found[key]
    return found


def plus_minus(found: Any, sign: int = 1, digits: int = 2) -> str:
    """Mean over seeds, or over blocks of rows, and its standard error where there are several; a bare number as it is."""
    if not isinstance(found, dict):
        return f"{sign * found:.{digits}f}"
    error, mean = found["standard_error"], f"{sign * found['mean']:.{digits}f}"
    several = f"{found['n']} seeds" if "n" in found else f"{found['blocks']} blocks of rows"
    return f"{mean} +- {error:.{digits}f} ({several})" if error is not None else f"{mean} (1 seed)"


def ours(row: Headline) -> str:
    """Our number with its error over seeds."""
    return plus_minus(at(evidence(row.file), row.ours), row.sign, row.digits)


def trained(row: Headline) -> str:
    """How ours was trained: the phrase of the file, and the epochs where they stand beside the number."""
    found = at(evidence(row.file), row.ours)
    return f"{found['epochs']} epochs, {row.trained}" if isinstance(found, dict) and "epochs" in found else row.trained


def epochs(row: Headline) -> str:
    """The length of the training in a word, such as 40 epochs; empty where there is none to tell."""
    found = re.findall(r"[\d,]+ (?:epochs?|steps)", trained(row))
    return found[0] if trained(row) != row.trained else found[-1] if found else ""


def compared(row: Headline) -> str:
    """The number that ours is compared with, without its name; "-" where there is none."""
    if row.other is None:
        return "-"
    found = at(evidence(row.file), row.other)
    return f"{row.sign * (found['mean'] if isinstance(found, dict) else found):.{row.digits}f}"


def named(row: Headline) -> str:
    """That number and whose it is; "-" where there is none."""
    return compared(row) + (f" ({row.by})" if row.other else "")
