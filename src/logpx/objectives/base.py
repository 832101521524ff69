"""What an objective is, and how objectives add (floor 5): Step, schedules, Objective and Sum.

An objective maps (model, batch) to a Step: a scalar loss (lower is better) and its named terms, each a mean over the
batch in nats per data point. `elbo` is always the bound at beta = 1, whatever is trained.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor, nn

from logpx.errors import UserError
from logpx.model import VAE, Batch, Draw

Terms = dict[str, Tensor]


def whole(name: str, value: float, least: int = 1) -> int:
    """A count, from `least` on; UserError for any other value, nan and 1.5 included."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise UserError(f"{name} is {value}: give a whole number, {least} or more.")
    return int(value)


def finite(name: str, value: float) -> float:
    """A number; UserError for nan, an infinity and what is none."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{name} is {value}: give a finite number.")
    return number


def positive(name: str, value: float) -> float:
    """A number above 0; UserError for any other value, an infinity included."""
    if isinstance(value, str) or not 0 < value < math.inf:
        raise UserError(f"{name} is {value}: give a positive number.")
    return finite(name, value)


class Step(NamedTuple):
    """One evaluation of an objective: the loss and its terms, scalars."""

    loss: Tensor
    terms: Terms


@dataclass(frozen=True)
class Warmup:
    """A schedule that rises linearly from `start` to `end` over `steps` optimiser steps (never epochs) and stays.

    Raises UserError for steps that are no whole number from 0 on, or an end that is not finite.
    """

    steps: int
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        whole("steps", self.steps, 0)
        finite("start", self.start)
        finite("end", self.end)

    def __call__(self, step: int | Tensor) -> Tensor:
        """The value at a step, computed where the step lives: nothing is read back from the device."""
        done = (torch.as_tensor(step) / self.steps).clamp(max=1.0) if self.steps else torch.tensor(1.0)
        return torch.lerp(torch.full_like(done, self.start), torch.full_like(done, self.end), done)

    @property
    def ends(self) -> int:
        return self.steps


@dataclass(frozen=True)
class Cyclical:
    """`cycles` rises from `start` to `end` within `steps` steps, then `end` (Fu et al. 2019, arXiv:1903.10145, eq. 6).

    Each cycle takes steps / cycles: it rises linearly over its first `rise` part and stays at `end` for the rest.
    Raises UserError for fewer steps than cycles, a part that is none, or an end that is not finite.
    """

    steps: int
    cycles: int = 4
    rise: float = 0.5
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        finite("start", self.start)
        finite("end", self.end)
        if not 1 <= whole("cycles", self.cycles, 0) <= whole("steps", self.steps, 0):
            raise UserError(
                f"{self.cycles} cycles in {self.steps} steps: give at least one cycle, and a step for each."
            )
        if not 0 < self.rise <= 1:
            raise UserError(f"rise is {self.rise}: it is the part of a cycle that rises, above 0 and at most 1.")

    def __call__(self, step: int | Tensor) -> Tensor:
        """The value at a step, computed where the step lives: nothing is read back from the device."""
        at = torch.as_tensor(step) * self.cycles  # in units of steps / cycles; the modulus of whole numbers is exact
        done = ((at % self.steps) / (self.rise * self.steps)).clamp(max=1.0)
        done = torch.where(at >= self.cycles * self.steps, torch.ones_like(done), done)
        return torch.lerp(torch.full_like(done, self.start), torch.full_like(done, self.end), done)

    @property
    def ends(self) -> int:
        """The end of the last rise."""
        return math.ceil(self.steps * (self.cycles - 1 + self.rise) / self.cycles)


Schedule = Warmup | Cyclical
Scalar = float | Schedule


class Weight(nn.Module):
    """A scalar or a schedule as a buffer, so that one captured graph serves every step; it moves in `after_step`.

    Raises UserError, by `name`, for a number that is not finite.
    """

    outside_the_step = ("schedule",)  # models that differ in it alone may take their steps at once
    now: Tensor
    step: Tensor

    def __init__(self, value: Scalar, name: str = "weight") -> None:
        super().__init__()
        self.schedule = value if isinstance(value, Schedule) else None
        self.register_buffer("now", value(0) if isinstance(value, Schedule) else torch.tensor(finite(name, value)))
        self.register_buffer("step", torch.tensor(0))

    def forward(self) -> Tensor:
        return self.now

    @torch.no_grad()
    def after_step(self, terms: Terms) -> None:
        if self.schedule:
            self.step += 1
            self.now.copy_(self.schedule(self.step))

    @property
    def ends(self) -> int:
        """The step from which the value no longer moves."""
        return self.schedule.ends if self.schedule else 0


class Objective(nn.Module):
    """Subclasses give `value(draw)`: the loss, a scalar, and named terms, (B,) or scalars. They need `samples` draws.

    A penalty on a network itself (its Jacobian, say) gives `value_at(model, draw)` instead. State that is no parameter moves in
    `after_step(terms)` alone, which the loop calls with the step's terms. One that brings an adversary names as `opponent`
    the term that this second player minimises: no weight reaches it.
    """

    samples: int = 1
    opponent: str = ""  # the term that is an adversary's own loss
    shares_draw: bool = True  # False for one that changes the gradients which reach z
    compares_epochs: bool = (
        True  # False where the goal itself moves (a multiplier, a critic): the last epoch is kept then
    )

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        raise NotImplementedError

    def value_at(self, model: VAE, d: Draw) -> tuple[Tensor, Terms]:
        """`value`, for those that look at the model as well."""
        return self.value(d)

    def forward(self, model: VAE, batch: Batch) -> Step:
        value, terms = self.value_at(model, model.draw(batch, self.samples))
        return finished(self.beside_opponent(value, terms), terms)

    def beside_opponent(self, loss: Tensor, terms: Terms) -> Tensor:
        """The loss, its value unchanged, with the gradient of the opponent's own loss added where there is an opponent."""
        return surrogate(loss + terms[self.opponent], value=loss) if self.opponent else loss

    def parts(self) -> Iterator[tuple[Scalar, "Objective"]]:
        yield 1.0, self

    def __add__(self, other: "Objective") -> "Sum":
        return Sum([*self.parts(), *other.parts()])

    def __rmul__(self, weight: Scalar) -> "Sum":
        if isinstance(weight, Objective):
            raise UserError("Objectives add; they do not multiply each other.")
        return Sum([(weight, self)])

    def how_kl(self, model: VAE) -> str:
        """ "closed form" or "one sample", as this objective takes the KL of this model; known after the first draw."""
        return model.how_kl()

    def ends(self) -> int:
        """The step from which every schedule inside has arrived."""
        return max((m.ends for m in self.modules() if isinstance(m, Weight)), default=0)


