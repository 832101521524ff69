"""The four sigmas of the Gaussian, supports, defaults; densities against scipy are in test_law_distributions."""

import math
from typing import get_args

import pytest
import torch
from scipy import stats

from logpx import likelihoods
from logpx.errors import UserError
from logpx.likelihoods import Gaussian, check_support, for_kind, that_accept

P = 6


def data(n=50, spread=0.3):
    m = torch.randn(P).double()
    return m + spread * torch.randn(n, P).double(), m.expand(n, 1, P)


# --- sigma ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1e-6, 0.1, 1.0, 1e6])
def test_a_fixed_sigma_is_that_number_to_the_last_digit(sigma):
    x, h = data(spread=sigma)
    likelihood = Gaussian((P,), sigma).double()
    expected = stats.norm.logpdf(x, h[:, 0], sigma).sum(-1)
    torch.testing.assert_close(likelihood(h).log_prob(x), torch.from_numpy(expected), rtol=1e-13, atol=1e-12)
    assert not list(likelihood.parameters())
    assert likelihood.state_dict() == {}


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_sigma_that_is_no_scale_is_refused(sigma):
    with pytest.raises(UserError, match="sigma is"):
        Gaussian((P,), sigma)


def test_a_shared_sigma_is_learned_by_the_gradient():
    """d/d log sigma of -log p is P - |x - m|^2 / sigma^2."""
    x, h = data()
    likelihood = Gaussian((P,), "shared").double()
    likelihood(h).log_prob(x).mean().neg().backward()
    expected = P - (x - h[:, 0]).square().sum(-1).mean()
    assert likelihood.log_sigma.grad.item() == pytest.approx(expected.item(), rel=1e-13)
    likelihood.after_step({})
    assert likelihood.log_sigma.item() == 0  # moving it is the optimiser's business


def test_a_sigma_per_pixel_comes_from_the_decoder():
    """sigma = e^-6 + a smooth excess: softplus(s + 6) - 6 is s but for e^-(s + 6)."""
    x, _ = data()
    h = torch.randn(50, 2, P).double()
    likelihood = Gaussian((P,), "pixel").double()
    sigma = torch.exp(torch.log1p(torch.exp(h[:, 1] + 6)) - 6)
    expected = stats.norm.logpdf(x, h[:, 0], sigma).sum(-1)
    torch.testing.assert_close(likelihood(h).log_prob(x), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)
    assert likelihood.size == 2


def settled(x, h, steps=900):
    likelihood = Gaussian((P,), "optimal").double()
    for _ in range(steps):
        loss = -likelihood(h).log_prob(x).mean()
        loss.backward()
        likelihood.after_step({})
    return likelihood, loss.item()


@pytest.mark.parametrize("spread", [1e-3, 0.3, 1e3])
def test_the_optimal_sigma_settles_at_the_mean_squared_error(spread):
    """And the likelihood is then the profile likelihood -P/2 log(2 pi e MSE) (Rybkin et al. 2021, eq. 6-7)."""
    x, h = data(spread=spread)
    likelihood, loss = settled(x, h)
    mse = (x - h[:, 0]).square().mean().item()
    assert math.exp(2 * likelihood.log_sigma.item()) == pytest.approx(mse, rel=1e-10)
    assert loss == pytest.approx(P / 2 * math.log(2 * math.pi * math.e * mse), rel=1e-10)


def test_the_optimal_sigma_takes_one_damped_em_step():
    """sigma^2 <- sigma^2 + (MSE - sigma^2)/20."""
    x, h = data(spread=0.5)
    mse = (x - h[:, 0]).square().mean().item()
    likelihood, _ = settled(x, h, steps=1)
    assert math.exp(2 * likelihood.log_sigma.item()) == pytest.approx(1 + (mse - 1) / 20, rel=1e-12)


def test_the_optimal_sigma_moves_by_itself_and_leaves_nothing_to_an_optimiser():
    x, h = data()
    likelihood, _ = settled(x, h, steps=1)
    assert likelihood.log_sigma.grad is None
    assert likelihood.log_sigma.moves_itself
    assert not Gaussian((P,), "shared").log_sigma.moves_itself
    before = likelihood.log_sigma.item()
    likelihood.after_step({})  # a step without a gradient, such as one on another player
    assert likelihood.log_sigma.item() == before


