"""What the guides' charts are drawn with: the sheet, two axes, curves, dots, and words that stand on them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from logpx.report import charts
from logpx.report.charts import Axis, line, svg, text
from logpx.report.page import Picture

LEFT, RIGHT, TOP, BOTTOM = 56, 560, 34, 250  # the frame of a chart
COLOURS = ("var(--accent)", "#e76300", "#832db6", "var(--second)")


class Curve(NamedTuple):
    """Points joined by a line, and the name that stands at (x, y) of the chart's axes."""

    points: Sequence[tuple[float, float]]
    name: str
    at: tuple[float, float]


def on_paper(name: str, width: float, height: float, body: str, alt: str) -> Picture:
    """An SVG with the paper under it: a page may be light where the reader's system is dark."""
    paper = f'<rect x="-12" y="-8" width="{width + 24:g}" height="{height + 16:g}" fill="var(--paper)"/>'
    made = svg(width, height, paper + body, alt)
    return Picture(f"{name}.svg", made.replace(f'"0 0 {width:g} ', f'"-12 -8 {width + 24:g} ').replace(
        f' {height:g}" role', f' {height + 16:g}" role'), alt)  # fmt: skip


def polyline(points: Sequence[tuple[float, float]], x: Axis, y: Axis, colour: str) -> str:
    joined = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    return f'<polyline points="{joined}" style="stroke: {colour}; stroke-width: 2; stroke-linejoin: round"/>'


def spot(a: float, b: float, x: Axis, y: Axis, colour: str, radius: float = 3.6) -> str:
    return f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="{radius}" class="spot" style="fill: {colour}"/>'


def words(at: tuple[float, float], said: str, x: Axis, y: Axis, colour: str = "var(--ink)", kind: str = "") -> str:
    style = f"fill: {colour}; font-weight: 600; paint-order: stroke; stroke: var(--paper); stroke-width: 4px"
    return f'<g style="{style}">{text(x(at[0]), y(at[1]), said, kind)}</g>'.replace(
        "<text", '<text style="fill: inherit"'
    )


def chart(
    name: str, curves: Sequence[Curve], x: Axis, y: Axis, over: str, under: str, alt: str, body: str = ""
) -> Picture:
    """Curves over two axes: what is drawn upwards stands above them, what runs along them below."""
    body = text(0, 13, over, "name") + charts.left_axis(y, x) + body
    for curve, colour in zip(curves, COLOURS, strict=False):
        body += polyline(curve.points, x, y, colour)
    for curve, colour in zip(curves, COLOURS, strict=False):
        body += words(curve.at, curve.name, x, y, colour)
    return on_paper(name, RIGHT + 6, y.start + 44, body + text(x.end, y.start + 36, under, "name end"), alt)


def decades(x: Axis, y: Axis, marks: Sequence[float]) -> str:
    """The bottom axis of log10 values, with the values themselves."""
    values = "".join(text(x(math.log10(m)), y.start + 16, f"{m:g}", "middle") for m in marks)
    return line(x.start, y.start, x.end, y.start, "axis") + values


def frame(x: tuple[float, float], y: tuple[float, float]) -> tuple[Axis, Axis]:
    return Axis(*x, LEFT, RIGHT), Axis(*y, BOTTOM, TOP)
