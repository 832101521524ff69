"""The likelihood of a mixed table: each column has its own law (floor 3)."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Laplace, Normal, constraints

from logpx.distributions import BernoulliLogits, CategoricalLogits, Columns, ContinuousBernoulli, StudentT
from logpx.errors import UserError
from logpx.likelihoods.counts import NegativeBinomial, Poisson
from logpx.likelihoods.real import EXCESS, learned_freedom
from logpx.networks.table import Column

#: the laws that a kind of column may have; the first is the default
FITTING: dict[str, tuple[str, ...]] = {
    "real": ("gaussian", "laplace", "student_t"),
    "binary": ("bernoulli",),
    "categorical": ("categorical",),
    "integer": ("negative_binomial", "poisson"),
    "grey": ("continuous_bernoulli",),
}


class Table(nn.Module):
    """log p(x|z) = sum_j log p_j(x_j|z): each column by its own law, in the units in which the data came.

    real         N(mean_j + scale_j h, (scale_j sigma_j)^2), sigma_j learned from 1; or "laplace" or "student_t", whose
                 degrees of freedom are learned too, for each column
    binary       Bernoulli
    categorical  softmax over the column's levels; its `mean` is the most probable code
    integer      negative binomial with one r_j for each column, or "poisson"; a column of known mean starts there
    grey         continuous Bernoulli

    chosen       the law of single columns by name, such as {"age": "laplace"}.

    The sum mixes densities (of real columns, so it depends on their units) with probabilities. `size` is what the column
    that needs most takes: h (..., size, P) holds for column j its first `widths[j]` numbers in h[..., :, j]. Raises UserError
    for a law that does not fit its column, or a column that is not there.
    """

    def __init__(self, columns: Sequence[Column], chosen: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.columns, self.shape = tuple(columns), (len(columns),)
        self.names = _laws(self.columns, dict(chosen or {}))
        self.widths = tuple(max(c.levels or 1, 1) if c.kind == "categorical" else 1 for c in self.columns)
        self.size = max(self.widths)
        self.blocks = nn.ModuleDict()
        for name in dict.fromkeys(self.names):
            at = [j for j, law in enumerate(self.names) if law == name]
            self.blocks[name] = BLOCKS[name]([self.columns[j] for j in at])
            self.register_buffer(f"at_{name}", torch.tensor(at), persistent=False)

    def forward(self, h: Tensor) -> Columns:
        places = [self.get_buffer(f"at_{name}") for name in self.blocks]
        laws = [block(h.index_select(-1, at)) for block, at in zip(self.blocks.values(), places, strict=True)]
        return Columns(laws, places)

    def check_support(self, x: Tensor, first_row: int = 0) -> None:
        """Raises UserError naming row and column of a value of x (N, P) that its column's law gives no probability."""
        for j, column in enumerate(self.columns):
            values = x[:, j]
            bad = ~(_support(column).check(values) & values.isfinite() | values.isnan())
            if bool(bad.any()):
                row = int(bad.nonzero()[0])
                raise UserError(_misfit(column, self.names[j], first_row + row, values[row].item()))


def _laws(columns: tuple[Column, ...], chosen: dict[str, str]) -> tuple[str, ...]:
    """The name of each column's law."""
    unknown = chosen.keys() - {column.name for column in columns}
    if unknown:
        known = ", ".join(column.name for column in columns)
        raise UserError(f"There is no column {min(unknown)!r} to choose a likelihood for; columns: {known}.")
    for column in columns:
        if column.kind not in FITTING:
            raise UserError(f"Column {column.name!r} is {column.kind}, and a column is one of {', '.join(FITTING)}.")
        fitting = FITTING[column.kind]
        if chosen.setdefault(column.name, fitting[0]) not in fitting:
            raise UserError(
                f"The likelihood {chosen[column.name]!r} does not fit column {column.name!r}, which is {column.kind}: "
                f"choose {' or '.join(fitting)}."
            )
    return tuple(chosen[column.name] for column in columns)


