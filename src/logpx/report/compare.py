"""The page of a comparison (floor 8): evidence with error bars, the table, curves, rates, KL, pictures of the same rows."""

from html import escape
from pathlib import Path
from typing import NamedTuple

import logpx
from logpx.data import Data, Split
from logpx.evaluate import at_rest
from logpx.report import beside, charts, pictures
from logpx.report.beside import Spot
from logpx.report.latents import BARS, fitted
from logpx.report.page import (
    Picture,
    Section,
    big,
    figure,
    lede,
    number,
    page,
    pairs,
    symbols,
    table,
    with_error,
)
from logpx.report.rate_distortion import Curve, is_placed, rates
from logpx.report.samples import COLUMNS, to_unit
from logpx.subject import Subject
from logpx.train.comparison import Comparison, Line, parameters
from logpx.train.state import write_text

SHOWN = 8  # lines whose pictures and bars stand beside each other, the best ones


class Compared(NamedTuple):
    """What the page is about: the comparison, the data of its runs, and what to call the rows."""

    found: Comparison
    data: Data
    rows: str  # "1,000 test rows"
    shown: Split  # these rows

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.found.lines

    @property
    def rated(self) -> list[Line]:
        """Those that have log p(x)."""
        return [its for its in self.lines if its.value is not None]

    def subjects(self) -> list[tuple[str, Subject]]:
        """The first run of each line that is shown, by its label, which says so where there are several."""
        return [
            (
                its.label if len(its.runs) == 1 else f"{its.label}, first seed ({its.seeds[0]})",
                Subject(its.runs[0].run, self.data, its.runs[0].found, shown=self.shown),
            )
            for its in self.lines[:SHOWN]
        ]


def write(found: Comparison, data: Data, rows: str, to: Path, *, shown: Split) -> Path:
    """Writes the page, one self-contained file, of the rows `shown`; `rows` says which they are: "1,000 test rows"."""
    c = Compared(found, data, rows, shown)
    title = f"{len(c.lines)} models of {data.name}"
    made = (_evidence(c), _table(c), _epochs(c), _rates(c), _bars(c), _reconstructions(c), _samples(c))
    footer = f"Written by logpx {logpx.__version__}. One file; nothing is fetched."
    write_text(to, page(title, _header(title, c), [section for section in made if section], footer))
    return to


def _header(title: str, c: Compared) -> str:
    protocol = "" if c.data.protocol == "as-is" else f", protocol {c.data.protocol}"
    runs = sum(len(its.runs) for its in c.lines)
    top = f'<h1>{escape(title)}</h1>\n<p class="soft">{runs} runs on the same {escape(c.rows + protocol)}</p>\n'
    best = c.found.best
    if best is None or best.value is None:
        return (
            top + "<p>None of these models has log <i>p</i>(<i>x</i>): they are listed by their reconstruction.</p>\n"
        )
    top += big(f"{symbols(best.name)} of the best, {escape(best.label)}", best.value, best.error, _unit(best))
    return top + "".join(f"<p>{words}</p>\n" for words in (_lead(c), _one_seed(c)) if words)


def _unit(line: Line) -> str:
    over = f"the spread of {len(line.runs)} seeds" if line.seeds_error is not None else "rows"
    return f"nats per data point, {escape(line.kind)}; its error is that of {over}"


def _lead(c: Compared) -> str:
    """How far the best is ahead of the second, row by row."""
    if len(c.rated) < 2 or (d := c.found.difference(c.rated[1])) is None:
        return ""
    far = with_error(-d.value, d.standard_error)
    word = "beyond" if d.is_clear else "within"
    return f"It is {far} nats ahead of {escape(c.rated[1].label)} on the same rows, {word} two standard errors."


def _one_seed(c: Compared) -> str:
    alone = [its.label for its in c.rated if its.seeds_error is None]
    if not alone:
        return ""
    which = "Each line is" if len(alone) == len(c.rated) else f"{escape(', '.join(alone))}:"
    return f"{which} one trained model: another seed would give another, by how much is not known here."


