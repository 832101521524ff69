"""Which likelihood a mixed table takes, and what a number under a likelihood is the logarithm of."""

import pytest

from logpx import likelihoods, recipes
from logpx.data import Column, Spec
from logpx.errors import UserError

COLUMNS = (Column("sold", "binary"), Column("width", "real"), Column("kind", "categorical", 3))
MIXED = Spec((3,), "mixed", columns=COLUMNS)


def test_one_likelihood_for_all_columns_is_refused_by_the_column_it_does_not_fit() -> None:
    with pytest.raises(
        UserError, match="bernoulli is no law of every column, such as 'width', which is real: leave it at auto"
    ):
        recipes.vae(MIXED, likelihood="bernoulli")
    with pytest.raises(UserError, match="such as 'sold', which is binary"):
        recipes.vae(MIXED, likelihood="gaussian")
    assert recipes.vae(MIXED, likelihood="table").model.likelihood.names == ("bernoulli", "gaussian", "categorical")


def test_one_sigma_for_all_columns_is_refused() -> None:
    with pytest.raises(UserError, match=r"sigma is 0\.5, and in a mixed table each real column learns its own: leave"):
        recipes.vae(MIXED, sigma=0.5)
    likelihoods.check_choice(None, "gaussian", 0.5)


@pytest.mark.parametrize(
    ("likelihood", "measure"),
    [
        (likelihoods.Bernoulli((2,)), "log-probability"),
        (likelihoods.ContinuousBernoulliPixels((2,)), "log-density"),
        (likelihoods.Gaussian((2,)), "log-density"),
        (likelihoods.StudentT((2,)), "log-density"),
        (likelihoods.Poisson((2,)), "log-probability"),
        (likelihoods.Categorical((2,), 3), "log-probability"),
        (likelihoods.DiscretisedLogistic((2,), 4), "log-probability"),
        (likelihoods.Grey((2,)), None),
        (likelihoods.Table(COLUMNS), "log-density of the continuous columns plus log-probability of the others"),
        (likelihoods.Table(COLUMNS[::2]), "log-probability"),
        (likelihoods.Table(COLUMNS[1:2]), "log-density"),
    ],
)
def test_what_a_number_is_the_logarithm_of(likelihood, measure) -> None:
    assert likelihoods.measure_of(likelihood) == measure
