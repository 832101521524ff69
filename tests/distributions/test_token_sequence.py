"""The law of token sequences: mass one with its end, padding that is not scored, samples that score at the entropy."""

import itertools
import math

import pytest
import torch

from logpx.distributions import CategoricalLogits
from logpx.distributions.sequence import TokenSequence, inverse, up_to_end
from logpx.errors import UserError
from logpx.networks import LSTMDecoder, TransformerDecoder

T, V, C = 4, 3, 2  # places; tokens, the end included; numbers that say what z is
NETWORKS = {
    "lstm": lambda places: LSTMDecoder(V, C, 8),
    "transformer": lambda places: TransformerDecoder(V, C, places, 8, blocks=2, heads=2),
}
both = pytest.mark.parametrize("name", NETWORKS)


def law(name: str, lead=(), end: int | None = V - 1, places: int = T) -> TokenSequence:
    torch.manual_seed(0)
    network = NETWORKS[name](places).double()
    for p in network.parameters():
        p.data.mul_(3)  # far from uniform
    z = torch.randn(*lead, C, dtype=torch.float64)
    return TokenSequence(network, z.unsqueeze(-1).expand(*z.shape, places), end)


def all_rows(places: int = T) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(V), repeat=places)), dtype=torch.float64)


@both
@pytest.mark.parametrize("end", [V - 1, None])
@torch.no_grad()
def test_all_sequences_together_have_probability_one(name, end):
    px = law(name, (1,), end)
    log_p = px.log_prob(all_rows()[:, None]).squeeze(-1)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    proper = [row for row in all_rows().tolist() if end is None or row == sorted(row, key=lambda c: c == end)]
    assert int(log_p.isfinite().sum()) == len(proper)  # a token after the end has no probability


@both
@torch.no_grad()
def test_log_p_is_the_sum_over_the_places_up_to_the_end(name):
    px = law(name)
    x = torch.tensor([0.0, 1.0, 2.0, 2.0], dtype=torch.float64)
    logits = px.network(x, px.h).log_softmax(-1)
    by_hand = logits[0, 0] + logits[1, 1] + logits[2, 2]
    assert px.log_prob(x).item() == pytest.approx(by_hand.item(), abs=1e-12)
    assert px.log_conditionals(x)[3].item() == 0


@both
@torch.no_grad()
def test_more_padding_changes_no_log_p(name):
    longer = law(name, places=T + 3)
    shorter = TokenSequence(longer.network, longer.h[..., :T], longer.end)
    for row in ([0, 1, 2, 2], [2, 2, 2, 2], [1, 1, 0, 2]):  # each has its end among the T places
        x = torch.tensor(row, dtype=torch.float64)
        padded = torch.nn.functional.pad(x, (0, 3), value=2)
        assert longer.log_prob(padded).item() == pytest.approx(shorter.log_prob(x).item(), abs=1e-12)


@both
def test_padding_gives_no_gradient(name):
    px = law(name)
    logits = px.network(torch.zeros(T, dtype=torch.float64), px.h)
    held = logits.detach().requires_grad_()
    fixed = TokenSequence(lambda x, h: held, px.h, px.end)
    fixed.network.begin = V
    fixed.log_prob(torch.tensor([0.0, 2.0, 2.0, 2.0], dtype=torch.float64)).backward()
    assert held.grad[:2].abs().sum(-1).min() > 0
    assert torch.equal(held.grad[2:], torch.zeros(2, V, dtype=torch.float64))


@both
@torch.no_grad()
def test_draws_of_the_latent_and_rows_broadcast(name):
    px = law(name, (3, 5))
    x = law(name, (5,)).sample()
    together = px.log_prob(x)
    assert together.shape == (3, 5)
    for k, b in itertools.product(range(3), range(5)):
        alone = TokenSequence(px.network, px.h[k, b], px.end).log_prob(x[b])
        assert together[k, b].item() == pytest.approx(alone.item(), abs=1e-12)


@both
@torch.no_grad()
def test_what_stands_for_z_changes_p(name):
    a, b = law(name, (2,)).log_prob(torch.tensor([0.0, 1.0, 0.0, 2.0], dtype=torch.float64)).tolist()
    assert abs(a - b) > 1e-3


@both
@pytest.mark.parametrize("end", [V - 1, None])
@torch.no_grad()
def test_samples_score_at_the_entropy(name, end):
    px = law(name, (1,), end)
    log_p = px.log_prob(all_rows()[:, None])
    entropy = -(log_p.exp() * log_p.masked_fill(log_p.isinf(), 0)).sum()
    torch.manual_seed(1)
    drawn = px.log_prob(px.sample((20_000,)))
    assert abs(drawn.mean() + entropy) < 4 * drawn.std() / math.sqrt(20_000)


@both
@torch.no_grad()
def test_each_sequence_is_drawn_as_often_as_it_is_probable(name):
    px = law(name, (1,))
    torch.manual_seed(2)
    drawn = px.sample((40_000,)).squeeze(1)
    code = (drawn * V ** torch.arange(T).flip(0)).sum(-1).long()
    found = torch.bincount(code, minlength=V**T) / len(drawn)
    p = px.log_prob(all_rows()[:, None]).squeeze(-1).exp()
    assert bool(((found - p).abs() <= 5 * (p * (1 - p) / len(drawn)).sqrt() + 1e-12).all())


@both
@torch.no_grad()
def test_cached_draws_are_those_of_the_whole_pass(name):
    """The same uniforms, once place by place with a memory and once with the whole sequence read anew at each place."""
    px = law(name, (200,))
    u = torch.rand(200, T, dtype=torch.float64)
    x = torch.zeros(200, T, dtype=torch.float64)
    for t in range(T):
        x[:, t] = inverse(px.network(x, px.h)[:, t], u[:, t]).double()
        x[:, t] = torch.where((x[:, :t] == px.end).any(1), px.end, x[:, t])
    assert torch.equal(px.walk(u), x)
    greedy = px.greedy()
    scored = up_to_end(greedy, px.end)
    assert torch.equal(px.network(greedy, px.h).argmax(-1)[scored], greedy.long()[scored])


def test_the_inverse_distribution_function_never_takes_what_cannot_be():
    logits = torch.tensor([0.0, -torch.inf, 0.0, -torch.inf]).expand(5, 4)
    u = torch.tensor([0.0, 0.4999, 0.5, 0.75, 1 - 2**-24])
    assert inverse(logits, u).tolist() == [0, 0, 2, 2, 2]


def test_other_numbers_have_no_probability_and_no_nan():
    px = law("lstm", (1,))
    for row in ([0.0, 0.5, 2.0, 2.0], [0.0, 7.0, 2.0, 2.0], [-1.0, 0.0, 2.0, 2.0], [math.nan, 0.0, 2.0, 2.0]):
        assert px.log_prob(torch.tensor([row], dtype=torch.float64)).item() == -math.inf


def test_a_longer_sequence_is_refused_in_a_sentence():
    for name in NETWORKS:
        with pytest.raises(UserError, match="have 6 places and the model's have 4"):
            law(name).log_prob(torch.zeros(6, dtype=torch.float64))


def test_a_mean_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="have no mean: draw"):
        _ = law("lstm", (1,)).mean


def test_a_last_token_is_like_a_categorical_law():
    px = law("lstm", (2,), None, places=1)
    x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    same = CategoricalLogits(px.network(x, px.h)).log_prob(x).sum(-1)
    torch.testing.assert_close(px.log_prob(x), same)
