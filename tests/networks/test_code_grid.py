"""Networks around a grid of codes: sides that fit, and a transformer that is causal, sums to one and draws what it scores."""

import itertools
import math

import pytest
import torch

from logpx.networks import CausalTransformer, GridDecoder, GridEncoder
from logpx.networks.code_grid import primes


@pytest.mark.parametrize(("side", "rows"), [((28, 28), 7), ((28, 28), 4), ((8, 8), 8), ((12, 20), 3), ((6, 6), 1)])
def test_the_grid_has_the_side_it_was_asked_for_and_the_image_its_own(side, rows):
    factor, (H, W) = side[0] // rows, side
    x = torch.randn(2, 3, 1, H, W)
    encoder, place = GridEncoder((1, H, W), factor, 5, 8), (rows, W // factor)
    h = encoder(x)
    assert h.shape == (2, 3, place[0] * place[1] * 5)
    assert GridDecoder(place, 5, (2, 1, H, W), factor, 8)(h).shape == (2, 3, 2, 1, H, W)


def test_the_numbers_of_one_place_stand_together():
    """Without blocks between, the last 1 x 1 convolution makes them: moved pixels move the numbers of their place."""
    encoder, x = GridEncoder((1, 8, 8), 4, 3, 4), torch.zeros(1, 1, 8, 8)
    encoder.net = torch.nn.Conv2d(1, 3, 4, stride=4)
    moved = x.clone()
    moved[..., :4, 4:] = 1  # top right: the second place in rows
    changed = (encoder(moved) != encoder(x)).view(4, 3)
    assert changed.any(1).tolist() == [False, True, False, False]


def test_primes():
    assert [primes(n) for n in (1, 2, 28, 49)] == [[], [2], [2, 2, 7], [7, 7]]


def trained_a_little(tokens=4, codes=3):
    net = CausalTransformer(tokens, codes, width=8, layers=2, heads=2).double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return net


def test_before_training_every_grid_has_minus_n_log_k():
    k = torch.randint(7, (5, 6))
    found = CausalTransformer(6, 7, width=8).log_prob(k)
    torch.testing.assert_close(found, torch.full((5,), -6 * math.log(7)))


def test_the_probabilities_of_all_grids_sum_to_one():
    net = trained_a_little()
    grids = torch.tensor(list(itertools.product(range(3), repeat=4)))
    assert net.log_prob(grids).logsumexp(0).item() == pytest.approx(0, abs=1e-12)


def test_no_token_sees_itself_or_what_follows():
    net, k = trained_a_little(6, 5), torch.randint(5, (1, 6))
    for t in range(6):
        other = k.clone()
        other[0, t] = (k[0, t] + 1) % 5
        same = (net(k) - net(other)).abs().amax(-1)[0]
        assert same[: t + 1].max().item() == 0
        assert t == 5 or same[t + 1 :].min().item() > 0


def test_draws_with_kept_keys_and_values_come_from_the_law_that_is_scored():
    """Mean log p at the draws is minus the entropy, and each grid comes as often as its probability says."""
    net = trained_a_little()
    grids = torch.tensor(list(itertools.product(range(3), repeat=4)))
    log_p = net.log_prob(grids).detach()
    p = log_p.exp()
    with torch.no_grad():
        drawn = net.sample(20_000)
        scored = net.log_prob(drawn)
    entropy = -(p * log_p).sum()
    deviation = ((p * log_p.square()).sum() - entropy.square()).sqrt().item()
    assert scored.mean().item() == pytest.approx(-entropy.item(), abs=4 * deviation / math.sqrt(20_000))
    counts = torch.bincount((drawn * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81).double()
    chi = ((counts - 20_000 * p).square() / (20_000 * p)).sum().item()
    assert abs(chi - 80) < 5 * math.sqrt(160)
