"""Sprites: each factor changes what it should and nothing else, judged by areas and centres of gravity."""

import math

import numpy as np
import pytest
import torch

from logpx.data import from_array, load, sprites
from logpx.errors import UserError

FACTORS = sprites.combinations()
PICTURES = sprites.images(FACTORS).astype(np.float64) / 16
#: of the circle about each shape: a square has 2 r^2, an ellipse of axes 2 : 1 pi r^2 / 2, the heart 3.66197 by quadrature,
#: its centre 0.29348 above the crossing of the axes and its tip 1.29348 from there
AREAS = (2 / math.pi, 0.5, 3.6619727 / 1.2934812**2 / math.pi)


def area(x: np.ndarray) -> np.ndarray:
    return x.sum((1, 2))


def centre(x: np.ndarray) -> np.ndarray:
    """(N, 2): x to the right and y down, in pixels."""
    at = np.arange(x.shape[-1]) + 0.5
    return np.stack([(x * at).sum((1, 2)), (x * at[:, None]).sum((1, 2))], 1) / area(x)[:, None]


def along(factor: int) -> np.ndarray:
    """Rows of PICTURES by the other factors and, in the second axis, the levels of this one."""
    order = np.lexsort([FACTORS[:, factor], *[FACTORS[:, k] for k in range(5) if k != factor]])
    return order.reshape(-1, sprites.Levels().counts[factor])


@pytest.mark.parametrize(("factor", "moves"), [(3, (1, 0)), (4, (0, 1))])
def test_a_level_of_x_or_y_moves_the_centre_of_gravity_by_exactly_one_pixel(factor, moves):
    rows = along(factor)
    steps = np.diff(centre(PICTURES)[rows], axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(moves, steps.shape), atol=1e-12)
    assert (area(PICTURES)[rows] == area(PICTURES)[rows[:, :1]]).all()
    one, next_one = PICTURES[rows[:, 0]], PICTURES[rows[:, 1]]
    assert (np.roll(one, 1, axis=5 - factor) == next_one).all()


def test_scale_alone_changes_the_area_which_is_that_of_the_figure():
    """Grey counts points a quarter of a pixel apart, so the boundary is off by an eighth at most: perimeter / 8 in all."""
    radius = 10 * np.linspace(0.5, 1, 4)[FACTORS[:, 1]]
    share = np.array(AREAS)[FACTORS[:, 0]]
    assert (abs(area(PICTURES) - share * math.pi * radius**2) <= 2 * math.pi * radius / 8).all()


@pytest.mark.parametrize("factor", [1, 2], ids=["scale", "orientation"])
def test_neither_scale_nor_orientation_moves_the_centre_of_gravity(factor):
    assert np.ptp(centre(PICTURES)[along(factor)], axis=1).max() < 0.06  # of the smallest sprites, of 40 pixels


@pytest.mark.parametrize(("shape", "of_the_circle"), list(enumerate(AREAS)))
def test_areas_and_centres_are_those_of_the_plane_figures(shape, of_the_circle):
    radius, at = np.array([40.3]), np.array([[50.2, 49.1]])
    x = sprites.draw(np.array([shape]), radius, np.array([0.3]), at, 100).astype(float) / 16
    assert area(x)[0] == pytest.approx(of_the_circle * math.pi * 40.3**2, rel=1e-3)
    np.testing.assert_allclose(centre(x), at, atol=0.02)


def test_a_square_is_itself_after_a_quarter_turn_an_ellipse_after_half_a_heart_after_a_whole_one():
    angles = np.array([0.1, 0.1 + math.pi / 2, 0.1 + math.pi, 0.1 + 2 * math.pi])
    found = []
    for shape in range(3):
        x = sprites.draw(np.full(4, shape), np.full(4, 9.0), angles, np.full((4, 2), 16.0), 32)
        found.append([bool((x[0] == other).all()) for other in x[1:]])
    assert found == [[True, True, True], [False, True, True], [False, False, True]]


def test_no_two_rows_are_alike_binarised_or_not():
    """A quarter turn, its end left out: every orientation of the square is another picture."""
    for x in (PICTURES, PICTURES >= 0.5):
        assert len({row.tobytes() for row in x}) == len(FACTORS) == 3 * 4 * 6 * 12 * 12


def test_nothing_is_cut_off_at_the_rim():
    areas = area(PICTURES)
    assert all((np.ptp(areas[along(factor)], axis=1) == 0).all() for factor in (3, 4))
    assert PICTURES[:, :, -1].max() > 0  # which the largest reach


def test_drawn_levels_are_even_and_independent():
    rows = sprites.sample(20_000, 0)
    for k, count in enumerate(sprites.Levels().counts):
        share = np.bincount(rows[:, k], minlength=count) / len(rows)
        assert abs(share - 1 / count).max() < 4 * math.sqrt(1 / count / len(rows))
    assert abs(np.corrcoef(rows.T) - np.eye(5)).max() < 4 / math.sqrt(len(rows))


def test_other_sizes():
    levels = sprites.Levels(shapes=2, scales=1, orientations=2, places=3, side=16)
    x = sprites.images(sprites.combinations(levels), levels)
    assert x.shape == (36, 16, 16)
    assert len(np.unique(x.reshape(36, -1), axis=0)) == 36


def test_the_named_set_carries_its_factors_through_the_splits():
    data = load("sprites")
    assert (data.kind, data.protocol, data.shape) == ("binary", "threshold", (1, 32, 32))
    assert [(c.name, c.kind, c.levels) for c in data.factors] == [
        ("shape", "categorical", 3), ("scale", "integer", 4), ("orientation", "integer", 6), ("x", "integer", 12),
        ("y", "integer", 12),
    ]  # fmt: skip
    for split in (data.train, data.held_out, data.test):
        assert split.factors.shape == (len(split), 5)
        drawn = torch.from_numpy(sprites.images(split.factors[:50].numpy()) >= 8)
        assert torch.equal(split.x(slice(0, 50))[:, 0].bool(), drawn)
        assert torch.equal(split.labels, split.factors[:, 0])
    assert sum(map(len, (data.train, data.held_out, data.test))) == 10_368
    assert load("sprites").checksum == data.checksum != load("sprites", seed=1).checksum


def test_factors_of_an_array_count_their_sorted_values():
    size, kind = np.array([0.5, 2.0, 0.5, 1.0]), ["b", "a", "b", "b"]
    data = from_array(np.eye(4), factors={"size": size, "kind": kind}, held_out=0, test=1, kind="real")
    assert [(c.name, c.kind, c.levels) for c in data.factors] == [("size", "integer", 3), ("kind", "categorical", 2)]
    codes = torch.tensor([[0, 1], [2, 0], [0, 1], [1, 1]])
    for split in (data.train, data.test):
        assert torch.equal(split.factors, codes[split.x().argmax(1)])


@pytest.mark.parametrize(("values", "words"), [(np.zeros(3), "one value each"), (np.array([1, 2, np.nan, 1]), "gaps")])
def test_factors_that_do_not_fit_are_refused(values, words):
    with pytest.raises(UserError, match=words):
        from_array(np.eye(4), factors={"size": values})


def test_other_sets_have_no_factors():
    data = load("mixture")
    assert data.factors == ()
    assert data.train.factors is None


def test_levels_that_there_are_not_are_refused():
    with pytest.raises(UserError, match="of levels below"):
        sprites.images(np.array([[3, 0, 0, 0, 0]]))
    with pytest.raises(UserError, match="room for 4 places"):
        sprites.images(np.zeros((1, 5), int), sprites.Levels(side=8))
