"""Laws on the unit sphere of R^m (floor 1): uniform, von Mises-Fisher, power spherical; densities per surface area.

All of them are computed in float64 inside, whatever the type of their parameters: at concentration 10^5 a cosine in
float32 says almost nothing of the angle.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Gamma, constraints, register_kl

from logpx.errors import UserError
from logpx.maths.bessel import bessel_pair
from logpx.maths.polar import von_mises_fisher_latitude

Shape = torch.Size | list[int] | tuple[int, ...]


class _UnitVector(constraints.Constraint):
    """| |x| - 1 | <= 1e-4 along the last dimension, wide enough for half precision's neighbours to pass."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (torch.linalg.vector_norm(value, dim=-1) - 1).abs() <= 1e-4


unit_vector = _UnitVector()


def log_sphere_area(m: int) -> float:
    """log |S^{m-1}| = log 2 + (m/2) log pi - log G(m/2), the unit ball's surface in R^m; below 0 from m = 19 on."""
    return math.log(2) + 0.5 * m * math.log(math.pi) - math.lgamma(0.5 * m)


def _directions(shape: Shape, like: Tensor) -> Tensor:
    """Uniform points of the sphere, float64: a float32 normal vector of two elements can be exactly zero."""
    v = torch.randn(shape, dtype=torch.float64, device=like.device)
    return v / torch.linalg.vector_norm(v, dim=-1, keepdim=True)


def _around(mu: Tensor, w: Tensor, sine: Tensor, v: Tensor) -> Tensor:
    """z = w mu + sine (a unit tangent at mu): (w, sine v) reflected by the Householder matrix that takes +-e1 to mu.

    With u = mu +- e1, the sign that of mu_1, |u|^2 >= 2: nowhere a small divisor, and |z| = |(w, sine v)| for every mu.
    """
    first = torch.zeros_like(mu)
    first[..., 0] = torch.where(mu[..., 0] < 0, -1.0, 1.0)
    u = mu + first
    z = torch.cat([w.unsqueeze(-1), sine.unsqueeze(-1) * v], -1)
    z = z - u * (2 * (u * z).sum(-1, keepdim=True) / u.square().sum(-1, keepdim=True))
    return -first[..., :1] * z


