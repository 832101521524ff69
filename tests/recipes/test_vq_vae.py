"""vq_vae as a recipe: both stages in one run, its bound, its samples, and what it refuses."""

import math

import pytest
import torch

from logpx import recipes
from logpx.cli import run as logpx
from logpx.data import Spec, from_array
from logpx.errors import UserError
from logpx.evaluate import code_evidence, code_usage, evidence, expected_terms, impute, mutual_information, usage
from logpx.networks import CausalTransformer
from logpx.posteriors import Codebook
from logpx.priors import Codes
from logpx.recipes import load_run
from logpx.recipes.quantised import codes_of, fit_prior
from logpx.samples import draw_samples
from logpx.train import fit

IMAGES = Spec((1, 8, 8), "binary")
TINY = {"codes": 8, "width": 4, "channels": 8, "grid": 2, "prior_steps": 30, "prior_width": 16, "prior_layers": 1}


def pictures(n=120):
    """Two kinds of bars, binary."""
    x = torch.zeros(n, 1, 8, 8)
    x[::2, :, :, :4], x[1::2, :, 4:] = 1, 1
    flipped = torch.rand(x.shape) < 0.05
    return from_array((x - flipped.float()).abs().numpy(), kind="binary", held_out=20, test=20)


def trained(data, epochs=2, out=None, resume=False, **options):
    method = recipes.vq_vae(data, **TINY | options)
    return fit(method, data, epochs=epochs, batch_size=32, learning_rate=5e-3, show=False, out=out, resume=resume)


@pytest.mark.parametrize("quantiser", ["codebook", "residual", "fsq"])
def test_the_evidence_is_the_reconstruction_plus_the_prior_of_the_codes(quantiser):
    data = pictures()
    run = trained(data, quantiser=quantiser, levels=(3, 3))
    model, x = run.model, data.test.batch()
    with torch.no_grad():
        q = model.encode(x)
        judge = model.decode(q.mean).log_prob(x.x).double() + model.prior.prior.network.log_prob(q.indices)
    for samples in (1, 50):
        found = evidence(model, data.test, samples=samples)
        torch.testing.assert_close(found.per_point, judge, rtol=1e-5, atol=1e-4)
        assert (found.kind, found.name, found.monte_carlo_error) == ("lower bound", "ELBO", 0.0)
        assert found.bits_per_dim == pytest.approx(-judge.mean().item() / (64 * math.log(2)), rel=1e-5)
        assert found.standard_error == pytest.approx(judge.std().item() / math.sqrt(20), rel=1e-4)
    assert draw_samples(model, 5, draw=True).shape == (5, 1, 8, 8)


def test_evenly_used_codes_cost_n_log_k_and_sample_at_once():
    data = pictures()
    method = recipes.vq_vae(data, **TINY | {"prior": "uniform"})
    terms = expected_terms(method.objective, method.model, data.test)
    found = evidence(method.model, data.test)
    assert found.mean == pytest.approx(-terms["reconstruction"] - 4 * math.log(8), rel=1e-5)
    assert draw_samples(method.model, 3).shape == (3, 1, 8, 8)
    z, _ = method.model.sample(500)
    assert method.model.posterior.indices(z).flatten().unique().numel() == 8
    assert method.objective.how_kl(method.model) == "4 log 8 = 8.3 nats, constant"


def test_the_bound_is_below_the_exact_sum_over_all_grids():
    """log p(x) = log sum over all 3^2 grids of p(k) p(x|k): the bound keeps one term of it."""
    data = from_array(torch.randn(80, 3).numpy(), held_out=10, test=10)
    run = trained(data, codes=3, grid=2, hidden=(8,))
    model, x = run.model.double(), data.test.x().double()
    k = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    with torch.no_grad():
        z = model.posterior.vectors(k)
        joint = model.decode(z).expand((len(x), 9)).log_prob(x[:, None]) + model.prior(None).log_prob(z)
    exact, bound = joint.logsumexp(1), evidence(model, data.test).per_point
    assert bool((bound <= exact + 1e-9).all())
    mine = model.encode(data.test.batch()._replace(x=x)).indices @ torch.tensor([3, 1])
    torch.testing.assert_close(bound, joint.gather(1, mine[:, None]).squeeze(1))


def test_a_prior_of_codes_that_is_not_fitted_refuses_to_sample_and_to_judge():
    method = recipes.vq_vae(IMAGES, **TINY)
    with pytest.raises(UserError, match="fitted when the training ends"):
        draw_samples(method.model, 3)
    with pytest.raises(UserError, match="fitted when the training ends"):
        evidence(method.model, torch.zeros(2, 1, 8, 8))


def test_a_resumed_run_has_both_stages_to_the_bit(tmp_path):
    data = pictures()
    for options in ({"quantiser": "residual"}, {"learning": "gradient", "through": "rotation"}):
        name = next(iter(options))
        whole = trained(data, 3, tmp_path / f"whole-{name}", **options)
        trained(data, 1, tmp_path / name, **options)
        trained(data, 3, tmp_path / name, resume=True, **options)
        again = load_run(tmp_path / name)
        torch.testing.assert_close(again.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
        assert torch.equal(draw_samples(again.model, 4, seed=1), draw_samples(whole.model, 4, seed=1))
        assert torch.equal(evidence(again.model, data.test).per_point, evidence(whole.model, data.test).per_point)


def test_codes_live_after_training_and_are_counted():
    data = pictures()
    run = trained(data, epochs=4)
    found = code_usage(run.model, data.test)
    assert (found.counts.sum().item(), found.codes) == (20 * 4, 8)
    shares = found.counts[0] / 80
    assert found.perplexity == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares.tolist() if p)))
    assert found.used == int((found.counts > 0).sum()) >= 2
    told = expected_terms(run.method.objective, run.model, data.test)
    assert told["perplexity"] == pytest.approx(found.perplexity, rel=1e-5)
    assert told["usage"] == pytest.approx(found.used / 8)
    tally = {name: p for name, p in run.model.named_parameters() if "tally" in name}
    assert all(not p.any() for p in tally.values())


