"""The flow posterior: its density at its own and at other z, what is held constant, and its moments."""

import math

import pytest
import torch
from torch.distributions import Normal

from logpx import likelihoods, priors
from logpx.model import VAE, Batch
from logpx.networks import MLP
from logpx.objectives import ELBO, IWAE
from logpx.posteriors import Flow


@pytest.fixture
def family():
    return Flow(3, context=4).double()


def test_the_density_at_its_own_draw_is_the_density_at_that_point(family):
    q = family(torch.randn(5, family.size).double())
    z = q.rsample((7,))
    at_once = q.log_prob(z)
    assert at_once.shape == (7, 5)
    torch.testing.assert_close(q.log_prob(z.clone()), at_once, rtol=1e-9, atol=1e-9)


def test_the_density_is_the_change_of_variables(family):
    q = family(torch.randn(family.size).double())

    def image(u):
        return q.go(u)[0]

    u = torch.randn(3).double()
    J = torch.autograd.functional.jacobian(image, u)
    expected = Normal(q.base.mean, q.base.stddev).log_prob(u).sum() - torch.linalg.slogdet(J).logabsdet
    assert q.log_prob(image(u)).item() == pytest.approx(expected.item(), abs=1e-10)


def test_the_context_moves_the_law(family):
    params = torch.zeros(2, family.size).double()
    params[1, 6:] = 3.0
    a, b = family(params).mean
    assert (a - b).abs().max() > 1e-3


def test_the_mean_and_variance_are_those_of_the_draws(family):
    q, n = family(torch.randn(4, family.size).double()), 100_000
    z = q.sample((n,))
    assert ((z.mean(0) - q.mean).abs() <= 4 * z.std(0) / math.sqrt(n) + 0.004 * z.std(0)).all()
    assert (z.var(0) / q.variance - 1).abs().max() < 0.04


def test_held_constant_it_keeps_its_own_weights_as_well(family):
    """log q with everything of q held constant moves with z alone (Roeder et al. 2017)."""
    model = VAE(
        encoder=MLP((5,), (), (family.size,)),
        posterior=family,
        prior=priors.StandardNormal(3),
        decoder=MLP((3,), (), (1, 5)),
        likelihood=likelihoods.Gaussian((5,)),
    ).double()
    draw = model.draw(Batch(torch.randn(4, 5).double()), 6)
    fixed, free = draw.log_q(fixed=True), draw.log_q()
    torch.testing.assert_close(fixed, free, rtol=1e-9, atol=1e-9)
    own = list(family.parameters())
    at_z = draw.z.detach().requires_grad_()
    assert not draw.q_fixed().log_prob(draw.z.detach()).requires_grad
    (pull,) = torch.autograd.grad(draw.q_fixed().log_prob(at_z).sum(), at_z)
    through_z = torch.autograd.grad(draw.z, own, pull, retain_graph=True)
    found = torch.autograd.grad(fixed.sum(), own, retain_graph=True)
    for a, b in zip(found, through_z, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
    everything = torch.autograd.grad(free.sum(), own)
    assert any(not torch.allclose(a, b) for a, b in zip(found, everything, strict=True))


@pytest.mark.parametrize("objective", [ELBO(), IWAE(4, "plain"), IWAE(4, "stl"), IWAE(4, "dreg")])
def test_every_bound_takes_it(family, objective):
    model = VAE(
        encoder=MLP((5,), (), (family.size,)),
        posterior=family,
        prior=priors.Flow(3),
        decoder=MLP((3,), (), (1, 5)),
        likelihood=likelihoods.Gaussian((5,)),
    ).double()
    step = objective(model, Batch(torch.randn(4, 5).double()))
    step.loss.backward()
    assert step.loss.isfinite()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
