"""The verb about single rows (floor 8): score."""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from logpx.cli.app import JSON, Folder, StoppedError, app, print_json, progress, table
from logpx.cli.made import check_apart
from logpx.cli.opened import bare, open_run, reopen
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.cli.scored import Begun, Block, Part, Totals
    from logpx.data import Piece
    from logpx.evaluate import Reference
    from logpx.train import Run


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
    reference: Annotated[
        str | None, typer.Option(help="Rows that tell what is typical.  [default: the run's held-out rows]")
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
    from logpx.cli.scored import Part, Totals
    from logpx.data import pieces_like
    from logpx.evaluate import Reference, scores

    if by == "regret" and not regret:
        raise UserError("--by regret needs --regret: ask for both.")
    part = Part(out or run / "scores.csv")
    part.check(resume=resume, force=force)
    opened = open_run(run)
    about = opened.info["data"]
    data, reference = bare(data, about), reference and bare(reference, about)
    check_apart(part.out, data, about["source"], *([reference] if reference else []))
    if not opened.model.has_evidence:
        raise UserError(f"{run} says nothing of log p(x): it has no prior, or its codes have no density.")
    source = pieces_like(data, about, id_column=id_column)
    asked = _asked(run, data, reference) | {"reference_rows": reference_rows, "id": id_column, "samples": samples}
    asked |= {"seed": seed, "steps": steps if regret else 0}
    begun = part.resumed(asked) if resume else None
    first = part.done if begun else 0
    pieces = source.read(_rows_at_once(about["shape"], samples, rows), first)
    ahead = next(pieces, None)  # what does not fit at all is refused before anything is written
    if begun is None:
        if ahead is None:
            raise UserError(f"{data} has no rows to score.")
        begun = _begun(asked, run, opened, reference, memory * 2**20)
        part.begin(begun)
    typical, tell, totals = Reference(begun.reference), _pace(source.total, first), Totals(top, by, samples)
    how: dict[str, Any] = {"samples": samples, "seed": seed, "reference": typical, "memory": memory * 2**20}
    with _kept(part):
        for piece in chain([ahead] if ahead else [], pieces):
            found = scores(opened.model, piece, first=piece.first, regret=steps if regret else 0, **how)
            part.add(_block(piece, found.columns(), about, regret))
            tell(piece.first + len(piece))
        part.finish(source.id_type, totals.add)
    said = {"run": str(run), "data": data} | _in_numbers(begun, typical, totals) | {"out": str(part.out)}
    if as_json:
        return print_json(said | ({"top": totals.most} if top else {}))
    return _announce(said, totals)


def _in_numbers(begun: "Begun", typical: "Reference", totals: "Totals") -> dict[str, Any]:
    """What all rows say together."""
    return {
        "rows": totals.rows,
        "kind": begun.kind,
        "name": begun.name,
        "unit": "nats per data point",
        "value": totals.mean,
        "standard_error": totals.standard_error,
        "entropy": typical.entropy,
        "reference_rows": len(begun.reference),
        "p_value_below_0.05": totals.unlikely,
        "ess_below_10": totals.doubtful if totals.judges else None,
    }


def _asked(run: Path, data: str, reference: str | None) -> dict[str, Any]:
    """What a file of scores follows from, so that it is not finished with something else."""
    weights = hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()
    return {"weights": weights[:16], "data": _stamp(data), "reference": reference and _stamp(reference)}


def _stamp(source: str) -> list[Any]:
    """What tells whether a source is the same still: of a file its size and time, of a folder those of all that is in it."""
    path = Path(source).expanduser()
    if not path.exists():
        return [source]
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        about = file.stat()
        digest.update(f"{file.resolve()} {about.st_size} {about.st_mtime_ns}\n".encode())
    return [str(path.resolve()), digest.hexdigest()[:16]]


def _rows_at_once(shape: Sequence[int], samples: int, asked: int | None) -> int:
    """Rows of a piece: about 16 MB of numbers, at most 8192, or as asked for; a multiple of what shares a tile of noise."""
    from logpx.evaluate import rows_of_a_tile

    tile, P = rows_of_a_tile(shape, samples), math.prod(shape)
    return tile * max(1, -(-(asked or min(8192, 2**22 // P)) // tile))


def _begun(asked: dict[str, Any], folder: Path, opened: "Run", source: str | None, memory: int) -> "Begun":
    """log p(x) of the rows that tell what is typical: as named, else held-out ones, else training rows."""
    from logpx.cli.scored import Begun
    from logpx.evaluate import batch_of, evidence

    n = asked["reference_rows"]
    rows: Any
    if source is not None:
        from logpx.data import pieces_like

        rows = next(pieces_like(source, opened.info["data"]).read(n), None)
        if rows is None:
            raise UserError(f"{source} has no rows to tell what is typical.")
    else:
        try:
            data = reopen(folder)[1]
        except UserError as error:
            raise UserError(
                f"{str(error).rstrip('.')}; or name rows that tell what is typical with --reference."
            ) from None
        rows = batch_of(data.held_out if len(data.held_out) > 1 else data.train, slice(0, n))
    found = evidence(
        opened.model, rows, samples=asked["samples"], seed=asked["seed"], memory=memory, progress=progress("reference")
    )
    return Begun(asked, found.per_point, found.kind, found.name)


def _block(piece: "Piece", columns: dict[str, Any], about: dict[str, Any], regret: bool) -> "Block":
    """The columns of a file: bits per dimension of pictures alone, for columns of a table are no dimensions alike."""
    from logpx.cli.scored import Block

    if len(about["shape"]) != 3:
        columns["bits_per_dim"] = None
    if not regret:
        del columns["regret"]
    ids = piece.ids if piece.ids is not None else range(piece.first, piece.first + len(piece))
    return Block(piece.first, ids, columns)


@contextmanager
def _kept(part: "Part") -> Iterator[None]:
    """Whatever stops the work, what is done stays; where nothing is, nothing does."""
    try:
        yield
    except BaseException as error:
        done = part.done
        if not done:
            part.discard()
        elif isinstance(error, KeyboardInterrupt):
            again = "go on with the same command and --resume"
            raise StoppedError(f"Stopped; {done:,} rows are kept in {part.path}, {again}.") from None
        raise


def _pace(total: int | None, first: int) -> Callable[[int], None]:
    """Rows done and their number in a second, rewritten in place on a terminal; nothing where no one watches."""
    if not sys.stderr.isatty():
        return lambda done: None
    began = time.monotonic()

    def tell(done: int) -> None:
        rate = (done - first) / max(time.monotonic() - began, 1e-9)
        of = "" if total is None else f" of {total:,} ({done / total:.0%})"
        end = "\r\033[K" if done == total else "\r"
        print(f"\rscores: {done:,}{of} rows, {rate:,.0f} rows/s", end=end, file=sys.stderr, flush=True)

    return tell


def _announce(said: dict[str, Any], totals: "Totals") -> None:
    error = "" if totals.standard_error is None else f" +- {totals.standard_error:.3f} (s.e.)"
    mean = f"mean {said['name']} = {totals.mean:.3f}{error} nats per data point, {said['kind']}"
    print(f"{totals.rows:,} rows of {Path(said['data']).name}: {mean}")
    print(
        f"  entropy {said['entropy']:.3f} nats by {said['reference_rows']:,} reference rows; p_value at most 0.05 for "
        f"{totals.unlikely / totals.rows:.1%} of the rows"
    )
    if totals.doubtful:
        print(
            f"  effective sample size below 10 for {totals.doubtful / totals.rows:.1%} of the rows: their L_k may be far below "
            "log p(x), so take more --samples"
        )
    if totals.most:
        print(f"  the {len(totals.most)} rows first by {totals.by}:")
        names = [
            name for name in ("id", "log_px", "error", "typicality", "p_value", "regret") if name in totals.most[0]
        ]
        table([tuple(names), *(tuple(_short(row[name]) for name in names) for row in totals.most)])
    print(f"scores: {said['out']}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
