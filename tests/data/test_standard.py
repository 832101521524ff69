"""Where real data lie: means and deviations of the training rows, of any number of rows, with holes and constants."""

import numpy as np
import pandas
import pytest
import torch

from logpx.data import base, from_array, load, rows_like, standard
from logpx.data.about import check_about
from logpx.errors import UserError


def table(n: int = 50) -> np.ndarray:
    random = np.random.RandomState(0)
    return random.standard_normal((n, 3)) * [1e-3, 1.0, 5e4] + [0.0, -7.0, 1e6]


@pytest.mark.parametrize("bytes_at_once", [200, 8 << 20])
def test_they_are_those_of_the_observed_training_rows(bytes_at_once, monkeypatch):
    monkeypatch.setattr(standard, "CHUNK_BYTES", bytes_at_once)
    x = table()
    x[::4, 1] = np.nan
    data = from_array(x, standardise=True)
    rows = data.train.rows[:].double().numpy()
    assert np.allclose(data.spec.standard.mean, np.nanmean(rows, 0), rtol=1e-13)
    assert np.allclose(data.spec.standard.scale, np.nanstd(rows, 0), rtol=1e-12)
    assert data.train.x()[0].isnan().any() or data.train.x().isnan().any()  # the rows themselves stay as they are
    assert torch.equal(data.train.x().nan_to_num(), torch.from_numpy(rows).float().nan_to_num())


def test_those_of_a_file_on_disk_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(standard, "CHUNK_BYTES", 240)
    np.save(tmp_path / "x.npy", table())
    mapped, held = load(tmp_path / "x.npy", standardise=True), from_array(table(), standardise=True)
    assert isinstance(mapped.train.rows, base.MappedRows)
    assert np.allclose(mapped.spec.standard, held.spec.standard, rtol=1e-12)


def test_pictures_have_one_for_each_channel():
    x = torch.randn(30, 3, 4, 5) * torch.tensor([1.0, 10.0, 100.0])[:, None, None]
    found = from_array(x, standardise=True)
    rows = found.train.rows[:].double()
    assert np.allclose(found.spec.standard.scale, rows.std((0, 2, 3), correction=0), rtol=1e-12)


def test_a_column_that_never_varies_keeps_its_scale_and_is_named(tmp_path):
    x = table()
    x[:, 1] = 0.1
    (tmp_path / "t.csv").write_text("a,still,c\n" + "\n".join(",".join(map(repr, map(float, row))) for row in x))
    data = load(tmp_path / "t.csv", standardise=True)
    assert data.spec.standard.scale[1] == 1
    assert "columns that never vary keep their scale: 'still'" in data.note


def test_data_that_are_not_real_are_refused():
    with pytest.raises(UserError, match="read as binary data, and only real numbers are standardised"):
        from_array(torch.ones(20, 2).tril(), standardise=True)
    with pytest.raises(UserError, match="read as integer data"):
        load("mnist:integer", standardise=True)


def test_a_column_that_is_still_in_a_mixed_table_has_the_scale_1():
    """The deviation of 1,441 times 0.1 is 1.4e-17 in float64, and no scale."""
    frame = pandas.DataFrame({"a": [0.1] * 1441, "b": ["x", "y", "z"] * 480 + ["x"]})
    data = from_array(frame, test=0, held_out=0)
    assert data.spec.columns[0].scale == 1


def test_a_mixed_table_has_its_own_and_says_nothing(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{i / 3},{'xy'[i % 2]}" for i in range(30)))
    data = load(tmp_path / "t.csv", standardise=True)
    assert data.kind == "mixed"
    assert data.spec.standard is None


def test_the_account_keeps_them_and_damage_is_seen(tmp_path):
    np.save(tmp_path / "x.npy", table())
    about = load(tmp_path / "x.npy", standardise=True).describe()
    assert about["asked"]["standardise"] is True
    check_about(about)
    assert torch.equal(rows_like(tmp_path / "x.npy", about).x(), torch.from_numpy(table()).float())
    for broken in ([[0.0], [1.0]], [[0.0] * 3, [1.0, 0.0, 1.0]], 7, [["a"] * 3, [1.0] * 3]):
        with pytest.raises(UserError, match="its means and scales do not fit its shape"):
            check_about(about | {"standard": broken})
