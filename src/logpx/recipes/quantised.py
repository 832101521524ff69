"""The autoencoder with quantised codes (floor 7), and the prior over its grids of codes that is trained after it."""

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.data import Data, Spec, Split
from logpx.data.protocols import as_float
from logpx.distributions import Quantised
from logpx.errors import UserError
from logpx.model import VAE, Batch
from logpx.posteriors.quantised import Learning, Through
from logpx.recipes.base import Sigma, assemble, recipe, without_latent
from logpx.recipes.types import NonNegative
from logpx.train import Method, Second, Training

Quantiser = Literal["codebook", "residual", "fsq"]
Prior = Literal["transformer", "pixelcnn", "uniform"]
ROWS, READS, START = 200_000, 10, 1024  # grids of codes a prior is fitted to, reads of a row, rows of the first codes
SECOND = Training(batch_size=64, learning_rate=2e-3, schedule="cosine", clip=5.0)  # stage; its epochs are asked for


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
    prior: Prior = "transformer",
    prior_steps: PositiveInt = 2000,
    prior_width: PositiveInt = 64,
    prior_layers: PositiveInt = 2,
) -> Method:
    """Vector-quantised autoencoder (van den Oord et al. 2017, arXiv:1711.00937, eq. 3).
    Codes from a table, one at each place of a grid, and a prior that is fitted to them afterwards.

    max log p(x|z_q) - |sg[z_e] - z_q|^2 - beta |z_e - sg[z_q]|^2,  z_e = f(x),  z_q the nearest codes, one at each place.

    Then, in a second stage of the same run, max log p(k) = sum_t log p(k_t | k_<t) of the codes k(x) of the training rows; the
    codes of held-out rows choose its epoch. From there on the model samples, and log p(x) >= log p(x|z_q) + log p(k(x)) is its
    evidence: q(z|x) is one code, so nothing is drawn and one pass gives the bound. Distances are sums over all places and
    numbers, in the units of z, not nats.

    Images are coded by convolutions on a grid, tables by layers of `hidden` widths in `grid` tokens. The codes start at the
    centres of k-means among the training rows.

    When: discrete codes are wanted, to compress or as tokens of another model, or samples that a prior composes from parts.
    Not for log p(x): one code for each row makes the bound looser than that of a VAE of its size
    (evidence/vq_vae_mnist.json). Not for maps or walks in z.

    quantiser: codebook; residual, so many stages of it, each for what is left over; or fsq, fixed levels (Mentzer et al. 2024)
    codes: K, of each codebook
    width: numbers in a code
    stages: codebooks of residual
    levels: of each number in a code of fsq; their product is K
    grid: rows of the grid of codes, a divisor of the image's (else a quarter of them, at most 8); tokens of a table (else 4)
    beta: weight of the commitment |z_e - sg[z_q]|^2
    learning: of the codes, by a moving average (ema) or by gradient
    decay: g of the moving average
    restart: a code used less than this share of an even use starts again on a vector of the batch; 0 for never
    through: what carries the gradient past the quantiser: straight_through or rotation (Fifty et al. 2024)
    channels: of the convolutions, for images
    hidden: widths of the encoder's layers for tables, mirrored in the decoder
    prior: of the codes: transformer, pixelcnn (gated, over the grid of an image), or uniform: log p(k) = -T log K, never fitted
    prior_steps: of its training, 64 rows each, rounded up to whole epochs
    prior_width: of its layers, or its channels
    prior_layers: of them
    """
    if data.context:
        raise UserError("The codes of vq_vae have no context: leave it out, or take conditional_vae.")
    if prior == "transformer" and prior_width % 4:
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
    network = partial(_network, prior, family, place, prior_width, prior_layers)
    model.prior = priors.Later(priors.Codes(family, network()))
    return Method(model, objective, training, start=start, finish=partial(_fit_prior, network, prior_steps))


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


