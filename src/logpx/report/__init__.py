"""The report of a run (floor 8): one self-contained HTML page, and its pictures as files.

`write` gathers a list of sections, each a function of the Subject that returns a Section or None where it does not
apply; a new section is one function and one entry in SECTIONS.
"""

from collections.abc import Callable
from pathlib import Path

import logpx
from logpx.data import Data
from logpx.errors import UserError
from logpx.evaluate import Evidence, at_rest
from logpx.report import (
    codes,
    curved,
    diagnosis,
    discrete,
    factors,
    geodesics,
    latents,
    orbits,
    samples,
    sequences,
    settings,
    sides,
    summary,
)
from logpx.report.page import Picture, Section, page
from logpx.subject import Subject
from logpx.train import Run
from logpx.train.state import write_atomically

__all__ = ["SECTIONS", "write"]

#: the page from top to bottom
SECTIONS: tuple[Callable[[Subject], Section | None], ...] = (
    summary.training,
    sides.evidence,
    diagnosis.diagnosis,
    samples.reconstructions,
    samples.samples,
    sequences.reconstructions,
    sequences.samples,
    samples.density,
    latents.plane,
    latents.single,
    orbits.orbits,
    curved.latent_maps,
    latents.walks,
    geodesics.walks,
    geodesics.between,
    discrete.classes,
    latents.at_work,
    geodesics.at_work,
    factors.informations,
    codes.codes,
    settings.settings,
)


def write(
    run: Run, data: Data, evidence: Evidence | None = None, *, seed: int = 0, to: str | Path | None = None
) -> Path:
    """Writes report.html and figures/ into the run's folder, or where `to` says; returns the page's path.

    data      what the run was trained on; test rows are shown, or held-out or training rows where there are none.
    evidence  of `evaluate.evidence`, the number at the top; without it the page says what the log knows.
    to        a folder, or the page's own path (ending in .html) with figures/ beside it.
    seed      of the samples: the same run, data and seed give the same page.

    Nothing is written before everything is drawn, and each file replaces its predecessor whole. Raises UserError
    for a run that has no folder when no `to` is given, and for data of another shape than the run's.
    """
    page_path = _place(run, to)
    figures = page_path.parent / "figures"
    _check(run, data)
    html, pictures = _compose(Subject(run, data, evidence, seed))
    figures.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        _write(figures / picture.file, picture.as_bytes())
    _write(page_path, html.encode("utf-8", "backslashreplace"))  # its command line may name a file in other bytes
    return page_path


def _compose(s: Subject) -> tuple[str, list[Picture]]:
    """The page and its pictures, with the model at rest and the global random state put back."""
    with at_rest(s.model):
        header = summary.headline(s)
        sections = [made for make in SECTIONS if (made := make(s))]
    footer = f"Written by logpx {logpx.__version__}. One file; nothing is fetched."
    return page(s.title, header, sections, footer), [p for section in sections for p in section.pictures]


def _place(run: Run, to: str | Path | None) -> Path:
    """The page's path: in the run's folder, or `to`, which names a folder or an .html file."""
    if to is None and run.folder is None:
        raise UserError("This run kept no folder: name the one that the report goes to.")
    place = Path(to or run.folder or "")
    return place if place.suffix == ".html" else place / "report.html"


def _check(run: Run, data: Data) -> None:
    trained = run.info.get("data", {}).get("shape")
    if trained is not None and list(trained) != list(data.shape):
        raise UserError(f"The run was trained on data of shape {tuple(trained)}; these have shape {data.shape}.")


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda beside: beside.write_bytes(content) and None)