class _Axial(Distribution):
    """What laws about an axis share: mu (..., m) of norm 1, kappa (...) >= 0, and a law of the cosine w = mu.z."""

    arg_constraints = {"mu": unit_vector, "kappa": constraints.nonnegative}  # noqa: RUF012 - torch's own protocol
    support = unit_vector
    has_rsample = True

    def __init__(self, mu: Tensor, kappa: Tensor, validate_args: bool | None = None) -> None:
        self.m = mu.shape[-1]
        if self.m < 2:
            raise UserError(
                f"A law on the sphere needs mu of at least 2 elements, not {self.m}: d dimensions take d + 1."
            )
        batch = torch.broadcast_shapes(mu.shape[:-1], kappa.shape)
        self.mu, self.kappa = mu.expand(*batch, self.m), kappa.expand(batch)
        super().__init__(batch, mu.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "_Axial":
        batch = torch.Size(batch_shape)
        return type(self)(self.mu.expand(*batch, self.m), self.kappa.expand(batch), validate_args=False)

    @property
    def mode(self) -> Tensor:
        return self.mu

    @property
    def mean(self) -> Tensor:
        return self._cosine()[0].to(self.mu.dtype).unsqueeze(-1) * self.mu

    @property
    def variance(self) -> Tensor:
        """Of each element: V mu_i^2 + S (1 - mu_i^2), V = Var w along the axis, S = E(1 - w^2)/(m - 1) across it."""
        w, across = self._cosine()
        along = 1 - (self.m - 1) * across - w.square()
        square = self.mu.double().square()
        return (along.unsqueeze(-1) * square + across.unsqueeze(-1) * (1 - square)).to(self.mu.dtype)

    def entropy(self) -> Tensor:
        return log_sphere_area(self.m) - self.kl_from_uniform()

    def _cosine(self) -> tuple[Tensor, Tensor]:
        """E w and E(1 - w^2)/(m - 1), float64."""
        raise NotImplementedError

    def kl_from_uniform(self) -> Tensor:
        """KL(self || uniform), in the type of kappa."""
        raise NotImplementedError


class VonMisesFisher(_Axial):
    """p(z) = C_m(k) e^{k mu.z} on the unit sphere of R^m, C_m(k) = k^v/((2 pi)^{m/2} I_v(k)), v = m/2 - 1, k = kappa.

    mu (..., m) of norm 1, kappa (...) >= 0: uniform at 0. With g(k) = -log(|S| C_m(k)), which is log 0F1(; m/2; k^2/4),
    log p = k mu.z - g(k) - log|S|; mean A mu, A = I_{m/2}(k)/I_{m/2-1}(k). Draws invert the law of w = mu.z, and their
    gradient in kappa is exact, unlike that of the published code of Davidson et al. 2018, arXiv:1804.00891.
    Raises UserError for m < 2.
    """

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        u = torch.rand(shape[:-1], dtype=torch.float64, device=self.kappa.device)
        y = von_mises_fisher_latitude(u, self.kappa.double(), self.m)
        v = _directions((*shape[:-1], self.m - 1), self.mu)
        return _around(self.mu.double(), torch.tanh(y), 1 / torch.cosh(y), v).to(self.mu.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """With k (mu.z - 1) = -k |z - mu|^2/2, which keeps its digits where z is near mu."""
        if self._validate_args:
            self._validate_sample(value)
        k = self.kappa.double()
        g, _ = bessel_pair(self.m / 2 - 1, k)
        distance = (value.double() - self.mu.double()).square().sum(-1)
        return (k - g - 0.5 * k * distance - log_sphere_area(self.m)).to(value.dtype)

    def kl_from_uniform(self) -> Tensor:
        """KL(self || uniform) = k A - g(k), whose derivative is k A'(k)."""
        k = self.kappa.double()
        g, A = bessel_pair(self.m / 2 - 1, k)
        return (k * A - g).to(self.kappa.dtype)

    def _cosine(self) -> tuple[Tensor, Tensor]:
        k = self.kappa.double()
        _, A = bessel_pair(self.m / 2 - 1, k)
        positive = k > 0
        return A, torch.where(positive, A / torch.where(positive, k, 1), 1 / self.m)


class PowerSpherical(_Axial):
    """p(z) = (1 + mu.z)^k / N on the unit sphere of R^m, k = kappa (De Cao & Aziz 2020, arXiv:2006.04437, eq. 2).

    mu (..., m) of norm 1, kappa (...) >= 0: uniform at 0. (1 + mu.z)/2 ~ Beta(b + k, b), b = (m-1)/2, drawn
    as x/(x + y) with two gamma variables, whose gradient in torch is good to 1e-4 (that of its Beta to 3e-3 only);
    log N = (2b + k) log 2 + b log pi + log G(b + k) - log G(2b + k). No Bessel function. Raises UserError for m < 2.
    """

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        towards, away = (Gamma(a, torch.ones_like(a), validate_args=False) for a in self._beta())
        x, y = towards.rsample(sample_shape), away.sample(sample_shape)
        v = _directions((*shape[:-1], self.m - 1), self.mu)
        return _around(self.mu.double(), (x - y) / (x + y), 2 * (x * y).sqrt() / (x + y), v).to(self.mu.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """With 1 + mu.z = |z + mu|^2/2, which keeps its digits where the density is small."""
        if self._validate_args:
            self._validate_sample(value)
        k = self.kappa.double()
        half = (value.double() + self.mu.double()).square().sum(-1) / 4
        return (torch.xlogy(k, half) - self._log_norm()).to(value.dtype)

    def kl_from_uniform(self) -> Tensor:
        """KL(self || uniform) = k E log((1 + w)/2) - log N + k log 2 + log|S|."""
        a, b = self._beta()
        log_half = torch.digamma(a) - torch.digamma(a + b)
        kl = self.kappa.double() * log_half - self._log_norm() + log_sphere_area(self.m)
        return kl.to(self.kappa.dtype)

    def _log_norm(self) -> Tensor:
        """log N - k log 2."""
        a, b = self._beta()
        return 2 * b * math.log(2) + b * math.log(math.pi) + torch.lgamma(a) - torch.lgamma(a + b)

    def _beta(self) -> tuple[Tensor, Tensor]:
        k = self.kappa.double()
        b = torch.full_like(k, (self.m - 1) / 2)
        return b + k, b

    def _cosine(self) -> tuple[Tensor, Tensor]:
        a, b = self._beta()
        return (a - b) / (a + b), 4 * a * b / ((a + b) * (a + b + 1)) / (self.m - 1)


class UniformSphere(Distribution):
    """The uniform law on the unit sphere of R^m, m >= 2: log p(z) = -log |S^{m-1}|. Raises UserError for m < 2."""

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = unit_vector
    has_rsample = True

    def __init__(self, m: int, batch_shape: Shape = (), like: Tensor | None = None) -> None:
        """`like` gives type and device of the draws."""
        if m < 2:
            raise UserError(f"A law on the sphere needs at least 2 elements, not {m}: d dimensions take d + 1.")
        self.m, self.like = m, torch.zeros(()) if like is None else like
        super().__init__(torch.Size(batch_shape), torch.Size([m]), validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "UniformSphere":
        return UniformSphere(self.m, batch_shape, self.like)

    @property
    def mean(self) -> Tensor:
        return self.like.new_zeros(self._extended_shape())

    @property
    def variance(self) -> Tensor:
        return self.like.new_full(self._extended_shape(), 1 / self.m)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return _directions(self._extended_shape(torch.Size(sample_shape)), self.like).to(self.like.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape[:-1], self._batch_shape)
        return value.new_full(shape, -log_sphere_area(self.m))

    def entropy(self) -> Tensor:
        return self.like.new_full(self._batch_shape, log_sphere_area(self.m))


@register_kl(_Axial, UniformSphere)
def _axial_against_uniform(q: _Axial, p: UniformSphere) -> Tensor:
    if q.m != p.m:
        raise UserError(
            f"These laws live on spheres of R^{q.m} and R^{p.m}: give posterior and prior the same dimension."
        )
    return q.kl_from_uniform().expand(torch.broadcast_shapes(q.batch_shape, p.batch_shape))
