"""Annealed importance sampling and the sandwich, judged by models whose log p(x) is known."""

import math
from functools import partial

import pytest
import torch
from linear_models import LOG_PX, hidden, linear, rows, spoilt, toy
from torch import Tensor, nn

from logpx import recipes
from logpx.data import Spec
from logpx.errors import UserError
from logpx.evaluate import annealed, at_rest, sandwich
from logpx.evaluate.annealed import Path, Schedule
from logpx.maths import log_mean_exp
from logpx.model import VAE, Batch

MEMORY = 2**28
JUDGE = linear()


def vae(P: int = 4, **options) -> VAE:
    return recipes.vae(Spec((P,), "binary"), latent=2, hidden=(6,), **options).model.double()


def binary(n: int, P: int = 4) -> Tensor:
    return torch.rand(n, P, generator=torch.Generator().manual_seed(3)).round().double()


class Recorder(nn.Module):
    """A decoder that keeps every latent it sees."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        self.seen.append(z.detach())
        return self.inner(z) if context is None else self.inner(z, context)


# --- the estimate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["posterior", "prior"])
def test_one_temperature_is_importance_sampling_with_the_start_law(start: str) -> None:
    model, x = vae(), binary(5)
    model.decoder = recorder = Recorder(model.decoder)
    found = annealed(model, x, temperatures=1, chains=30, start=start)
    z = recorder.seen[-1]
    assert z.shape == (30, 5, 2)
    with torch.no_grad():
        d = model.at(Batch(x), model.encode(Batch(x)), z)
        log_w = d.log_w() if start == "posterior" else d.log_px()
    torch.testing.assert_close(found.per_point, log_mean_exp(log_w), rtol=0, atol=1e-10)
    assert found.name == "AIS_1,30"
    assert found.kind == "lower bound"


@pytest.mark.parametrize("b", [0.1, 0.5, 1.0])
def test_every_law_of_the_path_has_the_mass_that_it_should(b: float) -> None:
    """log Z_b = -b/2 log 2 pi - 1/2 log(1 + b) - b/(2 (1 + b)) of f_b = p(z) p(x|z)^b, -1.5155121 at b = 1."""
    model, x = toy()
    with at_rest(model):
        path = Path(model, Batch(x), Schedule(20, 4000, 2, "prior"), 0, MEMORY)
        path.betas = b * path.betas
        log_w, _ = path.forwards()
    log_Z = -b / 2 * math.log(2 * math.pi) - 0.5 * math.log(1 + b) - b / (2 * (1 + b))
    assert math.isclose(LOG_PX, -1.5155121, abs_tol=1e-7)
    error = log_w.sub(log_w.max()).exp()
    error = (error.std() / error.mean() / math.sqrt(4000)).item()
    assert error < 0.01
    assert abs(log_mean_exp(log_w).item() - log_Z) < 4 * error


@pytest.mark.parametrize("start", ["posterior", "prior"])
def test_weights_average_to_p_of_x_however_short_the_chain(start: str) -> None:
    """E w = p(x) for every row, held step sizes and all: 4000 chains of 4 temperatures from a spoilt encoder."""
    model, x = spoilt(JUDGE), rows(JUDGE, 2)
    with at_rest(vae_ := hidden(model)):
        log_w, _ = Path(vae_, Batch(x), Schedule(4, 4000, 2, start), 0, MEMORY).forwards()
        ratio = (log_w - model.ppca.log_evidence(x)).exp()
    assert bool(((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / math.sqrt(4000)).all())


def test_backward_weights_average_to_one_over_p_of_x() -> None:
    """E 1/w' = 1/p(x) from exact draws of the posterior, here known and drawn afresh for every chain."""
    model, x = spoilt(JUDGE), rows(JUDGE, 1).expand(128, 5)
    z = JUDGE.ppca.posterior(x).sample()
    with at_rest(vae_ := hidden(model)):
        log_w = Path(vae_, Batch(x), Schedule(5, 20, 2, "posterior"), 0, MEMORY).backwards(z)
        ratio = (JUDGE.ppca.log_evidence(x) - log_w).exp().mean(0)  # (128,) independent estimates of 1
    assert abs(ratio.mean().item() - 1) < 4 * ratio.std().item() / math.sqrt(128)


