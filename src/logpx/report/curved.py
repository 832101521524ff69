"""The section about a z that is no single flat space (floor 8): a map of each of its parts.

A part of two dimensions is drawn where its geometry puts it: a hyperbolic plane in the Poincare disk, a sphere by
Hammer's equal-area map, a flat plane, or a space that is weakly curved over the points that are there, as a plane.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Normal

from logpx.distributions import Space, spaces
from logpx.report import charts, maps, pictures
from logpx.report.latents import SIDE, WALKS, moving_map, points_sentence
from logpx.report.page import Picture, Section, figure, lede, number, side_by_side
from logpx.report.samples import to_unit
from logpx.subject import Subject

WEAKLY_CURVED = 1.0  # in radii: circumferences are within 18 percent of 2 pi r up to there
TILE = 40  # pixels of a mosaic's tiles
FIT = 1.045  # by how much a grid is smaller than its ellipse, so that some tiles of the outermost rows fit into it


class _View(NamedTuple):
    """How a part of two dimensions is drawn: z to the chart's plane and back, and the chart (None: a plane with axes)."""

    to: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]
    chart: maps.Map | None
    words: str


def _view(space: Space, points: Tensor, rings: list[Tensor]) -> _View:
    """The chart of a part for points (N, dim) and rings of the prior that it has to show."""
    origin = space.origin(points)
    far = max(space.distance(origin, p).quantile(0.999).item() for p in (points, *rings))
    if far < WEAKLY_CURVED * space.radius:
        words = "" if space.coordinates == "flat" else "Weakly curved here: drawn by distance and direction from 0. "
        return _View(lambda z: space.towards(origin, z), lambda v: space.move(origin, v), None, words)
    if space.kappa < 0:
        return _View(space.to_disk, space.from_disk, maps.disk_map(), "Poincaré disk; its rim is infinitely far. ")
    return _View(
        lambda z: maps.hammer(space.to_sphere(z)),
        lambda xy: space.from_sphere(maps.from_hammer(xy)),
        maps.hammer_map(),
        "Hammer’s map: areas in proportion, cut open along the back. ",
    )


# --- maps ------------------------------------------------------------------------------------------------------------


def latent_maps(s: Subject) -> Section | None:
    """Where the rows lie in each part of one or two dimensions, and what the decoder makes of it."""
    shown = [] if s.is_one_flat else [i for i, space in enumerate(s.spaces) if _has_map(space)][:WALKS]
    if not shown:
        return None
    product = len(s.spaces) > 1
    html = lede(_maps_sentence(s)) + (charts.legend(s.labels, s.classes) if s.labels is not None else "")
    made: list[Picture] = []
    for i in shown:
        figures = _circle(s, i) if s.spaces[i].n == 1 else _plane(s, i)
        html += f"<h3>{title(s, i)}</h3>\n" if product else ""
        html += side_by_side([figure(p, words, "scatter") for p, words in figures])
        made += [p for p, _ in figures]
    in_disk = s.dim == s.spaces[0].n == 2 and s.spaces[0].kappa < 0
    film, films = moving_map(s, _rim(s)) if in_disk else ("", ())
    return Section("Latent space", f'<div class="scatter">{html}</div>{film}', (*made, *films))


def _has_map(space: Space) -> bool:
    return space.n == 2 or (space.n == 1 and space.kappa > 0)


def _rim(s: Subject) -> tuple[charts.Range, charts.Range, float]:
    R = s.spaces[0].radius
    return (-1.02 * R, 1.02 * R), (-1.02 * R, 1.02 * R), R


def _maps_sentence(s: Subject) -> str:
    if len(s.spaces) == 1:
        return f"<i>z</i> lies {_where(s.spaces[0])}. {points_sentence(s)}"
    return f"<i>z</i> has {len(s.spaces)} parts, each in a space of its own. {points_sentence(s)}"


