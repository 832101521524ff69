"""Sequences as text (floor 8): data beside reconstructions, and samples."""

from html import escape

import torch

from logpx.report.page import Section, lede, table
from logpx.report.subject import Subject
from logpx.samples import Words, sentences

PAIRS, DRAWS = 12, 20


def reconstructions(s: Subject) -> Section | None:
    """Rows beside what the decoder writes at their posterior means, the most probable token at each place in turn."""
    if s.data.kind != "sequence":
        return None
    words = Words.of(s.data.describe())
    x, made = s.x[:PAIRS], s.reconstructions[:PAIRS]
    lines = [[escape(a), escape(b)] for a, b in zip(sentences(x, words), sentences(made, words), strict=True)]
    same = (s.x == s.reconstructions).all(1).double().mean()
    html = lede(
        f"Beside each of the first {len(x)} {s.rows}, not chosen, what is written at its mean of <i>z</i>: the most probable "
        f"token at each place, given those before. Of the first {len(s.x):,}, {same:.0%} come back token for token."
    )
    return Section("Reconstructions", html + table(["data", "reconstruction"], lines))


def samples(s: Subject) -> Section | None:
    """What the model writes of z ~ p(z), and how long it is beside the data."""
    if s.data.kind != "sequence" or s.prior is None:
        return None
    torch.manual_seed(s.seed)
    z, context = s._from_prior(len(s.x))
    made = s.law(z, context).sample().cpu().float()
    words, end = Words.of(s.data.describe()), (s.data.spec.levels or 1) - 1
    longer = [f"{(x != end).sum(1).double().mean():.2f}" for x in (made, s.x)]
    html = lede(
        "What the model makes up: <i>z</i> ~ <i>p</i>(<i>z</i>), then token by token <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>). "
        f"On average {longer[0]} tokens long; the {s.rows} have {longer[1]}."
    )
    lines = [[escape(line)] for line in sentences(made[:DRAWS], words)]
    return Section("Samples", html + table(["samples"], lines))
