"""The learned operators of a latent space (floor 2), which posterior and prior share."""

import math

import torch
from torch import Tensor, nn

from logpx.errors import UserError


class Operators(nn.Module):
    """Psi (M, D, D), the generators of T(c) = expm(sum_m c_m Psi_m): posterior and prior hold the same module.

    They start as normal draws of standard deviation `spread`/sqrt(D): at 0 they would stay, for no c would be worth its price.
    They move at `pace` times the learning rate, and not at all in the first `hold` steps, while the codes find their places.
    Raises UserError for fewer than two dimensions, for no operator, and for a pace that is not positive.
    """

    moves: Tensor
    step: Tensor

    def __init__(self, operators: int, dim: int, *, spread: float = 0.4, pace: float = 50.0, hold: int = 0) -> None:
        super().__init__()
        if dim < 2:
            raise UserError(f"The latent space has {dim} dimension: an orbit needs two or more, so set latent to 2.")
        if operators < 1:
            raise UserError(f"There are {operators} operators: without one nothing is transported, so give 1 or more.")
        if not 0 < pace < math.inf or hold < 0:
            raise UserError(f"pace is {pace} and hold {hold}: give a positive pace, and 0 or more steps to hold.")
        self.pace, self.hold = pace, hold
        self.register_buffer("moves", torch.tensor(float(hold == 0)))
        self.register_buffer("step", torch.tensor(0))
        self.psi = nn.Parameter(spread / math.sqrt(dim) * torch.randn(operators, dim, dim))

    def forward(self) -> Tensor:
        return self.moves * self.psi + (1 - self.moves) * self.psi.detach()  # held: the same numbers without a gradient

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        self.step += 1
        self.moves.copy_(self.step >= self.hold)

    @torch.no_grad()
    def by_length(self) -> tuple[Tensor, Tensor]:
        """|Psi_m|_F, (M,), and Psi (M, D, D), the longest first."""
        length, order = torch.linalg.matrix_norm(self.psi).sort(descending=True)
        return length, self.psi[order]