def _network(prior: Prior, family: Any, place: tuple[int, ...], width: int, layers: int) -> nn.Module:
    """The network of p(k_t | k_<t): over the tokens in a row, or over the grid with the stages of a place as its colours."""
    if prior == "transformer":
        return networks.CausalTransformer(family.tokens, family.codes, width=width, layers=layers)
    if len(place) == 1:
        raise UserError("The prior pixelcnn reads grids, and the tokens of a table are none: take transformer.")
    shape, side = (family.stages, *place), 2 * max(place) - 1  # of the window that sees all of the grid
    kernels = (min(7, side), *[min(5, side)] * (layers - 1))
    see = networks.OneHotFeatures(shape, family.codes)
    return networks.GatedPixelCNN(shape, family.codes, channels=width, kernels=kernels, see=see)


def _fit_prior(make: Any, steps: int, model: VAE, data: Data, train: Second) -> None:
    """Trains a network made afresh, as a resumed run may hold one that was fitted before, and puts it into the model."""
    later = model.prior
    assert isinstance(later, priors.Later)
    assert isinstance(later.prior, priors.Codes)
    assert isinstance(later.prior.network, nn.Module)
    network, codes = make(), codes_of(model, data)
    train(second_stage(network, codes, steps), codes)
    later.prior.network.load_state_dict(network.state_dict())
    later.fitted = True


def second_stage(network: nn.Module, codes: Data, steps: int) -> Method:
    """Maximum likelihood of codes: a model without a latent, 64 rows a step, for as many epochs as hold these steps."""
    law = without_latent(codes.shape, network, likelihoods.Categorical(codes.shape, network.size))  # type: ignore[arg-type]
    a_pass = -(-len(codes.train) // SECOND.batch_size)
    return Method(law, objectives.ELBO(), replace(SECOND, epochs=-(-steps // a_pass)))


def codes_of(model: VAE, data: Data) -> Data:
    """k(x) of the first 200,000 training rows and of the held-out rows, laid out as the prior's network reads them.

    Of rows that are drawn anew at each read, there are 10 reads, or as many as fit, of which an epoch sees one.
    """
    N = min(len(data.train), ROWS)
    reads = max(1, min(READS, ROWS // N)) if data.train.random else 1
    k = torch.stack([_read(model, data.train, N, seed) for seed in range(reads)], 1)
    held_out = _read(model, data.held_out, min(len(data.held_out), ROWS), 0).unsqueeze(1)
    levels = model.posterior.codes
    return Data(
        name="codes",
        source=f"codes of {data.source}",
        spec=Spec(tuple(k.shape[2:]), "categorical", levels),  # type: ignore[arg-type]
        protocol="as-is",
        train=Split(k, one_read, random=reads > 1),
        held_out=Split(held_out, one_read),
        test=Split(held_out[:0], one_read),
        checksum=hashlib.sha256(k.numpy().tobytes() + held_out.numpy().tobytes()).hexdigest(),
        note=f"Second stage: p(k) of the codes of {N:,} training rows{f', read {reads} times' * (reads > 1)}",
        options={"held_out": None, "test": None, "seed": 0, "label": None},
    )


def one_read(k: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One of the P reads of each row of codes (B, P, ...), drawn if there are several."""
    if k.shape[1] == 1:
        return as_float(k[:, 0])
    which = torch.randint(k.shape[1], (len(k),), generator=generator, device=k.device)
    return as_float(k[torch.arange(len(k), device=k.device), which])


def _read(model: VAE, rows: Split, N: int, seed: int) -> Tensor:
    """k(x) of the first N rows as whole numbers of four bytes, (N, *shape)."""
    like, generator = next(model.parameters()), torch.Generator().manual_seed(seed)
    pieces = (rows.batch(slice(i, min(i + 500, N)), generator) for i in range(0, N, 500))
    laws = (model.encode(Batch.to(piece, like.device, like.dtype)) for piece in pieces)
    k = [q.indices.cpu().int() for q in laws if isinstance(q, Quantised)]
    none = torch.zeros(0, int(model.posterior.tokens), dtype=torch.int32)  # type: ignore[arg-type]
    return model.prior.prior.laid_out(torch.cat([none, *k])).contiguous()  # type: ignore[operator, union-attr]
