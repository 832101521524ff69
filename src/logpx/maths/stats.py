"""How heavy the tail of importance weights is (floor 0): the generalised Pareto fit, k-hat, effective sample size."""

import math

import torch
from torch import Tensor


def generalized_pareto_shape(exceedances: Tensor) -> Tensor:
    """Shape k of a generalised Pareto law fitted to M positive exceedances, (M, N) sorted ascending -> (N,).

    The profile posterior mean of Zhang & Stephens (2009, Technometrics 51), shrunk towards 1/2 by ten
    pseudo-observations as Vehtari et al. (2024, arXiv:1507.02646, appendix G) do for k-hat.
    """
    M = len(exceedances)
    grid = torch.arange(1, 31 + int(math.sqrt(M)), dtype=exceedances.dtype, device=exceedances.device)
    quartile, largest = exceedances[int(M / 4 + 0.5) - 1], exceedances[-1]
    theta = 1 / largest + (1 - torch.sqrt(len(grid) / (grid - 0.5)))[:, None] / (3 * quartile)  # (G, N)
    shape = torch.log1p(-theta[:, None] * exceedances).mean(1)  # (G, N): k given theta
    profile = M * (torch.log(-theta / shape) - shape - 1)
    best = (profile.softmax(0) * theta).sum(0)
    k = torch.log1p(-best * exceedances).mean(0)
    return (M * k + 10 * 0.5) / (M + 10)


def pareto_khat(log_weights: Tensor) -> Tensor:
    """k-hat of importance weights, (K, N) -> (N,): the tail shape of the largest min(K/5, 3 sqrt K) weights.

    Below 0.5 the variance of the weights is finite, above 0.7 their average is not to be believed (Vehtari et al.
    2024). nan where K < 25 leaves fewer than five weights to judge by, and -inf where the largest weights agree to a
    part in a thousand: what is left is rounding, whose ties would be read as the heaviest of tails. nan too where fewer than
    half of those weights differ: a discrete z, whose few weights are bounded and have no tail.
    """
    K, N = log_weights.shape
    tail = min(K // 5, math.ceil(3 * math.sqrt(K)))
    if tail < 5:
        return log_weights.new_full((N,), math.nan)
    top = log_weights.double().topk(tail + 1, 0).values.flip(0)  # ascending; the first is the threshold
    weights = torch.exp(top - top[-1])
    exceedances = (weights[1:] - weights[:1]).clamp_min(1e-300)
    k = generalized_pareto_shape(exceedances).to(log_weights.dtype)
    k = k.where((top.diff(dim=0) > 0).sum(0) >= tail / 2, math.nan)
    return torch.where(top[-1] - top[0] < 1e-3, torch.full_like(k, -math.inf), k)


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """(sum_k w_k)^2 / sum_k w_k^2, (K, N) -> (N,), between 1 and K."""
    return 1 / log_weights.softmax(0).square().sum(0)
