"""The verbs about a finished run (floor 8): evaluate, report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from logpx.cli.app import JSON, Folder, app, print_json
from logpx.cli.both_sides import keep, say_both_sides, two_sided
from logpx.cli.opened import bare, open_run, reopen
from logpx.cli.represented import show_representation
from logpx.cli.results import in_numbers, in_words, judged, terms_in_words, why_none, write_report
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.evaluate import Evidence
    from logpx.train import Run


@app.command("evaluate")
def evaluate(
    run: Folder,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Other rows of the same columns.  [default: the run's own]")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="k of L_k: draws of z per point.")] = 1000,
    split: Annotated[Literal["test", "held_out", "train"] | None, typer.Option(help="Which of the run's rows.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    memory: Annotated[int, typer.Option(min=1, help="Megabytes that decoding may use at once.")] = 256,
    representation: Annotated[
        bool, typer.Option("--representation", help="Instead: what the codes say of known factors or labels.")
    ] = False,
    factors: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Of --representation: columns of the run's table, such as those it dropped."
        ),
    ] = None,
    sandwich: Annotated[
        bool, typer.Option("--sandwich", help="Also from both sides, by annealing, for the first 100 rows; minutes.")
    ] = False,
    temperatures: Annotated[int, typer.Option(min=1, help="Of --sandwich: more are slower and closer.")] = 200,
    as_json: JSON = False,
) -> None:
    """Print log p(x) of a run's rows, or of others. Example: logpx evaluate runs/demo --samples 5000 --sandwich"""
    from logpx.evaluate import batch_of, expected_terms

    if representation:
        return show_representation(run, data, split, factors, limit, seed, as_json)
    if factors is not None:
        raise UserError("--factors says what --representation compares codes with: ask for both.")
    opened, rows, about = _rows(run, data, split)
    if limit is not None:
        rows = batch_of(rows, slice(0, limit))
    how: dict[str, Any] = {"samples": samples, "seed": seed, "memory": memory * 2**20}
    both = two_sided(opened, rows, temperatures=temperatures, **how) if sandwich else None
    found = judged(opened, rows, **how)
    if both and data is None:
        keep(run, about, both)
    terms = expected_terms(opened.method.objective, opened.model, rows, seed=seed)
    if as_json:
        numbers = in_numbers(opened, found) or {"kind": None, "value": None}
        more = {"sandwich": both.summary()} if both else {}
        return print_json({"run": str(run)} | about | numbers | more | {"terms": terms})
    says = in_words(opened, found) if found else why_none(opened)
    where = about["split"] if data else f"{about['split'].replace('_', '-')} set"
    print(f"{about['data']} ({about['protocol']}), {where}: {says}")
    if getattr(found, "ess", None) is not None and samples > 1:
        _say_how_good(found)  # type: ignore[arg-type]
    if both:
        say_both_sides(both)
    print(f"one draw per point: {terms_in_words(terms)}")
    return None


def _rows(folder: Path, other: str | None, split: str | None) -> tuple["Run", Any, dict[str, str]]:
    """(the run, the rows that are asked about, what to call them)."""
    from logpx.data import rows_like

    if other is None:
        opened, data = reopen(folder)
        name = split or data.judge
        return opened, getattr(data, name), {"data": data.name, "protocol": data.protocol, "split": name}
    if split is not None:
        raise UserError(f"--split is {split!r}, and {other} is not divided: leave one of the two out.")
    opened = open_run(folder)
    about = opened.info["data"]
    other = bare(other, about)
    name = Path(other).name
    return opened, rows_like(other, about), {"data": name, "protocol": about["protocol"], "split": f"rows of {name}"}


def _say_how_good(found: "Evidence") -> None:
    """The effective sample size and the tail of the weights, and a sentence where they are not to be believed."""
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
    if found.doubt:
        print(f"  {found.doubt}")


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
        return print_json(about | {"report": str(page), "evidence": in_numbers(opened, found)})
    print(f"report: {page}")
    return None
