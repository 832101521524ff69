"""log p(x) of each row as if it stood alone (floor 5): the same noise for every row."""

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from logpx.distributions import is_density
from logpx.distributions.spaces import parts_of
from logpx.errors import UserError
from logpx.evaluate.codes import NO_DENSITY
from logpx.evaluate.importance import Evidence, evidence, finite, tile_rows
from logpx.evaluate.rows import at_rest, batch_of, check_rows, draws_at_once, placed, reseed
from logpx.maths import log_mean_exp
from logpx.model import VAE, Batch
from logpx.objectives.base import whole


def evidence_alone(
    model: VAE, batch: Batch, *, samples: int = 100, seed: int = 0, memory: int = 256 * 2**20
) -> Evidence:
    """`evidence` of rows (N, *shape) by draws that do not depend on a row's position, nor on the other rows.

    log 1/k sum_j p(x, z_j)/q(z_j | x),  z_j = z(x, e_j) with the noise e_1 .. e_k of one row, used for all.

    So equal rows have equal numbers wherever they stand. The price: the rows' Monte-Carlo errors are dependent, and their
    mean is no better known than one of them, so that `evidence` is the number for a table. Exact where the model knows p(x).

    Raises UserError as `evidence` does.
    """
    whole("samples", samples)
    if model.prior is not None and not model.rates_codes:
        raise UserError(NO_DENSITY)
    if model.marginal is not None or getattr(model.posterior, "is_one_code", False):
        return evidence(model, batch, samples=samples, seed=seed, memory=memory)  # nothing is drawn
    check_rows(batch)
    batch, P = placed(batch, model), batch.x[0].numel()
    rows, parts, density = tile_rows(P, samples), [], True
    at_once = draws_at_once(model, P, rows, memory)
    with at_rest(model):
        for start in range(0, len(batch.x), rows):
            some = batch_of(batch, slice(start, start + rows))
            q, z, log_w = *drawn_alone(model, some, samples, seed), []
            for piece in z.split(at_once):
                draw = model.at(some, q, piece)
                density = is_density(draw.px)
                log_w.append(draw.log_w().double())
            parts.append(log_mean_exp(torch.cat(log_w)).cpu())
    dims = batch.x.numel() if batch.observed is None else int(batch.observed.sum())
    return Evidence(finite(torch.cat(parts)), "lower bound" if density else "score", dims / len(batch.x), samples)


def drawn_alone(model: VAE, batch: Batch, k: int, seed: int) -> tuple[Distribution, Tensor]:
    """(q(z | x), z (k, B, D)), each row's z drawn for itself from the same random state."""
    params = model.emit(batch)
    q = model.posterior(params)
    if _is_affine(q):
        reseed(seed)
        return q, _drawn(q, k)
    found = []
    for row in params.split(1):  # any law's rsample will do
        reseed(seed)
        found.append(model.posterior(row).rsample((k,)))
    return q, torch.cat(found, 1)


def _is_affine(q: Distribution) -> bool:
    """Whether z = mu(x) + L(x) e part by part, so that rows may share what was drawn of e."""
    return all(
        isinstance(part, MultivariateNormal) or (isinstance(part, Independent) and isinstance(part.base_dist, Normal))
        for part in parts_of(q)
    )


def _drawn(q: Distribution, k: int) -> Tensor:
    """mu + L e, (k, B, D), with the e (k, 1, D) that a row alone would draw."""
    found = []
    for part in parts_of(q):
        mu = part.mean
        e = torch.randn(k, 1, mu.shape[-1], dtype=mu.dtype, device=mu.device)
        full = isinstance(part, MultivariateNormal)
        found.append(mu + ((part.scale_tril @ e.unsqueeze(-1)).squeeze(-1) if full else part.stddev * e))  # type: ignore[attr-defined]
    return torch.cat(found, -1)
