"""Families on curved spaces (floor 3): on the unit sphere, on spaces of constant curvature, and products of families."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from logpx.distributions import sphere
from logpx.distributions.product import ProductOf, SideBySide
from logpx.distributions.riemannian import RiemannianNormal as RiemannianNormalLaw
from logpx.distributions.riemannian import radius_reach
from logpx.distributions.wrapped import WrappedNormal as WrappedNormalLaw
from logpx.distributions.wrapped import ball_reach, sphere_reach
from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.networks import Curvature, Curvatures

# --- the unit sphere --------------------------------------------------------------------------------------------------

_LEAST, _MOST = 1e-4, 1e5  # concentration: uniform to 1e-9 nats, and the most that the Bessel functions are tested at


class _Spherical(nn.Module):
    """A law about an axis on S^n, emitted as one vector v of R^(n + 1): mu = v/|v|, kappa from |v|."""

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UserError(f"A sphere has at least one dimension, not {n}: S^1 is the circle.")
        self.dim = self.size = n + 1

    def numbers(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """mu (..., n + 1) of norm 1 and kappa (...)."""
        r, mu = _polar(params)
        s = (self.dim - 1) * (r + r.square())
        return mu, s / (1 + s / _MOST) + _LEAST  # s where it matters, and a way back from any size


class VonMisesFisher(_Spherical):
    """q(z|x) = vMF(mu, kappa) on the sphere S^n of R^(n + 1) (Davidson et al. 2018, arXiv:1804.00891, section 3).

    The encoder emits v: mu = v/|v|, kappa = s/(1 + s/1e5) + 1e-4 with s = n (|v| + |v|^2), since it is about kappa/n that
    decides how far z is from uniform: near 0 v is the natural parameter kappa mu, far out kappa grows like |v|^2, as for the
    direction of a normal vector of mean v. The decoder receives z itself, n + 1 numbers. The published code has
    kappa = softplus(a) + 1 beside the axis. Its floor of 1 forbids the uniform law and so hides a posterior that has collapsed
    onto it; softplus without a floor cannot come back from there, since its slope is gone: v can, as the likelihood's gradient
    is linear in it and the KL's quadratic. Here the floor is worth 1e-9 nats. Raises UserError for n < 1.
    """

    def forward(self, params: Tensor) -> Distribution:
        return sphere.VonMisesFisher(*self.numbers(params), validate_args=False)


class PowerSpherical(_Spherical):
    """q(z|x) = PowerSpherical(mu, kappa) on S^n, mu and kappa as of `VonMisesFisher` (De Cao & Aziz 2020, arXiv:2006.04437)."""

    def forward(self, params: Tensor) -> Distribution:
        return sphere.PowerSpherical(*self.numbers(params), validate_args=False)


def _polar(v: Tensor) -> tuple[Tensor, Tensor]:
    """|v| (...), at most 1e9, and v/|v|, which is (1, 0, ..., 0) at v = 0 and whose gradient is at most 1e6."""
    size = v.detach().abs().amax(-1, keepdim=True).clamp_min(1)  # no square overflows
    v = v / size
    lost = v.detach().square().sum(-1, keepdim=True) < 1e-12
    first = F.one_hot(torch.zeros((), dtype=torch.int64, device=v.device), v.shape[-1])
    v = v + lost * first
    r = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return torch.where(lost, 0, size * r).squeeze(-1).clamp_max(1e9), v / r


# --- spaces of constant curvature -------------------------------------------------------------------------------------


class WrappedNormal(nn.Module):
    """q(z|x) = WN(m, diag sigma^2) on a space of n dimensions and curvature kappa (Mathieu et al. 2019; Skopek et al. 2020).

    The encoder emits v (n,) and a (n,): m = exp_0(v/2), at distance |v| from 0, and sigma = softplus(a) + 1e-5 in units of
    distance. z is in stereographic coordinates, n numbers (Poincare ball, projected sphere, and all in between), or with
    `ambient` in those of the hyperboloid or sphere, n + 1 numbers, whose kappa must keep its sign.

    Both are bent smoothly so that z stays where floating-point numbers tell its points apart: beyond 9.5 radii R of a
    hyperbolic space (float32; 21 in float64) a draw would be moved and its density be of another law. |v| < 8.5 R (20 R) and
    sigma < 9.5 R/(sqrt n + 3); on a sphere, where geodesics come back, sigma < 9 pi R/(sqrt n + 5.3), and in stereographic
    coordinates, which end opposite 0, |v| < 0.9 pi R. Raises UserError for n < 1 and for ambient coordinates of a curvature
    that is, or may become, 0.

    Of the `Curvatures` of m spaces it is the product of their laws, z_1, ..., z_m end to end: emitted as by the `Product` of m
    such families, in about half the time of three of them.
    """

    def __init__(self, n: int, curvature: Curvature | Curvatures, *, ambient: bool = False) -> None:
        super().__init__()
        _check(n)
        if ambient and curvature.sign == 0:
            raise UserError(
                "The radius of a hyperboloid or sphere is infinite at curvature 0: start with another, fixed or learned, or "
                "take stereographic coordinates."
            )
        self.n, self.curvature, self.ambient = n, curvature, ambient
        spaces = len(curvature) if isinstance(curvature, Curvatures) else 1
        self.dim, self.size = spaces * (n + ambient), spaces * 2 * n

    def forward(self, params: Tensor) -> Distribution:
        if isinstance(self.curvature, Curvatures):
            return SideBySide(self._law(params.unflatten(-1, (len(self.curvature), -1))))
        return self._law(params)

    def _law(self, params: Tensor) -> WrappedNormalLaw:
        """Of v and a (..., 2 n)."""
        v, a = params.split([self.n, self.n], -1)
        kappa, scale = self.curvature(), _positive(a)
        k = kappa.unsqueeze(-1)
        reach = torch.where(k < 0, ball_reach(manifolds.depth(params), self.n), 0.99 * sphere_reach(self.n))
        scale = scale * _bend(scale.square(), k, reach)
        return WrappedNormalLaw(
            _centre(v, kappa, self.ambient), scale, kappa, ambient=self.ambient, validate_args=False
        )


class RiemannianNormal(nn.Module):
    """q(z|x) = RN(m, sigma^2), density exp(-d(m, z)^2/(2 sigma^2))/Z on the Poincare ball (Mathieu et al. 2019, section 3.1).

    The encoder emits v (n,) and a (1,), which give m and sigma as of `WrappedNormal`; sigma is kept where the draws are
    within 9.5 R (21 R), which is less, as their distance grows like (n - 1) sigma^2/R. Raises UserError for n < 1, and for a
    curvature that is not, or may not stay, negative.
    """

    def __init__(self, n: int, curvature: Curvature) -> None:
        super().__init__()
        _check(n)
        if curvature.sign != -1:
            raise UserError(
                "A Riemannian normal law needs a curvature that is negative and stays so: take a WrappedNormal here."
            )
        self.n, self.curvature = n, curvature
        self.dim, self.size = n, n + 1

    def forward(self, params: Tensor) -> Distribution:
        v, a = params.split([self.n, 1], -1)
        kappa, scale = self.curvature(), _positive(a)
        scale = scale * _bend(scale.square(), kappa, radius_reach(manifolds.depth(params), self.n))
        return RiemannianNormalLaw(_centre(v, kappa, ambient=False), scale, kappa, validate_args=False)


class Product(nn.Module):
    """q(z|x) = prod_i q_i(z_i|x), z the parts' z_i end to end, of families such as these and DiagNormal (Skopek et al. 2020).

    The encoder emits the numbers of one part after the other. Raises UserError where there is no part.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        if not parts:
            raise UserError("A product needs at least one family.")
        self.parts = nn.ModuleList(parts)
        self.sizes = [_whole(part.size) for part in parts]
        self.dim, self.size = sum(_whole(part.dim) for part in parts), sum(self.sizes)

    def forward(self, params: Tensor) -> Distribution:
        split = params.split(self.sizes, -1)
        return ProductOf([part(numbers) for part, numbers in zip(self.parts, split, strict=True)])


