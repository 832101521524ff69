"""Two players, one backward pass: each gets exactly its own gradient; a critic learns what theory says it learns."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal
from torch.nn import functional as F

from logpx import likelihoods, posteriors, priors
from logpx.data import from_array
from logpx.distributions import Point
from logpx.errors import UserError
from logpx.model import VAE, Batch, Draw
from logpx.networks import MLP
from logpx.objectives import Critic, FactorCritic, Reconstruction, Warmup
from logpx.objectives.adversarial import each_in_its_own_order
from logpx.train import Method, Training, fit

P, D, N = 6, 2, 16


def model(family=posteriors.DiagNormal):
    px = likelihoods.Gaussian((P,), 1.0)
    return VAE(
        encoder=MLP((P,), (5,), (family(D).size,), activation=nn.Tanh),
        posterior=family(D),
        prior=priors.StandardNormal(D),
        decoder=MLP((D,), (5,), (px.size, P), activation=nn.Tanh),
        likelihood=px,
    ).double()


def network():
    return MLP((D,), (7,), (), activation=nn.Tanh).double()


def from_seed(objective, vae, batch):
    torch.manual_seed(1)
    return objective(vae, batch)


def grads(loss, parameters):
    return torch.autograd.grad(loss, list(parameters), allow_unused=True, retain_graph=True)


def log_p(z):
    return -0.5 * z.square().sum(-1) - 0.5 * D * math.log(2 * math.pi)


def two_losses(objective, vae, batch):
    """The players' losses written out in the plain way, on the same noise: what each would minimise alone."""
    torch.manual_seed(1)
    z = vae.draw(batch, 1).z[0]
    if isinstance(objective, FactorCritic):
        product = each_in_its_own_order(vae.encode(batch).sample())
        D_z, D_other = objective.network(z), objective.network(product)
        return D_z.mean(), F.softplus(-D_z).mean() + F.softplus(D_other).mean()
    prior = torch.randn(1, N, D, dtype=torch.float64)[0]
    trick = log_p if objective.prior_trick else lambda z: 0.0
    D_z, D_other = objective.network(z) + trick(z), objective.network(prior) + trick(prior)
    return F.softplus(-D_z).mean(), F.softplus(-D_other).mean() + F.softplus(D_z).mean()


MAKERS = {
    "critic": lambda: Critic(network()),
    "critic with the prior trick": lambda: Critic(network(), prior_trick=True),
    "factor critic": lambda: FactorCritic(network()),
}
each_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@each_maker
def test_one_backward_pass_gives_each_player_exactly_its_own_gradient(make):
    torch.manual_seed(0)
    vae, objective, batch = model(), make(), Batch(torch.randn(N, P, dtype=torch.float64))
    step = from_seed(objective, vae, batch)
    main, critic = two_losses(objective, vae, batch)
    ours = grads(step.loss, vae.encoder.parameters()), grads(step.loss, objective.parameters())
    alone = grads(main, vae.encoder.parameters()), grads(critic, objective.parameters())
    main, critic = two_losses(objective, vae, batch)
    mixed = grads(main + critic, vae.encoder.parameters()), grads(main + critic, objective.parameters())
    for player in (0, 1):
        for a, b, c in zip(ours[player], alone[player], mixed[player], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)
            assert not torch.allclose(a, c, rtol=1e-3)  # a leak of the other's loss would be seen


@each_maker
def test_the_value_is_the_main_players_and_the_critics_is_a_term(make):
    torch.manual_seed(0)
    vae, objective, batch = model(), make(), Batch(torch.randn(N, P, dtype=torch.float64))
    step = from_seed(objective, vae, batch)
    main, critic = two_losses(objective, vae, batch)
    assert step.loss.item() == pytest.approx(main.item(), rel=1e-12)
    assert step.terms["critic"].item() == pytest.approx(critic.item(), rel=1e-12)
    assert not objective.compares_epochs
    assert not (Reconstruction() + 10 * objective).compares_epochs


def test_logits_are_one_for_each_code_whatever_the_networks_last_axis():
    """(n, 1) - (n,) would broadcast to (n, n)."""
    vae, batch = model(), Batch(torch.randn(N, P, dtype=torch.float64))
    flat = network()
    column = nn.Sequential(flat, nn.Unflatten(0, (N, 1)))
    a, b = (from_seed(Critic(n, prior_trick=True), vae, batch) for n in (flat, column))
    assert a.terms["critic"].item() == pytest.approx(b.terms["critic"].item(), rel=1e-12)
    with pytest.raises(RuntimeError):
        Critic(MLP((D,), (), (2,)).double())(vae, batch)


def test_the_critic_moves_at_its_own_rate():
    objective = Critic(network(), rate=0.5)
    assert objective.network.pace == 0.5
    with pytest.raises(UserError, match="rate"):
        Critic(network(), rate=0.0)


