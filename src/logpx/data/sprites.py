"""Sprites: pictures of one flat shape whose factors are known, in the manner of dSprites (floor 6).

    shape         square, ellipse (axes 2 : 1), heart
    scale         the radius of the circle around the shape, evenly spaced from a half of the largest to the largest
    orientation   evenly spaced over a quarter turn, its end left out
    x, y          the place of the centre of gravity: one pixel to the right, one pixel down for each level

The largest sprite just fits at every place. A square is its own image after a quarter turn and an ellipse after half a turn:
were the orientations spread over the whole circle, as in dSprites (Matthey et al. 2017), four levels of that factor would be
one picture of a square, and no code could tell them apart. Within a quarter turn all rows differ. A pixel's grey is the share
of its 4 x 4 points that the shape covers: levels 0 to 16.
"""

from typing import NamedTuple

import numpy as np

from logpx.data.base import Column, Stored
from logpx.errors import UserError

NAME = "sprites"
LINE = "a square, ellipse or heart of known scale, orientation and place, 10,368 images of 32 x 32 with 17 levels"
SHAPES = ("square", "ellipse", "heart")
POINTS = 4  # of a pixel, along each side
# of (x^2 + y^2 - 1)^3 = x^2 y^3: the height of its centre of gravity, by quadrature; farthest from it is the tip (0, -1)
HEART_CENTRE = 0.2934812
HEART_RADIUS = 1 + HEART_CENTRE


class Levels(NamedTuple):
    """How many levels each factor has (of the three shapes, the first so many), and the side of the pictures in pixels."""

    shapes: int = 3
    scales: int = 4
    orientations: int = 6
    places: int = 12  # along x, and as many along y
    side: int = 32

    @property
    def counts(self) -> tuple[int, ...]:
        """Of shape, scale, orientation, x and y."""
        return (self.shapes, self.scales, self.orientations, self.places, self.places)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The factors as columns: shape is a category, the others are counted in their order."""
        names = ("shape", "scale", "orientation", "x", "y")
        kinds = ("categorical", *["integer"] * 4)
        return tuple(Column(name, kind, n) for name, kind, n in zip(names, kinds, self.counts, strict=True))  # type: ignore[arg-type]


def read(seed: int) -> Stored:
    """Every combination of the factors once, in an order that the seed draws; the label is the shape."""
    levels = Levels()
    factors = np.random.RandomState(seed).permutation(combinations(levels))
    x = images(factors, levels)[:, None]
    stored = Stored(NAME, NAME, x, labels=factors[:, 0], classes=SHAPES, levels=POINTS**2 + 1, protocol="threshold")
    stored.factors, stored.factor_columns = factors, levels.columns
    stored.note = "every combination of shape, scale, orientation, x and y once"
    return stored


def combinations(levels: Levels = Levels()) -> np.ndarray:  # noqa: B008 - a value
    """All factors, (N, 5) integers from 0; the last changes fastest."""
    return np.stack(np.unravel_index(np.arange(np.prod(levels.counts)), levels.counts), axis=1)


def sample(n: int, seed: int, levels: Levels = Levels()) -> np.ndarray:  # noqa: B008 - a value
    """n rows of factors, each level at even odds and independent of the others, (n, 5)."""
    random = np.random.RandomState(seed)
    return np.stack([random.randint(count, size=n) for count in levels.counts], axis=1)


def images(factors: np.ndarray, levels: Levels = Levels()) -> np.ndarray:  # noqa: B008 - a value
    """The pictures of factors (N, 5), (N, side, side) uint8 from 0 to 16.

    Each shape is drawn once for each scale and orientation; a place is a window on it, which moves by whole pixels.
    Raises UserError for a level that there is not and for a side too small for so many places.
    """
    _check(factors, levels)
    kinds = np.stack(np.unravel_index(np.arange(np.prod(levels.counts[:3])), levels.counts[:3]), axis=1)
    largest = (levels.side - levels.places) / 2
    radius = largest * (np.linspace(0.5, 1, levels.scales)[kinds[:, 1]] if levels.scales > 1 else np.ones(len(kinds)))
    angle = np.pi / 2 * kinds[:, 2] / levels.orientations
    wide = levels.side + levels.places - 1
    drawn = draw(kinds[:, 0], radius, angle, np.full((len(kinds), 2), wide / 2), wide)
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (levels.side, levels.side), axis=(1, 2))
    kind = np.ravel_multi_index(tuple(factors[:, :3].T), levels.counts[:3])
    return windows[kind, levels.places - 1 - factors[:, 4], levels.places - 1 - factors[:, 3]]


def draw(shape: np.ndarray, radius: np.ndarray, angle: np.ndarray, centre: np.ndarray, side: int) -> np.ndarray:
    """Sprites anywhere, (N, side, side) uint8: how many of the 4 x 4 points of each pixel the shape covers.

    shape   (N,), a place in SHAPES.
    centre  (N, 2) = (x, y) of its centre of gravity, in pixels from the upper left corner.
    radius  (N,), in pixels, of the circle about that centre which the shape touches.
    angle   (N,), in radians, counter-clockwise as seen.
    """
    at = (np.arange(side * POINTS) + 0.5) / POINTS
    right = (at - centre[:, :1])[:, None, :] / radius[:, None, None]
    up = (centre[:, 1:] - at)[:, :, None] / radius[:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v = cos * right + sin * up, cos * up - sin * right  # the shape's own axes
    covered = np.empty(u.shape, bool)
    for k, inside in enumerate((_in_square, _in_ellipse, _in_heart)):
        covered[shape == k] = inside(u[shape == k], v[shape == k])
    return covered.reshape(len(shape), side, POINTS, side, POINTS).sum((2, 4), dtype=np.uint8)


def _in_square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) <= 0.5**0.5


def _in_ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + 4 * v**2 <= 1


def _in_heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = HEART_RADIUS * u, HEART_RADIUS * v + HEART_CENTRE
    return (x**2 + y**2 - 1) ** 3 <= x**2 * y**3


def _check(factors: np.ndarray, levels: Levels) -> None:
    if factors.ndim != 2 or factors.shape[1] != 5 or (factors < 0).any() or (factors >= levels.counts).any():
        raise UserError(
            f"Factors of sprites are rows (shape, scale, orientation, x, y) of levels below {levels.counts}, from 0."
        )
    if not 0 < levels.shapes <= len(SHAPES) or min(levels.counts) < 1 or levels.side < levels.places + 4:
        raise UserError(
            f"There are {len(SHAPES)} shapes, each factor has a level at least, and a side of {levels.side} pixels leaves "
            f"room for {max(levels.side - 4, 0)} places: ask for fewer, or for a larger side."
        )
