"""The five ways to read pixels, and that each result names its own."""

import numpy as np
import pytest
import torch

from logpx.data import from_array, load
from logpx.errors import UserError


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, size=(400, 6, 5)).astype(np.uint8)


def mapped(array: np.ndarray, tmp_path) -> np.ndarray:
    np.save(tmp_path / "x.npy", array)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_grey_integer_threshold_follow_their_formulas(pixels) -> None:
    stored = torch.from_numpy(pixels[:, None]).double()
    for protocol, kind, expected in (
        ("grey", "grey", stored / 255),
        ("integer", "integer", stored),
        ("threshold", "binary", (stored >= 127.5).double()),
    ):
        data = from_array(pixels, protocol=protocol, held_out=0, test=0)
        assert (data.protocol, data.kind) == (protocol, kind)
        assert data.spec.levels == (None if kind == "binary" else 256)
        assert data.train.x().dtype == torch.get_default_dtype()
        torch.testing.assert_close(data.train.x().double(), expected, atol=1e-6, rtol=0)
        assert protocol in data.note or "threshold" in data.note


def test_half_goes_up_at_every_number_of_levels() -> None:
    data = load("digits:threshold", held_out=0, test=0)
    levels = load("digits:integer", held_out=0, test=0)
    assert torch.equal(data.train.x(), (levels.train.x() >= 8).float())


def test_dynamic_draws_anew_in_training_only(pixels) -> None:
    data = from_array(np.repeat(pixels[:1], 4000, axis=0), protocol="dynamic")
    assert (data.train.random, data.held_out.random, data.test.random) == (True, False, False)
    generator = torch.Generator().manual_seed(0)
    first, second = data.train.x(generator=generator), data.train.x(generator=generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, data.train.x(generator=torch.Generator().manual_seed(0)))
    assert set(first.unique().tolist()) == {0.0, 1.0}
    p = torch.from_numpy(pixels[:1, None]).float() / 255
    z = (first.mean(0) - p[0]) / (p[0] * (1 - p[0]) / len(first)).sqrt().clamp_min(1e-9)
    assert z.abs().max() < 4.5  # 30 pixels
    assert torch.equal(data.test.x(), data.test.x())
    with pytest.raises(UserError, match="generator"):
        data.train.x()


def test_dynamic_test_set_is_numpys_seed_777() -> None:
    grey, dynamic = load("mnist:grey"), load("mnist:dynamic")
    levels = grey.test.rows[:].numpy()
    expected = np.random.RandomState(777).binomial(1, levels / 255)
    assert np.array_equal(dynamic.test.rows[:].numpy(), expected)
    assert torch.equal(load("mnist", held_out=100).test.x(slice(0, 50)), dynamic.test.x(slice(0, 50)))


def test_static_is_drawn_once_and_names_its_seed(pixels) -> None:
    one, again = from_array(pixels, protocol="static:3"), from_array(pixels, protocol="static:3", seed=0)
    other = from_array(pixels, protocol="static", seed=4)
    assert (one.protocol, other.protocol) == ("static:3", "static:4")
    assert torch.equal(one.train.x(), again.train.x())
    assert torch.equal(one.train.x(), one.train.x())
    assert not torch.equal(one.train.x(), from_array(pixels, protocol="static:4").train.x())
    assert set(one.train.x().unique().tolist()) == {0.0, 1.0}
    assert not one.train.random


@pytest.mark.parametrize("protocol", ["static:5", "dynamic"])
def test_rows_on_disk_are_drawn_once_too(tmp_path, protocol: str) -> None:
    pixels = np.repeat(np.random.RandomState(1).randint(0, 256, (1, 4, 4)), 2000, 0).astype(np.uint8)
    data = from_array(mapped(pixels, tmp_path), protocol=protocol, test=1000)
    everything = data.test.x()
    assert torch.equal(everything, data.test.x())
    some = torch.tensor([7, 3, 3, 999])
    assert torch.equal(data.test.x(some), everything[some])
    assert not torch.equal(everything[0], everything[1])
    p = torch.from_numpy(pixels[0]).float() / 255
    z = (everything.mean((0, 1)) - p) / (p * (1 - p) / 1000).sqrt().clamp_min(1e-9)
    assert z.abs().max() < 4.5  # 16 pixels


def test_floats_within_the_unit_interval_may_be_binarised(pixels) -> None:
    x = pixels.reshape(400, -1) / 255.0
    assert from_array(x).kind == "real"
    assert from_array(x.reshape(400, 6, 5)).kind == "grey"
    data = from_array(x, protocol="threshold", held_out=0, test=0)
    assert torch.equal(data.train.x(), torch.from_numpy((x >= 0.5).astype(np.float32)))


def test_refusals(pixels) -> None:
    with pytest.raises(UserError, match="possible: grey, dynamic, threshold, static, integer"):
        load("digits", protocol="gray")
    with pytest.raises(UserError, match="neither pixels nor within"):
        from_array(np.arange(6.0), protocol="grey")
    with pytest.raises(UserError, match="makes binary data, not kind='grey'"):
        from_array(pixels, protocol="dynamic", kind="grey")
    with pytest.raises(UserError, match="integer seed"):
        from_array(pixels, protocol="static:one")
    with pytest.raises(UserError, match="'grey:3' does not apply"):
        from_array(pixels, protocol="grey:3")
    with pytest.raises(UserError, match="give one of them"):
        load("digits:grey", protocol="threshold")
