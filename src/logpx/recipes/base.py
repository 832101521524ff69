"""The table of recipes and what every recipe is built with (floor 7).

A recipe is a typed function of a data set's Spec that returns a Method: its signature is its configuration, on the
command line too, and its docstring's first line is its title and reference.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

import torch
from pydantic import ConfigDict, ValidationError, validate_call
from torch import nn

from logpx import likelihoods, networks, objectives, posteriors, priors
from logpx.data import Column, Data, Kind, Spec, from_array
from logpx.errors import UserError
from logpx.model import VAE
from logpx.recipes.own import OwnNetworks, allowed, check_same, own_networks
from logpx.recipes.types import Positive
from logpx.train import Method, Run
from logpx.train.engine import dtype_of
from logpx.train.run import Folder

Plain = Literal["mlp", "conv"]
Network = Plain | OwnNetworks
Sigma = Positive | Literal["shared", "pixel", "optimal"]
Activation = Literal["relu", "tanh"]

#: what an option means in every recipe that has it and does not say otherwise
MEANINGS = {
    "latent": "dimensions of z",
    "hidden": "widths of the encoder's layers, mirrored in the decoder",
    "network": "mlp, conv for images, or networks of your own: module:function",
    "activation": "between the layers",
    "likelihood": "p(x|z); auto is bernoulli for binary data, continuous_bernoulli for grey, gaussian for real, logistic for "
    "integer pixels, negative_binomial for counts, categorical for codes, and table, one for each column, for mixed ones",
    "sigma": "of a gaussian, laplace or student_t: a number, one learned (shared) for all elements, or one for each (pixel); "
    "of a gaussian also optimal",
    "warmup": "optimiser steps over which the weight of the KL rises from 0 to 1",
    "samples": "k, draws of z per row",
}


WHEN = "When: "  # begins the docstring's paragraph on what a recipe is for


class Recipe(NamedTuple):
    """A row of the table: everything about a method that is not its code comes from the docstring's first line."""

    name: str
    title: str
    reference: str
    build: Callable[..., Method]
    source: Callable[..., Method]
    conditional: bool = False  # whether it models p(x | context); the command line then takes the label by default
    kind: Kind | None = None  # the one that it reads data as unless told otherwise

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """The typed options, annotations resolved, without the data."""
        hints = get_type_hints(self.source)
        parameters = list(inspect.signature(self.source).parameters.values())[1:]
        return {p.name: p.replace(annotation=hints[p.name]) for p in parameters}

    @property
    def text(self) -> tuple[str, dict[str, str]]:
        """The docstring without its list of options, and the meaning of each option: from that list, or as everywhere."""
        lines = (inspect.getdoc(self.source) or "").splitlines()
        matches = [re.match(rf"({'|'.join(self.options)}): (.+)", line) for line in lines]
        kept = [line for line, match in zip(lines, matches, strict=True) if not match]
        common = {name: MEANINGS[name] for name in self.options if name in MEANINGS}
        return "\n".join(kept).strip(), common | {match[1]: match[2] for match in matches if match}

    @property
    def sentence(self) -> str:
        """What the method is, in one sentence: the docstring's, below its title."""
        first = self.text[0].split("\n\n")[0].replace("\n", " ")
        return first.removeprefix(f"{self.title} ({self.reference}).").strip()

    @property
    def when(self) -> str:
        """When to use it and when not: the docstring's paragraph that begins so."""
        said = (paragraph for paragraph in self.text[0].split("\n\n") if paragraph.startswith(WHEN))
        return next(said, "").removeprefix(WHEN).replace("\n", " ")


#: what an encoder or decoder may have between its layers
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}

RECIPES: dict[str, Recipe] = {}


def recipe(
    function: Callable[..., Method] | None = None, *, conditional: bool = False, kind: Kind | None = None
) -> Any:
    """Enters a function into the table, checks its options when called, and seeds the initial weights.

    The decorated function takes a Data, a Spec or an array, its own options, and `seed`. An option `rows` left at None is
    the number of training rows, where the data are given: the options that a run keeps then hold it. An option `network` may
    stand for networks of one's own (see `recipes.own`): those options then hold its name and the checksum of its source.
    """
    if function is None:
        return partial(recipe, conditional=conditional, kind=kind)
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(function)
    title, reference = _headline(function)

    @wraps(function)
    def build(data: Any, *, seed: int = 0, network_sha256: str | None = None, **options: Any) -> Method:
        data = data if isinstance(data, Data | Spec) else from_array(data, kind=kind)
        given = {name: p.default for name, p in RECIPES[function.__name__].options.items()} | options
        if isinstance(data, Data) and given.get("rows", 0) is None:
            given["rows"] = options["rows"] = len(data.train)
        if "network" in options and "network" in RECIPES[function.__name__].options:
            options["network"] = own_networks(options["network"], get_args(Plain))
            given |= _kept(options["network"], network_sha256)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                method = checked(data.spec if isinstance(data, Data) else data, **options)
            except ValidationError as error:
                raise UserError(_sentence(function.__name__, error)) from None
        return replace(method, recipe=function.__name__, options=given | {"seed": seed})

    RECIPES[function.__name__] = Recipe(function.__name__, title, reference, build, function, conditional, kind)
    return build


