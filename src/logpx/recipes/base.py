"""The table of recipes and what every recipe is built with (floor 7).

A recipe is a typed function of a data set's Spec that returns a Method: its signature is its configuration, on the
command line too, and its docstring's first line is its title and reference.
"""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_type_hints

import torch
from pydantic import ConfigDict, ValidationError, validate_call
from torch import nn

from logpx import likelihoods, networks
from logpx.data import Data, Spec, from_array
from logpx.errors import UserError
from logpx.model import VAE
from logpx.train import Method, Run
from logpx.train.engine import dtype_of
from logpx.train.run import Folder

Network = Literal["mlp", "conv"]
Sigma = float | Literal["shared", "pixel", "optimal"]


class Recipe(NamedTuple):
    """A row of the table: everything about a method that is not its code comes from the docstring's first line."""

    name: str
    title: str
    reference: str
    build: Callable[..., Method]
    source: Callable[..., Method]

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The typed options, annotations resolved, without the data."""
        hints = get_type_hints(self.source)
        parameters = list(inspect.signature(self.source).parameters.values())[1:]
        return {p.name: p.replace(annotation=hints[p.name]) for p in parameters}

    @property
    def text(self) -> tuple[str, dict[str, str]]:
        """The docstring without its list of options, and the meaning of each option from that list."""
        lines = (inspect.getdoc(self.source) or "").splitlines()
        matches = [re.match(rf"({'|'.join(self.options)}): (.+)", line) for line in lines]
        kept = [line for line, match in zip(lines, matches, strict=True) if not match]
        return "\n".join(kept).strip(), {match[1]: match[2] for match in matches if match}


RECIPES: dict[str, Recipe] = {}


def recipe(function: Callable[..., Method]) -> Callable[..., Method]:
    """Enters a function into the table, checks its options when called, and seeds the initial weights.

    The decorated function takes a Data, a Spec or an array, its own options, and `seed`.
    """
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(function)
    title, reference = _headline(function)

    @wraps(function)
    def build(data: Any, *, seed: int = 0, **options: Any) -> Method:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                method = checked(spec_of(data), **options)
            except ValidationError as error:
                raise UserError(_sentence(function.__name__, error)) from None
        given = {name: p.default for name, p in RECIPES[function.__name__].options.items()} | options
        return Method(
            method.model,
            method.objective,
            method.training,
            method.solve,
            function.__name__,
            given | {"seed": seed},
        )

    RECIPES[function.__name__] = Recipe(function.__name__, title, reference, build, function)
    return build


def spec_of(data: Any) -> Spec:
    if isinstance(data, Data):
        return data.spec
    return data if isinstance(data, Spec) else from_array(data).spec


def _headline(function: Callable[..., Method]) -> tuple[str, str]:
    """ "Title (reference). ..." -> title, reference."""
    first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    match = re.match(r"(.+?) \((.+?\d{4}.*?)\)\.", first)
    assert match, f"the docstring of {function.__name__} must begin 'Title (reference, year, ...).'"
    return match[1], match[2]


def _sentence(name: str, error: ValidationError) -> str:
    """pydantic's report as one sentence."""
    first = error.errors()[0]
    option = str(first["loc"][0]) if first["loc"] else "?"
    said = [e["msg"] for e in error.errors() if e["loc"][:1] == first["loc"][:1]]  # one for each type it may have
    wanted = [text.removeprefix("Input should be ").split(", unable")[0] for text in said]
    if first["type"] == "unexpected_keyword_argument":
        return f"The recipe {name} has no option {option!r}; it has: {', '.join(RECIPES[name].options)}."
    return f"The option {option} of {name} is {first.get('input')!r}; it must be {' or '.join(wanted)}."


def find(name: str) -> Recipe:
    """The row of a recipe; UserError with the nearest names for one that does not exist."""
    if name in RECIPES:
        return RECIPES[name]
    from difflib import get_close_matches

    near = get_close_matches(name, RECIPES, 1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise UserError(f"There is no recipe {name!r}.{guess} Recipes: {', '.join(RECIPES)}.")


# --- building blocks of recipes --------------------------------------------------------------------------------------


def assemble(
    spec: Spec,
    *,
    posterior: nn.Module,
    prior: nn.Module | None,
    likelihood: str = "auto",
    sigma: Sigma = "shared",
    network: Network = "mlp",
    hidden: tuple[int, ...] = (400,),
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> VAE:
    """The five parts around a posterior family and a prior: the posterior says what the networks must emit and take."""
    law = choose_likelihood(spec, likelihood, sigma)
    inputs, numbers, pixels = spec.shape, (posterior.size,), (law.size, *spec.shape)
    dim = (posterior.dim,)
    if network == "conv":
        if len(spec.shape) != 3:
            raise UserError(f"network 'conv' needs images (C, H, W); these data have shape {spec.shape}: take 'mlp'.")
        encoder: nn.Module = networks.ConvEncoder(inputs, numbers, hidden=hidden, activation=activation)  # type: ignore[arg-type]
        decoder: nn.Module = networks.ConvDecoder(dim, pixels, hidden=hidden[::-1], activation=activation)  # type: ignore[arg-type]
    else:
        encoder = networks.MLP(inputs, hidden, numbers, activation=activation)  # type: ignore[arg-type]
        decoder = networks.MLP(dim, hidden[::-1], pixels, activation=activation)  # type: ignore[arg-type]
    return VAE(encoder=encoder, posterior=posterior, prior=prior, decoder=decoder, likelihood=law)


def choose_likelihood(spec: Spec, name: str, sigma: Sigma) -> nn.Module:
    """The likelihood of that name for this data; "auto" is the one that fits its kind."""
    law = likelihoods.LIKELIHOODS[likelihoods.for_kind(spec.kind) if name == "auto" else name]
    if law is likelihoods.Gaussian:
        return law(spec.shape, sigma)
    if sigma != "shared":
        raise UserError(f"sigma is {sigma}, and only a gaussian likelihood has one: choose it, or leave sigma out.")
    return law(spec.shape)


# --- opening a run again ---------------------------------------------------------------------------------------------


def load_run(path: str | Path) -> Run:
    """A run from its folder: the recipe is called again with the kept options and filled with the kept weights.

    Nothing is unpickled. Raises UserError for a folder that is no run, is damaged, or was made without a recipe.
    """
    folder = Folder.existing(path)
    info = folder.read_info()
    if info["recipe"] is None:
        raise UserError(
            f"{path} was trained from hand-made parts: build them again and call Folder(path).load_weights(model)."
        )
    method = rebuild(info)
    method.model.to(dtype=dtype_of(info["settings"].get("precision")))
    epoch = folder.load_weights(method.model)
    return Run(method, info, folder.read_rows(), epoch, folder.path)


def rebuild(info: dict[str, Any]) -> Method:
    """The method that run.json describes, with fresh weights."""
    try:
        data, options = info["data"], dict(info["options"])
        spec = Spec(tuple(data["shape"]), data["kind"], data["levels"])
        return find(info["recipe"]).build(spec, **options)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"run.json does not describe its data and options ({error!r}): the file is damaged.") from None


def protocol_for(source: str, likelihood: str) -> str | None:
    """The protocol that a likelihood asks of pixels when the user names none: a Bernoulli needs binary ones.

    None (the data set's own default) where the source names its protocol, or holds no pixels, or nothing is asked.
    """
    if ":" in source or source not in ("mnist", "fashion-mnist", "digits"):
        return None
    return {"auto": None, "bernoulli": "dynamic"}.get(likelihood, "grey")
