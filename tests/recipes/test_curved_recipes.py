"""Curved latent spaces as recipes: flat ones among them, log p(x) by another route, hostile numbers, what they refuse."""

import math

import numpy as np
import pytest
import torch

from logpx import cli, posteriors, priors, recipes
from logpx.data import Data, Spec, from_array
from logpx.distributions import is_euclidean
from logpx.errors import UserError
from logpx.evaluate import at_rest, evidence, mutual_information, usage
from logpx.maths import log_mean_exp, manifolds
from logpx.model import Batch
from logpx.networks import Curvature
from logpx.objectives import DIP, ELBO
from logpx.recipes import load_run
from logpx.train import fit

PIXELS = Spec((6,), "binary")
SMALL = {"hidden": (8,)}
VARIANTS = {
    "vmf": ("hyperspherical_vae", {"latent": 2}),
    "circle": ("hyperspherical_vae", {"latent": 1}),
    "power spherical": ("hyperspherical_vae", {"latent": 2, "law": "power_spherical"}),
    "wrapped": ("poincare_vae", {"latent": 2}),
    "wrapped, linear": ("poincare_vae", {"latent": 2, "decoder": "linear"}),
    "riemannian": ("poincare_vae", {"latent": 2, "law": "riemannian", "learned": True}),
    "mixed": ("mixed_curvature_vae", {"signature": "e1,h2,s2,u1"}),
    "projected": ("mixed_curvature_vae", {"signature": "p2,d2", "learned": False}),
}
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def made(variant: str, spec=PIXELS, **options):
    name, own = VARIANTS[variant]
    return getattr(recipes, name)(spec, **SMALL | own | options)


