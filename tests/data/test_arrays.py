"""Arrays in memory: kinds, shapes, labels, and sentences for values that cannot be used."""

import numpy as np
import pytest
import torch

from logpx.data import Spec, from_array
from logpx.errors import UserError

RANDOM = np.random.RandomState(0)
REAL = RANDOM.standard_normal((30, 4))


@pytest.mark.parametrize(
    ("x", "spec"),
    [
        (REAL, Spec((4,), "real")),
        (REAL.tolist(), Spec((4,), "real")),
        (torch.from_numpy(REAL).requires_grad_(), Spec((4,), "real")),
        (torch.from_numpy(REAL).bfloat16(), Spec((4,), "real")),
        (REAL[:, 0], Spec((1,), "real")),
        (np.eye(9), Spec((9,), "binary")),
        (np.eye(9, dtype=bool), Spec((9,), "binary")),
        (np.eye(9, dtype=np.uint8), Spec((9,), "binary")),
        (np.arange(12), Spec((1,), "integer")),
        (np.arange(12) - 5, Spec((1,), "real")),
        (np.arange(12.0), Spec((1,), "real")),
        (np.arange(12, dtype=np.uint8), Spec((1,), "grey", 256)),
        (np.linspace(0, 1, 12), Spec((1,), "real")),
        (np.linspace(0, 1, 60).reshape(5, 3, 4), Spec((1, 3, 4), "grey")),
        (REAL.reshape(10, 3, 4), Spec((1, 3, 4), "real")),
        (np.linspace(0, 1, 60).reshape(5, 4, 3, 1), Spec((1, 4, 3), "grey")),
        (np.linspace(0, 1, 180).reshape(5, 4, 3, 3), Spec((3, 4, 3), "grey")),
        (np.linspace(0, 1, 180).reshape(5, 3, 4, 3), Spec((3, 4, 3), "grey")),
        (np.full((5, 2), 7.5), Spec((2,), "real")),
    ],
)
def test_kind_and_shape_are_inferred(x, spec: Spec) -> None:
    data = from_array(x)
    assert data.spec == spec
    assert data.train.x().shape[1:] == spec.shape
    assert data.train.x().dtype == torch.float32
    assert data.kind in data.note


@pytest.mark.parametrize(
    ("x", "kind", "levels"),
    [
        (np.arange(12, dtype=np.uint8), "integer", 256),
        (np.arange(12, dtype=np.uint8), "real", None),
        (np.arange(12.0), "integer", None),
        (np.arange(12), "categorical", 12),
        (np.arange(12.0), "categorical", 12),
        (np.linspace(0, 1, 12), "grey", None),
        (np.eye(3), "grey", None),
        (np.eye(3), "real", None),
    ],
)
def test_kind_can_be_set(x, kind, levels) -> None:
    data = from_array(x, kind=kind, held_out=0, test=0)
    assert (data.kind, data.spec.levels) == (kind, levels)
    expected = x.reshape(len(x), -1)
    np.testing.assert_allclose(data.train.x().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "kind", "match"),
    [
        (REAL, "binary", "kind='binary' needs 0 and 1"),
        (REAL, "grey", r"kind='grey' needs \[0, 1\]"),
        (np.arange(5.0) / 2, "integer", "not whole"),
        (np.arange(5) - 1, "integer", "negative value -1"),
        (np.arange(5) - 1, "categorical", "negative value -1"),
        (np.array([0, 2**40]), "categorical", "renumber them"),
        (np.arange(5, dtype=np.uint8), "binary", "protocol='dynamic' or 'threshold'"),
        (REAL, "colour", "kind='colour' is unknown; choose one of binary, grey"),
    ],
)
def test_kind_that_the_data_contradict(x, kind, match: str) -> None:
    with pytest.raises(UserError, match=match):
        from_array(x, kind=kind)


