"""What one may ask of any law over data (floor 1)."""

from torch import Tensor
from torch.distributions import Distribution, Independent, constraints

from logpx.errors import UserError


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
