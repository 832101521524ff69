"""The picture of docs/regulariser.md, from evidence/regulariser.json: `python docs/regulariser.py` writes it."""

import json
from itertools import pairwise
from pathlib import Path

from logpx.report.charts import Axis, bottom_axis, left_axis, line, svg, text
from logpx.report.page import Picture

HERE = Path(__file__).parent
WIDTH, HEIGHT = 250, 210
Points = list[tuple[float, float]]


def curve(points: Points, x: Axis, y: Axis) -> str:
    """Points, joined."""
    joined = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    return f'<polyline points="{joined}" class="train" style="fill: none"/>' + spots(points, x, y, "t")


def spots(points: Points, x: Axis, y: Axis, kind: str, size: float = 3.4) -> str:
    return "".join(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="{size}" class="spot {kind}"/>' for a, b in points)


def tangent(at: tuple[float, float], slope: float, reach: float, x: Axis, y: Axis, words: str) -> str:
    """A line of that slope through a point, and what the slope is."""
    (a, b), rise = at, slope * reach
    ends = line(x(a - reach), y(b - rise), x(a + reach), y(b + rise), "held")
    return ends + spots([at], x, y, "h", 4.2) + text(x(a) + 9, y(b) - 8, words, "value")


def panel(points: Points, left: float, title: str, under: str, over: str) -> tuple[Axis, Axis, str]:
    """Axes with room around the points, and the curve."""
    across, up = ([p[i] for p in points] for i in (0, 1))
    room = [0.08 * (max(v) - min(v)) for v in (across, up)]
    x = Axis(min(across) - room[0], max(across) + room[0], left, left + WIDTH)
    y = Axis(min(up) - room[1], max(up) + room[1], 60 + HEIGHT, 60)
    words = text(left, 14, title, "name") + text(left, 44, over) + text(x.end, y.start + 36, under, "end")
    return x, y, words + left_axis(y, x) + bottom_axis(x, y, 4) + curve(points, x, y)


def picture() -> Picture:
    """The soft-margin SVM, the VAE, and slopes against multipliers of both."""
    found = json.loads((HERE.parent / "evidence" / "regulariser.json").read_text())
    rows, betas = found["svm"]["rows"], {float(b): v for b, v in found["beta"].items()}
    margin = [(r["slack"], r["half |w|^2"]) for r in rows]
    x, y, body = panel(margin, 50, "soft-margin SVM", "slack, sum of xi", "half |w|^2")
    body += tangent(margin[4], -rows[4]["C"], 5.0, x, y, f"slope -C = -{rows[4]['C']:.3f}")
    rd = [(v["rate"]["mean"], v["distortion"]["mean"]) for v in betas.values()]
    x, y, more = panel(rd, 380, "VAE", "rate R, nats", "distortion D, nats")
    body += more + tangent(rd[4], -2.0, 1.1, x, y, "slope -beta = -2")
    body += spots([(v["rate"]["mean"], v["distortion"]["mean"]) for v in found["eps"].values()], x, y, "h", 2.6)
    body += text(x.end - 4, y.end + 12, "small: R held at eps", "end")
    slopes = [v["mean"] for v in found["slope -dD/dR between neighbouring betas"].values()]
    between = [((a * b) ** 0.5, s) for (a, b), s in zip(pairwise(betas), slopes, strict=True)]
    x, y, more = panel(between, 710, "slope against beta", "geometric mean of two betas", "-dD/dR between them")
    low, high = max(x.lo, y.lo), min(x.hi, y.hi)
    body += more + line(x(low), y(low), x(high), y(high), "guide")
    alt = (
        "Slack against half the squared norm of w of a soft-margin SVM, rate against distortion of a VAE, each a falling "
        f"convex curve with a tangent; and the slopes of the second, {slopes[0]:.2f} to {slopes[-1]:.2f}, close to beta"
    )
    return Picture("regulariser.svg", svg(970, 320, body, alt), alt)


if __name__ == "__main__":
    (HERE / "regulariser.svg").write_bytes(picture().as_bytes())
