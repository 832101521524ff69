"""Maps with a rim (floor 8): the Poincare disk, Hammer's equal-area map of the sphere, and what is drawn on them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from logpx.report.charts import Axis, class_names, colour_dots, dot_size, svg


class Map(NamedTuple):
    """A chart with a rim: x and y to pixels, the rim as an SVG path, and the size of the picture."""

    x: Axis
    y: Axis
    rim: str
    width: float
    height: float


def disk_map() -> Map:
    """The unit disk."""
    x, y = Axis(-1, 1, 6, 434), Axis(-1, 1, 434, 6)
    return Map(x, y, _ellipse(x, y, 1, 1), 440, 440)


def hammer_map() -> Map:
    """The ellipse of Hammer's equal-area map, in the coordinates of `hammer`."""
    x, y = Axis(-2, 2, 6, 434), Axis(-1, 1, 220, 6)
    return Map(x, y, _ellipse(x, y, 2, 1), 440, 226)


def _ellipse(x: Axis, y: Axis, a: float, b: float) -> str:
    u, v, p, q = x(0), y(0), x(a) - x(0), y(0) - y(b)
    return f"M{u - p:g} {v:g}a{p:g} {q:g} 0 1 0 {2 * p:g} 0a{p:g} {q:g} 0 1 0 {-2 * p:g} 0z"


def hammer(u: Tensor) -> Tensor:
    """Points (..., 3) of the unit sphere in the ellipse |x| <= 2, |y| <= 1, areas in proportion (Hammer 1892).

    (1, 0, 0) is the middle. With longitude l and latitude f: (2 cos f sin(l/2), sin f)/sqrt(1 + cos f cos(l/2)).
    """
    half = torch.atan2(u[..., 1], u[..., 0]) / 2
    sine = u[..., 2].clamp(-1, 1)
    cosine = (1 - sine.square()).sqrt()
    return torch.stack([2 * cosine * half.sin(), sine], -1) / (1 + cosine * half.cos()).sqrt().unsqueeze(-1)


def from_hammer(xy: Tensor) -> Tensor:
    """The inverse of `hammer`, (..., 3) from (..., 2) inside the ellipse."""
    x, y = xy[..., 0] / 2, xy[..., 1]
    w = 1 - x.square() - y.square()  # cos f cos(l/2): 1 + w = root^2, by |(x, y)|^2 = 1 - w
    root = (1 + w).sqrt()
    half, sine = torch.atan2(x * root, w), y * root
    cosine = (1 - sine.square()).clamp_min(0).sqrt()
    return torch.stack([cosine * (2 * half).cos(), cosine * (2 * half).sin(), sine], -1)


def mapped(
    chart: Map,
    points: Tensor,
    alt: str,
    *,
    labels: Tensor | None,
    names: Sequence[str],
    under: str = "",
    over: str = "",
    ring: float | None = None,
) -> str:
    """Points (N, 2) inside the rim of a chart, coloured and named as in `cloud`; the names at radius `ring`, if given."""
    size = dot_size(len(points))
    body = under + colour_dots(points, chart.x, chart.y, labels, names, size, False) + over
    body += f'<path d="{chart.rim}" class="axis"/>' + class_names(points, chart.x, chart.y, labels, names, ring)
    return svg(chart.width, chart.height, body, alt)


def mosaic(chart: Map, uri: str, corners: tuple[float, float], alt: str) -> str:
    """An image over the part |x| <= corners[0], |y| <= corners[1] of a chart, and its rim."""
    x, y, (a, b) = chart.x, chart.y, corners
    place = f'x="{x(-a):.2f}" y="{y(b):.2f}" width="{x(a) - x(-a):.2f}" height="{y(-b) - y(b):.2f}"'
    body = f'<image href="{uri}" {place} preserveAspectRatio="none"/><path d="{chart.rim}" class="axis"/>'
    return svg(chart.width, chart.height, body, alt)


def wreath(uris: Sequence[str], alt: str) -> str:
    """Images on a circle, the first at the right and then counter-clockwise, as large as they can be."""
    chart, n = disk_map(), len(uris)
    sine, root = math.sin(math.pi / n), math.sqrt(0.5)
    side = sine / (root + root * sine)  # centres at 1 - root side, and neighbours touch at worst with their corners
    half, body = 0.47 * side, ""
    for k, uri in enumerate(uris):
        a, b = ((1 - root * side) * f(2 * math.pi * k / n) for f in (math.cos, math.sin))
        x, y, size = chart.x(a - half), chart.y(b + half), chart.x(half) - chart.x(-half)
        body += f'<image href="{uri}" x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size:.1f}"/>'
    return svg(chart.width, chart.height, body, alt)


def lines(curves: Sequence[Tensor], x: Axis, y: Axis, kind: str) -> str:
    """Curves (T, 2) each as a path of that class, broken where a map is cut: where they jump by half its width."""
    jump, d = (x.hi - x.lo) / 2, ""
    for curve in curves:
        before: float | None = None
        for a, b in curve.tolist():
            d += f"{'L' if before is not None and abs(a - before) < jump else 'M'}{x(a):.1f} {y(b):.1f}"
            before = a
    return f'<path d="{d}" class="{kind}"/>' if d else ""
