"""The verb about single rows (floor 8): score."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from logpx.cli.app import JSON, Folder, app, print_json, progress, table
from logpx.cli.made import check_apart
from logpx.cli.opened import bare, open_run, reopen
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.cli.scored import Totals
    from logpx.data import Piece
    from logpx.train import Run

HELD_OUT, TRAINING = (
    "held-out rows",
    "training rows",
)  # of the run, which tell what is typical where no others are named


@app.command("score")
def score(
    run: Folder,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Rows of the run's columns: a file, a folder, a name.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=".csv, .jsonl or .parquet.  [default: RUN/scores.csv]")
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id", help="The column that names the rows.  [default: their numbers, or files' names]"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="k of L_k: draws of z per row.")] = 100,
    regret: Annotated[bool, typer.Option("--regret", help="Likelihood regret too, which costs the most.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Of the optimisation that --regret takes.")] = 100,
    why: Annotated[bool, typer.Option("--why", help="What each column of a table adds to the surprise too.")] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Rows that tell what is typical.  [default: the run's held-out rows; without those its training rows]"
        ),
    ] = None,
    reference_rows: Annotated[int, typer.Option(min=2, help="How many of them.")] = 1000,
    top: Annotated[int, typer.Option(min=0, help="Print so many of the most atypical rows.")] = 0,
    by: Annotated[
        Literal["typicality", "regret", "log_px"], typer.Option(help="What --top looks at; of log_px the lowest.")
    ] = "typicality",
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows that are read and saved at a time.  [default: by their size]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    memory: Annotated[int, typer.Option(min=1, help="Megabytes that decoding may use at once.")] = 256,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a file that was not finished.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: JSON = False,
) -> None:
    """Write log p(x) and how unusual it is, row by row. Example: logpx score runs/demo new.csv -o scores.parquet --top 20"""
    from logpx.cli.scored import Totals, excess
    from logpx.cli.streamed import Part, rows_of_a_piece, stamp, write_rows
    from logpx.data import pieces_like
    from logpx.evaluate import Reference, rows_of_a_tile, scores
    from logpx.train.kept import weights_checksum

    if by == "regret" and not regret:
        raise UserError("--by regret needs --regret: ask for both.")
    part = Part(out or run / "scores.csv", "scores", (".parquet", ".csv", ".jsonl"))
    part.check(resume=resume, force=force)
    opened = open_run(run)
    about = opened.info["data"]
    data, reference = bare(data, about), reference and bare(reference, about)
    check_apart(part.out, data, about["source"], *([reference] if reference else []))
    if not opened.model.has_evidence:
        raise UserError(f"{run} says nothing of log p(x): it has no prior, or its codes have no density.")
    if why and (len(about["shape"]) != 1 or about["kind"] == "sequence"):
        raise UserError("--why tells the columns of a table apart, and these data are none: leave it out.")
    how: dict[str, Any] = {"samples": samples, "seed": seed, "memory": memory * 2**20}
    asked: dict[str, Any] = {
        "weights": weights_checksum(run),
        "data": stamp(data),
        "reference": reference and stamp(reference),
    }
    asked |= {"reference_rows": reference_rows, "id": id_column, "samples": samples, "seed": seed}
    asked |= {"steps": steps if regret else 0, "why": why}

    def begin() -> dict[str, Any]:
        rows, split = _typical_rows(run, about, reference, reference_rows)
        return _typical(rows, opened, how | {"why": why}) | {"split": split}

    def columns(piece: "Piece", held: dict[str, Any]) -> dict[str, Any]:
        typical, regretted = Reference(held["reference"]), steps if regret else 0
        found = scores(opened.model, piece, first=piece.first, reference=typical, regret=regretted, why=why, **how)
        return _shown(found.columns(), about, regret) | (excess(found, held["usual"], about) if why else {})

    totals = Totals(top, by, samples)
    held = write_rows(
        part,
        pieces_like(data, about, id_column=id_column),
        asked,
        rows=rows_of_a_piece(about["shape"], rows, rows_of_a_tile(about["shape"], samples)),
        resume=resume,
        begin=begin,
        columns=columns,
        look=totals.add,
    )
    said = {"run": str(run), "data": data} | _in_numbers(held, totals, reference) | {"out": str(part.out)}
    _warn(said)
    if as_json:
        return print_json(said | ({"top": totals.most} if top else {}))
    return _announce(said, totals)


def _in_numbers(held: dict[str, Any], totals: "Totals", reference: str | None) -> dict[str, Any]:
    """What all rows say together."""
    from logpx.evaluate import Reference

    return {
        "rows": totals.rows,
        "kind": held["kind"],
        "name": held["name"],
        "unit": "nats per data point",
        "value": totals.value,
        "standard_error": totals.standard_error,
        "minus_infinity": totals.beyond,
        "entropy": Reference(held["reference"]).entropy,
        "reference": held["split"] or reference,
        "reference_rows": len(held["reference"]),
        "p_value_below_0.05": totals.unlikely,
        "ess_below_10": totals.doubtful if totals.judges else None,
    }


def _warn(said: dict[str, Any]) -> None:
    """What makes the numbers less than they seem, on standard error."""
    if said["reference"] == TRAINING:
        print(
            "What is typical is told by training rows, for the run holds no two rows out; the model is fitted to them, so new "
            "rows look more unusual than they are: name rows that it has not seen with --reference.",
            file=sys.stderr,
        )
    if n := said["minus_infinity"]:
        print(
            f"log p(x) of {n:,} of the {said['rows']:,} rows is -inf: a value in them is too far from the others for a number; "
            "their p_value is the least there is, and the mean is that of the other rows.",
            file=sys.stderr,
        )


def _typical_rows(folder: Path, about: dict[str, Any], source: str | None, n: int) -> tuple[Any, str | None]:
    """The rows that tell what is typical, as named, else held-out ones, else training rows; and which of the run's they are."""
    from logpx.data import pieces_like
    from logpx.evaluate import batch_of

    if source is not None:
        rows = next(pieces_like(source, about).read(n), None)
        if rows is None:
            raise UserError(f"{source} has no rows to tell what is typical.")
        return rows, None
    try:
        data = reopen(folder)[1]
    except UserError as error:
        raise UserError(f"{str(error).rstrip('.')}; or name rows that tell what is typical with --reference.") from None
    split, name = (data.held_out, HELD_OUT) if len(data.held_out) > 1 else (data.train, TRAINING)
    return batch_of(split, slice(0, n)), name


