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

import math
from collections.abc import Callable

import torch
from torch import Tensor

from logpx.maths.special import _polynomial

Curvature = float | Tensor
Part = Callable[[Tensor], Tensor]


def _rounding(x: Tensor) -> float:
    return torch.finfo(x.dtype).eps


# --- even functions: f(w) = F(sqrt w) for w >= 0 continues to F(i sqrt(-w)) for w < 0 ----------------------------------

_SERIES_BELOW = 0.005  # |w| under which the series are used: what they drop is below 1e-17; the closed forms' gradients
# lose a factor 1/w there, their second ones 1/w^2


def _tangent_series(terms: int) -> list[float]:
    """a_k of tan t = sum_k a_k t^(2k+1), from tan' = 1 + tan^2."""
    a = [1.0]
    for k in range(1, terms):
        a.append(sum(a[i] * a[k - 1 - i] for i in range(k)) / (2 * k + 1))
    return a


_TAN = _tangent_series(7)
_ARTAN = [(-1) ** k / (2 * k + 1) for k in range(7)]
_ARSIN = [math.comb(2 * k, k) / 4**k / (2 * k + 1) for k in range(7)]
_SIN = [(-1) ** k / math.factorial(2 * k + 1) for k in range(5)]
_COS = [(-1) ** k / math.factorial(2 * k) for k in range(5)]
# d/dt log(sin t / t) = cot t - 1/t, whose series b_k follows from cot t - 2 cot 2t = tan t: b_k = a_k / (1 - 4^(k+1))
_LOG_SIN = [0.0, *(a / (1 - 4 ** (k + 1)) / (2 * k + 2) for k, a in enumerate(_TAN[:5]))]


def _even(w: Tensor, series: list[float], hyperbolic: Part, spherical: Part) -> Tensor:
    """The series in w near 0, else hyperbolic(sqrt(-w)) or spherical(sqrt w); no branch sees an argument not its own."""
    near = w.abs() < _SERIES_BELOW
    below = hyperbolic(torch.where(w <= -_SERIES_BELOW, -w, 0.25).sqrt())
    above = spherical(torch.where(w >= _SERIES_BELOW, w, 0.25).sqrt())
    return torch.where(near, _polynomial(torch.where(near, w, 0), *series), torch.where(w < 0, below, above))


def _tan_ratio(w: Tensor) -> Tensor:
    return _even(w, _TAN, lambda t: t.tanh() / t, lambda t: t.tan() / t)


def _artan_ratio(w: Tensor) -> Tensor:
    return _even(w, _ARTAN, lambda t: t.clamp_max(1 - _rounding(t)).atanh() / t, lambda t: t.atan() / t)


def _sin_ratio(w: Tensor) -> Tensor:
    return _even(w, _SIN, lambda t: t.sinh() / t, lambda t: t.sin() / t)


def _cos(w: Tensor) -> Tensor:
    return _even(w, _COS, torch.cosh, torch.cos)


def _half_angle_ratio(s2: Tensor, c2: Tensor) -> Tensor:
    """(r/2)/sin_k(r/2) from s2 = kappa sin_k^2(r/2) and c2 = cos^2 = 1 - s2, which the arc tangent needs near pi/2."""
    c = c2.clamp_min(_rounding(c2) ** 2).sqrt()
    return _even(s2, _ARSIN, lambda t: t.asinh() / t, lambda t: torch.atan2(t, c) / t)


def log_sin_ratio(w: Tensor) -> Tensor:
    """log(sin(t)/t) with w = t^2 in (-inf, pi^2); log(sinh(t)/t) with w = -t^2 below zero, which never overflows.

    At w = pi^2, where it is -inf, and beyond it the sine is held at the rounding error of the dtype.
    """

    def spherical(t: Tensor) -> Tensor:
        return (t.sin().clamp_min(_rounding(t)) / t).log()

    return _even(w, _LOG_SIN, lambda t: t + torch.log1p(-torch.exp(-2 * t)) - (2 * t).log(), spherical)


def tan_k(t: Tensor, kappa: Curvature) -> Tensor:
    """tanh(sqrt(-kappa) t)/sqrt(-kappa), t, or tan(sqrt(kappa) t)/sqrt(kappa)."""
    return t * _tan_ratio(kappa * t.square())


