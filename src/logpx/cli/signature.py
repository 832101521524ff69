"""A recipe's signature as a command's (floor 8): its options there, and what was typed back in the recipe's types."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.recipes import Recipe


def command_of(
    row: "Recipe", shared: list[inspect.Parameter], act: Callable[[dict[str, Any], dict[str, Any]], None]
) -> Callable[..., None]:
    """A function whose signature is the recipe's options followed by the shared ones: typer reads nothing else.

    `act` is called with the recipe's options and with the shared ones.
    """
    names = {p.name for p in shared}
    assert not names & row.options.keys(), f"{row.name} has an option of the verb's: {names & row.options.keys()}"
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    _, meaning = row.text
    own = [
        p.replace(kind=either, annotation=_option(p, meaning.get(p.name)), default=default_of(p))
        for p in row.options.values()
    ]

    def command(**given: Any) -> None:
        options = {name: value for name, value in given.items() if name in row.options}
        act(options, {name: value for name, value in given.items() if name in names})

    signature = inspect.Signature([shared[0], *own, *shared[1:]])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return command


def _option(p: inspect.Parameter, meaning: str | None = None) -> Any:
    """A recipe option's type as typer understands it; a type it does not know travels as text to pydantic."""
    kind = p.annotation
    if kind in (int, float, bool, str) or get_origin(kind) is Literal:
        return Annotated[kind, typer.Option(help=meaning)]
    if kind == tuple[int, ...]:
        return Annotated[str, typer.Option(metavar="INT,INT,...", help=meaning)]
    return Annotated[str, typer.Option(metavar=_spelled(kind), help=meaning)]


def _spelled(kind: Any) -> str:
    """float | Literal["shared", "pixel"] -> FLOAT|shared|pixel."""
    parts = [get_args(a) if get_origin(a) is Literal else (_word(a),) for a in get_args(kind)]
    return "|".join(str(name) for names in parts for name in names if name != "NONETYPE")


def _word(kind: Any) -> str:
    """How a type says that it is `spelled`, or its name."""
    return getattr(kind, "spelled", getattr(kind, "__name__", str(kind)).upper())


def default_of(p: inspect.Parameter) -> Any:
    if isinstance(p.default, tuple):
        return ",".join(map(str, p.default))
    return p.default if isinstance(p.default, int | float | bool | str | None) else str(p.default)


def typed(row: "Recipe", options: dict[str, Any]) -> dict[str, Any]:
    """Text such as 400,200 back to a tuple; everything else is checked by the recipe itself."""
    tuples = {name for name, p in row.options.items() if p.annotation == tuple[int, ...]}
    return {name: _integers(name, value) if name in tuples else _number(value) for name, value in options.items()}


def _number(value: Any) -> Any:
    """A number that travelled as text because it might have been a word: --sigma 0.5."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _integers(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UserError(f"--{name} is {text!r}: give whole numbers with commas between, such as 400,200.") from None
