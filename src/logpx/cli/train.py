"""The verb train (floor 8): a command for each recipe, its options the recipe's and those of training."""

import inspect
import shlex
import sys
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from logpx.cli.app import JSON, StoppedError, app, print_json
from logpx.cli.over import OF_TRAINING
from logpx.cli.results import in_numbers, in_words, judged, reconstruction, write_report
from logpx.cli.signature import command_of, typed
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.evaluate import CodeEvidence, Evidence
    from logpx.recipes import Recipe
    from logpx.train import Run
    from logpx.train.log import Reporter


#: the data in a recipe's example where it cannot take MNIST, some of whose pixels never change
EXAMPLES = {"factor_analysis": "linear-gaussian", "sequence_vae": "topics"}


class RecipeGroup(TyperGroup):
    """`logpx train RECIPE`: the commands are the table of recipes, their options the recipes' signatures."""

    def list_commands(self, ctx: Any) -> list[str]:
        from logpx.recipes import RECIPES

        return list(RECIPES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from logpx.recipes import find

        row = find(cmd_name)
        one = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=app.info.context_settings)
        one.command(row.name, help=self.help_of(row), short_help=row.title)(self.command(row))
        return typer.main.get_command(one)

    def help_of(self, row: "Recipe") -> str:
        return help_of(row)

    def command(self, row: "Recipe") -> Callable[..., None]:
        return _train_command(row)


app.add_typer(
    typer.Typer(cls=RecipeGroup, no_args_is_help=True, rich_markup_mode=None),
    name="train",
    help="Train a recipe on data and keep the run. Example: logpx train vae mnist --latent 2",
)


def help_of(row: "Recipe", verb: str = "train", more: str = "") -> str:
    """The recipe's docstring with an example; \\b keeps its lines as they are."""
    text, _ = row.text
    example = f"Example: logpx {verb} {row.name} {EXAMPLES.get(row.name, 'mnist')}{more}"
    return "\n\n".join(f"\b\n{paragraph}" for paragraph in [*text.split("\n\n"), example])