def artan_k(t: Tensor, kappa: Curvature) -> Tensor:
    """The inverse of tan_k; finite at the boundary sqrt(-kappa) t = 1, where it is -log(eps/2)/2 in units of R."""
    return t * _artan_ratio(kappa * t.square())


def sin_k(t: Tensor, kappa: Curvature) -> Tensor:
    """sinh(sqrt(-kappa) t)/sqrt(-kappa), t, or sin(sqrt(kappa) t)/sqrt(kappa): circumference over 2 pi at radius t."""
    return t * _sin_ratio(kappa * t.square())


def arsin_k(x: Tensor, kappa: Curvature) -> Tensor:
    """The inverse of sin_k on |t| <= pi R/2; finite at both ends, and asinh(sqrt(-kappa) x)/sqrt(-kappa) below zero."""
    w = kappa * x.square()
    return x * _half_angle_ratio(w, 1 - w)


def log_volume(r2: Tensor, kappa: Curvature, n: int) -> Tensor:
    """(n - 1) log(sin_k(r)/r), the log-determinant of the exponential map at radius r = sqrt(r2); r <= pi R on a sphere.

    It takes the squared radius, of which it is a smooth function.
    """
    return (n - 1) * log_sin_ratio(kappa * r2)


# --- stereographic coordinates ----------------------------------------------------------------------------------------


def _margin(x: Tensor) -> float:
    """Points are kept within 1 - this of the boundary: nearer, float32 (float64) loses the distance."""
    return 4e-3 if x.dtype == torch.float32 else 1e-5


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
    return (1 + k * _norm2(x)).clamp_min(4 * _rounding(x))


def conformal_factor(x: Tensor, kappa: Curvature) -> Tensor:
    """lambda_x = 2/(1 + kappa |x|^2), (...): lengths at x are this many times those of the coordinates."""
    return 2 / _stretch(x, _as(kappa, x)).squeeze(-1)


def log_lebesgue(x: Tensor, kappa: Curvature) -> Tensor:
    """n log lambda_x: log Riemannian volume over volume in coordinates; added to a log-density per Riemannian volume."""
    return x.shape[-1] * conformal_factor(x, kappa).log()


def project(x: Tensor, kappa: Curvature) -> Tensor:
    """x, or the point on its ray at norm (1 - eps) R if it is further out: eps = 4e-3 in float32, 1e-5 in float64.

    On the plane of a sphere, whose pole is at infinity, no norm exceeds R over the rounding error.
    """
    w = _as(kappa, x) * _norm2(x)
    limit = torch.where(w < 0, w.new_full((), 1 - _margin(x)), 1 / _rounding(x))
    outside = w.abs() > limit.square()
    return x * torch.where(outside, limit * torch.where(outside, w.abs(), 1).rsqrt(), 1)