def test_channel_order_is_moved_not_reshaped() -> None:
    x = RANDOM.rand(6, 4, 5, 3)
    data = from_array(x, held_out=0, test=0)
    np.testing.assert_allclose(data.train.x().numpy(), np.moveaxis(x, 3, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        ([], "empty"),
        ([[1.0, 2.0]], "at least 2"),
        ([[1.0, 2.0], [3.0]], "ragged"),
        ([[1.0, "b"], [2.0, None]], "objects"),
        ([["a", "b"], ["c", "d"]], "text"),
        ([1.0, "a"], "text"),
        (np.array([{}, {}]), "objects"),
        ([[1.0, float("nan")], [2.0, float("nan")]], "Column 'column 1' of array holds no value at all; drop it"),
        ([[1.0, 2.0], [3.0, float("inf")]], r"infinite value at row 1 \(counted from 0\), column 1"),
        (torch.zeros(3, dtype=torch.complex64), "complex"),
    ],
)
def test_values_that_cannot_be_used(x, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        from_array(x)
    assert "\n" not in str(caught.value)


def test_infinity_in_an_image_is_placed() -> None:
    x = np.zeros((3, 2, 4, 5))
    x[2, 1, 3, 0] = np.inf
    with pytest.raises(UserError, match=r"row 2 \(counted from 0\), position \(1, 3, 0\)"):
        from_array(x)


def test_labels_follow_their_rows() -> None:
    x = np.arange(40.0)
    data = from_array(x, labels=[f"c{int(v) % 3}" for v in x], held_out=5, test=0.2)
    assert data.classes == ("c0", "c1", "c2")
    for split in (data.train, data.held_out, data.test):
        assert split.labels.dtype == torch.int64
        assert split.labels.tolist() == [int(v) % 3 for v in split.x()[:, 0]]
    assert from_array(x, labels=x % 2).classes == ("0", "1")
    assert from_array(x, labels=(x % 2)[:, None].astype(bool)).classes == ("0", "1")
    assert from_array(x, labels=np.array(["a", "b"], object)[np.arange(40) % 2]).classes == ("a", "b")
    assert from_array(x).train.labels is None


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([0, 1], "need shape"),
        ([0.5] * 9, "not fractions"),
        ([None] * 9, "objects"),
        ([[0, 1]] * 9, "need shape"),
    ],
)
def test_labels_that_cannot_be_used(labels, match: str) -> None:
    with pytest.raises(UserError, match=match):
        from_array(np.arange(9.0), labels=labels)


class Frame:
    """What a pandas or polars frame offers and `from_array` uses."""

    def __init__(self, **columns) -> None:
        self.columns, self._columns = list(columns), columns

    def __getitem__(self, name: str) -> "Series":
        return Series(self._columns[name])

    def to_numpy(self) -> np.ndarray:
        raise AssertionError("frames are read by column")


class Series:
    def __init__(self, values) -> None:
        self.values = values

    def to_numpy(self) -> np.ndarray:
        return np.asarray(self.values)


def test_frames_keep_the_names_of_their_columns() -> None:
    data = from_array(Frame(a=np.arange(9) - 4.5, b=np.arange(9) / 2))
    assert data.columns == ("a", "b")
    assert data.kind == "real"
    with pytest.raises(UserError, match=r"Column 'b' of array mixes .* row 1 .* holds 'x'"):
        from_array(Frame(a=np.arange(3), b=np.array([1.0, "x", 2.0], object)))
    for gap in (None, np.nan):
        data = from_array(
            Frame(a=np.arange(6) / 2, b=np.array([0.5, gap, 2.0, 3.0, 4.0, 5.0], object)), held_out=0, test=0
        )
        assert data.kind == "real"
        assert data.train.missing
        assert data.train.x()[:, 1].isnan().tolist() == [False, True, False, False, False, False]


def test_note_warns_of_scales() -> None:
    x = REAL.copy()
    assert "standardised" not in from_array(x).note
    x[:, 2] *= 5000
    assert "not standardised" in from_array(x).note
    x[:, 2] = 3.25  # a constant column has no scale
    assert "standardised" not in from_array(x).note


def test_the_array_is_not_changed_nor_shared() -> None:
    x = REAL.copy()
    data = from_array(x)
    data.train.rows[:].zero_()
    assert np.array_equal(x, REAL)


def test_the_default_type_of_torch_is_followed() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert from_array(REAL).train.x().dtype == torch.float64
        assert from_array([1e200, 2.0]).kind == "real"
    finally:
        torch.set_default_dtype(torch.float32)