def random_pixels(rows=32, seed=0):
    return (torch.rand(rows, 6, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


# --- what they are ----------------------------------------------------------------------------------------------------


def test_of_flat_parts_alone_a_mixed_curvature_vae_is_a_vae():
    flat = recipes.mixed_curvature_vae(PIXELS, signature="e4", hidden=(8,), seed=1)
    plain = recipes.vae(PIXELS, latent=4, hidden=(8,), seed=2)
    flat.model.load_state_dict(plain.model.state_dict())
    found = []
    for method in (flat, plain):
        torch.manual_seed(0)
        step = method.objective(method.model, Batch(random_pixels()))
        found.append(
            (step.loss.item(), step.terms["kl"].item(), evidence(method.model, random_pixels(), samples=5).mean)
        )
        assert method.objective.how_kl(method.model) == "closed form"
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_two_flat_parts_pay_the_kl_of_the_whole():
    two = recipes.mixed_curvature_vae(PIXELS, signature="e1,e3", hidden=(8,))
    batch = Batch(random_pixels())
    with torch.no_grad():
        q, kl = two.model.encode(batch), two.model.draw(batch, 1).kl()
    by_hand = 0.5 * (q.mean.square() + q.variance - 1 - q.variance.log()).sum(-1)
    torch.testing.assert_close(kl, by_hand, rtol=1e-5, atol=1e-6)


def test_ball_and_hyperboloid_give_one_bound():
    """The same networks around h3 in the ball's and in the hyperboloid's coordinates."""
    ball, hyperboloid = (
        recipes.mixed_curvature_vae(PIXELS, signature="h3", curvature=0.7, learned=False, **SMALL) for _ in range(2)
    )
    kappa = Curvature(-0.7)
    hyperboloid.model.posterior = posteriors.WrappedNormal(3, kappa, ambient=True)
    hyperboloid.model.prior = priors.WrappedNormal(3, kappa, ambient=True)

    class Mapped(torch.nn.Module):
        def forward(self, x):
            return ball.model.decoder(manifolds.to_stereographic(x, -0.7))

    hyperboloid.model.encoder, hyperboloid.model.decoder = ball.model.encoder, Mapped()
    bounds = []
    for method in (ball, hyperboloid):
        method.model.double()
        torch.manual_seed(0)
        bounds.append(method.objective(method.model, Batch(random_pixels().double())).loss.item())
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-6)


@each_variant
def test_posterior_prior_and_decoder_share_each_curvature(variant):
    model = made(variant).model
    curvatures = {m for m in model.modules() if isinstance(m, Curvature)}
    expected = {"mixed": 3, "projected": 2, "vmf": 0, "circle": 0, "power spherical": 0}.get(variant, 1)
    assert len(curvatures) == expected
    assert curvatures == {
        m for part in (model.prior, model.posterior) for m in part.modules() if isinstance(m, Curvature)
    }
    for part in (model.prior, model.posterior):
        assert {m for m in part.modules() if isinstance(m, Curvature)} == curvatures


@each_variant
def test_importance_weights_average_to_the_mean_over_the_prior_of_p_x_given_z(variant):
    """log E_p(z) p(x|z) by brute force knows neither log p(z) nor q: it sees a wrong volume in either of them."""
    narrow, bias = ({}, 0.2) if VARIANTS[variant][0] == "hyperspherical_vae" else ({"scale": 0.7}, 0.7)
    model, x = made(variant, seed=3, **narrow).model.double(), random_pixels(1).double()
    encoder = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.bias.fill_(bias)  # q elsewhere than the prior and wider, so that the weights are bounded
        for p in model.decoder.parameters():
            p.mul_(2)  # x says something about z
    k = 20_000
    with at_rest(model, 1):
        log_w = model.draw(Batch(x), k).log_w().squeeze(1)
        log_p = model.decode(model.sample(k)[0]).log_prob(x)
    ours, truth = log_mean_exp(log_w), log_mean_exp(log_p)
    error = math.hypot(*((log - log_mean_exp(log)).exp().std().item() / math.sqrt(k) for log in (log_w, log_p)))
    assert error < 0.03
    assert ours.item() == pytest.approx(truth.item(), abs=4 * error)


# --- training ---------------------------------------------------------------------------------------------------------


def pushed(variant: str, seed: int, steps: int) -> None:
    """Adam at 0.05 on random pixels from encoders that start at huge numbers of both signs."""
    method = made(variant, seed=seed)
    last = [m for m in method.model.encoder.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        signs = torch.randint(0, 2, last.bias.shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
        last.bias.copy_(signs * 10.0 ** torch.linspace(0, 5, len(last.bias)))
    optimizer = torch.optim.Adam(method.model.parameters(), lr=0.05)
    torch.manual_seed(seed)
    for step in range(steps):
        optimizer.zero_grad()
        loss = method.objective(method.model, Batch(random_pixels(seed=seed * 1000 + step))).loss
        assert bool(loss.isfinite()), (variant, seed, step)
        loss.backward()
        optimizer.step()
    assert all(bool(p.isfinite().all()) for p in method.model.parameters()), (variant, seed)


@each_variant
@pytest.mark.parametrize("seed", range(2))
def test_in_float32_training_from_hostile_numbers_stays_finite(variant, seed):
    """Two seeds and ten steps each; 20 seeds and 20 steps were run by hand."""
    pushed(variant, seed, steps=10)


def curvatures(run) -> list[float]:
    return [m().item() for m in run.model.posterior.modules() if isinstance(m, Curvature)]


def toy() -> Data:
    rng = np.random.default_rng(0)
    return from_array(rng.normal(size=(200, 3)) @ rng.normal(size=(3, 4)))


def test_curvatures_are_held_then_move_and_are_kept_with_the_run(tmp_path):
    """160 training rows in batches of 40: 4 steps an epoch."""
    assert len(toy().train) == 160
    options = {"signature": "h2,s2,u2", "hidden": (8,)}
    still = fit(recipes.mixed_curvature_vae(toy(), hold=100, **options), toy(), epochs=2, batch_size=40, show=False)
    assert curvatures(still) == pytest.approx([-1, 1, 0], abs=1e-6)
    method = recipes.mixed_curvature_vae(toy(), hold=4, **options)
    moved = fit(method, toy(), epochs=2, batch_size=40, show=False, out=tmp_path / "run", learning_rate=0.01)
    now = curvatures(moved)
    for k, start in zip(now, (-1, 1, 0), strict=True):
        assert 1e-5 < abs(k - start) < 4 * 0.01 * 0.1 * 4  # steps, rate, pace, and Adam's first steps after silence
    assert curvatures(load_run(tmp_path / "run")) == now


# --- what supposes a flat space ---------------------------------------------------------------------------------------


@each_variant
def test_what_supposes_axes_refuses_and_what_needs_none_works(variant):
    model, x = made(variant).model, random_pixels()
    assert not is_euclidean(model.encode(Batch(x)))
    with pytest.raises(UserError, match="curved"):
        usage(model, x)
    with pytest.raises(UserError, match="curved"):
        (1.0 * ELBO() + 1.0 * DIP("i"))(model, Batch(x))
    with pytest.raises(UserError, match="no product over dimensions"):
        ELBO(free_bits=0.1)(model, Batch(x))
    assert math.isfinite(mutual_information(model, x))


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("hyperspherical_vae", "--latent 1"),
        ("poincare_vae", "--latent 2"),
        ("poincare_vae", "--latent 1 --law riemannian --decoder linear"),
        ("mixed_curvature_vae", "--signature e2,h2,s2,u2 --no-learned"),
    ],
)
def test_the_verbs_work_on_curved_spaces(recipe, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = "--hidden 8 --epochs 1 --batch-size 700 --quiet --evidence-samples 2"
    assert cli.run(f"train {recipe} digits --protocol dynamic {options} {tiny} --out run".split()) == 0
    assert cli.run(["sample", "run", "-n", "4"]) == 0
    assert cli.run(["evaluate", "run", "--samples", "2"]) == 0
    capsys.readouterr()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "active latents" not in page
    assert ("Walks through" in page) == ("mixed" in recipe)  # one or two dimensions are a map, and need no walks
    assert "Latent space" in page
    assert "geodesic" in page
    assert "Samples" in page


# --- what they refuse -------------------------------------------------------------------------------------------------


WRONG = {"e2,x3": "x3", "": "''", "e2,,h2": "''", "h": "h", "2e": "2e", "s0": "s0", "e2;h2": "e2;h2"}


@pytest.mark.parametrize(("signature", "part"), WRONG.items())
def test_a_signature_that_does_not_parse_is_a_sentence_that_names_the_part(signature, part):
    with pytest.raises(UserError, match=part) as caught:
        recipes.mixed_curvature_vae(PIXELS, signature=signature)
    assert str(caught.value).count(". ") == 0


def test_a_signature_may_have_blanks_and_capitals():
    assert recipes.mixed_curvature_vae(PIXELS, signature=" E2, h3 ", **SMALL).model.posterior.dim == 5


def test_wrong_curvatures_and_dimensions_are_sentences():
    for options in ({"curvature": 0.0}, {"curvature": -1.0}, {"curvature": math.inf}, {"latent": 0}, {"scale": 0.0}):
        with pytest.raises(UserError, match="of poincare_vae is"):
            recipes.poincare_vae(PIXELS, **options)
    with pytest.raises(UserError, match="latent of hyperspherical_vae is 0"):
        recipes.hyperspherical_vae(PIXELS, latent=0)


def test_conditional_and_convolutional_decoders_have_a_geodesic_first_layer_too():
    spec = Spec((1, 8, 8), "binary", context=3)
    x, c = torch.zeros(2, 1, 8, 8), torch.eye(3)[:2]
    for network in ("mlp", "conv"):
        method = recipes.poincare_vae(spec, latent=2, hidden=(8,), network=network)
        method.objective(method.model, Batch(x, c)).loss.backward()
        assert any(type(m).__name__ == "Geodesic" for m in method.model.decoder.modules())
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in method.model.parameters())
