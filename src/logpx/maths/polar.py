"""The cosine of a von Mises-Fisher law: its quantiles, with their exact derivative in the concentration (floor 0).

w = mu.z has density proportional to e^{kw} (1 - w^2)^{(n-2)/2}, n = m - 1. In the latitude y = artanh w of Mercator's
chart that is f(y) = e^{k tanh y} / cosh^n y: a smooth bell of almost one width, 1/sqrt(n (1 + w0^2)) with w0 = tanh y0
its mode, whether k is 0 or 10^5. Two dozen cells around the mode, six Gauss-Legendre nodes in each, integrate it
to 1e-10, and two steps of Newton's kind invert the integral: no rejection, hence no draw that is ever missing.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_CELLS = 24
_DEPTH = 33.0  # log f is below -33 outside the cells: 1e-14 of the mass
_EDGE = 1e-14  # of u, so that rounding in the sum of the cells cannot lead into an empty one
_X, _WEIGHTS = (0.5 * a for a in np.polynomial.legendre.leggauss(6))
_NODES = torch.from_numpy(np.stack([np.append(0.5 + _X, 1), np.append(_WEIGHTS, 0)]))  # on [0, 1], its end included


class _Bell(NamedTuple):
    """log f(y) = top - k (1 - w) - n log 2 cosh y, zero at the mode; s = (1 - w)/2 keeps its digits near w = 1."""

    n: int
    k: Tensor
    mode: Tensor
    s: Tensor  # at the mode
    top: Tensor

    @classmethod
    def of(cls, k: Tensor, n: int) -> "_Bell":
        root = torch.sqrt(n * n + 4 * k * k)  # w0 = 2k/(n + root)
        s = 0.5 * (n + n * n / (root + 2 * k)) / (n + root)
        mode = 0.5 * torch.log((1 - s) / s)
        return cls(n, k, mode, s, 2 * k * s + n * (mode - torch.log(1 - s)))  # log 2 cosh y = y - log(1 - s)

    def rows(self) -> "_Bell":
        """Each of them one dimension further to the left, to be evaluated at many y."""
        return _Bell(self.n, *(t.unsqueeze(-1) for t in self[1:]))

    def density(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """f and s, with q = e^{-2y}: log 2 cosh y = y + log(1 + q)."""
        q = torch.exp(-2 * y)
        one = 1 + q
        s = q / one
        return torch.exp(torch.addcmul(self.top, self.k, s, value=-2) - self.n * (y + torch.log(one))), s

    def slope(self, s: Tensor) -> Tensor:
        """(log f)' = k (1 - w^2) - n w."""
        w = 1 - 2 * s
        return self.k - w * (self.k * w + self.n)

    def edges(self) -> Tensor:
        """Ends of the cells, (*B, cells + 1): bounds on where log f = -33, evenly spaced in arsinh in between.

        With d = y - y0, tau = tanh d, R = 1/(1 + w0 tau): -log f/n = log cosh d + (R - 1 - log R), both at least 0. The
        first alone bounds |d|. By u^2/(2 + 2u) <= u - log(1 + u), the second bounds R by 1 + T + sqrt(T^2 + 2T), where
        T = 33/n: a nearer lower end where k is large. Long tails (small m) get more cells.
        """
        T, cells = _DEPTH / self.n, _CELLS + 16 // self.n
        far = T + math.log1p(math.sqrt(-math.expm1(-2 * T)))
        e = (1 / (1 + T + math.sqrt(T * T + 2 * T)) - 2 * self.s) / (2 - 4 * self.s).clamp_min(1e-9)  # (1 + tau)/2
        e = e.clamp(1 / (1 + math.exp(2 * far)), 0.5).unsqueeze(-1)
        low = torch.asinh(0.5 * torch.log((1 - e) / e))
        t = torch.linspace(-1, 1, cells + 1, dtype=e.dtype, device=e.device)
        return self.mode.unsqueeze(-1) + torch.sinh(torch.where(t < 0, low, math.asinh(far)) * t)

    def integrals(self, start: Tensor, width: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Those of f and f s over (start, start + width); f and s at its end."""
        x, weights = _NODES.to(start.device)
        f, s = self.rows().density(torch.addcmul(start.unsqueeze(-1), width.unsqueeze(-1), x))
        return width * (f @ weights), width * ((f * s) @ weights), f[..., -1], s[..., -1]


def _solve(u: Tensor, k: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """y with F(y) = u, and dy/dk = -(1/f(y)) int_{-inf}^y f (w - E w); u (*S, *B) and k (*B)."""
    bell = _Bell.of(k, n)
    edges = bell.edges()
    mass, moment, _, _ = bell.rows().integrals(edges[..., :-1], edges.diff())
    total, moments = mass.sum(-1), moment.sum(-1)
    mean = moments / total  # of s = (1 - w)/2
    before, passed = mass.cumsum(-1) - mass, mean.unsqueeze(-1) * mass - moment
    share = u.clamp(_EDGE, 1 - _EDGE) * total
    cell = (share.unsqueeze(-1) >= before[..., 1:]).sum(-1, keepdim=True).unsqueeze(-1)
    table = torch.stack([edges[..., :-1], edges[..., 1:], mass, before, passed.cumsum(-1) - passed], -1)
    a, b, inside, before, passed = (  # of each draw's cell
        table.expand(*u.shape, -1, -1).gather(-2, cell.expand(*u.shape, 1, 5)).squeeze(-2).unbind(-1)
    )
    share, width = share - before, b - a
    y = a + width * _exponential_quantile(share / inside, width * bell.slope(torch.sigmoid(-a - b)))
    found, _, f, s = bell.integrals(a, y - a)
    off = (found - share) / f
    y = y - off / (1 - (0.5 * off * bell.slope(s)).clamp_max(0.5))  # Halley's step; Newton's comes last
    y = torch.minimum(torch.maximum(y, a), b)
    found, moment, f, s = bell.integrals(a, y - a)
    off, rate = (found - share) / f, -2 * (passed + mean * found - moment) / f
    return y - off, rate + off * (2 * (mean - s) + rate * bell.slope(s))  # (f dy/dk)' = -f (w - E w)


def _exponential_quantile(u: Tensor, a: Tensor) -> Tensor:
    """x with (e^{ax} - 1)/(e^a - 1) = u, on [0, 1]: the first guess in a cell, so a near 0 need not be exact."""
    a = torch.where(a.abs() < 1e-3, 1e-3, a.clamp(-40, 40))
    return (torch.log1p(u.clamp(0, 1) * torch.expm1(a)) / a).clamp(0, 1)


def von_mises_fisher_latitude(u: Tensor, k: Tensor, m: int) -> Tensor:
    """artanh w at the u-quantile of w = mu.z, z von Mises-Fisher in R^m: u in (0, 1) (*S, *B), k (*B).

    float64. Differentiable in k once, by the implicit dw/dk = -(1/q(w)) int_{-1}^w q(t) (t - A) dt (Figurnov et al.
    2018, arXiv:1805.08498); the published code of Davidson et al. 2018 (arXiv:1804.00891), a rejection sampler, leaves
    out a correction of up to a fifth of this gradient. A second derivative would be taken as zero.
    """
    at = k.detach()
    y, slope = _solve(u, at, m - 1)
    return y + slope * (k - at)
