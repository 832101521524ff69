"""A law for each column of a mixed table, its choice by name, and the sentence for what does not fit a column."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import special, stats

from logpx.data import Column
from logpx.errors import UserError
from logpx.likelihoods import Table, check_support
from logpx.model import Batch, Draw

COLUMNS = [
    Column("colour", "categorical", 3),
    Column("height", "real", None, 170.0, 10.0),
    Column("smokes", "binary"),
    Column("income", "real", None, 3e4, 2e4),
    Column("visits", "integer", None, 4.0, 3.0),
    Column("share", "grey"),
]


def rows(n=8):
    x = [torch.randint(3, (n,)), 170 + 10 * torch.randn(n), torch.randint(2, (n,)), 3e4 + 2e4 * torch.randn(n)]
    return torch.stack([c.double() for c in (*x, torch.randint(15, (n,)), torch.rand(n))], -1)


def by_scipy(x, h, reals=(stats.norm.logpdf, stats.norm.logpdf), scales=(10.0, 2e4)):
    """log p_j(x_j | h) in original units, h (n, 3, 6)."""
    log_p = special.log_softmax(h[:, :, 0], 1)
    mu, a = 4 * np.exp(h[:, 0, 4]), h[:, 0, 5]
    columns = [
        np.take_along_axis(log_p, x[:, :1].astype(int), 1)[:, 0],
        reals[0](x[:, 1], loc=170 + 10 * h[:, 0, 1], scale=scales[0]),
        stats.bernoulli.logpmf(x[:, 2], special.expit(h[:, 0, 2])),
        reals[1](x[:, 3], loc=3e4 + 2e4 * h[:, 0, 3], scale=scales[1]),
        stats.nbinom.logpmf(x[:, 4], 1, 1 / (1 + mu)),
        a * x[:, 5] - np.log(np.expm1(a) / a),
    ]
    return np.stack(columns, -1)


def log_p(likelihood, x, h):
    return likelihood(h).log_prob_by_element(x).detach().numpy()


def test_a_rows_log_p_is_the_sum_of_its_columns_in_original_units():
    x, h = rows(), torch.randn(8, 3, 6).double()
    likelihood = Table(COLUMNS).double()
    np.testing.assert_allclose(log_p(likelihood, x, h), by_scipy(x.numpy(), h.numpy()), rtol=1e-12)
    total = likelihood(h).log_prob(x).detach()
    np.testing.assert_allclose(total, by_scipy(x.numpy(), h.numpy()).sum(-1), rtol=1e-12)


def test_each_real_column_has_a_sigma_of_its_own_in_units_of_its_scale():
    x, h = rows(), torch.randn(8, 3, 6).double()
    likelihood = Table(COLUMNS).double()
    likelihood.blocks["gaussian"].log_sigma.data = torch.tensor([-1.0, 0.5]).double()
    expected = by_scipy(x.numpy(), h.numpy(), scales=(10 * math.exp(-1), 2e4 * math.exp(0.5)))
    np.testing.assert_allclose(log_p(likelihood, x, h), expected, rtol=1e-12)


def test_a_column_takes_another_law_by_its_name():
    x, h = rows(), torch.randn(8, 3, 6).double()
    likelihood = Table(COLUMNS, {"height": "laplace", "income": "student_t", "visits": "poisson"}).double()
    expected = by_scipy(x.numpy(), h.numpy(), reals=(stats.laplace.logpdf, partial(stats.t.logpdf, df=5)))
    expected[:, 4] = stats.poisson.logpmf(x[:, 4].numpy(), 4 * h[:, 0, 4].exp().numpy())
    np.testing.assert_allclose(log_p(likelihood, x, h), expected, rtol=1e-9)
    assert likelihood.names == ("categorical", "laplace", "bernoulli", "student_t", "poisson", "continuous_bernoulli")


def test_any_subset_of_columns_can_be_left_out():
    x, h = rows(4), torch.randn(4, 3, 6).double()
    likelihood = Table(COLUMNS).double()
    each = by_scipy(x.numpy(), h.numpy())
    for seen in itertools.product([False, True], repeat=6):
        observed = torch.tensor(seen).expand(4, 6)
        draw = Draw(Batch.of(x.where(observed, math.nan)), None, None, torch.zeros(4, 1), None, likelihood(h))
        np.testing.assert_allclose(draw.log_px().detach(), each[:, list(seen)].sum(-1), rtol=1e-11, atol=1e-12)


def test_samples_and_means_lie_in_every_columns_support():
    likelihood = Table(COLUMNS)
    px = likelihood(torch.randn(5, 3, 6))
    x = px.sample((200,))
    assert x.shape == (200, 5, 6)
    check_support(likelihood, x.flatten(0, 1))
    deviation = (x.mean(0) - px.mean).abs() / (x.std(0) / math.sqrt(200) + 1e-9)
    assert (deviation[:, 1:] < 5).all()  # the first column's mean is its most probable code
    assert (px.mean[:, 0] == x[:, :, 0].mode(0).values).float().mean() > 0.5


def test_numbers_that_no_column_reads_change_nothing_and_size_is_the_largest_columns():
    likelihood, x, h = Table(COLUMNS), rows().float(), torch.randn(8, 3, 6)
    assert likelihood.size == 3
    assert likelihood.widths == (3, 1, 1, 1, 1, 1)
    other = h.clone()
    other[:, 1:, 1:] = 99.0
    assert torch.equal(likelihood(h).log_prob(x), likelihood(other).log_prob(x))


def test_every_learned_number_gets_a_gradient_and_is_put_back():
    likelihood = Table(COLUMNS, {"income": "student_t"})
    likelihood(torch.randn(8, 3, 6)).log_prob(rows().float()).mean().backward()
    named = dict(likelihood.named_parameters())
    assert len(named) == 4
    assert all((p.grad != 0).all() for p in named.values())
    for p in named.values():
        p.data.fill_(99.0)
    for module in likelihood.modules():
        if hasattr(module, "after_step"):
            module.after_step({})
    assert all(p.max() <= 14 for p in named.values())


def test_a_table_without_categories_or_with_a_single_column_is_a_table_too():
    one = Table([Column("x", "real", None, 2.0, 0.0)])  # a column that never varied has no scale
    value = one(torch.zeros(3, 1, 1)).log_prob(torch.full((3, 1), 2.0))
    assert value.detach().tolist() == pytest.approx([-0.9189385] * 3)


# --- what does not fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        (0, 3.0, r"Row 12 holds 3 in column 'colour': training knows the codes 0 to 2"),
        (0, 0.5, r"Row 12 holds 0\.5 in column 'colour', which its likelihood 'categorical'"),
        (1, math.inf, r"Row 12 holds inf in column 'height'"),
        (2, 2.0, r"column 'smokes', which its likelihood 'bernoulli' gives no probability: the column is binary"),
        (4, -1.0, r"column 'visits'"),
        (5, 1.5, r"column 'share'"),
    ],
)
def test_a_value_that_does_not_fit_names_row_and_column(column, value, match):
    x = rows()
    x[0] = math.nan  # what is missing fits
    likelihood = Table(COLUMNS)
    check_support(likelihood, x)
    x[2, column] = value
    with pytest.raises(UserError, match=match):
        check_support(likelihood, x, 10)


@pytest.mark.parametrize(
    ("chosen", "match"),
    [
        ({"age": "laplace"}, "There is no column 'age'.*colour, height"),
        ({"height": "poisson"}, "'poisson' does not fit column 'height', which is real: choose gaussian or laplace"),
        ({"colour": "gaussian"}, "'gaussian' does not fit column 'colour', which is categorical"),
    ],
)
def test_a_law_that_does_not_fit_its_column_is_refused(chosen, match):
    with pytest.raises(UserError, match=match):
        Table(COLUMNS, chosen)


def test_a_column_of_unknown_kind_is_refused():
    with pytest.raises(UserError, match="Column 'x' is mixed"):
        Table([Column("x", "mixed")])
