"""The section about discrete latents (floor 8): every class of a variable in turn."""

import torch

from logpx.distributions import OneHots
from logpx.report import pictures
from logpx.report.latents import WALKS, most_used
from logpx.report.page import Picture, Section, figure, lede
from logpx.report.samples import to_unit
from logpx.subject import Subject

CLASSES = 16  # shown at most


def classes(s: Subject) -> Section | None:
    """Images: one variable a row, each class in turn, the other variables as in a row's most probable code."""
    if not isinstance(s.q, OneHots) or not s.is_image:
        return None
    order, by = most_used(s)
    order, shown = order[:WALKS], min(s.q.classes, CLASSES)
    own = s.means[0].view(s.q.variables, s.q.classes)
    z = own.repeat(len(order), shown, 1, 1)
    for row, i in enumerate(order):
        z[row, :, i] = torch.eye(s.q.classes)[:shown]
    alt = f"Each class in turn of {len(order)} variables, one a row: {', '.join(f'z{i}' for i in order)}"
    content = pictures.tiled(to_unit(s, s.decode(z.flatten(2).flatten(0, 1))), shown)
    picture = Picture("classes.png", content, alt)
    html = lede(_sentence(s, s.q, shown, len(order), by))
    names = ", ".join(f"<i>z</i><sub>{i}</sub>" for i in order)
    return Section("Class by class", html + figure(picture, f"From the top: {names}."), (picture,))


def _sentence(s: Subject, q: OneHots, shown: int, rows: int, by: str) -> str:
    cut = f" (the first {shown} of {q.classes})" if shown < q.classes else ""
    which = f"the {rows} of {q.variables} variables of {by}" if rows < q.variables else f"all {rows} variables, {by}"
    return (
        f"Each row takes one variable through its classes{cut} and leaves the others at the {s.centres[:-1]} of the first of "
        f"the {s.rows}; {which}."
    )
