"""Masked networks: strictly causal at every element, without a blind spot, and the same whether run at once or in turns."""

import pytest
import torch

from logpx import networks
from logpx.errors import UserError
from logpx.networks import MADE, GatedPixelCNN

SEE = {"integer": networks.LevelFeatures, "categorical": networks.OneHotFeatures}


def seen(kind: str | None, shape: tuple[int, ...]):
    return SEE[kind](shape, 3) if kind else None


def made(shape, size=1, features=0, hidden=(7, 9), kind=None):
    return MADE(shape, size, features=features, hidden=hidden, see=seen(kind, shape)).double()


def pixelcnn(shape, size=1, features=0, channels=6, kernels=(3, 3), kind=None):
    see = seen(kind, networks.picture(shape))
    return GatedPixelCNN(shape, size, features=features, channels=channels, kernels=kernels, see=see).double()


NETS = {
    "made": lambda: made((6,)),
    "made of one element": lambda: made((1,)),
    "made of two": lambda: made((2,), 2, 1),
    "made without hidden layers": lambda: made((5,), 2, hidden=()),
    "made of a picture in colour": lambda: made((3, 2, 2), 2, 2, (11,)),
    "pixelcnn": lambda: pixelcnn((1, 5, 6)),
    "pixelcnn of one layer": lambda: pixelcnn((1, 4, 4), kernels=(5,)),
    "pixelcnn of a wide window, then one of 1": lambda: pixelcnn((1, 4, 5), 2, 2, kernels=(7, 1)),
    "pixelcnn in colour": lambda: pixelcnn((3, 3, 3), 2, 1, channels=16, kernels=(3, 1)),
    "pixelcnn of a row": lambda: pixelcnn((6,), 2, 1),
    "pixelcnn of one column": lambda: pixelcnn((1, 5, 1)),
}
every_net = pytest.mark.parametrize("name", NETS)


def built(name):
    torch.manual_seed(0)
    net = NETS[name]()
    return net, torch.randn(1, *net.shape).double(), torch.randn(1, net.features, *net.shape).double()


def jacobian(net, x, f):
    """|dh_i/dx_j| summed over the numbers of an element, (P, P), elements in the order they follow one another."""
    J = torch.autograd.functional.jacobian(lambda x: net(x, f)[0].flatten(1), x)
    J = J.reshape(net.size, -1, x.numel()).abs().sum(0)
    return J[net.order][:, net.order]


@every_net
def test_no_element_sees_itself_or_a_later_one(name):
    J = jacobian(*built(name))
    assert bool((J.triu() == 0).all())


