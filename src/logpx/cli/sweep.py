"""The verb sweep (floor 8): one recipe trained over several values of its options at once, one table, one picture."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from logpx.cli import train
from logpx.cli.app import app, plus_minus, print_json, progress, table
from logpx.cli.over import OF_TRAINING, Values, combinations, parse, value_of, written
from logpx.cli.planned import FILE, Found, Plan, announced, before_of, remove_others
from logpx.cli.results import judged, write_report
from logpx.cli.search import suggestions
from logpx.cli.signature import command_of, default_of, typed
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.recipes import Recipe
    from logpx.train import Method, Run


class SweepGroup(train.RecipeGroup):
    """`logpx sweep RECIPE`: the commands of `train`, each with --over."""

    def help_of(self, row: "Recipe") -> str:
        over = "beta=0.5,1,2,4" if "beta" in row.options else "seed=0-3"
        return train.help_of(row, "sweep", f" --over {over}")

    def command(self, row: "Recipe") -> Callable[..., None]:
        return command_of(row, _shared(), partial(_sweep, row))


app.add_typer(
    typer.Typer(cls=SweepGroup, no_args_is_help=True, rich_markup_mode=None),
    name="sweep",
    help="Train a recipe over several values of its options at once. "
    "Example: logpx sweep beta_vae digits --over beta=0.5,1,2,4 --over seed=0-3",
)


def sweep_options(
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V,V,...",
            help="An option and its values: beta=0.5,1,2,4, seed=0-3, hidden=64,400x200; with --search also 0.1..10:log.",
        ),
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="Models that are trained at once, at most.")] = 32,
    out: Annotated[Path | None, typer.Option(help="The folder of all runs.  [default: runs/sweep-RECIPE-DATA]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with --out; what is finished stays.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the sweep in --out.")] = False,
    evidence_samples: Annotated[int, typer.Option(min=1, help="k of the L_k that compares the models.")] = 100,
    search: Annotated[
        int | None, typer.Option(min=1, help="Try so many values in turn, by what was found before (needs optuna).")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html into every run, too.")] = False,
) -> None:
    """Only its signature is used: the options of sweep that train has not, or means otherwise."""


def _shared() -> list[inspect.Parameter]:
    """DATA first, then the sweep's own options, then those of train."""
    own = inspect.signature(sweep_options).parameters
    first, *others = inspect.signature(train.train_options).parameters.values()
    return [first, *own.values(), *(p for p in others if p.name not in own)]


def _sweep(row: "Recipe", options: dict[str, Any], given: dict[str, Any]) -> None:
    """Load, build, train, compare: the whole of `logpx sweep`."""
    over = parse(row, given["over"] or [], search=given["search"] is not None)
    _check_given_once(row, over, options, given)
    plan = _plan(row, over, options, given)
    before = before_of(plan)
    found, runs = _searched(plan, before) if given["search"] else _swept(plan, before)
    _announce(plan, found, runs)


def _swept(plan: Plan, before: Found) -> tuple[Found, list["Run"]]:
    """Every combination of the plan trained and compared."""
    from logpx.train.events import write_events, writer_class

    if plan.given["tensorboard"]:
        writer_class()  # before anything is trained
    runs = _trained(plan, [_method(plan, its) for its in plan.each])
    for run in runs if plan.given["tensorboard"] else ():
        if run.folder and run.rows:
            write_events(run.folder)
    remove_others(plan, before)
    return _compared(plan, runs, before), runs


def _searched(plan: Plan, before: Found) -> tuple[Found, list["Run"]]:
    """Rounds of a few values at once, each chosen by what those before it have found; every round is a resumed sweep."""
    found = before if plan.given["resume"] else {}
    if found and found.get("over") != plan.head["over"]:
        raise UserError(
            f"The search in {plan.out} goes over {found.get('over')}: go on with that, or choose another --out."
        )
    each = [{n: value_of(plan.row, n, str(v)) for n, v in its.items()} for its in found.get("asked", [])]
    runs: list[Run] = []
    while True:
        rows = found.get("rows", [])
        is_known = len(rows) == len(each)
        more = suggestions(plan.over, each, rows, plan.given["search"], plan.given["seed"]) if is_known else []
        if runs and not more:
            return found, runs
        each = [*each, *more]
        found, runs = _swept(replace(plan, each=each), before)
        plan, before = replace(plan, given=plan.given | {"resume": True, "force": False}), found


def _check_given_once(row: "Recipe", over: Values, options: dict[str, Any], given: dict[str, Any]) -> None:
    defaults = {name: default_of(p) for name, p in row.options.items()} | {"seed": 0}
    for name in over:
        value = options.get(name, given.get(name))
        if value != defaults.get(name):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} {value} and --over {name} say both what {name} is: leave {flag} out.")