def _doubts(c: Compared) -> str:
    """Of each line the first run whose number is in doubt, and how many more are."""
    said = ""
    for its in c.lines:
        if its.doubts:
            (name, words), more = its.doubts[0], len(its.doubts) - 1
            also = f" So it is with {more} more of {escape(its.label)}." if more else ""
            said += f'<p class="warning">? {escape(name)}: {symbols(words)}{also}</p>\n'
    return said


# --- numbers ----------------------------------------------------------------------------------------------------------


def _evidence(c: Compared) -> Section | None:
    if len(c.rated) < 2:
        return None
    values = [_spot(its) for its in c.rated]
    far = [c.found.difference(its) for its in c.rated]
    differences = [None if d is None else Spot(d.value, d.standard_error) for d in far]
    several = len({its.kind for its in c.rated}) > 1
    names = [f"{its.label}, {its.kind}" if several else its.label for its in c.rated]
    drawn = beside.evidence(names, values, differences, f"{c.found.name}, nats per data point")
    words = (
        "On the left each number with one standard error, over seeds where there are several (small points) and else over "
        "rows. All models saw the same rows, so on the right the difference to the best is taken row by row, with two "
        "standard errors: what a row has in common drops out."
    )
    scroll = f'<div class="scroll">{figure(drawn)}</div>'
    return Section("Evidence", lede(words) + scroll, (drawn,))


def _spot(line: Line) -> Spot:
    assert line.value is not None
    parts = tuple(float(its.row["evidence"]) for its in line.runs) if len(line.runs) > 1 else ()
    return Spot(line.value, line.error, parts)


def _table(c: Compared) -> Section:
    head = ["", "seeds", symbols(c.found.name or "log p(x)"), "kind", "to the best", "KL", "reconstruction", "active"]
    head += ["parameters", "epochs", "seconds"]
    words = (
        f"{c.rows[:1].upper()}{c.rows[1:]}, nats per data point, ± one standard error; differences beyond two of theirs are "
        f"bold. Numbers without an error are means over seeds.{_notes(c)}"
    )
    cells = [_cells(its, c.found) for its in c.lines]
    return Section("All models", lede(words) + table(head, cells, "close") + _doubts(c))


def _notes(c: Compared) -> str:
    score = " A score is <strong>no log-likelihood</strong>." if "score" in {its.kind for its in c.rated} else ""
    apart = any("/" in seed for its in c.lines for seed in its.seeds)
    return score + " Seeds a/b are those of the initial weights and of the training." * apart


def _cells(line: Line, found: Comparison) -> list[str]:
    first, value, difference = line.runs[0], "no log <i>p</i>(<i>x</i>)", found.difference(line)
    if line.value is not None:
        value = with_error(line.value, line.error) + " ?" * bool(line.doubts)
    far = with_error(difference.value, difference.standard_error) if difference else ""
    return [
        escape(line.label),
        escape(", ".join(line.seeds)),
        value,
        symbols(found.kind(line)),
        f"<strong>{far}</strong>" if difference and difference.is_clear else far,
        *(_mean(line, name) for name in ("kl", "reconstruction", "active_units")),
        f"{parameters(first.run):,}",
        ", ".join(dict.fromkeys(str(len(its.run.rows)) for its in line.runs)),
        _mean(line, "seconds", 0),
    ]


def _mean(line: Line, name: str, digits: int = 2) -> str:
    value = line.mean(name)
    return "" if value is None else number(value, 0 if name == "active_units" and value == round(value) else digits)


# --- curves and bars --------------------------------------------------------------------------------------------------


def _epochs(c: Compared) -> Section | None:
    """The bound at beta = 1, which means the same whatever was minimised; losses of two objectives would not."""
    for term, words in (("elbo", "ELBO"), ("score", "score, no log-likelihood")):
        curves = [its for k, line in enumerate(c.lines) for its in _curves(k, line, term)]
        legend = {its.k: c.lines[its.k].label for its in curves}
        if len(curves) > 1:
            drawn = beside.over_epochs(f"{words}, nats per data point", curves)
            html = lede("On held-out rows after each epoch, at beta = 1 whatever was minimised.")
            scroll = f'<div class="scroll">{figure(drawn)}</div>'
            return Section("Training", html + charts.colours(legend) + scroll, (drawn,))
    return None


