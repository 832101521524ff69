"""The dry run (floor 6): one step on two points before training, so that a misfit is a sentence and not a traceback."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from logpx.data import Data, Split, check_seen
from logpx.distributions.spaces import check_same_space
from logpx.errors import UserError
from logpx.evaluate import at_rest, batch_of
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
        _check_last_batch(method, batch, len(data.train))
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
    one = batch_of(batch, slice(0, 1))
    with _fitting(named(model.encoder, "the encoder"), f"data of shape {tuple(shape)}"):
        params = calm(model.encoder, lambda: model.emit(batch), batch.x, lambda: model.emit(one))
    size = getattr(model.posterior, "size", None)
    if size is not None and params.shape != (n, size):
        raise UserError(
            f"The encoder emits {tuple(params.shape[1:])} per point; {_name(model.posterior)} needs ({size},)."
        )
    q = model.posterior(params)
    if model.has_evidence and model.prior is not None:
        check_same_space(q, model.prior(batch.context))
    z = q.sample((1,))
    with _fitting(named(model.decoder, "the decoder"), f"latents of shape {tuple(q.event_shape)}"):
        h = calm(
            model.decoder,
            lambda: model.emit_from(z, batch.context),
            z,
            lambda: model.emit_from(z[:, :1], one.context),
        )
    wanted = (1, n, getattr(model.likelihood, "size", 1), *shape)
    if h.shape != wanted:
        raise UserError(
            f"The decoder emits {tuple(h.shape[2:])} per latent; {_name(model.likelihood)} on data of shape "
            f"{tuple(shape)} needs {wanted[2:]}."
        )


def _name(part: torch.nn.Module) -> str:
    return type(part).__name__


@contextmanager
def _fitting(part: str, what: str) -> Iterator[None]:
    """One sentence on whatever a part raises where it is given `what`; torch's own word for a misfit is RuntimeError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        kind = "" if type(error) is RuntimeError and str(error) else type(error).__name__
        said = ": ".join(filter(None, [kind, *str(error).splitlines()[:1]])).rstrip(".")
        raise UserError(f"The {part.removeprefix('the ')} does not take {what}: {said}.") from error


def _check_last_batch(method: Method, batch: Batch, n: int) -> None:
    """Batch normalisation has no variance of one number, so that a last batch of one row may be none to train on.

    What a batch of one row does is tried on a copy, for the pixels of one picture are numbers enough.
    """
    size = method.training.batch_size
    normalises = any(isinstance(module, _BatchNorm) for module in method.model.modules())
    if method.solve or not normalises or _rows_at_last(n, size) > 1:
        return
    model, objective = copy.deepcopy((method.model, method.objective))
    try:
        objective(model.train(), batch_of(batch, slice(0, 1)))
    except ValueError as error:
        if n == 1:
            raise UserError("Batch normalisation needs two rows, and one is there to train on: add rows.") from error
        better = next(more for more in range(size + 1, n + 1) if _rows_at_last(n, more) > 1)
        raise UserError(
            f"With batch_size={size} the last batch of {n:,} rows is a single one, on which batch normalisation cannot be "
            f"trained: take batch_size={better}."
        ) from error


def _rows_at_last(n: int, size: int) -> int:
    """Rows in the last batch of n."""
    return n % size or size
