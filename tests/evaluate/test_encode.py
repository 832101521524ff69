"""Codes of rows: the means of q(z|x), the same in any pieces, whatever space z lives in."""

import pytest
import torch

from logpx import recipes
from logpx.data import Spec
from logpx.distributions.spaces import centres
from logpx.errors import UserError
from logpx.evaluate import codes, rows_of_codes
from logpx.model import VAE, Batch


def model(recipe: str = "vae", **options) -> VAE:
    return recipes.find(recipe).build(Spec((4,), "real"), seed=3, latent=3, **({"hidden": (8,)} | options)).model


def rows(n: int) -> torch.Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1))


def test_they_are_the_means_and_standard_deviations_of_q():
    m, x = model(), rows(300)
    found, q = codes(m, x), m.encode(Batch(x))
    torch.testing.assert_close(found.z, q.mean.detach())
    torch.testing.assert_close(found.spread, q.stddev.detach())


def test_a_full_covariance_has_the_deviations_of_its_diagonal():
    m, x = model(posterior="full"), rows(5)
    q = m.encode(Batch(x))
    torch.testing.assert_close(codes(m, x).spread, q.covariance_matrix.diagonal(dim1=1, dim2=2).sqrt().detach())


def test_pieces_are_coded_as_the_whole_to_the_last_bit():
    m, x, tile = model(), rows(600), rows_of_codes((4,))
    whole = codes(m, x)
    for a, b in ((0, tile), (tile, 600)):
        piece = codes(m, x[a:b])
        assert torch.equal(piece.z, whole.z[a:b])
        assert torch.equal(piece.spread, whole.spread[a:b])


@pytest.mark.parametrize("recipe", ["hyperspherical_vae", "poincare_vae", "mixed_curvature_vae"])
def test_on_a_curved_space_they_are_its_points(recipe):
    m, x = recipes.find(recipe).build(Spec((4,), "real"), seed=3, hidden=(8,)).model, rows(5)
    found = codes(m, x)
    torch.testing.assert_close(found.z, centres(m.encode(Batch(x))).detach())
    if recipe == "hyperspherical_vae":
        torch.testing.assert_close(found.z.norm(dim=1), torch.ones(5))
        assert found.spread is None


def test_gaps_and_contexts_are_seen_by_the_encoder():
    m, x = model(), rows(5)
    holes = x.clone()
    holes[2, 1] = torch.nan
    assert not torch.equal(codes(m, holes).z[2], codes(m, x).z[2])
    assert torch.equal(codes(m, holes).z[3], codes(m, x).z[3])


def test_what_has_no_codes_is_a_sentence():
    with pytest.raises(UserError, match="no latent"):
        codes(recipes.made(Spec((4,), "binary"), hidden=(8,)).model, rows(3).gt(0).float())
    with pytest.raises(UserError, match="no rows"):
        codes(model(), rows(0))
