"""What an evaluation found and a run folder keeps (floor 6): evaluation.json, valid for the weights it was made with."""

import hashlib
import json
from pathlib import Path
from typing import Any

from logpx.train.state import write_atomically

FILE = "evaluation.json"


def keep_evaluation(folder: Path, found: dict[str, Any]) -> Path:
    """Writes evaluation.json into a run folder, whole or not at all; returns its path."""
    text = json.dumps({"weights": weights_checksum(folder)} | found, indent=2)
    write_atomically(folder / FILE, lambda beside: beside.write_text(text + "\n") and None)
    return folder / FILE


def kept_evaluation(folder: Path | None) -> dict[str, Any] | None:
    """What was kept, None where nothing was, where it cannot be read, and where the weights are others by now."""
    if folder is None:
        return None
    try:
        found = json.loads((folder / FILE).read_text())
        return found if found["weights"] == weights_checksum(folder) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def weights_checksum(folder: Path) -> str:
    """Of a run's weights: what was found with them holds as long as this does."""
    with (folder / "weights.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
