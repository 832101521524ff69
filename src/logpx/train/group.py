"""A group of runs whose steps are taken at once (floor 6): one fused Adam over stacked tensors, everything else each run's own.

Each member is a `Loop`, what `fit` runs, with its own folder, log, held-out rows, best epoch and patience. Between two
epochs nothing tells it from a run that is trained alone, so that either kind may go on with what the other has saved.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.evaluate import at_rest, batch_of, placed
from logpx.model import Batch
from logpx.objectives import Terms
from logpx.train.at_once import Named, Pair, Stacked, Stream
from logpx.train.feed import Feed
from logpx.train.log import Reporter
from logpx.train.loop import Loop
from logpx.train.optimizer import Decay, adam, follow_cosine, shortening
from logpx.train.run import Run

ROWS_AT_ONCE = 1 << 14  # held-out rows times members up to which scoring them together is worth its memory
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

    def close_epoch(
        self, names: list[str], table: Tensor, seconds: float, held_out: dict[str, float] | None = None
    ) -> None:
        """The end of an epoch whose steps reported table (S, T)."""
        self.loop.close_epoch(self.loop.means(names, table), seconds, held_out)

    def result(self) -> Run:
        """The run; where it stopped, `info` says so, and the model has the weights of its best epoch so far."""
        loop = self.loop
        if self.stopped is not None:
            loop.model.load_state_dict(loop.best_weights)
            loop.model.eval()
            loop.run.best_epoch = loop.best_epoch or None
            loop.set_aside(self.stopped)
        return loop.run


class How(NamedTuple):
    """How a group computes: gradients `inside` the vectorised function (see `Stacked.gradients`), `scores` at once too."""

    inside: bool = True
    scores: bool = False


class Group:
    """Members of one structure at the same epoch. Their order is that of the learning rates: see `members`."""

    def __init__(self, members: list[Member], how: How) -> None:
        self.members = sorted(members, key=lambda m: m.loop.training.learning_rate)
        self.loops = [member.loop for member in self.members]
        self.streams = [member.stream for member in self.members]
        self.how, self.judges = how, [Stream(loop.feed.device) for loop in self.loops]
        self.stacked = Stacked([Pair(loop.model, loop.objective) for loop in self.loops])
        first, own = self.loops[0], self.stacked.own[0]
        self.paces = {name: first.paces[own[name]] for name in self.stacked.learned if own[name] in first.paces}
        self.moved_elsewhere = [name for name in self.stacked.learned if name not in self.paces]
        self.players = [[n for n in self.paces if any(own[n] is p for p in player)] for player in first.players]
        self.pieces: Pieces = [
            (self.stacked.learned[name][a:b], name, a, b) for a, b in self._of_one_rate() for name in self.paces
        ]
        decay = Decay(
            first.training.encoder_decay, {t for t, name, *_ in self.pieces if own[name] in first.decay.weights}
        )
        self.optimizer = adam({t: self.paces[name] * self._rate(a) for t, name, a, _ in self.pieces}, 1.0, decay)
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
        gradients, terms = self.stacked.gradients(batch, self.streams, inside=self.how.inside)
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
            each = [gradients[name].reshape(len(self.loops), -1).norm(dim=1) for name in player]
            norms = torch.stack(each).norm(dim=0)  # (M,)
            scale = shortening(norms, most)
            for name in player:
                gradients[name] = gradients[name] * scale.view(-1, *[1] * (gradients[name].ndim - 1))

    def _after_step(self, terms: Terms) -> None:
        each = {name: values.unbind() for name, values in terms.items()}
        for i, loop in enumerate(self.loops):
            its = {name: values[i] for name, values in each.items()}
            for move in loop.after_step:
                move(its)
            loop.step += 1

    def held_out(self) -> list[dict[str, float] | None]:
        """What `expected_terms` says of each member, all at once; None where each member shall ask it."""
        first, M = self.loops[0], len(self.loops)
        rows = first.data.held_out
        if not self.how.scores or first.average or not 0 < len(rows) * M <= ROWS_AT_ONCE:
            return [None] * M
        for judge, loop in zip(self.judges, self.loops, strict=True):
            judge.generator.manual_seed(loop.settings["seed"])
        names, recorded, sizes = [], [], []
        with (
            at_rest(first.model),
            torch.enable_grad(),
        ):  # nothing here has one; but no_grad allows what vmap does not take
            for start in range(0, len(rows), 1000):
                batch = placed(batch_of(rows, slice(start, start + 1000)), first.model)
                terms = self.stacked.terms(batch, self.judges)
                names = list(terms)
                recorded.append(torch.stack(list(terms.values())))
                sizes.append(len(batch.x))
        weights = torch.tensor(sizes, dtype=torch.float64) / len(rows)
        means = torch.einsum("s,stm->mt", weights, torch.stack(recorded).cpu().double())
        return [dict(zip(names, values, strict=True)) for values in means.tolist()]

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
        assert isinstance(optimizer, torch.optim.AdamW)
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


def train_at_once(members: list[Member], how: How, says: Reporter) -> None:
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
            group = Group(now, how)
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
    for i, (member, held_out) in enumerate(zip(group.members, group.held_out(), strict=True)):
        member.attempt(partial(member.close_epoch, names, table[:, :, i], share, held_out))
    if rows := [member.loop.run.rows[-1] for member in group.members if member.stopped is None]:
        says.epoch(mean_row(rows), False)


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of several logs as one: each term averaged over the runs."""
    row = dict(rows[0])
    for part in ("train", "held_out"):
        if part in row:
            row[part] = {name: math.fsum(r[part][name] for r in rows) / len(rows) for name in row[part]}
    return row
