"""A group of runs whose steps are taken at once (floor 6): one fused Adam over stacked tensors, everything else each run's own.

Each member is a `Loop`, what `fit` runs, with its own folder, log, held-out rows, best epoch and patience. Between two
epochs nothing tells it from a run that is trained alone, so that either kind may go on with what the other has saved.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from logpx.data import Data, Split
from logpx.errors import UserError
from logpx.evaluate import private_randomness
from logpx.model import Batch
from logpx.objectives import Terms
from logpx.train.at_once import Named, Pair, Stacked, Stream, alike
from logpx.train.feed import Feed
from logpx.train.log import Reporter
from logpx.train.loop import Loop
from logpx.train.method import Method
from logpx.train.optimizer import adam, follow_cosine
from logpx.train.run import Run

Pieces = list[
    tuple[Tensor, str, int, int]
]  # a part of a stack, its name, the first member in it, the one after the last


@dataclass(eq=False)
class Member:
    """A run, what to call it, and its own stream of random numbers; `stopped` says why it goes no further, if so."""

    name: str
    loop: Loop
    stream: Stream
    stopped: str | None = None

    @property
    def goes_on(self) -> bool:
        loop = self.loop
        return self.stopped is None and loop.epoch < loop.training.epochs and not loop.out_of_patience()

    def attempt(self, act: Callable[[], Any]) -> Any:
        """Does it with the run's own random numbers; a run that cannot go on (a loss that is not finite) is set aside."""
        with self.stream.flowing():
            try:
                return act()
            except UserError as error:
                self.stopped = str(error)
                self.loop.leave_nothing_unsaved()
                return None

    def close_epoch(self, names: list[str], table: Tensor, seconds: float) -> None:
        """The end of an epoch whose steps reported table (S, T)."""
        self.loop.close_epoch(self.loop.means(names, table), seconds)

    def result(self) -> Run:
        """The run; where it stopped, `info` says so, and the model has the weights of its best epoch so far."""
        loop = self.loop
        if self.stopped is not None:
            loop.model.load_state_dict(loop.best_weights)
            loop.model.eval()
            loop.run.best_epoch = loop.best_epoch or None
            loop.set_aside(self.stopped)
        return loop.run


