"""Special functions (floor 0): means in log space, the laws of a pixel from its logit, Bessel functions (see bessel.py)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from logpx.maths.bessel import bessel_ratio, log_bessel_i  # noqa: F401 - named with the others

LOG_2PI = math.log(2 * math.pi)


def log_mean_exp(a: Tensor, dim: int = 0) -> Tensor:
    """log((1/K) sum_k exp(a_k)) over `dim`, K its length: the estimator inside every importance-weighted bound."""
    return torch.logsumexp(a, dim) - math.log(a.shape[dim])


def log_power_mean(a: Tensor, power: float, dim: int = 0) -> Tensor:
    """1/p log((1/K) sum_k exp(p a_k)) over `dim`, p = `power`; at p = 0 its limit, the mean of a.

    With m = max a it is m + log1p(mean expm1(p (a - m)))/p: dividing by a small p then magnifies no rounding. Where
    p (a - m) leaves (-1, 1) somewhere, log1p would lose what expm1 has kept, and the log of a sum serves as it is.
    """
    if power == 0:
        return a.mean(dim)
    m = a.detach().amax(dim, keepdim=True)  # a constant: the value does not depend on it
    t = power * (a - m)
    near = t.detach().abs().amax(dim, keepdim=True) < 1
    close = torch.log1p(torch.expm1(torch.where(near, t, 0)).mean(dim))
    far = log_mean_exp(torch.where(near, 0, t), dim)
    return m.squeeze(dim) + torch.where(near.squeeze(dim), close, far) / power


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """x a - softplus(a), elementwise: log Bernoulli(x; sigmoid(a)), finite for every finite logit a.

    For x strictly between 0 and 1 this is minus the binary cross-entropy, which is no log-density.
    """
    return x * logits - F.softplus(logits, threshold=40)  # torch's own threshold of 20 drops 2e-9 nats


def bernoulli_log_prob_of_all(x: Tensor, logits: Tensor, dims: int) -> Tensor:
    """sum x a - softplus(a) over the last `dims` dimensions, faster where no gradient is needed.

    softplus(a) = max(a, 0) - log sigmoid(|a|), and sigmoid(|a|) lies in [1/2, 1]: 64 of them multiplied are at least 2^-64,
    so one logarithm serves them all. A CPU computes a sigmoid four times as fast as a softplus.
    """
    t = logits.clamp_min(0)
    below = t.addcmul_(x.expand_as(logits), logits, value=-1).flatten(-dims).sum(-1)  # max(a, 0) - x a
    torch.abs(logits, out=t).sigmoid_()  # in the same memory: fresh pages cost as much as the arithmetic
    s = t.flatten(-dims)
    whole = s.shape[-1] // 64 * 64
    products = s[..., :whole].unflatten(-1, (-1, 64)).prod(-1)
    return products.log_().sum(-1) + s[..., whole:].log().sum(-1) - below


# --- continuous Bernoulli (Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845), in its logit a -------------------------
# With l = sigmoid(a) the normaliser 2 artanh(1 - 2l)/(1 - 2l) is a / tanh(a/2): no cancellation is left except at
# a = 0, where a series takes over. torch's own law works in l, which float32 rounds to 1 from a = 17 on.

_SERIES_BELOW = 0.25  # |a| under which the series are used: their first dropped terms are below 1e-14 there


def _near_and_far(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the series holds; a there and 0 elsewhere; |a| elsewhere and 1 there.

    Each branch sees only arguments that it can bear: the one not taken would send inf * 0 = nan into the gradient.
    """
    near = a.abs() < _SERIES_BELOW
    return near, torch.where(near, a, torch.zeros_like(a)), torch.where(near, torch.ones_like(a), a.abs())


def polynomial(t: Tensor, *coefficients: float) -> Tensor:
    """c0 + c1 t + c2 t^2 + ... by Horner's rule, of degree one or more."""
    *lower, last, highest = coefficients
    total = highest * t + last
    for c in reversed(lower):
        total = total * t + c
    return total


def continuous_bernoulli_log_norm(a: Tensor) -> Tensor:
    """log C(a) = log(a / tanh(a/2)), so that log p(x) = a x - softplus(a) + log C(a) on [0, 1]."""
    near, s, b = _near_and_far(a)
    series = polynomial(s.square(), math.log(2), 1 / 12, -7 / 1440, 31 / 90720, -127 / 4838400, 73 / 34214400)
    closed = b.log() + torch.log1p(torch.exp(-b)) - torch.log(-torch.expm1(-b))
    return torch.where(near, series, closed)


def continuous_bernoulli_mean(a: Tensor) -> Tensor:
    """E x = 1/(1 - e^{-a}) - 1/a, which runs from 0 (a -> -inf) through 1/2 (a = 0) to 1."""
    near, s, b = _near_and_far(a)
    series = 0.5 + s * polynomial(s.square(), 1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)
    upper = -1 / torch.expm1(-b) - 1 / b
    return torch.where(near, series, torch.where(a > 0, upper, 1 - upper))


def continuous_bernoulli_icdf(u: Tensor, a: Tensor) -> Tensor:
    """x with F(x) = (e^{a x} - 1)/(e^a - 1) = u, for u in [0, 1], both ends included (torch.rand does return 0).

    x = log(1 - u + u e^a)/a is 1/a times the cumulant generating function of Bernoulli(u), whose first five cumulants
    are the series at a = 0; elsewhere it is written in e^{-|a|}, so that nothing overflows.
    """
    s = torch.where(a > 0, u, 1 - u)  # the law of 1 - x is the law at -a
    b = a.abs().clamp_min(0.01)
    shrink = (1 - s) * torch.expm1(-b)  # log(s + (1 - s) e^-b), exact near 0 by log1p, near -b by logaddexp
    log_w = torch.where(
        shrink > -0.5, torch.log1p(shrink.clamp_min(-0.5)), torch.logaddexp(s.log(), torch.log1p(-s) - b)
    )
    closed = torch.where(a > 0, 1 + log_w / b, -log_w / b).clamp(0, 1)  # rounding leaves no x outside
    c = u * (1 - u)  # the variance; the cumulants are u, c, c (1 - 2u), c (1 - 6c), c (1 - 2u)(1 - 12c)
    odd = c * (1 - 2 * u)
    near = a.abs() < 0.01
    t = torch.where(near, a, torch.zeros_like(a))
    series = u + t * (c / 2 + t * (odd / 6 + t * (c * (1 - 6 * c) / 24 + t * odd * (1 - 12 * c) / 120)))
    return torch.where(near, series, closed)