def _kept(network: Network, before: str | None) -> dict[str, Any]:
    """What a run keeps of its networks; says where the source has changed since `before`."""
    if not isinstance(network, OwnNetworks):
        return {"network": network}
    check_same(network, before)
    return {"network": network.name} | ({"network_sha256": network.sha256} if network.sha256 else {})


def _headline(function: Callable[..., Method]) -> tuple[str, str]:
    """ "Title (reference). Sentence." -> title, reference."""
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
    likelihood: str | nn.Module = "auto",
    sigma: Sigma = "shared",
    network: Network = "mlp",
    hidden: tuple[int, ...] = (400,),
    activation: Activation = "relu",
) -> VAE:
    """The five parts around a posterior family and a prior: the posterior says what the networks must emit and take."""
    law = likelihood if isinstance(likelihood, nn.Module) else choose_likelihood(spec, likelihood, sigma)
    seen = features(spec)
    inputs, pixels = seen.outputs if seen else spec.shape, (law.size, *spec.shape)
    widths = law.widths if isinstance(law, likelihoods.Table) else ()
    sizes = networks.Sizes(inputs, posterior.size, posterior.dim, (sum(widths),) if widths else pixels, spec.context)  # type: ignore[arg-type]
    encoder, decoder = _networks(sizes, spec.shape, network, hidden, ACTIVATIONS[activation])
    encoder = networks.Seeing(seen, encoder) if seen else encoder
    decoder = networks.Spread(decoder, widths) if widths else decoder
    return VAE(encoder=encoder, posterior=posterior, prior=prior, decoder=decoder, likelihood=law)


