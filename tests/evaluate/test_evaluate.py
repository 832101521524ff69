"""Evaluation: log p(x) with its error, the terms of an objective, and the use of the latent space."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from logpx import data, exact, likelihoods, objectives, posteriors, priors, recipes
from logpx.data import Spec, from_array
from logpx.errors import UserError
from logpx.evaluate import Evidence, evaluating, evidence, expected_terms, usage
from logpx.maths import log_mean_exp
from logpx.model import VAE, Batch


def binary_vae(P: int = 6, latent: int = 2, **options) -> VAE:
    return recipes.vae(Spec((P,), "binary"), latent=latent, hidden=(8,), **options).model


def binary_rows(n: int, P: int = 6) -> Tensor:
    return torch.rand(n, P, generator=torch.Generator().manual_seed(3)).round()


def gaussian_rows(n: int, P: int = 5) -> Tensor:
    g = torch.Generator().manual_seed(4)
    return (torch.randn(n, P, generator=g) @ torch.randn(P, P, generator=g)).double()


class Recorder(nn.Module):
    """A decoder that keeps every latent it sees."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, z: Tensor) -> Tensor:
        self.seen.append(z)
        return self.inner(z)


# --- how many draws, and which ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 63, 64, 65, 99, 100, 101, 150])
def test_exactly_k_draws_and_their_log_mean_exp(k: int) -> None:
    """The value is recomputed from the very latents that the decoder was shown."""
    model, x = binary_vae().double(), binary_rows(5).double()
    model.decoder = recorder = Recorder(model.decoder)
    found = evidence(model, x, samples=k, seed=9)
    z = torch.cat(recorder.seen)
    assert z.shape[0] == k
    z, q = z[:, :5], model.encode(Batch(x))
    with torch.no_grad():
        log_w = model.decode(z).log_prob(x) + model.prior(None).log_prob(z) - q.log_prob(z)
    torch.testing.assert_close(found.per_point, log_mean_exp(log_w), rtol=0, atol=1e-10)
    torch.testing.assert_close(found.per_point, torch.logsumexp(log_w, 0) - math.log(k), rtol=0, atol=1e-10)
    assert found.samples == k
    assert found.name == f"L_{k}"


def test_the_draws_are_independent_over_points_and_tiles() -> None:
    """Equal rows get different noise: otherwise the error of the mean would not fall with n."""
    x = binary_rows(1).double().expand(300, 6)
    found = evidence(binary_vae().double(), x, samples=3).per_point
    assert len(found.unique()) == 300


@pytest.mark.parametrize("memory", [1, 2**12, 2**16, 2**30])
def test_memory_changes_nothing(memory: int) -> None:
    model, x = binary_vae().double(), binary_rows(140).double()
    whole = evidence(model, x, samples=70)
    found = evidence(model, x, samples=70, memory=memory)
    torch.testing.assert_close(found.per_point, whole.per_point, rtol=0, atol=1e-11)
    torch.testing.assert_close(found.ess, whole.ess, rtol=1e-10, atol=0)


@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 200])
def test_a_row_does_not_depend_on_the_rows_that_follow(n: int) -> None:
    model, x = binary_vae().double(), binary_rows(260).double()
    whole = evidence(model, x, samples=65).per_point
    torch.testing.assert_close(evidence(model, x[:n], samples=65).per_point, whole[:n], rtol=0, atol=1e-11)


def test_a_row_does_not_depend_on_the_values_of_other_rows() -> None:
    model, x = binary_vae().double(), binary_rows(200).double()
    other = 1 - x
    other[[7, 131]] = x[[7, 131]]
    a, b = evidence(model, x, samples=30).per_point, evidence(model, other, samples=30).per_point
    torch.testing.assert_close(a[[7, 131]], b[[7, 131]], rtol=0, atol=1e-11)
    assert not torch.isclose(a[8], b[8])


