"""Factor analysis names every column that never changes."""

import pytest
import torch

from logpx.errors import UserError
from logpx.exact import factor_analysis


@pytest.mark.parametrize(
    ("constant", "match"),
    [
        ([3], "^Column 3 is constant, so its noise"),
        ([1, 4], "^Columns 1, 4 are constant, so their noise"),
        (list(range(22)), r"^Columns 0, 1, .*, 19 and 2 more are constant"),
    ],
)
def test_all_constant_columns_are_named(constant: list[int], match: str) -> None:
    x = torch.randn(40, 25, dtype=torch.float64)
    x[:, constant] = 2.0
    with pytest.raises(UserError, match=match):
        next(factor_analysis.em(x, 2))
