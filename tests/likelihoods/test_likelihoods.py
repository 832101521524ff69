"""Scales, freedom, levels, dispersion; supports and defaults. Densities against scipy are in test_law_distributions."""

import math
from typing import get_args

import pytest
import torch
from scipy import special, stats

from logpx import likelihoods
from logpx.data.base import KINDS
from logpx.errors import UserError
from logpx.likelihoods import (
    Categorical,
    DiscretisedLogistic,
    Gaussian,
    Laplace,
    NegativeBinomial,
    StudentT,
    check_support,
    for_kind,
    that_accept,
)

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
    assert likelihood.moves_itself == ("log_sigma",)
    assert not Gaussian((P,), "shared").moves_itself
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


@pytest.mark.parametrize("name", [name for name in likelihoods.LIKELIHOODS if name != "table"])
def test_numbers_too_many_per_element_are_refused_rather_than_broadcast(name):
    law = likelihoods.LIKELIHOODS[name]
    likelihood = law((P,), **({"levels": 3} if name in ("logistic", "categorical") else {}))
    with pytest.raises((ValueError, RuntimeError), match=r"unpack|unflatten"):
        likelihood(torch.zeros(4, likelihood.size + 1, P))


# --- Laplace and Student's t ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [Laplace, StudentT])
@pytest.mark.parametrize("sigma", [0.2, "shared", "pixel"])
def test_heavy_tails_take_a_gaussians_sigmas_but_the_optimal_one(law, sigma):
    x, h = data()
    likelihood = law((P,), sigma).double()
    h = torch.cat([h, torch.full_like(h, 0.5)], 1)[:, : likelihood.size]
    s = {"shared": 1.0, "pixel": math.exp(-6) * (1 + math.exp(6.5))}.get(sigma, sigma)
    scipys = stats.laplace(h[:, 0], s) if law is Laplace else stats.t(5, h[:, 0], s)
    torch.testing.assert_close(likelihood(h).log_prob(x), torch.from_numpy(scipys.logpdf(x).sum(-1)))
    with pytest.raises(UserError, match="gaussian only"):
        law((P,), "optimal")


def test_a_shared_laplace_scale_has_its_gradient():
    """d/d log sigma of -log p is P - |x - m|_1 / sigma."""
    x, h = data()
    likelihood = Laplace((P,)).double()
    likelihood(h).log_prob(x).mean().neg().backward()
    expected = P - (x - h[:, 0]).abs().sum(-1).mean()
    assert likelihood.log_sigma.grad.item() == pytest.approx(expected.item(), rel=1e-13)


def test_the_freedom_of_students_t_is_learned_from_the_data():
    """The maximum of the likelihood is scipy's fit."""
    torch.manual_seed(1)
    x = 0.7 * torch.distributions.StudentT(torch.tensor(3.0).double()).sample((2000, 1))
    likelihood = StudentT((1,)).double()
    optimiser = torch.optim.LBFGS(likelihood.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = -likelihood(torch.zeros(1, 1).double()).log_prob(x).mean()
        value.backward()
        return value

    optimiser.step(loss)
    nu, _, scale = stats.t.fit(x.flatten().numpy(), floc=0)
    assert 1 + likelihood.log_excess.exp().item() == pytest.approx(nu, rel=1e-3)
    assert likelihood.log_sigma.exp().item() == pytest.approx(scale, rel=1e-3)


@pytest.mark.parametrize("freedom", [1.0, -3.0, math.nan, math.inf])
def test_a_freedom_without_a_mean_is_refused(freedom):
    with pytest.raises(UserError, match="freedom is"):
        StudentT((P,), freedom=freedom)


@pytest.mark.parametrize(("at", "bound"), [(-30.0, math.log(0.01)), (30.0, math.log(999.0))])
def test_a_learned_freedom_that_overshot_is_put_back(at, bound):
    likelihood = StudentT((P,)).double()
    likelihood.log_excess.data.fill_(at)
    likelihood.after_step({})
    assert likelihood.log_excess.item() == pytest.approx(bound)


# --- levels and counts ------------------------------------------------------------------------------------------------


def test_a_decoder_that_emits_zeros_covers_all_pixel_levels():
    """The start: no level of 256 is further than three nats from uniform."""
    px = DiscretisedLogistic((1,), 256)(torch.zeros(1, 15, 1))
    log_p = px.log_prob(torch.arange(256.0)[:, None])
    assert (log_p - math.log(1 / 256)).abs().max() < 3
    assert px.mean.item() == pytest.approx(127.5, abs=1e-3)


def test_the_scale_of_a_logistic_stays_above_a_twentieth_of_a_level():
    px = DiscretisedLogistic((1,), 256, components=1)(torch.tensor([0.0, 0.0, -1e4]).reshape(1, 3, 1))
    assert px.base_dist.log_s.exp().item() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("options", "match"), [({"levels": 0}, "levels is 0"), ({"levels": 4, "components": 0}, "components")]
)
def test_a_mixture_of_nothing_is_refused(options, match):
    with pytest.raises(UserError, match=match):
        DiscretisedLogistic((2,), **options)


