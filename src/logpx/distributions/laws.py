"""What one may ask of any law over data (floor 1)."""

from torch import Tensor
from torch.distributions import Distribution, Independent

from logpx.errors import UserError


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
