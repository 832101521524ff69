"""Whether runs may take their steps at once (floor 6): by their structure, and by a rehearsal in float64.

Nothing is taken on trust: copies of the runs take three steps on a few rows, alone and at once, and everything that these
have moved, and what they reported, must be the same to rounding.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import torch

from logpx.data import Data, Split
from logpx.evaluate import private_randomness
from logpx.train.at_once import Named, Pair, Stream, alike
from logpx.train.group import Group, How, Member
from logpx.train.log import Reporter
from logpx.train.loop import Loop
from logpx.train.method import Method


def belong_together(a: Loop, b: Loop) -> bool:
    """Whether two runs may take their steps at once: one structure, the same training but for the learning rate."""
    trainings = [replace(loop.training, learning_rate=1.0) for loop in (a, b)]
    return trainings[0] == trainings[1] and alike(Pair(a.model, a.objective), Pair(b.model, b.objective))


def how_at_once(members: list[Member]) -> How | str:
    """How these may take their steps at once, or in words why they must be trained one after another."""
    loop = members[0].loop
    if loop.method.solve:
        return "this method solves for its weights and takes no steps"
    if loop.training.encoder_steps:
        return "the steps of the encoder alone are as many as each run needs"
    if loop.training.optimizer != "adam":
        return f"{loop.training.optimizer} moves one model's matrices"
    if loop.settings["precision"] == "bfloat16":
        return "bfloat16 is a setting of one model's networks"
    why = ""
    for inside in (False, True):  # the faster first
        why = _rehearse(members, inside) or ""
        if not why:
            return How(inside, _score_alike(members))
    return why


ROWS, BATCH = 20, 8  # two whole batches and a short one


def _rehearse(members: list[Member], inside: bool) -> str | None:
    """Three steps of copies, alone and at once: the same, or a sentence why not."""
    try:
        alone = [_alone(_copy(member)) for member in members]
        with _no_slow_path():
            at_once = _at_once(_copies(members), inside)
    except Exception as error:  # whatever vmap does not take: the run's own loop takes it
        return f"their steps cannot be vectorised ({_in_short(error)})"
    rates = [member.loop.training.learning_rate for member in members]
    same = all(_agree(a, b, rate) for a, b, rate in zip(alone, at_once, rates, strict=True))
    return None if same else "vectorised steps would differ from their own"


def _score_alike(members: list[Member]) -> bool:
    """Whether held-out rows give the same terms at once as one after another; where they do not, they are asked alone."""
    group = Group(_copies(members), How(scores=True))
    try:
        with _no_slow_path():
            at_once = group.held_out()
    except Exception:  # evaluation may draw otherwise than training does (one-hot draws, say)
        return False
    alone = [member.loop.score_held_out() for member, its in zip(group.members, at_once, strict=True) if its]
    return all(_agree(_numbers(a), _numbers(b), 0.0) for a, b in zip(alone, filter(None, at_once), strict=True))


@contextmanager
def _no_slow_path() -> Iterator[None]:
    """An operation that vmap would do model by model, with a warning, counts as one that it does not take."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        yield


def _in_short(error: Exception) -> str:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "random operation" in said:
        return "they draw noise whose law depends on the data"
    return re.split(r"\. |: |\(", said.removeprefix("vmap: ").removeprefix("NYI: "))[0][:100].strip()


def _copy(member: Member) -> Loop:
    """A copy of a run in float64, on its first rows."""
    loop = member.loop
    training = replace(loop.training, epochs=1, batch_size=BATCH, patience=None)
    method = Method(deepcopy(loop.model).double(), deepcopy(loop.objective).double(), training)
    return Loop(method, _first_rows(loop.data), loop.settings | {"precision": "float64"}, Reporter())


def _copies(members: list[Member]) -> list[Member]:
    device = members[0].loop.feed.device
    with private_randomness(device, 0):
        return [Member(member.name, _copy(member), Stream(device)) for member in members]


def _first_rows(data: Data) -> Data:
    def first(split: Split) -> Split:
        labels, context = (None if t is None else t[:ROWS] for t in (split.labels, split.context))
        return replace(split, rows=split.rows[:ROWS], labels=labels, context=context)

    return replace(data, train=first(data.train), held_out=first(data.held_out))


def _alone(loop: Loop) -> Named:
    with private_randomness(loop.feed.device, 0):
        terms = loop.descend()
    return _state(loop, terms)


def _at_once(copies: list[Member], inside: bool) -> list[Named]:
    group = Group(copies, How(inside))
    names, table = group.epoch(lambda done: None)
    states = {m.name: _state(m.loop, m.loop.means(names, table[:, :, i])) for i, m in enumerate(group.members)}
    return [states[copy.name] for copy in copies]


def _state(loop: Loop, terms: dict[str, float]) -> Named:
    """Everything that three steps have moved, and what they reported."""
    moved = Pair(loop.model, loop.objective).state_dict()
    return {name: t.detach().double() for name, t in moved.items()} | _numbers(terms)


def _numbers(terms: dict[str, float]) -> Named:
    return {f"term {name}": torch.tensor(value, dtype=torch.float64) for name, value in terms.items()}


def _agree(a: Named, b: Named, rate: float) -> bool:
    """Equal to a millionth, or to a ten-thousandth of what Adam moves a weight in one step."""
    return a.keys() == b.keys() and all(torch.allclose(a[n], b[n].to(a[n].device), 1e-6, 1e-4 * rate) for n in a)
