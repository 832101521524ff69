"""Many models as one: each one's gradient and noise are its own, and what is not alike is not taken together."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from logpx import objectives, recipes
from logpx.evaluate import private_randomness
from logpx.model import Batch
from logpx.objectives import ELBO, Cyclical, Warmup
from logpx.train.at_once import Given, Pair, Stacked, Stream, Tape, alike

CPU = torch.device("cpu")


def rows(n: int = 10) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, 5))


def pair(recipe: str, seed: int = 0, **options: Any) -> Pair:
    method = getattr(recipes, recipe)(rows(), seed=seed, latent=2, hidden=(8,), **options)
    made = Pair(method.model.double(), method.objective)
    made(Batch(rows().double()))  # asks for the KL, as the dry run does
    return made


def stream(seed: int) -> Stream:
    with private_randomness(CPU, seed):
        return Stream(CPU)


EACH = {
    "vae": [{"seed": 0}, {"seed": 1}, {"seed": 2, "warmup": 7}],
    "beta_vae": [{"seed": s, "beta": b} for s, b in ((0, 0.5), (1, 4.0), (2, 4.0))],
    "iwae plain": [{"seed": s, "samples": 5, "gradient": "plain"} for s in range(3)],
    "iwae stl": [{"seed": s, "samples": 5, "gradient": "stl"} for s in range(3)],
    "iwae dreg": [{"seed": s, "samples": 5, "gradient": "dreg"} for s in range(3)],
}


#: a hook on z is only met inside, and the rehearsal sees to that
WAYS = [(name, inside) for name in EACH for inside in (True, False) if inside or name != "iwae dreg"]


@pytest.mark.parametrize(("name", "inside"), WAYS)
def test_each_gradient_is_that_of_the_model_alone_with_its_own_rows_and_noise(name: str, inside: bool) -> None:
    """In float64 to rounding; alone means backward() under torch's global stream, without any of the code under test."""
    seeds, x = (5, 6, 7), rows(30).double().unflatten(0, (3, 10))
    alone = []
    for options, seed, its in zip(EACH[name], seeds, x, strict=True):
        lone = pair(name.split()[0], **options)
        with private_randomness(CPU, seed):
            step = lone(Batch(its))
            second = lone(Batch(its)).loss.item()
        step.loss.backward()
        alone.append((step.loss.item(), second, {n: p.grad for n, p in lone.named_parameters()}))
    stacked, streams = Stacked([pair(name.split()[0], **o) for o in EACH[name]]), [stream(seed) for seed in seeds]
    gradients, terms = stacked.gradients(Batch(x), streams, inside=inside)
    _, after = stacked.gradients(Batch(x), streams)
    for i, (loss, second, by_name) in enumerate(alone):
        assert terms["loss"][i].item() == pytest.approx(loss, rel=1e-13)
        assert after["loss"][i].item() == pytest.approx(second, rel=1e-13)  # each stream goes on where it stood
        for key, gradient in by_name.items():
            torch.testing.assert_close(gradients[key][i], gradient, rtol=1e-11, atol=1e-13)
    assert len({loss for loss, *_ in alone}) == 3


def test_the_hook_of_a_doubly_reparameterised_gradient_is_not_met_outside() -> None:
    """Why there are two ways, and why a rehearsal chooses between them."""
    x = rows(30).double().unflatten(0, (3, 10))
    found = []
    for inside in (True, False):
        stacked = Stacked([pair("iwae", **options) for options in EACH["iwae dreg"]])
        found.append(stacked.gradients(Batch(x), [stream(seed) for seed in (5, 6, 7)], inside=inside)[0])
    encoder = next(name for name in found[0] if "encoder" in name)
    decoder = next(name for name in found[0] if "decoder" in name)
    torch.testing.assert_close(found[0][decoder], found[1][decoder], rtol=1e-11, atol=1e-13)
    assert (found[0][encoder] - found[1][encoder]).abs().max() > 1e-2


def test_tensors_are_slices_until_they_are_released() -> None:
    pairs = [pair("beta_vae", seed=s, beta=2.0 + s) for s in range(2)]
    before = [{n: t.clone() for n, t in p.state_dict().items()} for p in pairs]
    stacked = Stacked(pairs)
    assert all(torch.equal(t, before[i][n]) for i, p in enumerate(pairs) for n, t in p.state_dict().items())
    name = next(iter(stacked.learned))
    stacked.learned[name][1] += 1.0
    assert torch.equal(pairs[0].state_dict()[name], before[0][name])
    assert torch.equal(pairs[1].state_dict()[name], before[1][name] + 1.0)
    pairs[0].objective.beta.now.fill_(9.0)
    assert stacked.held["objective.beta.now"].tolist() == [9.0, 3.0]
    stacked.release()
    stacked.learned[name].zero_()
    assert torch.equal(pairs[1].state_dict()[name], before[1][name] + 1.0)


