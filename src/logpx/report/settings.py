"""The section with all that is needed to repeat a run, and the command line that does (floor 8)."""

from html import escape
from typing import Any

from logpx.recipes import command
from logpx.report.page import Section, lede, pairs, unbroken
from logpx.subject import Subject


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