class Sum(Objective):
    """w_1 O_1 + w_2 O_2 + ...: each weight a scalar or a schedule, each name once.

    Terms that need the same number of samples share one draw; one that changes the gradients reaching z has its own.
    """

    outside_the_step = ("_scalars",)  # a step reads `weights`

    def __init__(self, parts: list[tuple[Scalar, Objective]]) -> None:
        super().__init__()
        names = [type(o).__name__ for _, o in parts]
        if twice := {n for n in names if names.count(n) > 1}:
            raise UserError(
                f"Two terms of one name in a sum: {', '.join(sorted(twice))}; give one of them the whole weight."
            )
        self._scalars = [w for w, _ in parts]
        self.weights: Iterable[Weight] = nn.ModuleList(Weight(w) for w, _ in parts)  # type: ignore[assignment]
        self.objectives: Iterable[Objective] = nn.ModuleList(o for _, o in parts)  # type: ignore[assignment]
        self.compares_epochs = all(o.compares_epochs for _, o in parts)

    def parts(self) -> Iterator[tuple[Scalar, Objective]]:
        yield from zip(self._scalars, self.objectives, strict=True)

    def __rmul__(self, weight: Scalar) -> "Sum":
        if isinstance(weight, Schedule) or any(isinstance(w, Schedule) for w in self._scalars):
            raise UserError("A schedule multiplies a single objective: write the weight on each term of the sum.")
        return Sum([(weight * w, o) for w, o in self.parts()])  # type: ignore[operator]

    def how_kl(self, model: VAE) -> str:
        return " and ".join(dict.fromkeys(o.how_kl(model) for o in self.objectives))

    def forward(self, model: VAE, batch: Batch) -> Step:
        shared: dict[int, Draw] = {}
        loss: Tensor | float = 0.0
        terms: Terms = {}
        for weight, objective in zip(self.weights, self.objectives, strict=True):
            k = objective.samples
            draw = shared[k] if objective.shares_draw and k in shared else model.draw(batch, k)
            if objective.shares_draw:
                shared[k] = draw
            value, named = objective.value_at(model, draw)
            loss = loss + objective.beside_opponent(weight() * value, named)
            terms = named | terms
        assert isinstance(loss, Tensor)
        return finished(loss, terms)


def finished(loss: Tensor, terms: Terms) -> Step:
    """The step of a loss and its terms, (B,) or scalars: means over the batch, held constant."""
    held = {name: t.detach() if t.ndim == 0 else t.detach().mean() for name, t in terms.items()}
    return Step(loss, {"loss": loss.detach()} | held)


def bound_terms(reconstruction: Tensor, kl: Tensor, *, density: bool = True) -> Terms:
    """The three numbers every likelihood-based method reports: elbo = -(reconstruction + kl), at beta = 1; scalars.

    Where p(x|z) is no density the same sum bounds nothing, and is called `score`.
    """
    return {"elbo" if density else "score": -(reconstruction + kl).detach(), "reconstruction": reconstruction, "kl": kl}


def surrogate(loss: Tensor, *, value: Tensor) -> Tensor:
    """A scalar that has the gradient of `loss` and the value of `value`."""
    return value.detach() + (loss - loss.detach())  # the difference is exactly 0, so the value is not rounded


def check(samples: int, choice: str = "", choices: tuple[str, ...] = ("",)) -> None:
    """Raises UserError for draws that are no whole number from 1 on, or a choice that is none of those offered."""
    whole("samples", samples)
    if choice not in choices:
        raise UserError(f"{choice!r} is none of {', '.join(map(repr, choices))}.")
