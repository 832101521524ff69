"""The section with all that is needed to repeat a run, and the command line that does (floor 8)."""

import contextlib
import shlex
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from logpx.data import names as data_names
from logpx.errors import UserError
from logpx.recipes import RECIPES, rebuild
from logpx.report.page import Section, lede, pairs, unbroken
from logpx.report.subject import Subject


def settings(s: Subject) -> Section:
    """All that is needed to repeat the run, and the line that does."""
    info = s.run.info
    counts = f"{len(s.data.train):,} train, {len(s.data.held_out):,} held-out, {len(s.data.test):,} test"
    data = [
        ("data", escape(s.data.note or s.data.name)),
        ("rows", counts),
        ("sha256", f'<span class="hash">{escape(s.data.checksum)}</span>'),
    ]
    line = command(info)
    html = lede("Everything that makes the run what it is." + (" The same again:" if line else ""))
    html += f"<pre><code>{_command_html(line)}</code></pre>\n" if line else ""
    html += _block(
        "Recipe",
        [("recipe", escape(str(info.get("recipe") or "hand-made parts"))), *_pairs_of(info.get("options"))],
    )
    html += _block("Training", _pairs_of({**(info.get("training") or {}), **(info.get("settings") or {})}))
    html += _block("Data", data) + _block("Machine", _pairs_of(info.get("machine")))
    return Section("Settings", html)


def _block(name: str, rows: list[tuple[str, str]]) -> str:
    return f"<h3>{name}</h3>\n{pairs(rows, 'list')}" if rows else ""


def _pairs_of(values: dict[str, Any] | None) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), escape(_shown(value))) for name, value in (values or {}).items()]


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return ", ".join(_shown(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _command_html(line: str) -> str:
    """Lines break before an option, not inside."""
    return " ".join(map(unbroken, line.replace(" --", "\0--").split("\0")))


def command(info: dict[str, Any]) -> str | None:
    """The command line that trains the same again; None for parts or data that no command line can name."""
    data = info.get("data") or {}
    source = str(data.get("source", ""))
    if info.get("recipe") not in RECIPES or not (source in data_names() or Path(source).is_absolute()):
        return None
    if data.get("seed"):  # the split's seed: only Python can give it
        return None
    protocol = data.get("protocol", "as-is")
    words = ["logpx", "train", info["recipe"], source if protocol == "as-is" else f"{source}:{protocol}"]
    kept = {name: data.get(name) for name in ("held_out", "test", "label")}
    kept |= _asked(data)
    changed = {name: value for name, value in {**_changed(info), **kept}.items() if value is not None}
    for name, value in changed.items():
        option = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", _word(value)]
    return shlex.join(words)


def _asked(data: dict[str, Any]) -> dict[str, Any]:
    """Kind, columns, context and what was dropped as they were asked for, in the command line's words."""
    asked = data.get("asked") or {}
    pairs = [f"{name}={kind}" for name, kind in (asked.get("columns") or {}).items()]
    return {
        "kind": asked.get("kind"),
        "columns": pairs or None,
        "context": asked.get("context"),
        "drop": asked.get("drop"),
    }


def _changed(info: dict[str, Any]) -> dict[str, Any]:
    """Options, training and settings that are not the recipe's own."""
    options = {n: p.default for n, p in RECIPES[info["recipe"]].options.items()}
    defaults = {"seed": 0, "device": None, "precision": "float32", "compile": "auto", "save_every": 1}
    with contextlib.suppress(UserError):
        defaults |= asdict(rebuild(info).training)
    given = {**info["options"], **info.get("training", {}), **info.get("settings", {}), "device": None}
    defaults |= options
    return {n: v for n, v in given.items() if _word(v) != _word(defaults.get(n))}


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