def _plan(row: "Recipe", over: Values, options: dict[str, Any], given: dict[str, Any]) -> Plan:
    from logpx.data import PICTURES

    given["kind"] = given["kind"] or row.kind
    given["context"] = given["context"] or ("label" if row.conditional else None)
    if "likelihood" in over and given["data"] in PICTURES and not (given["protocol"] or given["kind"]):
        raise UserError("Likelihoods are compared on one kind of numbers: say which with --protocol.")
    data = train.load_data(given, options.get("likelihood", "gaussian"))
    if not len(data.held_out):
        raise UserError("The models of a sweep are compared by held-out rows: hold some out, such as --held-out 0.1.")
    out = given["out"] or train.free_folder(f"sweep-{row.name}", data, given["resume"])
    each = [] if given["search"] else combinations(over)
    return Plan(row, data, over, each, out, typed(row, options), given)


def _method(plan: Plan, its: dict[str, Any]) -> "Method":
    """The method of one combination: the recipe's options, then the settings of training."""
    own = {name: value for name, value in its.items() if name in plan.row.options}
    method = plan.row.build(plan.data, seed=its.get("seed", plan.given["seed"]), **(plan.options | own))
    return method.with_training(**{name: its.get(name, plan.given[name]) for name in OF_TRAINING})


def _trained(plan: Plan, methods: list["Method"]) -> list["Run"]:
    from logpx.train import sweep

    names = ("device", "precision", "compile", "threads", "save_every", "at_once", "resume", "force")
    settings = {name: plan.given[name] for name in names}
    seeds = [its.get("seed", plan.given["seed"]) for its in plan.each]
    with train.resumable(sys.argv[1:], plan.out, FILE), announced(plan):
        show = not plan.given["quiet"]
        runs = sweep(methods, plan.data, names=plan.names, seeds=seeds, out=plan.out, show=show, **settings)
    if all(run.info["status"] == "stopped" for run in runs):
        raise UserError(f"Every model stopped; the first: {runs[0].info['why']}")
    return runs


# --- the result -------------------------------------------------------------------------------------------------------


def _compared(plan: Plan, runs: list["Run"], before: Found) -> Found:
    """The table in three forms: sweep.json, sweep.csv and, with the picture, sweep.html."""
    from logpx.report import sweep as page
    from logpx.train.standings import as_csv, standings
    from logpx.train.state import write_json, write_text

    rows = standings(
        runs,
        plan.data,
        names=plan.names,
        options=plan.each,
        samples=plan.given["evidence_samples"],
        known={row["name"]: row for row in before.get("rows", [])},
        progress=None if plan.given["quiet"] else progress("evidence", "models"),
    )
    evidence = next((row["evidence_name"] for row in rows if row.get("evidence_name")), None)
    found = plan.head | {"status": "finished", "evidence": evidence, "rows": rows}
    write_text(plan.out / "sweep.csv", as_csv(rows))
    page.write(found, plan.out)
    write_json(plan.out / FILE, found)
    return found


def _announce(plan: Plan, found: Found, runs: list["Run"]) -> None:
    if plan.given["report"]:
        for run in runs:
            if run.best is not None:
                data = plan.data
                write_report(
                    run, data, judged(run, getattr(data, data.judge), show=False, samples=found["rows"][0]["samples"])
                )
    if plan.given["as_json"]:
        return print_json({"sweep": str(plan.out), "page": str(plan.out / "sweep.html")} | found)
    rows = found["rows"]
    by = f"{found['evidence']}" if found["evidence"] else "reconstruction"
    where = f"{found['recipe']} on {found['data']} ({found['protocol']}), {len(rows)} models"
    print(f"{where}: held-out rows, nats per data point, the best by {by} first")
    table([_head(found), *(_cells(row) for row in rows)])
    for row in rows:
        if row["status"] == "stopped":
            print(f"{row['name']} stopped: {row['why']}")
    print(f"the best on rows that chose nothing: logpx evaluate {plan.out / rows[0]['name']}")
    print(f"page: {plan.out / 'sweep.html'}")
    return None


def _head(found: Found) -> tuple[str, ...]:
    return (*found["over"], found["evidence"] or "", "KL", "reconstruction", "bits/dim", "active", "epoch")


def _cells(row: Found) -> tuple[str, ...]:
    numbers = [plus_minus(row.get(name), row.get(f"{name}_error")) for name in ("evidence", "kl", "reconstruction")]
    bits = "" if row.get("bits_per_dim") is None else f"{row['bits_per_dim']:.4f}"
    rest = ["" if row.get(name) is None else str(row[name]) for name in ("active_units", "best_epoch")]
    return (*map(written, row["options"].values()), *numbers, bits, *rest)
