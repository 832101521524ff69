"""The dry run (floor 6): one step on two points before training, so that a misfit is a sentence and not a traceback."""

import torch

from logpx.data import Data, Split, check_seen
from logpx.distributions.spaces import check_same_space
from logpx.errors import UserError
from logpx.evaluate import at_rest
from logpx.likelihoods import check_support
from logpx.model import Batch
from logpx.networks import calm, named
from logpx.train.method import Method


def dry_run(method: Method, data: Data, *, rows: bool = True) -> str:
    """Checks shapes, support (of all `rows`, if asked) and finiteness, warms torch's KL dispatch, says how the KL is computed.

    Raises UserError for parts that do not fit each other or the data, and for data outside the likelihood's support.
    """
    if data.train.missing and (method.solve or method.model.marginal is not None):
        raise UserError(
            "This method computes exactly from complete rows, and values are missing: fill them, drop the rows, or train "
            "another recipe."
        )
    check_seen(data)
    for split in (data.train, data.held_out, data.test) if rows else ():
        _check_support(method, split)
    like = next(method.model.parameters())
    batch = _first_rows(data.train, 2).to(like.device, like.dtype)
    with at_rest(method.model):
        _check_shapes(method, batch)
        step = method.objective(method.model, batch)
    if not bool(step.loss.isfinite()):
        raise UserError(
            f"The loss is {step.loss.item()} before the first step: scale the data or choose another likelihood."
        )
    return method.objective.how_kl(method.model)


def _first_rows(split: Split, n: int) -> Batch:
    batch = split.batch(slice(0, n), torch.Generator(split.rows[:1].device).manual_seed(0))
    return batch.map(torch.clone)  # whatever a network of the user's own writes into, it is not the data


def _check_support(method: Method, split: Split) -> None:
    generator = torch.Generator().manual_seed(0)
    for start in range(0, len(split), 8192):
        check_support(method.model.likelihood, split.x(slice(start, start + 8192), generator), start)


def _check_shapes(method: Method, batch: Batch) -> None:
    """Encoder -> family -> decoder -> likelihood, each with the sizes the next one declares."""
    model, (n, *shape) = method.model, batch.x.shape
    try:
        params = calm(model.encoder, lambda: model.emit(batch), batch.x)
    except RuntimeError as error:
        encoder = named(model.encoder, "the encoder").removeprefix("the ")
        raise UserError(f"The {encoder} does not take data of shape {tuple(shape)}: {_first_line(error)}.") from error
    size = getattr(model.posterior, "size", None)
    if size is not None and params.shape != (n, size):
        raise UserError(
            f"The encoder emits {tuple(params.shape[1:])} per point; {_name(model.posterior)} needs ({size},)."
        )
    q = model.posterior(params)
    if model.has_evidence and model.prior is not None:
        check_same_space(q, model.prior(batch.context))
    z = q.sample((1,))
    try:
        h = calm(model.decoder, lambda: model.emit_from(z, batch.context), z)
    except RuntimeError as error:
        decoder = named(model.decoder, "the decoder").removeprefix("the ")
        raise UserError(
            f"The {decoder} does not take latents of shape {tuple(q.event_shape)}: {_first_line(error)}."
        ) from error
    wanted = (1, n, getattr(model.likelihood, "size", 1), *shape)
    if h.shape != wanted:
        raise UserError(
            f"The decoder emits {tuple(h.shape[2:])} per latent; {_name(model.likelihood)} on data of shape "
            f"{tuple(shape)} needs {wanted[2:]}."
        )


def _name(part: torch.nn.Module) -> str:
    return type(part).__name__


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
