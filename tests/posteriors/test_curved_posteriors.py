"""Families on curved spaces: what the encoder's numbers mean, how far they may go, products, and one curvature for all."""

import pytest
import torch
from scipy.special import polygamma
from torch.distributions import kl_divergence

from logpx import posteriors, priors
from logpx.distributions import has_closed_kl, is_euclidean
from logpx.errors import UserError
from logpx.maths import manifolds
from logpx.networks import Curvature


def on(kappa, move="learned") -> Curvature:
    return Curvature(kappa, move)


def mixed(move="learned") -> posteriors.Product:
    return posteriors.Product(
        [
            posteriors.DiagNormal(2),
            posteriors.WrappedNormal(2, on(-1.0, move), ambient=True),
            posteriors.WrappedNormal(3, on(1.0, move), ambient=True),
            posteriors.VonMisesFisher(1),
        ]
    )


FAMILIES = {
    "vmf": lambda: posteriors.VonMisesFisher(3),
    "circle": lambda: posteriors.VonMisesFisher(1),
    "power spherical": lambda: posteriors.PowerSpherical(3),
    "ball": lambda: posteriors.WrappedNormal(3, on(-0.7)),
    "hyperboloid": lambda: posteriors.WrappedNormal(3, on(-0.7), ambient=True),
    "sphere": lambda: posteriors.WrappedNormal(3, on(1.3), ambient=True),
    "projected sphere": lambda: posteriors.WrappedNormal(3, on(1.3)),
    "universal": lambda: posteriors.WrappedNormal(3, on(0.0, "universal")),
    "riemannian": lambda: posteriors.RiemannianNormal(3, on(-0.7)),
    "product": mixed,
}
PRIORS = {
    "vmf": lambda q: priors.UniformSphere(3),
    "circle": lambda q: priors.UniformSphere(1),
    "power spherical": lambda q: priors.UniformSphere(3),
    "ball": lambda q: priors.WrappedNormal(3, q.curvature),
    "hyperboloid": lambda q: priors.WrappedNormal(3, q.curvature, ambient=True),
    "sphere": lambda q: priors.WrappedNormal(3, q.curvature, ambient=True),
    "projected sphere": lambda q: priors.WrappedNormal(3, q.curvature),
    "universal": lambda q: priors.WrappedNormal(3, q.curvature),
    "riemannian": lambda q: priors.RiemannianNormal(3, q.curvature),
    "product": lambda q: priors.Product(
        [
            priors.StandardNormal(2),
            priors.WrappedNormal(2, q.parts[1].curvature, ambient=True),
            priors.WrappedNormal(3, q.parts[2].curvature, ambient=True),
            priors.UniformSphere(1),
        ]
    ),
}
each_family = pytest.mark.parametrize("name", FAMILIES)


@each_family
def test_size_numbers_make_a_law_over_dim_latents_where_the_prior_lives(name):
    family = FAMILIES[name]()
    prior = PRIORS[name](family)
    q, p = family(torch.randn(6, family.size)), prior(None)
    assert q.batch_shape == (6,)
    assert p.batch_shape == ()
    assert q.event_shape == p.event_shape == (family.dim,) == (prior.dim,)
    z = q.rsample((4,))
    assert z.shape == (4, 6, family.dim)
    assert q.log_prob(z).shape == p.log_prob(z).shape == (4, 6)
    assert q.mean.shape == (6, family.dim)
    assert p.sample((5,)).shape == (5, family.dim)
    assert not is_euclidean(q)


@each_family
def test_every_number_of_the_encoder_and_the_curvature_gets_a_gradient(name):
    family = FAMILIES[name]()
    prior = PRIORS[name](family)
    params = torch.randn(6, family.size, requires_grad=True)
    q = family(params)
    z = q.rsample((3,))
    (q.log_prob(z) - prior(None).log_prob(z) + z.square().sum(-1)).sum().backward()
    assert params.grad.isfinite().all()
    assert (params.grad.abs().amax(0) > 0).all()
    for parameter in family.parameters():
        assert parameter.grad.isfinite()
        assert parameter.grad != 0


@each_family
def test_on_detached_numbers_the_law_is_the_same(name):
    family = FAMILIES[name]()
    params = torch.randn(6, family.size, requires_grad=True)
    q, fixed = family(params), family(params.detach())
    z = q.sample((3,))
    assert torch.equal(q.log_prob(z), fixed.log_prob(z))


