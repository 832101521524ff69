"""The table of likelihoods: which fits which data (floor 3)."""

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.distributions import constraints

from logpx.errors import UserError
from logpx.likelihoods.binary import Bernoulli, ContinuousBernoulliPixels, Grey
from logpx.likelihoods.counts import NegativeBinomial, Poisson
from logpx.likelihoods.levels import Categorical, DiscretisedLogistic
from logpx.likelihoods.real import Gaussian, Laplace, StudentT
from logpx.likelihoods.table import FITTING, Table
from logpx.networks.table import Column

#: every likelihood by the name that recipes take, in the order in which they are offered; each is built from what it
#: takes of shape, levels, columns and sigma
LIKELIHOODS: dict[str, type[nn.Module]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulliPixels,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "student_t": StudentT,
    "logistic": DiscretisedLogistic,
    "categorical": Categorical,
    "negative_binomial": NegativeBinomial,
    "poisson": Poisson,
    "table": Table,
    "grey": Grey,
}
Name = Literal[
    "auto",
    "bernoulli",
    "continuous_bernoulli",
    "gaussian",
    "laplace",
    "student_t",
    "logistic",
    "categorical",
    "negative_binomial",
    "poisson",
    "table",
    "grey",
]
#: what "auto" means. Counts: a negative binomial, because counts that vary no more than a Poisson law's are the
#: exception, and it has that law as its limit.
DEFAULT = {
    "binary": "bernoulli",
    "grey": "continuous_bernoulli",
    "real": "gaussian",
    "integer": "negative_binomial",
    "categorical": "categorical",
    "mixed": "table",
}
#: how pixels are read for a likelihood when the user does not say; grey for all others
PROTOCOL = {
    "bernoulli": "dynamic",
    "logistic": "integer",
    "categorical": "integer",
    "negative_binomial": "integer",
    "poisson": "integer",
}


def for_kind(kind: str, levels: int | None = None) -> str:
    """The likelihood that "auto" means for a kind of data; integers with known levels are pixels, others counts."""
    if kind not in DEFAULT:
        raise UserError(f"There is no kind of data {kind!r}; kinds: {', '.join(DEFAULT)}.")
    return "logistic" if kind == "integer" and levels else DEFAULT[kind]


def that_accept(x: Tensor) -> list[str]:
    """Names of the likelihoods whose support holds every value of x, a mixed table's aside."""
    laws = {name: getattr(law, "support", None) for name, law in LIKELIHOODS.items()}
    return [name for name, support in laws.items() if support is not None and bool(_fits(support, x).all())]


def _fits(support: constraints.Constraint, x: Tensor) -> Tensor:
    """Which values are finite and inside, or were not observed (nan)."""
    return (support.check(x) & x.isfinite()) | x.isnan()


def check_choice(columns: Sequence[Column] | None, name: str, sigma: object) -> None:
    """Raises UserError for one likelihood, or one sigma, for all `columns` of a mixed table; nothing where there are none."""
    if columns and name != "table":
        column = next((c for c in columns if name not in FITTING[c.kind]), columns[0])
        raise UserError(
            f"The likelihood {name} is no law of every column, such as {column.name!r}, which is {column.kind}: leave it at "
            "auto, or take a recipe that can, and each column has its own."
        )
    if columns and sigma != "shared":
        raise UserError(f"sigma is {sigma}, and in a mixed table each real column learns its own: leave sigma out.")


def check_support(likelihood: nn.Module, x: Tensor, first_row: int = 0) -> None:
    """Raises UserError naming the first value of x (N, *shape) outside the support and the likelihoods that fit.

    nan is a value that was not observed, and fits every likelihood. A table's names the column.
    """
    likelihood = getattr(likelihood, "conditional", likelihood)  # of an autoregressive one, the law of one element
    if isinstance(likelihood, Table):
        likelihood.check_support(x, first_row)
        return
    support = getattr(likelihood, "support", constraints.real)
    inside = _fits(support, x)
    if bool(inside.all()):
        return
    first = (~inside).flatten().nonzero()[0].item()
    row = int(first) // max(math.prod(x.shape[1:]), 1)
    name = next((n for n, law in LIKELIHOODS.items() if type(likelihood) is law), type(likelihood).__name__)
    levels = getattr(likelihood, "levels", None)
    among = f" (levels 0 to {levels - 1})" if levels else ""
    raise UserError(
        f"Row {first_row + row} holds the value {x.flatten()[int(first)].item():.6g}, which the likelihood {name!r}{among} "
        f"gives no probability; likelihoods that fit these data: "
        f"{', '.join(n for n in that_accept(x) if n != name) or 'none'}."
    )


def measure_of(likelihood: nn.Module) -> str | None:
    """What log p(x) under this likelihood is the logarithm of, in words; None where it is a score.

    A density depends on the units of x and may exceed 1; a probability does neither; a table of several kinds has both.
    """
    likelihood = getattr(likelihood, "conditional", likelihood)
    if isinstance(likelihood, Grey):
        return None
    if isinstance(likelihood, Table):
        continuous = {column.kind in ("real", "grey") for column in likelihood.columns}
    else:
        continuous = {not getattr(likelihood, "support", constraints.real).is_discrete}
    if len(continuous) > 1:
        return "log-density of the continuous columns plus log-probability of the others"
    return "log-density" if True in continuous else "log-probability"
