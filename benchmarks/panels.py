"""The picture of benchmarks/growth.py: small panels of costs against work, drawn as the reports are.

Both axes are logarithmic and a decade is as long on one as on the other, so that the dashed diagonal through the last point is
linear growth in every panel, and a curve that stays above it grows more slowly.
"""

import math
from typing import NamedTuple

from logpx.report.charts import Axis, line, svg, text
from logpx.report.page import Picture

SIDE, COLUMN, ROW, HEAD = 158, 218, 222, 40  # of a panel; from one to the next; the titles above


class Panel(NamedTuple):
    """A cost against work: (work, cost) of each point, and how the points are named."""

    title: str
    unit: str
    names: list[str]
    at: list[tuple[int, float]]
    verdict: str


def picture(panels: list[Panel]) -> bytes:
    """One column for each title, one row for each unit, as SVG that follows light and dark."""
    titles, units = (list(dict.fromkeys(values)) for values in zip(*((p.title, p.unit) for p in panels), strict=True))
    body = "".join(text(46 + COLUMN * i, 13, title, "name") for i, title in enumerate(titles))
    for panel in panels:
        body += drawn(panel, 46 + COLUMN * titles.index(panel.title), HEAD + ROW * units.index(panel.unit))
    alt = f"{' and '.join(units)} against {', '.join(titles)}: " + "; ".join(panel.verdict for panel in panels)
    return Picture("growth.svg", svg(COLUMN * len(titles), HEAD + ROW * len(units) - 34, body, alt), alt).as_bytes()


def drawn(panel: Panel, left: float, top: float) -> str:
    """The panel with its upper left corner there."""
    logs = [(math.log10(work), math.log10(cost)) for work, cost in panel.at]
    x, y = axes(logs, left, top)
    body = text(left, top - 8, panel.unit) + line(x.start, y.start, x.end, y.start, "axis")
    for value, name in ticks(y):
        body += line(x.start, y(value), x.end, y(value), "grid") + text(left - 6, y(value) + 4, name, "end")
    every = math.ceil(len(logs) / 4)
    for (work, _), name in list(zip(logs, panel.names, strict=True))[::-every]:
        body += text(x(work), y.start + 16, name, "middle")
    words = ["what grows has", panel.verdict] if panel.verdict.startswith("slope") else [panel.verdict]
    said = "".join(text(x.end - 4, y.start - 8 - 14 * i, row, "value end") for i, row in enumerate(reversed(words)))
    halo = "paint-order: stroke; stroke: var(--paper); stroke-width: 5px; stroke-linejoin: round"
    return f'{body}<g style="{halo}">{said}</g>{curve(logs, x, y)}'


def axes(logs: list[tuple[float, float]], left: float, top: float) -> tuple[Axis, Axis]:
    """As many decades on both: those of the work, or of the cost where it spans more; the highest cost stands near the top."""
    works, costs = zip(*logs, strict=True)
    span = 1.16 * max(works[-1] - works[0], max(costs) - min(costs), 0.1)
    middle, high = (works[0] + works[-1]) / 2, max(costs) + 0.07 * span
    x = Axis(middle - span / 2, middle + span / 2, left, left + SIDE)
    return x, Axis(high - span, high, top + SIDE, top)


def curve(logs: list[tuple[float, float]], x: Axis, y: Axis) -> str:
    """The points, joined, over the diagonal, which ends at the frame."""
    work, cost = logs[-1]
    back = min(work - x.lo, cost - y.lo)
    body = line(x(work - back), y(cost - back), x(work), y(cost), "guide")
    body += f'<polyline points="{" ".join(f"{x(u):.1f},{y(v):.1f}" for u, v in logs)}" class="held"/>'
    return body + "".join(f'<circle cx="{x(u):.1f}" cy="{y(v):.1f}" r="3.4" class="spot h"/>' for u, v in logs)


def ticks(axis: Axis) -> list[tuple[float, str]]:
    """At most five round values of a logarithmic axis."""
    for leading in ((1, 2, 5), (1, 3), (1,)):
        values = [d * 10.0**k for k in range(math.floor(axis.lo), math.ceil(axis.hi)) for d in leading]
        inside = [v for v in values if axis.lo <= math.log10(v) <= axis.hi]
        if len(inside) <= 5:
            break
    return [(math.log10(v), f"{v:,.0f}" if v >= 1 else f"{v:g}") for v in inside]
