"""The chi-square bound, the curve in k and the split of the gap, judged by linear models and closed forms."""

import math

import pytest
import torch
from linear_models import LOG_PX, hidden, linear, rows, spoilt, toy
from torch import Tensor

from logpx import exact, recipes
from logpx.data import Spec
from logpx.errors import UserError
from logpx.evaluate import Evidence, annealed, chi_square, evidence, refine
from logpx.evaluate.curve import Curve, powers_up_to
from logpx.exact.linear_vae import LinearVAE
from logpx.maths import log_mean_exp

JUDGE = linear()


def binary(n: int, P: int = 4) -> Tensor:
    return torch.rand(n, P, generator=torch.Generator().manual_seed(3)).round().double()


# --- chi-square -------------------------------------------------------------------------------------------------------


def cubo(model: LinearVAE, x: Tensor) -> Tensor:
    """1/2 log E_q w^2 = log p(x) + 1/2 log int p(z|x)^2/q(z|x) dz, a Gaussian integral, for each row."""
    law = model.ppca.posterior(x)
    S, m, mu, d = law.precision_matrix[0], model.code(x), law.mean, model.noise
    A = 2 * S - torch.diag(1 / d)
    b = 2 * mu @ S - m / d
    c = 2 * ((mu @ S) * mu).sum(1) - (m.square() / d).sum(1)
    log = (
        torch.logdet(S)
        + 0.5 * d.log().sum()
        - 0.5 * torch.logdet(A)
        + 0.5 * ((b @ torch.linalg.inv(A)) * b).sum(1)
        - 0.5 * c
    )
    return model.ppca.log_evidence(x) + 0.5 * log


def test_the_closed_form_is_the_integral() -> None:
    """The toy: q = p(z), so E_q w^2 = E N(1; z, 1)^2 = (2 pi)^-1/2 2^-1/2 N(1; 0, 3/2)."""
    model = LinearVAE(*(torch.ones(1, 1).double() * v for v in (1.0,)), torch.zeros(1).double(), torch.tensor(1.0).double(),
                      torch.zeros(1, 1).double(), torch.ones(1).double())  # fmt: skip
    known = 0.5 * (-0.5 * math.log(4 * math.pi) - 0.5 * math.log(2 * math.pi * 1.5) - 1 / 3)
    assert cubo(model, torch.ones(1, 1).double()).item() == pytest.approx(known, abs=1e-12)
    vae, x = toy()
    found = chi_square(vae, x, samples=20_000)
    assert abs(found.mean - known) < 4 * found.monte_carlo_error
    assert found.mean > LOG_PX


def test_chi_square_comes_to_its_closed_form() -> None:
    model = spoilt(JUDGE, wide=2.0)
    x = rows(model, 5)
    found = chi_square(hidden(model), x, samples=20_000)
    assert bool(found.trusted.all())
    assert found.doubt is None
    assert 0 < found.monte_carlo_error < 0.02
    assert abs(found.mean - cubo(model, x).mean().item()) < 4 * found.monte_carlo_error
    assert bool((found.per_point > model.ppca.log_evidence(x)).all())
    assert found.summary()["kind"].startswith("upper bound in the limit")


def test_with_the_draws_of_evidence_it_is_above_it_for_every_row() -> None:
    model = hidden(spoilt(JUDGE))
    x = rows(JUDGE, 50)
    assert bool(
        (chi_square(model, x, samples=7, seed=3).per_point >= evidence(model, x, samples=7, seed=3).per_point).all()
    )


def test_an_estimate_that_cannot_be_trusted_says_so() -> None:
    """q far narrower than the posterior: chi^2 is infinite, and what is computed lies below log p(x)."""
    model = spoilt(JUDGE, wide=0.05)
    x = rows(model, 20)
    found = chi_square(hidden(model), x, samples=500)
    assert found.mean < JUDGE.ppca.log_evidence(x).mean().item()
    assert found.trusted.double().mean().item() < 0.5
    assert "may even lie below log p(x)" in (found.doubt or "")