class Group:
    """Members of one structure at the same epoch. Their order is that of the learning rates: see `members`."""

    def __init__(self, members: list[Member]) -> None:
        self.members = sorted(members, key=lambda m: m.loop.training.learning_rate)
        self.loops = [member.loop for member in self.members]
        self.streams = [member.stream for member in self.members]
        self.stacked = Stacked([Pair(loop.model, loop.objective) for loop in self.loops])
        first, own = self.loops[0], self.stacked.own[0]
        self.paces = {name: first.paces[own[name]] for name in self.stacked.learned if own[name] in first.paces}
        self.moved_elsewhere = [name for name in self.stacked.learned if name not in self.paces]
        self.players = [[n for n in self.paces if any(own[n] is p for p in player)] for player in first.players]
        self.pieces: Pieces = [
            (self.stacked.learned[name][a:b], name, a, b) for a, b in self._of_one_rate() for name in self.paces
        ]
        self.optimizer = adam({t: self.paces[name] * self._rate(a) for t, name, a, _ in self.pieces}, 1.0)
        self._take_moments()

    def _rate(self, i: int) -> float:
        return self.loops[i].training.learning_rate

    def _of_one_rate(self) -> list[tuple[int, int]]:
        """Runs of neighbours with the same learning rate."""
        M = len(self.loops)
        starts = [i for i in range(M) if i == 0 or self._rate(i) != self._rate(i - 1)]
        return list(zip(starts, [*starts[1:], M], strict=True))

    # --- an epoch -----------------------------------------------------------------------------------------------------

    def epoch(self, tell: Callable[[int], None]) -> tuple[list[str], Tensor]:
        """One pass of every member over its own order of the rows: the names of the terms, and (S, T, M) of them."""
        for loop in self.loops:
            loop.model.train()
        names, recorded = [], []
        for batch in batches([loop.feed for loop in self.loops]):
            terms = self._step(batch)
            names = list(terms)
            recorded.append(torch.stack([t.to(batch.x.dtype) for t in terms.values()]))
            tell(self.loops[0].step)
        self._lend_moments()
        return names, torch.stack(recorded).cpu().double()  # the only read-back of the epoch

    def _step(self, batch: Batch) -> Terms:
        first = self.loops[0]
        if first.training.schedule == "cosine":
            follow_cosine(self.optimizer, 1.0, first.step / first.steps)
        gradients, terms = self.stacked.gradients(batch, self.streams)
        if first.training.clip:
            self._clip(gradients, first.training.clip)
        for piece, name, a, b in self.pieces:
            piece.grad = gradients[name][a:b].contiguous()
        for name in self.moved_elsewhere:  # by an `after_step`, which reads the gradient
            for own, gradient in zip(self.stacked.own, gradients[name], strict=True):
                own[name].grad = gradient
        self.optimizer.step()
        self._after_step(terms)
        return terms

    def _clip(self, gradients: Named, most: float) -> None:
        """`clip_grad_norm_` of each member, and of each player by itself."""
        for player in filter(None, self.players):
            norms = torch.stack([gradients[name].reshape(len(self.loops), -1).norm(dim=1) for name in player]).norm(
                dim=0
            )  # (M,)
            scale = (most / (norms + 1e-6)).clamp(max=1.0)
            for name in player:
                gradients[name] = gradients[name] * scale.view(-1, *[1] * (gradients[name].ndim - 1))

    def _after_step(self, terms: Terms) -> None:
        each = {name: values.unbind() for name, values in terms.items()}
        for i, loop in enumerate(self.loops):
            its = {name: values[i] for name, values in each.items()}
            for move in loop.after_step:
                move(its)
            loop.step += 1

    # --- moments ------------------------------------------------------------------------------------------------------

    def _take_moments(self) -> None:
        """Where the members have taken steps before, Adam's moments of the stack are theirs."""
        for piece, name, a, b in self.pieces:
            kept = [self._moments(i)[self.stacked.own[i][name]] for i in range(a, b)]
            if all(kept):
                stacked = {key: torch.stack([moments[key] for moments in kept]) for key in ("exp_avg", "exp_avg_sq")}
                self.optimizer.state[piece] = {"step": kept[0]["step"].clone(), **stacked}

    def _lend_moments(self) -> None:
        """Each member's own optimiser sees its slice of the moments, so that it saves them."""
        for piece, name, a, b in self.pieces:
            moments = self.optimizer.state[piece]
            for i in range(a, b):
                its = {key: moments[key][i - a] for key in ("exp_avg", "exp_avg_sq")}
                self._moments(i)[self.stacked.own[i][name]] = {"step": moments["step"], **its}

    def _moments(self, i: int) -> Any:
        optimizer = self.loops[i].optimizer
        assert isinstance(optimizer, torch.optim.Adam)
        return optimizer.state

    def release(self) -> None:
        """Gives every member tensors of its own again."""
        self.stacked.release()
        for loop in self.loops:
            assert loop.optimizer is not None
            loop.optimizer.load_state_dict(deepcopy(loop.optimizer.state_dict()))


def batches(feeds: list[Feed]) -> Iterator[Batch]:
    """The next epoch of every feed, batch by batch, (M, B, ...).

    Where preparing a row draws nothing, the rows of all are gathered and prepared at once.
    """
    first = feeds[0]
    if first.split.random or not isinstance(first.split.rows, Tensor):
        for each in zip(*(feed.epoch() for feed in feeds), strict=True):
            yield _stack(each)
        return
    orders = torch.stack([feed.permutation() for feed in feeds])
    for index in orders.split(first.batch_size, 1):
        batch = first.split.batch(index.flatten()).to(first.device, first.dtype)
        yield batch.map(lambda t: t.unflatten(0, (len(feeds), -1)))


def _stack(each: Sequence[Batch]) -> Batch:
    x, context, observed = (None if part[0] is None else torch.stack(part) for part in zip(*each, strict=True))
    assert x is not None
    return Batch(x, context, observed)


# --- training ---------------------------------------------------------------------------------------------------------


def train_at_once(members: list[Member], says: Reporter) -> None:
    """Every member to its end. Those that are epochs behind (a sweep may be stopped while it saves) catch up first."""
    for member in members:
        member.attempt(member.loop.begin)
    loop = members[0].loop
    says.start(loop.training.epochs, loop.steps)
    group = None
    while left := [member for member in members if member.goes_on]:
        behind = min(member.loop.epoch for member in left)
        now = [member for member in left if member.loop.epoch == behind]
        if group is None or set(group.members) != set(now):
            if group:
                group.release()
            group = Group(now)
        _one_epoch(group, says)
    if group:
        group.release()
    for member in members:
        if member.stopped is None:
            member.attempt(member.loop.end)