def _where(space: Space) -> str:
    return f"{'on' if space.kappa > 0 else 'in'} a {kind(space)}{curvature(space)}"


def kind(space: Space) -> str:
    """ "sphere", "hyperbolic space of 5 dimensions"."""
    names = {-1: ("line", "hyperbolic plane"), 0: ("line", "plane"), 1: ("circle", "sphere")}
    family = {-1: "hyperbolic space", 0: "flat space", 1: "sphere"}
    sign = (space.kappa > 0) - (space.kappa < 0)
    return names[sign][space.n - 1] if space.n < 3 else f"{family[sign]} of {space.n} dimensions"


def curvature(space: Space) -> str:
    if space.coordinates == "flat":
        return ""
    digits = 2 if abs(space.kappa) >= 0.1 or space.kappa == 0 else 4
    return f", κ = {number(space.kappa, digits)}"


def title(s: Subject, i: int) -> str:
    """ "Part 2: hyperbolic plane, κ = −1.02"."""
    name = f"{kind(s.spaces[i])}{curvature(s.spaces[i])}"
    return f"Part {i + 1}: {name}" if len(s.spaces) > 1 else name.capitalize()


def file_of(s: Subject, name: str, i: int, kind: str) -> str:
    return f"{name}.{kind}" if len(s.spaces) == 1 else f"{name}-{i + 1}.{kind}"


def _plane(s: Subject, i: int) -> list[tuple[Picture, str]]:
    """The points of a part of two dimensions, and E[x|z] over it."""
    space, z = s.spaces[i], s.spaces[i].of(s.means)
    rings = _rings(s, i)
    view = _view(space, z, rings)
    points = view.to(z)
    alt = f"{s.centres.capitalize()} of {len(z):,} {s.rows}. {title(s, i)}"
    if view.chart is None:
        curves = [view.to(c) for c in rings]
        ranges = charts.square_range(torch.cat([points, *curves]))
        over = maps.lines(curves, *charts.square_axes(ranges), "ring")
        drawn = charts.cloud(points, ranges, alt, labels=s.labels, names=s.classes, over=over)
    else:
        under = _graticule(view.chart) if space.kappa > 0 else ""
        over = maps.lines([view.to(c) for c in rings], view.chart.x, view.chart.y, "ring")
        drawn = maps.mapped(view.chart, points, alt, labels=s.labels, names=s.classes, under=under, over=over)
    words = view.words + ("Dashed: one and two standard deviations of the prior." if rings else "")
    made = [(Picture(file_of(s, "latents", i, "svg"), drawn, alt), words)]
    return made + [d for d in [_decoded(s, i, view)] if d]


def normal_prior(s: Subject, i: int) -> tuple[Tensor, Tensor] | None:
    """Centre (dim,) and standard deviations (n,) of the i-th part of a prior that has them."""
    law = s.prior_of(i)
    if law is None or law.batch_shape or (spread := spaces.spreads(law)) is None:
        return None
    return law.mean.detach().cpu().float(), spread.detach().cpu().float()


def _rings(s: Subject, i: int) -> list[Tensor]:
    """One and two standard deviations of the prior along geodesics from its centre, as far as a sphere goes."""
    if (known := normal_prior(s, i)) is None:
        return []
    centre, spread = known
    v = _around(181) * spread
    return [s.spaces[i].move(centre, r * v) for r in (1, 2) if r * float(spread.max()) < s.spaces[i].reach]


def _around(n: int) -> Tensor:
    """Unit vectors (n, 2), the last being the first."""
    angle = torch.linspace(0, 2 * math.pi, n)
    return torch.stack([angle.cos(), angle.sin()], -1)