def test_it_comes_near_where_importance_sampling_cannot() -> None:
    """64 latents from the prior: L_K is nats away, a hundred temperatures are not."""
    model = linear(P=10, D=8)
    x, vae_ = rows(model, 10), hidden(model)
    truth = model.ppca.log_evidence(x).mean().item()
    coarse = annealed(vae_, x, temperatures=1, chains=16, start="prior")
    fine = annealed(vae_, x, temperatures=60, chains=16, start="prior")
    assert coarse.mean < truth - 3
    assert abs(fine.mean - truth) < 0.4
    assert 0.5 < fine.acceptance.mean().item() < 1


def test_the_schedule_is_a_sigmoid_from_0_to_1() -> None:
    b = Schedule(100, 1, 1, "prior").betas
    assert b[0] == 0
    assert b[-1] == 1
    assert b[50].item() == pytest.approx(0.5, abs=1e-12)
    s = 1 / (1 + math.exp(-4 * (2 * 10 / 100 - 1)))
    low = 1 / (1 + math.exp(4))
    assert b[10].item() == pytest.approx((s - low) / (1 - 2 * low), abs=1e-12)


# --- what must not matter ---------------------------------------------------------------------------------------------


def test_memory_and_the_rows_that_follow_change_nothing() -> None:
    model, x = vae(), binary(140)
    run = partial(annealed, model, temperatures=3, chains=4)
    whole = run(x).per_point
    torch.testing.assert_close(run(x, memory=1).per_point, whole, rtol=0, atol=1e-10)
    for n in (1, 5, 129):
        torch.testing.assert_close(run(x[:n]).per_point, whole[:n], rtol=0, atol=1e-10)
    assert not torch.equal(run(x, seed=1).per_point, whole)


