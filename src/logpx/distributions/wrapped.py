"""The wrapped normal law on a space of constant curvature (floor 1): a normal law carried over by the exponential map."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from logpx.distributions.laws import check_law, check_point, on_manifold
from logpx.distributions.sphere import log_sphere_area
from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.maths.special import LOG_2PI
from logpx.maths.trigonometry import anywhere, extremes

Shape = torch.Size | list[int] | tuple[int, ...]
WRAPS = 4  # times round the sphere, either way, that the density counts
TAIL = math.sqrt(2 * math.log(1e6))  # P(chi_n > sqrt n + TAIL) < 1e-6 for every n (Laurent & Massart 2000, lemma 1)
_FLAT = 1e-12  # a sphere of smaller kappa is not walked around: its far side is 3 million away


class WrappedNormal(Distribution):
    """z = exp_loc(v), v ~ N(0, diag scale^2) in the orthonormal frame at loc transported from 0 (Nagano et al. 2019).

    loc    (..., n), stereographic coordinates (the Poincare ball for kappa < 0); ambient=True: (..., n + 1), a point
           of the hyperboloid or sphere of radius R = 1/sqrt|kappa|. Also the shape of z. See maths.manifolds.
    scale  (..., n) in units of distance, or (..., 1) for an isotropic law, which has an entropy.
    kappa  the curvature: a float or a tensor that broadcasts against the batch; not 0 in ambient coordinates.

    log_prob is per *Riemannian* volume, in any coordinates, and for kappa <= 0 is
        log N(v; 0, diag scale^2) - (n - 1) log(sin_k(r)/r),  v = log_loc(z) in that frame, r = |v| = d(loc, z).
    On a sphere v + 2 pi R j v/r, j = -4..4, all come to z, and the density is the sum over them: it has mass one while
    scale (sqrt n + 5.3) <= 9 pi R, to a millionth; a larger scale raises UserError (outside compiled code and on the CPU,
    where looking costs nothing). For n > 1 that density is infinite opposite loc, and at loc, with next to no mass around
    them: they are where geodesics of length pi R and 2 pi R meet. What a network reads had better be ambient coordinates
    there, since the stereographic ones run to infinity.
    With validate_args, UserError for a loc or value that is no point of the space, a scale that is not positive, and n < 1.
    Everything is smooth in a kappa that passes through 0, where in stereographic coordinates z = loc + v/2, since the
    metric there is 4 |dz|^2. Draws beyond 1 - 1e-4 (float32; 1e-9 in float64) of the ball's radius are moved there, so a
    hyperbolic law is exact while it keeps within distance 9.5 R (21 R) of 0.
    There is no closed KL between two of them; `kl_at_one_mean` is the exception.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = on_manifold
    has_rsample = True
    _about_0 = False

    def __init__(
        self, loc: Tensor, scale: Tensor, kappa: float | Tensor, *, ambient: bool = False, validate_args: bool = True
    ) -> None:
        n = loc.shape[-1] - ambient
        kappa = manifolds.curvature_like(kappa, loc)
        if validate_args:
            check_law(loc, scale, kappa, n, ambient)
        if scale.shape[-1] not in (1, n):
            raise UserError(f"A wrapped normal law of dimension {n} takes {n} scales or one, not {scale.shape[-1]}.")
        *_, self.kappa = torch.broadcast_tensors(loc[..., 0], scale[..., 0], kappa)
        batch = self.kappa.shape
        self.loc, self.scale = loc.expand(*batch, -1), scale.expand(*batch, -1)
        self.ambient, self.n = ambient, n
        _check_reach(scale, kappa, n)
        super().__init__(batch, self.loc.shape[-1:], validate_args=False)
        self._validate_args = validate_args

    @classmethod
    def about_0(cls, n: int, scale: Tensor, kappa: Tensor, *, ambient: bool = False) -> "WrappedNormal":
        """The law whose loc is the origin: 0, or (R, 0) in ambient coordinates; its density takes half the work."""
        loc = scale.new_zeros(n)
        if ambient:
            R = manifolds.curvature_like(kappa, scale).abs().rsqrt().unsqueeze(-1)
            loc = torch.cat([R, loc.expand(*R.shape[:-1], n)], -1)
        law = cls(loc, scale, kappa, ambient=ambient, validate_args=False)
        law._about_0 = True
        return law

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "WrappedNormal":
        batch = torch.Size(batch_shape)
        loc, scale = self.loc.expand(*batch, -1), self.scale.expand(*batch, -1)
        law = WrappedNormal(loc, scale, self.kappa.expand(batch), ambient=self.ambient, validate_args=False)
        law._about_0, law._validate_args = self._about_0, self._validate_args
        return law

    def select(self, i: int) -> "WrappedNormal":
        """The law at place i of the last batch axis."""
        loc, scale, kappa = self.loc[..., i, :], self.scale[..., i, :], self.kappa[..., i]
        law = WrappedNormal(loc, scale, kappa, ambient=self.ambient, validate_args=False)
        law._about_0, law._validate_args = self._about_0, self._validate_args
        return law

    @property
    def mean(self) -> Tensor:
        """The Frechet mean of a law that is not spread over the whole sphere."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self._batch_shape + (self.n,)
        v = self.scale * torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        from_frame = manifolds.ambient_from_frame if self.ambient else manifolds.from_frame
        return from_frame(self.loc, v, self.kappa)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            check_point(value, self.kappa, self.ambient)
        v, ratio = self._frame(value)
        r2, q = v.square().sum(-1), (v / self.scale).square().sum(-1)
        return _log_density(r2, q, (1 - self.n) * ratio.log(), self.scale, self.kappa, self.n)

    def _frame(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """v with z = exp_loc(v), and r/sin_k(r), r = |v|."""
        if self._about_0:
            from_0 = manifolds.ambient_from_0_with_ratio if self.ambient else manifolds.from_0_with_ratio
            return from_0(z, self.kappa)
        to_frame = manifolds.ambient_to_frame_with_ratio if self.ambient else manifolds.to_frame_with_ratio
        return to_frame(self.loc, z, self.kappa)

    def lebesgue_log_prob(self, value: Tensor) -> Tensor:
        """log density per volume of the stereographic coordinates: log_prob + n log lambda_z."""
        if self.ambient:
            raise UserError(
                "A density per volume of coordinates needs n of them: take stereographic ones, not ambient."
            )
        return self.log_prob(value) + manifolds.log_lebesgue(value, self.kappa)

    def entropy(self) -> Tensor:
        """-E log p per Riemannian volume of an isotropic law, by quadrature over the radius in float64, to about 1e-9.

        For kappa <= 0 it is (n/2) log(2 pi e scale^2) + (n - 1) E log(sin_k(r)/r). NotImplementedError for n scales.
        """
        if self.scale.shape[-1] != 1:
            raise NotImplementedError("the entropy of a wrapped normal law with several scales")
        return _entropy(self.scale.double(), self.kappa.double(), self.n).to(self.loc.dtype)


def kl_at_one_mean(q: WrappedNormal, p: WrappedNormal) -> Tensor:
    """KL(q || p) of two laws with the same loc and kappa <= 0, which are images of two normal laws under one bijection.

    sum_i [ s_i^2/(2 t_i^2) - 1/2 + log(t_i/s_i) ], s and t the scales of q and p. The locs are not compared. On a sphere
    the map is no bijection, and this is an upper bound.
    """
    ratio = (q.scale / p.scale).expand(*torch.broadcast_shapes(q.batch_shape, p.batch_shape), q.n)
    return (0.5 * ratio.square() - 0.5 - ratio.log()).sum(-1)


def sphere_reach(n: int) -> float:
    """The largest scale, in radii of a sphere, that leaves out no more than a millionth of the law's mass."""
    return (2 * WRAPS + 1) * math.pi / (math.sqrt(n) + TAIL)


