"""The command line (floor 8). Nothing at the top of this file imports torch: `logpx --help` answers at once.

Each verb prints its result on standard output, everything else on standard error; `--json` prints one JSON object
and nothing else. An error that a user can cause is one sentence and exit code 2; Ctrl-C is 130.
"""

import errno
import inspect
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperGroup

import logpx
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.evaluate import CodeEvidence, Evidence
    from logpx.recipes import Recipe
    from logpx.train import Run

#: the frozen list of verbs; a test compares it with what the program offers
VERBS = ("list", "show", "train", "evaluate", "sample", "impute", "report", "verify")

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Variational autoencoders, measured: every number in nats per data point, with an error bar.\n\n"
    "Example: logpx train vae mnist --latent 2",
)


class StoppedError(Exception):
    """Ctrl-C in the middle of training, with the command that goes on."""


def main() -> None:
    """The program: runs the verb and turns errors into a sentence and an exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line; returns its exit code (0, 2 for the user's errors, 130 for Ctrl-C)."""
    calm_threads()
    try:
        code = int(app(arguments, prog_name="logpx", standalone_mode=False) or 0)
        return _complain("Stopped.", code) if code == 130 else code
    except UserError as error:
        return _complain(str(error))
    except StoppedError as error:
        return _complain(str(error), 130)
    except KeyboardInterrupt:
        return _complain("Stopped.", 130)
    except OSError as error:
        return _complain(_about_files(error))
    except Exception as error:
        if type(error).__name__ == "Abort":
            return _complain("Stopped.", 130)
        if (message := getattr(error, "format_message", None)) is None:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message(), file=sys.stderr)
            return 2
        return _complain(_sentence(message()))


def calm_threads() -> None:
    """Lets threads that wait for work sleep soon where other processes are busy; called before torch is loaded.

    Alone on a machine spinning wins a fifth; beside a busy process it loses severalfold (benchmarks/RESULTS.md). Neither
    changes a bit of any result. A setting of the user's wins.
    """
    if "OMP_WAIT_POLICY" not in os.environ and _has_busy_neighbours():
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _has_busy_neighbours() -> bool:
    """Whether more processes than this one ran at each of a few looks, 3 ms apart; True where nobody can tell."""
    try:
        return min(_running(pause) for pause in (0, 0.003, 0.003, 0.003)) > 1
    except (OSError, ValueError, StopIteration):
        return True


def _running(pause: float) -> int:
    """How many processes are running or ready to, this one included, after a pause in seconds (Linux)."""
    time.sleep(pause)
    lines = Path("/proc/stat").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("procs_running")).split()[1])


def _complain(text: str, code: int = 2) -> int:
    print(f"logpx: {text}", file=sys.stderr)
    return code


def _sentence(text: str) -> str:
    """The command-line parser's message as one line with a full stop."""
    text = " ".join(text.replace("Value error, ", "").split())
    return text if text.endswith((".", "'", "?")) else f"{text}."


def _about_files(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{where}: free some room and go on with --resume; what was saved before is whole."
    return f"{error.strerror or error}{where}."


# --- list, show -------------------------------------------------------------------------------------------------------


@app.command("list")
def list_recipes(as_json: JSON = False) -> None:
    """List the recipes and the named data sets. Example: logpx list"""
    from logpx.data import names
    from logpx.recipes import RECIPES

    recipes = {name: {"title": r.title, "reference": r.reference} for name, r in RECIPES.items()}
    if as_json:
        return _print_json({"recipes": recipes, "data": names()})
    print("Recipes (logpx show NAME prints one on a page):")
    _table([(name, r["title"], r["reference"]) for name, r in recipes.items()])
    print("\nData sets by name (or give a file or a folder of images):")
    _table(list(names().items()))
    return None


def _table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command("show")
def show(recipe: Annotated[str, typer.Argument(metavar="RECIPE")], as_json: JSON = False) -> None:
    """Print a method on one page: the recipe and the source of its parts. Example: logpx show vae"""
    from logpx.recipes import find
    from logpx.recipes.page import files, page

    row = find(recipe)
    if as_json:
        about = {"recipe": row.name, "title": row.title, "reference": row.reference}
        return _print_json(about | {"files": files(recipe), "source": page(recipe)})
    _print_python(page(recipe))
    return None


def _print_python(source: str) -> None:
    if not sys.stdout.isatty():
        print(source, end="")
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(source, "python", background_color="default"))


