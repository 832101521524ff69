"""Which elements make a row unlikely (floor 5).

For every z log p(x) = log p(x|z) + log p(z) - log p(z|x). The mean of that over p(z|x) splits a row's surprise into one share
for each element and one for the code:

    -log p(x) = sum_j -E_{p(z|x)} log p(x_j | z)  +  KL(p(z|x) || p(z)).

E is taken by the weights w~_k of draws z_k ~ q(z|x) that are normalised to one, so that the encoder may err.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from logpx.distributions import log_prob_by_element
from logpx.model import Draw


def shares(draws: Iterable[Draw], log_w: Tensor) -> Tensor:
    """-sum_k w~_k log p(x_j | z_k), (B, *shape) in nats, nan where x_j was not observed.

    draws  those of which log_w (k, B) are the weights, in their order. Raises UserError for a likelihood that is no product
    over elements.
    """
    w, total, done = log_w.softmax(0), torch.zeros(()), 0
    for draw in draws:
        x = draw.batch.x
        n = len(draw.z)
        some = w[done : done + n].reshape(n, len(x), *[1] * (x.ndim - 1))
        total, done = total - (some * log_prob_by_element(draw.px, x).double()).sum(0), done + n
    return total if draw.batch.observed is None else total.masked_fill(~draw.batch.observed, torch.nan)
