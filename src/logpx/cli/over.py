"""What a sweep goes over (floor 8): --over beta=0.5,1,2 as names and values, and every combination of them."""

import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.recipes import Recipe

#: settings of training that may be swept as a recipe's options may
OF_TRAINING = (
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "optimizer",
    "clip",
    "average",
    "encoder_decay",
    "patience",
)


class Range(NamedTuple):
    """The numbers of a search from `low` to `high`: 2..32 whole ones, 0.1..10 any, 0.1..10:log by their logarithms."""

    low: float
    high: float
    log: bool

    def __str__(self) -> str:
        return f"{self.low}..{self.high}{':log' if self.log else ''}"


Values = dict[str, "list[Any] | Range"]


def parse(row: "Recipe", texts: list[str], *, search: bool = False) -> Values:
    """The options that are swept, in the order given, and the values of each; UserError for what is none.

    A range of numbers, such as 0.1..10:log, is for a `search`.
    """
    found: Values = {}
    if not texts:
        raise UserError("Say what to sweep over, such as --over beta=0.5,1,2,4 or --over seed=0-3.")
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise UserError(f"--over {text!r} is no NAME=VALUE,VALUE,...: write it like --over beta=0.5,1,2,4.")
        _check_name(row, name)
        if name in found:
            raise UserError(f"--over {name} is given twice: put all its values behind one, with commas between.")
        found[name] = _range(name, values, search) if ".." in values else _values(row, name, values)
    return found


def _range(name: str, text: str, search: bool) -> Range:
    match = re.fullmatch(r"([^.]*(?:\.\d+)?)\.\.([^:]+)(:log)?", text.strip())
    try:
        ends = [int(end) if re.fullmatch(r"\d+", end) else float(end) for end in match.groups()[:2]] if match else []
    except ValueError:
        ends = []
    if match is None or len(ends) != 2 or not ends[0] < ends[1] < float("inf") or (match[3] and ends[0] <= 0):
        raise UserError(f"--over {name}={text} is no range: write it like 2..32, or 0.1..10:log for a positive one.")
    if not search:
        raise UserError(f"--over {name}={text} is a range of values: say with --search 40 how many of them to try.")
    return Range(ends[0], ends[1], bool(match[3]))


def _check_name(row: "Recipe", name: str) -> None:
    known = (*row.options, *OF_TRAINING, "seed")
    if name not in known:
        raise UserError(f"There is no option {name!r} to sweep over; {row.name} has: {', '.join(known)}.")


def _values(row: "Recipe", name: str, text: str) -> list[Any]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    ranges = [re.fullmatch(r"(\d+)-(\d+)", word) for word in words]
    spread = [
        [str(i) for i in range(int(r[1]), int(r[2]) + 1)] if r else [word]
        for r, word in zip(ranges, words, strict=True)
    ]
    values = [value_of(row, name, word) for word in itertools.chain(*spread)]
    if len(values) < 2:
        flag = f"--{name.replace('_', '-')} {text}"
        raise UserError(f"--over {name}={text} is one value: give several with commas between, or just {flag}.")
    if len({str(value) for value in values}) < len(values):
        raise UserError(f"--over {name}={text} gives a value twice: give each once.")
    if name == "seed" and not all(isinstance(value, int) and 0 <= value < 2**32 for value in values):
        raise UserError(f"--over seed={text} has a seed that is no whole number from 0 on: write it like seed=0-3.")
    return values


def value_of(row: "Recipe", name: str, word: str) -> Any:
    """A word as what it looks like: 4, 0.5, true, 400x200 for an option that is several numbers, or the word itself."""
    if name in row.options and row.options[name].annotation == tuple[int, ...]:
        if not re.fullmatch(r"\d+(x\d+)*", word):
            raise UserError(f"--over {name}={word}: give widths such as 64 or 400x200, with commas between several.")
        return tuple(int(part) for part in word.split("x"))
    if re.fullmatch(r"[+-]?\d+", word):
        return int(word)
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        return float(word)
    except ValueError:
        return word


def combinations(over: Values) -> list[dict[str, Any]]:
    """Every combination of lists of values, the last option moving fastest."""
    lists = [values for values in over.values() if isinstance(values, list)]
    return [dict(zip(over, values, strict=True)) for values in itertools.product(*lists)]


def name_of(options: dict[str, Any]) -> str:
    """beta=0.5,seed=1: the name of a run and of its folder."""
    return ",".join(f"{name}={written(value)}" for name, value in options.items())


def written(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def plain(value: Any) -> Any:
    """A value for a JSON file, that `value_of` reads again."""
    return written(value) if isinstance(value, tuple) else value
