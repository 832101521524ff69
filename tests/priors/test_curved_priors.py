"""Priors on curved spaces: where they lie, how wide they are, and what they refuse."""

import math

import pytest
import torch

from logpx import priors
from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.networks import Curvature


@pytest.mark.parametrize("ambient", [False, True])
@pytest.mark.parametrize("kappa", [-0.7, 0.2])
def test_the_wrapped_normal_prior_has_its_scale_in_units_of_distance(kappa, ambient):
    """E d(0, z)^2 = n scale^2; its standard error is sqrt(2 n/N) scale^2."""
    prior = priors.WrappedNormal(3, Curvature(kappa), 0.5, ambient=ambient).double()
    z = prior(torch.ones(4, 2)).sample((20_000,))
    k = prior.curvature()
    y = manifolds.to_stereographic(z, k) if ambient else z
    d2 = manifolds.squared_distance(torch.zeros_like(y), y, k)
    assert d2.mean().item() == pytest.approx(0.75, abs=4 * math.sqrt(6 / 20_000) * 0.25)


def test_the_uniform_prior_is_that_of_the_surface():
    prior = priors.UniformSphere(2).double()()
    z = prior.sample((5,))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(5).double())
    torch.testing.assert_close(prior.log_prob(z), torch.full((5,), -math.log(4 * math.pi)).double())


@pytest.mark.parametrize("kappa", [1.0, 4.0, 400.0, 1e6])
def test_on_a_sphere_too_small_for_its_scale_the_prior_stays_a_law_and_elsewhere_it_is_untouched(kappa):
    curvature = Curvature(kappa, "learned")
    prior = priors.WrappedNormal(2, curvature, ambient=True)()
    z = prior.rsample((50,))
    prior.log_prob(z).sum().backward()
    assert z.isfinite().all()
    assert curvature.a.grad.isfinite()
    if kappa == 1:
        assert prior.scale.item() == pytest.approx(1, rel=1e-5)


def test_priors_follow_the_type_and_keep_nothing_but_the_curvature():
    prior = priors.Product(
        [priors.StandardNormal(2), priors.WrappedNormal(2, Curvature(-1.0)), priors.UniformSphere(1)]
    )
    assert set(prior.state_dict()) == {"parts.1.curvature.a"}
    z = prior.double()().sample((3,))
    assert z.shape == (3, prior.dim) == (3, 6)
    assert z.dtype == torch.float64


def test_what_no_prior_can_be_is_said_in_a_sentence():
    for scale in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(UserError, match="positive number"):
            priors.WrappedNormal(2, Curvature(-1.0), scale)
    with pytest.raises(UserError, match="keeps its sign"):
        priors.WrappedNormal(2, Curvature(0.0), ambient=True)
    with pytest.raises(UserError, match="at least one dimension"):
        priors.WrappedNormal(0, Curvature(-1.0))
    with pytest.raises(UserError, match="at least one prior"):
        priors.Product([])


@pytest.mark.parametrize(("n", "c", "scale"), [(10, 0.7, 1.0), (2, 1.2, 1.7), (5, 1.4, 1.0), (20, 0.1, 1.0)])
@pytest.mark.parametrize("prior", [priors.WrappedNormal, priors.RiemannianNormal])
def test_in_float32_a_prior_that_is_not_refused_draws_from_its_own_law(prior, n, c, scale):
    """-E log p over draws is the entropy; it was 3.6 nats short where draws were moved back into the ball."""
    law = prior(n, Curvature(-c), scale)()
    surprise = -law.log_prob(law.sample((20_000,)))
    assert abs(surprise.mean() - law.entropy().squeeze()) < 4 * surprise.std() / math.sqrt(20_000) + 2e-3


@pytest.mark.parametrize("prior", [priors.WrappedNormal, priors.RiemannianNormal])
def test_a_prior_that_reaches_further_than_its_numbers_is_refused(prior):
    wide = prior(10, Curvature(-1.4), 1.0 if prior is priors.RiemannianNormal else 2.0)
    with pytest.raises(UserError, match="--precision float64"):
        wide()
    assert wide.double()().sample((3,)).dtype == torch.float64
    with pytest.raises(UserError, match="smaller curvature"):
        prior(10, Curvature(-1.4), 50.0).double()()
