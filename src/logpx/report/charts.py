"""Charts as inline SVG (floor 8): small, crisp, coloured by CSS classes so that they follow light and dark.

A cloud of points is one path of zero-length strokes with round ends, nine bytes a point.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import torch
from torch import Tensor

from logpx.report.page import number
from logpx.report.style import CLASSES
from logpx.theme import PALETTE

Range = tuple[float, float]
Series = dict[str, list[float]]  # "train", "held_out" -> a value per epoch
LINE_POINTS, HOVERS = 400, 120  # drawn points of a line and its hover titles, at most


class Axis(NamedTuple):
    """A linear map from values lo..hi to pixels start..end."""

    lo: float
    hi: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.lo) / (self.hi - self.lo) * (self.end - self.start)

    def ticks(self, n: int = 4) -> tuple[list[float], int]:
        """About n round values inside, and the decimals they need."""
        raw = (self.hi - self.lo) / n
        power = 10.0 ** math.floor(math.log10(raw))
        step = next((m * power for m in (1, 2, 5) if m * power >= raw * 0.999), 10 * power)
        first, last = math.ceil(self.lo / step - 1e-9), math.floor(self.hi / step + 1e-9)
        return [i * step for i in range(first, last + 1)], max(0, -math.floor(math.log10(step) + 1e-9))


def svg(width: float, height: float, body: str, alt: str) -> str:
    name = escape(alt)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}">'
        f"{body}</svg>"
    )


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def marks(axis: Axis, n: int, names: Sequence[str] = ()) -> list[tuple[float, str]]:
    """About n values of an axis and what is written at each: numbers, or the names of the codes 0, 1, 2, ..."""
    if names:
        every = math.ceil(len(names) / 6)
        return [(k, f"{name[:7]}…" if len(name) > 8 else name) for k, name in enumerate(names) if k % every == 0]
    ticks, decimals = axis.ticks(n)
    return [(v, number(v, decimals)) for v in ticks]


def left_axis(y: Axis, x: Axis, n: int = 4, names: Sequence[str] = ()) -> str:
    """Horizontal rules with their values on the left."""
    shown = marks(y, n, names)
    rules = (line(x.start, y(v), x.end, y(v), "grid") for v, _ in shown)
    return "".join(rules) + "".join(text(x.start - 7, y(v) + 4, words, "end") for v, words in shown)


def bottom_axis(x: Axis, y: Axis, n: int = 5, whole: bool = False, names: Sequence[str] = ()) -> str:
    """A line with about n values below it; `whole` keeps only whole numbers."""
    shown = [(v, number(v, 0) if whole else words) for v, words in marks(x, n, names) if not whole or v == round(v)]
    values = "".join(text(x(v), y.start + 16, words, "middle") for v, words in shown)
    return line(x.start, y.start, x.end, y.start, "axis") + values


# --- lines over epochs -----------------------------------------------------------------------------------------------


def over_epochs(name: str, epochs: list[int], series: Series, best: int | None) -> str:
    """One term over the epochs, train and held-out, in nats per data point, the best epoch marked."""
    x, y = Axis(epochs[0], epochs[-1], 50, 322), Axis(*robust_range(epochs, series, best), 172, 34)
    body = text(0, 13, name, "name") + left_axis(y, x) + bottom_axis(x, y, whole=True)
    shown = thinned(len(epochs), LINE_POINTS)
    kinds = {"train": "train", "held_out": "held"}
    curves = "".join(_curve(x, y, epochs, values, shown, kinds[key]) for key, values in series.items())
    body += (
        f'<svg x="46" y="30" width="280" height="142" viewBox="46 30 280 142">{_best_line(x, y, best)}{curves}</svg>'
    )
    body += _best_spots(x, y, epochs, series, best) + _off_scale(x, y, epochs, series)
    last = series.get("held_out", series.get("train", []))
    value = last[epochs.index(best) if best in epochs else -1]
    body += text(322, 13, number(value), "value end")
    return svg(332, 196, body + _hovers(x, y, epochs, series), _over_epochs_alt(name, epochs, series))


def robust_range(epochs: list[int], series: Series, best: int | None) -> Range:
    """The values after the first tenth of the epochs, a little more, and never more than there is to see."""
    everything = [v for values in series.values() for v in values]
    start = math.ceil(len(epochs) / 10) if len(epochs) > 3 else 0
    kept = [
        v for values in series.values() for v, e in zip(values, epochs, strict=True) if e >= epochs[start] or e == best
    ]
    low, high, bottom, top = min(kept), max(kept), min(everything), max(everything)
    span = max(high - low, 1e-3 * abs(high), 1e-6)
    if top - bottom > 2.5 * span:
        bottom, top = max(bottom, low - 0.4 * span), min(top, high + 0.4 * span)
    room = 0.06 * max(top - bottom, span)
    return bottom - room, top + room


def thinned(n: int, most: int) -> list[int]:
    """At most about `most` of n positions, evenly, the last one always."""
    return sorted({*range(0, n, math.ceil(n / most)), n - 1})


def _curve(x: Axis, y: Axis, epochs: list[int], values: list[float], shown: list[int], kind: str) -> str:
    points = " ".join(f"{x(epochs[i]):.1f},{max(min(y(values[i]), 2000), -2000):.1f}" for i in shown)
    return f'<polyline points="{points}" class="{kind}"/>'


def _best_line(x: Axis, y: Axis, best: int | None) -> str:
    return "" if best is None else line(x(best), y.start, x(best), y.end, "guide")


def _best_spots(x: Axis, y: Axis, epochs: list[int], series: Series, best: int | None) -> str:
    if best not in epochs:
        return ""
    at = epochs.index(best)
    return "".join(
        f'<circle cx="{x(best):.1f}" cy="{y(values[at]):.1f}" r="3.6" class="spot {key[0]}"/>'
        for key, values in series.items()
    )


def _off_scale(x: Axis, y: Axis, epochs: list[int], series: Series) -> str:
    """Where a first epoch lies beyond the axis, its value in words."""
    values = next(iter(series.values()))
    if y.lo <= values[0] <= y.hi:
        return ""
    above = values[0] > y.hi
    words = f"{'↑' if above else '↓'} {number(values[0])} in epoch {epochs[0]}"
    return text(x.start + 6, y.end + 8 if above else y.start - 6, words)


def _hovers(x: Axis, y: Axis, epochs: list[int], series: Series) -> str:
    shown = thinned(len(epochs), HOVERS)
    width = (x.end - x.start) / max(len(shown) - 1, 1)
    return "".join(_hover(x(epochs[i]), width, y, _words(epochs[i], i, series)) for i in shown)


def _hover(at: float, width: float, y: Axis, words: str) -> str:
    return (
        f'<g class="hit"><title>{words}</title><rect x="{at - width / 2:.1f}" y="{y.end:g}" width="{width:.1f}" '
        f'height="{y.start - y.end:g}"/>{line(at, y.start, at, y.end, "")}</g>'
    )


def _words(epoch: int, i: int, series: Series) -> str:
    return f"epoch {epoch}" + "".join(f"\n{k.replace('_', '-')} {number(v[i], 3)}" for k, v in series.items())


def _over_epochs_alt(name: str, epochs: list[int], series: Series) -> str:
    ends = "; ".join(f"{k.replace('_', '-')} from {number(v[0])} to {number(v[-1])}" for k, v in series.items())
    return f"{name} over epochs {epochs[0]} to {epochs[-1]}, nats per data point: {ends}"


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


def colours(names: Sequence[str]) -> str:
    """Names in the colours k0, k1, ... of what they name."""
    items = (f'<li class="k{k % len(PALETTE)}">{escape(name)}</li>' for k, name in enumerate(names))
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
    cloud = (
        f'<path class="dots" stroke-width="3" stroke-opacity=".55" d="{_path(torch.stack([data, made], 1), x, y)}"/>'
    )
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