# --- train ------------------------------------------------------------------------------------------------------------


class RecipeGroup(TyperGroup):
    """`logpx train RECIPE`: the commands are the table of recipes, their options the recipes' signatures."""

    def list_commands(self, ctx: Any) -> list[str]:
        from logpx.recipes import RECIPES

        return list(RECIPES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        from logpx.recipes import find

        row = find(cmd_name)
        one = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=app.info.context_settings)
        one.command(row.name, help=_help_of(row), short_help=row.title)(_train_command(row))
        return typer.main.get_command(one)


app.add_typer(
    typer.Typer(cls=RecipeGroup, no_args_is_help=True, rich_markup_mode=None),
    name="train",
    help="Train a recipe on data and keep the run. Example: logpx train vae mnist --latent 2",
)


def _help_of(row: "Recipe") -> str:
    """The recipe's docstring with an example; \\b keeps its lines as they are."""
    text, _ = row.text
    return "\n\n".join(
        f"\b\n{paragraph}" for paragraph in [*text.split("\n\n"), f"Example: logpx train {row.name} mnist"]
    )


def _train_options(
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
    label: Annotated[str | None, typer.Option(help="The column that colours pictures.")] = None,
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    precision: Annotated[
        Literal["float64", "float32", "medium"],
        typer.Option(help="medium: matrix products may round to bfloat16."),
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
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: JSON = False,
) -> None:
    """Only its signature is used: the options that every recipe shares."""


def _train_command(row: "Recipe") -> Callable[..., None]:
    """A function whose signature is the recipe's options followed by the shared ones: typer reads nothing else."""
    shared = list(inspect.signature(_train_options).parameters.values())
    names = {p.name for p in shared}
    assert not names & row.options.keys(), (
        f"{row.name} has an option that training has too: {names & row.options.keys()}"
    )
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    _, meaning = row.text
    own = [
        p.replace(kind=either, annotation=_option(p, meaning.get(p.name)), default=_default(p))
        for p in row.options.values()
    ]

    def command(**given: Any) -> None:
        options = {name: value for name, value in given.items() if name in row.options}
        _train(row, options, {name: value for name, value in given.items() if name in names})

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
    parts = [
        get_args(a) if get_origin(a) is Literal else (getattr(a, "__name__", str(a)).upper(),) for a in get_args(kind)
    ]
    return "|".join(str(name) for names in parts for name in names if name != "NONETYPE")


def _default(p: inspect.Parameter) -> Any:
    if isinstance(p.default, tuple):
        return ",".join(map(str, p.default))
    return p.default if isinstance(p.default, int | float | bool | str | None) else str(p.default)


def _typed(row: "Recipe", options: dict[str, Any]) -> dict[str, Any]:
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


def _train(row: "Recipe", options: dict[str, Any], given: dict[str, Any]) -> None:
    """Load, build, fit, evaluate, report: the whole of `logpx train`."""
    from logpx.train import fit

    options = _typed(row, options)
    given["context"] = given["context"] or ("label" if row.conditional else None)
    data = _load(given, options.get("likelihood", "gaussian"))
    out = given["out"] or _free_folder(row.name, data, given["resume"])
    names = "epochs batch_size learning_rate schedule optimizer clip patience seed device precision compile threads"
    passed = {name: given[name] for name in [*names.split(), "resume", "force", "save_every"]}
    method = row.build(data, seed=given["seed"], **options)
    with _resumable(sys.argv[1:], out):
        run = fit(method, data, out=out, show=not given["quiet"], **passed)
    split = data.judge
    found = _judged(run, getattr(data, split), show=not given["quiet"], samples=given["evidence_samples"])
    page = _report(run, data, found) if given["report"] else None
    _announce(run, split, found, page, given["as_json"])


def _judged(run: "Run", rows: Any, *, show: bool = True, **how: Any) -> "Evidence | CodeEvidence | None":
    """log p(x) of rows, log p(z) where z is a code of no density, None where there is no prior either."""
    from logpx.evaluate import code_evidence, evidence

    if run.model.has_evidence:
        return evidence(run.model, rows, progress=_progress("evidence") if show else None, **how)
    return code_evidence(run.model, rows) if run.model.prior is not None else None


def _load(given: dict[str, Any], likelihood: str) -> "Data":
    from logpx.data import PICTURES, load
    from logpx.likelihoods import PROTOCOL

    wanted: dict[str, Any] = {name: _share(name, given[name]) for name in ("held_out", "test")}
    protocol = given["protocol"]
    if protocol is None and given["kind"] is None and given["data"] in PICTURES and likelihood != "auto":
        protocol = PROTOCOL.get(likelihood, "grey")
    wanted |= {name: given[name] for name in ("kind", "label", "context")}
    return load(given["data"], protocol=protocol, columns=_kinds(given["columns"]), **wanted)


def _kinds(text: str | None) -> dict[str, str]:
    """{"age": "real"} of age=real; a comma or an equals sign in a column's name is its own."""
    kinds: dict[str, str] = {}
    for part in (text or "").split(","):
        name, sign, kind = part.rpartition("=")
        if text and not sign:
            raise UserError(f"--columns is {text!r}: give pairs such as age=real,city=categorical.")
        if text:
            kinds[name.strip()] = kind.strip()
    return kinds


def _share(name: str, text: str | None) -> float | int | None:
    if text is None:
        return None
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        flag = name.replace("_", "-")
        raise UserError(f"--{flag} is {text!r}: give a fraction such as 0.1 or a number of rows.") from None


def _free_folder(recipe: str, data: "Data", resume: bool) -> Path:
    """runs/vae-mnist, or the first of runs/vae-mnist-2, -3, ... that does not exist."""
    stem = f"{recipe}-{Path(data.name).stem}".lower().replace(" ", "-")
    if resume:
        raise UserError(f"Which run goes on? Name its folder with --out, such as --out runs/{stem}.")
    names = (stem if i == 1 else f"{stem}-{i}" for i in range(1, 10_000))
    return next(path for name in names if not (path := Path("runs") / name).exists())


@contextmanager
def _resumable(arguments: list[str], out: Path) -> Any:
    """Ctrl-C in the middle of training says how to go on; what was saved stays."""
    try:
        yield
    except KeyboardInterrupt:
        if not (out / "state" / "state.safetensors").exists():
            raise
        again = [a for a in arguments if a not in ("--resume", "--force")]
        again += [] if any(a == "--out" or a.startswith("--out=") for a in again) else ["--out", str(out)]
        raise StoppedError(
            f"Stopped; the finished epochs are kept, go on with 'logpx {shlex.join(again)} --resume'."
        ) from None


def _report(run: "Run", data: "Data", found: "Evidence | CodeEvidence | None") -> Path:
    from logpx import report

    return report.write(run, data, found if run.model.has_evidence else None)  # type: ignore[arg-type]


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
        "evidence": found.summary() if found and run.model.has_evidence else None,
        "report": page and str(page),
    }
    if found and not run.model.has_evidence:
        said["code_evidence"] = found.summary()
    if as_json:
        return _print_json(said)
    print(f"{said['recipe']} on {said['data']} ({said['protocol']}), best epoch {run.best_epoch}, run {said['run']}")
    if found:
        print(f"{split.replace('_', '-')} set: {found}")
    if page:
        print(f"report: {page}")
    return None