def _typical(rows: Any, opened: "Run", how: dict[str, Any]) -> dict[str, Any]:
    """log p(x) of those rows, what it is, and with `why` what is usual of each column and of the code."""
    from logpx.cli.scored import together
    from logpx.evaluate import evidence, scores

    why = how.pop("why")
    found = evidence(opened.model, rows, progress=progress("reference"), **how)
    held = {"reference": found.per_point, "kind": found.kind, "name": found.name}
    return held | {"usual": together(scores(opened.model, rows, why=True, **how)).nanmean(0)} if why else held


def _shown(columns: dict[str, Any], about: dict[str, Any], regret: bool) -> dict[str, Any]:
    """The columns of a file: bits per dimension of pictures alone, for columns of a table are no dimensions alike."""
    if len(about["shape"]) != 3:
        columns["bits_per_dim"] = None
    if not regret:
        del columns["regret"]
    return columns


def _announce(said: dict[str, Any], totals: "Totals") -> None:
    from logpx.cli.scored import why_of

    error = "" if totals.standard_error is None else f" +- {totals.standard_error:.3f} (s.e.)"
    value = "-inf" if totals.value is None else f"{totals.value:.3f}"
    mean = f"mean {said['name']} = {value}{error} nats per data point, {said['kind']}"
    print(f"{totals.rows:,} rows of {Path(said['data']).name}: {mean}")
    by, unlikely = f"{said['reference_rows']:,} {_rows_of(said['reference'])}", totals.unlikely / totals.rows
    print(f"  entropy {said['entropy']:.3f} nats by {by}; p_value at most 0.05 for {unlikely:.1%} of the rows")
    if totals.doubtful:
        print(
            f"  effective sample size below 10 for {totals.doubtful / totals.rows:.1%} of the rows: their L_k may be far below "
            "log p(x), so take more --samples"
        )
    if totals.most:
        print(f"  the {len(totals.most)} rows first by {totals.by}:")
        known = ("id", "log_px", "error", "typicality", "p_value", "regret")
        names = [name for name in known if name in totals.most[0]]
        rows = [(*(_short(row[name]) for name in names), *why_of(row)) for row in totals.most]
        table([(*names, *["why"] * (len(rows[0]) - len(names))), *rows])
    print(f"scores: {said['out']}")


def _rows_of(reference: str) -> str:
    return reference if reference in (HELD_OUT, TRAINING) else f"rows of {Path(reference).name}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
