"""A density for codes that have none (floor 7): fitted to the codes of the training rows when the training has ended."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from logpx import priors
from logpx.data import Data, Split
from logpx.errors import UserError
from logpx.evaluate import batch_of
from logpx.model import VAE, Batch
from logpx.objectives import Objective
from logpx.train import Method, Second, Training

Density = Literal["none", "mixture", "flow"]
ROWS = 50_000  # codes that a fit looks at
STEPS, BATCH = 800, 256  # of Adam, for a flow


def with_density(model: VAE, objective: Objective, training: Training, density: Density, components: int) -> Method:
    """The method, with a prior that is fitted last (Ghosh et al. 2020, arXiv:1903.12436, section 4), or with none."""
    if density == "none":
        return Method(model, objective, training)
    dim = model.posterior.dim
    assert isinstance(dim, int)
    inner = priors.FullMixture(dim, components) if density == "mixture" else priors.Flow(dim)
    model.prior = priors.Later(inner)
    fit = partial(_fit_mixture, components) if density == "mixture" else _fit_flow
    least = max(components, 2) if density == "mixture" else 2
    return Method(model, objective, training, start=partial(_check_rows, least), finish=partial(_finish, fit))


def _check_rows(least: int, model: VAE, train: Split) -> None:
    """Raises UserError, before the training, for fewer codes than the density that is fitted after it needs."""
    if min(len(train), ROWS) < least:
        raise UserError(
            f"The density needs at least {least} codes and will see {min(len(train), ROWS)}, one for each training row: ask "
            "for fewer components, or give more rows."
        )


def _finish(fit: object, model: VAE, data: Data, _: Second) -> None:
    later = model.prior
    assert isinstance(later, priors.Later)
    fit(later.prior, codes(model, data.train))  # type: ignore[operator]
    later.fitted = True


def codes(model: VAE, rows: Split) -> Tensor:
    """f(x) of the first 50,000 rows, (N, D)."""
    like, top = next(model.parameters()), min(len(rows), ROWS)
    pieces = (batch_of(rows, slice(i, min(i + 1000, top))) for i in range(0, top, 1000))
    return torch.cat([model.encode(Batch.to(piece, like.device, like.dtype)).mean for piece in pieces])


def _fit_mixture(components: int, prior: priors.FullMixture, z: Tensor) -> None:
    """scikit-learn's expectation-maximisation in float64; its covariances are ridged by a millionth of the variance."""
    from sklearn.mixture import GaussianMixture

    ridge = 1e-6 * max(z.double().var(0).mean().item(), 1e-12)
    seed = int(torch.randint(2**31, ()))
    found = GaussianMixture(components, reg_covar=ridge, max_iter=300, random_state=seed).fit(z.double().cpu().numpy())
    prior.log_weights.copy_(torch.from_numpy(found.weights_).log())
    prior.mu.copy_(torch.from_numpy(found.means_))
    prior.L.copy_(torch.linalg.cholesky(torch.from_numpy(found.covariances_)))


def _fit_flow(prior: priors.Flow, z: Tensor) -> None:
    """Maximum likelihood: 800 steps of Adam on 256 codes each, the learning rate falling to 0 along half a cosine."""
    for layer in prior.layers.modules():  # afresh: the weights of a resumed run hold a flow that was fitted before
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    prior.centre.copy_(z.mean(0))
    prior.scale.copy_(z.std(0).clamp_min(1e-6))
    prior.requires_grad_(True)
    optimizer = torch.optim.Adam(prior.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    with torch.enable_grad():
        for _ in range(STEPS):
            rows = z[torch.randint(len(z), (BATCH,), device=z.device)]
            optimizer.zero_grad()
            (-prior().log_prob(rows).mean()).backward()
            optimizer.step()
            schedule.step()
    prior.requires_grad_(False)
