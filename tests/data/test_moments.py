"""Moments of columns in pieces, and the refusal of numbers that float32 cannot tell apart."""

import numpy as np
import pandas
import pytest
import torch

from logpx import VAE
from logpx.data import facts, from_array, load
from logpx.data.base import Stored
from logpx.data.moments import STEPS, Moments
from logpx.errors import UserError

N = 400
NOISE = np.random.RandomState(0).standard_normal(N)
OTHER = np.random.RandomState(1).standard_normal(N)
TIMES = 1.7e9 + 3 * NOISE
REFUSED = r"{} of .* has the mean 1.7e\+09 and a standard deviation of only .*: subtract an offset \(its smallest value, say\)"


@pytest.mark.parametrize("pieces", [1, 3, N])
def test_they_are_those_of_all_rows_however_they_are_cut(pieces):
    x = np.column_stack([TIMES, np.where(NOISE > 1, np.nan, NOISE), OTHER])
    found = Moments.none(3)
    for piece in np.array_split(x, pieces):
        found = found.joined(Moments.of(piece))
    assert found.n.tolist() == [N, N - (NOISE > 1).sum(), N]
    assert np.allclose(found.mean, np.nanmean(x, 0), rtol=1e-14, atol=1e-14)
    assert np.allclose(found.scale, np.nanstd(x, 0), rtol=1e-7)  # float64 has steps of 2.4e-7 at 1.7e9
    assert np.allclose(found.scale[1:], np.nanstd(x, 0)[1:], rtol=1e-13)


def test_channels_are_joined_over_their_places():
    x = np.random.RandomState(0).standard_normal((20, 2, 3, 4)) + 5
    x[:4, 1, 0] = np.nan
    found = Moments.of(x.reshape(20, -1)).over(2)
    assert np.allclose(found.mean, np.nanmean(x, (0, 2, 3)), rtol=1e-13)
    assert np.allclose(found.scale, np.nanstd(x, (0, 2, 3)), rtol=1e-13)


def test_those_of_a_file_are_found_in_its_one_pass(monkeypatch):
    monkeypatch.setattr("logpx.data.base.CHUNK_BYTES", 100)
    x = np.column_stack([NOISE, OTHER + 7]).astype(np.float32)
    found = facts.scan(Stored("x", "x", x)).moments
    assert np.allclose(found.scale, x.astype(np.float64).std(0), rtol=1e-12)
    assert facts.scan(Stored("x", "x", np.zeros((4, 2), np.uint8))).moments is None


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standardise", [False, True])
def test_a_column_far_from_zero_is_refused_in_arrays_frames_and_files(tmp_path, standardise):
    """In float32 all of it is one number, or two: log p(x) would be of the rounding."""
    assert len(np.unique(TIMES.astype(np.float32))) <= 2
    columns = {"t": TIMES, "v": OTHER}
    frame, mixed = pandas.DataFrame(columns), pandas.DataFrame(columns | {"city": list("PQ") * (N // 2)})
    mixed.to_csv(tmp_path / "t.csv", index=False)
    mixed.assign(t=TIMES.astype(np.int64)).to_csv(tmp_path / "whole.csv", index=False)
    np.save(tmp_path / "t.npy", frame.to_numpy())
    for x in (frame, mixed):
        with pytest.raises(UserError, match=REFUSED.format("Column 't'")):
            from_array(x, standardise=standardise)
    for name in ("t.csv", "whole.csv"):
        with pytest.raises(UserError, match=REFUSED.format("Column 't'")):
            load(tmp_path / name, standardise=standardise)
    with pytest.raises(UserError, match=REFUSED.format("Column 'column 0'")):
        load(tmp_path / "t.npy", standardise=standardise)
    assert load(tmp_path / "t.csv", drop="t").columns == ("v", "city")
    assert from_array(frame.assign(t=TIMES - TIMES.min()), standardise=standardise).kind == "real"


def test_the_estimator_refuses_it_too():
    with pytest.raises(UserError, match=REFUSED.format("Column 'column 0'")):
        VAE(latent=1, epochs=1).fit(np.column_stack([TIMES, OTHER]))


def test_so_is_a_channel_and_not_a_place_of_pictures():
    x = np.random.RandomState(0).standard_normal((30, 2, 4, 4))
    x[:, 0, 0, 0] = 5 + 1e-9 * NOISE[:30]  # nearly still in one corner: the channel varies
    assert from_array(x).kind == "real"
    with pytest.raises(UserError, match=r"Channel 1 of array has the mean 1e\+08"):
        from_array(x + np.array([0, 1e8])[:, None, None])


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_the_bound_is_a_thousand_steps_of_the_type_in_use(factor):
    unit = (NOISE - NOISE.mean()) / NOISE.std()
    x = np.column_stack([1e4 * (1 + factor * STEPS * np.finfo(np.float32).eps * unit), OTHER])
    if factor > 1:
        assert from_array(x).kind == "real"
        return
    with pytest.raises(UserError, match="subtract an offset"):
        from_array(x)
    torch.set_default_dtype(torch.float64)
    try:
        assert from_array(x).kind == "real"
    finally:
        torch.set_default_dtype(torch.float32)


def test_what_is_no_number_line_or_never_varies_is_let_pass():
    data = from_array(np.column_stack([np.full(N, 1.7e9), OTHER]), standardise=True)
    assert "columns that never vary keep their scale: 0" in data.note
    names = pandas.DataFrame({"id": 10**9 + np.arange(N) % 3, "v": OTHER})
    assert from_array(names, columns="id=categorical").kind == "mixed"
    with_time = pandas.DataFrame({"t": TIMES, "v": OTHER})
    assert from_array(with_time, context="t").columns == ("v",)  # conditions are standardised in float64