def test_the_model_and_the_global_randomness_are_left_alone() -> None:
    model = vae().train()
    before = torch.get_rng_state()
    annealed(model, binary(3), temperatures=2, chains=2)
    sandwich(model, 3, temperatures=2, chains=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_missing_values_are_integrated_out() -> None:
    x, model = rows(JUDGE, 6), hidden(JUDGE)
    x[:, 3:] = math.nan
    found = annealed(model, x, temperatures=20, chains=50)
    W, mu, s2 = JUDGE.ppca
    law = torch.distributions.MultivariateNormal(mu[:3], W[:3] @ W[:3].T + s2 * torch.eye(3, dtype=torch.float64))
    assert found.dims == 3
    assert abs(found.mean - law.log_prob(x[:, :3]).mean().item()) < 4 * found.monte_carlo_error + 1e-3


# --- from both sides --------------------------------------------------------------------------------------------------


def test_the_sandwich_contains_the_truth_in_95_of_100_trials() -> None:
    """Each trial: the mean log p(x) of 10 rows, and the interval at the level of 95 %."""
    model = spoilt(JUDGE)
    vae_ = hidden(model)
    seen: list[Tensor] = []
    vae_.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    found = sandwich(vae_, 1000, temperatures=4, chains=4)
    starts = [x for i, x in enumerate(seen) if i == 0 or not torch.equal(x[0], seen[i - 1][0])]  # one of each tile
    truth = model.ppca.log_evidence(torch.cat(starts))
    trials = [slice(10 * i, 10 * i + 10) for i in range(100)]
    inside = 0
    for t in trials:
        part = type(found)(
            *(type(found.lower)(side.per_point[t]) for side in (found.lower, found.upper)), 4, 4, 2, "posterior"
        )
        low, high = part.interval(0.95)
        inside += low <= truth[t].mean().item() <= high
    assert inside >= 95
    for side, sign in ((found.lower, 1), (found.upper, -1)):
        d = sign * (truth - side.per_point)
        assert d.mean().item() > 0  # each a bound in expectation, and not by chance
        assert d.mean().item() > -2 * d.std().item() / math.sqrt(1000)


def test_the_gap_shrinks_as_the_chains_lengthen() -> None:
    model = hidden(linear(P=6, D=4))
    gaps = [sandwich(model, 30, temperatures=T, chains=4, start="prior").gap.mean for T in (1, 4, 16, 48)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2] > 6 * gaps[3] > 0


def test_an_exact_posterior_leaves_no_gap() -> None:
    found = sandwich(hidden(linear(diagonal=True)), 20, temperatures=3, chains=3)
    torch.testing.assert_close(found.lower.per_point, found.upper.per_point, rtol=0, atol=1e-10)


def test_contexts_and_holes_come_from_rows_that_it_shall_be_like() -> None:
    model = recipes.conditional_vae(Spec((4,), "binary", context=3), latent=2, hidden=(6,)).model.double()
    x, context = binary(7), torch.eye(3, dtype=torch.float64)[torch.arange(7) % 3]
    observed = torch.rand(7, 4) > 0.3
    found = sandwich(model, like=Batch(x * observed, context, observed), temperatures=5, chains=4)
    assert len(found.lower.per_point) == 7
    assert abs(found.gap.mean) < 0.5


# --- curved spaces, two layers, flows ---------------------------------------------------------------------------------


CURVED = {
    "ball": lambda spec: recipes.poincare_vae(spec, latent=2, hidden=(6,), law="wrapped"),
    "ball of Riemannian laws": lambda spec: recipes.poincare_vae(spec, latent=3, hidden=(6,), law="riemannian"),
    "sphere": lambda spec: recipes.hyperspherical_vae(spec, latent=2, hidden=(6,)),
    "product": lambda spec: recipes.mixed_curvature_vae(spec, signature="e1,h2,s2", hidden=(6,)),
    "two layers": lambda spec: recipes.two_layer_vae(spec, latent=2, top=1, hidden=(6,), top_hidden=(6,)),
    "flow": lambda spec: recipes.flow_vae(spec, latent=2, hidden=(6,)),
}


@pytest.mark.parametrize(
    ("space", "start"), [*((space, "posterior") for space in CURVED), ("ball", "prior"), ("sphere", "prior")]
)
def test_a_chart_keeps_the_mass(space: str, start: str) -> None:
    """Whatever z lives in, from either start the log p(x) that 5000 draws of the prior give, within errors."""
    model, x = _steep(CURVED[space](Spec((4,), "binary")).model.double()), binary(2)
    with at_rest(model, 0):
        z = model.prior(None).sample((5000,))
        p = model.decode(z.unsqueeze(1)).log_prob(x).exp()  # (5000, 2)
    found = annealed(model, x, temperatures=3, chains=200, start=start)
    error = math.hypot(found.monte_carlo_error, (p.std(0) / p.mean(0) / math.sqrt(5000)).mean().item())
    assert error < 0.15
    assert abs(found.mean - p.mean(0).log().mean().item()) < 3 * error


def test_a_curved_sandwich_holds() -> None:
    model = _steep(CURVED["product"](Spec((4,), "binary")).model.double())
    gap = sandwich(model, 20, temperatures=3, chains=10).gap
    assert -3 * gap.standard_error < gap.mean < 1


def _steep(model: VAE) -> VAE:
    """A decoder to whose output z matters: untrained ones are nearly flat."""
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.mul_(1.5)
    return model


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimate", [annealed, lambda model, x, **how: sandwich(model, len(x), **how)])
def test_what_cannot_be_annealed_is_refused_in_a_sentence(estimate) -> None:
    x, spec = binary(3), Spec((4,), "binary")
    with pytest.raises(UserError, match="knows p\\(x\\) exactly"):
        estimate(recipes.linear_vae(Spec((4,), "real"), latent=2).model.double(), x)
    with pytest.raises(UserError, match="categorical"):
        estimate(recipes.dvae(spec).model.double(), x)
    with pytest.raises(UserError, match="no density over z"):
        estimate(recipes.ae(spec, latent=2).model.double(), x)
    with pytest.raises(UserError, match="grey score"):
        estimate(vae(likelihood="grey"), x)
    with pytest.raises(UserError, match="start is 'nowhere'"):
        estimate(vae(), x, start="nowhere")
    with pytest.raises(UserError, match="temperatures is 0"):
        estimate(vae(), x, temperatures=0)


def test_no_rows_and_a_broken_model_are_refused() -> None:
    with pytest.raises(UserError, match="no rows"):
        annealed(vae(), binary(3)[:0])
    model = vae()
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(math.nan)
    with pytest.raises(UserError, match="not finite"):
        annealed(model, binary(3), temperatures=2, chains=2)