@each_family
@pytest.mark.parametrize("size", [-1e4, -30.0, 30.0, 1e4, 1e6])
def test_numbers_of_any_size_make_finite_laws_and_gradients_in_float32(name, size):
    family = FAMILIES[name]()
    prior = PRIORS[name](family)
    signs = torch.randint(0, 2, (40, family.size)) * 2.0 - 1
    for params in (torch.full((1, family.size), size), size * signs, torch.zeros(1, family.size)):
        params = params.clone().requires_grad_()
        q = family(params)
        z = q.rsample((3,))
        value = q.log_prob(z) - prior(None).log_prob(z)
        value.clamp(-1e20, 1e20).sum().backward()
        assert z.isfinite().all()
        assert value.isfinite().all()
        assert params.grad.isfinite().all()


# --- the sphere -------------------------------------------------------------------------------------------------------


# family, and at kappa = 0 with t = the exponent over kappa, w or log(1 + w): n cov(w, t) and n^2 Var t under the uniform law
SPHERICAL = {
    "vmf": (posteriors.VonMisesFisher(4), 4 / 5, 16 / 5),
    "power spherical": (posteriors.PowerSpherical(4), 1.0, 16 * (polygamma(1, 2) - polygamma(1, 4))),
}
each_spherical = pytest.mark.parametrize(("family", "slope", "bend"), SPHERICAL.values(), ids=SPHERICAL.keys())


@each_spherical
def test_the_floor_of_the_concentration_hides_no_collapse_and_its_ceiling_can_be_left(family, slope, bend):
    direction = torch.nn.functional.normalize(torch.randn(5), dim=-1)
    params = (torch.tensor([[0.0], [0.5], [1e3]]) * direction).requires_grad_()
    q = family(params)
    kl = kl_divergence(q, priors.UniformSphere(4)())
    assert 0 <= kl[0].item() < 1e-8
    assert q.kappa[1].item() == pytest.approx(4 * (0.5 + 0.25), rel=1e-3)
    assert 9e4 < q.kappa[2].item() < 1e5
    kl.sum().backward()
    assert (params.grad[2] * direction).sum() > 0
    torch.testing.assert_close(q.mu[1:], direction.expand(2, -1))


@each_spherical
def test_a_collapsed_posterior_can_come_back(family, slope, bend):
    """Near the uniform law the mean of z, and with it what the decoder can learn, is linear in v, and the KL quadratic."""
    direction = torch.nn.functional.normalize(torch.randn(5).double(), dim=-1)
    for length in (1e-2, 1e-3):
        v = (length * direction).requires_grad_()
        jacobian = torch.autograd.functional.jacobian(lambda v: family(v).mean, v)
        torch.testing.assert_close(jacobian, slope * torch.eye(5).double(), rtol=0, atol=0.04)
        (pull,) = torch.autograd.grad(kl_divergence(family(v), priors.UniformSphere(4).double()()), v)
        torch.testing.assert_close(pull, bend * v.detach(), rtol=0.05, atol=0)


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-8, 1.0, 1e30])
def test_the_direction_is_a_unit_vector_whatever_the_encoder_says(length):
    params = (length * torch.nn.functional.normalize(torch.randn(8, 4), dim=-1)).requires_grad_()
    q = posteriors.VonMisesFisher(3)(params)
    (q.mu[:, 1] + q.kappa).sum().backward()
    torch.testing.assert_close(q.mu.norm(dim=-1), torch.ones(8))
    assert q.kappa.isfinite().all()
    assert params.grad.isfinite().all()


# --- constant curvature -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [-2.0, -0.7, 0.7])
@pytest.mark.parametrize("ambient", [False, True])
def test_the_centre_lies_at_the_distance_that_the_encoder_says_while_that_is_short(kappa, ambient):
    family = posteriors.WrappedNormal(3, on(kappa), ambient=ambient).double()
    k = family.curvature()
    v = torch.nn.functional.normalize(torch.randn(20, 3).double(), dim=-1) * torch.linspace(0, 0.2, 20)[:, None]
    centre = family(torch.cat([v, torch.zeros(20, 3)], -1)).mean
    y = manifolds.to_stereographic(centre, k) if ambient else centre
    distance = manifolds.distance(torch.zeros_like(y), y, k)
    torch.testing.assert_close(distance, v.norm(dim=-1), rtol=2e-4, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 10])