# --- evaluate, sample, report -----------------------------------------------------------------------------------------


def _reopen(folder: Path) -> tuple["Run", "Data"]:
    """A run and the data it was trained on, loaded again from where they came; the checksum must still hold."""
    from logpx.data import load, names
    from logpx.recipes import load_run

    run = load_run(folder)
    about = run.info["data"]
    try:
        wanted = {name: about[name] for name in ("protocol", "kind", "held_out", "test", "seed", "label")}
        wanted |= about.get("asked", {})
        source, checksum = about["source"], about["checksum"]
    except KeyError as missing:
        raise UserError(f"{folder}/run.json does not say {missing} of its data: the file is damaged.") from None
    if source not in names() and not Path(source).is_absolute():
        raise UserError(f"{folder} was trained on an array from Python: evaluate it there, with load_run and evidence.")
    data = load(source, **wanted)
    if data.checksum != checksum:
        raise UserError(f"{source} has changed since {folder} was trained on it (another checksum).")
    return run, data


@app.command("evaluate")
def evaluate(
    run: Folder,
    samples: Annotated[int, typer.Option(min=1, help="k of L_k: draws of z per point.")] = 1000,
    split: Annotated[Literal["test", "held_out", "train"] | None, typer.Option(help="Which rows.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    memory: Annotated[int, typer.Option(min=1, help="Megabytes that decoding may use at once.")] = 256,
    as_json: JSON = False,
) -> None:
    """Print log p(x) of a run's rows with its error bar. Example: logpx evaluate runs/demo --samples 5000"""
    from logpx.evaluate import batch_of, expected_terms

    opened, data = _reopen(run)
    name = split or data.judge
    rows = getattr(data, name)
    if limit is not None:
        rows = batch_of(rows, slice(0, limit))
    found = _judged(opened, rows, samples=samples, seed=seed, memory=memory * 2**20)
    terms = expected_terms(opened.method.objective, opened.model, rows, seed=seed)
    if as_json:
        about = {"run": str(run), "data": data.name, "protocol": data.protocol, "split": name}
        return _print_json(about | (found.summary() if found else {"kind": None, "value": None}) | {"terms": terms})
    says = found or "no log p(x), for this model has no prior over z"
    print(f"{data.name} ({data.protocol}), {name.replace('_', '-')} set: {says}")
    if getattr(found, "ess", None) is not None:
        _say_how_good(found)  # type: ignore[arg-type]
    print("one draw per point: " + ", ".join(f"{k} {v:.3f}" for k, v in terms.items()))
    return None


def _say_how_good(found: "Evidence") -> None:
    numbers = found.summary()
    print(
        f"  effective sample size {numbers['ess']:.1f} of {found.samples} on average, {numbers['ess_min']:.1f} at least; "
        f"Monte-Carlo error of the mean {found.monte_carlo_error:.4f}"
    )
    if "khat" in numbers and numbers["khat"] is not None:
        share = numbers["khat_above_0.7"]
        print(
            f"  Pareto k-hat: median {numbers['khat']:.2f}, above 0.7 (not to be believed) for {share:.1%} of the points"
        )


@app.command("sample")
def sample(
    run: Folder,
    n: Annotated[int, typer.Option("--number", "-n", help="How many.")] = 64,
    out: Annotated[
        Path | None, typer.Option(help=".png (images), .npy or .csv.  [default: RUN/samples.png or .csv]")
    ] = None,
    draw: Annotated[bool, typer.Option("--draw", help="Draw x ~ p(x|z) instead of the mean E[x|z].")] = False,
    given: Annotated[
        str | None,
        typer.Option(help="Of a conditional model: one class, or age=40,city=Paris.  [default: every class in turn]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: JSON = False,
) -> None:
    """Draw new data: z from the prior, then x. Example: logpx sample runs/demo -n 100 --out new.png"""
    from logpx.recipes import load_run
    from logpx.samples import Words, check_writable, contexts, draw_samples, write_samples

    opened = load_run(run)
    shape = tuple(opened.info["data"]["shape"])
    path = out or run / ("samples.png" if len(shape) == 3 else "samples.csv")
    check_writable(path, force=force)
    context, says = contexts(opened.info["data"], n, given)
    x = draw_samples(opened.model, n, draw=draw, seed=seed, context=context)
    across = (
        len({*next(iter(says.values()))}) if says and given is None else None
    )  # a class in each column of the sheet
    write_samples(path, x, Words.of(opened.info["data"], given=says, across=across))
    what = "draws x ~ p(x|z)" if draw else "means E[x|z]"
    if as_json:
        return _print_json(
            {"run": str(run), "number": n, "shape": list(shape), "what": what, "seed": seed, "out": str(path)}
        )
    print(f"{n} {what} with z ~ p(z): {path}")
    return None


@app.command("impute")
def impute(
    run: Folder,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Rows with missing values.  [default: the run's own data]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help=".csv or .npy.  [default: RUN/imputed.csv]")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Draws of z per row.")] = 1000,
    draw: Annotated[bool, typer.Option("--draw", help="One draw x ~ p(x|x_obs) instead of the mean.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: JSON = False,
) -> None:
    """Fill missing values from what was observed; nothing else changes. Example: logpx impute runs/demo new.csv"""
    from logpx.data import rows_like
    from logpx.evaluate import impute as fill
    from logpx.recipes import load_run
    from logpx.samples import Words, check_writable, write_samples

    opened = load_run(run)
    path = out or run / "imputed.csv"
    check_writable(path, force=force)
    rows = rows_like(_source(run, opened.info["data"], data), opened.info["data"])
    filled = rows.filled(fill(opened.model, rows, samples=samples, draw=draw, seed=seed))
    write_samples(path, filled, Words.of(opened.info["data"]))
    holes = rows.holes()
    what = "draws x ~ p(x|x_obs)" if draw else "means E[x|x_obs]"
    if as_json:
        said = {"run": str(run), "rows": len(rows), "imputed": holes, "what": what, "samples": samples, "seed": seed}
        return _print_json(said | {"out": str(path)})
    print(f"{holes:,} missing values of {len(rows):,} rows filled with {what}: {path}")
    return None


def _source(run: Path, about: dict[str, Any], data: str | None) -> str:
    """Where the rows are: what was given, or what the run was trained on."""
    from logpx.data import names

    if data is None and about["source"] not in names() and not Path(about["source"]).is_absolute():
        raise UserError(f"{run} was trained on an array from Python: give the rows as a file, or impute there.")
    return data or about["source"]


@app.command("report")
def report(
    run: Folder,
    samples: Annotated[int, typer.Option(min=1, help="k of the L_k in the headline.")] = 100,
    as_json: JSON = False,
) -> None:
    """Write the run's report.html again. Example: logpx report runs/demo"""
    opened, data = _reopen(run)
    found = _judged(opened, getattr(data, data.judge), samples=samples)
    page = _report(opened, data, found)
    if as_json:
        about = {"run": str(run), "data": data.name, "protocol": data.protocol}
        return _print_json(about | {"report": str(page), "evidence": found and found.summary()})
    print(f"report: {page}")
    return None


@app.command("verify")
def verify(as_json: JSON = False) -> None:
    """Check this installation against closed forms, in under a minute. Example: logpx verify"""
    from logpx.verify import CHECKS, check

    results = []
    for name in CHECKS:
        results.append(check(name))
        if not as_json:
            print(results[-1].line(), flush=True)
    failed = [r.name for r in results if not r.passed]
    if as_json:
        _print_json({"passed": not failed, "checks": [r._asdict() | {"passed": r.passed} for r in results]})
    if failed:
        raise UserError(
            f"{len(failed)} of {len(results)} checks failed ({', '.join(failed)}): do not trust numbers from here."
        )
    if not as_json:
        print(f"All {len(results)} checks passed.")


# --- printing ---------------------------------------------------------------------------------------------------------


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, default=str))


def _progress(label: str) -> Callable[[int, int], None] | None:
    """A counter on a terminal, rewritten in place; nothing where no one watches."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, total: int) -> None:
        end = "\r" if done < total else "\r\033[K"
        print(f"\r{label}: {done:,} of {total:,} points", end=end, file=sys.stderr, flush=True)

    return tell


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        print(logpx.__version__)


if __name__ == "__main__":
    main()