def _networks(
    sizes: networks.Sizes,
    shape: networks.Shape,
    network: Network,
    hidden: tuple[int, ...],
    activation: networks.Activation,
) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of these sizes for data of this shape."""
    if isinstance(network, OwnNetworks):
        return network(sizes)
    numbers, dim, common = (sizes.q,), (sizes.z,), {"context": sizes.context, "activation": activation}
    if network == "conv":
        if len(shape) != 3:
            raise UserError(f"network 'conv' needs images (C, H, W); these data have shape {shape}: take 'mlp'.")
        encoder = networks.ConvEncoder(sizes.x, numbers, hidden=hidden, **common)  # type: ignore[arg-type]
        return encoder, networks.ConvDecoder(dim, sizes.px, hidden=hidden[::-1], **common)  # type: ignore[arg-type]
    plain = networks.MLP(sizes.x, hidden, numbers, **common)  # type: ignore[arg-type]
    return plain, networks.MLP(dim, hidden[::-1], sizes.px, **common)  # type: ignore[arg-type]


def normal_vae(spec: Spec, latent: int, **parts: Any) -> VAE:
    """`assemble` with q(z|x) = N(mu(x), diag sigma(x)^2) and p(z) = N(0, I)."""
    return assemble(spec, posterior=posteriors.DiagNormal(latent), prior=priors.StandardNormal(latent), **parts)


def without_latent(shape: networks.Shape, net: nn.Module, law: nn.Module) -> VAE:
    """A VAE whose latent has no dimension and whose KL is 0: p(x|z) is p(x), by a masked network and the law of one element."""
    likelihood = likelihoods.Autoregressive(net, law)
    return VAE(
        encoder=networks.Nothing(shape, (0,)),
        posterior=posteriors.DiagNormal(0),
        prior=priors.StandardNormal(0),
        decoder=networks.Nothing((0,), (0, *shape)),
        likelihood=likelihood,
        marginal=likelihoods.Marginal(likelihood),
    )


def elbo(warmup: int) -> objectives.ELBO:
    """The ELBO; the weight of its KL rises from 0 to 1 over the first `warmup` steps, if any."""
    return objectives.ELBO(objectives.Warmup(warmup) if warmup else 1.0)


def features(spec: Spec) -> nn.Module | None:
    """What an encoder sees in the place of data that are not just real numbers; None where it sees them as they are."""
    if spec.kind == "mixed" and spec.columns:
        return networks.TableFeatures(spec.columns)
    if spec.standard:
        return networks.Standardised(spec.shape, spec.standard)
    if spec.kind == "categorical" and spec.levels:
        return networks.OneHotFeatures(spec.shape, spec.levels)
    return networks.LevelFeatures(spec.shape, spec.levels) if spec.kind == "integer" else None


#: the likelihoods of data whose numbers may be names: a squared error between codes means nothing
OF_CATEGORIES = {"mixed": ("table",), "categorical": ("categorical", "logistic", "bernoulli")}


def choose_likelihood(spec: Spec, name: str, sigma: Sigma) -> nn.Module:
    """The likelihood of that name for this data, built from what it takes; "auto" is the one that fits their kind."""
    if spec.kind == "sequence":
        raise UserError(
            "These data are sequences that end: take the recipe sequence_vae, or --kind categorical for others."
        )
    name = likelihoods.for_kind(spec.kind, spec.levels) if name == "auto" else name
    likelihoods.check_choice(spec.columns, name, sigma)
    if name not in (fitting := OF_CATEGORIES.get(spec.kind, (name,))):
        raise UserError(
            f"The likelihood {name} is a law of numbers, and these data are {spec.kind}: choose {' or '.join(fitting)}, or, "
            "where the recipe has no choice, another recipe."
        )
    law = likelihoods.LIKELIHOODS[name]
    known: dict[str, Any] = {"shape": spec.shape, "levels": spec.levels, "columns": spec.columns, "sigma": sigma}
    known |= {"standard": spec.standard}
    given = {option: known[option] for option in inspect.signature(law).parameters if option in known}
    if sigma != "shared" and "sigma" not in given:
        having = [n for n, other in likelihoods.LIKELIHOODS.items() if "sigma" in inspect.signature(other).parameters]
        raise UserError(
            f"sigma is {sigma}, and only {', '.join(having)} have one: choose one of them, or leave sigma out."
        )
    if spec.standard and "standard" not in given:
        having = [
            n for n, other in likelihoods.LIKELIHOODS.items() if "standard" in inspect.signature(other).parameters
        ]
        raise UserError(f"The likelihood {name} is no law of standardised numbers: choose one of {', '.join(having)}.")
    if given.get("levels", 1) is None:
        raise UserError(
            f"The likelihood {name} needs levels: pixels (--protocol integer) or codes (--kind categorical)."
        )
    if given.get("columns", ()) is None:
        raise UserError("The likelihood table is for a mixed table, whose columns say what they are: leave it at auto.")
    return law(**given)


# --- opening a run again ---------------------------------------------------------------------------------------------


def load_run(path: str | Path, *, network: Any = None) -> Run:
    """A run from its folder: the recipe is called again with the kept options and filled with the kept weights.

    network  what a run that was trained with networks of one's own needs: their function, its name, or a pair of modules.

    The model is in evaluation mode. Nothing is unpickled, and no code is run but what `network`, or the environment variable
    LOGPX_NETWORK, names. Raises UserError for a folder that is no run, is damaged, or was made without a recipe.
    """
    folder = Folder.existing(path)
    info = folder.read_info()
    if info["recipe"] is None:
        raise UserError(
            f"{path} was trained from hand-made parts: build them again and call Folder(path).load_weights(model)."
        )
    method = rebuild(info, network, folder.path)
    method.model.to(dtype=dtype_of(info["settings"].get("precision")))
    epoch = folder.load_weights(method.model)
    method.model.eval()
    return Run(method, info, folder.read_rows(), epoch, folder.path, folder.second.read_rows())


def rebuild(info: dict[str, Any], network: Any = None, folder: Path | None = None) -> Method:
    """The method that run.json describes, with fresh weights; `network` as in `load_run`."""
    try:
        data, options = info["data"], dict(info["options"])
        if has_own_networks(options):
            options["network"] = allowed(options["network"], network, folder)
        elif network is not None:
            raise UserError("This run has no networks of its user's own: leave network out.")
        columns = data.get("column_kinds") and tuple(Column(*column) for column in data["column_kinds"])
        standard = data.get("standard") and networks.Standard(*map(tuple, data["standard"]))
        spec = Spec(tuple(data["shape"]), data["kind"], data["levels"], data.get("context", 0), columns, standard)
        return find(info["recipe"]).build(spec, **options)
    except UserError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"run.json does not describe its data and options ({error!r}): the file is damaged.") from None


def has_own_networks(options: Mapping[str, Any]) -> bool:
    """Whether a run's kept options stand for networks of its user's own."""
    return options.get("network", "mlp") not in get_args(Plain)
