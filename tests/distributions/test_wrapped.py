"""The wrapped normal law: mass one in every coordinates and curvature, its limits, gradients, entropy; in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Normal, kl_divergence

from logpx.distributions.kl import has_closed_kl
from logpx.distributions.riemannian import RiemannianNormal
from logpx.distributions.wrapped import TAIL, WRAPS, WrappedNormal, kl_at_one_mean
from logpx.errors import UserError
from logpx.maths import manifolds as mf

KAPPAS = [-2.0, -0.5, 0.0, 0.5, 2.0]
SCALES = [[0.2], [0.7], [0.4, 0.9]]
AROUND_0 = [-0.3, -1e-7, 0.0, 1e-7, 0.3]
x, w = np.polynomial.legendre.leggauss(400)
NODES, WEIGHTS = torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)  # on (0, 1)


def float64(*values):
    return torch.tensor(values, dtype=torch.float64)


def disc(kappa, top, angles=192):
    """Directions times radii up to `top`, or once over a sphere, (A, N, 2), and the area that each stands for, (N,)."""
    top = math.pi / math.sqrt(kappa) if kappa > 0 else top
    angle = torch.arange(angles).double() * 2 * math.pi / angles
    r = top * NODES
    return r[:, None] * torch.stack([angle.cos(), angle.sin()], -1)[:, None], mf.sin_k(r, kappa) * top * WEIGHTS * (
        2 * math.pi / angles
    )


def ring_mass(law, kappa, top):
    """Mass of an isotropic law of any dimension from its density along one ray: |S^(n-1)| int sin_k(r)^(n-1) p dr."""
    n = law.n
    top = math.pi / math.sqrt(kappa) if kappa > 0 else top
    r = top * NODES
    v = torch.zeros(len(r), n).double()
    v[:, 0] = r
    log_p = law.log_prob(mf.from_frame(law.loc, v, kappa))
    area = 2 * math.pi ** (n / 2) / math.gamma(n / 2)
    return area, r, top * WEIGHTS * area * mf.sin_k(r, kappa) ** (n - 1) * log_p.exp(), log_p


# --- mass -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("ambient", [False, True], ids=["stereographic", "ambient"])
@pytest.mark.parametrize("loc", [[0.0, 0.0], [0.2, -0.3]], ids=str)
def test_integrates_to_one(kappa, scale, ambient, loc):
    """Over a polar grid of Riemannian area about 0; on a sphere, where the density has two poles, about loc."""
    if ambient and kappa == 0:
        return
    v, area = disc(kappa, 8)
    loc = float64(*loc)
    z = mf.from_frame(loc if kappa > 0 else torch.zeros(2).double(), v, kappa)
    if ambient:
        loc, z = mf.from_stereographic(loc, kappa), mf.from_stereographic(z, kappa)
    mass = (WrappedNormal(loc, float64(*scale), kappa, ambient=ambient).log_prob(z).exp() * area).sum()
    assert mass.item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("R", [0.5, 2.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_radius_is_not_counted_twice(R, sign):
    """mvae's log-determinant on hyperboloid and sphere has (n - 1) log R too much: its mass is 2 for R = .5, .5 for 2."""
    kappa = sign / R**2
    v, area = disc(kappa, 8)
    loc = mf.ambient_exp_at_0(float64(0.2, -0.1), kappa)
    law = WrappedNormal(loc, float64(0.4), kappa, ambient=True)
    z = mf.ambient_from_frame(loc, v, kappa)
    assert (law.log_prob(z).exp() * area).sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("n", [1, 3, 6])
@pytest.mark.parametrize("scale", [0.3, 0.9])
def test_integrates_to_one_in_other_dimensions(n, kappa, scale):
    law = WrappedNormal(torch.full((n,), 0.1).double(), float64(scale), kappa)
    top = scale * (math.sqrt(n) + 6)  # the ball in float64 is 12 R deep
    assert ring_mass(law, kappa, top)[2].sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 6, 50])