def gyro_add(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """x (+) y, the translation that takes 0 to x, applied to y (Moebius addition).

    ((1 - 2 kappa <x,y> - kappa |y|^2) x + (1 + kappa |x|^2) y)/(1 - 2 kappa <x,y> + kappa^2 |x|^2 |y|^2).
    """
    k = _as(kappa, x)
    return _gyro_add(x, y, _stretch(y, k), k)


def _gyro_add(x: Tensor, y: Tensor, b: Tensor, k: Tensor) -> Tensor:
    """x (+) y with b = 1 + kappa |y|^2. Below zero written with d = x + y, which leaves only sums of like signs."""
    a, d = _stretch(x, k), x + y
    kxy, d2 = k * (x * y).sum(-1, keepdim=True), k * _norm2(d)
    below = (a * d - d2 * x) / (a * b - d2.clamp_max(0))
    pole = (1 - 2 * kxy + k.square() * _norm2(x) * _norm2(y)).clamp_min(_rounding(x) ** 2)
    above = ((1 - 2 * kxy - k * _norm2(y)) * x + a * y) / pole
    return torch.where(k < 0, below, above)


def _halves(x: Tensor, y: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """At distance r, in the direction u of y from x: sin_k(r) u in an orthonormal frame, sin_k^2(r/2), cos_k^2(r/2).

    (-x) (+) y = (a d + kappa |d|^2 x)/(a b - kappa |d|^2), of norm tan_k(r/2), with d = y - x, a = 1 + kappa |x|^2 and b
    likewise of y: no difference of like numbers below zero, and exactly zero at x = y.
    """
    a, b, d = _stretch(x, k), _stretch(y, k), y - x
    d2, ab = _norm2(d), a * b
    above = 1 + 2 * k * (x * y).sum(-1, keepdim=True) + k.square() * _norm2(x) * _norm2(y)
    den = torch.where(k < 0, ab - k * d2, above)
    return 2 * (a * d + k * d2 * x) / ab, d2 / ab, den / ab


def _straighten(halves: tuple[Tensor, Tensor, Tensor], k: Tensor) -> Tensor:
    """r u from sin_k(r) u: times (r/2)/sin_k(r/2)/cos_k(r/2), and on the far side of a sphere by its direction alone."""
    w, s2, c2 = halves
    ratio = _half_angle_ratio(k * s2, c2)
    far = c2 < 0.25
    long = torch.where(far, _norm2(w), 1).clamp_min(torch.finfo(w.dtype).tiny).sqrt()
    near_factor = ratio * torch.where(far, 1, c2).rsqrt()
    return w * torch.where(far, 2 * ratio * torch.where(far, s2, 1).sqrt() / long, near_factor)


def _squared_distance(halves: tuple[Tensor, Tensor, Tensor], k: Tensor) -> Tensor:
    _, s2, c2 = halves
    return (4 * s2 * _half_angle_ratio(k * s2, c2).square()).squeeze(-1)


def _root(d2: Tensor) -> Tensor:
    """sqrt(d2) with gradient 0, not nan, at 0."""
    return torch.where(d2 > 0, torch.where(d2 > 0, d2, 1).sqrt(), 0)


def squared_distance(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """d(x, y)^2, (...), smooth at x = y; see `distance`."""
    k = _as(kappa, x)
    return _squared_distance(_halves(x, y, k), k)


def distance(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """2 R asinh( |x - y| / (R sqrt((1 + kappa |x|^2)(1 + kappa |y|^2))) ), (...); 2 |x - y| at 0; an angle times R above.

    Finite on the boundary of the ball; opposite x on a sphere good to the root of the rounding error only (ambient
    coordinates keep it all). At x = y the gradient, which does not exist, is 0: ask for `squared_distance`.
    """
    return _root(squared_distance(x, y, kappa))


def to_frame(m: Tensor, z: Tensor, kappa: Curvature) -> Tensor:
    """v (..., n) with z = from_frame(m, v): lambda_m log_m(z), so that |v| = d(m, z)."""
    k = _as(kappa, m)
    return _straighten(_halves(m, z, k), k)


def from_frame(m: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """exp_m(v/lambda_m) = m (+) tan_k(|v|/2) v/|v|, projected: the point at distance |v| from m.

    v has its components in the orthonormal frame at m that parallel transport brings there from 0.
    """
    k = _as(kappa, m)
    w = k * _norm2(v) / 4
    y = 0.5 * v * _tan_ratio(w)
    deep = w < -1  # there 1 + kappa |y|^2 = 1/cosh^2 by itself, since |y| may have been rounded to R
    e = torch.exp(-2 * torch.where(deep, -w, 1).sqrt())
    b = torch.where(deep, 4 * e / (1 + e).square(), 1 + k * _norm2(y))
    return project(_gyro_add(m, y, b.clamp_min(torch.finfo(v.dtype).tiny), k), kappa)


def exp_at(x: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """exp_x(v), v a tangent vector in coordinates: the point where the geodesic from x with that velocity is at time 1."""
    return from_frame(x, conformal_factor(x, kappa).unsqueeze(-1) * v, kappa)


def log_at(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """log_x(y), the inverse of exp_at: a tangent vector in coordinates with lambda_x |log_x(y)| = d(x, y)."""
    return to_frame(x, y, kappa) / conformal_factor(x, kappa).unsqueeze(-1)


def exp_at_0(v: Tensor, kappa: Curvature) -> Tensor:
    """exp_0(v) = tan_k(|v|) v/|v|, projected."""
    return project(v * _tan_ratio(_as(kappa, v) * _norm2(v)), kappa)


def log_at_0(y: Tensor, kappa: Curvature) -> Tensor:
    """log_0(y) = artan_k(|y|) y/|y|."""
    return y * _artan_ratio(_as(kappa, y) * _norm2(y))


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
    south = h < 0
    small = k * _norm2(m[..., 1:]) / (1 - torch.where(south, h, 0))
    return torch.where(south, small, 1 + h).clamp_min(_rounding(m) ** 2)


def ambient_inner(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """sign(kappa) x_0 y_0 + <x', y'>, (...): Minkowski's product below zero, Euclid's above; kappa <x, x> = 1."""
    k = _as(kappa, x).squeeze(-1)
    return torch.sign(k) * x[..., 0] * y[..., 0] + (x[..., 1:] * y[..., 1:]).sum(-1)


def ambient_project(x: Tensor, kappa: Curvature) -> Tensor:
    """The point of the sphere on the ray through x; of the hyperboloid the one with x', held where `project` holds it."""
    k = _as(kappa, x)
    R, on_sphere = _radius(k), k > 0
    y = 1 - _margin(x)
    limit = 2 * y / (1 - y * y) * R  # |x'| of the stereographic point of norm y R
    long2 = torch.where(on_sphere, 1, _norm2(x[..., 1:]))
    outside = long2 > limit.square()
    below = x[..., 1:] * torch.where(outside, limit * torch.where(outside, long2, 1).rsqrt(), 1)
    below = torch.cat([(R.square() + _norm2(below)).sqrt(), below], -1)
    above = R * x * torch.where(on_sphere, _norm2(x).clamp_min(torch.finfo(x.dtype).tiny), 1).rsqrt()
    return torch.where(on_sphere, above, below)


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
    w = k * v2
    deep = w < -(_DEEP**2)
    shrink = torch.where(deep, _DEEP * torch.where(deep, -w, 1).rsqrt(), 1)
    w = w * shrink.square()
    return ambient_project(_cos(w) * m + _sin_ratio(w) * shrink * v, kappa)


def ambient_exp_at_0(v: Tensor, kappa: Curvature) -> Tensor:
    """exp of (0, v) at the origin (R, 0): (R cos(|v|/R), R sin(|v|/R) v/|v|) or with cosh and sinh; v (..., n)."""
    k = _as(kappa, v)
    origin = torch.cat([_radius(k).expand_as(v[..., :1]), torch.zeros_like(v)], -1)
    return _ambient_exp(origin, torch.cat([torch.zeros_like(v[..., :1]), v], -1), _norm2(v), kappa, k)


def _ambient_halves(x: Tensor, y: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`_halves` with the first as a tangent vector at x. sin_k^2(r/2) = <y - x, y - x>/4, which cancels on a hyperboloid:
    there it is |d|^2 lambda_x lambda_y/4, d the difference in the ball. The cosine of a sphere is from y + x.
    """
    below = k < 0
    hx, hy = (_height(torch.where(below, p, 1), k) for p in (x, y))
    in_ball = _norm2(y[..., 1:] / hy - x[..., 1:] / hx) * hx * hy / 4
    s2 = torch.where(below, in_ball, _norm2(y - x) / 4)
    c2 = torch.where(below, 1 - k * in_ball, k * _norm2(y + x) / 4)
    return y - x + 2 * k * s2 * x, s2, c2


def ambient_log(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """log_x(y), the inverse of ambient_exp: tangent at x, of length d(x, y)."""
    k = _as(kappa, x)
    return _straighten(_ambient_halves(x, y, k), k)


def ambient_distance(x: Tensor, y: Tensor, kappa: Curvature) -> Tensor:
    """d(x, y), (...): the same number as `distance` of the stereographic points; gradient 0 at x = y."""
    k = _as(kappa, x)
    return _root(_squared_distance(_ambient_halves(x, y, k), k))


def ambient_to_frame(m: Tensor, z: Tensor, kappa: Curvature) -> Tensor:
    """v (..., n) with z = ambient_from_frame(m, v), |v| = d(m, z): log_m(z), transported back to the origin."""
    return ambient_transport_to_0(m, ambient_log(m, z, kappa), kappa)


def ambient_from_frame(m: Tensor, v: Tensor, kappa: Curvature) -> Tensor:
    """The point at distance |v| from m, v (..., n) in the orthonormal frame that transport brings from the origin to m."""
    k = _as(kappa, m)
    return _ambient_exp(m, ambient_transport_from_0(m, v, kappa), _norm2(v), kappa, k)
