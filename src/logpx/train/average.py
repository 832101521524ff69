"""Weights averaged over the last steps (floor 6): a learning rate can stay large, and its noise is averaged away."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

EVERY = 10  # at most so many steps from one look at the weights to the next: a look costs as much as Adam


class Average:
    """The exponential moving average of a model's learned weights (Polyak & Juditsky 1992; Izmailov et al. 2018).

    a <- decay a + (1 - decay) w per step, in effect over the last 1 / (1 - decay) of them; while fewer have been taken, their
    plain mean. Buffers, such as running moments and codebooks, are not averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.weights: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.decay, self.steps = decay, 0
        self.every = max(1, min(EVERY, round(0.1 / (1 - decay))))  # a tenth of what the average is over
        self.averages = [p.detach().clone() for p in self.weights]

    @torch.no_grad()
    def after_step(self, _: Any = None) -> None:
        """Looks at the weights where it is time to."""
        self.steps += 1
        if self.steps % self.every == 0:
            share = max(1 - self.decay**self.every, self.every / self.steps)
            torch._foreach_lerp_(self.averages, self.weights, share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights within; they are copied, as a compiled step knows where its weights stand."""
        if self.steps < self.every:
            yield
            return
        own = [p.detach().clone() for p in self.weights]
        self._set(self.averages)
        try:
            yield
        finally:
            self._set(own)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.copy_(value)

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "averages": self.averages}

    def restore(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for average, saved in zip(self.averages, state["averages"], strict=True):
            average.copy_(saved)
