"""The whole step as one graph (floor 6): loss, gradient, clipping and Adam's move are compiled together.

What goes is autograd's bookkeeping, an optimiser's walk over its parameters and a dispatch for each small operation, and a
gradient is cast, clipped and used where it is made. It computes what the loop computes one thing after another, with the
same noise, up to the order of additions.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from logpx.errors import UserError
from logpx.model import Batch
from logpx.objectives import Step, Terms
from logpx.train.optimizer import Paces, Together, shortening


class Moved(NamedTuple):
    """A parameter that Adam moves inside the graph: its number among all, its moments, its row of corrections, b1, b2, eps.

    Those of a parameter without dimensions are seen as (1,): a graph of torch 2.13 forgets to write into an input without.
    """

    number: int
    first: Tensor
    second: Tensor
    row: int
    decays: tuple[float, float]
    eps: float
    shrinks: bool


#: what a trace depends on that no training changes: code, and hooks that would have to be hung in during it
FIXED = {"MODULE_MATCH", "CLASS_MATCH", "BUILTIN_MATCH", "CLOSURE_MATCH", "EMPTY_NN_MODULE_HOOKS_DICT"}


def _looked_at_again(guards: Sequence[Any]) -> list[bool]:
    """Which conditions of a trace are checked before every step; all of them would take a tenth of a small one."""
    return [guard.guard_type not in FIXED for guard in guards]


class WholeStep:
    """Batch -> terms; the parameters in `paces` and their moments move in place. One shape of batch: that of the first.

    Other parameters of the `players` are left with their gradient, for what moves them after the step; so are all where
    the optimiser is not Adam, which then takes its step outside the graph. Each player is clipped by itself.
    """

    def __init__(
        self,
        loss: Callable[[Batch], Step],
        optimizer: torch.optim.Optimizer | Together,
        paces: Paces,
        players: Sequence[Sequence[Tensor]],
        clip: float | None = None,
        backend: str = "inductor",
    ) -> None:
        self.loss, self.clip = loss, clip
        self.optimizer: Any = optimizer
        self.is_adam = isinstance(optimizer, torch.optim.AdamW)
        self.learned = list(dict.fromkeys(p for player in players for p in player))
        self.numbers = {p: i for i, p in enumerate(self.learned)}
        self.clipped = [[self.numbers[p] for p in player if p in paces] for player in players]
        self.moved: list[Moved] = []
        self.count: int | None = None  # of Adam's steps, while it is kept here and not in its state
        self.behind: dict[Tensor, int] = {}  # how many fewer a parameter has taken: an encoder may have caught up
        self.rows: list[tuple[int, int]] = []  # what corrections are made for: a group of Adam's, so many steps behind
        self.shape: torch.Size | None = None
        how: dict[str, Any] = {"fullgraph": True, "dynamic": False, "isolate_recompiles": True, "backend": backend}
        how["options"] = {"guard_filter_fn": _looked_at_again}
        if backend == "inductor":
            how["options"]["fallback_random"] = True  # the noise of a step that is not compiled
        compiled = torch.compile(self._step, **how)
        self.graph = Recorded(compiled, self.learned[0].device) if self.learned[0].is_cuda else compiled

    def fits(self, batch: Batch) -> bool:
        """Whether the batch has the shape that the graph is made for; the short last one of an epoch has another."""
        self.shape = self.shape or batch.x.shape
        return batch.x.shape == self.shape

    def __call__(self, batch: Batch) -> Terms:
        """Takes the step. Raises UserError, and moves nothing, for a model that cannot be one graph."""
        if self.is_adam:
            self.count = 1 + (self._take_over() if self.count is None else self.count)
        from torch._dynamo import config, exc  # not at the top: half a second, for those who compile

        try:
            with config.patch(trace_autograd_ops=True):  # a graph may hold a call of torch.autograd.grad
                terms, gradients = self.graph(batch, self._corrections())
        except (exc.TorchDynamoException, exc.FailOnRecompileLimitHit, UserError) as why:
            if self.count is not None:
                self.count -= 1
            self.settle()
            if isinstance(why, UserError):
                raise
            said = str(getattr(why, "inner_exception", why)).strip().splitlines()[0]
            raise UserError(f"Not compiled, only slower: {said.rstrip('.')}.") from why
        for i, gradient in gradients.items():
            self.learned[i].grad = gradient
        if not self.is_adam:
            self.optimizer.step()
        return terms

    def _take_over(self) -> int:
        """The number of steps that Adam has taken, read in one go; moments are made where it has taken none."""
        state = self.optimizer.state
        if not self.moved:
            for p in (p for group in self.optimizer.param_groups for p in group["params"]):
                for key in ("exp_avg", "exp_avg_sq"):
                    state[p].setdefault(key, torch.zeros_like(p))
                state[p].setdefault("step", torch.zeros((), device=p.device))
        steps = [int(n) for n in torch.stack([its["step"] for its in state.values()]).tolist()]
        if not self.moved:
            self.behind = {p: max(steps) - n for p, n in zip(state, steps, strict=True)}
            self._find_moments()
        return max(steps)

    def _find_moments(self) -> None:
        for g, group in enumerate(self.optimizer.param_groups):
            for p in group["params"]:
                row = g, self.behind[p]
                self.rows = list(dict.fromkeys([*self.rows, row]))
                first, second = torch.atleast_1d(*(self.optimizer.state[p][key] for key in ("exp_avg", "exp_avg_sq")))
                how = self.rows.index(row), group["betas"], group["eps"], group["weight_decay"] > 0
                self.moved.append(Moved(self.numbers[p], first, second, *how))

    def settle(self) -> None:
        """Gives the number of steps back to Adam, before anybody else uses or saves its state."""
        if self.count is not None:
            for p, state in self.optimizer.state.items():
                state["step"].fill_(self.count - self.behind[p])
            self.count = None

    def _corrections(self) -> Tensor | None:
        """(R, 3): for each row its learning rate over 1 - b1^t, 1 / sqrt(1 - b2^t), and what share of a weight decays."""
        if self.count is None:
            return None
        found = []
        for g, behind in self.rows:
            group, t = self.optimizer.param_groups[g], self.count - behind
            b1, b2 = group["betas"]
            rate, share = group["lr"] / (1 - b1**t), group["lr"] * group["weight_decay"]
            found.append([rate, (1 - b2**t) ** -0.5, share])
        like = self.learned[0]
        return torch.tensor(found, dtype=like.dtype).to(like.device, non_blocking=True)

    # --- inside the graph ---------------------------------------------------------------------------------------------

    def _step(self, batch: Batch, corrections: Tensor | None) -> tuple[Terms, dict[int, Tensor]]:
        loss, terms = self.loss(batch)
        found = torch.autograd.grad(loss, self.learned, allow_unused=True)
        gradients = {i: gradient for i, gradient in enumerate(found) if gradient is not None}
        with torch.no_grad():
            for player in self.clipped if self.clip else ():
                self._shorten(gradients, [i for i in player if i in gradients])
            if corrections is not None:
                for moved in self.moved:
                    if moved.number in gradients:
                        self._move(moved, gradients.pop(moved.number), *corrections[moved.row].unbind())
        return {name: term.detach() for name, term in terms.items()}, gradients

    def _shorten(self, gradients: dict[int, Tensor], player: list[int]) -> None:
        """Clips the gradient of one player."""
        if not player or self.clip is None:
            return
        scale = shortening(torch.stack([gradients[i].norm() for i in player]).norm(), self.clip)
        for i in player:
            gradients[i] = gradients[i] * scale

    def _move(self, moved: Moved, gradient: Tensor, rate: Tensor, correction: Tensor, share: Tensor) -> None:
        """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1), the weight's decay beside it (Loshchilov & Hutter 2019)."""
        b1, b2 = moved.decays
        moved.first.mul_(b1).add_((1 - b1) * gradient)
        moved.second.mul_(b2).add_((1 - b2) * gradient * gradient)
        change = rate * moved.first / (moved.second.sqrt() * correction + moved.eps)
        weight = self.learned[moved.number]
        if moved.shrinks:
            weight.mul_(1 - share)
        weight.sub_(change.view_as(gradient))


