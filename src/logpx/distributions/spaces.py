"""The space that a law over z lives in (floor 1): its parts, flat or of constant curvature, and the geodesics in each."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, Normal

from logpx.distributions.discrete import OneHots
from logpx.distributions.laws import is_euclidean
from logpx.distributions.product import ProductOf
from logpx.distributions.riemannian import RiemannianNormal
from logpx.distributions.sphere import PowerSpherical, UniformSphere, VonMisesFisher
from logpx.distributions.wrapped import WrappedNormal
from logpx.errors import UserError
from logpx.maths import manifolds

Coordinates = Literal["flat", "stereographic", "ambient"]
_SPHERICAL = (VonMisesFisher, PowerSpherical, UniformSphere)


class Space(NamedTuple):
    """One part of z: a space of n dimensions and curvature kappa, whose coordinates are z[..., start : start + dim].

    flat           n numbers of R^n, kappa = 0: lengths are those of the numbers;
    stereographic  n numbers of the Poincare ball, the projected sphere, or at kappa = 0 a plane measured at twice |dz|;
    ambient        n + 1 numbers of the hyperboloid or of the sphere; the unit sphere is that of kappa = 1.
    Points m, a, b and z below are the part's own coordinates (..., dim), as `of` cuts them out; tangent vectors v (..., n)
    have their components in the orthonormal frame at m that parallel transport brings there from `origin`, and are
    in units of distance. See maths.manifolds.
    """

    start: int
    n: int
    kappa: float = 0.0
    coordinates: Coordinates = "flat"

    @property
    def dim(self) -> int:
        """How many coordinates there are."""
        return self.n + (self.coordinates == "ambient")

    @property
    def radius(self) -> float:
        """R = 1/sqrt|kappa|, infinite at 0."""
        return math.inf if self.kappa == 0 else abs(self.kappa) ** -0.5

    @property
    def reach(self) -> float:
        """The injectivity radius: how far geodesics from a point go before two of them meet, pi R on a sphere."""
        return math.pi * self.radius if self.kappa > 0 else math.inf

    @property
    def words(self) -> str:
        """ "2 flat dimensions", "2 dimensions of curvature -1 in ambient coordinates"."""
        if self.coordinates == "flat":
            return f"{self.n} flat dimension{'s' * (self.n != 1)}"
        what = f"{self.n} dimension{'s' * (self.n != 1)} of curvature {self.kappa:.6g}"
        return f"{what} in {self.coordinates} coordinates"

    def of(self, z: Tensor) -> Tensor:
        """This part (..., dim) of z (..., D)."""
        return z[..., self.start : self.start + self.dim]

    def put(self, part: Tensor, z: Tensor) -> Tensor:
        """z (..., D) with this part replaced; batch shapes broadcast."""
        batch = torch.broadcast_shapes(part.shape[:-1], z.shape[:-1])
        z, end = z.expand(*batch, -1), self.start + self.dim
        return torch.cat([z[..., : self.start], part.expand(*batch, -1), z[..., end:]], -1)

    def origin(self, like: Tensor) -> Tensor:
        """0, or (R, 0, ..., 0) in ambient coordinates, (dim,)."""
        zero = like.new_zeros(self.n)
        return manifolds.ambient_exp_at_0(zero, self.kappa) if self.coordinates == "ambient" else zero

    def onto(self, z: Tensor) -> Tensor:
        """The point of the space at z, or that nearest along the ray through it."""
        if self.coordinates == "ambient":
            return manifolds.ambient_project(z, self.kappa)
        return z if self.coordinates == "flat" else manifolds.project(z, self.kappa)

    def move(self, m: Tensor, v: Tensor) -> Tensor:
        """exp_m(v), the point at distance |v| from m in the direction v."""
        if self.coordinates == "flat":
            return m + v
        if self.coordinates == "ambient":
            return manifolds.ambient_from_frame(m, v, self.kappa)
        return manifolds.from_frame(m, v, self.kappa)

    def towards(self, m: Tensor, z: Tensor) -> Tensor:
        """log_m(z), the inverse of `move`: |v| = d(m, z). At the antipode of m, where all directions lead, the first."""
        if self.coordinates == "flat":
            return z - m
        if self.coordinates == "stereographic":
            return manifolds.to_frame(m, z, self.kappa)
        v, d = manifolds.ambient_to_frame(m, z, self.kappa), manifolds.ambient_distance(m, z, self.kappa).unsqueeze(-1)
        lost = torch.linalg.vector_norm(v, dim=-1, keepdim=True) < 0.5 * d
        first = torch.eye(self.n, dtype=v.dtype, device=v.device)[0]
        return torch.where(lost, d * first, v)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """d(a, b), (...)."""
        return torch.linalg.vector_norm(self.towards(a, b), dim=-1)

    def geodesic(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        """The points at the fractions t (T,) of the shortest way from a to b, (T, ..., dim): a straight line where flat."""
        t = t.to(a).view(-1, *[1] * max(a.ndim, b.ndim))
        return self.move(a, t * self.towards(a, b))

    def walk(self, m: Tensor, i: int, lengths: Tensor) -> Tensor:
        """The points at signed distances `lengths` (T,) from m along the i-th direction of its frame, (T, ..., dim)."""
        direction = torch.eye(self.n, dtype=m.dtype, device=m.device)[i]
        return self.move(m, lengths.to(m).view(-1, *[1] * m.ndim) * direction)

    # --- charts ---

    def to_disk(self, z: Tensor) -> Tensor:
        """Points of a hyperbolic space in the Poincare ball of radius 1, (..., n)."""
        y = manifolds.to_stereographic(z, self.kappa) if self.coordinates == "ambient" else z
        return y / self.radius

    def from_disk(self, u: Tensor) -> Tensor:
        """The inverse of `to_disk`."""
        y = u * self.radius
        return manifolds.from_stereographic(y, self.kappa) if self.coordinates == "ambient" else y

    def to_sphere(self, z: Tensor) -> Tensor:
        """Points of a space of positive curvature on the unit sphere of R^(n + 1), (..., n + 1); `origin` is (1, 0, ...)."""
        x = z if self.coordinates == "ambient" else manifolds.from_stereographic(z, self.kappa)
        return x / self.radius

    def from_sphere(self, u: Tensor) -> Tensor:
        """The inverse of `to_sphere`."""
        x = u * self.radius
        return x if self.coordinates == "ambient" else manifolds.to_stereographic(x, self.kappa)


def parts_of(law: Distribution) -> tuple[Distribution, ...]:
    """The independent laws whose events stand end to end in z: those of a product, or the law itself."""
    if not isinstance(law, ProductOf):
        return (law,)
    return tuple(inner for part in law.parts for inner in parts_of(part))


def spaces_of(law: Distribution) -> list[Space]:
    """The space of each of `parts_of` a law over z, or of the components of a mixture.

    Raises UserError for a law on a space that is not known here.
    """
    if isinstance(law, MixtureSameFamily):
        return spaces_of(law.component_distribution)
    found: list[Space] = []
    for part in parts_of(law):
        found.append(_space(part, found[-1].start + found[-1].dim if found else 0))
    return found


def _space(law: Distribution, start: int) -> Space:
    if isinstance(law, WrappedNormal):
        return Space(start, law.n, _one(law.kappa), "ambient" if law.ambient else "stereographic")
    if isinstance(law, RiemannianNormal):
        return Space(start, law.n, _one(law.kappa), "stereographic")
    if isinstance(law, _SPHERICAL):
        return Space(start, law.m - 1, 1.0, "ambient")
    if is_euclidean(law):
        return Space(start, law.event_shape[0])
    raise UserError(
        f"The geometry of {type(law).__name__} is not known: give the law of a space of constant curvature."
    )


def _one(kappa: Tensor) -> float:
    """The curvature that all laws of a batch share."""
    first = kappa.detach().flatten()[0]
    if not bool((kappa == first).all()):
        raise UserError("The curvature differs from row to row, so there is no one space to walk in: ask for one row.")
    return first.item()


def check_same_space(q: Distribution, p: Distribution) -> None:
    """Raises UserError where q(z|x) and p(z) are densities on different spaces: log q - log p would be no number of nats.

    Flat parts side by side are one flat part. Laws on a space that is not known here pass.
    """
    try:
        mine, theirs = (_merged(spaces_of(law)) for law in (q, p))
    except UserError:
        return
    for a, b in zip(mine, theirs, strict=False):
        if (a.start, a.n, a.coordinates) != (b.start, b.n, b.coordinates) or abs(a.kappa - b.kappa) > 1e-5 * abs(
            a.kappa
        ):
            raise UserError(
                f"From number {a.start} of z on, q(z|x) is a law on {a.words} and p(z) on {b.words}, so their densities "
                "cannot be compared: give posterior and prior the same space."
            )


def _merged(found: list[Space]) -> list[Space]:
    """With neighbouring flat parts as one."""
    merged: list[Space] = []
    for space in found:
        if merged and merged[-1].coordinates == space.coordinates == "flat":
            merged[-1] = merged[-1]._replace(n=merged[-1].n + space.n)
        else:
            merged.append(space)
    return merged


def centres(law: Distribution) -> Tensor:
    """The Frechet mean of each law, (..., D), a point of the space; E[z] of a law on the unit sphere is none.

    Of one-hot vectors, which have no mean among them, the most probable code.

    Raises UserError for a uniform law, which has no such point.
    """
    return torch.cat([_centre(part) for part in parts_of(law)], -1)


def _centre(law: Distribution) -> Tensor:
    if isinstance(law, UniformSphere):
        raise UserError("A uniform law on the sphere has no centre: every point is as good.")
    return law.mode if isinstance(law, (*_SPHERICAL, OneHots)) else law.mean


def spreads(law: Distribution) -> Tensor | None:
    """Standard deviations in the directions of the frame at its centre, (..., n), of a normal law of one space.

    None for others; of a Riemannian normal law the scale s, which stands for them.
    """
    if isinstance(law, WrappedNormal | RiemannianNormal):
        return law.scale.expand(*law.batch_shape, law.n)
    is_normal = isinstance(law, Independent) and isinstance(law.base_dist, Normal)
    return law.stddev if is_normal else None


def geodesic(spaces: list[Space], a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The fractions t (T,) of the shortest way from a to b (..., D) in a product of spaces, part by part: (T, ..., D)."""
    return torch.cat([s.geodesic(s.of(a), s.of(b), t) for s in spaces], -1)
