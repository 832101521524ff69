"""The autoencoder with quantised codes (floor 7), and the prior over its grids of codes that is fitted when it is trained."""

import math
from functools import partial
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.data import Spec, Split
from logpx.distributions import Quantised
from logpx.errors import UserError
from logpx.model import VAE, Batch
from logpx.posteriors.quantised import Learning, Through
from logpx.recipes.base import Sigma, assemble, recipe
from logpx.recipes.types import NonNegative
from logpx.train import Method, Training

Quantiser = Literal["codebook", "residual", "fsq"]
ROWS, READS, START = 200_000, 10, 1024  # grids of codes a prior is fitted to, reads of a row, rows of the first codes
BATCH, RATE, LOOKS = 64, 2e-3, 20  # of the second stage: rows a step, learning rate, looks at held-out codes


@recipe
def vq_vae(
    data: Spec,
    *,
    quantiser: Quantiser = "codebook",
    codes: PositiveInt = 512,
    width: PositiveInt = 32,
    stages: PositiveInt = 2,
    levels: tuple[PositiveInt, ...] = (8, 6, 5),
    grid: PositiveInt | None = None,
    beta: NonNegative = 0.25,
    learning: Learning = "ema",
    decay: NonNegative = 0.99,
    restart: NonNegative = 0.05,
    through: Through = "straight_through",
    channels: PositiveInt = 64,
    hidden: tuple[PositiveInt, ...] = (400,),
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    prior: Literal["transformer", "uniform"] = "transformer",
    prior_steps: PositiveInt = 2000,
    prior_width: PositiveInt = 64,
    prior_layers: PositiveInt = 2,
) -> Method:
    """Vector-quantised autoencoder (van den Oord et al. 2017, arXiv:1711.00937, eq. 3).

    max log p(x|z_q) - |sg[z_e] - z_q|^2 - beta |z_e - sg[z_q]|^2,  z_e = f(x),  z_q the nearest codes, one at each place.

    Then, of the codes k(x) of the training rows, max log p(k) = sum_t log p(k_t | k_<t), as the last act of the same run. From
    there on the model samples, and log p(x) >= log p(x|z_q) + log p(k(x)) is its evidence: q(z|x) is one code, so nothing is
    drawn and one pass gives the bound. Distances are sums over all places and numbers, in the units of z, not nats.

    Images are coded by convolutions on a grid, tables by layers of `hidden` widths in `grid` tokens. The codes start at the
    centres of k-means among the training rows.

    quantiser: codebook; residual, so many stages of it, each for what is left over; or fsq, fixed levels (Mentzer et al. 2024)
    codes: K, of each codebook
    width: numbers in a code
    stages: codebooks of residual
    levels: of each number in a code of fsq; their product is K
    grid: rows of the grid of codes, which must divide the image; a quarter of its side (at most 8) if it is not given. Of a
    table, its tokens, else 4
    beta: weight of the commitment |z_e - sg[z_q]|^2
    learning: of the codes, by a moving average (ema) or by gradient
    decay: g of the moving average
    restart: a code used less than this share of an even use starts again on a vector of the batch; 0 for never
    through: what carries the gradient past the quantiser: straight_through or rotation (Fifty et al. 2024)
    channels: of the convolutions, for images
    hidden: widths of the encoder's layers for tables, mirrored in the decoder
    prior: of the codes, a transformer fitted last, or uniform, which needs no fit: log p(k) = -T log K for T tokens
    prior_steps: of its fit, 64 rows each
    prior_width: of its layers
    prior_layers: of them
    """
    if data.context:
        raise UserError("The codes of vq_vae have no context: leave it out, or take conditional_vae.")
    if prior_width % 4:
        raise UserError(f"prior_width is {prior_width}: its attention has 4 heads, so give a multiple of 4.")
    place = _places(data, grid)
    family = _family(quantiser, place, codes=codes, width=width, stages=stages, levels=levels, learning=learning,
                     through=through, decay=decay, restart=restart)  # fmt: skip
    model = _model(data, family, place, channels, hidden, likelihood=likelihood, sigma=sigma)
    objective, training = objectives.Quantisation(beta), Training(learning_rate=1e-3)
    start = _start if quantiser != "fsq" else None
    if prior == "uniform":
        model.prior = priors.Codes(family)
        return Method(model, objective, training, start=start)
    network = networks.CausalTransformer(family.tokens, family.codes, width=prior_width, layers=prior_layers)
    model.prior = priors.Later(priors.Codes(family, network))
    return Method(model, objective, training, start=start, finish=partial(_finish, prior_steps))


# --- the parts --------------------------------------------------------------------------------------------------------


