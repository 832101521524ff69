"""Who is at work in the latent space (floor 5): active units, KL per dimension."""

from dataclasses import dataclass

import torch
from torch import Tensor

from logpx.distributions import OneHots, Quantised, is_euclidean, kl_by_dimension
from logpx.errors import UserError
from logpx.evaluate.rows import Points, at_rest, batch_of, count, placed
from logpx.model import VAE


@dataclass(frozen=True)
class Usage:
    """Who is at work: KL_i = E_x KL(q(z_i|x) || p(z_i)) and Var_x E[z_i|x], each (D,); active where the latter >= 0.01.

    kl is None where q does not factorise over dimensions. (Burda et al. 2016, section 5.1; threshold on the variance.) Of
    categorical latents i counts variables, and the variance is that of their probabilities, summed over classes.
    """

    kl: Tensor | None
    variance_of_means: Tensor
    kl_of_rows: Tensor | None = None  # (N, D), of which kl is the mean

    @property
    def active(self) -> int:
        return int((self.variance_of_means >= 0.01).sum())


def usage(model: VAE, data: Points, *, rows: int = 10_000) -> Usage:
    """Per-dimension use of the latent space over the first `rows` rows; UserError for fewer than two, or a curved z or none."""
    if min(count(data), rows) < 2:
        raise UserError("Use of the latent space is a variance over rows: at least two are needed.")
    kls, means = [], []
    with at_rest(model):
        for start in range(0, min(count(data), rows), 1000):
            batch = placed(batch_of(data, slice(start, min(start + 1000, rows))), model)
            q, p = model.encode(batch), None if model.prior is None else model.prior(batch.context)
            if q.event_shape == (0,):
                raise UserError("This model has no latent, so none is at work.")
            if isinstance(q, Quantised):
                raise UserError(
                    "Active units are counted along the axes of z, and this code is discrete: take code_usage."
                )
            if not is_euclidean(q) and not isinstance(q, OneHots):
                raise UserError(
                    "Active units are counted along the axes of a flat latent space, and this one is curved: take the mutual "
                    "information, which needs no axes."
                )
            means.append(q.mean)
            if (kl := kl_by_dimension(q, p)) is not None:
                kls.append(kl)
    variance = torch.cat(means).var(0)
    variance = q.by_variable(variance) if isinstance(q, OneHots) else variance
    of_rows = torch.cat(kls).cpu() if kls else None
    return Usage(None if of_rows is None else of_rows.mean(0), variance.cpu(), of_rows)