@pytest.mark.parametrize("name", ["ball", "hyperboloid", "riemannian"])
def test_the_widest_law_still_has_the_density_of_its_draws(name, n, dtype):
    """E_q p/q = 1 for a slightly narrower p; with draws that are moved back from beyond the boundary it is far from 1."""
    kappa = on(-0.7, "fixed")
    if name == "riemannian":
        family = posteriors.RiemannianNormal(n, kappa)
    else:
        family = posteriors.WrappedNormal(n, kappa, ambient=name == "hyperboloid")
    params = torch.cat([torch.zeros(1, n), torch.full((1, family.size - n), 1e4)], -1)
    q = family.to(dtype)(params.to(dtype))
    ambient = {"ambient": True} if name == "hyperboloid" else {}
    p = type(q)(q.loc, 0.9 * q.scale, q.kappa, **ambient)
    z = q.sample((10_000,))
    w = (p.log_prob(z) - q.log_prob(z)).double().exp()
    error = w.std().item() / 100
    assert w.mean().item() == pytest.approx(1, abs=4 * error)


def test_hyperboloid_and_ball_are_one_family_in_two_coordinates():
    kappa = on(-0.7).double()
    ball, hyperboloid = (posteriors.WrappedNormal(3, kappa, ambient=ambient) for ambient in (False, True))
    params = torch.randn(5, ball.size).double()
    laws = ball(params), hyperboloid(params)
    draws = []
    for law in laws:
        torch.manual_seed(1)
        draws.append(law.rsample((4,)))
    torch.testing.assert_close(manifolds.to_stereographic(draws[1], kappa()), draws[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(laws[1].log_prob(draws[1]), laws[0].log_prob(draws[0]), rtol=1e-9, atol=1e-9)
    p, p_ambient = (priors.WrappedNormal(3, kappa, 1.3, ambient=ambient).double()() for ambient in (False, True))
    torch.testing.assert_close(p_ambient.log_prob(draws[1]), p.log_prob(draws[0]), rtol=1e-9, atol=1e-9)


def test_the_kl_of_a_product_is_the_sum_over_its_parts():
    families = [posteriors.DiagNormal(2), posteriors.VonMisesFisher(3), posteriors.PowerSpherical(1)]
    laws = [priors.StandardNormal(2), priors.UniformSphere(3), priors.UniformSphere(1)]
    family, prior = posteriors.Product(families).double(), priors.Product(laws).double()
    params = torch.randn(4, family.size).double()
    kl = kl_divergence(family(params), prior())
    split = params.split([f.size for f in families], -1)
    parts = [kl_divergence(f(numbers), p()) for f, numbers, p in zip(families, split, laws, strict=True)]
    torch.testing.assert_close(kl, sum(parts), rtol=1e-12, atol=1e-12)
    assert not has_closed_kl(mixed()(torch.randn(2, mixed().size)), PRIORS["product"](mixed())())


def test_a_product_of_flat_parts_is_flat():
    assert is_euclidean(posteriors.Product([posteriors.DiagNormal(2), posteriors.DiagNormal(1)])(torch.randn(3, 6)))


def test_what_no_family_can_be_is_said_in_a_sentence():
    for make in (posteriors.VonMisesFisher, posteriors.PowerSpherical, priors.UniformSphere):
        with pytest.raises(UserError, match="at least one dimension"):
            make(0)
    for kappa in (on(0.0, "universal"), on(0.0, "fixed")):
        with pytest.raises(UserError, match="stereographic coordinates"):
            posteriors.WrappedNormal(2, kappa, ambient=True)
    for make in (posteriors.RiemannianNormal, priors.RiemannianNormal):
        for kappa in (on(1.0), on(-1.0, "universal"), on(0.0, "fixed")):
            with pytest.raises(UserError, match="negative"):
                make(2, kappa)
        with pytest.raises(UserError, match="at least one dimension"):
            make(0, on(-1.0))
    with pytest.raises(UserError, match="at least one dimension"):
        posteriors.WrappedNormal(0, on(-1.0))
    with pytest.raises(UserError, match="at least one"):
        posteriors.Product([])