def test_dispersion_is_one_number_for_each_element_and_comes_back():
    likelihood = NegativeBinomial((P,))
    assert likelihood.log_r.shape == (P,)
    likelihood.log_r.data.fill_(99.0)
    likelihood.after_step({})
    assert (likelihood.log_r == 14).all()


def test_the_dispersion_is_learned_from_the_data():
    """Mean and r of counts at their maximum: the score by r is zero there, by scipy's digamma."""
    x = torch.from_numpy(stats.nbinom.rvs(2.5, 2.5 / (2.5 + 6), size=(3000, 1), random_state=0)).double()
    likelihood = NegativeBinomial((1,)).double()
    h = x.mean().log().reshape(1, 1)
    optimiser = torch.optim.LBFGS(
        likelihood.parameters(), max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def loss():
        optimiser.zero_grad()
        value = -likelihood(h).log_prob(x).mean()
        value.backward()
        return value

    optimiser.step(loss)
    r, mu = likelihood.log_r.exp().item(), x.mean().item()
    score = special.digamma(x.numpy() + r).mean() - special.digamma(r) + math.log(r / (r + mu))
    assert score == pytest.approx(0, abs=1e-5)
    assert r == pytest.approx(2.5, rel=0.15)


# --- support and names ------------------------------------------------------------------------------------------------


def test_the_names_that_recipes_take_are_the_table():
    assert set(get_args(likelihoods.Name)) == {"auto", *likelihoods.LIKELIHOODS}
    assert set(likelihoods.DEFAULT.values()) <= likelihoods.LIKELIHOODS.keys()


@pytest.mark.parametrize(
    ("kind", "levels", "name"),
    [
        ("binary", None, "bernoulli"),
        ("grey", 256, "continuous_bernoulli"),
        ("real", None, "gaussian"),
        ("integer", 256, "logistic"),
        ("integer", None, "negative_binomial"),
        ("categorical", 7, "categorical"),
        ("mixed", None, "table"),
    ],
)
def test_auto_depends_on_the_kind_of_data(kind, levels, name):
    assert for_kind(kind, levels) == name


def test_every_kind_of_data_has_a_likelihood():
    # that of a sequence has a network of its own, which its recipe builds
    assert set(KINDS) - {"sequence"} == set(likelihoods.DEFAULT)


def test_a_kind_that_does_not_exist_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="no kind of data 'words'"):
        for_kind("words")


REAL = ["gaussian", "laplace", "student_t"]
WHOLE = ["logistic", "categorical", "negative_binomial", "poisson"]


@pytest.mark.parametrize(
    ("x", "names"),
    [
        ([0.0, 1.0], ["bernoulli", "continuous_bernoulli", *REAL, *WHOLE, "grey"]),
        ([0.0, 0.5], ["continuous_bernoulli", *REAL, "grey"]),
        ([-0.1, 0.5], REAL),
        ([0.0, 7.0], [*REAL, *WHOLE]),
        ([0.5, -math.inf], []),
    ],
)
def test_that_accept_names_the_likelihoods_whose_support_holds_the_data(x, names):
    assert that_accept(torch.tensor(x)) == names


@pytest.mark.parametrize("law", [Categorical, DiscretisedLogistic])
@pytest.mark.parametrize("value", [4.0, -1.0, 0.5])
def test_check_support_names_a_number_that_is_no_level(law, value):
    x = torch.tensor([[0.0, 3.0], [math.nan, value]])
    check_support(law((2,), 4), x[:1])
    with pytest.raises(UserError, match=rf"Row 1 holds the value {value:.6g}, .*\(levels 0 to 3\)"):
        check_support(law((2,), 4), x)


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
