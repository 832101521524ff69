"""One term of one run over its epochs (floor 8): train and held-out, the best epoch marked, an axis that shows how it ends."""

import math

from logpx.report.charts import Axis, Range, bottom_axis, left_axis, line, svg, text
from logpx.report.page import number

Series = dict[str, list[float]]  # "train", "held_out" -> a value per epoch
LINE_POINTS, HOVERS = 400, 120  # drawn points of a line and its hover titles, at most


def over_epochs(name: str, epochs: list[int], series: Series, best: int | None) -> str:
    """One term over the epochs, train and held-out, in nats per data point, the best epoch marked."""
    x, y = Axis(epochs[0], epochs[-1], 50, 322), Axis(*robust_range(epochs, series, best), 172, 34)
    body = text(0, 13, name, "name") + left_axis(y, x) + bottom_axis(x, y, whole=True)
    shown = thinned(len(epochs), LINE_POINTS)
    kinds = {"train": "train", "held_out": "held"}
    curves = "".join(_curve(x, y, epochs, values, shown, kinds[key]) for key, values in series.items())
    body += (
        f'<svg x="46" y="30" width="280" height="142" viewBox="46 30 280 142">{_best_line(x, y, best)}{curves}</svg>'
    )
    body += _best_spots(x, y, epochs, series, best) + _off_scale(x, y, epochs, series)
    last = series.get("held_out", series.get("train", []))
    value = last[epochs.index(best) if best in epochs else -1]
    body += text(322, 13, number(value), "value end")
    return svg(332, 196, body + _hovers(x, y, epochs, series), _over_epochs_alt(name, epochs, series))


def robust_range(epochs: list[int], series: Series, best: int | None) -> Range:
    """The values after the first tenth of the epochs, a little more, and never more than there is to see."""
    everything = [v for values in series.values() for v in values]
    start = math.ceil(len(epochs) / 10) if len(epochs) > 3 else 0
    kept = [
        v for values in series.values() for v, e in zip(values, epochs, strict=True) if e >= epochs[start] or e == best
    ]
    low, high, bottom, top = min(kept), max(kept), min(everything), max(everything)
    span = max(high - low, 1e-3 * abs(high), 1e-6)
    if top - bottom > 2.5 * span:
        bottom, top = max(bottom, low - 0.4 * span), min(top, high + 0.4 * span)
    room = 0.06 * max(top - bottom, span)
    return bottom - room, top + room


def thinned(n: int, most: int) -> list[int]:
    """At most about `most` of n positions, evenly, the last one always."""
    return sorted({*range(0, n, math.ceil(n / most)), n - 1})


def _curve(x: Axis, y: Axis, epochs: list[int], values: list[float], shown: list[int], kind: str) -> str:
    points = " ".join(f"{x(epochs[i]):.1f},{max(min(y(values[i]), 2000), -2000):.1f}" for i in shown)
    return f'<polyline points="{points}" class="{kind}"/>'


def _best_line(x: Axis, y: Axis, best: int | None) -> str:
    return "" if best is None else line(x(best), y.start, x(best), y.end, "guide")


def _best_spots(x: Axis, y: Axis, epochs: list[int], series: Series, best: int | None) -> str:
    if best not in epochs:
        return ""
    at = epochs.index(best)
    return "".join(
        f'<circle cx="{x(best):.1f}" cy="{y(values[at]):.1f}" r="3.6" class="spot {key[0]}"/>'
        for key, values in series.items()
    )


def _off_scale(x: Axis, y: Axis, epochs: list[int], series: Series) -> str:
    """Where a first epoch lies beyond the axis, its value in words."""
    values = next(iter(series.values()))
    if y.lo <= values[0] <= y.hi:
        return ""
    above = values[0] > y.hi
    words = f"{'↑' if above else '↓'} {number(values[0])} in epoch {epochs[0]}"
    return text(x.start + 6, y.end + 8 if above else y.start - 6, words)


def _hovers(x: Axis, y: Axis, epochs: list[int], series: Series) -> str:
    shown = thinned(len(epochs), HOVERS)
    width = (x.end - x.start) / max(len(shown) - 1, 1)
    return "".join(_hover(x(epochs[i]), width, y, _words(epochs[i], i, series)) for i in shown)


def _hover(at: float, width: float, y: Axis, words: str) -> str:
    return (
        f'<g class="hit"><title>{words}</title><rect x="{at - width / 2:.1f}" y="{y.end:g}" width="{width:.1f}" '
        f'height="{y.start - y.end:g}"/>{line(at, y.start, at, y.end, "")}</g>'
    )


def _words(epoch: int, i: int, series: Series) -> str:
    return f"epoch {epoch}" + "".join(f"\n{k.replace('_', '-')} {number(v[i], 3)}" for k, v in series.items())


def _over_epochs_alt(name: str, epochs: list[int], series: Series) -> str:
    ends = "; ".join(f"{k.replace('_', '-')} from {number(v[0])} to {number(v[-1])}" for k, v in series.items())
    return f"{name} over epochs {epochs[0]} to {epochs[-1]}, nats per data point: {ends}"
