"""Hamiltonian Monte Carlo on a path of laws (floor 0): leapfrog steps and the transition that leaves a law as it is.

A law is given by M functions and their weights, log f(z) = sum_m c_m f_m(z) up to a constant, so that what was computed at a
point serves every law of an annealing path. Axes: K chains, B laws side by side, D dimensions, M functions.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: z (K, B, D) -> values f_m(z) (M, K, B) in float64 and their gradients (M, K, B, D)
Functions = Callable[[Tensor], tuple[Tensor, Tensor]]


class Point(NamedTuple):
    """Where the chains are, and what was computed there."""

    z: Tensor  # (K, B, D)
    values: Tensor  # (M, K, B)
    slopes: Tensor  # (M, K, B, D)

    @classmethod
    def at(cls, functions: Functions, z: Tensor) -> "Point":
        """The point z, its functions evaluated once."""
        return cls(z, *functions(z))

    def log_f(self, weights: Tensor) -> Tensor:
        """sum_m c_m f_m, (K, B)."""
        return torch.einsum("m,mkb->kb", weights, self.values)

    def slope(self, weights: Tensor) -> Tensor:
        """Its gradient, (K, B, D)."""
        return torch.einsum("m,mkbd->kbd", weights.to(self.slopes), self.slopes)


def leapfrog(
    functions: Functions, point: Point, momentum: Tensor, weights: Tensor, step: Tensor, steps: int
) -> tuple[Point, Tensor]:
    """The point and the momentum (K, B, D) after so many steps of H = -log f(z) + |p|^2/2, each of one gradient.

    step   broadcasts against (K, B, D): the step size times the scale of each dimension, p -> p + step/2 grad log f(z),
           z -> z + step p, p -> p + step/2 grad log f(z). The map keeps volumes, is undone by itself once p is negated, and
           conserves H up to O(step^2) (Neal 2011, arXiv:1206.1901, section 2.3).
    """
    for _ in range(steps):
        momentum = momentum + 0.5 * step * point.slope(weights)
        point = Point.at(functions, point.z + step * momentum)
        momentum = momentum + 0.5 * step * point.slope(weights)
    return point, momentum


def energy(point: Point, momentum: Tensor, weights: Tensor) -> Tensor:
    """H = -log f(z) + |p|^2/2, (K, B), in float64."""
    return 0.5 * momentum.double().square().sum(-1) - point.log_f(weights)


def transition(
    functions: Functions, point: Point, weights: Tensor, step: Tensor, steps: int, momentum: Tensor, u: Tensor
) -> tuple[Point, Tensor]:
    """One step of a Markov chain that leaves f invariant and is reversible; and the acceptance probability (K, B).

    momentum (K, B, D) standard normal and u (K, B) uniform on [0, 1) are its noise: the end of a leapfrog trajectory is taken
    with probability min(1, exp(H - H')), else the chain stays. Where H' is no number it stays (Duane et al. 1987; Neal 2011).
    """
    end, turned = leapfrog(functions, point, momentum, weights, step, steps)
    lost = energy(point, momentum, weights) - energy(end, turned, weights)
    probability = lost.clamp_max(0).exp().nan_to_num(0.0)
    taken = u < probability
    there = taken.unsqueeze(-1)
    z, slopes = torch.where(there, end.z, point.z), torch.where(there, end.slopes, point.slopes)
    return Point(z, torch.where(taken, end.values, point.values), slopes), probability
