"""sequence_vae: its evidence against a numeric integral, its nats above the entropy, what is off at rest, what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch

from logpx.data import Spec, from_array, language
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.recipes import iwae, load_run, sequence_vae, vae
from logpx.train import fit

SMALL = {"latent": 1, "width": 8, "heads": 2, "blocks": 1}
NETWORKS = ({"decoder": "lstm"}, {"decoder": "transformer", "encoder": "transformer"})
each = pytest.mark.parametrize("networks", NETWORKS, ids=["lstm", "transformer"])


def sentences(n: int = 400, places: int = 3, seed: int = 0):
    return from_array(language.sentences(n, seed, places)[0], kind="sequence")


def proper(places: int, end: int) -> torch.Tensor:
    """Every sequence of that many places."""
    rows = itertools.product(range(end + 1), repeat=places)
    return torch.tensor([row for row in rows if list(row) == sorted(row, key=lambda c: c == end)]).double()


@each
@torch.no_grad()
def test_the_bound_converges_to_the_numeric_integral_over_z_and_all_sequences_have_mass_one(networks):
    model = sequence_vae(Spec((2,), "sequence", 3), **SMALL, **networks).model.double().eval()
    for p in model.likelihood.parameters():
        p.mul_(2)
    x = proper(2, 2)
    z = torch.linspace(-8, 8, 321, dtype=torch.float64)[:, None]
    log_pz = model.prior(None).log_prob(z)
    exact = torch.stack([(log_pz + model.decode(z).log_prob(row)).logsumexp(0) for row in x]) + math.log(16 / 320)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-9)
    found = evidence(model, x, samples=1000)
    assert abs(found.mean - exact.mean().item()) < 5 * found.monte_carlo_error


@each
def test_trained_its_nats_are_above_the_entropy_and_near_it(networks):
    """-sum_x p(x) L_k(x) >= H exactly, for any model, when p is the law that made the rows."""
    data = from_array(language.sentences(2000, 0, places=2)[0], kind="sequence", held_out=100, test=10)
    method = sequence_vae(data, latent=2, width=16, heads=2, blocks=1, **networks)
    run = fit(method, data, epochs=6, batch_size=50, learning_rate=0.02, schedule="cosine", show=False)
    x = proper(2, language.WORDS)[:-1]  # the last is the empty one, which the language does not have
    log_p = language.log_density(x)
    entropy = -(log_p.exp() * log_p).sum().item()
    nats = -(log_p.exp() * evidence(run.model, x.float(), samples=20).per_point).sum().item()
    assert entropy < nats < entropy + 0.05


@each
def test_a_resumed_run_has_the_bits_of_an_unbroken_one_with_words_dropped(networks, tmp_path):
    data, options = sentences(120), {**SMALL, **networks, "word_dropout": 0.5, "free_bits": 0.1, "warmup": 3}
    for epochs, name in ((3, "whole"), (1, "broken"), (3, "broken")):
        out = tmp_path / name
        fit(sequence_vae(data, **options), data, epochs=epochs, show=False, out=out, resume=out.exists())
    whole, broken = load_run(tmp_path / "whole"), load_run(tmp_path / "broken")
    torch.testing.assert_close(broken.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    assert [r["train"] for r in broken.rows] == [r["train"] for r in whole.rows]


def test_word_dropout_is_for_training_alone():
    data = sentences(60)
    found = [evidence(sequence_vae(data, **SMALL, word_dropout=p).model, data.test, samples=5) for p in (0.0, 0.9)]
    assert torch.equal(found[0].per_point, found[1].per_point)
    method = sequence_vae(data, **SMALL, word_dropout=0.9)
    batch = data.train.batch()
    torch.manual_seed(0)
    a = method.objective(method.model, batch).loss
    torch.manual_seed(0)
    plain = sequence_vae(data, **SMALL, word_dropout=0.0)
    assert a.item() != plain.objective(plain.model, batch).loss.item()


def test_rows_of_one_length_need_no_end():
    x = np.random.RandomState(0).randint(3, size=(60, 4))
    data = from_array(x, kind="categorical")
    model = sequence_vae(data, **SMALL).model.double().eval()
    rows = torch.tensor(list(itertools.product(range(3), repeat=4))).double()
    with torch.no_grad():
        log_p = model.decode(torch.zeros(1, 1, dtype=torch.float64)).log_prob(rows)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert model.likelihood.end is None


def test_tighter_bounds_take_the_model_as_it_is():
    """What asks a Draw its questions gets answers: K draws of z, their gradients doubly reparameterised."""
    from logpx.objectives import IWAE

    data = sentences(60)
    model = sequence_vae(data, **SMALL).model
    IWAE(4)(model, data.train.batch(slice(0, 8))).loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_what_it_cannot_do_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="needs rows of tokens, and these are real data"):
        sequence_vae(from_array(np.random.RandomState(0).randn(20, 3), kind="real"))
    with pytest.raises(UserError, match="leave --context out"):
        sequence_vae(Spec((4,), "categorical", 3, context=2))
    with pytest.raises(UserError, match=r"word_dropout of sequence_vae is 1\.5"):
        sequence_vae(Spec((4,), "sequence", 3), word_dropout=1.5)
    with pytest.raises(UserError, match="3 heads cannot share a width of 8"):
        sequence_vae(Spec((4,), "sequence", 3), decoder="transformer", width=8, heads=3)
    for other in (vae, iwae):
        with pytest.raises(UserError, match="take the recipe sequence_vae"):
            other(sentences(60))
    method = sequence_vae(sentences(60), **SMALL)
    with pytest.raises(UserError, match="have 5 places and the model's have 3"):
        evidence(method.model, torch.zeros(4, 5), samples=2)


def test_a_missing_token_is_refused_in_a_sentence():
    x = np.random.RandomState(0).randint(3, size=(60, 4)).astype(float)
    x[5, 2] = np.nan
    data = from_array(x, kind="categorical")
    with pytest.raises(UserError, match="not a product over data elements"):
        fit(sequence_vae(data, **SMALL), data, epochs=1, show=False)
