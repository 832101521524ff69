"""Many models as one (floor 6): their tensors stacked, each model's noise from its own stream, one gradient for all.

M models that differ in tensors alone (weights, and numbers that are buffers, such as beta) are one function of stacked
tensors, vectorised by `torch.func`. A model's own tensors become slices of the stacks: what moves the stacks moves it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.overrides import TorchFunctionMode

from logpx.model import VAE, Batch
from logpx.objectives import Objective, Step, Terms

Named = dict[str, Tensor]


class Pair(nn.Module):
    """A model and its objective under one roof, so that one call can stand in for the tensors of both."""

    def __init__(self, model: VAE, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch) -> Step:
        return self.objective(self.model, batch)


# --- noise ------------------------------------------------------------------------------------------------------------

#: draws of which only the shape is asked, and how a generator draws the same numbers in place
DRAWS: dict[Callable[..., Tensor], str] = {
    torch.Tensor.normal_: "normal_",
    torch.Tensor.uniform_: "uniform_",
    torch.Tensor.exponential_: "exponential_",
    torch.randn: "normal_",
    torch.rand: "uniform_",
    torch.randn_like: "normal_",
    torch.rand_like: "uniform_",
}


class Drawn(NamedTuple):
    """One draw of a step: how, with which numbers (a mean, say), and what came of it."""

    how: str
    given: tuple[Any, ...]
    named: dict[str, Any]
    like: Tensor

    def again(self, streams: Sequence["Stream"]) -> Tensor:
        """(M, *shape): one such draw from each stream."""
        noise = self.like.new_empty(len(streams), *self.like.shape)
        for row, stream in zip(noise, streams, strict=True):
            getattr(row, self.how)(*self.given, **self.named, generator=stream.generator)
        return noise


class Tape(TorchFunctionMode):
    """Keeps the draws that are made while it is entered, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Drawn] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if _is_draw(function, kwargs):
            in_place = isinstance(function, type(torch.Tensor.normal_))  # else the arguments are a shape
            given, named = (args[1:], kwargs) if in_place else ((), {})
            self.drawn.append(Drawn(DRAWS[function], given, named, result.detach().clone()))
        return result


class Given(TorchFunctionMode):
    """Hands out numbers drawn before in the place of draws, in their order."""

    def __init__(self, noise: Sequence[Tensor]) -> None:
        super().__init__()
        self.noise = iter(noise)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return next(self.noise) if _is_draw(function, kwargs or {}) else function(*args, **(kwargs or {}))


def _is_draw(function: Any, kwargs: dict[str, Any]) -> bool:
    """Whether it takes numbers from torch's own stream; a generator of its own is another matter."""
    return function in DRAWS and kwargs.get("generator") is None


class Stream:
    """A model's own random numbers, those that it would meet if it were trained alone: torch's global state, put aside."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.generator = device, torch.Generator(device)
        self.take()

    def take(self) -> None:
        """Goes on from where torch's global state stands now."""
        self.cpu = torch.get_rng_state()
        self.generator.set_state(torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else self.cpu)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """torch's global state is this stream within, and the stream goes on from where it was left."""
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self.generator.get_state(), self.device)
        torch.set_rng_state(self.cpu if self.device.type == "cuda" else self.generator.get_state())
        try:
            yield
        finally:
            self.take()


# --- tensors ----------------------------------------------------------------------------------------------------------