@each_maker
def test_a_players_own_gradient_leaves_the_others_weights_bitwise_as_they_were(make):
    """Steps of one optimiser over all weights, from one player's loss alone."""
    torch.manual_seed(0)
    vae, objective, batch = model(), make(), Batch(torch.randn(N, P, dtype=torch.float64))
    players = {"main": list(vae.encoder.parameters()), "critic": list(objective.parameters())}
    for moving, still in (("main", "critic"), ("critic", "main")):
        optimizer = torch.optim.SGD([*vae.parameters(), *objective.parameters()], lr=0.1)
        optimizer.zero_grad()
        value, terms = objective.value(vae.draw(batch, 1))
        (terms["critic"] if moving == "critic" else value).backward()
        before = {name: [p.clone() for p in weights] for name, weights in players.items()}
        optimizer.step()
        same = {
            name: [torch.equal(a, b) for a, b in zip(weights, before[name], strict=True)]
            for name, weights in players.items()
        }
        assert all(same[still])
        assert not any(same[moving])


@each_maker
def test_a_weight_scales_the_main_players_term_and_the_critic_learns_at_weight_0_too(make):
    torch.manual_seed(0)
    vae, objective, batch = model(), make(), Batch(torch.randn(N, P, dtype=torch.float64))
    alone = from_seed(objective, vae, batch)
    players = (vae.encoder.parameters, objective.network.parameters)
    main, critic = (grads(alone.loss, of()) for of in players)
    for weight, scale in ((0.0, 0.0), (10.0, 10.0), (Warmup(4, 0.0, 2.0), 0.0)):
        step = from_seed(weight * objective, vae, batch)
        assert step.loss.item() == pytest.approx(scale * alone.loss.item(), rel=1e-12)
        for ours, theirs in zip(grads(step.loss, players[0]()), main, strict=True):
            torch.testing.assert_close(ours, scale * theirs, rtol=1e-12, atol=1e-15)
        for ours, theirs in zip(grads(step.loss, players[1]()), critic, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def critics_loss_of_the_codes(objective, vae, batch):
    """Without its other half, which looks at draws that are data to both."""
    torch.manual_seed(1)
    z = vae.draw(batch, 1).z[0]
    if isinstance(objective, FactorCritic):
        return F.softplus(-objective.network(z)).mean()
    return F.softplus(objective.network(z) + (log_p(z) if objective.prior_trick else 0.0)).mean()


@each_maker
def test_an_encoders_step_along_its_gradient_raises_the_critics_loss_to_first_order(make):
    torch.manual_seed(0)
    vae, objective, batch = model(), make(), Batch(torch.randn(N, P, dtype=torch.float64))
    phi = list(vae.encoder.parameters())
    down = grads(from_seed(objective, vae, batch).loss, phi)
    before = critics_loss_of_the_codes(objective, vae, batch)
    rise = -sum((a * b).sum() for a, b in zip(down, grads(before, phi), strict=True)).item()
    eta = 1e-4
    with torch.no_grad():
        for p, slope in zip(phi, down, strict=True):
            p -= eta * slope
    after = critics_loss_of_the_codes(objective, vae, batch)
    assert rise > 0
    assert (after - before).item() == pytest.approx(eta * rise, rel=1e-2)


def test_what_a_learned_prior_is_to_a_critic_is_data():
    """Neither the draws nor log p(z) of the prior trick move it; the code's own gradient is that of the whole D(z)."""
    torch.manual_seed(0)
    vae, batch = model(), Batch(torch.randn(N, P, dtype=torch.float64))
    for prior in (priors.Mixture(D, 3).double(), Shifted()):
        vae.prior = prior
        for objective in (Critic(network()), Critic(network(), prior_trick=True)):
            z = vae.draw(batch, 1).z.detach().requires_grad_()
            d = vae.at(batch, vae.encode(batch), z)
            value, terms = objective.value(d)
            assert all(g is None for g in grads(value + terms["critic"], prior.parameters()))
            trick = prior().log_prob(z[0]) if objective.prior_trick else 0.0
            expected = F.softplus(-objective.network(z[0]) - trick).mean()
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
            slopes = [torch.autograd.grad(loss, z)[0] for loss in (value, expected)]
            torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-13)


class Shifted(nn.Module):
    """p(z) = N(m, I), m learned: a prior that can be reparameterised."""

    dim = D

    def __init__(self):
        super().__init__()
        self.m = nn.Parameter(torch.full((D,), 0.3, dtype=torch.float64))

    def forward(self, context=None):
        return Independent(Normal(self.m, torch.ones_like(self.m)), 1)


# --- 1-D normal laws: the best critic is a quadratic whose coefficients are known


class Quadratic(nn.Module):
    """a + b z + c z^2."""

    def __init__(self, *start):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start or (0.0, 0.0, 0.0), dtype=torch.float64))

    def forward(self, z):
        return torch.stack([torch.ones_like(z[:, 0]), z[:, 0], z[:, 0].square()], 1) @ self.w


