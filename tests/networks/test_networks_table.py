"""What an encoder sees of the columns of a table, and how a decoder's numbers are spread over them."""

import math

import pytest
import torch

from logpx.data import Column
from logpx.networks import MLP, LevelFeatures, OneHotFeatures, Seeing, Spread, TableFeatures

COLUMNS = [
    Column("colour", "categorical", 3),
    Column("height", "real", None, 170.0, 10.0),
    Column("smokes", "binary"),
    Column("visits", "integer", None, 4.0, 3.0),
    Column("clicks", "integer"),
    Column("town", "categorical", 2),
]


def test_numbers_come_first_standardised_then_the_categories_one_hot():
    features = TableFeatures(COLUMNS)
    seen = features(torch.tensor([[2.0, 185.0, 1.0, 9.0, 3.0, 0.0]]))
    visits = (math.log(10) - math.log(5)) / (3 / 5)
    assert seen[0].tolist() == pytest.approx([1.5, 1, visits, math.log(4), 0, 0, 1, 1, 0])
    assert features.outputs == (9,)
    assert features(torch.zeros(2, 3, 6)).shape == (2, 3, 9)


def test_a_missing_value_is_the_mean_or_no_category_and_never_nan():
    assert (TableFeatures(COLUMNS)(torch.full((4, 6), math.nan)) == 0).all()


def test_a_code_that_training_does_not_know_is_no_category():
    assert TableFeatures(COLUMNS[:1])(torch.tensor([[7.0]])).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("columns", [COLUMNS[1:3], COLUMNS[:1], [Column("constant", "real", None, 5.0, 0.0)]])
def test_tables_of_one_kind_are_tables_too(columns):
    features = TableFeatures(columns)
    seen = features(torch.ones(2, len(columns)))
    assert seen.shape == (2, *features.outputs)
    assert seen.isfinite().all()


def test_levels_lie_in_the_unit_interval_and_counts_are_logarithms():
    x = torch.tensor([[0.0, 16.0, math.nan]])
    assert LevelFeatures((3,), 17)(x).tolist() == [[0, 1, 0]]
    assert LevelFeatures((3,), None)(x)[0].tolist() == pytest.approx([0, math.log(17), 0])


@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_codes_are_one_hot_along_the_channels(shape):
    features, x = OneHotFeatures(shape, 5), torch.randint(5, (7, 2, *shape))
    seen = features(x.float())
    assert seen.shape == (7, 2, *features.outputs)
    blocks = seen.unflatten(2, (shape[0], 5))
    assert (blocks.sum(3) == 1).all()
    assert torch.equal(blocks.argmax(3), x)
    assert (features(torch.full((1, *shape), math.nan)) == 0).all()


def test_a_network_sees_the_features_and_the_context():
    network = Seeing(LevelFeatures((3,), 11), MLP((3,), (), (2,), context=1))
    x, c = torch.randint(11, (5, 3)).float(), torch.randn(5, 1)
    assert torch.equal(network(x, c), network.network(x / 10, c))


class Given(torch.nn.Module):
    def forward(self, z, context=None):
        return z


def test_numbers_are_spread_over_columns_by_their_widths():
    rows = Spread(Given(), (2, 1, 3))(torch.arange(6.0).expand(4, 2, 6))
    assert rows.shape == (4, 2, 3, 3)
    assert rows[0, 0].tolist() == [[0, 2, 3], [1, 0, 4], [0, 0, 5]]


@pytest.mark.parametrize(
    "features", [LevelFeatures((6,), None), LevelFeatures((6,), 17), OneHotFeatures((6,), 3), TableFeatures(COLUMNS)]
)
def test_a_hole_has_no_gradient_of_any_order(features):
    """Not nan times 0: the derivative of a derivative, such as a penalty on a Jacobian needs, would be nan."""
    x = torch.tensor([[1.0, 2.0, 1.0, 3.0, math.nan, 0.0], [math.nan] * 6], requires_grad=True)
    h = features(x)
    assert h.isfinite().all()
    if not h.requires_grad:  # one-hot: a step has no slope to speak of
        return
    v = torch.ones_like(h, requires_grad=True)
    (first,) = torch.autograd.grad(h, x, v, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), v)
    assert (first[x.isnan()] == 0).all()
    assert first.isfinite().all()
    assert second.isfinite().all()
