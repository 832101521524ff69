"""The table of likelihoods: which fits which data (floor 3)."""

import math
from typing import Literal

from torch import Tensor, nn
from torch.distributions import constraints

from logpx.errors import UserError
from logpx.likelihoods.binary import Bernoulli, ContinuousBernoulliPixels, Grey
from logpx.likelihoods.real import Gaussian

#: every likelihood by the name that recipes take, in the order in which they are offered
LIKELIHOODS: dict[str, type[nn.Module]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulliPixels,
    "gaussian": Gaussian,
    "grey": Grey,
}
Name = Literal["auto", "bernoulli", "continuous_bernoulli", "gaussian", "grey"]
DEFAULT = {"binary": "bernoulli", "grey": "continuous_bernoulli", "real": "gaussian"}
#: how pixels are read for a likelihood when the user does not say; grey for all others
PROTOCOL = {"bernoulli": "dynamic"}


def for_kind(kind: str) -> str:
    """The likelihood that "auto" means for a kind of data; raises UserError for a kind that none here fits."""
    if kind not in DEFAULT:
        raise UserError(
            f"No likelihood here is made for {kind} data: read them as real (--kind real), or read pixels with the "
            "protocol grey, dynamic or threshold."
        )
    return DEFAULT[kind]


def that_accept(x: Tensor) -> list[str]:
    """Names of the likelihoods whose support holds every value of x."""
    return [name for name, law in LIKELIHOODS.items() if bool(_fits(law.support, x).all())]  # type: ignore[attr-defined]


def _fits(support: constraints.Constraint, x: Tensor) -> Tensor:
    """Which values are finite and inside, or were not observed (nan)."""
    return (support.check(x) & x.isfinite()) | x.isnan()


def check_support(likelihood: nn.Module, x: Tensor, first_row: int = 0) -> None:
    """Raises UserError naming the first value of x (N, *shape) outside the support and the likelihoods that fit.

    nan is a value that was not observed, and fits every likelihood.
    """
    support = getattr(likelihood, "support", constraints.real)
    inside = _fits(support, x)
    if bool(inside.all()):
        return
    first = (~inside).flatten().nonzero()[0].item()
    row = int(first) // max(math.prod(x.shape[1:]), 1)
    name = next((n for n, law in LIKELIHOODS.items() if type(likelihood) is law), type(likelihood).__name__)
    raise UserError(
        f"Row {first_row + row} holds the value {x.flatten()[int(first)].item():.6g}, which the likelihood {name!r} gives no "
        f"probability; likelihoods that fit these data: {', '.join(that_accept(x)) or 'none'}."
    )