# --- the curve in k ---------------------------------------------------------------------------------------------------


def test_k_is_one_two_five_and_so_on() -> None:
    assert powers_up_to(1) == [1]
    assert powers_up_to(10) == [1, 2, 5, 10]
    assert powers_up_to(137) == [1, 2, 5, 10, 20, 50, 100, 137]


def test_the_curve_by_hand() -> None:
    log_w = torch.randn(7, 3, dtype=torch.float64)
    curve = Curve.of(log_w)
    assert curve.samples == (1, 2, 5, 7)
    for i, k in enumerate(curve.samples):
        blocks = [log_mean_exp(log_w[j * k : (j + 1) * k]) for j in range(7 // k)]
        torch.testing.assert_close(curve.per_point[i], torch.stack(blocks).mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(curve.error[0], log_w.std(0) / math.sqrt(7), rtol=0, atol=1e-12)
    assert bool(curve.error[-1].isnan().all())


def test_the_curve_ends_at_the_evidence_and_agrees_with_evidence_at_each_k() -> None:
    """One set of 200 draws against estimates of L_k of their own, and L_1 against the ELBO in closed form."""
    model = spoilt(JUDGE)
    vae, x = hidden(model), rows(model, 300)
    found = evidence(vae, x, samples=200)
    curve = found.curve
    assert curve is not None
    assert torch.equal(curve.per_point[-1], found.per_point)
    assert abs(curve.means[0] - model.elbo(x).mean().item()) < 4 * curve.monte_carlo_errors[0]
    assert curve.means == sorted(curve.means)
    for i, k in ((1, 2), (3, 10), (5, 50)):
        other = evidence(vae, x, samples=k, seed=5)
        error = math.hypot(other.monte_carlo_error, curve.monte_carlo_errors[i])
        assert curve.samples[i] == k
        assert abs(curve.means[i] - other.mean) < 4 * error
    listed = found.summary()["curve"]
    assert [row["samples"] for row in listed] == list(curve.samples)
    assert listed[-1]["value"] == pytest.approx(found.mean, abs=1e-12)
    assert listed[-1]["monte_carlo_error"] is None


# --- a number that is not to be believed ------------------------------------------------------------------------------


def found_with(ess: float, khat: float, k: int = 100) -> Evidence:
    return Evidence(torch.zeros(10), "lower bound", 3, k, torch.full((10,), ess), torch.full((10,), khat))


def test_too_small_an_effective_sample_size_is_said() -> None:
    assert found_with(50.0, 0.3).doubt is None
    assert "9.0 of 100" in (found_with(9.0, 0.3).doubt or "")
    assert "above 0.7 for 100%" in (found_with(50.0, 0.8).doubt or "")
    assert found_with(1.0, math.nan, 1).doubt is None  # too few draws to judge by
    assert found_with(9.0, 0.3).summary()["doubt"] == found_with(9.0, 0.3).doubt


# --- the split of the gap ---------------------------------------------------------------------------------------------


def test_the_amortisation_gap_of_a_spoilt_encoder_and_no_other() -> None:
    """W^T W is diagonal, so the family holds the posterior: the approximation gap is 0 and the rest is in closed form."""
    best = linear(diagonal=True)
    bad = spoilt(best, 1.5)
    x = rows(best, 20)
    found = refine(hidden(bad), x, truth=Evidence(best.ppca.log_evidence(x), "exact", 5), draws=400)
    assert abs(found.approximation.mean) < 2e-3
    known = (best.ppca.log_evidence(x) - bad.elbo(x)).mean().item()
    assert abs(found.amortisation.mean - known) < 4 * found.monte_carlo_error
    assert found.monte_carlo_error < 0.1 * known
    assert found.kind == "exact"


def test_the_approximation_gap_of_a_diagonal_family() -> None:
    """1/2 [sum log(M_ii/s2) - log|M/s2|], the same for every row, whatever the encoder."""
    W, mu, s2 = linear(diagonal=True).ppca
    turned = (
        W @ torch.tensor([[1.0, -1.0], [1.0, 1.0]]).double() / math.sqrt(2)
    )  # axes halfway between those of the posterior
    model = spoilt(exact.linear_vae.best_encoder(exact.ppca.PPCA(turned, mu, s2)), 1.5)
    x = rows(model, 20)
    vae = exact.linear_vae.build((5,), 2).double()
    exact.linear_vae.write_into(vae, model)
    found = refine(vae, x, draws=1000)  # the truth by itself: this model knows its marginal
    known = exact.linear_vae.gap(model.ppca).item()
    error = found.approximation.standard_error
    assert known > 0.1
    assert error < 0.05 * known
    assert abs(found.approximation.mean - known) < 4 * error + 1e-3
    assert found.total.mean == pytest.approx(found.approximation.mean + found.amortisation.mean, abs=1e-12)
    assert found.name == "log p(x)"


def test_a_perfect_encoder_is_left_where_it_is() -> None:
    """Its gap is that of the family; and what is kept is never worse than the start."""
    x = rows(JUDGE, 10)
    found = refine(hidden(JUDGE), x, steps=40, truth=Evidence(JUDGE.ppca.log_evidence(x), "exact", 5), draws=200)
    assert abs(found.amortisation.mean) < 5e-3


def test_rows_are_refined_by_themselves_and_nothing_else_moves() -> None:
    model, x = recipes.vae(Spec((4,), "binary"), latent=2, hidden=(6,)).model.double(), binary(6)
    before, state = torch.get_rng_state(), [p.clone() for p in model.parameters()]
    truth = annealed(model, x, temperatures=2, chains=4)
    whole = refine(model, x, steps=10, draws=20, truth=truth)
    part = refine(model, x[:2], steps=10, draws=20, truth=annealed(model, x[:2], temperatures=2, chains=4))
    torch.testing.assert_close(part.best, whole.best[:2], rtol=0, atol=1e-10)
    torch.testing.assert_close(part.log_px, whole.log_px[:2], rtol=0, atol=1e-10)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(p, old) and p.grad is None for p, old in zip(model.parameters(), state, strict=True))
    assert refine(model, x, steps=10, draws=20, truth=truth, memory=1).best.sub(whole.best).abs().max() < 1e-10


@pytest.mark.parametrize("name", ["hyperspherical_vae", "poincare_vae", "two_layer_vae"])
def test_other_families_are_refined_too(name: str) -> None:
    small = {"hidden": (6,), "latent": 2} | ({"top": 1, "top_hidden": (6,)} if name == "two_layer_vae" else {})
    model, x = getattr(recipes, name)(Spec((4,), "binary"), **small).model.double(), binary(3)
    found = refine(model, x, steps=60, draws=200, truth=evidence(model, x, samples=200))
    assert found.amortisation.mean > -2 * found.monte_carlo_error
    assert found.best.isfinite().all()


def test_what_has_no_gap_to_split_is_refused_in_a_sentence() -> None:
    x, spec = binary(3), Spec((4,), "binary")
    for model, words in (
        (recipes.dvae(spec).model, "Nothing of q"),
        (recipes.ae(spec, latent=2).model, "Nothing of q"),
        (recipes.vae(spec, latent=2, likelihood="grey").model, "grey score"),
    ):
        with pytest.raises(UserError, match=words):
            refine(model.double(), x, truth=Evidence(torch.zeros(3), "lower bound", 4))
    with pytest.raises(UserError, match="rate is 0"):
        refine(hidden(JUDGE), rows(JUDGE, 2), rate=0)
    with pytest.raises(UserError, match="knows p\\(x\\) exactly"):
        chi_square(recipes.linear_vae(Spec((4,), "real"), latent=2).model.double(), x)
    with pytest.raises(UserError, match="grey score"):
        chi_square(recipes.vae(spec, latent=2, likelihood="grey").model.double(), x)