def test_float32_in_one_tile_is_bitwise_reproducible() -> None:
    model, x = binary_vae(), binary_rows(10)
    a, b = (evidence(model, x, samples=100, seed=2) for _ in range(2))
    assert torch.equal(a.per_point, b.per_point)
    assert not torch.equal(a.per_point, evidence(model, x, samples=100, seed=3).per_point)


def test_every_seed_that_data_sets_take_is_taken() -> None:
    found = {evidence(binary_vae(), binary_rows(3), samples=2, seed=s).mean for s in (0, 1, 2**31, 2**32 - 1)}
    assert len(found) == 4


def test_progress_counts_the_rows() -> None:
    told: list[tuple[int, int]] = []
    evidence(binary_vae(), binary_rows(300), samples=2, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (300, 300)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


# --- against quadrature and closed forms ------------------------------------------------------------------------------


def log_evidence_by_quadrature(model: VAE, x: Tensor) -> Tensor:
    """log int p(x|z) p(z) dz over one latent by the trapezoidal rule on [-12, 12]."""
    z = torch.linspace(-12, 12, 6001, dtype=torch.float64)[:, None, None]  # (G, 1, 1)
    with torch.no_grad():
        log_joint = model.decode(z).log_prob(x) + model.prior(None).log_prob(z)
    return torch.logsumexp(log_joint, 0) + math.log(24 / 6000)


@pytest.mark.parametrize("prior", ["standard", "shifted"])
def test_one_latent_agrees_with_quadrature(prior: str) -> None:
    """Sign, constants, and the model's own prior."""

    class Shifted(nn.Module):
        def forward(self, context: Tensor | None = None) -> Independent:
            return Independent(Normal(torch.tensor([1.5]).double(), torch.tensor([0.6]).double()), 1)

    model, x = binary_vae(latent=1).double(), binary_rows(40).double()
    with torch.no_grad():
        for p in model.decoder.parameters():
            p *= 3
    if prior == "shifted":
        model.prior = Shifted()
    found, truth = evidence(model, x, samples=20_000), log_evidence_by_quadrature(model, x)
    assert found.kind == "lower bound"
    assert abs(found.mean - truth.mean().item()) < 4 * found.monte_carlo_error + 1e-4
    error = (1 / found.ess - 1 / 20_000).sqrt()
    assert ((found.per_point - truth).abs() < 5 * error + 1e-6).all()


def test_ppca_is_exact_and_equals_torch() -> None:
    x = gaussian_rows(60)
    fitted = exact.ppca.closed_form(x, 2)
    found = evidence(exact.ppca.as_vae(fitted, (5,)), x, samples=7)
    W, s2 = fitted.weight, fitted.variance
    law = MultivariateNormal(fitted.mean, W @ W.T + s2 * torch.eye(5).double())
    torch.testing.assert_close(found.per_point, law.log_prob(x), rtol=0, atol=1e-10)
    assert (found.kind, found.name, found.samples, found.ess, found.khat) == ("exact", "log p(x)", None, None, None)
    assert found.monte_carlo_error == 0
    assert found.bits_per_dim == pytest.approx(-law.log_prob(x).mean().item() / (5 * math.log(2)))


def test_at_the_exact_posterior_all_weights_are_equal() -> None:
    """ESS = k, no Monte-Carlo error, and k-hat -inf; a summary of it is still JSON."""
    x = gaussian_rows(20)
    model = exact.ppca.as_vae(exact.ppca.closed_form(x, 2), (5,))
    truth = evidence(model, x)
    model.marginal = None
    found = evidence(model, x, samples=100)
    torch.testing.assert_close(found.per_point, truth.per_point, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.ess, torch.full((20,), 100.0).double(), rtol=1e-9, atol=0)
    assert (found.khat == -math.inf).all()
    assert found.monte_carlo_error < 1e-9
    assert found.summary()["khat"] is None
    assert found.summary()["khat_above_0.7"] == 0


def test_the_bounds_rise_with_k_to_the_evidence() -> None:
    x = gaussian_rows(400)
    model = exact.linear_vae.build((5,), 2, 1.0).double()
    truth = evidence(model, x)
    model.marginal = None
    found = [evidence(model, x, samples=k) for k in (1, 5, 50)]
    values = [e.mean for e in found]
    assert values[0] < values[1] < values[2] < truth.mean + 4 * found[2].monte_carlo_error


def test_the_monte_carlo_error_is_the_spread_over_seeds() -> None:
    x = gaussian_rows(50)
    model = exact.linear_vae.build((5,), 2, 2.0).double()
    with torch.no_grad():  # a decent posterior: the expression is first-order
        exact.linear_vae.write_into(model, exact.linear_vae.best_encoder(exact.ppca.closed_form(x, 2, variance=4.0)))
        model.encoder.log_variance += 0.3
    model.marginal = None
    found = [evidence(model, x, samples=200, seed=s) for s in range(120)]
    spread = torch.tensor([e.mean for e in found]).double().std().item()
    claimed = sum(e.monte_carlo_error for e in found) / len(found)
    assert 1 / 1.3 < claimed / spread < 1.3


def test_one_draw_tells_no_monte_carlo_error() -> None:
    found = evidence(binary_vae(), binary_rows(5), samples=1)
    assert math.isnan(found.monte_carlo_error)
    summary = found.summary()
    assert summary["monte_carlo_error"] is None
    assert summary["khat"] is None
    assert summary["khat_above_0.7"] is None  # not 0: nothing was judged


def test_standard_error_bits_and_summary() -> None:
    found = Evidence(torch.tensor([-1.0, -2.0, -6.0]).double(), "exact", dims=4)
    assert found.mean == -3
    assert found.standard_error == pytest.approx(math.sqrt(7) / math.sqrt(3))
    assert found.bits_per_dim == pytest.approx(3 / (4 * math.log(2)))
    assert math.isnan(Evidence(torch.tensor([-1.0]), "exact", 1).standard_error)
    summary = found.summary()
    assert summary["value"] == -3
    assert summary["unit"] == "nats per data point"
    assert summary["points"] == 3
    assert "nats per data point" in str(found)
    assert "bits/dim" in str(found)
    assert "+-" not in str(Evidence(torch.tensor([-1.0]), "exact", 1))


def test_a_grey_score_is_called_a_score() -> None:
    method = recipes.vae(Spec((4,), "grey"), latent=2, hidden=(8,), likelihood="grey")
    found = evidence(method.model, torch.rand(6, 4), samples=10)
    assert found.kind == "score"
    assert found.bits_per_dim is None
    assert "score" in found.name
    assert "bits" not in str(found)
    assert {"score", "elbo"} & expected_terms(method.objective, method.model, torch.rand(6, 4)).keys() == {"score"}


# --- what it leaves alone, what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_random_state_are_untouched(training: bool) -> None:
    model, x = binary_vae(), binary_rows(20)
    method_objective = objectives.ELBO()
    model.train(training)
    model.encoder.eval()  # a part that its user froze
    before = torch.get_rng_state()
    evidence(model, x, samples=3)
    expected_terms(method_objective, model, x)
    usage(model, x)
    assert torch.equal(torch.get_rng_state(), before)
    assert (model.training, model.decoder.training, model.encoder.training) == (training, training, False)


def test_mode_and_random_state_are_put_back_after_an_error() -> None:
    model = binary_vae().train()
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError):
        evidence(model, torch.zeros(3, 5), samples=3)
    assert model.decoder.training
    assert torch.equal(torch.get_rng_state(), before)