def train_options(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A named set (logpx list), a file, or a folder of images.")
    ],
    epochs: Annotated[int | None, typer.Option(help="Passes over the training rows.  [default: the recipe's]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step.  [default: the recipe's]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimizer.  [default: the recipe's]")] = None,
    schedule: Annotated[Literal["constant", "cosine"] | None, typer.Option(help="Of the learning rate.")] = None,
    optimizer: Annotated[
        Literal["adam", "muon"] | None, typer.Option(help="muon: fewer steps are needed, each of them longer.")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    encoder_decay: Annotated[
        float | None, typer.Option(help="Weight decay of the encoder, which overfits first: 0.2.")
    ] = None,
    average: Annotated[
        float | None, typer.Option(help="Keep a moving average of the weights, of this decay per step: 0.99.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better held-out loss.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the weights, the order and the noise.")] = 0,
    protocol: Annotated[
        str | None, typer.Option(help="How pixels become numbers: dynamic, grey, threshold, static, integer.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="What the numbers are, if not as inferred: binary, grey, real, ...")
    ] = None,
    held_out: Annotated[str | None, typer.Option(help="Fraction or count of rows that choose the epoch.")] = None,
    test: Annotated[str | None, typer.Option(help="Fraction or count of rows that only `evaluate` sees.")] = None,
    split_seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of which rows are held out and tested.")] = 0,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column that says of each row train, validation or test.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column whose equal values stay in one split: patient.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="NAME", help="The column that colours pictures.")] = None,
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAME=KIND,...", help="Kinds of columns, if not as inferred: age=real,city=categorical."),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            help="What to condition on: label, or columns (age,city).  [default: label for conditional recipes]"
        ),
    ] = None,
    drop: Annotated[str | None, typer.Option(metavar="NAME,...", help="Columns to leave out: id,date.")] = None,
    standardise: Annotated[
        bool, typer.Option("--standardise", help="Real columns in units of their deviation, within the model only.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    precision: Annotated[
        Literal["float64", "float32", "medium", "bfloat16"],
        typer.Option(help="medium: matrix products may round to bfloat16. bfloat16: the networks compute in it."),
    ] = "float32",
    compile: Annotated[
        Literal["auto", "yes", "no"], typer.Option(help="Capture the step as one compiled graph.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(help="Threads of the arithmetic.  [default: torch's]")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/RECIPE-DATA]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in --out.")] = False,
    save_every: Annotated[int, typer.Option(help="Epochs between two saves.")] = 1,
    evidence_samples: Annotated[int, typer.Option(min=1, help="k of the L_k printed at the end.")] = 100,
    report: Annotated[bool, typer.Option(help="Write report.html at the end.")] = True,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write RUN/tensorboard, too: TensorBoard's events, epoch by epoch.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: JSON = False,
) -> None:
    """Only its signature is used: the options that every recipe shares."""


def _train_command(row: "Recipe") -> Callable[..., None]:
    shared = list(inspect.signature(train_options).parameters.values())
    return command_of(row, shared, partial(_train, row))


def _train(row: "Recipe", options: dict[str, Any], given: dict[str, Any]) -> None:
    """Load, build, fit, evaluate, report: the whole of `logpx train`."""
    from logpx.train import fit

    options = typed(row, options)
    given["kind"] = given["kind"] or row.kind
    given["context"] = given["context"] or ("label" if row.conditional else None)
    data = load_data(given, options.get("likelihood", "gaussian"))
    out = given["out"] or free_folder(row.name, data, given["resume"])
    names = (*OF_TRAINING, "seed", "device", "precision", "compile", "threads", "resume", "force", "save_every")
    passed = {name: given[name] for name in names}
    method = row.build(data, seed=given["seed"], **options)
    show = _with_events(out, quiet=given["quiet"]) if given["tensorboard"] else not given["quiet"]
    with resumable(sys.argv[1:], out):
        run = fit(method, data, out=out, show=show, **passed)
    split = data.judge
    found = judged(run, getattr(data, split), show=not given["quiet"], samples=given["evidence_samples"])
    page = write_report(run, data, found) if given["report"] else None
    _announce(run, split, found, page, given["as_json"])


def _with_events(out: Path, *, quiet: bool) -> "Reporter":
    from logpx.train.events import Events
    from logpx.train.log import reporter

    return Events(out, reporter(quiet))


def load_data(given: dict[str, Any], likelihood: str) -> "Data":
    """The data that the options name; a picture's protocol is that of the likelihood, unless it is given."""
    from logpx.data import PICTURES, load
    from logpx.likelihoods import PROTOCOL

    wanted: dict[str, Any] = {name: _share(name, given[name]) for name in ("held_out", "test")}
    protocol = given["protocol"]
    if protocol is None and given["kind"] is None and given["data"] in PICTURES and likelihood != "auto":
        protocol = PROTOCOL.get(likelihood, "grey")
    wanted |= {name: given[name] for name in ("kind", "label", "columns", "context", "drop")}
    wanted |= {name: given.get(name) for name in ("standardise", "split", "group")}
    return load(given["data"], protocol=protocol, seed=given.get("split_seed", 0), **wanted)


def _share(name: str, text: str | None) -> float | int | None:
    if text is None:
        return None
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        flag = name.replace("_", "-")
        raise UserError(f"--{flag} is {text!r}: give a fraction such as 0.1 or a number of rows.") from None


def free_folder(recipe: str, data: "Data", resume: bool) -> Path:
    """runs/vae-mnist, or the first of runs/vae-mnist-2, -3, ... that does not exist."""
    stem = f"{recipe}-{Path(data.name).stem}".lower().replace(" ", "-")
    if resume:
        raise UserError(f"Which run goes on? Name its folder with --out, such as --out runs/{stem}.")
    names = (stem if i == 1 else f"{stem}-{i}" for i in range(1, 10_000))
    return next(path for name in names if not (path := Path("runs") / name).exists())


@contextmanager
def resumable(arguments: list[str], out: Path, kept: str = "state/state.safetensors") -> Any:
    """Ctrl-C in the middle of training says how to go on, once the file `kept` is there; what was saved stays."""
    try:
        yield
    except KeyboardInterrupt:
        if not (out / kept).exists():
            raise
        again = [a for a in arguments if a not in ("--resume", "--force")]
        again += [] if any(a == "--out" or a.startswith("--out=") for a in again) else ["--out", str(out)]
        raise StoppedError(
            f"Stopped; the finished epochs are kept, go on with 'logpx {shlex.join(again)} --resume'."
        ) from None


def _announce(
    run: "Run", split: str, found: "Evidence | CodeEvidence | None", page: Path | None, as_json: bool
) -> None:
    said = {
        "run": str(run.folder),
        "recipe": run.info["recipe"],
        "data": run.info["data"]["name"],
        "protocol": run.info["data"]["protocol"],
        "best": run.best,
        "split": split,
        "evidence": in_numbers(run, found) if run.model.has_evidence else None,
        "report": page and str(page),
    }
    if found and not run.model.has_evidence:
        said["code_evidence"] = found.summary()
    if as_json:
        return print_json(said)
    print(f"{said['recipe']} on {said['data']} ({said['protocol']}), best epoch {run.best_epoch}, run {said['run']}")
    if found:
        print(f"{split.replace('_', '-')} set: {in_words(run, found)}")
    elif says := reconstruction(run):
        print(says)
    if page:
        print(f"report: {page}")
    return None