def test_what_the_codes_say_of_rows_is_their_entropy():
    """log q(z|x) is 0 or -inf, so the mutual information of N rows is the entropy of the grids they use."""
    data = pictures()
    run = trained(data)
    k = run.model.encode(data.test.batch()).indices
    counts = torch.unique(k, dim=0, return_counts=True)[1].double() / 20
    assert mutual_information(run.model, data.test) == pytest.approx(-(counts * counts.log()).sum().item(), rel=1e-5)


def test_a_prior_of_evenly_used_codes_learns_n_log_k_and_one_of_a_rule_the_rule(monkeypatch):
    monkeypatch.setattr(recipes.quantised, "RATE", 1e-2)
    torch.manual_seed(0)
    network = CausalTransformer(2, 4, width=16, layers=1)
    fit_prior(network, torch.randint(4, (2000, 2, 2)), 150)
    fresh = torch.randint(4, (2000, 2))
    assert -network.log_prob(fresh).mean().item() == pytest.approx(2 * math.log(4), abs=0.02)
    first = torch.randint(4, (4000, 1))
    fit_prior(network, torch.cat([first, (first + 1) % 4], 1).unsqueeze(1), 150)  # afresh: nothing of before is left
    rule = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
    assert -network.log_prob(rule).mean().item() == pytest.approx(math.log(4), abs=0.02)
    assert not any(p.requires_grad for p in network.parameters())


def test_rows_that_are_drawn_anew_give_codes_of_many_reads():
    grey = from_array(torch.rand(30, 1, 8, 8).numpy(), protocol="dynamic", held_out=4, test=4)
    method = recipes.vq_vae(grey, **TINY)
    with torch.no_grad():
        method.start(method.model, grey.train)
        k = codes_of(method.model.eval(), grey.train)
    assert k.shape == (22, 10, 4)
    assert bool((k != k[:, :1]).any())
    assert codes_of(method.model, pictures().train).shape == (80, 1, 4)


def test_the_uniform_prior_is_exact_in_double_precision():
    law = Codes(Codebook(5, 2, 7))()
    z = law.sample((3,))
    assert law.log_prob(z).tolist() == [-5 * math.log(7)] * 3
    with pytest.raises(UserError, match="take sample"):
        law.rsample((3,))


def test_tables_and_integer_pixels_and_holes_train():
    table = torch.randn(60, 5)
    table[::7, 1] = torch.nan
    for data in (
        from_array(table.numpy(), held_out=6, test=6),
        from_array(torch.randint(0, 5, (60, 1, 4, 4)).numpy().astype("uint8"), held_out=6, test=6),
    ):
        run = trained(data, epochs=1, hidden=(8,))
        assert math.isfinite(evidence(run.model, data.test).mean)
        assert draw_samples(run.model, 2).shape == (2, *data.shape)
    x = torch.full((2, 1, 4, 4), torch.nan)
    assert bool(impute(run.model, x, samples=7).isfinite().all())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grid": 3}, "A grid of 3 rows does not divide images of 8 x 8"),
        ({"codes": 1}, "codes is 1"),
        ({"quantiser": "fsq", "levels": (5, 1)}, "two or more"),
        ({"decay": 1.0}, "decay is 1"),
        ({"prior_width": 30}, "prior_width is 30"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(options, words):
    with pytest.raises(UserError, match=words) as error:
        recipes.vq_vae(IMAGES, **options)
    assert str(error.value).count(". ") == 0


def test_what_has_no_answer_is_refused():
    with pytest.raises(UserError, match="no context"):
        recipes.vq_vae(Spec((6,), "real", context=2))
    data = pictures()
    run = trained(data, epochs=1)
    with pytest.raises(UserError, match="take code_usage"):
        usage(run.model, data.test)
    with pytest.raises(UserError, match="take evidence"):
        code_evidence(run.model, data.test)
    with pytest.raises(UserError, match="no discrete codes"):
        code_usage(recipes.vae(IMAGES).model, data.test)
    with pytest.raises(UserError, match="needs codes"):
        run.method.objective(recipes.vae(IMAGES).model, data.test.batch())


def test_grids_that_are_not_given_fit_the_image():
    def rows(*shape):
        return recipes.quantised._places(Spec(shape, "binary"), None)

    assert [rows(1, 28, 28), rows(1, 8, 8), rows(3, 32, 32), rows(1, 12, 20), rows(1, 64, 64), rows(6)] == [
        (7, 7), (2, 2), (8, 8), (3, 5), (8, 8), (4,)]  # fmt: skip


def test_it_works_from_the_command_line(tmp_path, capsys):
    out = str(tmp_path / "run")
    given = [
        f
        for name, v in (TINY | {"epochs": 1, "batch_size": 500}).items()
        for f in (f"--{name.replace('_', '-')}", f"{v}")
    ]
    assert logpx(["train", "vq_vae", "digits", "--out", out, *given]) == 0
    said = capsys.readouterr()
    assert "ELBO = -" in said.out
    assert "bits/dim" in said.out
    assert "KL: 4 log 8 = 8.3 nats, constant" in said.err
    assert logpx(["sample", out, "-n", "4"]) == 0
    assert logpx(["evaluate", out]) == 0
    assert "lower bound" in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "of 8 codes in use" in page
    assert "Walks" not in page  # there is nothing between two codes
    assert "active latents" not in page