def _graticule(chart: maps.Map) -> str:
    """Meridians and parallels, every 30 degrees."""
    latitude = torch.linspace(-math.pi / 2, math.pi / 2, 61)
    longitude = torch.linspace(-math.pi, math.pi, 121) * (1 - 1e-6)
    curves = [_globe(torch.full_like(latitude, a * math.pi / 6), latitude) for a in range(-5, 6)]
    curves += [_globe(longitude, torch.full_like(longitude, b * math.pi / 6)) for b in range(-2, 3)]
    return maps.lines([maps.hammer(c) for c in curves], chart.x, chart.y, "grid")


def _globe(longitude: Tensor, latitude: Tensor) -> Tensor:
    return torch.stack([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()], -1)


def first_mean(s: Subject) -> Tensor:
    """Where the other parts stay: the posterior mean of the first row, (D,)."""
    return s.means[0]


def _others(s: Subject) -> str:
    return f" The other parts are at the {s.centres[:-1]} of the first of the {s.rows}." if len(s.spaces) > 1 else ""


def _decoded(s: Subject, i: int, view: _View) -> tuple[Picture, str] | None:
    """E[x|z] over a part: pictures as a mosaic in the same chart, points of a plane as the images of a polar grid."""
    if s.is_plane:
        return _polar_mesh(s, i)
    if not s.is_image:
        return None
    alt = f"E[x|z] over {title(s, i)}"
    if view.chart is None:
        return _grid(s, i, alt)
    if s.spaces[i].kappa > 0:
        return _mosaic(s, i, view, (24, 12), (2.0, 1.0), alt)
    r = _edge(s, i, view)
    return _mosaic(s, i, view, (SIDE, SIDE), (r, r), alt)


def _edge(s: Subject, i: int, view: _View) -> float:
    """The radius in the disk that holds the points, and three standard deviations of the prior."""
    space, r = s.spaces[i], float(view.to(s.spaces[i].of(s.means)).norm(dim=-1).quantile(0.99))
    if (known := normal_prior(s, i)) is not None:
        centre, spread = known
        far = space.distance(space.origin(centre), centre) + 3 * spread.max()
        r = max(r, math.tanh(float(far) / space.radius / 2))
    return min(r, 1.0)


def _mosaic(
    s: Subject, i: int, view: _View, tiles: tuple[int, int], size: tuple[float, float], alt: str
) -> tuple[Picture, str]:
    """Tiles across and up that lie whole within the ellipse |x| <= size[0], |y| <= size[1]."""
    assert view.chart is not None
    (n, m), (a, b) = tiles, (length / FIT for length in size)
    x, y = ((torch.arange(k) + 0.5) / k * 2 - 1 for k in (n, m))
    unit = torch.stack(torch.meshgrid(y.flip(0), x, indexing="ij"), -1).flip(-1).flatten(0, 1)
    inside = (unit.abs() + torch.tensor([1 / n, 1 / m])).norm(dim=-1) < FIT
    z = s.spaces[i].put(view.back(unit[inside] * torch.tensor([a, b])), first_mean(s))
    decoded = to_unit(s, s.decode(z))
    sheet = decoded.new_full((n * m, *decoded.shape[1:]), math.nan)
    sheet[inside] = decoded
    gap = _gap(s) * TILE // 48
    image = Picture("mosaic.png", pictures.tiled(sheet, n, gap=gap, tile=TILE), alt)
    H, W = (max(1, round(TILE / max(s.data.shape[1:]))) * side for side in s.data.shape[1:])
    corners = (a * (1 - gap / n / (W + gap)), b * (1 - gap / m / (H + gap)))  # half a gap within the grid
    drawn = maps.mosaic(view.chart, image.uri(), corners, alt)
    where = "on the same map" if s.spaces[i].kappa > 0 else "in the same disk"
    return Picture(file_of(s, "decoded", i, "svg"), drawn, alt), f"E[<i>x</i>|<i>z</i>] {where}.{_others(s)}"


def _gap(s: Subject) -> int:
    """Between tiles of 48 pixels: small pictures need one to be told apart."""
    return 0 if min(s.data.shape[1:]) > 16 else 12