def _whole(number: Any) -> int:
    """What a family declares, which nn.Module types as anything."""
    return int(number)


def _check(n: int) -> None:
    if n < 1:
        raise UserError(f"A latent space has at least one dimension, not {n}.")


def _positive(a: Tensor) -> Tensor:
    return F.softplus(a.clamp(max=1e4)) + 1e-5


def _bend(x2: Tensor, kappa: Tensor, reach: Tensor | float) -> Tensor:
    """What takes x to x/(1 + u^2)^(1/4), u = kappa x^2/reach^2: always less than `reach` radii, and x itself at kappa = 0."""
    return (1 + (x2 * kappa / reach**2).square()).pow(-0.25)


def _centre(v: Tensor, kappa: Tensor, ambient: bool) -> Tensor:
    """The point at distance |v| from 0, |v| bent to less than depth - 1 (below zero) or 0.9 pi (above) in radii."""
    v, k = v.clamp(-1e6, 1e6), kappa.unsqueeze(-1)
    reach = torch.where(k < 0, manifolds.depth(v) - 1, math.inf if ambient else 0.9 * math.pi)
    v = v * _bend(v.square().sum(-1, keepdim=True), k, reach)
    return manifolds.ambient_exp_at_0(v, kappa) if ambient else manifolds.exp_at_0(v / 2, kappa)