def _support(column: Column) -> constraints.Constraint:
    return {
        "real": constraints.real,
        "binary": constraints.boolean,
        "categorical": constraints.integer_interval(0, max(column.levels or 1, 1) - 1),
        "integer": constraints.nonnegative_integer,
        "grey": constraints.unit_interval,
    }[column.kind]


def _misfit(column: Column, law: str, row: int, value: float) -> str:
    """The sentence for a value outside its column's law."""
    where = f"Row {row} holds {value:.6g} in column {column.name!r}"
    if column.kind == "categorical" and value == math.floor(value) and value >= 0 and math.isfinite(value):
        top = (column.levels or 1) - 1
        return f"{where}: training knows the codes 0 to {top}, so give that category to training, or leave the row out."
    return (
        f"{where}, which its likelihood {law!r} gives no probability: the column is {column.kind}; correct the value."
    )


# --- one block for all columns of one law: h (..., size, n) -> a law with batch (..., n) -----------------------------


class _Reals(nn.Module):
    """Location mean + scale h and scale times sigma; sigma, and Student's nu, learned for each column."""

    mean: Tensor
    scale: Tensor

    def __init__(self, columns: Sequence[Column], law: Callable[..., Distribution]) -> None:
        super().__init__()
        self.law = law
        self.register_buffer("mean", torch.tensor([float(c.mean) for c in columns]), persistent=False)
        scales = [float(c.scale) or 1.0 for c in columns]  # a column that never varies has none
        self.register_buffer("scale", torch.tensor(scales), persistent=False)
        self.log_sigma = nn.Parameter(torch.zeros(len(columns)))
        if law is StudentT:
            self.log_excess = nn.Parameter(torch.full((len(columns),), math.log(4.0)))

    def forward(self, h: Tensor) -> Distribution:
        freedom = [learned_freedom(self.log_excess)] if self.law is StudentT else []
        sigma = self.scale * self.log_sigma.clamp(-12, 12).exp()
        return self.law(*freedom, self.mean + self.scale * h[..., 0, :], sigma, validate_args=False)

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        """Puts learned numbers back where they have a gradient."""
        self.log_sigma.clamp_(-12, 12)
        if self.law is StudentT:
            self.log_excess.clamp_(*EXCESS)


class _Logits(nn.Module):
    """One logit for each column."""

    def __init__(self, columns: Sequence[Column], law: Callable[..., Distribution]) -> None:
        super().__init__()
        self.law = law

    def forward(self, h: Tensor) -> Distribution:
        return self.law(h[..., 0, :], validate_args=False)


class _Categories(nn.Module):
    """Logits for as many levels as the largest column has; those a column lacks are -inf."""

    exists: Tensor

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        levels = torch.tensor([max(c.levels or 1, 1) for c in columns])
        self.register_buffer("exists", torch.arange(int(levels.max())) < levels[:, None], persistent=False)

    def forward(self, h: Tensor) -> Distribution:
        logits = h[..., : self.exists.shape[1], :].transpose(-1, -2)
        return CategoricalLogits(logits.masked_fill(~self.exists, -torch.inf))


class _Whole(nn.Module):
    """Counts whose mean is e^h times the column's mean, where that is known."""

    mean: Tensor

    def __init__(self, columns: Sequence[Column], likelihood: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.counts = likelihood((len(columns),))
        means = [float(c.mean) if c.mean > 0 else 1.0 for c in columns]
        self.register_buffer("mean", torch.tensor(means), persistent=False)

    def forward(self, h: Tensor) -> Distribution:
        return self.counts(h[..., :1, :] + self.mean.log()).base_dist


BLOCKS: dict[str, Callable[[Sequence[Column]], nn.Module]] = {
    "gaussian": lambda columns: _Reals(columns, Normal),
    "laplace": lambda columns: _Reals(columns, Laplace),
    "student_t": lambda columns: _Reals(columns, StudentT),
    "bernoulli": lambda columns: _Logits(columns, BernoulliLogits),
    "continuous_bernoulli": lambda columns: _Logits(columns, ContinuousBernoulli),
    "categorical": _Categories,
    "negative_binomial": lambda columns: _Whole(columns, NegativeBinomial),
    "poisson": lambda columns: _Whole(columns, Poisson),
}
