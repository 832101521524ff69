"""The verb convert (floor 8): settings of other tools as a command line, and what their losses mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from logpx.cli.app import JSON, app, print_json
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.convert import Conversion

HEADS = {
    "exact": "converted exactly",
    "other meaning": "converted with another meaning",
    "no counterpart": "without a counterpart",
    "unknown": "not known",
}


@app.command("convert")
def convert(
    tool: Annotated[Literal["pythae", "pytorch-vae", "scvi"], typer.Argument(metavar="TOOL", help="Whose settings.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Its settings, JSON or YAML, in one file or two.")
    ],
    data: Annotated[str, typer.Option(metavar="DATA", help="What the command is to train on.")] = "DATA",
    rows: Annotated[int | None, typer.Option(min=1, help="Training rows, which turn epochs into steps.")] = None,
    loss: Annotated[float | None, typer.Option(help="A loss it printed, to read in nats.")] = None,
    kl: Annotated[float | None, typer.Option(help="Of --loss: the KL printed beside it.")] = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Of --loss: PyTorch-VAE printed it in validation.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Turn settings of Pythae, PyTorch-VAE or scvi-tools into a command. Example: logpx convert pythae model_config.json"""
    from logpx.convert import convert as converted
    from logpx.convert import nats, settings_of

    if loss is None and (kl is not None or validation):
        raise UserError("--kl and --validation are about a loss: give it with --loss.")
    settings = settings_of(files)
    found = converted(tool, settings, rows=rows)
    number = None if loss is None else nats(tool, settings, loss, kl, validation=validation)
    if as_json:
        return print_json(found.summary(data) | {"loss": number and number._asdict()})
    _print(found, data)
    if number:
        print(f"\n{number}")
    return None


def _print(found: "Conversion", data: str) -> None:
    from logpx.convert import shown

    print(f"{found.tool} {found.model}: {found.says}")
    print(found.command(data) or "no recipe here means the same")
    for verdict, head in HEADS.items():
        notes = [note for note in found.notes if note.verdict == verdict]
        if notes:
            print(f"\n{head}:")
        for note in notes:
            print(f"  {shown(note.setting)} = {shown(note.value)}{'' if note.given else ' (default)'}: {note.says}")
