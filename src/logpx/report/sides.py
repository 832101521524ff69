"""The section about the evidence (floor 8): L_k as k grows, and the bounds from both sides where they were computed."""

import math
import re
from typing import Any, NamedTuple

import torch

from logpx.report import charts
from logpx.report.charts import Axis, line, svg, text
from logpx.report.page import Picture, Section, digits_for, figure, lede, number, side_by_side, symbols
from logpx.subject import Subject
from logpx.train.kept import kept_evaluation

Numbers = dict[str, Any]
CROWDED = 14  # pixels between the names of two levels


class Level(NamedTuple):
    """A horizontal line across the picture: its name, its height in nats, how it is drawn."""

    name: str
    value: float
    kind: str


def evidence(s: Subject) -> Section | None:
    """L_k against k, below what annealing and chi-square say of the same rows; the gaps of drawn rows."""
    kept = (kept_evaluation(s.run.folder) or {}).get("sandwich")
    if kept is not None:
        return _both_sides(s, kept)
    curve = s.evidence.curve.summary() if s.evidence and s.evidence.kind != "score" and s.evidence.curve else []
    if len(curve) < 3:
        return None
    return Section(
        "Evidence against samples",
        lede(_curve_words(s)) + figure(picture := _curve(curve, []), kind="narrow"),
        (picture,),
    )


def _curve_words(s: Subject) -> str:
    rise = "a curve that still rises at its end says that log <i>p</i>(<i>x</i>) is higher"
    return (
        f"<i>L</i><sub>k</sub> of the {s.rows} against the number of draws <i>k</i>, all from one set of draws: from the ELBO "
        f"on the left towards log <i>p</i>(<i>x</i>); {rise}. <code>logpx evaluate RUN --sandwich</code> says how much."
    )


def _both_sides(s: Subject, kept: Numbers) -> Section:
    lower, upper, drawn = kept["lower"], kept["upper"], kept["simulated"]
    trusted = upper["doubt"] is None
    levels = [
        Level(lower["name"], lower["value"], "held"),
        Level(
            upper["name"] + ("" if trusted else " (not to be believed)"),
            upper["value"],
            "train" if trusted else "guide",
        ),
    ]
    pictures = [_curve(kept["evidence"]["curve"], levels)]
    if len(kept.get("gaps", ())) > 9:
        pictures.append(_gaps(kept["gaps"], drawn))
    html = lede(_sides_words(s, kept)) + side_by_side([figure(pictures[0]), *map(figure, pictures[1:])])
    doubt = f'<p class="warning">{_subscript(upper["doubt"])}</p>\n' if upper["doubt"] else ""
    return Section("Evidence from both sides", html + doubt, tuple(pictures))


def _sides_words(s: Subject, kept: Numbers) -> str:
    lower, drawn = kept["lower"], kept["simulated"]
    gap, error = drawn["gap"], drawn["gap_standard_error"]
    digits = digits_for(error or 0.0)
    spread = "" if error is None else f" ± {number(error, digits)}"
    return (
        f"On the first {kept['rows']:,} {s.rows} annealing from <i>q</i> to the posterior gives {_subscript(lower['name'])} = "
        f"{number(lower['value'], 3)} nats per data point, a lower bound like <i>L</i><sub>k</sub> and nearer to log "
        f"<i>p</i>(<i>x</i>). On as many rows that the model drew itself the same chains run both ways, and the two bounds on "
        f"log <i>p</i>(<i>x</i>) are {number(gap, digits)}{spread} nats apart: so little is missing where the "
        f"model is at home. For real rows no upper bound has such a guarantee."
    )


def _subscript(words: str) -> str:
    """AIS_200,16 and CUBO_2,1000 with their numbers set low, w^2 with its power set high."""
    return re.sub(r"(AIS|CUBO)_([\d,]*\d)", r"\1<sub>\2</sub>", symbols(words)).replace("w^2", "<i>w</i><sup>2</sup>")


def _curve(curve: list[Numbers], levels: list[Level]) -> Picture:
    """L_k over log k with Monte-Carlo whiskers, and the levels."""
    ks, values = [row["samples"] for row in curve], [row["value"] for row in curve]
    errors = [row["monte_carlo_error"] or 0.0 for row in curve]
    heights = [v + sign * e for v, e in zip(values, errors, strict=True) for sign in (1, -1)] + [
        v.value for v in levels
    ]
    room = 0.08 * max(max(heights) - min(heights), 1e-3)
    x, y = Axis(0, max(math.log10(ks[-1]), 1e-9), 50, 314), Axis(min(heights) - room, max(heights) + 2 * room, 172, 30)
    places = [(x(math.log10(k)), y(v), y(v + e), y(v - e)) for k, v, e in zip(ks, values, errors, strict=True)]
    body = text(0, 13, "L_k, nats per data point", "name") + charts.left_axis(y, x) + _decades(x, y, ks[-1])
    body += "".join(line(x.start, y(v.value), x.end, y(v.value), v.kind) for v in levels) + _names(levels, x, y)
    body += f'<polyline points="{" ".join(f"{u:.1f},{v:.1f}" for u, v, *_ in places)}" class="train"/>'
    body += "".join(line(u, top, u, bottom, "whisker") for u, _, top, bottom in places if bottom - top > 1)
    body += "".join(
        f'<circle cx="{u:.1f}" cy="{v:.1f}" r="3.6" class="spot t"><title>L_{k} = {number(value, 3)}</title></circle>'
        for (u, v, *_), k, value in zip(places, ks, values, strict=True)
    )
    ends = f"L_k from {number(values[0])} at k = {ks[0]} to {number(values[-1])} at k = {ks[-1]}"
    alt = "; ".join([ends, *(f"{v.name} at {number(v.value)}" for v in levels)]) + ", nats per data point"
    return Picture("evidence.svg", svg(332, 208, body, alt), "evidence")


def _decades(x: Axis, y: Axis, last: int) -> str:
    """k = 1, 10, 100, ... below the axis."""
    marks = "".join(text(x(e), y.start + 16, f"{10**e:,}", "middle") for e in range(len(str(last))))
    return (
        line(x.start, y.start, x.end, y.start, "axis") + marks + text(x.end, y.start + 31, "draws k per point", "end")
    )


def _names(levels: list[Level], x: Axis, y: Axis) -> str:
    """Each above its line at the left, where the curve is low; moved up where another is in the way."""
    placed: list[float] = []
    body = ""
    for level in sorted(levels, key=lambda v: v.value):
        at = y(level.value) - 5
        while any(abs(at - other) < CROWDED for other in placed):
            at -= 1
        placed.append(at)
        body += text(x.start + 6, at, f"{level.name}: {number(level.value)}", "value")
    return body


def _gaps(gaps: list[float], drawn: Numbers) -> Picture:
    """How far the two bounds are apart, row by row."""
    values = torch.tensor(gaps, dtype=torch.float64)
    half = 1.05 * max(values.abs().max().item(), 1e-3)
    x = Axis(-half, half, 8, 322)
    alt = f"Upper minus lower bound of {len(gaps)} drawn rows: mean {number(drawn['gap'], 3)} nats"
    drawing = charts.histogram("upper − lower bound of drawn rows, nats", x, charts.binned(values, x, 31), [], alt)
    return Picture("sandwich.svg", drawing, "sandwich")