class Recorded:
    """A function of a batch and a tensor whose kernels a GPU records once and plays back: nothing waits for Python.

    Its inputs are copied to where the recording reads them; its outputs stand where the next call writes them. A recording does
    not see what Python would: so it is made when two calls in a row needed no new graph, and every 500 calls one more goes
    through Python, after which a function that has become another one is recorded anew.
    """

    every = 500

    def __init__(self, function: Callable[[Batch, Tensor | None], Any], device: torch.device) -> None:
        self.function, self.device = function, device
        self.stream: torch.cuda.Stream | None = None
        self.calls, self.alike = 0, 0  # all of them; those in a row that met a graph they knew
        self.inputs: list[Tensor] = []
        self.outputs: Any = None
        self.recording: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: Batch, corrections: Tensor | None) -> Any:
        with torch.cuda.device(self.device):
            self.calls += 1
            if self.alike < 2 or self.calls % self.every == 0:
                return self._through_python(batch, corrections)
            if self.recording is None:
                self._record(batch, corrections)
            given = [t for t in (*batch, corrections) if t is not None]
            for place, tensor in zip(self.inputs, given, strict=True):
                place.copy_(tensor, non_blocking=True)
            assert self.recording is not None
            self.recording.replay()
            return self.outputs

    def _through_python(self, batch: Batch, corrections: Tensor | None) -> Any:
        """On a stream of its own, as recording asks of the calls before it."""
        self.stream = self.stream or torch.cuda.Stream(self.device)
        known, now = _graphs(), torch.cuda.current_stream()
        self.stream.wait_stream(now)
        with torch.cuda.stream(self.stream):
            result = self.function(batch, corrections)
        now.wait_stream(self.stream)
        self.alike = self.alike + 1 if _graphs() == known else 0
        if not self.alike:
            self.recording = None
        return result

    def _record(self, batch: Batch, corrections: Tensor | None) -> None:
        """Recording runs nothing: weights, moments and random numbers stay as they are."""
        batch = batch.map(torch.clone)
        corrections = None if corrections is None else corrections.clone()
        self.inputs = [t for t in (*batch, corrections) if t is not None]
        self.recording = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self.recording, stream=self.stream):
                self.outputs = self.function(batch, corrections)
        except RuntimeError as why:
            said = str(why).strip().splitlines()[0].rstrip(".")
            raise UserError(f"Not compiled, only slower: the GPU cannot record a step of this model ({said}).") from why


def _graphs() -> int:
    """How many graphs the compiler has made in this process."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
