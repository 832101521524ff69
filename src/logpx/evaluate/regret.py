"""The posterior of each row at its best (floor 5): what the encoder leaves on the table."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from logpx.distributions import OneHots, Quantised
from logpx.errors import UserError
from logpx.evaluate.rows import evaluating, pair_bytes, placed, private_randomness
from logpx.model import VAE, Batch
from logpx.objectives.base import whole

RATE, DRAWS, JUDGES = 0.1, 16, 256  # Adam's first step; draws of z for a gradient, and for the ELBO that is returned


class Refined(NamedTuple):
    """Numbers of the posterior family found for each row, and what they are worth, beside the encoder's."""

    params: Tensor  # (B, size)
    elbo: Tensor  # (B,) nats, float64
    encoder_elbo: Tensor  # (B,), by the same draws' noise

    @property
    def gain(self) -> Tensor:
        """max_tau ELBO(x; tau, theta) - ELBO(x; phi, theta), (B,): never far below 0, and too small rather than too large."""
        return self.elbo - self.encoder_elbo


def refined(
    model: VAE, batch: Batch, *, steps: int = 100, seed: int = 0, memory: int = 256 * 2**20, rate: float = RATE
) -> Refined:
    """tau = argmax E_q [log p(x|z) + log p(z) - log q(z)], q = posterior(tau), for each row, theta staying as it is.

    Starts at the encoder's numbers; `steps` steps of Adam at a rate that falls linearly to 0, all rows side by side, which
    for an optimiser that treats every number alone is the same as one row after the other. Each step draws anew, 16 times
    for each row, the KL being exact where it has a closed form. The two ELBOs are judged by 256 further draws of equal noise,
    on which nothing was fitted, so the gain is, in expectation, a lower bound on the true one; rows where the draws of the last
    steps do not show it to be one keep the encoder's numbers. (The semi-amortised view: Kim et al. 2018, arXiv:1802.02550.)

    Raises UserError for steps < 1, and where q(z|x) is no density that is differentiable in its numbers.
    """
    whole("steps", steps)
    batch = placed(batch, model)
    with evaluating(model), private_randomness(batch.x.device), torch.no_grad():
        start = model.emit(batch)
        _check(model.posterior(start), model)
        tau = start.clone().requires_grad_()
        adam = torch.optim.Adam([tau], lr=rate)
        for step in range(steps):
            adam.param_groups[0]["lr"] = rate * (1 - step / steps)
            torch.manual_seed((seed * 8191 + step) % 2**64)
            with torch.enable_grad():
                (tau.grad,) = torch.autograd.grad(-_elbo(model, batch, tau, DRAWS).sum(), tau)
            adam.step()
        tau = tau.detach()
        before, after = (_judged(model, batch, params, seed + 1, JUDGES // 4, memory) for params in (start, tau))
        better = (after > before).unsqueeze(-1)  # decided by other draws than the two numbers that are returned
        best = torch.where(better, tau, start)
        found, own = (_judged(model, batch, params, seed, JUDGES, memory) for params in (best, start))
        return Refined(best, found, own)


def _judged(model: VAE, batch: Batch, params: Tensor, seed: int, draws: int, memory: int) -> Tensor:
    """The ELBO of each row by so many draws, (B,) in float64."""
    torch.manual_seed((seed * 8191 + 2**31) % 2**64)
    return _elbo(
        model, batch, params, draws, max(1, min(DRAWS, memory // (pair_bytes(model, batch.x[0].numel()) * len(params))))
    )


def _elbo(model: VAE, batch: Batch, params: Tensor, draws: int, at_once: int = DRAWS) -> Tensor:
    """E_q log p(x|z) - KL(q || p) of each row, decoded `at_once` draws at a time."""
    q = model.posterior(params)
    parts = []
    for z in _pairs(q, draws).split(at_once):
        draw = model.at(batch, q, z)
        parts.append((draw.log_px() - draw.kl()).double())
    return torch.cat(parts).mean(0)


def _pairs(q: Distribution, draws: int) -> Tensor:
    """z of q; of a normal law half of them, and their mirror images about its mean, which cancel all that is odd in z."""
    base = q.base_dist if isinstance(q, Independent) else q
    if draws % 2 or not isinstance(base, Normal | MultivariateNormal):
        return q.rsample((draws,))
    z = q.rsample((draws // 2,))
    return torch.cat([z, 2 * q.mean - z])


def _check(q: Distribution, model: VAE) -> None:
    if model.prior is None or isinstance(q, OneHots | Quantised) or not q.has_rsample or q.event_shape == (0,):
        raise UserError(
            "Nothing of q(z|x) can be refined here: that takes a prior, and a q(z|x) whose draws follow its numbers smoothly, "
            "which discrete codes do not."
        )