def ball_reach(depth: float, n: int) -> float:
    """The scale, in radii, of which three and the usual length sqrt n of a draw end `depth` radii from loc."""
    return depth / (math.sqrt(n) + 3)


def _check_reach(scale: Tensor, kappa: Tensor, n: int) -> None:
    reach = sphere_reach(n)
    largest, widest = extremes(kappa)[1], extremes(scale)[1]
    if largest * widest**2 > reach**2 and anywhere(scale.square().amax(-1) * kappa > reach**2):
        raise UserError(
            f"A wrapped normal law on a sphere of dimension {n} needs scales of at most {reach:.3g} radii: beyond that it is "
            "uniform to the eye; bound the scale, or take a larger sphere (a smaller curvature)."
        )


def _log_density(r2: Tensor, q: Tensor, log_volume: Tensor, scale: Tensor, kappa: Tensor, n: int) -> Tensor:
    """log p at v, from r2 = |v|^2, q = sum_i (v_i/scale_i)^2 and log_volume = (n - 1) log(sin_k(r)/r)."""
    log_scale = scale.log().sum(-1) if scale.shape[-1] == n else n * scale.log().squeeze(-1)
    normal = -0.5 * q - log_scale - 0.5 * n * LOG_2PI
    if _wraps_vanish(r2, scale, kappa, n):
        return normal - log_volume
    return normal - log_volume + _log_wraps(r2, q, scale, kappa, n)


