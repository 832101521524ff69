"""Numbers that are none: every objective refuses them in one sentence that names the option."""

import math

import pytest
import torch

from logpx.errors import UserError
from logpx.networks import MLP
from logpx.objectives import (
    DIP,
    ELBO,
    GECO,
    IWAE,
    MMD,
    Capacity,
    Constrained,
    Critic,
    Cyclical,
    FactorCritic,
    JensenShannon,
    Reconstruction,
    Renyi,
    SlicedWasserstein,
    TotalCorrelation,
    Warmup,
)

nan, inf = math.nan, math.inf
REFUSED = {
    "steps is -3": lambda: Warmup(-3),
    "steps is nan": lambda: Warmup(nan),
    "steps is 2.5": lambda: Warmup(2.5),
    "end is nan": lambda: Warmup(3, 0.0, nan),
    "start is inf": lambda: Cyclical(8, 2, start=inf),
    "cycles is 1.5": lambda: Cyclical(8, 1.5),
    "samples is nan": lambda: ELBO(samples=nan),
    "samples is 1.5": lambda: ELBO(samples=1.5),
    "samples is True": lambda: JensenShannon(True),
    "samples is 0": lambda: Reconstruction(samples=0),
    "groups is 1.5": lambda: IWAE(2, groups=1.5),
    "beta is nan": lambda: ELBO(beta=nan),
    "beta is x": lambda: ELBO(beta="x"),
    "alpha is inf": lambda: Renyi(inf),
    "weight is nan": lambda: nan * MMD(),
    "capacity is nan": lambda: Capacity(nan),
    "gamma is inf": lambda: Capacity(1.0, inf),
    "rate is 0": lambda: Constrained(1.0, rate=0),
    "rate is -1": lambda: GECO(1.0, rate=-1),
    "rate is nan": lambda: Constrained(1.0, rate=nan),
    "rate is inf": lambda: Critic(MLP((2,), (), ()), rate=inf),
    "rate is -inf": lambda: FactorCritic(MLP((2,), (), ()), rate=-inf),
    "kappa is 1e-200": lambda: GECO(1e-200),
    "kappa is 1e.200": lambda: GECO(1e200),
    "eps is 1e-200": lambda: Constrained(1e-200),
    "directions is 2.5": lambda: SlicedWasserstein(2.5),
    "order is 3": lambda: SlicedWasserstein(order=3),
    "diagonal is nan": lambda: DIP(diagonal=nan),
    "diagonal is -1": lambda: DIP(diagonal=-1.0),
    "rows is nan": lambda: TotalCorrelation(nan),
    "sigma is inf": lambda: MMD(sigma=inf),
    "width is nan": lambda: MMD("rbf", width=nan),
}


@pytest.mark.parametrize(("said", "make"), REFUSED.items(), ids=REFUSED)
def test_a_number_that_is_none_is_one_sentence(said, make):
    with pytest.raises(UserError, match=said) as error:
        make()
    assert str(error.value).count(". ") == 0


def test_numbers_of_other_types_are_numbers():
    import numpy as np

    assert ELBO(samples=np.int64(3), beta=np.float32(0.5)).samples == 3
    assert ELBO(beta=torch.tensor(0.5)).beta().item() == 0.5
    assert Warmup(0)(0) == 1
