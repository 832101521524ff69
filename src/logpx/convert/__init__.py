"""Settings and numbers of other tools in this one's terms (floor 7): Pythae, PyTorch-VAE, scvi-tools."""

from collections.abc import Callable, Sequence
from pathlib import Path

from logpx.convert import pythae, pytorch_vae, scvi
from logpx.convert.base import Conversion, Model, Note, Settings, quoted, shown
from logpx.convert.files import read
from logpx.convert.numbers import Nats, nats
from logpx.errors import UserError

TOOLS: dict[str, Callable[[Settings], Conversion]] = {
    "pythae": pythae.convert,
    "pytorch-vae": pytorch_vae.convert,
    "scvi": scvi.convert,
}
MODELS: dict[str, dict[str, Model]] = {
    "pythae": pythae.MODELS,
    "pytorch-vae": pytorch_vae.MODELS,
    "scvi": scvi.MODELS,
}


def settings_of(files: Sequence[str | Path]) -> Settings:
    """The settings of several files as one mapping; `name` is the first file's. UserError where two disagree."""
    found: Settings = {}
    for path in files:
        for name, value in read(path).items():
            if name != "name" and name in found and found[name] != value:
                raise UserError(
                    f"{shown(name)} is {quoted(found[name])} in one file and {quoted(value)} in {path}: "
                    "give each setting once."
                )
            found.setdefault(name, value)
    return found


def convert(tool: str, settings: Settings, *, rows: int | None = None) -> Conversion:
    """The run of ours that means the same, and a note on every setting.

    tool      pythae, pytorch-vae or scvi
    settings  as its files hold them (`settings_of`)
    rows      training rows, which turn epochs of a warm-up into steps
    Raises UserError for a tool, a model or a value that is not known.
    """
    if tool not in TOOLS:
        raise UserError(f"There is no converter for {tool!r}: there are {', '.join(TOOLS)}.")
    return TOOLS[tool](settings if rows is None else settings | {"rows": rows})


__all__ = ["MODELS", "TOOLS", "Conversion", "Nats", "Note", "convert", "nats", "read", "settings_of", "shown"]
