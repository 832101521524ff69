"""Files of a run (floor 6): tensors and JSON only, each written beside its place and moved into it.

`save` writes a nested dictionary of tensors, numbers, strings, lists, tuples and None as one safetensors file, the part that
is not tensors as JSON in its header; `load` gives it back; `to_bytes` and `from_bytes` do the same without a file. Nothing is
pickled, so nothing is ever unpickled.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as from_content
from safetensors.torch import save as as_bytes
from torch import Tensor

from logpx.errors import UserError


def check_free(path: Path, *, force: bool) -> None:
    """Raises UserError for a place without a folder, one that a folder has, and a file that is there, without `force`."""
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} to write {path.name} in.")
    if path.exists() and (not force or path.is_dir()):
        raise UserError(f"{path} exists: replace it with --force or choose another file with --out.")


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Calls `write` on a temporary neighbour, forces it to the disk and renames it: the old file or the new, never half."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    beside = Path(name)
    try:
        write(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def write_text(path: Path, text: str) -> None:
    """In UTF-8. What is no character, of a file's name in other bytes, becomes \\udcff, which JSON reads back as it was."""
    content = text.encode("utf-8", "backslashreplace")
    write_atomically(path, lambda beside: beside.write_bytes(content))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no {path.name} in {path.parent}: this is not a finished run folder.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is not readable JSON ({error}): the file is damaged; train again or restore it."
        ) from None


def save(path: Path, tree: dict[str, Any]) -> None:
    """Writes the tree whole or not at all; OSError where the disk refuses."""
    content = to_bytes(tree)
    write_atomically(path, lambda beside: beside.write_bytes(content))  # save_file hides a full disk: no OSError


def to_bytes(tree: dict[str, Any]) -> bytes:
    """The tree as the content of a safetensors file."""
    tensors: dict[str, Tensor] = {}
    plain = _without_tensors(tree, "", tensors)
    return as_bytes(tensors, metadata={"plain": json.dumps(plain)})


def from_bytes(content: bytes) -> dict[str, Any]:
    """What `to_bytes` made, on the CPU. Raises UserError for bytes that are truncated or none of ours."""
    try:
        size = int.from_bytes(content[:8], "little")  # the format: the header's length, the header in JSON, the numbers
        plain = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["plain"])
        return _with_tensors(plain, from_content(content))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"The saved weights are truncated or damaged ({error}): restore them or train again.") from None


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What `save` wrote. Raises UserError where the file is missing, truncated or not one of ours."""
    if not path.exists():
        raise UserError(f"There is no {path.name} in {path.parent}: the run has not saved anything yet.")
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            plain = json.loads((file.metadata() or {})["plain"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        return _with_tensors(plain, tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{path} is truncated or damaged ({error}): restore it or train again.") from None


_MARK = "\0tensor:"  # no string of ours starts with a zero byte


def _without_tensors(node: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """The tree with each tensor moved into `tensors` and a mark in its place; keys become strings as JSON wants."""
    if isinstance(node, Tensor):
        while key in tensors:  # {"a/b": t, "a": {"b": u}}
            key += "'"
        tensors[key] = node.detach().clone().contiguous()
        return _MARK + key
    if isinstance(node, dict):
        return [[k, _without_tensors(v, f"{key}/{k}", tensors)] for k, v in node.items()]
    if isinstance(node, list | tuple):
        return {type(node).__name__: [_without_tensors(v, f"{key}/{i}", tensors) for i, v in enumerate(node)]}
    return node


def _with_tensors(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, str) and node.startswith(_MARK):
        return tensors[node.removeprefix(_MARK)]
    if isinstance(node, list):
        return {k: _with_tensors(v, tensors) for k, v in node}
    if isinstance(node, dict):
        ((kind, items),) = node.items()
        return {"list": list, "tuple": tuple}[kind](_with_tensors(v, tensors) for v in items)
    return node


def as_json(value: Any) -> Any:
    """The value as it comes back from a JSON file: tuples as lists, keys as strings."""
    return json.loads(json.dumps(value))