def _places(data: Spec, grid: int | None) -> tuple[int, ...]:
    """(rows, columns) of the grid of an image, (tokens,) of a table. Raises UserError for a grid that does not divide it."""
    if len(data.shape) != 3:
        return (4 if grid is None else grid,)
    _, H, W = data.shape
    rows = grid or max(side for side in range(1, max(1, min(H // 4, 8)) + 1) if H % side == 0)
    if H % rows or W % (H // rows):
        raise UserError(
            f"A grid of {rows} rows does not divide images of {H} x {W} into squares: give a grid whose squares fit both sides."
        )
    return rows, W // (H // rows)


def _family(
    quantiser: Quantiser,
    place: tuple[int, ...],
    *,
    levels: tuple[int, ...],
    codes: int,
    width: int,
    stages: int,
    **how: Any,
) -> posteriors.Codebook | posteriors.FiniteScalar:
    positions = place[0] * place[-1] if len(place) == 2 else place[0]
    if quantiser == "fsq":
        return posteriors.FiniteScalar(positions, levels)
    return posteriors.Codebook(positions, width, codes, stages=stages if quantiser == "residual" else 1, **how)


def _model(data: Spec, family: Any, place: tuple[int, ...], channels: int, hidden: tuple[int, ...], **law: Any) -> VAE:
    """Networks between x and the grid; those of a table take and give it as one row."""
    emitted = posteriors.Deterministic(family.size)
    model = assemble(data, posterior=emitted, prior=None, hidden=hidden if len(place) == 1 else (), **law)
    if len(place) == 2:
        factor, size = data.shape[1] // place[0], model.likelihood.size
        assert isinstance(size, int)

        def convolutions(plain: nn.Module) -> nn.Module:
            assert isinstance(plain, networks.MLP)
            return networks.GridEncoder(plain.inputs, factor, family.width, channels)

        model.encoder = networks.behind_features(model.encoder, convolutions)
        model.decoder = networks.GridDecoder(place, family.width, (size, *data.shape), factor, channels)
    if family.stages > 1:
        model.decoder = networks.Summed(model.decoder, family.stages, family.width)
    model.posterior = family
    return model


def _start(model: VAE, train: Split) -> None:
    """The codes among the encoder's numbers of training rows drawn at random."""
    like = next(model.parameters())
    index = torch.randperm(len(train))[:START]
    batch = train.batch(index, torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    model.posterior.start(model.emit(batch))  # type: ignore[operator]


# --- the second stage -------------------------------------------------------------------------------------------------


def _finish(steps: int, model: VAE, train: Split) -> None:
    later = model.prior
    assert isinstance(later, priors.Later)
    assert isinstance(later.prior, priors.Codes)
    network = later.prior.network
    assert isinstance(network, networks.CausalTransformer)
    fit_prior(network, codes_of(model, train), steps)
    later.fitted = True


def codes_of(model: VAE, rows: Split) -> Tensor:
    """k(x) of the first 200,000 rows, (N, P, T): of rows that are drawn anew at each read P = 10 reads, or as many as fit."""
    N = min(len(rows), ROWS)
    reads = max(1, min(READS, ROWS // N)) if rows.random else 1
    return torch.stack([_read(model, rows, N, torch.Generator().manual_seed(seed)) for seed in range(reads)], 1)


def _read(model: VAE, rows: Split, N: int, generator: torch.Generator) -> Tensor:
    like = next(model.parameters())
    pieces = (rows.batch(slice(i, min(i + 500, N)), generator) for i in range(0, N, 500))
    laws = (model.encode(Batch.to(piece, like.device, like.dtype)) for piece in pieces)
    return torch.cat([q.indices for q in laws if isinstance(q, Quantised)])


def fit_prior(network: networks.CausalTransformer, k: Tensor, steps: int) -> None:
    """Maximum likelihood of codes k (N, P, T): Adam on 64 rows a step, its rate rising over a twentieth of the steps while it
    falls to 0 along half a cosine.

    One row in twenty (at most 1000) is held out, and of 20 looks at them the weights of the best are kept. It starts afresh, as
    the weights of a resumed run hold a prior that was fitted before.
    """
    network.reset_parameters()
    network.requires_grad_(True)
    k = k[torch.randperm(len(k), device=k.device)]
    N, P, _ = k.shape
    aside = min(N // 20, 1000)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_rate, steps))
    best, kept = math.inf, {}
    for step in range(1, steps + 1):
        with torch.enable_grad():
            rows = k[torch.randint(aside, N, (BATCH,), device=k.device), torch.randint(P, (BATCH,), device=k.device)]
            optimizer.zero_grad()
            (-network.log_prob(rows).mean()).backward()
            optimizer.step()
        schedule.step()
        if step == steps or step % max(1, steps // LOOKS) == 0:
            loss = _loss(network, k[:aside].flatten(0, 1)) if aside else -step
            if loss < best:
                best, kept = loss, {name: w.clone() for name, w in network.state_dict().items()}
    network.load_state_dict(kept)
    network.requires_grad_(False)


def _rate(steps: int, step: int) -> float:
    """The share of the learning rate at a step."""
    return min(1.0, (step + 1) / max(1, steps // 20)) * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def _loss(network: networks.CausalTransformer, k: Tensor) -> float:
    return -torch.cat([network.log_prob(rows) for rows in k.split(250)]).mean().item()
