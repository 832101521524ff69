"""Scores of single rows: against closed forms, in pieces, and what is typical by the model's own draws."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import MultivariateNormal

from logpx import exact, recipes
from logpx.data import Spec, from_array
from logpx.errors import UserError
from logpx.evaluate import Reference, evidence, rows_of_a_tile, scores
from logpx.evaluate.refine import OwnPosteriors
from logpx.evaluate.rows import at_rest
from logpx.model import VAE, Batch


def binary_vae(P: int = 6, **options) -> VAE:
    return recipes.vae(Spec((P,), "binary"), latent=2, hidden=(8,), **options).model


def binary_rows(n: int, P: int = 6) -> Tensor:
    return torch.rand(n, P, generator=torch.Generator().manual_seed(3)).round()


def gaussian_rows(n: int, P: int = 5) -> Tensor:
    g = torch.Generator().manual_seed(4)
    return (torch.randn(n, P, generator=g) @ torch.randn(P, P, generator=g)).double()


def linear_vae(x: Tensor, latent: int = 2) -> tuple[VAE, exact.linear_vae.LinearVAE]:
    """The global optimum on x, and its numbers."""
    best = exact.linear_vae.global_optimum(x, latent, variance=0.5)
    return exact.linear_vae.write_into(exact.linear_vae.build((x.shape[1],), latent).double(), best), best


# --- log p(x) ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampled", [False, True])
def test_an_exact_model_scores_the_closed_form(sampled: bool) -> None:
    """Also by draws, for with the exact posterior each weight is p(x)."""
    x = gaussian_rows(150)
    fitted = exact.ppca.closed_form(x, 2)
    model = exact.ppca.as_vae(fitted, (5,))
    if sampled:
        model.marginal = None
    found = scores(model, x, samples=4)
    W, s2 = fitted.weight, fitted.variance
    truth = MultivariateNormal(fitted.mean, W @ W.T + s2 * torch.eye(5).double()).log_prob(x)
    torch.testing.assert_close(found.log_px, truth, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.elbo, truth, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.bits_per_dim, -truth / (5 * math.log(2)), rtol=0, atol=1e-9)
    assert found.kind == ("lower bound" if sampled else "exact")
    assert (found.error < 1e-7).all()
    assert (found.ess is None) != sampled


def test_the_elbo_of_a_linear_vae_is_the_closed_form_and_below_its_log_px() -> None:
    x = gaussian_rows(100)
    model, best = linear_vae(x)
    worse = best._replace(noise=best.noise * 1.5)
    found = scores(exact.linear_vae.write_into(model, worse), x, samples=2000)
    difference = found.elbo - worse.elbo(x)
    assert abs(difference.mean().item()) < 4 * difference.std().item() / 10
    assert difference.abs().max() < 0.2
    assert found.kind == "exact"
    assert (found.elbo < found.log_px).all()


@pytest.mark.parametrize("k", [1, 7, 100])
def test_log_px_is_that_of_evidence(k: int) -> None:
    model, x = binary_vae(), binary_rows(300)
    found, whole = scores(model, x, samples=k, seed=5), evidence(model, x, samples=k, seed=5)
    torch.testing.assert_close(found.log_px, whole.per_point, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.ess, whole.ess, rtol=1e-9, atol=0)
    assert found.kind == whole.kind
    torch.testing.assert_close(
        found.error.square().sum().sqrt() / 300, torch.tensor(whole.monte_carlo_error).double(), equal_nan=True
    )


def test_the_error_of_a_row_is_its_spread_over_seeds() -> None:
    model, x = binary_vae().double(), binary_rows(40).double()
    found = [scores(model, x, samples=50, seed=s) for s in range(60)]
    spread = torch.stack([f.log_px for f in found]).std(0)
    claimed = torch.stack([f.error for f in found]).mean(0)
    assert 0.8 < (claimed.mean() / spread.mean()).item() < 1.25


def test_a_model_of_pixels_alone_scores_its_exact_law() -> None:
    model, x = recipes.made(Spec((6,), "binary")).model.double(), binary_rows(20).double()
    found = scores(model, x, samples=5)
    torch.testing.assert_close(found.log_px, model.marginal().log_prob(x))
    assert torch.equal(found.elbo, found.log_px)
    assert found.ess is None


def test_one_discrete_code_scores_the_bound_without_draws() -> None:
    tiny = {"codes": 8, "width": 4, "channels": 8, "grid": 2, "prior": "uniform"}
    model, x = recipes.vq_vae(Spec((1, 8, 8), "binary"), **tiny).model, torch.rand(5, 1, 8, 8).round()
    found = scores(model, x, samples=9)
    torch.testing.assert_close(found.log_px, evidence(model, x).per_point)
    assert torch.equal(found.elbo, found.log_px)
    assert (found.error == 0).all()
    assert found.ess is None
    with pytest.raises(UserError, match="Nothing of q"):
        scores(model, x, regret=3)


def test_only_what_was_observed_counts_as_a_dimension() -> None:
    model, x = binary_vae(), binary_rows(4)
    x[1, :3] = math.nan
    found = scores(model, x, samples=5)
    assert found.dims.tolist() == [6, 3, 6, 6]
    assert found.bits_per_dim is not None
    assert found.bits_per_dim[1].item() == pytest.approx(-found.log_px[1].item() / (3 * math.log(2)))


def test_a_grey_score_has_no_bits() -> None:
    model = recipes.vae(Spec((4,), "grey"), latent=2, hidden=(8,), likelihood="grey").model
    found = scores(model, torch.rand(6, 4), samples=3, regret=2)
    assert found.kind == "score"
    assert found.regret is not None
    assert found.regret.isfinite().all()
    assert found.bits_per_dim is None


# --- pieces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [128, 256])
def test_pieces_are_the_whole_to_the_last_bit(cut: int) -> None:
    model, x = binary_vae(), binary_rows(300)
    assert rows_of_a_tile((6,), 20) == 128
    reference = Reference.of(model, binary_rows(50), samples=20)
    how = {"samples": 20, "seed": 2, "reference": reference, "regret": 3}
    whole = scores(model, x, **how).columns()
    parts = [scores(model, x[a : a + cut], first=a, **how).columns() for a in range(0, 300, cut)]
    for name, column in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), column), name


@pytest.mark.parametrize("memory", [1, 2**14])
def test_memory_changes_no_value(memory: int) -> None:
    model, x = binary_vae().double(), binary_rows(140).double()
    whole, found = (scores(model, x, samples=9, regret=2, memory=m) for m in (2**28, memory))
    torch.testing.assert_close(found.log_px, whole.log_px, rtol=0, atol=1e-11)
    torch.testing.assert_close(found.regret, whole.regret, rtol=0, atol=1e-11)


def test_a_row_depends_on_no_other_row() -> None:
    model, x = binary_vae(), binary_rows(200)
    other = 1 - x
    other[[7, 131]] = x[[7, 131]]
    a, b = (scores(model, rows, samples=5, regret=3) for rows in (x, other))
    for name in ("log_px", "elbo", "ess", "regret"):
        torch.testing.assert_close(getattr(a, name)[[7, 131]], getattr(b, name)[[7, 131]], rtol=0, atol=1e-5)
    assert not torch.isclose(a.log_px[8], b.log_px[8])


def test_a_piece_that_would_take_other_noise_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 128 rows"):
        scores(binary_vae(), binary_rows(5), samples=20, first=100)


def test_mode_random_state_and_gradients_are_left_alone() -> None:
    model, before = binary_vae().train(), torch.get_rng_state()
    found = scores(model, binary_rows(5), samples=3, regret=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.decoder.training
    assert not any(t.requires_grad for t in found.columns().values() if t is not None)
    assert all(p.grad is None for p in model.parameters())


# --- what is typical --------------------------------------------------------------------------------------------------


def test_typicality_by_hand() -> None:
    reference = Reference(torch.tensor([-1.0, -2.0, -3.0, -6.0]).double())  # H = 3, distances 2, 1, 0, 3
    assert reference.entropy == 3
    log_px = torch.tensor([-3.0, -1.5, -5.0, -20.0]).double()
    assert reference.typicality(log_px).tolist() == [0, 1.5, 2, 17]
    assert reference.p_value(log_px).tolist() == [1, 3 / 5, 3 / 5, 1 / 5]


def test_the_p_value_of_the_models_own_draws_is_uniform() -> None:
    """A reference of draws and other draws are exchangeable; Kolmogorov and Smirnov see no difference."""
    x = gaussian_rows(400)
    model = exact.ppca.as_vae(exact.ppca.closed_form(x, 2), (5,))
    torch.manual_seed(0)
    draws = model.marginal().sample((4400,))  # the reference's own error is small beside that of 400
    reference = Reference.of(model, draws[:4000])
    found = scores(model, draws[4000:], samples=1, reference=reference)
    assert stats.kstest(found.p_value.numpy(), "uniform").pvalue > 0.05
    assert reference.entropy == pytest.approx(model.marginal().entropy().item(), abs=0.1)
    shifted = scores(model, draws[4000:] * 1.3, samples=1, reference=reference)
    assert stats.kstest(shifted.p_value.numpy(), "uniform").pvalue < 1e-6


def test_too_likely_is_not_typical_either() -> None:
    """The mean of a normal law has the highest density and, in many dimensions, is like no draw of it."""
    x = torch.randn(500, 60, generator=torch.Generator().manual_seed(0)).double()
    model = exact.ppca.as_vae(exact.ppca.closed_form(x, 2), (60,))
    found = scores(model, x.mean(0, keepdim=True), samples=1, reference=Reference.of(model, x))
    assert found.log_px.item() > evidence(model, x).per_point.max()
    assert found.p_value.item() < 0.01


def test_a_reference_of_one_row_is_refused() -> None:
    with pytest.raises(UserError, match="two rows"):
        Reference(torch.zeros(1))


# --- likelihood regret ------------------------------------------------------------------------------------------------


def test_the_regret_of_a_linear_vae_is_the_closed_form() -> None:
    """ELBO at the best q minus ELBO at a bad encoder's: both are known (Lucas et al. 2019)."""
    x = gaussian_rows(128)
    model, best = linear_vae(x)
    bad = best._replace(encoder=0.6 * best.encoder, noise=2 * best.noise)
    truth = best.elbo(x) - bad.elbo(x)
    found = scores(exact.linear_vae.write_into(model, bad), x, samples=1, regret=100).regret
    difference = found - truth
    assert truth.mean() > 1
    assert abs(difference.mean().item()) < 4 * difference.std().item() / math.sqrt(128) + 0.01
    assert torch.corrcoef(torch.stack([found, truth]))[0, 1] > 0.99


