"""The section of the doctor (floor 8): the diagnosis with its remedy, the collapse curve, the spectrum against sigma^2."""

import math
from collections.abc import Sequence
from html import escape

from logpx.doctor import EPS, Examination, Finding, beside, command_of, examine, findings
from logpx.errors import UserError
from logpx.report import charts
from logpx.report.charts import Axis
from logpx.report.page import Picture, Section, figure, lede, number, side_by_side
from logpx.subject import Subject

EIGENVALUES = 60


def diagnosis(s: Subject) -> Section | None:
    """What the latent space does and what to do about it; absent where there is no latent to speak of."""
    try:
        e = examine(s.run, s.data, rows=500, seed=s.seed)
    except UserError:
        return None
    found = findings(e)
    sick = [f for f in found if f.sick]
    html = lede(_verdict(e, sick)) + "".join(f"<p>{escape(f.says)}</p>\n" for f in found)
    html += _remedy(s, sick)
    shown = [p for p in (_collapse(e), _spectrum(e)) if p]
    html += side_by_side([figure(p, caption) for p, caption in shown], "narrow" if len(shown) == 1 else "")
    return Section("Diagnosis", html, tuple(p for p, _ in shown))


def _verdict(e: Examination, sick: list[Finding]) -> str:
    start = f"<strong>{escape(sick[0].name.capitalize())}.</strong>" if sick else "<strong>Healthy.</strong>"
    if (p := e.parts) is None:
        return start
    wall = ", which is all that so many rows can show" if p.saturated else ""
    known = (
        f"{number(p.mutual_information[0])} ± {number(p.mutual_information[1])} are information about <i>x</i>{wall}"
    )
    return (
        f"{start} Of the KL's {number(p.rate[0])} nats, {known}, and {number(p.marginal_kl[0])} tell all codes from "
        f"the prior (over {p.rows:,} rows)."
    )


def _remedy(s: Subject, sick: list[Finding]) -> str:
    """The first remedy, and the line that trains it."""
    if not sick or (remedy := sick[0].remedy) is None:
        return ""
    line = command_of(s.run, remedy, beside(s.run.folder) if s.run.folder else None)
    html = f"<p>Remedy: {escape(remedy.says)}.</p>\n"
    return html + f"<pre><code>{escape(line)}</code></pre>\n" if line else html


# --- pictures ----------------------------------------------------------------------------------------------------------


def _collapse(e: Examination) -> tuple[Picture, str] | None:
    """The share of latents whose KL stays below eps for 99 rows of 100."""
    if e.curve is None:
        return None
    x = Axis(math.log10(EPS[0]), math.log10(EPS[-1]), 50, 322)
    y = Axis(0, 1, 172, 34)
    share = e.curve.tolist()
    points = " ".join(f"{x(math.log10(eps)):.1f},{y(v):.1f}" for eps, v in zip(EPS.tolist(), share, strict=True))
    alt = f"Share of collapsed latents by eps: {', '.join(f'{v:.0%}' for v in share)}"
    body = charts.text(0, 13, "collapsed", "name") + charts.left_axis(y, x) + _powers(x, y)
    body += f'<polyline points="{points}" class="held"/>'
    picture = Picture("collapse.svg", charts.svg(332, 196, body, alt), alt)
    return picture, (
        "Share of latents whose KL is below ε (nats, across) for 99 % of the rows: one that is full at the left has collapsed."
    )


def _spectrum(e: Examination) -> tuple[Picture, str] | None:
    """Eigenvalues of the data on a logarithmic scale, and the line of sigma^2."""
    if e.forecast is None:
        return None
    values = [v for v in e.forecast.values[:EIGENVALUES].tolist() if v > 1e-9 * e.forecast.values[0]]
    if not values:
        return None
    level = None if e.sigma is None or not e.run.model.has_evidence else e.sigma**2
    logs = [math.log10(v) for v in values]
    low, high = (
        min([*logs, *([math.log10(level)] if level else [])]),
        max([*logs, *([math.log10(level)] if level else [])]),
    )
    y = Axis(low - 0.1, max(high, low + 0.3) + 0.1, 172, 34)
    x = Axis(0, len(values), 50, 322)
    live = level is not None
    alt = f"The first {len(values)} eigenvalues of the data's covariance, from {values[0]:.3g} to {values[-1]:.3g}"
    body = charts.text(0, 13, "eigenvalues", "name") + _columns(logs, x, y, math.log10(level) if level else None)
    body += _powers_up(y, x)
    if live:
        at = y(math.log10(level or 1))
        body += charts.line(x.start, at, x.end, at, "guide") + charts.text(x.end, at - 4, f"σ² = {level:.3g}", "end")
    n = e.forecast.live(e.latent, level) if level else 0
    theorem = "That is so for a linear VAE" if e.sits else "So a linear VAE would; for this one it is a comparison"
    verdict = f" {n} of {e.latent} latents would live: those above σ². {theorem}." if live else ""
    picture = Picture("spectrum.svg", charts.svg(332, 196, body, alt), alt)
    return picture, f"Eigenvalues of the training rows' covariance, largest first, on a logarithmic scale.{verdict}"


def _columns(logs: Sequence[float], x: Axis, y: Axis, level: float | None) -> str:
    width = (x.end - x.start) / len(logs)
    bars = (
        f'<rect x="{x(i) + width * 0.12:.1f}" y="{y(v):.1f}" width="{width * 0.76:.1f}" height="{y.start - y(v):.1f}" '
        f'class="bar{"" if level is None or v > level else " off"}"><title>{10**v:.3g}</title></rect>'
        for i, v in enumerate(logs)
    )
    return "".join(bars) + charts.line(x.start, y.start, x.end, y.start, "axis")


def _powers(x: Axis, y: Axis) -> str:
    """Powers of ten along the bottom."""
    ticks = range(math.ceil(x.lo), math.floor(x.hi) + 1)
    names = "".join(charts.text(x(t), y.start + 16, f"{10.0**t:g}", "middle") for t in ticks)
    return charts.line(x.start, y.start, x.end, y.start, "axis") + names


def _powers_up(y: Axis, x: Axis) -> str:
    """Powers of ten along the left, or two round numbers where there is none."""
    ticks = [float(t) for t in range(math.ceil(y.lo), math.floor(y.hi) + 1)]
    ticks = ticks if len(ticks) > 1 else [y.lo + 0.1, y.hi - 0.1]
    step = math.ceil(len(ticks) / 5)
    return "".join(
        charts.line(x.start, y(t), x.end, y(t), "grid") + charts.text(x.start - 7, y(t) + 4, f"{10.0**t:.2g}", "end")
        for t in ticks[::step]
    )
