"""The rate-distortion picture of a sweep (floor 8): KL against reconstruction, with error bars and lines of equal ELBO.

Every model is a point (R, D) with ELBO -(R + D), so models of one ELBO lie on one falling diagonal (Alemi et al. 2018,
arXiv:1711.00464, figure 1): down the diagonal z carries more, and further to the lower left the bound is better.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from logpx.report import charts
from logpx.report.charts import Axis, Range, line, svg, text
from logpx.report.page import Picture, Section, figure, lede, number
from logpx.theme import PALETTE
from logpx.train.standings import written

Row = dict[str, Any]
LABELS = 24  # more names than these would lie on each other


class Curve(NamedTuple):
    """Models that differ in one option (and in their seeds): its name, and per value the mean (R, D) over seeds."""

    name: str
    rows: list[Row]
    means: list[tuple[str, float, float]]


def rates(rows: Sequence[Row], curves: "list[Curve] | None" = None, of: str = "held-out rows") -> Section | None:
    """The picture below its sentence, with the names of the curves; None where there is none."""
    drawn = picture(rows, curves)
    if drawn is None:
        return None
    words = (
        "Each point is a model: what its code costs, KL(<i>q</i>(<i>z</i>|<i>x</i>) ‖ <i>p</i>(<i>z</i>)), against what is "
        f"lost by it, on {of} with one standard error. Along a dashed line their sum, minus the ELBO, is the same; "
        "to the lower left it is better."
    )
    return Section("Rate and distortion", lede(words) + legend(rows, curves) + figure(drawn), (drawn,))


def picture(rows: Sequence[Row], curves: "list[Curve] | None" = None) -> Picture | None:
    """The picture of rows as `standings` makes them; None where fewer than two have a rate and a distortion.

    curves  which rows belong together, if not by their options.
    """
    placed = [row for row in rows if is_placed(row)]
    if len(placed) < 2:
        return None
    curves = curves or curves_of(placed)
    x = Axis(*_range(placed, "kl"), 56, 620)
    y = Axis(*_range(placed, "reconstruction"), 380, 30)
    word = "score" if placed[0].get("kind") == "score" else "ELBO"
    body = charts.left_axis(y, x) + charts.bottom_axis(x, y) + _equal_bounds(x, y, word)
    body += text(0, 13, "reconstruction −E log p(x|z), nats", "name") + text(620, 412, "KL (rate), nats", "name end")
    body += "".join(_curve(curve, k, x, y) for k, curve in enumerate(curves))
    body += _names(curves, x, y)
    ends = f"KL {_ends(placed, 'kl')}, reconstruction {_ends(placed, 'reconstruction')} nats"
    alt = f"Rate against distortion of {len(placed)} models: {ends}"
    return Picture("rate-distortion.svg", svg(632, 420, body, alt), alt)


def is_placed(row: Row) -> bool:
    """Whether it has a rate and a distortion."""
    return row.get("kl") is not None and row.get("reconstruction") is not None


def _ends(rows: Sequence[Row], name: str) -> str:
    values = [row[name] for row in rows]
    return f"{number(min(values))} to {number(max(values))}"


def _range(rows: Sequence[Row], name: str) -> Range:
    """All values with their error bars, and a little room."""
    ends = [row[name] + sign * (row.get(f"{name}_error") or 0.0) for row in rows for sign in (-1, 1)]
    room = 0.06 * max(max(ends) - min(ends), 0.02 * abs(max(ends)), 1e-6)
    return min(ends) - room, max(ends) + room


# --- which points belong together -------------------------------------------------------------------------------------


def along(rows: Sequence[Row]) -> str | None:
    """The option that curves run along: beta, or else the first that is a number and no seed."""
    first = rows[0]["options"]
    numbers = [n for n, v in first.items() if n != "seed" and isinstance(v, int | float) and not isinstance(v, bool)]
    return "beta" if "beta" in numbers else next(iter(numbers), None)


def curves_of(rows: Sequence[Row]) -> list[Curve]:
    """One curve for each setting of the options that curves do not run along; one without a line where few settings recur."""
    by = along(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        others = {n: v for n, v in row["options"].items() if n not in (by, "seed")}
        groups.setdefault(", ".join(f"{n} {written(v)}" for n, v in others.items()), []).append(row)
    curves = [Curve(name, its, _means(its, by)) for name, its in sorted(groups.items())]
    joined = sum(len(curve.rows) for curve in curves if len(curve.means) > 1)
    return curves if 2 * joined >= len(rows) else [Curve("", list(rows), [])]


def _means(rows: list[Row], by: str | None) -> list[tuple[str, float, float]]:
    if by is None:
        return []
    values = sorted({row["options"][by] for row in rows})
    same = [(value, [row for row in rows if row["options"][by] == value]) for value in values]
    return [(f"{by} {value:g}", _mean(its, "kl"), _mean(its, "reconstruction")) for value, its in same]


def _mean(rows: list[Row], name: str) -> float:
    return math.fsum(row[name] for row in rows) / len(rows)


# --- drawing ----------------------------------------------------------------------------------------------------------


def _curve(curve: Curve, k: int, x: Axis, y: Axis) -> str:
    """The points with their error bars, over a thin line through the means."""
    path = " ".join(f"{x(r):.1f},{y(d):.1f}" for _, r, d in curve.means)
    body = f'<polyline points="{path}" style="stroke: var(--k)" stroke-opacity=".6"/>' if len(curve.means) > 1 else ""
    return f'<g class="k{k % len(PALETTE)}">{body}{"".join(_point(row, x, y) for row in curve.rows)}</g>'


def _point(row: Row, x: Axis, y: Axis) -> str:
    u, v, r, d = x(row["kl"]), y(row["reconstruction"]), row["kl"], row["reconstruction"]
    across, up = row.get("kl_error") or 0.0, row.get("reconstruction_error") or 0.0
    bars = line(x(r - across), v, x(r + across), v, "") + line(u, y(d - up), u, y(d + up), "")
    options = ", ".join(f"{n} {written(value)}" for n, value in row["options"].items())
    words = f"{options}\nKL {number(r, 3)} ± {number(across, 3)}\nreconstruction {number(d, 3)} ± {number(up, 3)}"
    spot = f'<circle cx="{u:.1f}" cy="{v:.1f}" r="3.6" class="spot" style="fill: var(--k)">'
    return f'<g style="stroke: var(--k)">{bars}</g>{spot}<title>{escape(words)}</title></circle>'


def _names(curves: list[Curve], x: Axis, y: Axis) -> str:
    """The value of the option beside each mean, where that leaves them readable."""
    means = [mean for curve in curves for mean in curve.means]
    if len(means) > LABELS:
        return ""
    return "".join(text(x(r) + 7, y(d) - 6, name, "value") for name, r, d in means)


def _equal_bounds(x: Axis, y: Axis, word: str) -> str:
    """Diagonals R + D = s, each named by its bound -s where it leaves the picture."""
    bounds, decimals = Axis(-(x.hi + y.hi), -(x.lo + y.lo), 0, 1).ticks(6)
    body = ""
    for bound in bounds:
        s = -bound
        left, right = max(x.lo, s - y.hi), min(x.hi, s - y.lo)
        body += line(x(left), y(s - left), x(right), y(s - right), "guide")
        if x(right) - x(left) > 90:
            name = text(x(left) + 6, max(y(s - left), y.end) + 12, f"{word} {number(bound, decimals)}")
            body += f'<g style="paint-order: stroke; stroke: var(--paper); stroke-width: 4px">{name}</g>'
    return body


def legend(rows: Sequence[Row], curves: list[Curve] | None = None) -> str:
    """Which colour is which setting; nothing where there is one."""
    curves = curves or curves_of([row for row in rows if row.get("kl") is not None])
    return charts.colours({k: curve.name for k, curve in enumerate(curves)}) if len(curves) > 1 else ""