def test_no_gradient_is_recorded() -> None:
    assert not evidence(binary_vae(), binary_rows(3), samples=2).per_point.requires_grad


@pytest.mark.parametrize("exactly", [True, False])
def test_broken_weights_are_a_sentence(exactly: bool) -> None:
    model = recipes.ppca(Spec((5,), "real")).model if exactly else binary_vae(5)
    with torch.no_grad():
        next(model.decoder.parameters())[0, 0] = math.nan
    with pytest.raises(UserError, match="weights"):
        evidence(model, binary_rows(4, 5), samples=3)


def test_a_broken_row_is_named() -> None:
    x = binary_rows(200)
    x[150, 2] = math.inf
    with pytest.raises(UserError, match="row 150"):
        evidence(binary_vae(), x, samples=3)


@pytest.mark.parametrize(("n", "k", "match"), [(0, 3, "no rows"), (3, 0, "samples is 0"), (3, -1, "samples is -1")])
def test_nothing_to_do_is_a_sentence(n: int, k: int, match: str) -> None:
    with pytest.raises(UserError, match=match):
        evidence(binary_vae(), binary_rows(n), samples=k)


def test_a_model_without_a_prior_has_no_evidence() -> None:
    model = binary_vae()
    model.prior = None
    with pytest.raises(UserError, match="no prior"):
        evidence(model, binary_rows(3), samples=2)