def codes(n, mean, sigma):
    """The normal law's own n quantiles, so that what is measured is not noise."""
    z = mean + sigma * Normal(0.0, 1.0).icdf((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    return z[:, None].requires_grad_()


class Even(Normal):
    """N(0, 1) whose draws are its quantiles: the tests below are then exact up to the grid."""

    def rsample(self, shape):
        return codes(shape[1], 0.0, 1.0).detach()[None]

    def log_prob(self, z):
        return super().log_prob(z).sum(-1)


def draw(z):
    q, p = Point(z), Even(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    return Draw(Batch(z), q, lambda: q, z[None], p, Normal(0.0, 1.0))


def best(objective, z):
    optimizer = torch.optim.LBFGS(objective.parameters(), max_iter=300, tolerance_grad=1e-12, tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = objective.value(draw(z.detach()))[1]["critic"]
        loss.backward()
        return loss

    optimizer.step(closure)
    return objective


@pytest.mark.parametrize("prior_trick", [False, True])
def test_a_quadratic_critic_learns_log_p_minus_log_q(prior_trick):
    mean, sigma = 0.7, 0.8
    objective = best(Critic(Quadratic(), prior_trick=prior_trick), codes(4000, mean, sigma))
    log_q = [-0.5 * mean**2 / sigma**2 - math.log(sigma), mean / sigma**2, -0.5 / sigma**2]
    log_q_constant = [0.5 * math.log(2 * math.pi), 0, 0]
    log_ratio = [-log_q[0], -log_q[1], -0.5 - log_q[2]]
    own = [-a + b for a, b in zip(log_q, log_q_constant, strict=True)]  # -log q alone: log p is given
    expected = own if prior_trick else log_ratio
    assert objective.network.w.tolist() == pytest.approx(expected, abs=0.01)


def test_the_best_critics_loss_is_two_log_2_minus_two_js():
    from scipy import integrate, stats

    q, p = stats.norm(0.7, 0.8), stats.norm(0, 1)

    def integrand(z):
        a, b = q.pdf(z), p.pdf(z)
        return 0.5 * (a * math.log(2 * a / (a + b)) + b * math.log(2 * b / (a + b)))

    js = integrate.quad(integrand, -8, 8, epsabs=1e-12)[0]
    z = codes(4000, 0.7, 0.8)
    terms = best(Critic(Quadratic()), z).value(draw(z))[1]
    assert terms["jensen_shannon"].item() == pytest.approx(js, abs=1e-4)
    assert terms["critic"].item() == pytest.approx(2 * math.log(2) - 2 * js, abs=2e-4)


def test_at_equality_the_loss_is_two_log_2_and_the_encoder_feels_nothing():
    z = codes(500, 0.0, 1.0)
    objective = best(Critic(Quadratic(0.3, -0.4, 0.2)), z)
    value, terms = objective.value(draw(z))
    (slope,) = torch.autograd.grad(value, z)
    assert terms["critic"].item() == pytest.approx(2 * math.log(2), rel=1e-10)
    assert terms["jensen_shannon"].item() == pytest.approx(0, abs=1e-10)
    assert slope.abs().max().item() < 1e-8


def test_the_factor_critics_logit_is_the_total_correlation():
    """q(z) a correlated normal: D* = log q/prod q_i is quadratic, and E_q D* = -1/2 log(1 - rho^2)."""

    class Products(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(4, dtype=torch.float64))

        def forward(self, z):
            x, y = z.unbind(1)
            return torch.stack([torch.ones_like(x), x * y, x.square(), y.square()], 1) @ self.w

    rho, objective = 0.6, FactorCritic(Products())
    noise = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = noise @ torch.linalg.cholesky(torch.tensor([[1, rho], [rho, 1]], dtype=torch.float64)).T
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        objective.value(draw(z))[1]["critic"].backward()
        optimizer.step()
    found = objective.value(draw(z))[1]["total_correlation"].item()
    assert found == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.02)
    assert objective.network.w[1].item() == pytest.approx(rho / (1 - rho**2), abs=0.05)


def test_an_order_of_its_own_keeps_each_dimensions_values_and_breaks_their_ties():
    z = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)).repeat(1, 2)
    torch.manual_seed(0)
    other = each_in_its_own_order(z)
    assert torch.equal(other.sort(0).values, z.sort(0).values)
    assert abs(torch.corrcoef(other.T)[0, 1].item()) < 4 / math.sqrt(2000)


def test_a_critic_serves_a_model_in_double_precision():
    data = from_array(torch.randn(60, P, generator=torch.Generator().manual_seed(0)).numpy())
    objective = Reconstruction() + 1.0 * Critic(MLP((D,), (7,), ()))
    run = fit(
        Method(model(posteriors.Deterministic), objective, Training(epochs=1)), data, precision="float64", show=False
    )
    assert math.isfinite(run.rows[-1]["train"]["critic"])


def test_the_factor_critic_refuses_coordinates_that_cannot_vary_alone():
    z = torch.nn.functional.normalize(torch.randn(1, 8, 3), dim=-1)
    q = posteriors.VonMisesFisher(2)(z[0])
    draw = Draw(Batch(torch.zeros(8, 2)), q, lambda: q, z, None, q)
    with pytest.raises(UserError, match="flat space"):
        FactorCritic(nn.Linear(3, 1)).value(draw)
