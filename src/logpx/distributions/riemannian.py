"""The Riemannian normal law on the Poincare ball (floor 1): the normal law of the distance, with its own radius law."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from logpx.distributions.laws import check_law, check_point, on_manifold
from logpx.distributions.sphere import log_sphere_area
from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.maths.trigonometry import anywhere

Shape = torch.Size | list[int] | tuple[int, ...]
_REACH = 10.0  # half-width of the quadrature in scales: the log-density falls at least as y^2/2, here to e^-50
_CELLS = 48  # of the table of the distribution function, each integrated by eight Gauss-Legendre points: F to 3e-10 F
_STEPS = 3  # of Newton's method inside a cell


def _gauss_legendre(points: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights on (0, 1)."""
    x, w = np.polynomial.legendre.leggauss(points)
    return torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)


_MANY = _gauss_legendre(64)
_FEW = tuple(torch.cat([t, t.new_tensor([end])]) for t, end in zip(_gauss_legendre(8), (1.0, 0.0), strict=True))


class RiemannianNormal(Distribution):
    """log p(z) = -d(loc, z)^2/(2 s^2) - log |S^(n-1)| - log Z_r per Riemannian volume (Pennec 2006; Mathieu et al. 2019).

    loc    (..., n), a point of the Poincare ball of curvature kappa < 0, and the shape of z. See maths.manifolds.
    scale  (..., 1), s in units of distance.
    kappa  the curvature, a float or a tensor that broadcasts against the batch; 0 is allowed, the flat limit.

    Z_r = int_0^inf e^{-r^2/2s^2} sin_k(r)^(n-1) dr. z = exp_loc(r u), u uniform on the unit sphere and r of that radius
    law by inversion of its distribution function F, so a draw has the exact gradient dr = -(dF)/rho in scale and kappa.
    The quadrature is in float64 and centred on the mode, good to 1e-12 for every n (Mathieu's sum of alternating terms,
    arXiv:1901.06033, appendix B.1.3, has lost all digits at n = 100). First gradients only. There is no closed KL.
    With validate_args, UserError for a loc or value outside the ball, a scale that is not positive, and n < 1.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = on_manifold
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, kappa: float | Tensor, *, validate_args: bool = True) -> None:
        kappa = manifolds.curvature_like(kappa, loc)
        if validate_args:
            check_law(loc, scale, kappa, loc.shape[-1])
        _check(scale, kappa)
        batch = torch.broadcast_shapes(loc.shape[:-1], scale.shape[:-1], kappa.shape)
        self.loc, self.scale = loc.expand(*batch, -1), scale.expand(*batch, -1)
        self.kappa, self.n = kappa.expand(batch), loc.shape[-1]
        super().__init__(batch, loc.shape[-1:], validate_args=False)
        self._validate_args = validate_args

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "RiemannianNormal":
        batch = torch.Size(batch_shape)
        loc, scale = self.loc.expand(*batch, -1), self.scale.expand(*batch, -1)
        law = RiemannianNormal(loc, scale, self.kappa.expand(batch), validate_args=False)
        law._validate_args = self._validate_args
        return law

    @property
    def mean(self) -> Tensor:
        """The Frechet mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def _bend(self) -> Tensor:
        """kappa s^2, all that the law of r/s depends on, in float64."""
        return self.kappa.double() * self.scale.squeeze(-1).double().square()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self._batch_shape
        uniform = torch.rand(shape, dtype=torch.float64, device=self.loc.device)
        rows = uniform.reshape(-1, *self._batch_shape).movedim(0, -1)
        y = radius_quantile(rows, self._bend, self.n).movedim(-1, 0).reshape(shape).to(self.loc.dtype)
        direction = torch.randn((*shape, self.n), dtype=self.loc.dtype, device=self.loc.device)
        v = self.scale * y.unsqueeze(-1) * torch.nn.functional.normalize(direction, dim=-1)
        return manifolds.from_frame(self.loc, v, self.kappa)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            check_point(value, self.kappa)
        d2 = manifolds.squared_distance(self.loc, value, self.kappa)
        return -0.5 * d2 / self.scale.squeeze(-1).square() - self.log_norm()

    def log_norm(self) -> Tensor:
        """log(|S^(n-1)| Z_r), (...)."""
        radius = self.n * self.scale.squeeze(-1).double().log() + log_radius_norm(self._bend, self.n)
        return (log_sphere_area(self.n) + radius).to(self.loc.dtype)

    def entropy(self) -> Tensor:
        """log(|S^(n-1)| Z_r) + E d^2/(2 s^2), per Riemannian volume."""
        return self.log_norm() + 0.5 * radius_moment(self._bend, self.n, 2).to(self.loc.dtype)


def _check(scale: Tensor, kappa: Tensor) -> None:
    if scale.shape[-1] != 1:
        raise UserError(f"A Riemannian normal law has one scale, of shape (..., 1), not {scale.shape[-1]} of them.")
    if anywhere(kappa > 0):
        raise UserError(
            "A Riemannian normal law lives where the curvature kappa is negative: take a WrappedNormal here."
        )


