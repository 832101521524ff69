"""Charts of models beside each other (floor 8): evidence with the differences to the best, one term over the epochs."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from logpx.report import charts, epochs
from logpx.report.charts import Axis, Range, bottom_axis, line, svg, text
from logpx.report.page import Picture, with_error
from logpx.theme import PALETTE

ROW, TOP = 30, 34  # pixels of a line, and above the first


class Spot(NamedTuple):
    """A number with its standard error; the numbers that it is the mean of, where there are several."""

    value: float
    error: float | None
    parts: tuple[float, ...] = ()


class Curve(NamedTuple):
    """A term over the epochs: the colour and the name of what it belongs to."""

    k: int
    name: str
    epochs: list[int]
    values: list[float]


def evidence(names: Sequence[str], values: Sequence[Spot], differences: Sequence[Spot | None], title: str) -> Picture:
    """A line for each model: its evidence with one standard error, and its difference to the first with two."""
    bottom = TOP + ROW * len(names)
    left, right = (
        Axis(*_range(values, 1), 190, 440),
        Axis(*_range([*filter(None, differences), Spot(0, 0)], 2), 480, 720),
    )
    body = text(190, 13, title, "name") + text(480, 13, "difference to the best", "name")
    body += line(right(0), TOP - 8, right(0), bottom, "guide")
    for axis in (left, right):
        body += bottom_axis(axis, Axis(0, 1, bottom, TOP), 4)
    for k, (name, value, difference) in enumerate(zip(names, values, differences, strict=True)):
        y = TOP + ROW * (k + 0.5) - 6
        body += f'<g class="k{k % len(PALETTE)}">{text(0, y + 4, _fitted(name), "value")}{_spot(value, left, y, 1)}'
        body += (
            _spot(difference, right, y, 2) if difference else text(right(0) - 8, y + 4, "the best", "end")
        ) + "</g>"
    words = ", ".join(f"{name} {with_error(its.value, its.error)}" for name, its in zip(names, values, strict=True))
    return Picture("evidence.svg", svg(732, bottom + 22, body, f"{title}: {words}"), title)


def _range(spots: Sequence[Spot], errors: int) -> Range:
    ends = [
        v + sign * errors * (its.error or 0.0) for its in spots for v in (its.value, *its.parts) for sign in (-1, 1)
    ]
    room = 0.06 * max(max(ends) - min(ends), 1e-3 * abs(max(ends)), 1e-6)
    return min(ends) - room, max(ends) + room


def _spot(its: Spot, x: Axis, y: float, errors: int) -> str:
    """A point with a bar of so many standard errors to either side, and small ones for its parts."""
    reach = errors * (its.error or 0.0)
    bar = f'<g style="stroke: var(--k)" stroke-width="1.5">{line(x(its.value - reach), y, x(its.value + reach), y, "")}</g>'
    small = "".join(
        f'<circle cx="{x(v):.1f}" cy="{y:.1f}" r="2" style="fill: var(--k)" opacity=".5"/>' for v in its.parts
    )
    spot = f'<circle cx="{x(its.value):.1f}" cy="{y:.1f}" r="4" class="spot" style="fill: var(--k)">'
    return f"{bar}{small}{spot}<title>{escape(with_error(its.value, its.error))}</title></circle>"


def _fitted(name: str, most: int = 30) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def over_epochs(term: str, curves: Sequence[Curve]) -> Picture:
    """One term of several runs over the epochs, on an axis that leaves out how they began."""
    ranges = [epochs.robust_range(its.epochs, {"": its.values}, None) for its in curves]
    every = [e for its in curves for e in its.epochs]
    x = Axis(min(every), max(max(every), min(every) + 1), 56, 700)
    y = Axis(min(low for low, _ in ranges), max(high for _, high in ranges), 260, 30)
    body = text(0, 13, term, "name") + charts.left_axis(y, x) + bottom_axis(x, y, 8, whole=True)
    drawn = "".join(_curve(its, x, y) for its in curves)
    body += f'<svg x="56" y="26" width="650" height="238" viewBox="56 26 650 238">{drawn}</svg>'
    ends = ", ".join(f"{its.name} ends at {its.values[-1]:.2f}" for its in curves)
    return Picture("epochs.svg", svg(712, 284, body, f"{term} over the epochs: {ends}"), term)


def _curve(its: Curve, x: Axis, y: Axis) -> str:
    shown = epochs.thinned(len(its.epochs), epochs.LINE_POINTS)
    places = [
        (x(its.epochs[i]), max(min(y(its.values[i]), 2000), -2000)) for i in shown if math.isfinite(its.values[i])
    ]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    kind = f'class="k{its.k % len(PALETTE)}" style="stroke: var(--k)" stroke-width="1.5"'
    return f'<polyline points="{points}" {kind}><title>{escape(its.name)}</title></polyline>'