def _curves(k: int, line: Line, term: str) -> list[beside.Curve]:
    logs = [(its.name, [row for row in its.run.rows if term in row.get("held_out", {})]) for its in line.runs]
    return [
        beside.Curve(k, name, [row["epoch"] for row in rows], [row["held_out"][term] for row in rows])
        for name, rows in logs
        if len(rows) > 1
    ]


def _rates(c: Compared) -> Section | None:
    rows = [[its.row | {"options": {"run": its.name}} for its in line.runs] for line in c.lines]
    curves = [
        Curve(
            line.label, its, [(line.label, *(sum(row[n] for row in its) / len(its) for n in ("kl", "reconstruction")))]
        )
        for line, its in zip(c.lines, rows, strict=True)
        if all(map(is_placed, its))
    ]
    return rates([row for curve in curves for row in curve.rows], curves, c.rows)


def _bars(c: Compared) -> Section | None:
    """KL of each latent dimension, the largest first, on one scale."""
    used = [(k, label, s.usage) for k, (label, s) in enumerate(c.subjects()) if s.model.has_evidence]
    shown = [(k, label, its, its.kl) for k, label, its in used if its is not None and its.kl is not None]
    if len(shown) < 2:
        return None
    top, html, made = max(float(kl.max()) for *_, kl in shown), "", []
    for k, label, its, kl in shown:
        order = kl.argsort(descending=True).tolist()[:BARS]
        on = [its.variance_of_means[i].item() >= 0.01 for i in order]
        alt = f"{label}: {its.active} of {len(kl)} latents are active"
        heights, names = [kl[i].item() for i in order], [str(i) for i in order]
        made.append(
            Picture(f"usage-{k}.svg", charts.bars(heights, names, on, alt, "nats per data point", top=top), alt)
        )
        bars = fitted(figure(made[-1], escape(alt)), len(order))
        html += f'<div class="k{k}" style="--accent: var(--k)">{bars}</div>'
    words = (
        f"The KL of each latent dimension on {escape(c.rows)}, the largest first, on one scale; hollow ones are not active, as "
        "the table counts them."
    )
    return Section("Who is at work in z", lede(words) + f'<div class="row">{html}</div>', tuple(made))


# --- pictures ---------------------------------------------------------------------------------------------------------


def _reconstructions(c: Compared) -> Section | None:
    """The same rows under every model."""
    subjects = [(label, s) for label, s in c.subjects() if s.is_image]
    if not subjects:
        return None
    strips = []
    for label, s in subjects:
        with at_rest(s.model):
            if s.dim:
                strips.append((label, _strip(s, s.reconstructions[:COLUMNS], f"reconstructions by {label}")))
    s = subjects[0][1]
    strips.insert(0, ("data", _strip(s, s.x[:COLUMNS], f"the first of the {c.rows}")))
    words = (
        f"The first of the {escape(c.rows)}, not chosen, and E[<i>x</i>|<i>z</i>] at the centre of "
        f"<i>q</i>(<i>z</i>|<i>x</i>)."
    )
    return Section("Reconstructions", lede(words) + _list(strips), tuple(p for _, p in strips))


def _samples(c: Compared) -> Section | None:
    strips = []
    for label, s in c.subjects():
        if s.is_image and s.prior is not None:
            with at_rest(s.model):
                means, draws = s.sample(2 * COLUMNS)
            made = means if means is not None else draws
            assert made is not None
            strips.append((label, _strip(s, made, f"samples of {label}")))
    if not strips:
        return None
    words = (
        "<i>z</i> ~ <i>p</i>(<i>z</i>), then the mean E[<i>x</i>|<i>z</i>], or a draw <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>) "
        "where no mean is known."
    )
    return Section("Samples", lede(words) + _list(strips), tuple(p for _, p in strips))


def _strip(s: Subject, x: "pictures.Tensor", alt: str) -> Picture:
    return Picture("strip.png", pictures.tiled(to_unit(s, x), COLUMNS, tile=56), alt)


def _list(strips: list[tuple[str, Picture]]) -> str:
    return pairs([(label, figure(picture)) for label, picture in strips], "list")
