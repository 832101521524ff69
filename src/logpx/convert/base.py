"""What every conversion is made of (floor 7): a table of models, a rule for each setting, a note on each.

A rule says what becomes of one value: `Said`. `applied` walks over the settings of a file and drops none in silence.
"""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from logpx.errors import UserError

Settings = dict[str, Any]
Verdict = Literal["exact", "other meaning", "no counterpart", "unknown"]


class Said(NamedTuple):
    """What a rule says of a value: the verdict, why, and the options of `logpx train` that it gives."""

    verdict: Verdict
    says: str
    options: Settings = {}  # noqa: RUF012 - never changed


class Note(NamedTuple):
    """One setting of the other tool and what became of it; `given` is False for a default that its file leaves out."""

    setting: str
    value: Any
    verdict: Verdict
    says: str
    given: bool = True


Rule = Callable[[Any, Settings], Said]  # the value, and all settings with the tool's defaults


class Model(NamedTuple):
    """A row of a tool's table: its model, our recipe (None without a counterpart), and what differs between them."""

    recipe: str | None
    says: str
    rules: Mapping[str, Rule] = {}
    options: Mapping[str, Any] = {}  # what holds whatever the settings
    defaults: Mapping[str, Any] = {}  # the tool's, where its file says nothing


class Conversion(NamedTuple):
    """The run that means the same: a recipe and its options, and a note on each setting that was read."""

    tool: str
    model: str
    recipe: str | None
    says: str
    options: Settings
    notes: list[Note]

    def command(self, data: str = "DATA") -> str | None:
        """The command line, or None where the model has no counterpart."""
        if self.recipe is None:
            return None
        words = ["logpx", "train", self.recipe, data]
        for name, value in self.options.items():
            words += [f"--{name.replace('_', '-')}", _word(value)]
        return shlex.join(words)

    def summary(self, data: str = "DATA") -> Settings:
        """The same for JSON."""
        return self._asdict() | {"command": self.command(data), "notes": [note._asdict() for note in self.notes]}


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def quoted(value: Any) -> str:
    """A value of a file on one short line, as Python writes it: nothing in it reaches a terminal raw."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # digits by the thousand, lists by the thousand in each other
        text = f"a {type(value).__name__} beyond any setting"
    return text if len(text) <= 40 else f"{text[:37]}..."


def shown(value: Any) -> str:
    """The same, without quotation marks where that leaves no doubt."""
    return quoted(value)[1:-1] if isinstance(value, str) and value.isprintable() and len(value) <= 38 else quoted(value)


def applied(tool: str, name: str, model: Model, settings: Settings, more: Mapping[str, Rule]) -> Conversion:
    """The conversion of one model's settings by its own rules and by those that all models of the tool share (`more`)."""
    if model.recipe is None:
        none = [Note(setting, value, "no counterpart", "the model has none") for setting, value in settings.items()]
        return Conversion(tool, name, None, model.says, {}, none)
    full, rules = {**model.defaults, **settings}, {**more, **model.rules}
    options, notes = dict(model.options), []
    for setting, value in full.items():
        said = rules[setting](value, full) if setting in rules else _unknown(tool)
        options |= said.options
        notes.append(Note(setting, value, said.verdict, said.says, given=setting in settings))
    return Conversion(tool, name, model.recipe, model.says, options, notes)


def _unknown(tool: str) -> Said:
    return Said("unknown", f"not a setting of {tool} that is known here: nothing was done with it")


# --- rules ------------------------------------------------------------------------------------------------------------


def same(option: str, kind: type = float, says: str = "") -> Rule:
    """The value is our option's."""

    def rule(value: Any, _: Settings) -> Said:
        return Said("exact", says or f"--{option.replace('_', '-')}", {option: number(value, option, kind)})

    return rule


def meaning(option: str, says: str, kind: type = float) -> Rule:
    """The value is our option's, and means something else there."""

    def rule(value: Any, _: Settings) -> Said:
        return Said("other meaning", says, {option: number(value, option, kind)})

    return rule


def nothing(says: str) -> Rule:
    """No counterpart, and why."""
    return lambda value, _: Said("no counterpart", says)


def of_data(says: str) -> Rule:
    """What our command line reads off the data, or needs no word of."""
    return lambda value, _: Said("exact", says)


def only(wanted: Any, says: str) -> Rule:
    """A setting that has one value here."""

    def rule(value: Any, _: Settings) -> Said:
        return Said("exact", says) if value == wanted else Said("no counterpart", f"it is {wanted} here: {says}")

    return rule


def rewarded(name: str, weight: float) -> Said:
    """Of a distance between q(z) and p(z) whose weight is negative."""
    says = f"the MMD was rewarded, with the weight {name} = {weight:g}, which is refused here: choose --lam"
    return Said("no counterpart", says)


def seeded() -> Rule:
    """Of a seed."""
    return meaning("seed", "another generator: the same number, other draws", int)


def number(value: Any, name: str, kind: type = float) -> Any:
    """A number of the kind, up to 1e15. UserError for anything else, text that spells one excepted."""
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not abs(found) <= 1e15 or (kind is int and found != int(found)):
        raise UserError(
            f"{name} is {quoted(value)} in the settings: a {'whole ' if kind is int else ''}number belongs there."
        )
    return kind(found)


def positive(value: Any, name: str, kind: type = float) -> Any:
    """A number from 1e-15 on. UserError for one that is not: nothing can be divided by it."""
    if (found := number(value, name, kind)) < 1e-15:
        raise UserError(f"{name} is {quoted(value)} in the settings: it must be positive.")
    return found


def one_of(value: Any, name: str, known: Sequence[str]) -> str:
    """A word among those that the tool knows. UserError for another one."""
    if value not in known:
        raise UserError(f"{name} is {quoted(value)} in the settings: it is one of {', '.join(known)}.")
    return str(value)


def rows_of(settings: Settings) -> int | None:
    """The number of training rows, where it was said."""
    return None if settings.get("rows") is None else positive(settings["rows"], "rows", int)


def steps(epochs: float, rows: int | None, batch: int) -> int | None:
    """Optimiser steps in so many epochs, the short last batch included; None where the number of rows is not known."""
    return None if rows is None else round(epochs * math.ceil(rows / batch))


def warmup(option: str, says: str, batch: Callable[[Settings], int], more: float = 0) -> Rule:
    """A warm-up in epochs becomes steps, which takes the number of training rows (`rows` among the settings)."""

    def rule(value: Any, all_: Settings) -> Said:
        epochs = number(value or 0, option)
        if epochs == 0:
            return Said("exact", "no warm-up")
        found = steps(epochs + more, rows_of(all_), batch(all_))
        if found is None:
            return Said("no counterpart", f"{says}: say how many training rows there are (--rows), for epochs in steps")
        return Said("other meaning", f"{says}: {found} steps", {option: found})

    return rule


ROWS: Rule = of_data("training rows, as said with --rows")