# --- the law of y = r/s: density proportional to e^{-y^2/2} (sin_k(s y)/s)^(n-1), of b = kappa s^2 alone ---------------
# Its logarithm falls off from the mode at least as a parabola of width 1, so ten to either side hold everything.


def _log_density(y: Tensor, b: Tensor, n: int) -> Tensor:
    """-y^2/2 + (n - 1) log(sin_b(y)), not normalised; y > 0."""
    return -0.5 * y.square() + (n - 1) * y.log() + manifolds.log_volume(y.square(), b, n)


def _mode(b: Tensor, n: int) -> Tensor:
    """The root of y = (n - 1) a coth(a y), a = sqrt(-b), to within 1/4 at n = 100 and 0.7 at 1000, which is ample.

    coth(x) ~ sqrt(1 + 1/x^2), then one step of y <- sqrt(y (n - 1) a coth(a y)). A constant: no integral depends on it.
    """
    if n == 1:
        return torch.full_like(b, 1e-3)
    b = b.detach()
    slope2 = -((n - 1) ** 2) * b
    y = (0.5 * (slope2 + (slope2.square() + 4 * (n - 1) ** 2).sqrt())).sqrt()
    return ((n - 1) * y / manifolds.tan_k(y, b)).sqrt()


def _span(b: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Where the integrals begin and how far they go, (...) each."""
    mode = _mode(b, n)
    start = (mode - _REACH).clamp_min(0)
    return start, mode + _REACH - start


def _masses(b: Tensor, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes (..., 64) and their masses, which sum to exp(-top) Z; and top (..., 1), the largest log-density."""
    start, length = (p.unsqueeze(-1) for p in _span(b, n))
    nodes, weights = (t.to(b.device) for t in _MANY)
    y = start + length * nodes
    log_p = _log_density(y, b.unsqueeze(-1), n)
    top = log_p.detach().amax(-1, keepdim=True)
    return y, length * weights * (log_p - top).exp(), top


def log_radius_norm(b: Tensor, n: int) -> Tensor:
    """log int_0^inf e^{-y^2/2} sin_b(y)^(n-1) dy, b = kappa s^2 <= 0, (...), in float64: log Z_r = n log s + this."""
    _, mass, top = _masses(b, n)
    return top.squeeze(-1) + mass.sum(-1).log()


def radius_moment(b: Tensor, n: int, power: int) -> Tensor:
    """E (r/s)^power, (...)."""
    y, mass, _ = _masses(b, n)
    return (mass * y**power).sum(-1) / mass.sum(-1)


def radius_reach(depth: float, n: int) -> float:
    """The t = s/R for which the law of r, near (n - 1) t^2 R and of spread t R, ends three spreads on at `depth` radii."""
    return depth / 3 if n == 1 else (math.sqrt(9 + 4 * (n - 1) * depth) - 3) / (2 * (n - 1))


def radius_quantile(u: Tensor, b: Tensor, n: int) -> Tensor:
    """y = F^-1(u; b), u (*batch, K) and b (*batch,) in float64, with the gradient dy/db = -(dF/db)/rho.

    A table of F, Newton's method in (log y, log F) within the cell, which is concave there and exact for a power law.
    """
    bend = b[..., None, None]
    start, length = (p.unsqueeze(-1) for p in _span(b, n))
    width = length / _CELLS
    edges = start + width * torch.arange(_CELLS, dtype=b.dtype, device=b.device)
    nodes, weights = (t.to(b.device) for t in _FEW)

    def log_density_until(left: Tensor, y: Tensor, bend: Tensor) -> Tensor:
        """At the nodes between left and y (..., K), the last of which is y: (..., K, 9)."""
        return _log_density(left.unsqueeze(-1) + (y - left).unsqueeze(-1) * nodes, bend, n)

    table = log_density_until(edges, edges + width, bend)
    top = table.detach().amax((-2, -1), keepdim=True)
    mass = width * ((table - top).exp() * weights).sum(-1)
    cumulative = mass.cumsum(-1)
    total = cumulative[..., -1:]
    target = u.clamp_min(2**-53) * total.detach()
    cell = torch.searchsorted(cumulative.detach(), target.contiguous()).clamp_max(_CELLS - 1)
    left, below = edges.gather(-1, cell), (cumulative - mass).gather(-1, cell)
    y = left + width * _first_guess(target - below.detach(), mass.detach().gather(-1, cell), left, n)
    for _ in range(_STEPS):
        density = (log_density_until(left, y, bend.detach()) - top).exp()
        F = below.detach() + (y - left) * (density * weights).sum(-1)
        step = (F / target).log() * F / (y * density[..., -1])
        y = torch.minimum(torch.maximum(y * torch.exp(-step), left + 1e-12 * width), left + width)
    density = (log_density_until(left, y, bend) - top).exp()
    F = (below + (y - left) * (density * weights).sum(-1)) / total
    return y - (F - F.detach()) * total.detach() / density[..., -1].detach()


def _first_guess(rest: Tensor, mass: Tensor, left: Tensor, n: int) -> Tensor:
    """The part of the cell below y: in proportion, or as y^n in a cell that begins at 0."""
    part = (rest / mass).clamp(1e-16, 1)
    return torch.where(left == 0, part ** (1 / n), part)
