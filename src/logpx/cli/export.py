"""The verb export (floor 8): a run's encoder, decoder and scorer for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from logpx.cli.app import JSON, Folder, app, print_json
from logpx.cli.opened import reopen
from logpx.cli.results import in_words, judged, why_none
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.train import Run

EXAMINED, REFINED = 500, 20  # rows that the doctor looks at for the card's one line


@app.command("export")
def export(
    run: Folder,
    format: Annotated[
        Literal["onnx", "torch"], typer.Option(help="onnx, or torch: programs of torch.export.")
    ] = "onnx",
    parts: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="encoder, decoder, scorer.  [default: all that there are]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder.  [default: RUN/export]")] = None,
    samples: Annotated[int, typer.Option(min=1, help="k of the L_k on the model card.")] = 100,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is there.")] = False,
    as_json: JSON = False,
) -> None:
    """Write a model for other programs, checked, with its card. Example: logpx export runs/demo --format onnx"""
    from logpx.export import check_place, write

    place = out or run / "export"
    check_place(place, force=force)
    opened, data = reopen(run)
    asked = None if parts is None else [name.strip() for name in parts.split(",")]
    how: dict[str, Any] = {"evidence": _evidence(opened, data, samples), "finding": _finding(opened, data)}
    about = write(opened, data, to=place, format=format, parts=asked, force=force, **how)
    if as_json:
        return print_json({"run": str(run), "export": str(place)} | about)
    for part in about["parts"].values():
        worst = max(part["differs"].values())
        outputs = ", ".join(part["outputs"])
        print(f"{place / part['file']}: {', '.join(part['inputs'])} -> {outputs}; within {worst:.1g} of Python")
    for name, reason in about["left_out"].items():
        print(f"no {name}: {reason}")
    for name, part in about["parts"].items():
        for output, reason in part["lacks"].items():
            print(f"no {output} of the {name}: {reason}")
    print(f"model card: {place / 'MODEL_CARD.md'}")
    return None


def _evidence(run: "Run", data: "Data", samples: int) -> str:
    """The number as `report` shows it, with what it is of."""
    found = judged(run, getattr(data, data.judge), samples=samples)
    doubt = getattr(found, "doubt", None)
    says = (in_words(run, found) if found else why_none(run)) + (f". {doubt}" if doubt else "")
    return f"{data.judge.replace('_', '-')} rows: {says}"


def _finding(run: "Run", data: "Data") -> str:
    """What the doctor says first."""
    from logpx.doctor import examine, findings

    try:
        found = findings(examine(run, data, rows=EXAMINED, refined=REFINED))
    except UserError as why:
        return f"not examined ({why})"
    return next((f"{f.name}. {f.says}" for f in found if f.sick), "healthy, as logpx doctor sees it")