def test_an_encoder_at_its_optimum_has_nothing_to_regret() -> None:
    x = gaussian_rows(128)
    found = scores(linear_vae(x)[0], x, samples=1, regret=60).regret
    assert abs(found.mean().item()) < 0.01
    assert found.abs().max() < 0.2


def test_refining_finds_the_best_numbers() -> None:
    x = gaussian_rows(30)
    model, best = linear_vae(x)
    truth = model.emit(Batch(x)).detach()
    blind = exact.linear_vae.write_into(model, best._replace(encoder=0 * best.encoder))
    with at_rest(blind):
        found = OwnPosteriors(blind, Batch(x), 0, 2**28).refined(200, 0.1)
    torch.testing.assert_close(found[:, :2], truth[:, :2], rtol=0, atol=0.05)


@pytest.mark.parametrize("name", ["hyperspherical_vae", "poincare_vae", "two_layer_vae", "flow_vae", "vamp_vae"])
def test_every_smooth_posterior_can_be_refined(name: str) -> None:
    """None loses much by it, whatever its latent space: the steps are judged by draws of their own."""
    options = {"vamp_vae": {"pseudo_inputs": 5}, "two_layer_vae": {"latent": 3, "top": 2, "top_hidden": (8,)}}
    found = scores(
        getattr(recipes, name)(Spec((6,), "binary"), **options.get(name, {}), hidden=(8,)).model,
        binary_rows(8),
        samples=2,
        regret=4,
    ).regret
    assert found.isfinite().all()
    assert found.mean() > -0.05


