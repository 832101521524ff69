"""Networks of the user's own (floor 7): what stands for them in an option, where they come from, and who may open them again.

`--network mymodule:make` names a function in the current folder or among what Python imports. It is called with the `Sizes`
of the networks and returns (encoder, decoder). run.json keeps the name and a checksum of the source, never the source: a run
is opened only where its user says which code that may run.
"""

import copy
import hashlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from logpx.errors import UserError
from logpx.networks import Own, Sizes

HANDED_OVER = "own"  # what run.json says of networks without a name that could be looked up
TRUSTED = "LOGPX_NETWORK"  # environment: the names of functions that may run when a run is opened
Pair = tuple[nn.Module, nn.Module]


@dataclass(frozen=True)
class OwnNetworks:
    """A function from `Sizes` to a pair of modules, what run.json calls it, and the checksum of its file."""

    spelled: ClassVar[str] = "MODULE:FUNCTION"
    name: str
    make: Callable[[Sizes], Pair]
    sha256: str | None = None

    def __call__(self, sizes: Sizes) -> tuple[Own, Own]:
        """The pair for these sizes. Raises UserError where the function fails or returns something else."""
        says = f"network {self.name}" if self.name != HANDED_OVER else "network"
        with in_current_folder(), _explained(f"The {says}, called with the sizes of the networks,"):
            pair = self.make(sizes)
        if not is_pair(pair):
            raise UserError(f"The {says} returns {_kind(pair)}, and (encoder, decoder), two modules, are needed.")
        owner = "" if self.name == HANDED_OVER else f" of {self.name}"
        encoder, decoder = (f"the {part}{owner}" for part in ("encoder", "decoder"))
        return (
            Own(pair[0], sizes.x, (sizes.q,), context=sizes.context, name=encoder),
            Own(pair[1], (sizes.z,), sizes.px, context=sizes.context, name=decoder),
        )


def own_networks(given: Any, plain: tuple[str, ...]) -> Any:
    """The OwnNetworks that an option stands for: "module:function", a function, or a pair of modules; a `plain` name as it is.

    A pair is copied each time it is used, so that what was given stays as it is. Raises UserError for anything else.
    """
    if isinstance(given, OwnNetworks) or (isinstance(given, str) and given in plain):
        return given
    if isinstance(given, str) and is_name(given):
        return by_name(given)
    if is_pair(given):
        return OwnNetworks(HANDED_OVER, lambda sizes: copy.deepcopy(tuple(given)))
    if callable(given) and not isinstance(given, nn.Module):
        name = _name_of(given)
        return OwnNetworks(name, given, None if name == HANDED_OVER else _sum_of(given))
    if given == HANDED_OVER:
        raise UserError("These networks were handed over in Python and have no name: hand them over again as network=.")
    raise UserError(
        f"The network {given!r} is none: give {', '.join(plain)}, MODULE:FUNCTION, or, in Python, a function or two modules."
    )


def is_pair(given: Any) -> bool:
    return isinstance(given, tuple | list) and len(given) == 2 and all(isinstance(part, nn.Module) for part in given)


def is_name(text: str) -> bool:
    """Whether it reads as module:function."""
    module, colon, function = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *function.split(".")))


def by_name(name: str) -> OwnNetworks:
    """The function "module:function" of the current folder or of what Python imports; UserError where there is none."""
    module, _, function = name.partition(":")
    with in_current_folder():
        try:
            with _explained(f"Importing {module} for the network {name}"):
                found = importlib.import_module(module)
        except UserError as error:
            missing = error.__cause__
            if isinstance(missing, ModuleNotFoundError) and f"{module}.".startswith(f"{missing.name}."):
                raise UserError(
                    f"There is no module {module!r} in {Path.cwd()} or among what Python imports."
                ) from None
            raise
    make: Any = found
    for part in function.split("."):
        make = getattr(make, part, None)
    if not callable(make):
        raise UserError(f"The module {module} ({found.__file__}) has no function {function!r}.")
    return OwnNetworks(name, make, _sum_of(make))


def allowed(kept: str, given: Any, folder: Path | None) -> Any:
    """What stands for the networks of a run that is opened: what is given, or the kept name where its user trusts it.

    Raises UserError where nobody has said so: opening a run runs no code that was not asked for, least of all its folder's.
    """
    if folder is not None and Path.cwd().resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{folder} asks for networks of its user's own, which are not looked for inside a run: step out of it."
        )
    if given is not None:
        return given
    if kept in [name.strip() for name in os.environ.get(TRUSTED, "").split(",")]:
        return kept
    if kept == HANDED_OVER:
        raise UserError(
            "This run's networks were handed over in Python: open it there, by load_run(path, network=...)."
        )
    otherwise = f", or in Python say load_run(path, network={kept!r})" if folder else ""
    raise UserError(
        f"This run has networks of its user's own, and opening it runs that code: where you trust {kept}, set the environment "
        f"variable {TRUSTED}={kept}{otherwise}."
    )


def check_same(networks: OwnNetworks, kept: str | None) -> None:
    """Says on standard error where the source is not the one that was trained."""
    if kept is not None and networks.sha256 != kept:
        print(
            f"logpx: the source of the network {networks.name} is not the one that this run was trained with (another "
            "checksum).",
            file=sys.stderr,
        )


@contextmanager
def in_current_folder() -> Iterator[None]:
    """The current folder first among what Python imports from, as `python -m` has it."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    """One sentence on whatever the user's code raises, with the place; its own traceback stays behind it."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        said = str(error.msg if isinstance(error, SyntaxError) else error)
        first = ": ".join([type(error).__name__, *said.splitlines()[:1]]).rstrip(".")
        raise UserError(f"{doing} failed: {first} ({_place(error)}).") from error


def _place(error: BaseException) -> str:
    """The file and the line that raised it, or that Python could not read."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    return f"{frames[-1].filename}, line {frames[-1].lineno}"


def _name_of(make: Callable[..., Any]) -> str:
    """module:function where looking that up leads back to the function."""
    module, name = getattr(make, "__module__", ""), getattr(make, "__qualname__", "")
    if module == "__main__" or not is_name(f"{module}:{name}"):
        return HANDED_OVER
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is make else HANDED_OVER


def _sum_of(make: Callable[..., Any]) -> str | None:
    """sha256 of the file that holds the function, None where it is in no file."""
    try:
        file = inspect.getsourcefile(inspect.unwrap(make))
        return hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()
    except (TypeError, OSError):
        return None


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {', '.join(type(part).__name__ for part in value) or 'nothing'}"
    return f"a {type(value).__name__}"
