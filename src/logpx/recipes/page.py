"""A method on one page (floor 7): the recipe's source, then the source of each part it is made of, in reading order."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from torch import nn

import logpx
from logpx.data import Spec
from logpx.errors import UserError
from logpx.recipes.base import find
from logpx.train import Method

#: shapes to build a recipe on when only its parts are wanted; a recipe takes the first that it accepts
EXAMPLES = (
    Spec((1, 28, 28), "binary"),
    Spec((8,), "real"),
    Spec((1, 28, 28), "binary", context=10),
    Spec((8,), "sequence", 5),
)


def example(name: str) -> Method:
    """The recipe built with its defaults on a made-up data set that it accepts."""
    for spec in EXAMPLES:
        try:
            return find(name).build(spec)
        except UserError as error:
            refused = error
    raise refused


def parts(name: str) -> list[Any]:
    """What one reads to know the method, in order: recipe, objective or solver, posterior, prior, likelihood, networks."""
    method = example(name)
    model = method.model
    solver = getattr(method.solve, "func", method.solve)  # a solver may be a partial
    used = [find(name).source, *([solver] if solver else _classes(method.objective))]
    for part in (model.posterior, model.prior, model.likelihood, model.encoder, model.decoder):
        used += [] if part is None else _classes(part)
    things = list(dict.fromkeys(thing for top in used for thing in _with_helpers(top)))
    order = list(dict.fromkeys(map(_file, things)))
    return sorted(things, key=lambda thing: order.index(_file(thing)))


#: what every method stands in and one reads once: the model, how objectives add and the bounds among them, multilayer
#: perceptrons, convolutions, attention
FRAME = ("model.py", "objectives/base.py", "objectives/bounds.py", "networks/plain.py")


def files(name: str) -> list[str]:
    """The files one opens to read the method, in order of reading, the frame left out."""
    return [file for file in dict.fromkeys(map(_file, parts(name))) if file not in FRAME]


def page(name: str) -> str:
    """The page as Python source with a line above each part saying where it stands."""
    shown, last = [], ""
    for thing in sorted(parts(name), key=lambda thing: _file(thing) in FRAME):
        where = _file(thing)
        shown.append((f"# {'-' * 20} logpx/{where}\n\n" if where != last else "") + inspect.getsource(thing).rstrip())
        last = where
    frame = "# The frame that every method stands in, read once: logpx/" + ", logpx/".join(FRAME) + "."
    return "\n\n\n".join([*shown, frame]) + "\n"


def _classes(module: nn.Module) -> Iterator[type]:
    """The classes of a module and of the modules inside it that are ours and carry the method, outermost first."""
    for inner in module.modules():
        kind = type(inner)
        if kind.__module__.startswith("logpx.") and kind.__name__ not in ("Weight", "Sum"):
            yield kind


def _with_helpers(thing: Any) -> Iterator[Any]:
    """A class or function, before it the private bases and after it the functions of its own file that it calls."""
    if isinstance(thing, type):
        yield from (base for base in thing.__mro__[1:] if base.__name__.startswith("_") and _is_ours(base))
    yield thing
    functions = [f for f in vars(thing).values() if inspect.isfunction(f)] if isinstance(thing, type) else [thing]
    scope = vars(inspect.getmodule(thing))
    for function in functions:
        names = inspect.unwrap(function).__code__.co_names
        called = (inspect.unwrap(scope[n]) for n in names if callable(scope.get(n)))
        yield from (c for c in called if isinstance(c, FunctionType) and c.__module__ == thing.__module__)


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("logpx.")


def _file(thing: Any) -> str:
    return Path(inspect.getfile(thing)).relative_to(Path(inspect.getfile(logpx)).parent).as_posix()
