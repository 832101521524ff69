"""Kernels and the distance between two samples that they define (floor 0): the maximum mean discrepancy.

Kernels are functions of a squared distance, so that a distance is computed once for all scales.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Kernel = Callable[[Tensor], Tensor]  # squared distances -> similarities of the same shape

#: multiples of a squared length at which one kernel looks, from fine to coarse (Tolstikhin et al. 2018, their code)
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|^2 for rows a (n, D) and b (m, D) -> (n, m), never below 0 whatever the rounding."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min(0)


def inverse_multiquadratic(distances: Tensor, base: float) -> Tensor:
    """sum_s C/(C + |a - b|^2),  C = base s for s in SCALES; heavy tails, so that far points still feel each other.

    `base` is the mean squared distance of two prior draws, 2 d sigma_p^2 for N(0, sigma_p^2 I) in d dimensions.
    """
    return torch.stack([base * s / (base * s + distances) for s in SCALES]).sum(0)


def gaussian_kernel(distances: Tensor, width: float | Tensor) -> Tensor:
    """exp(-|a - b|^2 / (2 l^2)) with l = width, a length."""
    return torch.exp(-distances / (2 * width**2))


def median_distance(a: Tensor, b: Tensor) -> Tensor:
    """The median distance between two different points of both samples together, held constant: a width for a kernel."""
    both = torch.cat([a, b]).detach()
    row, column = torch.tril_indices(len(both), len(both), -1, device=both.device)
    return squared_distances(both, both)[row, column].median().sqrt()


def mmd2(a: Tensor, b: Tensor, kernel: Kernel, *, unbiased: bool = True) -> Tensor:
    """MMD^2 = E k(a, a') + E k(b, b') - 2 E k(a, b) of the laws behind samples a (n, D) and b (m, D), a scalar.

    Unbiased, it is the U-statistic, which leaves out each point's similarity to itself: its mean is 0 where the laws
    are equal, so it may be negative. Otherwise the V-statistic, the squared distance of the samples themselves:
    never negative, 0 for equal samples, too large by about k(0)/n + k(0)/m. (Gretton et al. 2012, eq. 3 and 5.)
    """
    across = kernel(squared_distances(a, b)).mean()
    return _within(a, kernel, unbiased) + _within(b, kernel, unbiased) - 2 * across


def _within(a: Tensor, kernel: Kernel, unbiased: bool) -> Tensor:
    """The mean similarity of two points of one sample, different points where it is to be unbiased."""
    similar = kernel(squared_distances(a, a))
    if not unbiased:
        return similar.mean()
    return (similar.sum() - similar.diagonal().sum()) / (len(a) * (len(a) - 1))