class Twice(nn.Module):
    """A module that is kept at two places, and a tensor at two."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.one = nn.Linear(1, 1)
        self.other, self.third = self.one, nn.Linear(1, 1)
        self.third.weight = self.one.weight
        nn.init.constant_(self.one.weight, start)

    def forward(self, batch: Batch) -> objectives.Step:
        loss = (self.other(batch.x) + self.third(batch.x)).mean()
        return objectives.Step(loss, {"loss": loss.detach()})


def test_shared_modules_and_tied_tensors_are_one() -> None:
    twins = [Twice(1.0), Twice(2.0)]
    x = torch.ones(2, 3, 1)
    stacked = Stacked(twins)  # type: ignore[arg-type]
    gradients, terms = stacked.gradients(Batch(x), [stream(0), stream(1)])
    assert gradients["one.weight"].flatten().tolist() == [2.0, 2.0]  # of both places
    own = [2 * start + t.one.bias.item() + t.third.bias.item() for start, t in zip((1.0, 2.0), twins, strict=True)]
    assert terms["loss"].tolist() == pytest.approx(own, abs=1e-6)
    assert type(twins[0].one.weight) is nn.Parameter  # put back, at every place
    assert twins[0].other.weight is twins[0].one.weight is twins[0].third.weight
    assert twins[0].one.weight.item() == 1.0


class Drawing(nn.Module):
    """Draws by a function of torch's."""

    def __init__(self, draw: Any) -> None:
        super().__init__()
        self.draw, self.weight = draw, nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> objectives.Step:
        loss = (self.weight * batch.x + self.draw(batch.x)).mean()
        return objectives.Step(loss, {"loss": loss.detach()})


DRAWS = {
    "normal_": lambda x: torch.empty(x.shape).normal_(1.0, std=2.0),
    "uniform_": lambda x: torch.empty(x.shape).uniform_(2, 3),
    "exponential_": lambda x: torch.empty(x.shape).exponential_(0.5),
    "randn": lambda x: torch.randn(x.shape),
    "rand": lambda x: torch.rand(*x.shape) - torch.rand(x.shape),
    "randn_like": torch.randn_like,
    "rand_like": torch.rand_like,
    "double": lambda x: torch.randn(x.shape, dtype=torch.float64),
}


@pytest.mark.parametrize("name", DRAWS)
def test_what_is_drawn_beforehand_is_what_torch_would_draw(name: str) -> None:
    alone = []
    for seed in (3, 4):
        with private_randomness(CPU, seed):
            alone.append(Drawing(DRAWS[name])(Batch(torch.zeros(40, 2))).loss.item())
    stacked = Stacked([Drawing(DRAWS[name]), Drawing(DRAWS[name])])  # type: ignore[list-item]
    before = torch.get_rng_state()
    _, terms = stacked.gradients(Batch(torch.zeros(2, 40, 2)), [stream(3), stream(4)])
    assert terms["loss"].tolist() == pytest.approx(alone, rel=1e-6)
    assert torch.equal(torch.get_rng_state(), before)


REFUSED = {
    "bernoulli": torch.bernoulli,
    "dropout": lambda x: torch.nn.functional.dropout(x + 1),
    "permutation": lambda x: torch.randperm(len(x)).float()[:, None],
    "a generator": lambda x: torch.randn(x.shape, generator=torch.Generator().manual_seed(0)),
    "a decision": lambda x: x if x.sum() > 0 else -x,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_drawn_beforehand_is_refused_and_never_shared(name: str) -> None:
    stacked = Stacked([Drawing(REFUSED[name]), Drawing(REFUSED[name])])  # type: ignore[list-item]
    with pytest.raises(RuntimeError):
        stacked.gradients(Batch(torch.zeros(2, 40, 2)), [stream(3), stream(4)])


def test_given_numbers_come_in_their_order() -> None:
    with private_randomness(CPU, 1), Tape() as tape:
        first, second = torch.rand(3), torch.randn(2)
    with Given([drawn.like for drawn in tape.drawn]):
        assert torch.equal(torch.rand(3), first)
        assert torch.equal(torch.randn(2), second)


def test_a_stream_flows_on() -> None:
    own = stream(5)
    with private_randomness(CPU, 5):
        expected = [torch.randn(3) for _ in range(3)]
    outside = torch.get_rng_state()
    with own.flowing():
        first = torch.randn(3)
    second = torch.empty(3).normal_(generator=own.generator)
    with own.flowing():
        third = torch.randn(3)
    assert all(map(torch.equal, (first, second, third), expected))
    assert not torch.equal(torch.get_rng_state(), outside)  # whoever enters it puts the global state back


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"beta": 1.0}, {"beta": 2.0}),
        ({"beta": Warmup(10)}, {"beta": Warmup(20, 0.0, 4.0)}),
        ({"beta": Warmup(10)}, {"beta": Cyclical(20)}),
        ({"beta": Warmup(10)}, {"beta": 1.0}),
        ({"free_bits": 0.5}, {"free_bits": 0.5}),
    ],
)
def test_numbers_that_are_tensors_may_differ(a: dict, b: dict) -> None:
    assert alike(ELBO(**a), ELBO(**b))
    assert alike(2.0 * ELBO(**a) + objectives.MMD(), 3.0 * ELBO(**b) + objectives.MMD())


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (ELBO(free_bits=0.1), ELBO(free_bits=0.2)),  # plain numbers: the first one's would be used for both
        (ELBO(samples=1), ELBO(samples=2)),
        (ELBO(), objectives.IWAE(1)),
        (objectives.Renyi(0.2), objectives.Renyi(0.3)),
        (nn.Linear(2, 3), nn.Linear(2, 4)),
        (nn.Linear(2, 3), nn.Linear(2, 3).double()),
        (nn.Linear(2, 3), nn.Linear(2, 3).requires_grad_(False)),
        (nn.Linear(2, 3), nn.Linear(2, 3, bias=False)),
        (nn.Linear(2, 3), nn.Linear(2, 3).eval()),
        (Drawing(DRAWS["rand"]), Drawing(DRAWS["randn"])),
        (nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh())),
    ],
)
def test_what_differs_in_more_is_not_alike(a: nn.Module, b: nn.Module) -> None:
    assert alike(a, a)
    assert not alike(a, b)