@pytest.mark.parametrize("name", ["dvae", "made"])
def test_where_nothing_can_be_refined_one_is_told(name: str) -> None:
    with pytest.raises(UserError, match="Nothing of q"):
        scores(getattr(recipes, name)(Spec((6,), "binary")).model, binary_rows(3), samples=2, regret=2)


# --- anomalies --------------------------------------------------------------------------------------------------------


def test_inverted_digits_are_told_from_digits() -> None:
    """By typicality and by regret, after a few epochs of a small model."""
    from sklearn.datasets import load_digits

    from logpx.train import fit

    x = (load_digits().images > 7.5).astype("float32").reshape(-1, 64)
    data = from_array(x, kind="binary", held_out=0.2, test=0.2)
    run = fit(recipes.vae(data.spec, latent=4, hidden=(32,)), data, epochs=8, batch_size=64, learning_rate=3e-3)
    reference = Reference.of(run.model, data.held_out, samples=10)
    rows = data.test.x()[:128]
    how = {"samples": 10, "reference": reference, "regret": 15}
    own, strange = (scores(run.model, rows, **how) for rows in (rows, 1 - rows))
    for name in ("typicality", "regret"):
        a, b = getattr(own, name), getattr(strange, name)
        auc = (b[:, None] > a).double().mean()
        assert auc > 0.95, (name, auc)
    assert strange.p_value.max() < 0.05
    assert 0.25 < own.p_value.mean() < 0.75


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ae", "wae_mmd"])
def test_without_evidence_there_is_nothing_to_score(name: str) -> None:
    with pytest.raises(UserError, match="nothing of log p"):
        scores(getattr(recipes, name)(Spec((6,), "grey")).model, binary_rows(3))


def test_a_broken_row_is_named_by_its_place_in_the_whole() -> None:
    x = binary_rows(200)
    x[150, 2] = math.inf
    with pytest.raises(UserError, match=r"row 1430 "):
        scores(binary_vae(), x, samples=3, first=1280)


def test_a_gap_under_an_exact_law_is_named() -> None:
    x = gaussian_rows(200)
    x[150, 2] = math.nan
    with pytest.raises(UserError, match=r"Row 150 has a missing value"):
        scores(recipes.ppca(Spec((5,), "real")).model.double(), x, samples=3)


def test_the_summary_is_of_plain_numbers() -> None:
    found = scores(binary_vae(), binary_rows(5), samples=1).summary()
    assert found["error"] is None
    assert found["rows"] == 5
    assert found["log_px"] < 0