def test_the_optimal_sigma_of_a_perfect_reconstruction_stops_at_its_floor_and_comes_back():
    x, h = data(spread=0.0)
    likelihood, _ = settled(x, h)
    assert likelihood.log_sigma.item() == -12
    for _ in range(2000):
        (-likelihood(h).log_prob(x + 0.1).mean()).backward()
        likelihood.after_step({})
    assert math.exp(likelihood.log_sigma.item()) == pytest.approx(0.1, rel=1e-9)


@pytest.mark.parametrize("sigma", ["shared", "optimal"])
@pytest.mark.parametrize(("at", "bound"), [(-30.0, -12.0), (30.0, 12.0)])
def test_a_learned_sigma_that_overshot_is_put_back_where_it_has_a_gradient(sigma, at, bound):
    x, h = data()
    likelihood = Gaussian((P,), sigma).double()
    likelihood.log_sigma.data.fill_(at)
    likelihood.after_step({})
    assert likelihood.log_sigma.item() == bound
    (-likelihood(h).log_prob(x).mean()).backward()
    assert likelihood.log_sigma.grad.abs() > 0


@pytest.mark.parametrize("sigma", ["shared", "optimal", "pixel", math.exp(-12)])
def test_residuals_of_ten_thousand_at_the_smallest_sigma_stay_finite_in_float32(sigma):
    likelihood = Gaussian((P,), sigma)
    h = torch.zeros(3, likelihood.size, P)
    if sigma == "pixel":
        h[:, 1] = -1e4
    elif isinstance(sigma, str):
        likelihood.log_sigma.data.fill_(-12)
    h.requires_grad_()
    value = likelihood(h).log_prob(torch.full((3, P), 1e4))
    value.sum().backward()
    assert value.isfinite().all()
    assert h.grad.isfinite().all()
    assert all(p.grad.isfinite() for p in likelihood.parameters())


# --- the decoder's numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", likelihoods.LIKELIHOODS)
def test_numbers_too_many_per_element_are_refused_rather_than_broadcast(name):
    likelihood = likelihoods.LIKELIHOODS[name]((P,))
    with pytest.raises(ValueError, match="unpack"):
        likelihood(torch.zeros(4, likelihood.size + 1, P))


# --- support and names ------------------------------------------------------------------------------------------------


def test_the_names_that_recipes_take_are_the_table():
    assert set(get_args(likelihoods.Name)) == {"auto", *likelihoods.LIKELIHOODS}
    assert set(likelihoods.DEFAULT.values()) <= likelihoods.LIKELIHOODS.keys()


@pytest.mark.parametrize(
    ("kind", "name"), [("binary", "bernoulli"), ("grey", "continuous_bernoulli"), ("real", "gaussian")]
)
def test_auto_depends_on_the_kind_of_data(kind, name):
    assert for_kind(kind) == name


def test_a_kind_without_a_likelihood_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="No likelihood here is made for counts data"):
        for_kind("counts")


@pytest.mark.parametrize(
    ("x", "names"),
    [
        ([0.0, 1.0], ["bernoulli", "continuous_bernoulli", "gaussian", "grey"]),
        ([0.0, 0.5], ["continuous_bernoulli", "gaussian", "grey"]),
        ([-0.1, 0.5], ["gaussian"]),
        ([0.5, -math.inf], []),
    ],
)
def test_that_accept_names_the_likelihoods_whose_support_holds_the_data(x, names):
    assert that_accept(torch.tensor(x)) == names


def test_check_support_names_the_row_the_value_and_what_fits():
    x = torch.zeros(5, 2, 3)
    x[3, 1, 2] = 0.5
    with pytest.raises(UserError, match=r"Row 3 holds the value 0\.5, which the likelihood 'bernoulli'.*gaussian"):
        check_support(likelihoods.Bernoulli((2, 3)), x)
    with pytest.raises(UserError, match="Row 103 "):
        check_support(likelihoods.Bernoulli((2, 3)), x, 100)
    check_support(likelihoods.Grey((2, 3)), x)


def test_check_support_says_when_nothing_fits():
    with pytest.raises(UserError, match=r"inf.*none\.$"):
        check_support(Gaussian((2,)), torch.tensor([[0.0, math.inf]]))
