"""Sequences as text (floor 8): data beside reconstructions, and samples."""

from html import escape

import torch
from torch import Tensor

from logpx.report.page import Section, lede, table
from logpx.samples import Words, sentences
from logpx.subject import Subject

PAIRS, DRAWS = 12, 20


def reconstructions(s: Subject) -> Section | None:
    """Rows beside what the decoder writes at their posterior means, the most probable token at each place in turn."""
    if not s.is_text:
        return None
    made = s.law(s.means[: len(s.x)]).greedy().cpu().float()  # type: ignore[attr-defined]
    same = (s.x == made).all(1).double().mean()
    html = lede(
        f"Beside each of the first {min(PAIRS, len(made))} {s.rows}, not chosen, what is written at its mean of <i>z</i>: the "
        f"most probable token at each place, given those before. Of the first {len(made):,}, {same:.0%} come back whole."
    )
    rows = zip(_cells(s, s.x[:PAIRS]), _cells(s, made[:PAIRS]), strict=True)
    return Section("Reconstructions", html + table(["data", "reconstruction"], [list(row) for row in rows]))


def samples(s: Subject) -> Section | None:
    """What the model writes of z ~ p(z), and how long it is beside the data."""
    if not s.is_text or s.prior is None:
        return None
    torch.manual_seed(s.seed)
    _, law = s.model.sample(len(s.x))
    made = law.sample().cpu().float()
    html = lede(
        "What the model makes up: <i>z</i> ~ <i>p</i>(<i>z</i>), then token by token <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>)."
        + _lengths(s, made)
    )
    return Section("Samples", html + table(["samples"], [[cell] for cell in _cells(s, made[:DRAWS])]))


def _lengths(s: Subject, made: Tensor) -> str:
    """How long samples and data are, where they end."""
    if (end := _words(s).end) is None:
        return ""
    mine, theirs = ((x != end).sum(1).double().mean() for x in (made, s.x))
    return f" They are {mine:.2f} tokens long on average, and the {s.rows} {theirs:.2f}."


def _words(s: Subject) -> Words:
    if s.data.kind == "sequence":
        return Words.of(s.data.describe())
    return Words(categories=[[str(code) for code in range(s.data.spec.levels or 0)]])


def _cells(s: Subject, x: Tensor) -> list[str]:
    """Each sequence as HTML; one without a token as a mark."""
    return [escape(line) or "<i>empty</i>" for line in sentences(x, _words(s))]
