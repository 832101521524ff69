"""Splits: sizes, disjointness, and rows on disk."""

import numpy as np
import pytest
import torch

from logpx.data import MappedRows, Rows, from_array
from logpx.data.splits import count
from logpx.errors import UserError


def sizes(n: int, **options) -> tuple[int, int, int]:
    data = from_array(np.arange(float(n)), **options)
    return len(data.train), len(data.held_out), len(data.test)


@pytest.mark.parametrize(
    ("n", "options", "expected"),
    [
        (100, {}, (80, 10, 10)),
        (100, {"held_out": 0, "test": 0}, (100, 0, 0)),
        (100, {"held_out": 0.25, "test": 3}, (72, 25, 3)),
        (100, {"held_out": 1, "test": 98}, (1, 1, 98)),
        (100, {"held_out": 0.0, "test": np.float64(0.5)}, (50, 0, 50)),
        (100, {"held_out": np.int64(7)}, (83, 7, 10)),
        (3, {}, (1, 1, 1)),
        (4, {}, (2, 1, 1)),
        (2, {}, (2, 0, 0)),
    ],
)
def test_sizes(n: int, options: dict, expected: tuple[int, int, int]) -> None:
    assert sizes(n, **options) == expected


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"held_out": 1.0}, "for a count of rows give an integer"),
        ({"held_out": -1}, "neither a fraction"),
        ({"test": "half"}, "neither a fraction"),
        ({"test": True}, "neither a fraction"),
        ({"test": float("nan")}, "neither a fraction"),
        ({"held_out": 5, "test": 5}, "leave none to train on"),
        ({"seed": -1}, "seed=-1 must be an integer"),
        ({"seed": 0.5}, "seed=0.5 must be an integer"),
    ],
)
def test_sizes_that_make_no_sense(options: dict, match: str) -> None:
    with pytest.raises(UserError, match=match):
        sizes(10, **options)


def test_splits_cover_everything_and_never_overlap() -> None:
    for seed in range(5):
        data = from_array(np.arange(101.0), seed=seed)
        rows = torch.cat([data.train.x(), data.held_out.x(), data.test.x()])[:, 0]
        assert sorted(rows.tolist()) == list(range(101))


def test_the_seed_decides_and_its_split_is_frozen() -> None:
    first, same, other = (from_array(np.arange(50.0), seed=s) for s in (3, 3, 4))
    assert torch.equal(first.train.x(), same.train.x())
    assert not torch.equal(first.test.x(), other.test.x())
    expected = np.sort(np.random.RandomState(3).permutation(50)[-5:])
    assert first.test.x()[:, 0].tolist() == expected.tolist()


def test_a_fraction_gives_at_least_one_row() -> None:
    assert count(0.001, 10, "test") == 1
    assert count(0.001, 2, "test") == 0
    assert count(0.0, 10, "test") == 0
    assert count(0, 10, "test") == 0


def test_mapped_rows_read_only_what_is_asked(tmp_path) -> None:
    x = np.random.RandomState(0).standard_normal((1000, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    index = np.random.RandomState(1).permutation(1000)[:600]
    rows: Rows = MappedRows(mapped, index)
    assert len(rows) == 600
    assert rows.shape == (600, 7)
    wanted = torch.randint(0, 600, (64,), generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(rows[wanted].numpy(), x[index[wanted.numpy()]])
    np.testing.assert_array_equal(rows[10:20].numpy(), x[index[10:20]])
    assert rows[torch.tensor([], dtype=torch.int64)].shape == (0, 7)
    batch = rows[0:4]
    batch.zero_()  # a copy: neither the file nor the map may change
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)


def test_a_large_map_is_scanned_in_pieces(tmp_path) -> None:
    import tracemalloc

    path = tmp_path / "big.npy"
    big = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(400_000, 100))  # 160 MB
    big[::1000] = 1.5
    del big
    mapped = np.load(path, mmap_mode="r")
    tracemalloc.start()
    data = from_array(mapped)
    data.train.x(torch.arange(0, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6
    assert (data.kind, len(data.train)) == ("real", 320_000)
