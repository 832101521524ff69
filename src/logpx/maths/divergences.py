"""Divergences other than the Kullback-Leibler (floor 0): from log ratios, from samples, and between normal laws."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def jensen_shannon_at(log_ratio: Tensor) -> Tensor:
    """log 2 - H(sigmoid(r)) at r = log q(z) - log p(z), H a coin's entropy: in [0, log 2] at every draw.

    Its mean over z from the mixture (p + q)/2 is JS(q, p): what z tells about which of the two it came from.
    """
    r = log_ratio.abs().clamp(max=100)  # H is even in r; beyond, it is under 1e-41, and at infinity inf * 0
    js = math.log(2) - F.softplus(-r, threshold=40) - r * torch.sigmoid(-r)
    return js.clamp(0, math.log(2))  # near 0 float32 rounds r^2/8 below 0


def total_variation_at(log_ratio: Tensor) -> Tensor:
    """|q - p|/(q + p) = |tanh(r/2)| at r = log q(z) - log p(z): in [0, 1]; its mean over (p + q)/2 is TV(q, p)."""
    return torch.tanh(log_ratio / 2).abs()


def sliced_wasserstein(a: Tensor, b: Tensor, directions: Tensor, order: Literal[1, 2] = 2) -> Tensor:
    """Mean over directions u of W_order^order between the projections of two samples of n points (n, D), a scalar.

    On a line the best transport pairs the sorted points. `directions` (L, D) are normalised here; in one dimension
    the value is W_1, or W_2^2, itself (Kolouri et al. 2019, arXiv:1804.01947, eq. 9).
    """
    u = F.normalize(directions, dim=1).T
    apart = (a @ u).sort(0).values - (b @ u).sort(0).values  # (n, L)
    return (apart.abs() if order == 1 else apart.square()).mean()


def wasserstein2_normal(mean_a: Tensor, root_a: Tensor, mean_b: Tensor, root_b: Tensor) -> Tensor:
    """W_2^2(N(m, A A^T), N(n, B B^T)) = |m - n|^2 + |A|^2 + |B|^2 - 2 |B^T A|_*, means (..., D), roots (..., D, D).

    The nuclear norm |B^T A|_* (the sum of singular values) is tr (S_b^{1/2} S_a S_b^{1/2})^{1/2} for any roots of the
    covariances, Cholesky factors included (Dowson & Landau 1982, J. Multivariate Analysis 12).
    """
    spread = root_a.square().sum((-2, -1)) + root_b.square().sum((-2, -1))
    return (mean_a - mean_b).square().sum(-1) + spread - 2 * torch.linalg.svdvals(root_b.mT @ root_a).sum(-1)


def wasserstein2_diagonal(mean_a: Tensor, sigma_a: Tensor, mean_b: Tensor, sigma_b: Tensor) -> Tensor:
    """W_2^2 = |m - n|^2 + |s - t|^2 for N(m, diag s^2) and N(n, diag t^2), all (..., D)."""
    return (mean_a - mean_b).square().sum(-1) + (sigma_a - sigma_b).square().sum(-1)
