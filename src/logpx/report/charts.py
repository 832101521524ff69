"""Charts as inline SVG (floor 8): small, crisp, coloured by CSS classes so that they follow light and dark.

A cloud of points is one path of zero-length strokes with round ends, nine bytes a point.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from logpx.report.page import number
from logpx.report.style import CLASSES
from logpx.theme import PALETTE

Range = tuple[float, float]
HUGE = 1e6  # from here on numbers at an axis are written by powers of ten


class Axis(NamedTuple):
    """A linear map from values lo..hi to pixels start..end."""

    lo: float
    hi: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.lo) / (self.hi - self.lo) * (self.end - self.start)

    def step(self, n: int) -> float:
        """1, 2 or 5 times a power of ten, about n of them inside."""
        raw = (self.hi - self.lo) / n
        power = 10.0 ** math.floor(math.log10(raw))
        return next((m * power for m in (1, 2, 5) if m * power >= raw * 0.999), 10 * power)

    def ticks(self, n: int = 4) -> tuple[list[float], int]:
        """About n round values inside, and the decimals they need."""
        step = self.step(n)
        first, last = math.ceil(self.lo / step - 1e-9), math.floor(self.hi / step + 1e-9)
        return [i * step for i in range(first, last + 1)], max(0, -math.floor(math.log10(step) + 1e-9))


def svg(width: float, height: float, body: str, alt: str) -> str:
    name = escape(alt)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}">'
        f"{body}</svg>"
    )


def text(x: float, y: float, words: str, kind: str = "", width: float = 0) -> str:
    fitted = f' textLength="{width:g}" lengthAdjust="spacingAndGlyphs"' if width else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{fitted}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def marks(axis: Axis, n: int, names: Sequence[str] = ()) -> list[tuple[float, str]]:
    """About n values of an axis and what is written at each: numbers, or the names of the codes 0, 1, 2, ..."""
    if names:
        every = math.ceil(len(names) / 6)
        return [(k, f"{name[:7]}…" if len(name) > 8 else name) for k, name in enumerate(names) if k % every == 0]
    ticks, decimals = axis.ticks(n)
    if max(map(abs, ticks), default=0.0) < HUGE:
        return [(v, number(v, decimals)) for v in ticks]
    power = math.floor(math.log10(max(map(abs, ticks))) + 1e-9)
    finest = power - math.floor(math.log10(axis.step(n)) + 1e-9)
    return [(v, f"{number(v / 10**power, finest)}e{power}" if v else "0") for v in ticks]


def wide(words: str) -> float:
    """About how many pixels a text of 11 is wide."""
    return sum(3.2 if c in ",." else 6.4 for c in words)


def left_axis(y: Axis, x: Axis, n: int = 4, names: Sequence[str] = ()) -> str:
    """Horizontal rules with their values on the left; a value too wide for its place is drawn narrower."""
    shown, room = marks(y, n, names), x.start - 9
    rules = (line(x.start, y(v), x.end, y(v), "grid") for v, _ in shown)
    values = (text(x.start - 7, y(v) + 4, words, "end", room * (wide(words) > room)) for v, words in shown)
    return "".join(rules) + "".join(values)


def bottom_axis(x: Axis, y: Axis, n: int = 5, whole: bool = False, names: Sequence[str] = ()) -> str:
    """A line with about n values below it, fewer where they would touch; `whole` keeps only whole numbers."""
    shown = [(v, number(v, 0) if whole else words) for v, words in marks(x, n, names) if not whole or v == round(v)]
    widest = max((wide(words) for _, words in shown), default=0.0) + 8
    apart = min((abs(x(b) - x(a)) for (a, _), (b, _) in pairwise(shown)), default=widest)
    kept = shown[:: max(1, math.ceil(widest / apart))]
    values = "".join(text(x(v), y.start + 16, words, "middle") for v, words in kept)
    return line(x.start, y.start, x.end, y.start, "axis") + values


# --- clouds of points ------------------------------------------------------------------------------------------------


def square_range(points: Tensor, room: float = 0.06) -> tuple[Range, Range]:
    """Equal scales on both axes, holding all but the outermost thousandth of the points (N, 2)."""
    points = points.double()
    low, high = points.quantile(0.001, 0), points.quantile(0.999, 0)
    middle, half = (low + high) / 2, (0.5 + room) * float((high - low).max().clamp_min(1e-6))
    (a, b) = middle.tolist()
    return (a - half, a + half), (b - half, b + half)


def cloud(
    points: Tensor,
    ranges: tuple[Range, Range],
    alt: str,
    *,
    labels: Tensor | None = None,
    names: Sequence[str] = (),
    under: str = "",
    over: str = "",
    quiet: bool = False,
    axes: tuple[str, str] = ("", ""),
) -> str:
    """Points (N, 2) in a square; with labels one colour for each and its name at the median of its points."""
    x, y = square_axes(ranges)
    inner = under + colour_dots(points, x, y, labels, names, dot_size(len(points)), quiet) + over
    body = (
        left_axis(y, x)
        + bottom_axis(x, y)
        + f'<svg x="40" y="6" width="400" height="400" viewBox="40 6 400 400">{inner}</svg>'
    )
    body += text(440, 438, axes[0], "end") + text(0, 14, axes[1])
    return svg(446, 442 if axes[0] else 428, body + class_names(points, x, y, labels, names), alt)


def dot_size(n: int) -> float:
    """Smaller where there are many."""
    return 2.2 if n > 3000 else 3.0 if n > 600 else 4.0


def square_axes(ranges: tuple[Range, Range]) -> tuple[Axis, Axis]:
    """The axes of `cloud`, for whatever is drawn under or over the points."""
    return Axis(*ranges[0], 40, 440), Axis(*ranges[1], 406, 6)


def dots(points: Tensor, x: Axis, y: Axis) -> str:
    """Points (N, 2) that stay in the background."""
    return colour_dots(points, x, y, None, (), 3.0, True)


def colour_dots(
    points: Tensor, x: Axis, y: Axis, labels: Tensor | None, names: Sequence[str], size: float, quiet: bool
) -> str:
    """Coloured points are drawn in five layers of all classes, so that no class lies on top of the others."""
    if labels is None:
        return f'<path class="dots{" quiet" if quiet else ""}" stroke-width="{size}" d="{_path(points, x, y)}"/>'
    layers = []
    for rows in torch.arange(len(points)).chunk(5):
        for k in labels[rows].unique().tolist():
            d = _path(points[rows][labels[rows] == k], x, y)
            title = f"<title>{escape(name_of(k, names))}</title>"
            layers.append(f'<path class="dots k{k % CLASSES}" stroke-width="{size}" d="{d}">{title}</path>')
    return "".join(layers)


def _path(points: Tensor, x: Axis, y: Axis) -> str:
    inside = [(a, b) for a, b in points.tolist() if x.lo <= a <= x.hi and y.lo <= b <= y.hi]
    return "".join(f"M{x(a):.1f} {y(b):.1f}h0" for a, b in inside)


def class_names(
    points: Tensor, x: Axis, y: Axis, labels: Tensor | None, names: Sequence[str], ring: float | None = None
) -> str:
    """The name of each class at the median of its points, or at radius `ring` in its direction."""
    if labels is None or len(kinds := labels.unique().tolist()) > CLASSES:
        return ""
    placed: list[tuple[float, float, str]] = []
    for k in kinds:
        middle = points[labels == k].median(0).values
        a, b = (middle if ring is None else ring * middle / middle.norm().clamp_min(1e-9)).tolist()
        u, v, name = x(a), y(b) + 4, name_of(k, names)[:16]
        lowest = v + 24
        while any(abs(v - w) < 13 and abs(u - t) < 4 * (len(name) + len(other)) for t, w, other in placed):
            v += 3  # downwards until no other name is in the way
        if v <= lowest:  # further off, it would name other points: the legend has them all
            placed.append((u, v, name))
    return "".join(text(u, v, name, "label") for u, v, name in placed)


def name_of(k: int, names: Sequence[str]) -> str:
    return names[k] if 0 <= k < len(names) else str(k)


def legend(labels: Tensor, names: Sequence[str]) -> str:
    """Which colour is which class, and how many points it has."""
    counts = dict(zip(*(t.tolist() for t in labels.unique(return_counts=True)), strict=True))
    if len(counts) > 2 * CLASSES:
        return ""
    items = (
        f'<li class="k{k % CLASSES}" title="{n:,} points">{escape(name_of(k, names))}</li>' for k, n in counts.items()
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def colours(names: Mapping[int, str]) -> str:
    """Names by their number k, each in the colour of what it names."""
    items = (f'<li class="k{k % len(PALETTE)}">{escape(name)}</li>' for k, name in names.items())
    return f'<ul class="legend">{"".join(items)}</ul>'


def circles(x: Axis, y: Axis, radii: Sequence[float] = (1, 2)) -> str:
    """Standard deviations of a standard normal law."""
    scale = x(1) - x(0)
    return "".join(f'<circle cx="{x(0):.1f}" cy="{y(0):.1f}" r="{r * scale:.1f}" class="ring"/>' for r in radii)


def mesh(curves: Tensor, x: Axis, y: Axis) -> str:
    """Curves (M, T, 2) as thin lines."""
    paths = ("M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in curve) for curve in curves.tolist())
    return f'<path class="mesh" d="{"".join(paths)}"/>'


def agreement(name: str, data: Tensor, made: Tensor, words: str, alt: str, names: Sequence[str] = ()) -> str:
    """made against data, (N,) each, on equal scales, with the line of equality; `names` are those of codes."""
    (low, high), _ = square_range(torch.stack([torch.cat([data, made])] * 2, 1))
    x, y = Axis(low, high, 50, 250), Axis(low, high, 230, 30)
    d = _path(torch.stack([data, made], 1), x, y)
    cloud = f'<path class="dots" stroke-width="3" stroke-opacity=".55" d="{d}"/>'
    axes = left_axis(y, x, names=names) + bottom_axis(x, y, names=names)
    return svg(
        258,
        250,
        text(0, 13, name, "name") + text(254, 13, words, "end") + axes + line(50, 230, 250, 30, "guide") + cloud,
        alt,
    )


def heat(uri: str) -> str:
    """An image that fills the square of `cloud`."""
    return f'<image href="{uri}" x="40" y="6" width="400" height="400" preserveAspectRatio="none"/>'


# --- bars ------------------------------------------------------------------------------------------------------------


def bars(
    heights: Sequence[float],
    names: Sequence[str],
    on: Sequence[bool],
    alt: str,
    unit: str,
    errors: Sequence[float] = (),
    top: float = 0.0,
) -> str:
    """Columns with a hover title each; those that are not `on` are hollow; `errors` are drawn to either side of the tops.

    top  what the axis reaches at least.
    """
    slot = min(max(640 / len(heights), 5), 44)
    tops = [h + e for h, e in zip(heights, errors or [0.0] * len(heights), strict=True)]
    x, y = Axis(0, len(heights), 46, 46 + slot * len(heights)), Axis(0, max(*tops, top, 1e-6) * 1.05, 168, 24)
    columns = "".join(
        _column(x(i) + slot * 0.14, slot * 0.72, y(max(h, 0)), y.start, f"{n}: {number(h, 3)}", a)
        for i, (h, n, a) in enumerate(zip(heights, names, on, strict=True))
    )
    columns += "".join(
        line(x(i + 0.5), y(h - e), x(i + 0.5), y(h + e), "whisker")
        for i, (h, e) in enumerate(zip(heights, errors, strict=False))
    )
    every = max(1, math.ceil(20 / slot))
    marks = "".join(text(x(i + 0.5), 184, n, "middle") for i, n in enumerate(names) if i % every == 0)
    base = line(x.start, y.start, x.end, y.start, "axis")
    return svg(max(x.end + 6, 180), 192, left_axis(y, x, 3) + columns + base + marks + text(0, 11, unit), alt)


def _column(x: float, width: float, top: float, bottom: float, words: str, on: bool) -> str:
    size = f'x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{bottom - top:.1f}"'
    return f'<rect {size} class="bar{"" if on else " off"}"><title>{escape(words)}</title></rect>'


def histogram(
    name: str, x: Axis, filled: Sequence[float], drawn: Sequence[float], alt: str, names: Sequence[str] = ()
) -> str:
    """Two densities over equal bins of one axis: the first as an area, the second as a line; `names` are those of codes."""
    y = Axis(0, max(*filled, *drawn, 1e-12) * 1.06, 172, 34)
    x = x._replace(start=8, end=322)
    body = text(0, 13, name, "name") + _steps(filled, x, y, "area") + (_steps(drawn, x, y, "held") if drawn else "")
    return svg(330, 196, body + bottom_axis(x, y, names=names), alt)


def _steps(values: Sequence[float], x: Axis, y: Axis, kind: str) -> str:
    width = (x.end - x.start) / len(values)
    tops = "".join(f"V{y(v):.1f}h{width:.2f}" for v in values)
    return f'<path d="M{x.start} {y.start}{tops}V{y.start}" class="{kind}"/>'


def binned(values: Tensor, x: Axis, n: int) -> list[float]:
    """The density of values over n equal bins of an axis; what lies outside counts in the total."""
    counts = torch.histc(values.float(), n, x.lo, x.hi)
    return (counts / max(len(values), 1) / ((x.hi - x.lo) / n)).tolist()
