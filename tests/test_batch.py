"""Batch: what is missing, what moves where; and the batches that a Split prepares."""

import math

import numpy as np
import pytest
import torch

from logpx.data import from_array
from logpx.data.base import Split
from logpx.model import Batch

X = torch.tensor([[1.0, math.nan, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize("missing", [None, True])
def test_nan_becomes_zero_and_not_observed(missing: bool | None) -> None:
    batch = Batch.of(X, torch.ones(2, 1), missing=missing)
    assert batch.observed is not None
    assert batch.x.tolist() == [[1, 0, 3], [4, 5, 6]]
    assert batch.observed.tolist() == [[True, False, True], [True, True, True]]
    assert batch.context is not None
    assert bool(X[0, 1].isnan())  # the caller's rows are left alone


def test_the_mask_is_there_only_where_it_is_needed_or_asked_for() -> None:
    whole = X[1:]
    assert Batch.of(whole).observed is None
    assert Batch.of(whole, missing=False).observed is None
    asked = Batch.of(whole, missing=True).observed  # the same structure for every batch of a set with holes
    assert asked is not None
    assert bool(asked.all())
    assert Batch.of(whole).x is whole


def test_map_reaches_every_tensor_and_keeps_what_is_absent() -> None:
    first = Batch.of(X, torch.tensor([[7.0], [8.0]])).map(lambda t: t[:1])
    assert [t.shape for t in first] == [(1, 3), (1, 1), (1, 3)]
    bare = Batch(X[1:]).map(lambda t: 2 * t)
    assert bare.x.tolist() == [[8, 10, 12]]
    assert bare.context is None
    assert bare.observed is None


def test_to_changes_the_type_of_numbers_and_not_of_the_mask() -> None:
    moved = Batch.of(X, torch.ones(2, 1)).to(torch.device("cpu"), torch.float64)
    assert moved.x.dtype == moved.context.dtype == torch.float64
    assert moved.observed.dtype == torch.bool


def test_a_split_s_batch_has_the_rows_context_and_holes_that_belong_together() -> None:
    context = torch.tensor([[0.0], [1.0], [2.0]])
    rows = torch.stack([X[0], X[1], X[0] + 10])
    split = Split(rows, lambda r, _: r, context=context, missing=True)
    for index in (slice(1, 3), torch.tensor([1, 2])):
        batch = split.batch(index)
        assert batch.x.tolist() == [[4, 5, 6], [11, 0, 13]]
        assert batch.context.tolist() == [[1], [2]]
        assert batch.observed.tolist() == [[True] * 3, [True, False, True]]
    assert bool(split.x(slice(0, 1))[0, 1].isnan())  # the rows themselves still say so


def test_a_split_without_holes_has_no_mask() -> None:
    data = from_array(np.arange(40.0).reshape(20, 2))
    batch = data.train.batch(slice(0, 5))
    assert batch.observed is None
    assert batch.context is None
    assert torch.equal(batch.x, data.train.x(slice(0, 5)))
