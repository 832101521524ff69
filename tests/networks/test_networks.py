"""Shapes, parameter counts and row-wise independence of the plain networks."""

import pytest
import torch
from torch import nn

from logpx.networks import MLP, ConvDecoder, ConvEncoder, halved

IMAGES = [(1, 1, 1), (3, 7, 5), (1, 28, 28), (2, 9, 16)]
each_image = pytest.mark.parametrize("shape", IMAGES, ids=str)
each_lead = pytest.mark.parametrize("lead", [(), (4,), (3, 4)], ids=str)


def numbers_of(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_the_reference_network_784_400_2_400_784_has_631188_parameters():
    encoder, decoder = MLP((1, 28, 28), (400,), (4,)), MLP((2,), (400,), (1, 1, 28, 28))
    assert numbers_of(encoder, decoder) == 784 * 400 + 400 + 400 * 4 + 4 + 2 * 400 + 400 + 400 * 784 + 784 == 631_188


def test_an_mlp_is_its_layers_written_out():
    net, x = MLP((2, 3), (5, 4), (2, 1), activation=nn.Tanh).double(), torch.randn(7, 2, 3).double()
    first, second, third = [m for m in net.net if isinstance(m, nn.Linear)]
    h = torch.tanh(x.flatten(1) @ first.weight.T + first.bias)
    h = torch.tanh(h @ second.weight.T + second.bias)
    expected = (h @ third.weight.T + third.bias).reshape(7, 2, 1)
    torch.testing.assert_close(net(x), expected, rtol=1e-13, atol=1e-13)


def test_an_mlp_without_hidden_layers_is_linear():
    net, x, y = MLP((3,), (), (2,)).double(), torch.randn(3).double(), torch.randn(3).double()
    torch.testing.assert_close(net(x + y) + net(torch.zeros(3).double()), net(x) + net(y), rtol=1e-13, atol=1e-13)


@each_lead
@each_image
def test_any_number_of_leading_axes_goes_in_and_comes_out(shape, lead):
    x, z = torch.randn(*lead, *shape), torch.randn(*lead, 2)
    for encoder in (MLP(shape, (8,), (6,)), ConvEncoder(shape, (6,), channels=(4, 8), hidden=(8,))):
        assert encoder(x).shape == (*lead, 6)
    for decoder in (MLP((2,), (8,), (2, *shape)), ConvDecoder((2,), (2, *shape), channels=(8, 4), hidden=(8,))):
        assert decoder(z).shape == (*lead, 2, *shape)


@each_image
def test_a_row_does_not_depend_on_the_other_rows(shape):
    x, z = torch.randn(5, *shape).double(), torch.randn(2, 5, 2).double()
    encoder, decoder = ConvEncoder(shape, (6,)).double(), ConvDecoder((2,), (1, *shape)).double()
    torch.testing.assert_close(torch.cat([encoder(part) for part in x.split(2)]), encoder(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        torch.cat([decoder(part) for part in z.split(2, 1)], 1), decoder(z), rtol=1e-12, atol=1e-12
    )


@each_image
def test_every_parameter_and_every_pixel_takes_part(shape):
    x, z = torch.randn(16, *shape, requires_grad=True), torch.randn(16, 2)
    encoder, decoder = ConvEncoder(shape, (6,)), ConvDecoder((2,), (1, *shape))
    encoder(x).square().sum().backward()
    decoder(z).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for net in (encoder, decoder) for p in net.parameters())
    assert (x.grad.abs().sum(0) > 0).all()
    assert (decoder(z).std(0) > 0).all()


@pytest.mark.parametrize("side", range(1, 40))
def test_halved_is_the_side_that_strided_convolutions_leave(side):
    x = torch.zeros(1, 1, side, side)
    for times in (1, 2, 3):
        x = nn.functional.conv2d(x, torch.zeros(1, 1, 3, 3), stride=2, padding=1)
        assert halved(side, times) == x.shape[-1]


NETWORKS = {
    "mlp": (MLP((3, 4, 4), (8,), (2,), context=3), (3, 4, 4)),
    "conv encoder": (ConvEncoder((3, 4, 4), (2,), context=3, hidden=(8,)), (3, 4, 4)),
    "conv decoder": (ConvDecoder((2,), (1, 3, 4, 4), context=3, hidden=(8,)), (2,)),
}
each_network = pytest.mark.parametrize(("net", "inputs"), NETWORKS.values(), ids=NETWORKS)


@each_network
def test_a_context_is_shared_by_all_samples_of_its_row(net, inputs):
    x, context = torch.randn(5, 4, *inputs), torch.randn(4, 3)
    whole = net(x, context)
    for k in range(5):
        torch.testing.assert_close(whole[k], net(x[k], context), rtol=1e-5, atol=1e-6)
    for i in range(4):
        torch.testing.assert_close(whole[:, i], net(x[:, i], context[i]), rtol=1e-5, atol=1e-6)
    assert (whole - net(x, context.flip(0))).abs().max() > 1e-3


@each_network
def test_a_network_made_for_a_context_refuses_to_run_without_one(net, inputs):
    with pytest.raises(RuntimeError):
        net(torch.randn(4, *inputs))


@each_network
def test_networks_are_one_graph(net, inputs):
    x, context = torch.randn(5, 4, *inputs), torch.randn(4, 3)
    torch.compiler.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, context), net(x, context), rtol=1e-5, atol=1e-6)
