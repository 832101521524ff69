"""Spaces of constant curvature kappa (floor 0): hyperbolic below zero, flat at zero, spherical above, in one formula.

Two sets of coordinates for points of the n-dimensional space of radius R = 1/sqrt|kappa|:

    stereographic   y (..., n): the Poincare ball |y| < R (kappa < 0), the plane (0), the sphere seen from its pole (> 0);
                    metric lambda_y^2 |dy|^2 with lambda_y = 2/(1 + kappa |y|^2), so the flat space is measured at twice |dy|
    ambient         x (..., n + 1): x_0^2 + kappa/|kappa| |x'|^2 = R^2 with x = (x_0, x'), the hyperboloid or the sphere

kappa is a float, a scalar tensor or one that broadcasts against points without their last axis (ambient: not zero).
Everything in stereographic coordinates is smooth through kappa = 0, v = 0 and x = y, second gradients included: the
functions of |v| are even ones, written in w = kappa |v|^2 with their power series around w = 0. Sources: Ganea et al. 2018
(arXiv:1805.09112), Bachmann et al. 2020 (arXiv:1911.05076), Skopek et al. 2020 (arXiv:1911.08411, appendix A).
"""

import torch
from torch import Tensor

from logpx.maths.trigonometry import (  # noqa: F401 - those of kappa belong to the vocabulary of this module
    Curvature,
    anywhere,
    arsin_k,
    artan_k,
    artan_ratio,
    by_sign,
    even_cos,
    half_angle_ratio,
    log_volume,
    rounding,
    sin_k,
    sin_ratio,
    tan_k,
    tan_ratio,
)

# --- stereographic coordinates ----------------------------------------------------------------------------------------


def _margin(x: Tensor) -> float:
    """Points are kept within 1 - this of the boundary: nearer, 1 + kappa |x|^2 has no more than three digits (seven)."""
    return 1e-4 if x.dtype == torch.float32 else 1e-9


def depth(like: Tensor) -> float:
    """In radii, how far from 0 laws may reach: a little less than 2 artanh(1 - margin), 9.9 in float32 and 21.4 in float64."""
    return 9.5 if like.dtype == torch.float32 else 21.0


def curvature_like(kappa: Curvature, x: Tensor) -> Tensor:
    """kappa as a tensor with x's dtype and device."""
    return kappa.to(x) if isinstance(kappa, Tensor) else x.new_full((), kappa)


def _as(kappa: Curvature, x: Tensor) -> Tensor:
    """kappa as a tensor with a last axis of one."""
    return curvature_like(kappa, x).unsqueeze(-1)


def _norm2(x: Tensor) -> Tensor:
    return x.square().sum(-1, keepdim=True)


def _stretch(x: Tensor, k: Tensor) -> Tensor:
    """1 + kappa |x|^2 = 2/lambda_x, (..., 1); on the boundary of the ball a few roundings instead of 0."""
    return (1 + k * _norm2(x)).clamp_min(4 * rounding(x))


def conformal_factor(x: Tensor, kappa: Curvature) -> Tensor:
    """lambda_x = 2/(1 + kappa |x|^2), (...): lengths at x are this many times those of the coordinates."""
    return 2 / _stretch(x, _as(kappa, x)).squeeze(-1)


def log_lebesgue(x: Tensor, kappa: Curvature) -> Tensor:
    """n log lambda_x: log Riemannian volume over volume in coordinates; added to a log-density per Riemannian volume."""
    return x.shape[-1] * conformal_factor(x, kappa).log()


def project(x: Tensor, kappa: Curvature) -> Tensor:
    """x, or the point on its ray at norm (1 - eps) R if it is further out: eps = 1e-4 in float32, 1e-9 in float64.

    On the plane of a sphere, whose pole is at infinity, no norm exceeds R over the rounding error.
    """
    w = _as(kappa, x) * _norm2(x)
    limit = torch.where(w < 0, w.new_full((), 1 - _margin(x)), 1 / rounding(x))
    outside = w.abs() > limit.square()
    if anywhere(outside) is False:
        return x
    return x * torch.where(outside, limit * torch.where(outside, w.abs(), 1).rsqrt(), 1)


