"""Everything about a model's codes at once: a model that emits the factors, labels alone, spaces without axes, refusals."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from logpx import likelihoods, posteriors, priors, recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.evaluate import representation
from logpx.ladder import with_second_layer
from logpx.model import VAE


class Reads(nn.Module):
    """q(z|x) = N(W x, s^2) for a fixed W."""

    def __init__(self, weight: Tensor, log_variance: float) -> None:
        super().__init__()
        self.weight, self.log_variance = nn.Parameter(weight), log_variance

    def forward(self, x: Tensor) -> Tensor:
        z = x @ self.weight.T
        return torch.cat([z, torch.full_like(z, self.log_variance)], -1)


def model_of(weight: Tensor, log_variance: float = -8.0) -> VAE:
    D, P = weight.shape
    return VAE(
        encoder=Reads(weight, log_variance),
        posterior=posteriors.DiagNormal(D),
        prior=priors.StandardNormal(D),
        decoder=nn.Sequential(nn.Linear(D, P), nn.Unflatten(-1, (1, P))),
        likelihood=likelihoods.Gaussian((P,), 1.0),
    )


def known(n: int = 600) -> Data:
    """Rows that are their own factors, sorted by them."""
    v = np.sort(np.arange(n) % 15)
    v = np.stack([v // 5, v % 5], 1)
    factors = {"kind": np.array(["a", "b", "c"])[v[:, 0]], "size": v[:, 1]}
    return from_array(v.astype(np.float32), kind="real", held_out=0, test=n // 4, factors=factors)


def test_a_model_that_emits_the_factors_has_every_score_at_its_ceiling():
    found = representation(model_of(torch.tensor([[0.0, 1.0], [2.0, 0.0]])), known())
    scores = {score.name: score.value for score in found.scores}
    exact = ("mig", "modularity", "dci disentanglement", "dci completeness", "dci informativeness")
    assert [scores[name] for name in exact] == pytest.approx([1] * 5, abs=0.02)  # splits are nearly a full design
    assert (scores["factor_vae"], scores["beta_vae"]) == (1, 1)
    assert scores["mig of q"] == pytest.approx(1, abs=0.02)
    assert scores["sap"] == pytest.approx((2 / 3 + 1) / 2, abs=0.02)
    assert [(p.target, p.reader, p.measure) for p in found.probes] == [
        ("kind", "linear", "accuracy"), ("kind", "nearest neighbours", "accuracy"),
        ("size", "linear", "R^2"), ("size", "nearest neighbours", "R^2"),
    ]  # fmt: skip
    assert all(probe.value == pytest.approx(1, abs=1e-6) for probe in found.probes)
    assert (found.codes, found.dims, found.alive, found.split) == ("posterior means", 2, 2, "test")
    assert (found.rows, found.test_rows) == (450, 150)


def test_a_rotation_lowers_the_scores_of_axes_and_leaves_the_linear_probe():
    data, turn = known(), torch.tensor([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
    straight, turned = (
        representation(model_of(w), data) for w in (torch.eye(2), turn @ torch.diag(torch.tensor([1.7, 1])))
    )
    for name in ("mig", "mig of q", "sap", "dci disentanglement", "dci completeness"):
        assert turned.score(name) < 0.8 * straight.score(name)
    for one, other in zip(straight.probes, turned.probes, strict=True):
        assert other.value == pytest.approx(one.value, abs=1e-3)


def test_rows_are_drawn_so_a_sorted_file_shows_all_levels():
    found = representation(model_of(torch.eye(2)), known(), rows=100)
    assert (found.rows, found.test_rows) == (100, 100)
    assert found.score("factor_vae") == 1


def test_a_dimension_that_repeats_a_factor_in_a_whisper_passes_for_the_means_and_not_for_q():
    w = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1e-3, 0.0]])
    model = model_of(w, log_variance=-2.0)
    found = representation(model, known())
    assert found.score("mig") == pytest.approx(0.5, abs=0.02)  # one factor of the two has two dimensions
    assert found.score("mig of q") > 0.7
    assert found.alive == 2


def test_it_is_seeded_and_leaves_the_random_state_alone():
    model, data = model_of(torch.tensor([[1.0, 0.4], [-0.3, 1.0]]), -1.0), known()
    before = torch.get_rng_state()
    one, again, other = (representation(model, data, rows=100, seed=seed) for seed in (0, 0, 1))
    assert one == again != other
    assert torch.equal(before, torch.get_rng_state())


def test_the_summary_is_json():
    found = representation(model_of(torch.eye(2)), known(120), rows=60)
    told = json.loads(json.dumps(found.summary(), allow_nan=False))
    assert told["factors"] == ["kind", "size"]
    assert told["scores"]["factor_vae"]["chance"] == 0.5
    assert told["scores"]["mig"]["standard_error"] is None  # too few rows for the jackknife
    assert told["probes"][0]["target"] == "kind"
    assert "+-" not in str(found.scores[0])


def labelled(**options: int) -> Data:
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    return from_array(x, kind="real", labels=(x[:, 0] > 0).long().numpy(), **options)


def test_labels_alone_are_probed():
    data = labelled(test=60)
    found = representation(recipes.vae(data.spec, latent=3, hidden=(8,)).model, data)
    assert found.scores == found.factors == ()
    assert [probe.target for probe in found.probes] == ["label", "label"]
    assert 0 <= found.probes[0].value <= 1


def test_held_out_rows_stand_in_for_test_rows():
    data = labelled(test=0, held_out=40)
    found = representation(recipes.ae(data.spec, latent=3, hidden=(8,)).model, data)
    assert (found.split, found.test_rows, found.codes) == ("held_out", 40, "codes")
    data = labelled(test=0, held_out=0)
    model = recipes.vae(data.spec, latent=3, hidden=(8,)).model
    with pytest.raises(UserError, match="set some apart"):
        representation(model, data)


@pytest.mark.parametrize("recipe", ["hyperspherical_vae", "poincare_vae", "mixed_curvature_vae"])
def test_a_curved_space_is_probed_and_not_scored(recipe):
    data = known(120)
    found = representation(getattr(recipes, recipe)(data.spec, hidden=(8,)).model, data)
    assert found.scores == ()
    assert found.note is not None
    assert "no axes" in found.note
    assert len(found.probes) == 4
    assert found.codes == "centres of q(z|x)"


def test_categorical_latents_are_read_as_probabilities_and_two_layers_as_their_means():
    data = known(120)
    found = representation(recipes.dvae(data.spec, variables=2, classes=3, hidden=(8,)).model, data, rows=60)
    assert (found.codes, found.dims) == ("probabilities of classes", 6)
    assert "mig of q" not in {score.name for score in found.scores}
    two = with_second_layer(model_of(torch.eye(2)), (2, 1), (4,))
    assert representation(two, data, rows=60).dims == 3


def test_what_has_no_codes_or_nothing_to_compare_them_with_is_refused():
    data, bare = labelled(), from_array(torch.randn(50, 4), kind="real")
    made, codes = (
        recipes.made(data.spec, hidden=(8,)).model,
        recipes.vq_vae(data.spec, codes=8, width=2, hidden=(8,)).model,
    )
    plain = recipes.vae(bare.spec, latent=2, hidden=(8,)).model
    with pytest.raises(UserError, match="no latent"):
        representation(made, data)
    with pytest.raises(UserError, match="code_usage"):
        representation(codes, data)
    with pytest.raises(UserError, match="Nothing is known"):
        representation(plain, bare)
