"""Settings as other tools keep them (floor 7): JSON, or YAML read by its safe loader. Nothing is ever unpickled.

What comes out is plain: mappings by text, lists, text, numbers. A file made to harm (endless, nested by the thousand, aliases
of aliases) is refused in a sentence before it costs time or memory.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from logpx.errors import UserError

PICKLES = (".pt", ".pkl", ".pth", ".ckpt", ".bin")
LARGEST = 200_000  # bytes: settings take some thousand, and PyYAML seconds for these
DEEPEST = 32  # mappings and lists in each other
LONGEST = 1024  # bits of a whole number


def read(path: str | Path) -> dict[str, Any]:
    """The mapping in a .json, .yaml or .yml file. UserError for a file that is none, or that would have to be unpickled."""
    path = Path(path)
    if path.suffix in PICKLES:
        raise UserError(f"{path} is a pickle, which may run any code and is never opened: give its settings as JSON.")
    text = _text(path)
    try:
        found = _yaml(path, text) if path.suffix in (".yaml", ".yml") else json.loads(text)
        plain = _plain(found, DEEPEST)
    except UserError:
        raise
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error}): give the settings as the tool wrote them.") from None
    except RecursionError:
        raise UserError(
            f"{path} has more than {DEEPEST} lists in each other: give the settings as the tool wrote them."
        ) from None
    except (ValueError, OverflowError):  # digits by the thousand, a day 99, half a pair of surrogates
        raise UserError(
            f"{path} holds a number, a date or a text that is none: give the settings as the tool wrote them."
        ) from None
    if not isinstance(plain, dict):
        raise UserError(f"{path} holds no settings by name: it must be one mapping, as the tool writes it.")
    return plain


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UserError(f"{path} is larger than {LARGEST:,} bytes: give the settings alone.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text: give the settings as JSON.") from None


def _plain(value: Any, levels: int) -> Any:
    """The value with text for keys, and for dates. ValueError for what no settings hold, RecursionError for lists too deep."""
    if isinstance(value, dict | list) and levels == 0:
        raise RecursionError
    if isinstance(value, dict):
        return {str(_plain(name, 0)): _plain(inner, levels - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, levels - 1) for inner in value]
    if isinstance(value, int) and value.bit_length() > LONGEST:
        raise ValueError
    if value is None or isinstance(value, bool | int | float):
        return value
    str(value).encode()  # UnicodeEncodeError, a ValueError: half a pair of surrogates is no text
    return str(value)


def _yaml(path: Path, text: str) -> Any:
    try:
        yaml = import_module("yaml")
    except ImportError:
        raise UserError(
            f"{path} is YAML, which needs PyYAML: pip install pyyaml, or give the same settings as JSON."
        ) from None

    safe: Any = yaml.SafeLoader

    class Loader(safe):
        """Refuses what makes a small file large, or anything but plain values."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
                raise yaml.YAMLError("anchors and aliases are not read: write each value out")
            if event.tag is not None:
                raise yaml.YAMLError("tags are not read: write plain values")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader=Loader)  # a safe loader
    except yaml.YAMLError as error:
        said = "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split()))
        raise UserError(f"{path} is not YAML ({said}): give the settings as the tool reads them.") from None