# --- splits -----------------------------------------------------------------------------------------------------------


def test_pixels_drawn_anew_at_each_read_are_evaluated_the_same_each_time() -> None:
    images = (torch.rand(40, 4, 4) * 255).to(torch.uint8)
    split = from_array(images, protocol="dynamic", held_out=0, test=0).train
    assert split.random
    model = recipes.vae(Spec((1, 4, 4), "binary"), latent=2, hidden=(8,)).model
    a, b = (evidence(model, split, samples=5) for _ in range(2))
    assert torch.equal(a.per_point, b.per_point)
    assert usage(model, split).variance_of_means.shape == (2,)
    assert expected_terms(objectives.ELBO(), model, split).keys() >= {"elbo", "kl"}


def test_a_split_and_its_tensor_are_the_same() -> None:
    rows = from_array(binary_rows(50), held_out=0, test=0).train
    model = binary_vae()
    assert torch.equal(evidence(model, rows, samples=4).per_point, evidence(model, rows.x(), samples=4).per_point)


# --- expected terms ---------------------------------------------------------------------------------------------------


def test_a_ragged_last_batch_weighs_what_it_holds() -> None:
    """The analytic ELBO draws nothing, so any division into batches gives one number."""
    x = gaussian_rows(101)
    model, objective = exact.linear_vae.build((5,), 2, 1.0).double(), exact.linear_vae.AnalyticELBO()
    whole = expected_terms(objective, model, x, batch_size=101)
    for size in (1, 7, 50, 100):
        assert expected_terms(objective, model, x, batch_size=size) == pytest.approx(whole, rel=1e-12)
    x[100] += 5
    assert expected_terms(objective, model, x, batch_size=50)["loss"] > whole["loss"]


def test_terms_are_those_of_one_call_on_all_rows() -> None:
    model, x = binary_vae(), binary_rows(30)
    with torch.no_grad():
        torch.manual_seed(5)
        terms = objectives.ELBO()(model, Batch(x)).terms
    found = expected_terms(objectives.ELBO(), model, x, seed=5)
    assert found == {name: pytest.approx(t.item(), rel=1e-6) for name, t in terms.items()}
    assert found["elbo"] == pytest.approx(-found["loss"], rel=1e-6)


def test_terms_of_no_rows_are_refused() -> None:
    with pytest.raises(UserError, match="no rows"):
        expected_terms(objectives.ELBO(), binary_vae(), binary_rows(0))


# --- usage ------------------------------------------------------------------------------------------------------------


def test_the_kl_of_each_latent_sums_to_the_kl() -> None:
    model, x = binary_vae(latent=3), binary_rows(2500)
    found = usage(model, x)
    kl = expected_terms(objectives.ELBO(), model, x)["kl"]
    assert found.kl is not None
    assert found.kl.sum().item() == pytest.approx(kl, rel=1e-5)
    with torch.no_grad():
        means = model.encode(Batch(x)).mean
    torch.testing.assert_close(found.variance_of_means, means.var(0), rtol=1e-4, atol=1e-7)


