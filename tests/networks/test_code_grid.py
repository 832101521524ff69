"""Networks around a grid of codes: sides that fit, and a transformer that is causal and chooses each token as it is scored."""

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


def test_before_training_all_codes_are_as_likely():
    x = torch.randint(7, (5, 6)).float()
    assert CausalTransformer(6, 7, width=8)(x, x[:, :0]).tolist() == torch.zeros(5, 7, 6).tolist()


def test_no_token_sees_itself_or_what_follows():
    net, x = trained_a_little(6, 5), torch.randint(5, (1, 6)).double()
    for t in range(6):
        other = x.clone()
        other[0, t] = (x[0, t] + 1) % 5
        same = (net(x, x[:, :0]) - net(other, x[:, :0])).abs().amax(1)[0]
        assert same[: t + 1].max().item() == 0
        assert t == 5 or same[t + 1 :].min().item() > 0


def test_kept_keys_and_values_give_the_numbers_of_one_pass():
    net, heard = trained_a_little(), []

    def choose(h, i):
        heard.append(h)
        return h.argmax(-1)

    x = net.generate(torch.zeros(3, 0, 4).double(), choose)
    assert x.dtype == torch.float64
    torch.testing.assert_close(torch.stack(heard, -1), net(x, x[:, :0]), rtol=0, atol=1e-12)
