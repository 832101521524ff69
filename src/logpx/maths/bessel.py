"""Modified Bessel functions I_v of fixed order, in logarithms, and their ratios (floor 0).

Both come from one smooth pair, free of the singularity at k = 0: g = log 0F1(; v+1; k^2/4) = log I_v(k) - v log(k/2)
+ log G(v+1), G the gamma function, and A = dg/dk = I_{v+1}(k)/I_v(k). An expansion that is uniform in k gives it at an
order of ten or more, and the recurrence I_{v-1} = (2v/k) I_v + I_{v+1}, stable in this direction, leads down to v.
"""

import math

import numpy as np
import torch
from numpy.polynomial import polynomial
from torch import Tensor

_TERMS = 12  # of the expansion; with orders from _FROM on, g is right to 2e-12 and A to 3e-11, relative, at every k
_FROM = 10.0


def _debye() -> tuple[Tensor, Tensor]:
    """Coefficients of E_j(p) = D_j'(p) and Q_j(p) = (D_j(1) - D_j(p))/(1 - p), j = 1 .. J = _TERMS: (3J, J) each.

    The D_j are the terms of the *logarithm* of Debye's series sum_j u_j(p)/V^j (DLMF 10.41.9): with E_1 = (1 - 5 p^2)/8
    and w = p^2 (1 - p^2)/2, E_{j+1} = (w E_j)' + w sum_{i+l=j} E_i E_l, the recurrence of the u_j in logarithms.
    """
    w = np.array([0, 0, 0.5, 0, -0.5])
    E: list[np.ndarray] = [np.array([1, 0, -5.0]) / 8]
    for j in range(1, _TERMS):
        products = [polynomial.polymul(E[i], E[j - 2 - i]) for i in range(j - 1)]
        total = sum((np.pad(p, (0, 3 * j - len(p))) for p in products), np.zeros(3 * j))
        E.append(polynomial.polyadd(polynomial.polyder(polynomial.polymul(w, E[-1])), polynomial.polymul(w, total)))
    slope, fall = np.zeros((3 * _TERMS, _TERMS)), np.zeros((3 * _TERMS, _TERMS))
    for j, e in enumerate(E):
        slope[: len(e), j] = e
        fall[: len(e), j] = polynomial.polyint(e)[:0:-1].cumsum()[::-1]  # (1 - p^i)/(1 - p) = 1 + ... + p^{i-1}
    return torch.from_numpy(slope), torch.from_numpy(fall)


_SLOPE, _FALL = _debye()


def _expansion(V: float, k: Tensor) -> tuple[Tensor, Tensor]:
    """(g, A/k) at an order V >= 10 (DLMF 10.41.3), written in differences from k = 0 so that none of them cancels.

    With s = sqrt(V^2 + k^2), p = V/s, d = s - V: g = d - V log(1 + d/2V) - 1/2 log(1 + d/V) + D(p) - D(1).
    """
    s = torch.sqrt(V * V + k * k)
    p, d = V / s, k * k / (s + V)
    powers = p.unsqueeze(-1).expand(*p.shape, len(_SLOPE)).cumprod(-1)  # p, p^2, ...: one too many, divided out below
    scale = torch.tensor([V ** -(j + 1.0) for j in range(_TERMS)], dtype=k.dtype, device=k.device)
    E = powers @ (_SLOPE.to(k.device) @ scale)
    Q = powers @ (_FALL.to(k.device) @ scale) / p
    g = d - V * torch.log1p(d / (2 * V)) - 0.5 * torch.log1p(d / V) - d / s * Q
    return g, 1 / (s + V) - (0.5 + E) / s.square()


def _descend(v: float, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(g, A_v/k, A_{v+1}/k), by q_j = A_j/k = 1/(2(j+1) + k^2 q_{j+1}) and g_j = g_{j+1} + log(q_j(0)/q_j)."""
    steps = max(1, math.ceil(_FROM - v))
    g, q = _expansion(v + steps, k)
    above, square = q, k * k
    for j in reversed(range(steps)):
        twice = 2 * (v + j + 1)
        x = square * q
        g = g + torch.log1p(x / twice)
        above, q = q, 1 / (x + twice)
    return g, q, above


def bessel_pair(v: float, k: Tensor) -> tuple[Tensor, Tensor]:
    """(log 0F1(; v+1; k^2/4), I_{v+1}(k)/I_v(k)) for an order v >= 0 and k >= 0, both float64 whatever the type of k.

    Right to 1e-10 relative and smooth at k = 0, where both are zero. Their derivatives are not differences but formulas:
    g' = A, g'' = A' = q + k q', A'' = -2 A A' - (2v+1) q', with q = A/k and q' = k q (q_{v+1} - q) (DLMF 10.29.2), handed
    to torch as the Taylor polynomial at k itself, whose coefficients are constants: no pass through the recurrence, and one
    graph. For k far above v the sums lose digits: A' is right to 1e-7 at k = 1e4 and 1e-5 at 1e5, A'' to 1e-3 at 1e4.
    """
    k = k.double()
    at = k.detach()
    h = k - at  # zero, with a gradient
    g, q, above = _descend(v, at)
    A, slope = at * q, at * q * (above - q)
    first = q + at * slope
    second = -2 * A * first - (2 * v + 1) * slope
    return g + h * (A + h * (first / 2 + h * (second / 6))), A + h * (first + h * (second / 2))


def log_bessel_i(v: float, k: Tensor) -> Tensor:
    """log I_v(k), elementwise for k > 0, in the type of k: -inf neither at (99, 1e-6) nor at (500, 1) in float32."""
    g, _ = bessel_pair(v, k)
    return (g + v * torch.log(k.double() / 2) - math.lgamma(v + 1)).to(k.dtype)


def bessel_ratio(v: float, k: Tensor) -> Tensor:
    """I_{v+1}(k)/I_v(k) in [0, 1), elementwise for k >= 0: the mean cosine of a von Mises-Fisher law, v = m/2 - 1."""
    return bessel_pair(v, k)[1].to(k.dtype)