def test_the_largest_scale_on_a_sphere_leaves_out_a_millionth_and_a_larger_one_is_refused(n):
    scale = (2 * WRAPS + 1) * math.pi / (math.sqrt(n) + TAIL) / 2  # R = 1/2
    law = WrappedNormal(torch.zeros(n).double(), float64(scale * 0.999), 4.0)
    mass = ring_mass(law, 4.0, None)[2].sum().item()
    assert 1 - 1e-6 < mass < 1 + 1e-9
    with pytest.raises(UserError, match="scales of at most"):
        WrappedNormal(torch.zeros(n).double(), float64(scale * 1.001), 4.0)


def test_the_density_per_volume_of_coordinates_integrates_to_one_there():
    axis = torch.linspace(-1, 1, 601, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    z = z[z.norm(dim=-1) < 0.999]
    law = WrappedNormal(float64(0.2, -0.1), float64(0.3, 0.2), -1.0)
    total = law.lebesgue_log_prob(z).exp().sum().item() * float(axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1, abs=1e-9)
    with pytest.raises(UserError, match="ambient"):
        WrappedNormal(float64(1, 0, 0), float64(0.3), -1.0, ambient=True).lebesgue_log_prob(float64(1, 0, 0))


# --- limits and coordinates -------------------------------------------------------------------------------------------


def test_the_flat_law_is_the_normal_law():
    """The metric at kappa = 0 is 4 |dz|^2: half the scale in coordinates."""
    loc, scale, z = torch.randn(5, 3).double(), torch.rand(5, 3).double() + 0.1, torch.randn(5, 3).double()
    expected = Normal(loc, scale / 2).log_prob(z).sum(-1)
    for kappa in (-1e-13, 0.0, 1e-13):
        law = WrappedNormal(loc, scale, kappa)
        torch.testing.assert_close(law.lebesgue_log_prob(z), expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(law.log_prob(z) + 3 * math.log(2), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kappa", [-2.0, -0.5, 0.5, 2.0])
def test_both_coordinates_give_one_density(kappa):
    loc, scale = 0.3 * torch.randn(5, 3).double(), torch.rand(5, 3).double() * 0.5 + 0.1
    loc, z = mf.exp_at_0(loc, kappa), mf.exp_at_0(0.3 * torch.randn(5, 3).double(), kappa)
    ambient = WrappedNormal(mf.from_stereographic(loc, kappa), scale, kappa, ambient=True)
    assert ambient.event_shape == (4,)
    ours = ambient.log_prob(mf.from_stereographic(z, kappa))
    torch.testing.assert_close(ours, WrappedNormal(loc, scale, kappa).log_prob(z), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kappa", AROUND_0)
def test_log_prob_has_the_right_gradients_through_zero_curvature(kappa):
    inputs = [float64(0.3, -0.2), float64(-0.1, 0.4), float64(0.5, 0.8), float64(kappa)[0]]
    f = lambda z, loc, scale, k: WrappedNormal(loc, scale, k).log_prob(z)  # noqa: E731
    inputs = tuple(p.requires_grad_() for p in inputs)
    assert torch.autograd.gradcheck(f, inputs, eps=1e-5, atol=1e-8)
    assert torch.autograd.gradgradcheck(f, inputs, eps=1e-5, atol=1e-7)


@pytest.mark.parametrize("kappa", AROUND_0)
def test_draws_have_the_right_gradients_through_zero_curvature(kappa):
    def draw(loc, scale, k):
        torch.manual_seed(1)
        return WrappedNormal(loc, scale, k).rsample((4,))

    inputs = [float64(-0.1, 0.4), float64(0.5, 0.8), float64(kappa)[0]]
    assert torch.autograd.gradcheck(draw, tuple(p.requires_grad_() for p in inputs), eps=1e-5, atol=1e-8)


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [-1.5, 0.0])
def test_draws_carried_back_are_the_normal_law(kappa):
    loc, scale = float64(0.3, -0.2, 0.1), float64(0.3, 0.6, 0.9)
    z = WrappedNormal(loc, scale, kappa).sample((20_000,))
    v = (mf.to_frame(loc, z, kappa) / scale).numpy()
    assert all(stats.kstest(v[:, i], stats.norm.cdf).pvalue > 1e-4 for i in range(3))


@pytest.mark.parametrize("ambient", [False, True], ids=["stereographic", "ambient"])
@pytest.mark.parametrize(("kappa", "scale"), [(-1.0, 0.8), (1.0, 0.5), (1.0, 2.0)])
def test_the_radius_of_draws_follows_the_density(kappa, scale, ambient):
    """n = 2: F(r) = int_0^r 2 pi sin_k p dr; at scale 2 R a fifth of the normal law has gone round the sphere."""
    law = WrappedNormal(float64(0.2, -0.1), float64(scale), kappa)
    _, r, mass, _ = ring_mass(law, kappa, 10 * scale)
    loc = law.loc
    if ambient:
        loc = mf.from_stereographic(loc, kappa)
        z = WrappedNormal(loc, law.scale, kappa, ambient=True).sample((20_000,))
        d = mf.ambient_distance(loc, z, kappa)
    else:
        d = mf.distance(loc, law.sample((20_000,)), kappa)
    cdf = (mass.cumsum(0) - 0.5 * mass).numpy()
    assert stats.kstest(d.numpy(), lambda t: np.interp(t, r.numpy(), cdf)).pvalue > 1e-4


@pytest.mark.parametrize("kappa", [-1.0, 0.7])
def test_the_pathwise_gradient_is_the_derivative_of_the_expectation(kappa):
    """E sin(z_1 + z_2 / 2) from the density on a grid, by central differences in loc, scale and kappa."""
    n = 50_000

    def f(z):
        return (z[..., 0] + 0.5 * z[..., 1]).sin()

    def expectation(p):
        v, area = disc(p[4].item(), 8, angles=64)
        z = mf.from_frame(p[:2], v, p[4])
        return (WrappedNormal(p[:2], p[2:4], p[4]).log_prob(z).exp() * f(z) * area).sum().item()

    p = float64(0.2, -0.1, 0.4, 0.5, kappa)
    rows = p.expand(n, -1).clone().requires_grad_()
    f(WrappedNormal(rows[:, :2], rows[:, 2:4], rows[:, 4]).rsample()).sum().backward()
    step = 1e-4 * torch.eye(5).double()
    exact = float64(*((expectation(p + s) - expectation(p - s)) / 2e-4 for s in step))
    error = (rows.grad.mean(0) - exact).abs()
    assert (error <= 4 * rows.grad.std(0) / math.sqrt(n) + 1e-7).all()


# --- entropy and KL ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [-1.5, -0.5, 0.0, 0.6, 2.0])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_entropy_is_minus_the_mean_of_log_p(n, kappa):
    law = WrappedNormal(torch.full((n,), 0.1).double(), float64(0.8), kappa)
    log_p = law.log_prob(law.sample((20_000,)))
    assert abs(law.entropy().item() + log_p.mean().item()) <= 4 * log_p.std().item() / math.sqrt(20_000)


@pytest.mark.parametrize(("n", "scale", "kappa"), [(2, 1.3, -0.7), (5, 0.1, -2.0), (100, 0.6, -1.0), (3, 5.0, -1.0)])
def test_entropy_is_the_published_quadrature(n, scale, kappa):
    """(n/2) log(2 pi e s^2) + (n - 1) E log(sinh(sqrt c r)/(sqrt c r)), r = s chi_n, by scipy."""

    def f(u):
        t = math.sqrt(-kappa) * scale * u
        return t + math.log1p(-math.exp(-2 * t)) - math.log(2 * t)

    low, high = stats.chi(n).ppf([1e-14, 1 - 1e-14])
    extra = stats.chi(n).expect(f, lb=low, ub=high, epsabs=1e-11)
    expected = 0.5 * n * math.log(2 * math.pi * math.e * scale**2) + (n - 1) * extra
    law = WrappedNormal(torch.zeros(n).double(), float64(scale), kappa)
    assert law.entropy().item() == pytest.approx(expected, abs=1e-9, rel=1e-9)


def test_entropy_of_a_flat_law_and_of_one_that_covers_a_sphere():
    flat = WrappedNormal(torch.zeros(3).double(), float64(0.4), 0.0).entropy().item()
    assert flat == pytest.approx(1.5 * math.log(2 * math.pi * math.e * 0.16), abs=1e-11)
    circle = WrappedNormal(torch.zeros(1).double(), float64(4.0), 1.0).entropy().item()  # wrapped: almost uniform
    assert circle == pytest.approx(math.log(2 * math.pi) - math.exp(-16), abs=1e-9)


@pytest.mark.parametrize("kappa", AROUND_0)
def test_entropy_has_the_right_gradient(kappa):
    inputs = (float64(0.7).requires_grad_(), float64(kappa)[0].requires_grad_())
    f = lambda scale, k: WrappedNormal(torch.zeros(3).double(), scale, k).entropy()  # noqa: E731
    assert torch.autograd.gradcheck(f, inputs, eps=1e-5, atol=1e-7)


def test_entropy_of_several_scales_is_not_there():
    with pytest.raises(NotImplementedError):
        WrappedNormal(torch.zeros(2), torch.tensor([0.3, 0.4]), -1.0).entropy()
    with pytest.raises(UserError, match="3 scales or one"):
        WrappedNormal(torch.zeros(3), torch.ones(2), -1.0)


@pytest.mark.parametrize("kappa", [-1.3, 0.0])
def test_kl_at_one_mean_is_the_normal_laws(kappa):
    loc = float64(0.2, -0.1)
    q, p = WrappedNormal(loc, float64(0.3, 0.6), kappa), WrappedNormal(loc, float64(0.5), kappa)
    v, area = disc(kappa, 6)
    z = mf.from_frame(loc, v, kappa)
    log_q = q.log_prob(z)
    exact = (log_q.exp() * (log_q - p.log_prob(z)) * area).sum().item()
    kl = kl_at_one_mean(q, p).item()
    assert kl == pytest.approx(exact, abs=1e-10)
    normal = kl_divergence(Normal(0, q.scale), Normal(0, p.scale)).sum().item()
    assert kl == pytest.approx(normal, abs=1e-14)
    isotropic = WrappedNormal(loc, float64(0.4), kappa)
    assert kl_at_one_mean(isotropic, p).item() == pytest.approx(2 * (0.32 - 0.5 - math.log(0.8)), abs=1e-14)


def test_there_is_no_closed_kl():
    law = WrappedNormal(torch.zeros(2), torch.ones(2), -1.0)
    assert not has_closed_kl(law, law)


# --- shapes, extremes, float32, one graph -----------------------------------------------------------------------------


@pytest.mark.parametrize("ambient", [False, True])
def test_shapes_and_expansion(ambient):
    loc = mf.from_stereographic(0.1 * torch.randn(3, 2).double(), -1.0) if ambient else 0.1 * torch.randn(3, 2).double()
    law = WrappedNormal(loc, float64(0.5), torch.tensor(-1.0), ambient=ambient)
    event = 3 if ambient else 2
    assert law.batch_shape == (3,)
    assert law.event_shape == (event,)
    z = law.sample((5,))
    assert z.shape == (5, 3, event)
    assert law.log_prob(z).shape == (5, 3)
    assert law.entropy().shape == (3,)
    wide = law.expand((4, 3))
    assert wide.sample((5,)).shape == (5, 4, 3, event)
    assert torch.equal(wide.log_prob(z[0]), law.log_prob(z[0]).expand(4, 3))
    assert torch.equal(law.mean, loc)
    assert torch.equal(law.mode, loc)


@pytest.mark.parametrize("ambient", [False, True])
@pytest.mark.parametrize("kappa", [-2.0, -0.3, 0.3, 2.0])
def test_the_law_about_0_is_the_one_whose_loc_is_0(kappa, ambient):
    curvature = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([0.7, 0.4, 0.9], dtype=torch.float64)
    about_0 = WrappedNormal.about_0(3, scale, curvature, ambient=ambient)
    plain = WrappedNormal(about_0.loc, scale, curvature, ambient=ambient)
    z = plain.rsample((50,))  # moves with the curvature: a point of another space has no density here
    ours, theirs = (
        (p, torch.autograd.grad(p.sum(), curvature, retain_graph=True)[0])
        for p in (about_0.log_prob(z), plain.log_prob(z))
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert about_0.expand([2]).log_prob(z[:, None]).equal(about_0.log_prob(z)[:, None].expand(-1, 2))


def test_a_batch_of_curvatures_is_separate_laws():
    kappa, loc, scale = float64(-1, 0, 1), 0.2 * torch.randn(3, 2).double(), torch.rand(3, 2).double() + 0.1
    z = 0.2 * torch.randn(3, 2).double()
    law = WrappedNormal(loc, scale, kappa)
    alone = [WrappedNormal(loc[i], scale[i], kappa[i]).log_prob(z[i]) for i in range(3)]
    torch.testing.assert_close(law.log_prob(z), torch.stack(alone), rtol=1e-14, atol=1e-14)
    assert law.log_prob(z[0]).shape == (3,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kappa", [-1.0, 0.0, 1e-9, 1.0])
@pytest.mark.parametrize("ambient", [False, True], ids=["stereographic", "ambient"])
def test_value_and_gradient_are_finite_at_loc_and_opposite_and_on_the_boundary(kappa, dtype, ambient):
    if ambient and kappa < 1e-3 and kappa != -1:
        return
    loc = torch.tensor([0.6, -0.2], dtype=dtype)
    z = torch.stack([loc, -loc / loc.square().sum() * (1 if kappa > 0 else 0.4), torch.tensor([0.6, -0.8]).to(dtype)])
    if ambient:
        loc, z = mf.from_stereographic(loc, kappa), mf.from_stereographic(z, kappa)
    loc = loc.expand(3, -1).clone().requires_grad_()
    scale, k = torch.full((3, 2), 0.4, dtype=dtype).requires_grad_(), torch.full((3,), kappa, dtype=dtype)
    k, z = k.requires_grad_(), z.requires_grad_()
    log_p = WrappedNormal(loc, scale, k, ambient=ambient).log_prob(z)
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert all(p.grad.isfinite().all() for p in (loc, scale, k, z))


@pytest.mark.parametrize("ambient", [False, True], ids=["stereographic", "ambient"])
@pytest.mark.parametrize("kappa", [-1.0, 1.0])
def test_float32_is_finite_at_every_scale(kappa, ambient):
    """Scales .01 to 7 (2 on the sphere), loc pushed to the boundary, twenty seeds: values and all gradients."""
    scales = torch.logspace(-2, math.log10(7 if kappa < 0 else 2), 9)
    for seed in range(20):
        torch.manual_seed(seed)
        h = (torch.randn(9, 6) * torch.logspace(-2, 1.5, 9)[:, None]).requires_grad_()
        scale, k = scales[:, None].expand(9, 6).clone().requires_grad_(), torch.tensor(kappa, requires_grad=True)
        loc = mf.ambient_exp_at_0(h, k) if ambient else mf.exp_at_0(h, k)
        law = WrappedNormal(loc, scale, k, ambient=ambient)
        z = law.rsample((20,))
        log_p = law.log_prob(z)
        (log_p.sum() + z.square().clamp_max(1e6).sum()).backward()
        assert z.isfinite().all()
        assert log_p.isfinite().all()
        assert all(p.grad.isfinite().all() for p in (h, scale, k))


@pytest.mark.parametrize("kappa", [-1.0, 0.0, 1.0])
def test_float32_agrees_with_float64(kappa):
    loc, scale = 0.2 * torch.randn(50, 4), torch.rand(50, 4) + 0.1
    z = mf.exp_at_0(0.4 * torch.randn(20, 50, 4), kappa)
    narrow = WrappedNormal(loc, scale, kappa)
    assert narrow.sample().dtype == narrow.log_prob(z).dtype == torch.float32
    wide = WrappedNormal(loc.double(), scale.double(), kappa).log_prob(z.double())
    torch.testing.assert_close(narrow.log_prob(z).double(), wide, rtol=1e-5, atol=5e-5)


def one_graph(step, *inputs):
    """Compiled whole and eager agree, in value and in every gradient."""
    torch.compiler.reset()
    found = []
    for f in (torch.compile(step, fullgraph=True, backend="aot_eager"), step):
        torch.manual_seed(3)
        value = f(*inputs).sum()
        found.append([value, *torch.autograd.grad(value, [p for p in inputs if p.requires_grad])])
    for traced, eager in zip(*found, strict=True):
        torch.testing.assert_close(traced, eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kappa", "ambient"), [(-0.7, False), (0.7, True)], ids=["stereographic", "ambient"])
@pytest.mark.parametrize("act", ["log_prob", "rsample"])
def test_each_act_is_one_graph_with_every_gradient(act, kappa, ambient):
    def step(loc, scale, k):
        law = WrappedNormal(loc, scale, k, ambient=ambient)
        return law.log_prob(z) if act == "log_prob" else law.rsample((3,))

    loc, z = mf.exp_at_0(0.4 * torch.randn(2, 5, 2), kappa)
    loc, z = (mf.from_stereographic(p, kappa) if ambient else p for p in (loc, z))
    one_graph(step, *(p.requires_grad_() for p in (loc, torch.full((5, 2), 0.7), torch.tensor(kappa))))


# --- where things go wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_law_about_0_is_finite_on_the_rim_and_the_plain_one_there(dtype):
    z = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0000001, 0.0]], dtype=dtype, requires_grad=True)
    one = torch.ones(1, dtype=dtype)
    law = WrappedNormal.about_0(2, one, torch.tensor(-1.0, dtype=dtype))
    values = law.log_prob(z)
    values.sum().backward()
    assert z.grad.isfinite().all()
    plain = WrappedNormal(torch.zeros(2, dtype=dtype), one, -1.0, validate_args=False)
    assert values.isfinite().all()
    assert plain.log_prob(z).isfinite().all()


@pytest.mark.parametrize("n", [6, 10])
def test_in_float32_a_stereographic_sphere_keeps_the_density_of_draws_from_its_far_side(n):
    loc = mf.exp_at_0(0.4 * torch.randn(50_000, n), 1.0)
    law = WrappedNormal(loc, torch.ones(1), 1.0)
    z = law.sample()
    exact = WrappedNormal(loc.double(), torch.ones(1).double(), 1.0).log_prob(z.double())
    assert (law.log_prob(z).double() - exact).abs().max() < 0.5  # it was tens of nats


def test_in_float32_the_density_is_good_to_a_hundredth_as_far_out_as_laws_reach():
    loc = mf.exp_at_0(torch.randn(20_000, 10), -1.0)
    law = WrappedNormal(loc, torch.ones(1), -1.0)
    z = law.sample()
    exact = WrappedNormal(loc.double(), torch.ones(1).double(), -1.0).log_prob(z.double())
    assert mf.distance(torch.zeros(10), z, -1.0).max() > 9
    assert (law.log_prob(z).double() - exact).abs().max() < 0.02


def test_a_batch_of_curvatures_about_0_in_ambient_coordinates():
    kappa = torch.tensor([-1.0, -0.5])
    assert WrappedNormal.about_0(3, torch.ones(1), kappa, ambient=True).sample().shape == (2, 4)


def off_the_space():
    one = torch.ones(1)
    return {
        "outside the ball": lambda: WrappedNormal(torch.tensor([2.0, 0.0]), one, -1.0),
        "value outside": lambda: WrappedNormal(torch.zeros(2), one, -1.0).log_prob(torch.tensor([0.9, 0.8])),
        "off the sphere": lambda: WrappedNormal(torch.tensor([5.0, 0.0, 1.0]), one, 1.0, ambient=True),
        "no radius": lambda: WrappedNormal(torch.tensor([1.0, 0.0, 0.0]), one, 0.0, ambient=True),
        "curvature nan": lambda: WrappedNormal(torch.zeros(2), one, math.nan),
        "scale 0": lambda: WrappedNormal(torch.zeros(2), 0 * one, -1.0),
        "scale nan": lambda: WrappedNormal(torch.zeros(2), math.nan * one, -1.0),
        "no dimension": lambda: WrappedNormal(torch.zeros(0), one, -1.0),
        "Riemannian, outside": lambda: RiemannianNormal(torch.tensor([2.0, 0.0]), one, -1.0),
        "Riemannian, scale": lambda: RiemannianNormal(torch.zeros(2), -one, -1.0),
        "Riemannian, value": lambda: RiemannianNormal(torch.zeros(2), one, -1.0).log_prob(torch.ones(2)),
        "Riemannian, no dimension": lambda: RiemannianNormal(torch.zeros(0), one, -1.0),
    }


@pytest.mark.parametrize("what", off_the_space())
def test_what_is_not_on_the_space_is_said_in_a_sentence(what):
    with pytest.raises(UserError):
        off_the_space()[what]()
