"""Priors on curved spaces (floor 3): uniform on the sphere, normal about 0 on constant curvature, and products."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions import sphere
from logpx.distributions.product import ProductOf, SideBySide
from logpx.distributions.riemannian import RiemannianNormal as RiemannianNormalLaw
from logpx.distributions.riemannian import radius_reach
from logpx.distributions.wrapped import WrappedNormal as WrappedNormalLaw
from logpx.distributions.wrapped import ball_reach, sphere_reach
from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.maths.trigonometry import anywhere
from logpx.networks import Curvature, Curvatures


class UniformSphere(nn.Module):
    """p(z) = 1/|S^n| on the unit sphere of R^(n + 1), whatever the context. Raises UserError for n < 1."""

    like: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        if n < 1:
            raise UserError(f"A sphere has at least one dimension, not {n}: S^1 is the circle.")
        self.dim = n + 1
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, context: Tensor | None = None) -> Distribution:
        return sphere.UniformSphere(self.dim, like=self.like)


class _AtOrigin(nn.Module):
    """What normal laws about 0 share: n dimensions, the curvature, and one scale in units of distance."""

    zeros: Tensor
    scale: Tensor

    def __init__(self, n: int, curvature: Curvature | Curvatures, scale: float = 1.0) -> None:
        super().__init__()
        if n < 1:
            raise UserError(f"A latent space has at least one dimension, not {n}.")
        if not 0 < scale < math.inf:
            raise UserError(f"The scale of the prior is {scale}: give a positive number.")
        self.n, self.dim, self.curvature = n, n, curvature
        self.register_buffer("zeros", torch.zeros(n), persistent=False)
        self.register_buffer("scale", torch.full((1,), float(scale)), persistent=False)

    def _check_reach(self, kappa: Tensor, largest: float) -> None:
        """UserError for a scale of more than `largest` radii, with which p(z) would leave what its numbers tell apart."""
        if anywhere(self.scale.square() * kappa < -(largest**2)):
            way = "say --precision float64, or " if kappa.dtype == torch.float32 else ""
            raise UserError(
                f"p(z) reaches further than the {manifolds.depth(kappa)} radii from 0 within which "
                f"{str(kappa.dtype)[6:]} tells points of a hyperbolic space apart: {way}take a smaller curvature or scale."
            )


class WrappedNormal(_AtOrigin):
    """p(z) = WN(0, scale^2 I) on a space of n dimensions and curvature kappa (Mathieu et al. 2019; Skopek et al. 2020).

    Coordinates as of the posterior family: stereographic, or `ambient` ones of the hyperboloid or sphere; of `Curvatures` the
    product of one such law for each. On a sphere that is too small for it, the scale stops short of 9 pi R/(sqrt n + 5.3),
    where the law has long been spread over all of it. Raises UserError for n < 1, a scale that is not positive, ambient
    coordinates of a curvature that may be 0, and when it is called, for a p(z) that reaches further into a hyperbolic space
    than floating-point numbers tell points apart.
    """

    def __init__(self, n: int, curvature: Curvature | Curvatures, scale: float = 1.0, *, ambient: bool = False) -> None:
        super().__init__(n, curvature, scale)
        if ambient and curvature.sign == 0:
            raise UserError("Ambient coordinates need a curvature that keeps its sign: take stereographic ones here.")
        spaces = len(curvature) if isinstance(curvature, Curvatures) else 1
        self.ambient, self.dim = ambient, spaces * (n + ambient)
        self.reach = 0.99 * sphere_reach(n)

    def forward(self, context: Tensor | None = None) -> Distribution:
        kappa = self.curvature()
        self._check_reach(kappa, ball_reach(manifolds.depth(kappa), self.n))
        u = (self.scale.square() * kappa.unsqueeze(-1) / self.reach**2).clamp(0, 1e9)
        scale = self.scale * (1 + u.pow(4)).pow(-0.125)  # below `reach` radii on a sphere, the scale itself elsewhere
        law = WrappedNormalLaw.about_0(self.n, scale, kappa, ambient=self.ambient)
        return SideBySide(law) if isinstance(self.curvature, Curvatures) else law


class RiemannianNormal(_AtOrigin):
    """p(z) = RN(0, scale^2), density exp(-d(0, z)^2/(2 scale^2))/Z on the Poincare ball (Mathieu et al. 2019, section 3.1).

    Raises UserError as WrappedNormal does, and for a curvature that is not, or may not stay, negative.
    """

    def __init__(self, n: int, curvature: Curvature, scale: float = 1.0) -> None:
        super().__init__(n, curvature, scale)
        if curvature.sign != -1:
            raise UserError(
                "A Riemannian normal law needs a curvature that is negative and stays so: take a WrappedNormal here."
            )

    def forward(self, context: Tensor | None = None) -> Distribution:
        kappa = self.curvature()
        self._check_reach(kappa, radius_reach(manifolds.depth(kappa), self.n))
        return RiemannianNormalLaw(self.zeros, self.scale, kappa, validate_args=False)


class Product(nn.Module):
    """p(z) = prod_i p_i(z_i), the parts' z_i end to end, of priors such as these and StandardNormal.

    The parts are not given the context. Raises UserError where there is no part.
    """

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        if not parts:
            raise UserError("A product needs at least one prior.")
        self.parts = nn.ModuleList(parts)
        self.dim = sum(int(part().event_shape[0]) for part in parts)

    def forward(self, context: Tensor | None = None) -> Distribution:
        return ProductOf([part() for part in self.parts])
