"""The law of a sequence of tokens from a network that reads it from left to right (floor 1)."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from logpx.distributions.levels import CategoricalLogits
from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]


class Reader(Protocol):
    """A network whose logits at place t depend on the tokens before t alone."""

    begin: int  # the code of what stands before the first token

    def __call__(self, x: Tensor, h: Tensor) -> Tensor:
        """Codes x (..., T) and conditions h (..., C, T) -> logits (..., T, L), all places in one pass."""

    def start(self, h: Tensor) -> Any:
        """What is remembered before the first place."""

    def step(self, last: Tensor, h: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """The token before a place (...,) and that place's h (..., C) -> (logits (..., L), what is remembered)."""


def up_to_end(x: Tensor, end: int | None) -> Tensor:
    """Which places of x (..., T) belong to the sequence: all before the first `end`, and that end itself."""
    if end is None:
        return torch.ones_like(x, dtype=torch.bool)
    is_end = (x == end).int()
    return is_end.cumsum(-1) - is_end == 0


class TokenSequence(Distribution):
    """log p(x) = sum_t log p(x_t | x_<t, h) over the places up to the first `end`, that end included.

    x (..., T) holds codes 0 .. L-1 as floating point numbers; after an end stand ends alone, which are not scored: whatever
    else stands there has probability 0, and one place more changes nothing. A sequence that fills all T places has no
    end among them and stops there with probability one, so the law sums to one. `end` None: all sequences have T tokens.

    network  reads x and h (..., C, T), one pass for log p and one step a place for samples.

    Sequences have no mean: `mean` raises UserError, as x with another number of places does.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol

    def __init__(self, network: Reader, h: Tensor, end: int | None = None) -> None:
        self.network, self.h, self.end = network, h, end
        super().__init__(h.shape[:-2], h.shape[-1:], validate_args=False)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.nonnegative_integer, 1)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "TokenSequence":
        return TokenSequence(self.network, self.h.expand(*batch_shape, *self.h.shape[-2:]), self.end)

    def log_conditionals(self, value: Tensor) -> Tensor:
        """log p(x_t | x_<t) of each place, (..., T), 0 after the end; their sum is log p(x)."""
        if value.shape[-1] != (T := self.h.shape[-1]):
            raise UserError(
                f"These sequences have {value.shape[-1]} places and the model's have {T}: cut them or fill them with the end, "
                "or train on such."
            )
        codes = torch.where((value >= 0) & (value == value.floor()), value, 0)
        law = CategoricalLogits(self.network(codes.clamp_max(self.network.begin - 1), self.h))
        scored = up_to_end(value, self.end)
        after = torch.zeros_like(value) if self.end is None else torch.where(value == self.end, 0, -torch.inf)
        return torch.where(scored, law.log_prob(value), after)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_conditionals(value).sum(-1)

    @property
    def mean(self) -> Tensor:
        raise UserError("Sequences of tokens have no mean: draw from their law, or take its greedy().")

    def greedy(self) -> Tensor:
        """The most probable token at each place, given those before: not always the most probable sequence."""
        return self.walk(None)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        law = self.expand((*sample_shape, *self.batch_shape))
        return law.walk(torch.rand(law.h.shape[:-2] + law.h.shape[-1:], dtype=self.h.dtype, device=self.h.device))

    @torch.no_grad()
    def walk(self, u: Tensor | None) -> Tensor:
        """One sequence for each h, place by place from what the network remembers: x_t = F_t^-1(u_t) for uniforms u (..., T).

        F_t is the distribution function of p(x_t | x_<t, h); without u each token is the most probable one.
        """
        memory, x = self.network.start(self.h), []
        last = torch.full(self.h.shape[:-2], self.network.begin, device=self.h.device)
        done = torch.zeros_like(last, dtype=torch.bool)
        for t, h in enumerate(self.h.unbind(-1)):
            logits, memory = self.network.step(last, h, memory)
            last = logits.argmax(-1) if u is None else inverse(logits, u[..., t])
            if self.end is not None:
                last = last.masked_fill(done, self.end)
                done = last == self.end
            x.append(last)
        return torch.stack(x, -1).to(self.h.dtype)


def inverse(logits: Tensor, u: Tensor) -> Tensor:
    """The code (...,) at which the distribution function of softmax(logits (..., L)) first exceeds u (...,) in [0, 1)."""
    F = logits.softmax(-1).cumsum(-1)
    return (u.unsqueeze(-1) * F[..., -1:] >= F).sum(-1).clamp_max(logits.shape[-1] - 1)