def _grid(s: Subject, i: int, alt: str) -> tuple[Picture, str]:
    """Tiles at the quantiles of the prior along two directions, or over the range of the points."""
    space, known = s.spaces[i], normal_prior(s, i)
    if known is not None:
        centre, marks = known[0], Normal(0.0, 1.0).icdf((torch.arange(SIDE) + 0.5) / SIDE)
        v = torch.stack([marks.repeat(SIDE), marks.flip(0).repeat_interleave(SIDE)], 1) * known[1]
    else:
        centre = space.origin(s.means)
        ranges = charts.square_range(space.towards(centre, space.of(s.means)))
        across, up = (torch.linspace(*r, SIDE) for r in ranges)
        v = torch.stack([across.repeat(SIDE), up.flip(0).repeat_interleave(SIDE)], 1)
    z = space.put(space.move(centre, v), first_mean(s))
    image = pictures.tiled(to_unit(s, s.decode(z)), SIDE, gap=_gap(s), tile=48)
    how = "quantiles of the prior" if known is not None else f"the range of the {s.centres}"
    words = f"E[<i>x</i>|<i>z</i>] on a grid of {SIDE} × {SIDE} over {how}.{_others(s)}"
    return Picture(file_of(s, "decoded", i, "png"), image, alt), words


def _polar_mesh(s: Subject, i: int) -> tuple[Picture, str]:
    """Circles and rays about the centre of the prior as the decoder lays them among the data."""
    space, known = s.spaces[i], normal_prior(s, i)
    centre = space.origin(s.means) if known is None else known[0]
    far = (
        space.distance(centre, space.of(s.means)).quantile(0.99).item() if known is None else 3 * float(known[1].max())
    )
    far = min(far, 0.98 * space.reach)
    rings = [r * _around(97) for r in torch.linspace(far / 6, far, 6)]
    rays = [torch.linspace(0, far, 97)[:, None] * u for u in _around(25)[:-1]]
    z = space.put(space.move(centre, torch.stack(rings + rays)), first_mean(s))
    curves = s.decode(z.flatten(0, 1)).view(*z.shape[:2], 2)
    ranges, alt = charts.square_range(s.points), "Circles and rays of the latent space decoded into data space"
    drawn = charts.cloud(s.points, ranges, alt, over=charts.mesh(curves, *charts.square_axes(ranges)), quiet=True)
    words = f"Circles and rays up to distance {number(far, 1)}, as the decoder lays them among the data.{_others(s)}"
    return Picture(file_of(s, "decoded", i, "svg"), drawn, alt), words


def _circle(s: Subject, i: int) -> list[tuple[Picture, str]]:
    """A part that is a circle: its points as a ring, and E[x|z] once around it."""
    space, n = s.spaces[i], 20
    u = space.to_sphere(space.of(s.means))
    spread = torch.rand(len(u), 1, generator=torch.Generator().manual_seed(0))
    alt = f"{s.centres.capitalize()} of {len(u):,} {s.rows} on a circle"
    drawn = maps.mapped(maps.disk_map(), u * (0.72 + 0.25 * spread), alt, labels=s.labels, names=s.classes, ring=0.62)
    made = [
        (Picture(file_of(s, "latents", i, "svg"), drawn, alt), "Only the angle tells; the radius keeps the dots apart.")
    ]
    if s.is_image:
        at = _around(n + 1)[:-1]
        tiles = to_unit(s, s.decode(space.put(space.from_sphere(at), first_mean(s))))
        uris = [Picture("tile.png", pictures.tiled(t[None], 1, tile=32), "").uri() for t in tiles]
        alt = f"E[x|z] at {n} angles"
        words = f"E[<i>x</i>|<i>z</i>] at {n} angles.{_others(s)}"
        made.append((Picture(file_of(s, "decoded", i, "svg"), maps.wreath(uris, alt), alt), words))
    return made
