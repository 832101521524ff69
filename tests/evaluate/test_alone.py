"""Evidence of rows that are looked at one by one: the same noise for each, and the same limit as with noise of their own."""

import pytest
import torch

from logpx import evaluate, recipes
from logpx.data import Spec
from logpx.errors import UserError
from logpx.evaluate import evidence, evidence_alone
from logpx.evaluate.alone import drawn_alone
from logpx.model import Batch


def model(recipe: str = "vae", **options):
    made = recipes.find(recipe).build(Spec((4,), "real"), seed=3, **options)
    return made.model.double()


def batch(n: int = 6) -> Batch:
    return Batch(torch.randn(n, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))


def test_one_row_is_evaluated_as_evidence_evaluates_the_first_of_a_tile():
    """Tiles of one row (2^22 draws fill one): the noise is then that of `evidence`, draw by draw."""
    m, x = model(latent=2, hidden=(8,)), batch(1)
    found = evidence_alone(m, x, samples=64, seed=0)
    torch.manual_seed(0)
    q = m.encode(x)
    log_w = m.at(x, q, q.rsample((64,))).log_w()
    expected = log_w.logsumexp(0) - torch.tensor(64.0).log()
    torch.testing.assert_close(found.per_point, expected.detach().double(), rtol=1e-6, atol=0)


def test_it_is_the_same_bound_by_other_draws():
    m, x = model(latent=2, hidden=(8,)), batch()
    alone, tiled = evidence_alone(m, x, samples=4000), evidence(m, x, samples=4000)
    assert (alone.per_point - tiled.per_point).abs().max() < 0.2
    assert alone.kind == "lower bound"
    assert alone.name == "L_4000"
    assert alone.bits_per_dim == pytest.approx(tiled.bits_per_dim, abs=0.1)


@pytest.mark.parametrize("recipe", ["vae", "mixed_curvature_vae", "full"])
def test_noise_that_is_shared_is_what_each_row_draws_for_itself(recipe):
    options = {"latent": 3, "posterior": "full"} if recipe == "full" else {"latent": 3} if recipe == "vae" else {}
    m, x = model("vae" if recipe == "full" else recipe, hidden=(8,), **options), batch()
    _, z = drawn_alone(m, x, 20, seed=5)
    for i in range(len(x.x)):
        torch.manual_seed(5)
        alone = m.encode(Batch(x.x[i : i + 1])).rsample((20,))
        torch.testing.assert_close(z[:, i : i + 1], alone, rtol=1e-12, atol=1e-14)


def test_what_is_exact_stays_exact_and_what_is_missing_is_left_out():
    x = batch()
    ppca = model("ppca", latent=1)
    assert torch.equal(evidence_alone(ppca, x).per_point, evidence(ppca, x).per_point)
    holes = Batch(x.x, observed=torch.ones_like(x.x, dtype=torch.bool))
    holes.observed[:, 3] = False
    m = model(latent=2, hidden=(8,))
    a = evidence_alone(m, holes, samples=20)
    assert a.dims == 3
    moved = evidence_alone(m, holes._replace(x=x.x.masked_fill(~holes.observed, 0)), samples=20)
    assert a.per_point.shape == moved.per_point.shape == (6,)


def test_memory_changes_nothing():
    m, x = model(latent=2, hidden=(8,)), batch(20)
    a, b = (evidence_alone(m, x, samples=70, memory=size).per_point for size in (2**28, 2**12))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


def test_no_rows_and_no_density_are_sentences():
    m = model(latent=2, hidden=(8,))
    with pytest.raises(UserError, match="no rows"):
        evidence_alone(m, Batch(torch.zeros(0, 4)))
    with pytest.raises(UserError, match="no prior"):
        evidence_alone(model("ae", latent=2, hidden=(8,)), batch())
    assert "evidence_alone" in evaluate.__all__
