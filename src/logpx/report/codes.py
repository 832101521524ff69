"""The section about discrete codes (floor 8): which of them stand for something."""

from logpx.evaluate import CodeUsage, code_usage
from logpx.report import charts
from logpx.report.page import Picture, Section, figure, lede, number
from logpx.subject import Subject

BARS = 100


def codes(s: Subject) -> Section | None:
    """The share of the grid's places that each code stands for, most used first; absent where z is no discrete code."""
    if not getattr(s.model.posterior, "is_one_code", False):
        return None
    found = code_usage(s.model, s.split)
    html, shown = [], []
    for stage, counts in enumerate(found.counts):
        shares = (counts / counts.sum()).sort(descending=True).values[:BARS].tolist()
        of = f" of codebook {stage + 1}" if len(found.counts) > 1 else ""
        alt = f"Share of the places that each code{of} stands for, most used first"
        drawn = charts.bars(
            shares, [str(i + 1) for i in range(len(shares))], [share > 0 for share in shares], alt, "share"
        )
        shown.append(Picture(f"codes{stage + 1 if of else ''}.svg", drawn, alt))
        html.append(f'<div class="scroll">{figure(shown[-1], f"Codebook {stage + 1}." if of else "")}</div>')
    return Section("Codes in use", lede(_sentence(s, found)) + "".join(html), tuple(shown))


def _sentence(s: Subject, found: CodeUsage) -> str:
    stages, places = len(found.counts), int(found.counts[0].sum())
    each = found.codes // stages
    books = f" of {stages} codebooks" if stages > 1 else ""
    cut = f" The first {BARS} are shown." if each > BARS else ""
    return (
        f"<strong>{found.used:,} of {found.codes:,} codes{books} in use</strong>, perplexity {number(found.perplexity, 1)} of "
        f"at most {min(each, places):,}: how often each stands for one of the {places:,} places of the grids of all {s.rows}, "
        f"most used first.{cut}"
    )
