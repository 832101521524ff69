"""The verb explore (floor 8): one page that decodes the latent space of a run under the pointer."""

from pathlib import Path
from typing import Annotated

import typer

from logpx.cli.app import JSON, Folder, app, print_json
from logpx.cli.opened import reopen


@app.command("explore")
def explore(
    run: Folder,
    rows: Annotated[int, typer.Option(min=2, help="At most so many rows in the map.")] = 5000,
    samples: Annotated[int, typer.Option(min=1, help="k of the L_k of each of them.")] = 20,
    out: Annotated[Path | None, typer.Option(help="An .html file.  [default: RUN/explorer.html]")] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out.")] = False,
    as_json: JSON = False,
) -> None:
    """Write RUN/explorer.html, which decodes any latent offline, and open it. Example: logpx explore runs/demo"""
    from logpx import explore as face

    face.place(run, out, force=force)
    opened, data = reopen(run)
    page, known = face.write(opened, data, rows=rows, samples=samples, seed=seed, to=out, force=force)
    size = page.stat().st_size
    if as_json:
        numbers = {"run": str(run), "explorer": str(page), "rows": known.about["rows"]["n"], "bytes": size}
        return print_json(numbers | {"evidence": known.about["evidence"]})
    n, name = known.about["rows"]["n"], known.about["rows"]["name"]
    print(f"explorer: {page} ({size / 1e6:.1f} MB, {n:,} {name.removesuffix('s') if n == 1 else name})")
    if show:
        _open(page)
    return None


def _open(page: Path) -> None:
    """Opens the page, or says how, where there is no browser."""
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        print("There is no browser here: open this file in yours.")
