"""Independent laws on the parts of one vector: every quantity is the sum over parts."""

import pytest
import torch
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

from logpx.distributions import GreyScore, has_closed_kl, is_density
from logpx.distributions.product import ProductOf, SideBySide
from logpx.distributions.wrapped import WrappedNormal
from logpx.errors import UserError


def normal(*batch, dim=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    loc, scale = torch.randn(2, *batch, dim, generator=g, dtype=torch.float64)
    return Independent(Normal(loc, scale.exp()), 1)


def mixed_curvature():
    """e2, h2, s2: flat, hyperbolic, spherical."""
    loc, scale = 0.2 * torch.randn(4, 2).double(), torch.full((4, 1), 0.5).double()
    return ProductOf([normal(4), WrappedNormal(loc, scale, -1.0), WrappedNormal(loc, scale, 1.0)])


def test_everything_is_the_sum_over_parts():
    law = mixed_curvature()
    assert law.batch_shape == (4,)
    assert law.event_shape == (6,)
    assert law.has_rsample
    z = law.rsample((5,))
    assert z.shape == (5, 4, 6)
    parts = law.split(z)
    assert [part.shape[-1] for part in parts] == [2, 2, 2]
    assert torch.equal(torch.cat(parts, -1), z)
    log_p = sum(part.log_prob(z[..., 2 * i : 2 * i + 2]) for i, part in enumerate(law.parts))
    torch.testing.assert_close(law.log_prob(z), log_p, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(law.entropy(), sum(part.entropy() for part in law.parts), rtol=1e-14, atol=1e-14)
    assert torch.equal(law.mean, torch.cat([part.mean for part in law.parts], -1))


def test_a_product_of_normal_laws_is_the_normal_law_of_the_vector():
    q, p = (ProductOf([normal(3, seed=s), normal(3, dim=3, seed=s + 1)]) for s in (1, 3))
    q_whole, p_whole = (Independent(Normal(law.mean, law.variance.sqrt()), 1) for law in (q, p))
    z = q.sample((7,))
    torch.testing.assert_close(q.log_prob(z), q_whole.log_prob(z), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(q.entropy(), q_whole.entropy(), rtol=1e-13, atol=1e-13)
    assert has_closed_kl(q, p)
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(q_whole, p_whole), rtol=1e-13, atol=1e-13)


def test_draws_of_parts_are_independent_and_carry_gradients():
    loc = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    law = ProductOf([MultivariateNormal(loc, torch.eye(2).double()), normal()])
    z = law.rsample((20_000,))
    torch.autograd.grad(z.sum(), loc)
    correlation = torch.corrcoef(z.detach().T) - torch.eye(4).double()
    assert correlation.abs().max() < 4 / 20_000**0.5


def test_batches_broadcast_and_expand():
    law = ProductOf([normal(4), normal(dim=1)])
    assert law.batch_shape == (4,)
    assert law.sample((2,)).shape == (2, 4, 3)
    wide = law.expand((5, 4))
    z = law.sample()
    assert wide.sample().shape == (5, 4, 3)
    assert torch.equal(wide.log_prob(z), law.log_prob(z).expand(5, 4))
    p = ProductOf([normal(seed=5), normal(dim=1, seed=6)])
    assert kl_divergence(law, p).shape == (4,)


def test_a_closed_kl_needs_one_of_every_pair_of_parts():
    law = mixed_curvature()
    assert not has_closed_kl(law, law)
    assert not has_closed_kl(ProductOf([normal(dim=1), normal()]), ProductOf([normal(), normal(dim=1)]))
    assert not has_closed_kl(law, normal(dim=6))


def test_what_parts_lack_the_product_lacks():
    bits = ProductOf([normal(), Independent(Bernoulli(torch.full((3,), 0.5).double()), 1)])
    assert not bits.has_rsample
    assert bits.sample((2,)).shape == (2, 5)
    assert is_density(bits)
    assert not is_density(ProductOf([Independent(GreyScore(torch.zeros(2)), 1)]))
    with pytest.raises(UserError, match="law of vectors"):
        ProductOf([Normal(0.0, 1.0)])
    with pytest.raises(UserError, match="at least one"):
        ProductOf([])


def test_a_product_is_one_graph():
    def step(loc, scale):
        law = ProductOf([Independent(Normal(loc[:, :1], scale), 1), MultivariateNormal(loc, torch.eye(2).double())])
        return law.log_prob(law.rsample((3,))).sum()

    inputs = [torch.randn(4, 2).double().requires_grad_(), torch.ones(4, 1).double().requires_grad_()]
    torch.compiler.reset()
    found = []
    for f in (torch.compile(step, fullgraph=True, backend="aot_eager"), step):
        torch.manual_seed(3)
        found.append(torch.autograd.grad(f(*inputs), inputs))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


# --- laws side by side ------------------------------------------------------------------------------------------------

KAPPAS = [-1.3, 0.0, 0.6, -1e-4]


def side_by_side(*batch):
    """Wrapped normal laws on a hyperbolic space, a plane, a sphere and an almost flat space, and the leaves they hang on."""
    g = torch.Generator().manual_seed(3)
    loc = (0.3 * torch.randn(*batch, 4, 2, generator=g, dtype=torch.float64)).requires_grad_()
    scale = (0.2 + torch.rand(*batch, 4, 2, generator=g, dtype=torch.float64)).requires_grad_()
    kappa = torch.tensor(KAPPAS, dtype=torch.float64, requires_grad=True)
    return SideBySide(WrappedNormal(loc, scale, kappa)), (loc, scale, kappa)


def test_laws_side_by_side_are_the_product_of_these_laws_with_its_gradients():
    law, leaves = side_by_side(5)
    product = ProductOf([WrappedNormal(leaves[0][:, i], leaves[1][:, i], leaves[2][i]) for i in range(len(KAPPAS))])
    assert (law.batch_shape, law.event_shape) == (product.batch_shape, product.event_shape) == ((5,), (8,))
    draws = law.rsample((3,))
    assert draws.shape == (3, 5, 8)
    assert draws.requires_grad
    assert not law.sample().requires_grad
    z = draws.detach()
    torch.testing.assert_close(law.log_prob(z), product.log_prob(z), rtol=1e-12, atol=1e-12)
    assert torch.equal(law.mean, product.mean)
    grads = [torch.autograd.grad(each.log_prob(z).sum(), leaves) for each in (law, product)]
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
    for i, part in enumerate(law.parts):
        assert part.kappa.unique().item() == KAPPAS[i]
    wide = law.expand((2, 5))
    torch.testing.assert_close(wide.log_prob(z[:2]), law.log_prob(z[:2]))


def test_draws_of_laws_side_by_side_are_those_of_each():
    torch.manual_seed(0)
    law, _ = side_by_side()
    z = law.sample((40_000,))
    for part, mine in zip(law.parts, law.split(z), strict=True):
        theirs = part.sample((40_000,))
        for f in (torch.atan, torch.cos):  # bounded ones: a sphere's far side has no moments in these coordinates
            a, b = f(mine), f(theirs)
            error = ((a.var(0) + b.var(0)) / 40_000).sqrt()
            assert ((a.mean(0) - b.mean(0)).abs() < 5 * error).all()
    assert torch.corrcoef(z[:, :4].T)[:2, 2:].abs().max() < 4 / 40_000**0.5


def test_what_stands_side_by_side_has_an_axis_to_stand_on():
    with pytest.raises(UserError, match="last batch axis"):
        SideBySide(WrappedNormal(torch.zeros(2), torch.ones(1), -1.0))
