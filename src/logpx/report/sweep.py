"""The page of a sweep (floor 8): the best run, the rate-distortion picture, and one table of all runs."""

from html import escape
from pathlib import Path
from typing import Any

import logpx
from logpx.recipes import RECIPES
from logpx.report.page import Section, big, lede, page, symbols, table, with_error
from logpx.report.rate_distortion import rates
from logpx.train.standings import written
from logpx.train.state import write_text

Row = dict[str, Any]


def write(found: dict[str, Any], to: Path) -> Path:
    """Writes sweep.html, one self-contained file, into a folder.

    found   what sweep.json holds: recipe, data, held_out (their number), evidence (its name) and rows, the best first.
    """
    row = RECIPES.get(found["recipe"])
    title = f"{row.title if row else found['recipe']} on {found['data']}"
    sections = [section for section in (rates(found["rows"]), _table(found)) if section]
    footer = f"Written by logpx {logpx.__version__}. One file; nothing is fetched."
    place = to / "sweep.html"
    write_text(place, page(title, _header(title, found), sections, footer))
    return place


def _header(title: str, found: dict[str, Any]) -> str:
    rows, best = found["rows"], found["rows"][0]
    swept = ", ".join(f"{name} {', '.join(map(str, values))}" for name, values in found["over"].items())
    top = f'<h1>{escape(title)}</h1>\n<p class="soft">{len(rows)} models over {escape(swept)}</p>\n'
    if best.get("evidence") is None:
        return top
    name = f"{symbols(found['evidence'])} of the best, {escape(best['name'])}"
    unit = f"nats per data point, over {found['held_out']:,} held-out rows, by which it was chosen"
    top += big(name, best["evidence"], best["evidence_error"], unit)
    return top + (
        "<p>Among many runs the best is also a lucky one: the rows that chose it flatter it. <code>logpx evaluate "
        f"{escape(best['name'])}</code> in this folder asks rows that chose nothing, where the data have test rows.</p>\n"
    )


def _table(found: dict[str, Any]) -> Section:
    options = list(found["over"])
    head = [
        *map(escape, options),
        symbols(found["evidence"] or "log p(x)"),
        "KL",
        "reconstruction",
        "bits/dim",
        "active",
        "epoch",
    ]
    words = "Held-out rows, nats per data point, ± one standard error; the best first."
    return Section("All models", lede(words) + table(head, [_cells(row, options) for row in found["rows"]]))


def _cells(row: Row, options: list[str]) -> list[str]:
    first, *others = (escape(written(row["options"].get(name))) for name in options)
    if row.get("best_epoch") is None:
        return [first, *others, escape(str(row.get("status"))), "", "", "", "", ""]
    pairs = [with_error(row.get(name), row.get(f"{name}_error")) for name in ("evidence", "kl", "reconstruction")]
    rest = ["" if row.get(n) is None else f"{row[n]:.4f}" if n == "bits_per_dim" else str(row[n]) for n in REST]
    return [first, *others, *pairs, *rest]


REST = ("bits_per_dim", "active_units", "best_epoch")
