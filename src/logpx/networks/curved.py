"""What the networks around a curved latent space share (floor 2): its curvature, and the layers that read its points."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from logpx.errors import UserError
from logpx.maths import manifolds

Move = Literal["fixed", "learned", "universal"]


class Curvature(nn.Module):
    """kappa of one space, a scalar: posterior, prior and decoder hold the same module, so that it is one number.

    fixed      kappa = start;
    learned    kappa = sign(start) softplus(a), which keeps its sign;
    universal  kappa = a, which may pass through zero.
    It moves at `pace` times the learning rate, and not at all in the first `hold` steps (Skopek et al. 2020,
    arXiv:1911.08411, appendix D: a tenth, from the tenth epoch on). Through z it changes the prior, so the gradients
    "stl" and "dreg", which drop the score of q, are biased for it: train a learned curvature with the plain bound.
    Raises UserError for a start that is not finite, a learned one of 0, and a pace that is not positive.
    """

    a: Tensor
    moves: Tensor
    step: Tensor

    def __init__(self, start: float, move: Move = "fixed", *, pace: float = 0.1, hold: int = 0) -> None:
        super().__init__()
        _check(start, move, pace, hold)
        self.move, self.hold, self.begins = move, hold, (start > 0) - (start < 0)
        if move == "fixed":
            self.register_buffer("a", torch.tensor(float(start)))
            return
        self.pace = pace
        self.a = nn.Parameter(torch.tensor(_inverse_softplus(abs(start)) if move == "learned" else float(start)))
        self.register_buffer("moves", torch.tensor(float(hold == 0)))
        self.register_buffer("step", torch.tensor(0))

    @property
    def sign(self) -> int:
        """-1 or 1 where kappa never leaves that side of zero, else 0."""
        return 0 if self.move == "universal" else self.begins

    def forward(self) -> Tensor:
        if self.move == "fixed":
            return self.a
        a = self.a
        if self.hold:
            a = self.moves * a + (1 - self.moves) * a.detach()  # held: the same number without a gradient
        return a if self.move == "universal" else self.begins * F.softplus(a)

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        if self.move != "fixed":
            self.step += 1
            self.moves.copy_(self.step >= self.hold)

    def extra_repr(self) -> str:
        return f"{self.move}, kappa={self().item():.4g}"


class Curvatures(nn.Module):
    """kappa (m,) of m spaces of as many dimensions, whose laws are computed side by side. UserError where there is none."""

    def __init__(self, each: Sequence[Curvature]) -> None:
        super().__init__()
        if not each:
            raise UserError("Spaces side by side need a curvature each, and there is none.")
        self.each: Any = nn.ModuleList(each)

    def __len__(self) -> int:
        return len(self.each)

    @property
    def sign(self) -> int:
        """That of all of them, else 0."""
        first = self.each[0].sign
        return first if all(curvature.sign == first for curvature in self.each) else 0

    def forward(self) -> Tensor:
        return torch.stack([curvature() for curvature in self.each])


def _check(start: float, move: Move, pace: float, hold: int) -> None:
    if move not in get_args(Move):
        raise UserError(f"A curvature is {' or '.join(get_args(Move))}, not {move!r}.")
    if start and not 1e-6 <= abs(start) <= 1e6:
        raise UserError(f"The curvature is {start}: give a finite number, 0 or between 1e-6 and 1e6 in size.")
    if move == "learned" and start == 0:
        raise UserError("A learned curvature keeps its sign, and 0 has none: start elsewhere, or take a universal one.")
    if not 0 < pace < math.inf or hold < 0:
        raise UserError(f"pace is {pace} and hold {hold}: give a positive pace, and 0 or more steps to hold.")


def _inverse_softplus(y: float) -> float:
    """a with log(1 + e^a) = y > 0."""
    return y + math.log(-math.expm1(-y))


class Geodesic(nn.Module):
    """Distances of z (..., n) to `outputs` hyperplanes, with their signs (Ganea et al. 2018, arXiv:1805.09112, eq. 25).

        d = arsin_k( 2 <w, u> / (1 + kappa |w|^2) ),  w = -p (+) z,  p = exp_0(tau u),  |u| = 1,
    z in stereographic coordinates: with c = -kappa, asinh(2 sqrt c <w, u>/(1 - c |w|^2))/sqrt c, the first layer of a
    Poincare VAE's decoder (Mathieu et al. 2019, arXiv:1901.06033, section 3.2). The plane through p is orthogonal to u.
    Multiplied out, the argument is linear in lambda z and lambda - 1, lambda = 2/(1 + kappa |z|^2):
        cos_k(2 tau) <u, lambda z> - sin_k(2 tau) (lambda - 1),
    so it costs one matrix product, and no point is translated. Smooth in kappa, and 2 (<u, z> - tau) at 0, where lengths
    are 2 |z|. On a sphere |d| <= pi R/2. `context` numbers behind z enter linearly: d + V c.
    """

    def __init__(self, n: int, outputs: int, curvature: Curvature, *, context: int = 0) -> None:
        super().__init__()
        self.n, self.curvature = n, curvature
        linear = nn.Linear(n, outputs)
        self.weight, self.offset = linear.weight, linear.bias  # u = weight/|weight|, tau = offset
        self.context = nn.Linear(context, outputs, bias=False) if context else None

    def forward(self, x: Tensor) -> Tensor:
        z, kappa = x[..., : self.n], self.curvature()
        stretch = manifolds.conformal_factor(z, kappa).unsqueeze(-1)
        far = 10 * kappa.detach().abs().clamp_min(1e-6).rsqrt()  # beyond it, no point comes near the plane
        tau = self.offset.clamp(-far, far)
        cos = 1 - 2 * kappa * manifolds.sin_k(tau, kappa).square()
        sin = manifolds.sin_k(2 * tau, kappa)
        planes = F.linear(stretch * z, cos.unsqueeze(-1) * F.normalize(self.weight, dim=-1))
        d = self._arsin(planes - sin * (stretch - 1), kappa)
        return d if self.context is None else d + self.context(x[..., self.n :])

    def _arsin(self, x: Tensor, kappa: Tensor) -> Tensor:
        """arsin_k, of a curvature that stays negative by its own branch alone: this is the wide layer, and costs the most."""
        if self.curvature.sign < 0:
            root = (-kappa).sqrt()
            return (root * x).asinh() / root
        return manifolds.arsin_k(x, kappa)


class Ambient(nn.Module):
    """Points of a product of spaces as a network reads them: (lambda z_i, lambda |z_i|^2), in one more dimension each.

    One (dimensions, curvatures) of `parts` for spaces of as many dimensions side by side, z_i in stereographic coordinates;
    None in the place of curvatures leaves the part as it is, and so is what comes behind the last. With ambient coordinates
    x it is (x', sign(kappa) R (R - x_0)), which has a limit at curvature 0, a paraboloid over 2 z_i: smooth in kappa, and
    finite opposite 0 on a sphere, where z_i is not. p(x|z) then depends on the curvature, and the data have a say in it: to
    a network that reads log_0 z_i, a wrapped normal prior of any kappa <= 0 is the same normal law.
    """

    def __init__(self, parts: Sequence[tuple[int, Curvatures | None]]) -> None:
        super().__init__()
        self.dims = [n * len(curvatures) if curvatures else n for n, curvatures in parts]
        self.curvatures = nn.ModuleDict({str(i): c for i, (_, c) in enumerate(parts) if c})
        self.wider = sum(len(curvatures) for _, curvatures in parts if curvatures)  # numbers more than z has

    def forward(self, x: Tensor) -> Tensor:
        parts: list[Any] = list(x.split([*self.dims, x.shape[-1] - sum(self.dims)], -1))
        for i, curvatures in self.curvatures.items():
            kappa = curvatures()
            z = parts[int(i)].unflatten(-1, (len(kappa), -1))
            stretch = manifolds.conformal_factor(z, kappa).unsqueeze(-1)
            parts[int(i)] = torch.cat([stretch * z, stretch * z.square().sum(-1, keepdim=True)], -1).flatten(-2)
        return torch.cat(parts, -1)
