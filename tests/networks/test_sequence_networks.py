"""The networks of sequences: strictly causal decoders, encoders that do not read padding, word dropout at training only."""

import pytest
import torch
from torch import nn

from logpx.errors import UserError
from logpx.networks import AtEveryPlace, LSTMDecoder, LSTMEncoder, TransformerDecoder, TransformerEncoder
from logpx.networks.sequence import Recurrence, TokensBefore

T, L, C, W = 6, 5, 3, 8
DECODERS = {
    "lstm": lambda dropout=0.0: LSTMDecoder(L, C, W, word_dropout=dropout),
    "transformer": lambda dropout=0.0: TransformerDecoder(L, C, T, W, blocks=2, heads=2, word_dropout=dropout),
}
ENCODERS = {
    "lstm": lambda end: LSTMEncoder(L, 4, W, end=end),
    "transformer": lambda end: TransformerEncoder(L, 4, T, W, blocks=2, heads=2, end=end),
}
each_decoder, each_encoder = (pytest.mark.parametrize("name", table) for table in (DECODERS, ENCODERS))


def decoder(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return DECODERS[name](**options).double()


def told() -> torch.Tensor:
    z = torch.randn(C, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return AtEveryPlace(T)(z)


class Embedded(nn.Module):
    """Stands where the decoder's tokens are read, and takes embeddings in their place."""

    def __init__(self, tokens: TokensBefore) -> None:
        super().__init__()
        self.first = tokens.table.weight[tokens.begin]

    def forward(self, e: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.first[None], e[:-1]])


@each_decoder
def test_the_jacobian_on_the_embeddings_is_strictly_causal_at_every_place(name):
    network = decoder(name)
    network.tokens = Embedded(network.tokens)
    e = torch.randn(T, W, dtype=torch.float64)
    J = torch.autograd.functional.jacobian(lambda e: network(e, told()), e).abs().sum((1, 3))
    # J[t, s]: logits at t by the embedding of the token at s; all of the past counts, nothing else does
    assert torch.equal(J.triu(), torch.zeros(T, T, dtype=torch.float64))
    assert bool((J[torch.tril_indices(T, T, -1).unbind()] > 1e-9).all())


@each_decoder
@torch.no_grad()
def test_another_token_changes_what_follows_it_alone(name):
    network, x = decoder(name), torch.randint(L, (T,), generator=torch.Generator().manual_seed(2)).double()
    before = network(x, told())
    for s in range(T):
        other = x.clone()
        other[s] = (x[s] + 1) % L
        changed = (network(other, told()) - before).abs().sum(-1) > 0
        assert changed.tolist() == [t > s for t in range(T)]


@each_decoder
@torch.no_grad()
def test_place_by_place_gives_the_logits_of_the_one_pass(name):
    network = decoder(name)
    h = torch.randn(3, 2, C, T, dtype=torch.float64)
    x = torch.randint(L, (3, 2, T)).double()
    memory, last, found = network.start(h), torch.full((3, 2), network.begin), []
    for t in range(T):
        logits, memory = network.step(last, h[..., t], memory)
        found.append(logits)
        last = x[..., t].long()
    torch.testing.assert_close(torch.stack(found, -2), network(x, h))


@each_decoder
@torch.no_grad()
def test_words_are_dropped_while_training_and_never_at_rest(name):
    network, x = decoder(name, dropout=0.5), torch.zeros(2, T, dtype=torch.float64)
    plain = decoder(name)
    network.eval()
    assert torch.equal(network(x, told()), network(x, told()))
    assert torch.equal(network(x, told()), plain(x, told()))
    network.train()
    assert not torch.equal(network(x, told()), network(x, told()))


@torch.no_grad()
def test_each_token_before_is_blanked_with_that_probability_and_the_beginning_never():
    tokens = TokensBefore(L, 1, 0.3)
    tokens.table.weight.copy_(torch.arange(L + 2.0)[:, None])
    seen = tokens(torch.ones(20_000, 3)).squeeze(-1)
    assert bool((seen[:, 0] == tokens.begin).all())
    assert ((seen[:, 1:] == tokens.blank).float().mean() - 0.3).abs() < 4 * (0.3 * 0.7 / 40_000) ** 0.5
    assert set(seen[:, 1:].unique().tolist()) == {1.0, tokens.blank}
    assert bool((TokensBefore(L, 1, 1.0)(torch.ones(5, 3))[:, 1:] == tokens.table.weight[0]).any()) is False


@each_encoder
@torch.no_grad()
def test_an_encoder_reads_up_to_the_end_and_not_what_fills_the_rest(name):
    torch.manual_seed(0)
    network = ENCODERS[name](L - 1).double()
    x = torch.tensor([[0, 1, 4, 4, 4, 4], [0, 1, 4, 2, 3, 0], [0, 4, 1, 1, 1, 1], [0, 1, 2, 3, 3, 3]]).double()
    a, filled, shorter, longer = network(x)
    torch.testing.assert_close(a, filled, rtol=0, atol=1e-14)
    assert (a - shorter).abs().max() > 1e-3
    assert (a - longer).abs().max() > 1e-3


@each_encoder
@torch.no_grad()
def test_without_an_end_an_encoder_reads_every_place(name):
    torch.manual_seed(0)
    network, x = ENCODERS[name](None).double(), torch.full((T,), L - 1.0, dtype=torch.float64)
    for t in range(T):
        other = x.clone()
        other[t] = 0
        assert (network(other) - network(x)).abs().max() > 1e-6


@torch.no_grad()
def test_the_recurrence_is_torchs_lstm():
    torch.manual_seed(0)
    ours, judge = Recurrence(3, W).double(), nn.LSTM(3, W, batch_first=True).double()
    judge.weight_ih_l0.copy_(ours.seen.weight)
    judge.weight_hh_l0.copy_(ours.kept.weight)
    judge.bias_ih_l0.copy_(ours.seen.bias)
    judge.bias_hh_l0.zero_()
    x = torch.randn(2, T, 3, dtype=torch.float64)
    torch.testing.assert_close(ours(ours.seen(x)), judge(x)[0])


@torch.no_grad()
def test_a_block_is_torchs_transformer_layer():
    network = decoder("transformer")
    block, judge = (
        network.blocks[0],
        nn.TransformerEncoderLayer(W, 2, 4 * W, 0.0, "gelu", batch_first=True, norm_first=True),
    )
    judge = judge.double().eval()
    pairs = {
        "self_attn.in_proj": block.query_key_value,
        "self_attn.out_proj": block.joined,
        "linear1": block.up,
        "linear2": block.down,
        "norm1": block.before,
        "norm2": block.between,
    }
    state = judge.state_dict()
    for name_, part in pairs.items():
        dot = "_" if name_.endswith("in_proj") else "."
        state[f"{name_}{dot}weight"], state[f"{name_}{dot}bias"] = part.weight, part.bias
    judge.load_state_dict(state)
    y, sees = torch.randn(2, T, W, dtype=torch.float64), torch.ones(T, T, dtype=torch.bool).tril()
    torch.testing.assert_close(block(y, sees), judge(y, src_mask=~sees))


def test_what_cannot_be_is_refused_in_a_sentence():
    with pytest.raises(UserError, match=r"word_dropout is 1\.5"):
        LSTMDecoder(L, C, W, word_dropout=1.5)
    with pytest.raises(UserError, match="3 heads cannot share a width of 8"):
        TransformerDecoder(L, C, T, W, heads=3)
    with pytest.raises(UserError, match="knows 6 places, and these sequences have 9"):
        decoder("transformer")(torch.zeros(9, dtype=torch.float64), torch.zeros(C, 9, dtype=torch.float64))