def _one_epoch(group: Group, says: Reporter) -> None:
    start = time.perf_counter()
    names, table = group.epoch(says.step)
    share = (time.perf_counter() - start) / len(group.members)
    for i, member in enumerate(group.members):
        member.attempt(partial(member.close_epoch, names, table[:, :, i], share))
    if rows := [member.loop.run.rows[-1] for member in group.members if member.stopped is None]:
        says.epoch(mean_row(rows), False)


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of several logs as one: each term averaged over the runs."""
    row = dict(rows[0])
    for part in ("train", "held_out"):
        if part in row:
            row[part] = {name: math.fsum(r[part][name] for r in rows) / len(rows) for name in row[part]}
    return row


# --- whether it can be done -------------------------------------------------------------------------------------------


def belong_together(a: Loop, b: Loop) -> bool:
    """Whether two runs may take their steps at once: one structure, the same training but for the learning rate."""
    trainings = [replace(loop.training, learning_rate=1.0) for loop in (a, b)]
    return trainings[0] == trainings[1] and alike(Pair(a.model, a.objective), Pair(b.model, b.objective))


def why_alone(members: list[Member]) -> str | None:
    """Why these must be trained one after another, None where they need not be."""
    loop = members[0].loop
    if loop.method.solve:
        return "this method solves for its weights and takes no steps"
    if loop.training.encoder_steps:
        return "the steps of the encoder alone are as many as each run needs"
    if loop.training.optimizer != "adam":
        return f"{loop.training.optimizer} moves one model's matrices"
    if loop.settings["precision"] == "bfloat16":
        return "bfloat16 is a setting of one model's networks"
    return _rehearse(members)


ROWS, BATCH = 20, 8  # two whole batches and a short one


def _rehearse(members: list[Member]) -> str | None:
    """Three steps of copies in float64 on a few rows, alone and at once: the same to rounding, or a sentence why not."""
    device = members[0].loop.feed.device
    try:
        alone = [_alone(_rehearsing(member)) for member in members]
        copies = [_rehearsing(member) for member in members]
        at_once = _at_once([Member(m.name, c, _stream(device)) for m, c in zip(members, copies, strict=True)])
    except Exception as error:  # whatever vmap does not take: the run's own loop takes it
        return f"their steps cannot be vectorised ({_in_short(error)})"
    rates = [member.loop.training.learning_rate for member in members]
    same = all(_agree(a, b, rate) for a, b, rate in zip(alone, at_once, rates, strict=True))
    return None if same else "vectorised steps would differ from their own"


def _in_short(error: Exception) -> str:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "random operation" in said:
        return "they draw noise whose law depends on the data"
    return re.split(r"\. |: |\(", said.removeprefix("vmap: ").removeprefix("NYI: "))[0][:100].strip()


def _rehearsing(member: Member) -> Loop:
    """A copy of a run in float64, on its first rows."""
    loop = member.loop
    training = replace(loop.training, epochs=1, batch_size=BATCH, patience=None)
    method = Method(deepcopy(loop.model).double(), deepcopy(loop.objective).double(), training)
    return Loop(method, _first_rows(loop.data), loop.settings | {"precision": "float64"}, Reporter())


def _first_rows(data: Data) -> Data:
    def first(split: Split) -> Split:
        labels, context = (None if t is None else t[:ROWS] for t in (split.labels, split.context))
        return replace(split, rows=split.rows[:ROWS], labels=labels, context=context)

    return replace(data, train=first(data.train), held_out=first(data.held_out))


def _stream(device: torch.device) -> Stream:
    with private_randomness(device, 0):
        return Stream(device)


def _alone(loop: Loop) -> Named:
    with private_randomness(loop.feed.device, 0):
        terms = loop.descend()
    return _state(loop, terms)


def _at_once(members: list[Member]) -> list[Named]:
    group = Group(members)
    names, table = group.epoch(lambda done: None)
    terms = {id(m): m.loop.means(names, table[:, :, i]) for i, m in enumerate(group.members)}
    return [_state(member.loop, terms[id(member)]) for member in members]


def _state(loop: Loop, terms: dict[str, float]) -> Named:
    """Everything that three steps have moved, and what they reported."""
    moved = Pair(loop.model, loop.objective).state_dict()
    return {name: t.detach().double() for name, t in moved.items()} | {
        f"term {name}": torch.tensor(value, dtype=torch.float64) for name, value in terms.items()
    }


def _agree(a: Named, b: Named, rate: float) -> bool:
    """Equal to a millionth, or to a ten-thousandth of what Adam moves a weight in one step."""
    return a.keys() == b.keys() and all(torch.allclose(a[n], b[n].to(a[n].device), 1e-6, 1e-4 * rate) for n in a)
