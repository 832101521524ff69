"""Feeding batches: every row once per epoch, a new order each time, integers until a batch is cut."""

import numpy as np
import torch

from logpx.data import MappedRows, from_array, load
from logpx.train.feed import Feed

CPU = torch.device("cpu")


def feed_of(x: object, batch_size: int, *, seed: int = 0, dtype: torch.dtype = torch.float32, **options) -> Feed:
    return Feed(from_array(x, held_out=0, test=0, **options).train, batch_size, seed=seed, device=CPU, dtype=dtype)


def rows(feed: Feed) -> torch.Tensor:
    return torch.cat([batch.x for batch in feed.epoch()])


def test_an_epoch_is_a_permutation_with_the_short_batch() -> None:
    feed = feed_of(torch.arange(11.0), 4)
    sizes = [len(batch.x) for batch in feed.epoch()]
    assert sizes == [4, 4, 3]
    assert len(feed) == 3
    first, second = rows(feed), rows(feed)
    assert sorted(first.flatten().tolist()) == list(range(11))
    assert sorted(second.flatten().tolist()) == list(range(11))
    assert not torch.equal(first, second)  # Shuffles differ between epochs


def test_the_order_belongs_to_the_seed_and_to_no_one_else() -> None:
    before = torch.get_rng_state()
    orders = [rows(feed_of(torch.arange(50.0), 7, seed=s)).flatten().tolist() for s in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert orders[0] == orders[1] != orders[2]


def test_the_weights_are_the_shares_of_the_batches() -> None:
    for n, size, expected in [(11, 4, [4, 4, 3]), (8, 4, [4, 4]), (9, 4, [4, 4, 1]), (3, 10, [3])]:
        feed = feed_of(torch.arange(float(n)), size)
        assert feed.weights().tolist() == [e / n for e in expected]


def test_integers_stay_integers_until_a_batch_is_cut() -> None:
    images = (torch.rand(20, 5, 5) * 255).to(torch.uint8)
    feed = feed_of(images, 8)
    assert feed.split.rows.dtype == torch.uint8
    batch = next(iter(feed.epoch()))
    assert batch.x.dtype == torch.float32
    assert 0 <= batch.x.min() <= batch.x.max() <= 1
    assert feed.split.rows.dtype == torch.uint8
    assert load("mnist").train.rows.dtype == torch.uint8


def test_the_noise_of_binarisation_is_new_each_epoch_and_repeatable() -> None:
    images = (torch.rand(20, 5, 5) * 255).to(torch.uint8)
    feed = feed_of(images, 20, protocol="dynamic")
    begin = feed.state()
    first, second = rows(feed), rows(feed)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert sorted(first.sum((1, 2, 3)).tolist()) != sorted(second.sum((1, 2, 3)).tolist())
    feed.restore(begin)
    assert torch.equal(rows(feed), first)
    assert torch.equal(rows(feed), second)


def test_the_state_taken_between_epochs_is_a_copy() -> None:
    feed = feed_of(torch.arange(30.0), 7)
    rows(feed)
    middle = feed.state()
    second = rows(feed)
    other = feed_of(torch.arange(30.0), 7, seed=99)
    other.restore(middle)
    assert torch.equal(rows(other), second)


def test_rows_on_disk_are_read_a_batch_at_a_time(tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.arange(24.0).reshape(12, 2))
    split = load(tmp_path / "x.npy", held_out=0, test=0).train
    assert isinstance(split.rows, MappedRows)
    feed = Feed(split, 5, seed=0, device=CPU, dtype=torch.float64)
    assert feed.split.rows is split.rows
    assert rows(feed).dtype == torch.float64
    assert sorted(rows(feed)[:, 0].tolist()) == list(range(0, 24, 2))


def test_both_kinds_of_rows_give_the_same_batches(tmp_path) -> None:
    x = np.random.RandomState(0).rand(30, 3)
    np.save(tmp_path / "x.npy", x)
    mapped = Feed(load(tmp_path / "x.npy", held_out=0, test=0).train, 8, seed=3, device=CPU, dtype=torch.float32)
    assert torch.equal(rows(mapped), rows(feed_of(x, 8, seed=3)))
