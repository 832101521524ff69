"""Sine and tangent of constant curvature (floor 0): hyperbolic below zero, the number itself at zero, circular above.

kappa is a float, a scalar tensor or one that broadcasts. Everything is smooth through kappa = 0 and t = 0, second gradients
included: the functions are even ones of t, written in w = kappa t^2 with their power series around w = 0.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from logpx.maths.special import polynomial

Curvature = float | Tensor
Part = Callable[[Tensor], Tensor]


def rounding(x: Tensor) -> float:
    """The distance from 1 to the next number of x's type."""
    return torch.finfo(x.dtype).eps


# --- branches ---------------------------------------------------------------------------------------------------------


def _look(f: Callable[[Tensor], Any], x: Tensor) -> Any:
    """f(x), or None where to look would wait for an accelerator or break a graph, inside a vmap, and of no elements."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return None
    try:
        return f(x.detach())
    except RuntimeError:
        return None


def extremes(x: Tensor) -> tuple[float, float]:
    """Least and largest element where one look tells, else (-inf, inf)."""
    return _look(lambda x: tuple(extreme.item() for extreme in torch.aminmax(x)), x) or (-math.inf, math.inf)


def anywhere(condition: Tensor) -> bool | None:
    """Whether the condition holds for any element; None where no look tells."""
    return _look(lambda c: bool(c.any()), condition)


def by_sign(k: Tensor, below: Callable[[], Tensor], above: Callable[[], Tensor]) -> Tensor:
    """where(k < 0, below(), above()), and only the branch that is asked for where one look tells."""
    low, high = extremes(k)
    if high < 0:
        return below()
    return above() if low >= 0 else torch.where(k < 0, below(), above())


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
    low, high = extremes(w)
    if high <= -_SERIES_BELOW:
        return hyperbolic((-w).sqrt())
    if low >= _SERIES_BELOW:
        return spherical(w.sqrt())
    value = polynomial(w.clamp(-_SERIES_BELOW, _SERIES_BELOW), *series[: 4 if w.dtype == torch.float32 else None])
    if not low > -_SERIES_BELOW:  # nan asks for every branch
        below = w <= -_SERIES_BELOW
        value = torch.where(below, hyperbolic(torch.where(below, -w, 0.25).sqrt()), value)
    if not high < _SERIES_BELOW:
        above = w >= _SERIES_BELOW
        value = torch.where(above, spherical(torch.where(above, w, 0.25).sqrt()), value)
    return value


def tan_ratio(w: Tensor) -> Tensor:
    """tan(t)/t at w = t^2, tanh(t)/t at w = -t^2, and so the others."""
    return _even(w, _TAN, lambda t: t.tanh() / t, lambda t: t.tan() / t)


def artan_ratio(w: Tensor) -> Tensor:
    return _even(w, _ARTAN, lambda t: t.clamp_max(1 - rounding(t)).atanh() / t, lambda t: t.atan() / t)


def sin_ratio(w: Tensor) -> Tensor:
    return _even(w, _SIN, lambda t: t.sinh() / t, lambda t: t.sin() / t)


def even_cos(w: Tensor) -> Tensor:
    return _even(w, _COS, torch.cosh, torch.cos)


def half_angle_ratio(s2: Tensor, c2: Tensor) -> Tensor:
    """(r/2)/sin_k(r/2) from s2 = kappa sin_k^2(r/2) and c2 = cos^2 = 1 - s2, which the arc tangent needs near pi/2."""
    c = c2.clamp_min(rounding(c2) ** 2).sqrt()
    return _even(s2, _ARSIN, lambda t: t.asinh() / t, lambda t: torch.atan2(t, c) / t)


def log_sin_ratio(w: Tensor) -> Tensor:
    """log(sin(t)/t) with w = t^2 in (-inf, pi^2); log(sinh(t)/t) with w = -t^2 below zero, which never overflows.

    At w = pi^2, where it is -inf, and beyond it the sine is held at the rounding error of the dtype.
    """

    def spherical(t: Tensor) -> Tensor:
        return (t.sin().clamp_min(rounding(t)) / t).log()

    return _even(w, _LOG_SIN, lambda t: t + torch.log1p(-torch.exp(-2 * t)) - (2 * t).log(), spherical)


def tan_k(t: Tensor, kappa: Curvature) -> Tensor:
    """tanh(sqrt(-kappa) t)/sqrt(-kappa), t, or tan(sqrt(kappa) t)/sqrt(kappa)."""
    return t * tan_ratio(kappa * t.square())


def artan_k(t: Tensor, kappa: Curvature) -> Tensor:
    """The inverse of tan_k; finite at the boundary sqrt(-kappa) t = 1, where it is -log(eps/2)/2 in units of R."""
    return t * artan_ratio(kappa * t.square())


def sin_k(t: Tensor, kappa: Curvature) -> Tensor:
    """sinh(sqrt(-kappa) t)/sqrt(-kappa), t, or sin(sqrt(kappa) t)/sqrt(kappa): circumference over 2 pi at radius t."""
    return t * sin_ratio(kappa * t.square())


def arsin_k(x: Tensor, kappa: Curvature) -> Tensor:
    """The inverse of sin_k on |t| <= pi R/2; finite at both ends, and asinh(sqrt(-kappa) x)/sqrt(-kappa) below zero."""
    w = kappa * x.square()
    return x * half_angle_ratio(w, 1 - w)


def log_volume(r2: Tensor, kappa: Curvature, n: int) -> Tensor:
    """(n - 1) log(sin_k(r)/r), the log-determinant of the exponential map at radius r = sqrt(r2); r <= pi R on a sphere.

    It takes the squared radius, of which it is a smooth function.
    """
    return (n - 1) * log_sin_ratio(kappa * r2)