def test_active_units_of_an_encoder_made_by_hand() -> None:
    """Means (x_0, 0.099 x_1, 3, 0): their variances are 1, 0.0098, 0 and 0, and only the first reaches 0.01."""

    class Encoder(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            zero = torch.zeros(len(x), dtype=x.dtype)
            return torch.cat([torch.stack([x[:, 0], 0.099 * x[:, 1], zero + 3, zero], 1), torch.zeros(len(x), 4)], 1)

    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(5000, 1)
    decoder = nn.Sequential(nn.Linear(4, 2), nn.Unflatten(-1, (1, 2)))
    parts = {"posterior": posteriors.DiagNormal(4), "prior": priors.StandardNormal(4)}
    model = VAE(encoder=Encoder(), decoder=decoder, likelihood=likelihoods.Gaussian((2,), 1.0), **parts)
    found = usage(model, x)
    assert found.active == 1
    assert found.kl is not None
    torch.testing.assert_close(found.kl, torch.tensor([0.5, 0.0049005, 4.5, 0.0]), rtol=1e-4, atol=1e-6)


def test_usage_of_a_posterior_that_does_not_factorise() -> None:
    found = usage(recipes.ppca(Spec((5,), "real")).model, gaussian_rows(20))
    assert found.kl is None
    assert found.variance_of_means.shape == (2,)


def test_usage_looks_at_the_first_rows_only_and_needs_two() -> None:
    model, x = binary_vae(), binary_rows(1500)
    for rows in (2, 999, 1001):
        torch.testing.assert_close(
            usage(model, x, rows=rows).variance_of_means, usage(model, x[:rows]).variance_of_means
        )
    with pytest.raises(UserError, match="at least two"):
        usage(model, x[:1])
    with pytest.raises(UserError, match="at least two"):
        usage(model, x, rows=1)


# --- the laws used in training and in evaluation ----------------------------------------------------------------------


def test_training_and_evaluation_use_one_posterior() -> None:
    """`draw` and `encode` build the same law, twice the same, whatever the mode."""
    model, x = binary_vae(), Batch(binary_rows(9))
    before = torch.get_rng_state()
    a, b = model.encode(x), model.encode(x)
    assert torch.equal(torch.get_rng_state(), before)
    drawn = model.draw(x).q
    for law in (b, drawn):
        assert torch.equal(a.base_dist.loc, law.base_dist.loc)
        assert torch.equal(a.base_dist.scale, law.base_dist.scale)
    with evaluating(model):
        assert torch.equal(model.decode(a.mean).mean, model.decode(b.mean).mean)
    assert model.training


def test_the_true_density_bounds_a_trained_model() -> None:
    """On a synthetic set the evidence of any model lies below the mean true log-density, up to sampling."""
    rows = data.load("linear-gaussian")
    x = rows.test.x()[:500]
    assert rows.log_density is not None
    truth = rows.log_density(x).mean().item()
    model = exact.ppca.as_vae(exact.ppca.closed_form(rows.train.x(), 3), rows.shape)
    assert evidence(model, x).mean <= truth + 0.05


def test_bits_are_counted_by_what_was_observed() -> None:
    """All bits over all observed elements: half the columns away, half the bits and half the elements."""
    model, x = binary_vae(), binary_rows(6).double()
    P = x.shape[1]
    x[:, : P // 2] = math.nan
    x[0, -1] = math.nan
    found = evidence(model, x, samples=5)
    observed = int((~x.isnan()).sum())
    assert found.dims == observed / 6
    assert found.bits_per_dim == pytest.approx(-found.per_point.sum().item() / (observed * math.log(2)), rel=1e-12)
    assert evidence(model, binary_rows(6), samples=5).dims == P
    assert evidence(model, torch.full((2, P), math.nan), samples=5).bits_per_dim is None


@pytest.mark.parametrize("samples", [math.nan, 2.5, math.inf])
def test_draws_are_counted_in_whole_numbers(samples: float) -> None:
    with pytest.raises(UserError, match=f"samples is {samples}: give a whole number"):
        evidence(binary_vae(), binary_rows(3), samples=samples)  # type: ignore[arg-type]
