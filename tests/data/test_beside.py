"""Conditions that stand beside the rows: of pictures, of numbers, of other rows later."""

import numpy as np
import pytest
import torch

from logpx.data import array_like, context_like, from_array
from logpx.errors import UserError

CITY = np.array(["Rome", "Oslo"] * 10)
AGE = np.linspace(20.0, 77.0, 20)


def test_numbers_are_standardised_and_classes_are_one_hot():
    data = from_array(np.zeros((20, 1, 4, 4)), context={"age": AGE, "city": CITY}, held_out=0, test=0)
    context = data.train.context
    assert data.spec.context == 3
    torch.testing.assert_close(context[:, 0].mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(context[:, 0].std(correction=0), torch.tensor(1.0))
    assert context[:2, 1:].tolist() == [[0, 1], [1, 0]]  # Oslo, Rome


def test_means_and_categories_are_those_of_the_training_rows():
    data = from_array(np.zeros((20, 3)), context={"age": AGE}, held_out=0.2, test=0.2)
    torch.testing.assert_close(data.train.context.mean(0), torch.zeros(1), atol=1e-6, rtol=0)
    assert data.held_out.context.abs().sum() > 0


def test_other_rows_and_no_rows_are_given_the_same():
    data = from_array(np.zeros((20, 3)), context={"age": AGE, "city": CITY}, held_out=0, test=0)
    about = data.describe()
    same = array_like(np.zeros((20, 3)), about, context={"city": CITY, "age": AGE})  # by name, in any order
    torch.testing.assert_close(same.context, data.train.context)
    alone = context_like({"age": AGE[:2], "city": CITY[:2]}, about, 2)
    torch.testing.assert_close(alone, data.train.context[:2])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"age": AGE[:3]}, "rows need one value each"),
        ({"age": [None, *AGE[1:]]}, "missing value at row 0"),
        ({"name": [f"n{i}" for i in range(20)]}, "names rows and is no category"),
    ],
)
def test_what_does_not_fit_is_a_sentence(given, match):
    with pytest.raises(UserError, match=match):
        from_array(np.zeros((20, 3)), context=given, held_out=0, test=0)


def test_a_class_that_training_does_not_know_is_refused():
    about = from_array(np.zeros((20, 3)), context={"city": CITY}, held_out=0, test=0).describe()
    with pytest.raises(UserError, match="'Bonn'"):
        context_like({"city": ["Bonn"]}, about, 1)
    with pytest.raises(UserError, match="The model is given 'city', and not 'town'"):
        context_like({"town": ["Oslo"]}, about, 1)
