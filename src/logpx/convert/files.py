"""Settings as other tools keep them (floor 7): JSON, or YAML read by its safe loader. Nothing is ever unpickled."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from logpx.errors import UserError

PICKLES = (".pt", ".pkl", ".pth", ".ckpt", ".bin")


def read(path: str | Path) -> dict[str, Any]:
    """The mapping in a .json, .yaml or .yml file. UserError for a file that is none, or that would have to be unpickled."""
    path = Path(path)
    if path.suffix in PICKLES:
        raise UserError(f"{path} is a pickle, which may run any code and is never opened: give its settings as JSON.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text: give the settings as JSON.") from None
    found = _yaml(path, text) if path.suffix in (".yaml", ".yml") else _json(path, text)
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no settings by name: it must be one mapping, as the tool writes it.")
    return {str(name): value for name, value in found.items()}


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}): give the settings as the tool wrote them.") from None


def _yaml(path: Path, text: str) -> Any:
    try:
        yaml = import_module("yaml")
    except ImportError:
        raise UserError(
            f"{path} is YAML, which needs PyYAML: pip install pyyaml, or give the same settings as JSON."
        ) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise UserError(f"{path} is not YAML ({said}): give the settings as the tool reads them.") from None
