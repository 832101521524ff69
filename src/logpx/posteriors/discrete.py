"""The family of discrete latents (floor 3): categorical variables whose draws may be relaxed while training."""

import math
from typing import get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions.discrete import Draws, OneHots
from logpx.errors import UserError


class Categorical(nn.Module):
    """q(z|x) = prod_n Cat(z_n; softmax(logits_n(x))), N variables of K classes, z (N K) one-hot vectors end to end.

    In training mode draws are `draws`: hard, relaxed or straight_through (`OneHots`), at a temperature that falls from
    `temperature` to `coldest` by a constant factor a step over `anneal` steps (Jang, Gu & Poole 2017, arXiv:1611.01144,
    section 4.2: max(0.5, e^(-r t))), a buffer that moves in `after_step`. In evaluation mode they are hard, so that
    every evaluation, that of held-out rows while training included, is of the discrete model itself.
    Raises UserError for no variable, fewer than two classes, a temperature that is not positive, or one that rises.
    """

    temperature: Tensor
    step: Tensor

    def __init__(
        self,
        variables: int,
        classes: int,
        draws: Draws = "relaxed",
        *,
        temperature: float = 1.0,
        coldest: float = 0.5,
        anneal: int = 0,
    ) -> None:
        super().__init__()
        _check(variables, classes, draws, temperature, coldest, anneal)
        self.variables, self.classes, self.draws = variables, classes, draws
        self.dim = self.size = variables * classes
        self.start, self.coldest, self.anneal = temperature, coldest, anneal
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        self.register_buffer("step", torch.tensor(0))

    def forward(self, params: Tensor) -> Distribution:
        logits = params.unflatten(-1, (self.variables, self.classes))
        return OneHots(logits, self.draws if self.training else "hard", self.temperature)

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        if self.anneal:
            self.step += 1
            done = (self.step / self.anneal).clamp(max=1.0)
            self.temperature.copy_(self.start * torch.exp(done * math.log(self.coldest / self.start)))

    def extra_repr(self) -> str:
        return f"{self.variables} variables of {self.classes} classes, {self.draws}"


def _check(variables: int, classes: int, draws: str, temperature: float, coldest: float, anneal: int) -> None:
    if variables < 1 or classes < 2:
        raise UserError(
            f"{variables} variables of {classes} classes hold no code: give at least one variable and two classes."
        )
    if draws not in get_args(Draws):
        raise UserError(f"Draws are {', '.join(get_args(Draws))}, not {draws!r}.")
    if anneal < 0:
        raise UserError(f"anneal is {anneal}: give 0 or more steps.")
    if not 0 < temperature < math.inf or (anneal and not 0 < coldest <= temperature):
        raise UserError(
            f"The temperature is to fall from {temperature} to {coldest}: give two positive numbers, the second no larger."
        )
