"""Noise acts while training only, is fresh each time, and keeps the mean where it masks."""

import pytest
import torch

from logpx.networks import (
    MLP,
    Corrupted,
    GaussianNoise,
    Masking,
    OneHotFeatures,
    SaltAndPepper,
    Seeing,
    behind_features,
)

NOISES = [GaussianNoise(0.5), Masking(0.3), SaltAndPepper(0.4)]
each_noise = pytest.mark.parametrize("noise", NOISES, ids=lambda n: type(n).__name__)


@each_noise
def test_noise_is_fresh_in_training_and_absent_at_rest(noise):
    encoder, x = Corrupted(MLP((6,), (), (2,)), noise), torch.rand(50, 6)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder.network(x))


@each_noise
def test_a_context_reaches_the_network(noise):
    encoder = Corrupted(MLP((6,), (), (2,), context=3), noise).eval()
    x, c = torch.rand(5, 6), torch.rand(5, 3)
    assert torch.equal(encoder(x, c), encoder.network(x, c))


def test_gaussian_noise_has_its_standard_deviation():
    added = GaussianNoise(0.5)(torch.zeros(100_000))
    assert added.std().item() == pytest.approx(0.5, abs=4 * 0.5 / (2 * 100_000) ** 0.5)
    assert abs(added.mean().item()) < 4 * 0.5 / 100_000**0.5


def test_masking_keeps_the_mean_and_its_share():
    p, n = 0.3, 100_000
    seen = Masking(p)(torch.full((n,), 2.0))
    assert seen.unique().tolist() == pytest.approx([0, 2 / (1 - p)])
    assert (seen == 0).double().mean().item() == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5)
    assert seen.mean().item() == pytest.approx(2.0, abs=4 * 2 * (p / (1 - p) / n) ** 0.5)


def test_salt_and_pepper_replaces_its_share_by_the_extremes_at_even_odds():
    p, n = 0.4, 100_000
    x = torch.full((n,), 0.5)
    x[0], x[1] = -1.0, 3.0
    seen = SaltAndPepper(p)(x)[2:]
    for value in (-1.0, 3.0):
        assert (seen == value).double().mean().item() == pytest.approx(p / 2, abs=4 * (p / 2 / n) ** 0.5)
    assert (seen == 0.5).double().mean().item() == pytest.approx(1 - p, abs=4 * (p / n) ** 0.5)


def test_noise_on_a_table_meets_its_features_and_no_code():
    """Noise of 5 on a raw code 2 of 3 would name a category that does not exist."""
    seen = Seeing(OneHotFeatures((1,), 3), MLP((3,), (), (2,)))
    noisy = behind_features(seen, lambda network: Corrupted(network, GaussianNoise(5.0)))
    assert noisy.sees_missing
    noisy.network.network.net[0].weight.data = torch.eye(2, 3)
    noisy.network.network.net[0].bias.data.zero_()
    spread = noisy(torch.full((10_000, 1), 2.0)).std(0)
    assert spread.tolist() == pytest.approx([5, 5], rel=0.05)
    noisy.eval()
    assert torch.equal(noisy(torch.tensor([[1.0], [torch.nan]])), torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