@every_net
def test_nothing_within_reach_is_out_of_sight(name):
    """No blind spot: two layers of windows of 3 and of 5, and MADE, see every earlier element that they could."""
    net, x, f = built(name)
    J = sum(jacobian(net, torch.randn_like(x), f) for _ in range(4))  # a rectifier may be off at one x
    reach = sum(layer.column.kernel_size[1] // 2 for layer in getattr(net, "layers", ()) if hasattr(layer, "column"))
    _, H, W = net.shape if len(net.shape) == 3 else (1, 1, net.shape[0])
    for a, i in enumerate(net.order.tolist()):
        for b, j in enumerate(net.order.tolist()[:a]):
            up, right = i // W % H - j // W % H, j % W - i % W
            if isinstance(net, MADE) or (up <= reach and abs(right) <= reach):
                assert J[a, b] > 0, (i, j)


def test_a_residual_around_the_first_layer_would_be_seen():
    """The test of causality can fail: mask B in the first layer hands x_i to its own element."""
    torch.manual_seed(0)
    net = pixelcnn((1, 3, 3))
    net.layers[0].row.mask.fill_(1)
    with torch.no_grad():
        net.layers[0].row.weight.normal_()
    J = jacobian(net, torch.randn(1, 1, 3, 3).double(), torch.zeros(1, 0, 1, 3, 3).double())
    assert bool((J.diagonal() > 0).all())


@every_net
def test_in_turns_it_emits_what_it_emits_at_once(name):
    """The chosen values are those of x, the numbers that led to them those of one pass: in float64 to the last digits."""
    net, _, f = built(name)
    f = torch.randn(3, *f.shape[1:]).double()
    x, emitted = torch.randn(3, *net.shape).double(), {}

    def choose(h, i):
        emitted[i] = h.clone()
        return x.flatten(1)[:, i]

    with torch.no_grad():
        drawn, h = net.generate(f, choose), net(x, f).flatten(2)
    assert torch.equal(drawn, x)
    assert list(emitted) == net.order.tolist()
    for i, mine in emitted.items():
        torch.testing.assert_close(mine, h[:, :, i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", SEE)
@pytest.mark.parametrize("make", [made, pixelcnn])
@pytest.mark.parametrize("shape", [(4,), (2, 2, 3)])
def test_codes_and_levels_are_causal_and_the_same_in_turns(make, shape, kind):
    torch.manual_seed(0)
    net = make(shape, 2, 1, kind=kind)
    x, f = torch.randint(3, (20, *shape)).double(), torch.randn(20, 1, *shape).double()
    h = net(x, f).flatten(2)
    order, emitted = net.order.tolist(), {}
    for turn, j in enumerate(order):
        moved = x.clone()
        moved.flatten(1)[:, j] = (moved.flatten(1)[:, j] + 1) % 3
        change = (net(moved, f).flatten(2) - h).abs().sum((0, 1))[net.order]
        assert bool((change[: turn + 1] == 0).all())
        if turn + 1 < len(order):
            assert change[turn + 1] > 0
    net.generate(f, lambda h, i: emitted.update({i: h}) or x.flatten(1)[:, i])
    for i, mine in emitted.items():
        torch.testing.assert_close(mine, h[:, :, i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["made of a picture in colour", "pixelcnn in colour"])
def test_features_reach_every_element_and_every_layer(name):
    net, x, f = built(name)
    x, f = torch.randn(50, *x.shape[1:]).double(), torch.randn(50, *f.shape[1:]).double().requires_grad_()
    net(x, f).sum().backward()
    assert bool((f.grad != 0).all())
    condition = net.condition if isinstance(net, MADE) else [layer.condition for layer in net.layers]
    assert all(bool((layer.weight.grad.flatten(1).abs().sum(1) > 0).all()) for layer in condition)


@pytest.mark.parametrize("name", ["made of a picture in colour", "pixelcnn in colour"])
def test_many_features_of_one_row_are_that_row_repeated(name):
    net, x, f = built(name)
    x, f = torch.randn(2, *x.shape[1:]).double(), torch.randn(6, *f.shape[1:]).double()
    torch.testing.assert_close(net(x, f), net(x.repeat(3, *[1] * len(net.shape)), f), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["made of a picture in colour", "pixelcnn in colour", "pixelcnn"])
def test_momentum_and_decay_move_no_masked_weight(name):
    net, x, f = built(name)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        net(x, f).square().sum().backward()
        optimizer.step()
    layers = [m for m in net.modules() if hasattr(m, "mask")]
    assert any(bool((m.mask == 0).any()) for m in layers)
    for m in layers:
        assert bool((m.weight[m.mask == 0] == 0).all())
        assert not any("mask" in key for key, _ in m.named_parameters())
    assert bool((jacobian(net, x, f).triu() == 0).all())


def test_bad_sizes_are_sentences():
    for kernels in ((), (4,), (0,)):
        with pytest.raises(UserError, match="odd side of a window"):
            GatedPixelCNN((1, 4, 4), 1, kernels=kernels)
    with pytest.raises(UserError, match="one for each"):
        GatedPixelCNN((3, 4, 4), 1, channels=2)
    with pytest.raises(UserError, match="take 'made'"):
        GatedPixelCNN((4, 4), 1)
