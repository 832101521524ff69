"""Top-k keeps exactly k and lets the gradient through them alone; a dictionary's atoms have length 1."""

import torch

from logpx.networks import MLP, Coded, Dictionary, TopK


def test_top_k_keeps_exactly_the_k_largest():
    h = torch.randn(200, 12)
    z = TopK(4)(h)
    assert ((z != 0).sum(-1) == 4).all()
    assert torch.equal(z.gather(-1, h.topk(4).indices), h.topk(4).values)
    assert torch.equal(TopK(12)(h), h)


def test_the_gradient_of_top_k_runs_through_the_support_alone():
    h = torch.randn(200, 12, requires_grad=True)
    z, w = TopK(4)(h), torch.randn(200, 12)
    (z * w).sum().backward()
    torch.testing.assert_close(h.grad, w * (z != 0), rtol=0, atol=0)


def test_an_encoder_ends_in_its_code():
    encoder = Coded(MLP((6,), (), (3,), context=2), torch.nn.Sigmoid())
    x, c = torch.randn(5, 6), torch.randn(5, 2)
    assert torch.equal(encoder(x, c), encoder.network(x, c).sigmoid())


def test_a_dictionary_gains_nothing_from_longer_atoms():
    net, z, c = Dictionary(3, (1, 2, 4), context=2), torch.randn(7, 5, 3), torch.randn(5, 2)
    before = net(z, c)
    assert before.shape == (7, 5, 1, 2, 4)
    net.atoms.data *= 10
    torch.testing.assert_close(net(z, c), before)
    columns = net(torch.eye(3)) - net(torch.zeros(1, 3))
    torch.testing.assert_close(columns.flatten(1).norm(dim=1), torch.ones(3))