def gyro_add(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """x (+) y, the translation that takes 0 to x, applied to y (Moebius addition).

    ((1 - 2 kappa <x,y> - kappa |y|^2) x + (1 + kappa |x|^2) y)/(1 - 2 kappa <x,y> + kappa^2 |x|^2 |y|^2).
    """
    k = _as(kappa, x)
    return _gyro_add(x, y, _stretch(y, k), k)


def _gyro_add(x: Tensor, y: Tensor, b: Tensor, k: Tensor) -> Tensor:
    """x (+) y with b = 1 + kappa |y|^2. Below zero written with d = x + y, which leaves only sums of like signs."""
    a = _stretch(x, k)

    def below() -> Tensor:
        d = x + y
        d2 = k * _norm2(d)
        return (a * d - d2 * x) / (a * b - d2.clamp_max(0))

    def above() -> Tensor:
        kxy = k * (x * y).sum(-1, keepdim=True)
        pole = (1 - 2 * kxy + k.square() * _norm2(x) * _norm2(y)).clamp_min(rounding(x) ** 2)
        return ((1 - 2 * kxy - k * _norm2(y)) * x + a * y) / pole

    return by_sign(k, below, above)


def _halves(x: Tensor, y: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """At distance r, in the direction u of y from x: sin_k(r) u in an orthonormal frame, sin_k^2(r/2), cos_k^2(r/2).

    (-x) (+) y = (a d + kappa |d|^2 x)/(a b - kappa |d|^2), of norm tan_k(r/2), with d = y - x, a = 1 + kappa |x|^2 and b
    likewise of y: no difference of like numbers below zero, and exactly zero at x = y.
    """
    a, b, d = _stretch(x, k), _stretch(y, k), y - x
    d2, ab = _norm2(d), a * b

    def above() -> Tensor:
        x2 = _norm2(x)
        den = 1 + 2 * k * (x * y).sum(-1, keepdim=True) + k.square() * x2 * _norm2(y)
        far = (den < 0.25 * ab) & (k * x2 > rounding(x))
        if anywhere(far) is False:
            return den
        whole = _norm2(torch.where(far, k * x2 * y + x, 0)) / torch.where(far, x2, 1)  # the same without cancellation
        return torch.where(far, whole, den)

    den = by_sign(k, lambda: ab - k * d2, above)
    return 2 * (a * d + k * d2 * x) / ab, d2 / ab, den / ab


def _straightened(w: Tensor, s2: Tensor, c2: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """r u from w = sin_k(r) u, and r/sin_k(r), (..., 1); on a sphere's far side w tells no more than its direction."""
    half, far = half_angle_ratio(k * s2, c2), c2 < 0.25
    if anywhere(far) is False:
        ratio = half * c2.rsqrt()
        return w * ratio, ratio
    ratio = half * c2.clamp_min(rounding(c2) ** 2).rsqrt()
    long = torch.where(far, _norm2(w), 1).clamp_min(torch.finfo(w.dtype).tiny).sqrt()
    return w * torch.where(far, 2 * half * torch.where(far, s2, 1).sqrt() / long, ratio), ratio


def _squared_distance(s2: Tensor, c2: Tensor, k: Tensor) -> Tensor:
    return (4 * s2 * half_angle_ratio(k * s2, c2).square()).squeeze(-1)


def _root(d2: Tensor) -> Tensor:
    """sqrt(d2) with gradient 0, not nan, at 0."""
    return torch.where(d2 > 0, torch.where(d2 > 0, d2, 1).sqrt(), 0)


def squared_distance(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """d(x, y)^2, (...), smooth at x = y; see `distance`."""
    k = _as(kappa, x)
    return _squared_distance(*_halves(x, y, k)[1:], k)


def distance(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """2 R asinh( |x - y| / (R sqrt((1 + kappa |x|^2)(1 + kappa |y|^2))) ), (...); 2 |x - y| at 0; an angle times R above.

    Finite on the boundary of the ball; opposite x on a sphere good to the root of the rounding error only (ambient
    coordinates keep it all). At x = y the gradient, which does not exist, is 0: ask for `squared_distance`.
    """
    return _root(squared_distance(x, y, kappa))


def to_frame(m: Tensor, z: Tensor, kappa: Curvature) -> Tensor:
    """v (..., n) with z = from_frame(m, v): lambda_m log_m(z), so that |v| = d(m, z)."""
    return to_frame_with_ratio(m, z, kappa)[0]


def to_frame_with_ratio(m: Tensor, z: Tensor, kappa: Curvature) -> tuple[Tensor, Tensor]:
    """v of `to_frame` and r/sin_k(r) (...), r = |v|: to the power 1 - n, the volume of the exponential map."""
    k = _as(kappa, m)
    v, ratio = _straightened(*_halves(m, z, k), k)
    return v, ratio.squeeze(-1)


def from_frame(m: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """exp_m(v/lambda_m) = m (+) tan_k(|v|/2) v/|v|, projected: the point at distance |v| from m.

    v has its components in the orthonormal frame at m that parallel transport brings there from 0.
    """
    k = _as(kappa, m)
    w = k * _norm2(v) / 4
    y = 0.5 * v * tan_ratio(w)
    b = 1 + k * _norm2(y)
    deep = w < -1  # there it is 1/cosh^2 by itself, since |y| may have been rounded to R
    if anywhere(deep) is not False:
        e = torch.exp(-2 * torch.where(deep, -w, 1).sqrt())
        b = torch.where(deep, 4 * e / (1 + e).square(), b)
    return project(_gyro_add(m, y, b.clamp_min(torch.finfo(v.dtype).tiny), k), kappa)


def exp_at(x: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """exp_x(v), v a tangent vector in coordinates: the point where the geodesic from x with that velocity is at time 1."""
    return from_frame(x, conformal_factor(x, kappa).unsqueeze(-1) * v, kappa)


def log_at(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """log_x(y), the inverse of exp_at: a tangent vector in coordinates with lambda_x |log_x(y)| = d(x, y)."""
    return to_frame(x, y, kappa) / conformal_factor(x, kappa).unsqueeze(-1)


def exp_at_0(v: Tensor, kappa: Curvature) -> Tensor:
    """exp_0(v) = tan_k(|v|) v/|v|, projected."""
    return project(v * tan_ratio(_as(kappa, v) * _norm2(v)), kappa)


def log_at_0(y: Tensor, kappa: Curvature) -> Tensor:
    """log_0(y) = artan_k(|y|) y/|y|."""
    return y * artan_ratio(_as(kappa, y) * _norm2(y))


def from_0_with_ratio(z: Tensor, kappa: Curvature) -> tuple[Tensor, Tensor]:
    """`to_frame_with_ratio` at m = 0, where v = 2 log_0(z) and sin_k(r) = 2 |z|/(1 + kappa |z|^2)."""
    k = _as(kappa, z)
    ratio = artan_ratio(k * _norm2(z))
    return 2 * z * ratio, (ratio * _stretch(z, k)).squeeze(-1)


def transport_from_0(x: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """Parallel transport of v from 0 to x along the geodesic: (lambda_0/lambda_x) v = (1 + kappa |x|^2) v."""
    return _stretch(x, _as(kappa, x)) * v


# --- ambient coordinates: hyperboloid and sphere ----------------------------------------------------------------------

_DEEP = 36.0  # radii beyond this many R are projected anyway, and cosh^2 of them still fits into float32


def _radius(k: Tensor) -> Tensor:
    return k.abs().rsqrt()


def _height(m: Tensor, k: Tensor) -> Tensor:
    """1 + m_0/R, (..., 1) = lambda of the stereographic point; near the sphere's pole m_0 = -R from |m'| instead."""
    h = m[..., :1] / _radius(k)

    def south() -> Tensor:
        return (k * _norm2(m[..., 1:]) / (1 - h.clamp_max(0))).clamp_min(rounding(m) ** 2)

    return by_sign(h, south, lambda: 1 + h)


def ambient_inner(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """sign(kappa) x_0 y_0 + <x', y'>, (...): Minkowski's product below zero, Euclid's above; kappa <x, x> = 1."""
    k = _as(kappa, x).squeeze(-1)
    return torch.sign(k) * x[..., 0] * y[..., 0] + (x[..., 1:] * y[..., 1:]).sum(-1)


def ambient_project(x: Tensor, kappa: Curvature) -> Tensor:
    """The point of the sphere on the ray through x; of the hyperboloid the one with x', held where `project` holds it."""
    k = _as(kappa, x)
    R = _radius(k)

    def above() -> Tensor:
        return R * x * _norm2(x).clamp_min(torch.finfo(x.dtype).tiny).rsqrt()

    return by_sign(k, lambda: _lifted(x[..., 1:], k), above)


def _lifted(x: Tensor, k: Tensor) -> Tensor:
    """The point of the hyperboloid over x (..., n), held where `project` holds it."""
    R, y = _radius(k), 1 - _margin(x)
    limit = 2 * y / (1 - y * y) * R  # |x'| of the stereographic point of norm y R
    long2 = _norm2(x)
    outside = long2 > limit.square()
    if anywhere(outside) is not False:
        x = x * torch.where(outside, limit * torch.where(outside, long2, 1).rsqrt(), 1)
        long2 = _norm2(x)
    return torch.cat([(R.square() + long2).sqrt(), x], -1)


def to_stereographic(x: Tensor, kappa: Curvature) -> Tensor:
    """y = x'/(1 + x_0/R), (..., n) from (..., n + 1); the sphere's pole x_0 = -R has none."""
    return x[..., 1:] / _height(x, _as(kappa, x))


def from_stereographic(y: Tensor, kappa: Curvature) -> Tensor:
    """x = (R (lambda_y - 1), lambda_y y), (..., n + 1) from (..., n)."""
    k = _as(kappa, y)
    a = _stretch(y, k)
    return torch.cat([_radius(k) * (2 - a) / a, 2 / a * y], -1)


def ambient_transport_from_0(m: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """Parallel transport of (0, v), tangent at the origin (R, 0), to m: (0, v) - kappa <m', v>/(1 + m_0/R) (m + origin).

    v (..., n) -> (..., n + 1). At the sphere's pole m_0 = -R, to which every geodesic leads, (0, v) itself.
    """
    k = _as(kappa, m)
    along = k * (m[..., 1:] * v).sum(-1, keepdim=True)
    return torch.cat([-along * _radius(k), v - along / _height(m, k) * m[..., 1:]], -1)


def ambient_transport_to_0(m: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """The inverse of ambient_transport_from_0: v' - v_0/(R + m_0) m', (..., n) from v tangent at m, (..., n + 1)."""
    k = _as(kappa, m)
    return v[..., 1:] - v[..., :1] / (_radius(k) * _height(m, k)) * m[..., 1:]


def ambient_exp(m: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """exp_m(v) = cos_k(|v|) m + sin_k(|v|) v/|v| for v tangent at m, |v|^2 = <v, v>; projected."""
    k = _as(kappa, m)
    return _ambient_exp(m, v, ambient_inner(v, v, kappa).unsqueeze(-1).clamp_min(0), kappa, k)


def _ambient_exp(m: Tensor, v: Tensor, v2: Tensor, kappa: Curvature, k: Tensor) -> Tensor:
    w, shrink = _held(k * v2)
    return ambient_project(even_cos(w) * m + sin_ratio(w) * shrink * v, kappa)


def _held(w: Tensor) -> tuple[Tensor, Tensor | float]:
    """w = kappa |v|^2 not below -_DEEP^2, and by how much v is shorter for it."""
    deep = w < -(_DEEP**2)
    if anywhere(deep) is False:
        return w, 1.0
    shrink = torch.where(deep, _DEEP * torch.where(deep, -w, 1).rsqrt(), 1)
    return w * shrink.square(), shrink


def ambient_exp_at_0(v: Tensor, kappa: Curvature) -> Tensor:
    """exp of (0, v) at the origin (R, 0): (R cos(|v|/R), R sin(|v|/R) v/|v|) or with cosh and sinh; v (..., n)."""
    k = _as(kappa, v)
    w, shrink = _held(k * _norm2(v))
    x = sin_ratio(w) * shrink * v
    return by_sign(k, lambda: _lifted(x, k), lambda: torch.cat([_radius(k) * even_cos(w), x], -1))


def _ambient_halves(x: Tensor, y: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """sin_k^2(r/2) = <y - x, y - x>/4, which cancels on a hyperboloid: there it is |d|^2 lambda_x lambda_y/4, d the
    difference in the ball; and cos_k^2(r/2), of a sphere from y + x.
    """

    def in_ball() -> Tensor:
        R = _radius(k)
        hx, hy = ((1 + p[..., :1] / R).clamp_min(1) for p in (x, y))
        return _norm2(y[..., 1:] / hy - x[..., 1:] / hx) * hx * hy / 4

    s2 = by_sign(k, in_ball, lambda: _norm2(y - x) / 4)
    return s2, by_sign(k, lambda: 1 - k * s2, lambda: k * _norm2(y + x) / 4)


def ambient_log(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """log_x(y), the inverse of ambient_exp: tangent at x, of length d(x, y)."""
    k = _as(kappa, x)
    s2, c2 = _ambient_halves(x, y, k)
    return _straightened(y - x + 2 * k * s2 * x, s2, c2, k)[0]


def ambient_from_0_with_ratio(z: Tensor, kappa: Curvature) -> tuple[Tensor, Tensor]:
    """`ambient_to_frame_with_ratio` at the origin: v in the direction of z'."""
    k = _as(kappa, z)
    h, x = _height(z, k), z[..., 1:]
    v, ratio = _straightened(x, _norm2(x) / (2 * h), h / 2, k)
    return v, ratio.squeeze(-1)


def ambient_distance(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """d(x, y), (...): the same number as `distance` of the stereographic points; gradient 0 at x = y."""
    k = _as(kappa, x)
    return _root(_squared_distance(*_ambient_halves(x, y, k), k))


def ambient_to_frame(m: Tensor, z: Tensor, kappa: Curvature) -> Tensor:
    """v (..., n) with z = ambient_from_frame(m, v), |v| = d(m, z): log_m(z), transported back to the origin."""
    return ambient_to_frame_with_ratio(m, z, kappa)[0]


def ambient_to_frame_with_ratio(m: Tensor, z: Tensor, kappa: Curvature) -> tuple[Tensor, Tensor]:
    """v of `ambient_to_frame` and r/sin_k(r) (...), r = |v|, as of `to_frame_with_ratio`.

    Multiplied out, v = r/sin_k(r) (d' - (d_0 - 2 kappa sin_k^2(r/2) R)/(R + m_0) m') with d = z - m.
    """
    k = _as(kappa, m)
    R, d = _radius(k), z - m
    s2, c2 = _ambient_halves(m, z, k)
    w = d[..., 1:] - (d[..., :1] / R - 2 * k * s2) / _height(m, k) * m[..., 1:]
    v, ratio = _straightened(w, s2, c2, k)
    return v, ratio.squeeze(-1)


def ambient_from_frame(m: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """The point at distance |v| from m, v (..., n) in the orthonormal frame that transport brings from the origin to m."""
    k = _as(kappa, m)
    return _ambient_exp(m, ambient_transport_from_0(m, v, kappa), _norm2(v), kappa, k)