def _wraps_vanish(r2: Tensor, scale: Tensor, kappa: Tensor, n: int) -> bool:
    """Whether one look tells that other ways round the sphere add less than e^-100 to the density anywhere.

    The next one has exp(-2 pi (pi - t) R^2/scale^2) of it at the least, times a ratio of rings below e^(40 (n - 1)).
    """
    largest = extremes(kappa)[1]
    if largest <= _FLAT:
        return True
    t = math.sqrt(max(extremes(kappa * r2)[1], 0.0))
    return 2 * math.pi * (math.pi - t) > (100 + 40 * (n - 1)) * extremes(scale)[1] ** 2 * largest


def _log_wraps(r2: Tensor, q: Tensor, scale: Tensor, kappa: Tensor, n: int) -> Tensor:
    """log of 1 + sum_j N(r_j u)/N(r u) |r_j/r|^(n-1), r_j = r + 2 pi R j for j = 1..4 and -1..-4; v = r u, |u| = 1.

    With t = r/R in [0, pi] and t_j = t + 2 pi j the normal ratio is exp(-(t_j^2 - t^2)/2 q/t^2). At t = 0, where u is
    lost, the mean of 1/scale^2 stands for q/r^2. No sphere, no wraps: 0.
    """
    eps, t2, on_sphere = torch.finfo(r2.dtype).eps, kappa * r2, None
    if extremes(t2)[0] > eps**2:
        along = q / t2
    else:
        on_sphere, at_loc = kappa > _FLAT, t2 <= eps**2
        precision = scale.square().reciprocal().mean(-1) / torch.where(on_sphere, kappa, 1)
        t2 = torch.where(at_loc, eps**2, t2)
        along = torch.where(at_loc, precision, q / t2)
    t, wraps = t2.sqrt().unsqueeze(-1), torch.arange(1, WRAPS + 1, dtype=t2.dtype, device=t2.device)
    turns = 2 * math.pi * torch.cat([-wraps, wraps])
    ratio = (n - 1) * (1 + turns / t).abs().log() - (turns * t + turns.square() / 2) * along.unsqueeze(-1)
    more = torch.logaddexp(ratio.logsumexp(-1), t2.new_zeros(()))
    return more if on_sphere is None else torch.where(on_sphere, more, 0)


# --- entropy ----------------------------------------------------------------------------------------------------------


def _tanh_sinh(step: float = 0.03, half: int = 115) -> tuple[Tensor, Tensor]:
    """Nodes of (0, 1) and their weights, by the substitution that bears logarithms at both ends (Takahasi & Mori 1974)."""
    s = step * np.arange(-half, half + 1)
    nodes = 1 / (1 + np.exp(-math.pi * np.sinh(s)))
    return torch.from_numpy(nodes), torch.from_numpy(step * math.pi * np.cosh(s) * nodes * nodes[::-1])


_NODES, _WEIGHTS = _tanh_sinh()


def _entropy(scale: Tensor, kappa: Tensor, n: int) -> Tensor:
    """-|S^(n-1)| int sin_k(r)^(n-1) p(r) log p(r) dr up to where the normal law ends, or a sphere: scale (..., 1)."""
    s = scale.squeeze(-1)
    far = torch.full_like(s, math.sqrt(n) + 9) * s
    round_it = kappa > _FLAT
    top = torch.minimum(far, torch.where(round_it, math.pi * torch.where(round_it, kappa, 1).rsqrt(), far))
    bottom = ((math.sqrt(n) - 9) * s).clamp_min(0).minimum(top / 2)
    nodes, weights = _NODES.to(s.device), _WEIGHTS.to(s.device)
    width = (top - bottom).unsqueeze(-1)
    r = bottom.unsqueeze(-1) + width * nodes
    log_volume = manifolds.log_volume(r.square(), kappa.unsqueeze(-1), n)
    log_p = _log_density(r.square(), (r / scale).square(), log_volume, scale.unsqueeze(-1), kappa.unsqueeze(-1), n)
    log_ring = (n - 1) * r.log() + log_volume
    return -(width * weights * (log_sphere_area(n) + log_ring + log_p).exp() * log_p).sum(-1)