class Stacked:
    """The tensors of M pairs, stacked (M, ...) by name: `learned` those with a gradient, `held` all others.

    From here on the pairs' own tensors are slices of these: what a pair changes in place is changed in the stack.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self.own = [dict(pair.named_parameters()) | dict(pair.named_buffers()) for pair in pairs]
        stacked = {name: torch.stack([own[name].detach() for own in self.own]) for name in self.own[0]}
        self.learned = {n: t for n, t in stacked.items() if self.own[0][n].requires_grad}
        self.held = {n: t for n, t in stacked.items() if n not in self.learned}
        self.places = _places(pairs[0])
        self.drawn: dict[tuple[torch.Size, bool], list[Drawn]] = {}  # by the batch's shape, and whether at rest
        for i, own in enumerate(self.own):
            for name, tensor in own.items():
                tensor.data = stacked[name][i]

    def release(self) -> None:
        """Gives every pair tensors of its own again."""
        for own in self.own:
            for tensor in own.values():
                tensor.data = tensor.data.clone()

    def gradients(self, batch: Batch, streams: Sequence[Stream], *, inside: bool = True) -> tuple[Named, Terms]:
        """The gradient of each pair's loss at its own rows (M, B, ...), stacked by name, and the terms, (M,) each.

        `inside` takes each loss's gradient by itself, within the vectorised function: right for every objective, those
        that hang hooks on z (a doubly reparameterised gradient) included. Otherwise it is one backward pass through the
        sum of the losses, of which each depends on its own slices alone: a quarter faster for small networks.
        RuntimeError where a step draws what cannot be drawn beforehand, or decides by the numbers in a tensor.
        """
        noise = self._noise(batch.map(lambda t: t[0]), streams)
        axes: Any = Batch(*(None if t is None else 0 for t in batch))  # type: ignore[arg-type]
        if inside:
            each = vmap(grad_and_value(self._loss, has_aux=True), in_dims=(0, 0, axes, 0))
            gradients, (_, terms) = each(self.learned, self.held, batch, noise)
            return gradients, terms
        learned = {name: t.detach().requires_grad_() for name, t in self.learned.items()}
        losses, terms = vmap(self._loss, in_dims=(0, 0, axes, 0))(learned, self.held, batch, noise)
        found = torch.autograd.grad(losses.sum(), list(learned.values()), materialize_grads=True)
        return dict(zip(learned, found, strict=True)), terms

    def terms(self, batch: Batch, streams: Sequence[Stream]) -> Terms:
        """The terms alone, (M,) each, of rows (B, ...) that all pairs see, the first of them at rest."""
        vectorised = vmap(self._loss, in_dims=(0, 0, None, 0))
        return vectorised(self.learned, self.held, batch, self._noise(batch, streams, at_rest=True))[1]

    def _loss(self, learned: Named, held: Named, batch: Batch, noise: list[Tensor]) -> tuple[Tensor, Terms]:
        tensors = learned | held
        everywhere = {place: tensors[name] for place, name in self.places.items()}
        with Given(noise):
            return functional_call(self.pairs[0], everywhere, (batch,), tie_weights=False)

    def _noise(self, batch: Batch, streams: Sequence[Stream], at_rest: bool = False) -> list[Tensor]:
        """What a step on such a batch (B, ...) draws, (M, ...) each, in its order."""
        kind = (batch.x.shape, at_rest)
        if kind not in self.drawn:
            self.drawn[kind] = self._draws(batch)
        return [drawn.again(streams) for drawn in self.drawn[kind]]

    def _draws(self, batch: Batch) -> list[Drawn]:
        """What a step of the first pair draws; its stream is not touched."""
        devices = [batch.x.device.index or 0] if batch.x.device.type == "cuda" else []
        with torch.random.fork_rng(devices), Tape() as tape:
            self.pairs[0](batch)
        return tape.drawn


def _places(pair: Pair) -> dict[str, str]:
    """Every place where a tensor is kept, and the first name of that tensor. A module that is met twice is one place.

    torch's own search for tied tensors takes such a module for two, and does not put the second one's tensors back.
    """
    names = {id(t): n for n, t in [*pair.named_parameters(), *pair.named_buffers()]}
    return {
        f"{path}.{key}".lstrip("."): names[id(tensor)]
        for path, module in pair.named_modules()
        for key, tensor in (module._parameters | module._buffers).items()
        if tensor is not None
    }


# --- which models -----------------------------------------------------------------------------------------------------


def alike(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules differ in the numbers of tensors alone, and in what a class lists as `outside_the_step`."""
    if type(a) is not type(b) or a._modules.keys() != b._modules.keys():
        return False
    outside = {"_parameters", "_buffers", "_modules", *getattr(a, "outside_the_step", ())}
    plain = [{name: value for name, value in vars(m).items() if name not in outside} for m in (a, b)]
    tensors = [{n: _form(t) for n, t in (m._parameters | m._buffers).items()} for m in (a, b)]
    inside = zip(a._modules.values(), b._modules.values(), strict=True)
    return tensors[0] == tensors[1] and _equal(*plain) and all(_equal(one, other) for one, other in inside)


def _form(tensor: Tensor | None) -> tuple[Any, ...] | None:
    return None if tensor is None else (tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad)


def _equal(a: Any, b: Any) -> bool:
    """Equality of what modules keep, attribute by attribute where an object knows none; functions must be the same one."""
    if type(a) is not type(b):
        return False
    if isinstance(a, nn.Module):
        return alike(a, b)
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_equal(u, v) for u, v in zip(a, b, strict=True))
    if type(a).__eq__ is object.__eq__ and not callable(a) and hasattr(a, "__dict__"):
        return _equal(vars(a), vars(b))
    return bool(a == b)
