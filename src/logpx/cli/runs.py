"""The verbs about a finished run (floor 8): evaluate, sample, impute, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from logpx.cli.app import JSON, Folder, app, print_json
from logpx.cli.results import judged, write_report
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.evaluate import Evidence
    from logpx.train import Run


def reopen(folder: Path) -> tuple["Run", "Data"]:
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

    opened, data = reopen(run)
    name = split or data.judge
    rows = getattr(data, name)
    if limit is not None:
        rows = batch_of(rows, slice(0, limit))
    found = judged(opened, rows, samples=samples, seed=seed, memory=memory * 2**20)
    terms = expected_terms(opened.method.objective, opened.model, rows, seed=seed)
    if as_json:
        about = {"run": str(run), "data": data.name, "protocol": data.protocol, "split": name}
        return print_json(about | (found.summary() if found else {"kind": None, "value": None}) | {"terms": terms})
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
        return print_json(
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
        return print_json(said | {"out": str(path)})
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
    opened, data = reopen(run)
    found = judged(opened, getattr(data, data.judge), samples=samples)
    page = write_report(opened, data, found)
    if as_json:
        about = {"run": str(run), "data": data.name, "protocol": data.protocol}
        return print_json(about | {"report": str(page), "evidence": found and found.summary()})
    print(f"report: {page}")
    return None
