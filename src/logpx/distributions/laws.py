"""What one may ask of any law over data (floor 1)."""

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.maths.trigonometry import anywhere


class _OnManifold(constraints.Constraint):
    """Finite coordinates (..., n) of points of a space that is not flat: no sum or mean of them need be one."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite().all(-1)


on_manifold = _OnManifold()


def is_euclidean(law: Distribution) -> bool:
    """Whether every vector of numbers is a value, so that one may walk along an axis, average, and speak of variances."""
    support = law.support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real


def is_density(law: Distribution) -> bool:
    """Whether log_prob is a log-density or log-probability; False for the grey score."""
    base = law.base_dist if isinstance(law, Independent) else law
    return getattr(base, "is_density", True)


def log_prob_by_element(law: Distribution, x: Tensor) -> Tensor:
    """log p of each element of x, (..., *shape), for a law that is a product over them.

    Such a law is torch's Independent, or gives `log_prob_by_element` itself. Raises UserError for any other.
    """
    if hasattr(law, "log_prob_by_element"):
        return law.log_prob_by_element(x)
    if isinstance(law, Independent):
        return law.base_dist.log_prob(x)
    raise UserError("This likelihood is not a product over data elements, so missing values cannot be left out.")


def check_law(loc: Tensor, scale: Tensor, kappa: Tensor, n: int, ambient: bool = False) -> None:
    """UserError for parameters that no law of n dimensions on a space of that curvature has, where looking is free."""
    if n < 1:
        raise UserError(f"A law on a curved space has at least one dimension, not {n}.")
    if anywhere(~(scale > 0)):
        raise UserError("A scale of this law is not positive: give positive ones.")
    if anywhere(~kappa.isfinite() | (ambient & (kappa == 0))):
        raise UserError("The curvature is no finite number, or 0 in ambient coordinates, which have a radius.")
    check_point(loc, kappa, ambient)


def check_point(z: Tensor, kappa: Tensor, ambient: bool = False) -> None:
    """UserError for a point outside the ball, or off the hyperboloid or sphere, where looking is free."""
    if not ambient and anywhere(kappa * z.square().sum(-1) < -1 - 1e-6):
        raise UserError("A point lies outside the ball of radius 1/sqrt(-kappa): take points inside.")
    if ambient and anywhere(_off(z, kappa)):
        raise UserError("A point is not on the hyperboloid or sphere of radius 1/sqrt|kappa|: see maths.manifolds.")


def _off(z: Tensor, kappa: Tensor) -> Tensor:
    """Whether kappa <z, z> is not 1, to three digits of the larger of its terms."""
    size = 1 + (kappa * z[..., 0].square()).abs()
    return (kappa * manifolds.ambient_inner(z, z, kappa) - 1).abs() > 1e-3 * size
