"""The explorer of a run (floor 8): one self-contained page that decodes any latent in the browser, offline.

`write` asks of the run all that the page will know (payload), exports the decoder (shown), and puts both beside the
runtime that carries the decoder in the browser (page).
"""

from pathlib import Path

from logpx.data import Data
from logpx.errors import UserError
from logpx.evaluate import at_rest
from logpx.explore.page import page
from logpx.explore.payload import Payload, payload
from logpx.explore.shown import check_explorable, decoder_bytes
from logpx.subject import Subject
from logpx.train import Run
from logpx.train.state import check_free, write_atomically

__all__ = ["ROWS", "SAMPLES", "place", "write"]

ROWS = 5000  # points in the map: as many as a canvas draws between two frames
SAMPLES = 20  # draws for log p(x) of each of them


def write(
    run: Run,
    data: Data,
    *,
    rows: int = ROWS,
    samples: int = SAMPLES,
    seed: int = 0,
    to: str | Path | None = None,
    force: bool = False,
) -> tuple[Path, Payload]:
    """Writes explorer.html into the run's folder, or the file `to`; returns its path and what the page knows.

    data     what the run was trained on; test rows are shown, or held-out or training rows where there are none.
    rows     at most so many of them, fewer where their pictures are large: the page says how many.
    samples  k of the L_k that colours the map and heads the page.
    force    replace a file named by `to`; explorer.html in the run's folder is replaced as report.html is.

    Nothing is written before everything is made, and the file replaces its predecessor whole. Raises UserError for a model
    whose decoder has no mean to move through, and where the extra packages are missing.
    """
    path = place(run.folder, to, force=force)
    s = Subject(run, data, None, seed)
    check_explorable(s)
    with at_rest(run.model, seed):
        known = payload(s, rows, samples)
        html = page(known, decoder_bytes(s))
    write_atomically(path, lambda beside: beside.write_bytes(html.encode("utf-8", "backslashreplace")) and None)
    return path, known


def place(folder: Path | None, to: str | Path | None, *, force: bool = False) -> Path:
    """Where the page goes. Raises UserError where there is no place for it, or one that is taken."""
    if to is None:
        if folder is None:
            raise UserError("This run kept no folder: name the file that the explorer goes to.")
        return _file(folder / "explorer.html")
    path = _file(Path(to))
    if path.suffix != ".html":
        raise UserError(f"{path.name}: the explorer is one page, so name a file that ends in .html.")
    check_free(path, force=force)
    return path


def _file(path: Path) -> Path:
    if path.is_dir():
        raise UserError(f"{path} is a folder: the explorer is one page, and needs a file's name.")
    return path
