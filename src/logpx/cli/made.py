"""The verbs that write data (floor 8): sample, impute."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logpx.cli.app import JSON, Folder, app, print_json
from logpx.cli.opened import open_run, source_of
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.train import Run


@app.command("sample")
def sample(
    run: Folder,
    n: Annotated[int, typer.Option("--number", "-n", help="How many.")] = 64,
    out: Annotated[
        Path | None,
        typer.Option(help=".png (images), .npy, .csv, .txt (sequences).  [default: RUN/samples.png, .csv or .txt]"),
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
    from logpx.samples import Words, check_writable, contexts, draw_samples, few, sentences, write_samples

    if n < 1:
        raise UserError(few(n))
    opened = open_run(run)
    _check_prior(opened)
    about = opened.info["data"]
    shape = tuple(about["shape"])
    is_text = about["kind"] == "sequence"
    path = out or run / ("samples.png" if len(shape) == 3 else "samples.txt" if is_text else "samples.csv")
    check_apart(path, about["source"])
    check_writable(path, force=force)
    if draw:
        _check_law(opened)
    context, says = contexts(about, n, given)
    x = draw_samples(opened.model, n, draw=draw, seed=seed, context=context)
    across = (
        len({*next(iter(says.values()))}) if says and given is None else None
    )  # a class in each column of the sheet
    words = Words.of(about, given=says, across=across)
    write_samples(path, x, words)
    what = "draws x ~ p(x|z)" if draw or not opened.model.has_mean else "means E[x|z]"
    if as_json:
        return print_json(
            {"run": str(run), "number": n, "shape": list(shape), "what": what, "seed": seed, "out": str(path)}
        )
    print(f"{n} {what} with z ~ p(z): {path}")
    if is_text:
        print("\n".join(f"  {line}" for line in sentences(x[:5], words)))
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
    whole: Annotated[
        bool, typer.Option("--round", help="Counts as the nearest integer, binary columns as the likelier value.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: JSON = False,
) -> None:
    """Fill missing values from what was observed; nothing else changes. Example: logpx impute runs/demo new.csv"""
    from logpx.data import cells_of, rows_like
    from logpx.evaluate import impute as fill
    from logpx.samples import Words, check_writable, nine_digits, rounded, write_filled, write_samples

    opened = open_run(run)
    _check_prior(opened)
    about = opened.info["data"]
    path, source = out or run / "imputed.csv", source_of(run, about, data)
    check_apart(path, source, about["source"])
    check_writable(path, force=force)
    rows = rows_like(source, about)
    made = fill(opened.model, rows, samples=samples, draw=draw, seed=seed)
    filled, missing = rows.filled(rounded(made, about) if whole else made), rows.x().isnan()
    filled[missing] = nine_digits(filled[missing]).to(filled.dtype)
    cells, words = cells_of(source), Words.of(about)
    if cells and path.suffix == ".csv":
        write_filled(path, cells, filled, missing, words)
    else:
        write_samples(path, filled, words)
    holes = rows.holes()
    what = "draws x ~ p(x|x_obs)" if draw else "means E[x|x_obs]"
    if as_json:
        said = {"run": str(run), "rows": len(rows), "imputed": holes, "what": what, "samples": samples, "seed": seed}
        return print_json(said | {"rounded": whole, "out": str(path)})
    print(f"{holes:,} missing values of {len(rows):,} rows filled with {what}{', rounded' * whole}: {path}")
    return None


def check_apart(out: Path, *sources: str) -> None:
    """Refuse to write over what was read, with --force too."""
    for source in sources:
        if out.exists() and (given := Path(source).expanduser()).exists() and out.samefile(given):
            raise UserError(f"{out} holds the data that were read: choose another file with --out.")


def _check_prior(run: "Run") -> None:
    """Refuse what needs a law over z, and say how such a run comes by one."""
    if run.model.prior is None:
        how = (
            "train it again with --density mixture"
            if "density" in run.method.options
            else "train another recipe, such as vae, or ae with --density mixture"
        )
        raise UserError(f"This model has codes but no law over them, so there is nothing to draw from: {how}.")


def _check_law(run: "Run") -> None:
    """Refuse draws x ~ p(x|z) of a recipe whose sigma can only be a number: a weight in its cost, learned from nothing."""
    from logpx.recipes import find

    name, options = run.info["recipe"], run.method.options
    if "sigma" in options and isinstance(find(name).options["sigma"].default, int | float):
        raise UserError(
            f"The sigma of {name} ({options['sigma']:g}) weighs the parts of its cost and was not learned from the data, so "
            "draws with it mean nothing: leave --draw out."
        )
