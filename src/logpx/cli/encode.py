"""The verb that says where rows lie in the latent space (floor 8): encode."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from logpx.cli.app import JSON, Folder, app, print_json
from logpx.cli.made import check_apart
from logpx.cli.opened import open_run, source_of
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Piece
    from logpx.evaluate import Codes


@app.command("encode")
def encode(
    run: Folder,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Rows of the run's columns.  [default: the run's own data]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=".csv, .jsonl, .parquet or .npy.  [default: RUN/codes.csv]")
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id", help="The column that names the rows.  [default: their numbers, or files' names]"),
    ] = None,
    spread: Annotated[bool, typer.Option("--spread", help="The standard deviations of q(z|x) too.")] = False,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows that are read and saved at a time.  [default: by their size]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a file that was not finished.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    as_json: JSON = False,
) -> None:
    """Write the code of each row, E[z|x], for files of any size. Example: logpx encode runs/demo new.csv -o codes.parquet"""
    from logpx.cli.streamed import Part, rows_of_a_piece, stamp, write_rows
    from logpx.data import pieces_like
    from logpx.evaluate import codes, rows_of_codes
    from logpx.train.kept import weights_checksum

    part = Part(out or run / "codes.csv", "codes", (".parquet", ".csv", ".jsonl", ".npy"))
    part.check(resume=resume, force=force)
    if id_column is not None and part.out.suffix == ".npy":
        raise UserError("An .npy file holds the codes alone: write .csv or .parquet for --id, or leave it out.")
    opened = open_run(run)
    about = opened.info["data"]
    source = source_of(run, about, data)
    check_apart(part.out, source, about["source"])
    said: dict[str, Any] = {"run": str(run), "data": source, "rows": 0}

    def columns(piece: "Piece", held: dict[str, Any]) -> dict[str, Any]:
        return _columns(codes(opened.model, piece), spread)

    def look(block: Any) -> None:
        said["rows"] += len(block)
        said["columns"] = list(block.columns)

    write_rows(
        part,
        pieces_like(source, about, id_column=id_column),
        {"weights": weights_checksum(run), "data": stamp(source), "id": id_column, "spread": spread},
        rows=rows_of_a_piece(about["shape"], rows, rows_of_codes(about["shape"])),
        resume=resume,
        begin=dict,
        columns=columns,
        look=look,
    )
    said["out"] = str(part.out)
    if as_json:
        return print_json(said)
    print(f"{said['rows']:,} rows of {Path(source).name}: {', '.join(said['columns'])}: {part.out}")
    return None


def _columns(found: "Codes", spread: bool) -> dict[str, Any]:
    """z0, z1, ..., and sd0, sd1, ... beside them."""
    named = {f"z{i}": column for i, column in enumerate(found.z.T)}
    if not spread:
        return named
    if found.spread is None:
        raise UserError("q(z|x) of this model has no standard deviations: leave --spread out.")
    return named | {f"sd{i}": column for i, column in enumerate(found.spread.T)}
