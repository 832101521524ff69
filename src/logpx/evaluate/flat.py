"""A chart in which any latent space is flat (floor 5): where Hamiltonian dynamics move, and what volumes become there."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from logpx.distributions import Space, is_euclidean, spaces, spaces_of
from logpx.maths.trigonometry import log_volume


@dataclass(frozen=True)
class Chart:
    """z = exp_m(v) in each part of z: v (..., n) in the orthonormal frame at the centre m of q(z|x), n numbers each.

    A density per Riemannian volume is one per volume of v once prod (sin_k(r)/r)^(n - 1), r = |v|, is multiplied in. A flat
    part has m = 0 and is its own chart, a hyperbolic one is covered once; a sphere is covered once by |v| < pi R, and beyond
    the density of v is 0: a trajectory that leaves is refused, and starts over from where it was.
    """

    parts: list[Space]
    centre: Tensor  # (B, dim), of all parts end to end

    def point(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """z (K, B, dim) at v (K, B, n), and the log-volume (K, B)."""
        made, total = [], v.new_zeros(v.shape[:-1])
        for space, piece in zip(self.parts, v.split([s.n for s in self.parts], -1), strict=True):
            if space.coordinates == "flat":
                made.append(piece)
                continue
            r2 = piece.square().sum(-1)
            inside = r2 < space.reach**2
            total = total + torch.where(
                inside, log_volume(torch.where(inside, r2, 0.0), space.kappa, space.n), -torch.inf
            )
            made.append(space.move(space.of(self.centre), torch.where(inside.unsqueeze(-1), piece, 0.0)))
        return torch.cat(made, -1), total

    def vector(self, z: Tensor) -> Tensor:
        """v (K, B, n) of points z (K, B, dim)."""
        return torch.cat(
            [s.of(z) if s.coordinates == "flat" else s.towards(s.of(self.centre), s.of(z)) for s in self.parts], -1
        )


class Straight:
    """The chart of a flat space: z itself."""

    def point(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """z (K, B, D) and a log-volume of 0 (K, B)."""
        return v, v.new_zeros(v.shape[:-1])

    def vector(self, z: Tensor) -> Tensor:
        """z."""
        return z


def chart_of(q: Distribution) -> Chart | Straight:
    """The chart at the centres of q(z|x), batch (B,); raises UserError for a space whose geometry is not known."""
    return Straight() if is_euclidean(q) else Chart(spaces_of(q), spaces.centres(q))
