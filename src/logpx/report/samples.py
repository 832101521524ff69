"""The sections about x (floor 8): data beside reconstructions, samples, and the density where it can be drawn."""

import torch
from torch import Tensor

from logpx.report import charts, pictures
from logpx.report.page import Picture, Section, figure, lede, side_by_side
from logpx.subject import Subject

COLUMNS, PANELS, BINS, MESH = 10, 6, 40, 96


def to_unit(s: Subject, x: Tensor) -> Tensor:
    """Pixels in [0, 1]."""
    low, high = s.pixel_range
    return x if (low, high) == (0.0, 1.0) else (x - low) / (high - low)


# --- reconstructions -------------------------------------------------------------------------------------------------


def reconstructions(s: Subject) -> Section | None:
    """Data beside E[x|z]: pictures in pairs, two columns as two clouds, more columns one against the other.

    Absent where there is no latent, and so nothing of a row is kept.
    """
    if s.dim == 0:
        return None
    at = "at <i>z</i> = f(<i>x</i>)" if s.centres == "codes" else f"at the {s.centres[:-1]} of <i>z</i>"
    words = f"{s.decoded_html} {at}, for the first of the {s.rows}, not chosen"
    if s.is_image:
        picture = _pairs(s)
        html = lede(f"In each pair of lines the data are above and their reconstructions below: {words}.") + figure(
            picture
        )
        return Section("Reconstructions", html, (picture,))
    if s.is_plane and not s.is_text:
        shown = _two_clouds(s)
        return Section(
            "Reconstructions",
            lede(f"Data and their reconstructions: {words}.") + _row(shown),
            tuple(p for p, _ in shown),
        )
    if not s.is_text and len(s.data.shape) == 1:
        panels = tuple(_agreement(s, i) for i in range(min(PANELS, s.data.shape[0])))
        which = (
            f"the first {len(panels)} of {s.data.shape[0]} columns" if len(panels) < s.data.shape[0] else "each column"
        )
        html = lede(
            f"For {which}, the reconstruction (upwards) against the data (to the right): {words}. Dashed: equality."
        )
        return Section("Reconstructions", html + side_by_side([figure(p) for p in panels], "small"), panels)
    return None


def _pairs(s: Subject) -> Picture:
    n = min(3 * COLUMNS, len(s.x)) // COLUMNS * COLUMNS or len(s.x)
    columns = min(COLUMNS, n)
    lines = [
        piece for i in range(0, n, columns) for piece in (s.x[i : i + columns], s.reconstructions[i : i + columns])
    ]
    content = pictures.tiled(to_unit(s, torch.cat(lines)), columns, band=2)
    return Picture("reconstructions.png", content, f"{n} {s.rows} and below each its reconstruction")


def _two_clouds(s: Subject) -> list[tuple[Picture, str]]:
    ranges = charts.square_range(s.points)
    labels = None if s.labels is None else s.labels[: len(s.x)][s.complete]
    made = []
    for file, points, words in (
        ("data", s.points, f"{len(s.points)} {s.rows}"),
        ("reconstructions", s.reconstructions[s.complete], "Their reconstructions"),
    ):
        svg = charts.cloud(points, ranges, words, labels=labels, names=s.classes, axes=(s.columns[0], s.columns[1]))
        made.append((Picture(f"{file}.svg", svg, words), f"{words}."))
    return made


def _agreement(s: Subject, i: int) -> Picture:
    seen = ~s.x[:, i].isnan()
    x, m = s.x[seen, i], s.reconstructions[seen, i]
    name, words = s.columns[i], _how_close(s, i, x, m)
    alt = f"Reconstruction against data for {name}: {words}"
    chart = charts.agreement(name, _jittered(x), m, words, alt, s.categories(i))
    return Picture(f"reconstruction-{i}.svg", chart, alt)


def _how_close(s: Subject, i: int, x: Tensor, m: Tensor) -> str:
    """Of numbers the variance explained, of categories the share that is right."""
    if s.categories(i):
        return f"{(x == m).double().mean().nan_to_num():.0%} of the categories right"
    explained = 1 - ((x - m).var() / x.var().clamp_min(1e-12)).item() if len(x) > 1 else 0.0
    return f"{explained:.0%} of the variance explained"


def _jittered(x: Tensor) -> Tensor:
    """Values of which there are few are spread a little, so that points do not hide each other."""
    values = x.unique()
    if len(values) > 12 or len(values) < 2:
        return x
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    return x + 0.25 * values.diff().min() * noise


def _row(shown: list[tuple[Picture, str]], kind: str = "") -> str:
    return side_by_side([figure(p, caption, "scatter") for p, caption in shown], kind)


# --- samples ---------------------------------------------------------------------------------------------------------


def samples(s: Subject) -> Section | None:
    """What the model makes of z ~ p(z); absent where it has no prior."""
    if s.prior is None or len(s.data.shape) not in (1, 3) or s.is_text:
        return None
    n = 6 * COLUMNS if s.is_image else len(s.x) if s.is_plane else 4000
    means, draws = s.sample(n)
    if s.is_image:
        shown = _sheets(s, means, draws)
    elif s.is_plane:
        shown = _sample_clouds(s, means, draws)
    else:
        made = means if draws is None else draws
        assert made is not None
        return _marginals(s, made, draws is not None)
    words = _sample_sentence(means is not None, draws is not None) + _given(s)
    return Section("Samples", lede(words) + _row(shown), tuple(p for p, _ in shown))


def _given(s: Subject) -> str:
    """What samples of a conditional model are conditioned on."""
    if s.batch.context is None:
        return ""
    return " The classes come in turn." if s.by_class else f" Each is given the context of one of the {s.rows}."


def _sample_sentence(averaged: bool, drawn: bool) -> str:
    start = "What the model makes up: <i>z</i> ~ <i>p</i>(<i>z</i>), then "
    if not averaged:
        return f"{start}a draw <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>), element by element; its mean is known to nobody."
    if drawn:
        return f"{start}the mean E[<i>x</i>|<i>z</i>] and, of the same <i>z</i>, a draw <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>)."
    return f"{start}the mean E[<i>x</i>|<i>z</i>]; the grey score is no density, so there is nothing to draw from it."


def _kinds(means: Tensor | None, draws: Tensor | None) -> list[tuple[str, Tensor, str, str]]:
    """(file, samples, words, the same as HTML)."""
    shown = []
    if means is not None:
        shown.append(("samples-means", means, "Means E[x|z]", "Means E[<i>x</i>|<i>z</i>]"))
    if draws is not None:
        shown.append(("samples", draws, "Draws x ~ p(x|z)", "Draws <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>)"))
    return shown


def _sheets(s: Subject, means: Tensor | None, draws: Tensor | None) -> list[tuple[Picture, str]]:
    return [
        (
            Picture(
                f"{file}.png",
                pictures.tiled(to_unit(s, x), COLUMNS, tile=56),
                f"{words} for {len(x)} samples",
            ),
            html,
        )
        for file, x, words, html in _kinds(means, draws)
    ]


def _sample_clouds(s: Subject, means: Tensor | None, draws: Tensor | None) -> list[tuple[Picture, str]]:
    ranges = charts.square_range(s.points)
    data = charts.dots(s.points, *charts.square_axes(ranges))
    made = []
    for file, x, words, html in _kinds(means, draws):
        svg = charts.cloud(x, ranges, f"{words} over the data", under=data)
        made.append((Picture(f"{file}.svg", svg, words), f"{html}; grey: {s.rows}"))
    return made


def _marginals(s: Subject, x: Tensor, drawn: bool) -> Section:
    shown = tuple(_marginal(s, i, x[:, i]) for i in range(min(PANELS, s.data.shape[0])))
    what = (
        "draws <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>)"
        if drawn
        else "means E[<i>x</i>|<i>z</i>] (the grey score has no draws)"
    )
    html = lede(
        f"Column by column, the distribution of {len(x):,} {what} with <i>z</i> ~ <i>p</i>(<i>z</i>) (line) over that "
        f"of the {s.rows} (area)." + _given(s)
    )
    return Section("Samples", html + side_by_side([figure(p) for p in shown], "small"), shown)


def _marginal(s: Subject, i: int, made: Tensor) -> Picture:
    x, name = s.x[:, i], s.columns[i]
    x = x[~x.isnan()]
    low, high = torch.cat([x, made]).quantile(torch.tensor([0.002, 0.998])).tolist()
    axis, bins = charts.Axis(low, max(high, low + 1e-6), 0, 1), BINS
    if names := s.categories(i):  # a bin for each
        axis, bins = charts.Axis(-0.5, len(names) - 0.5, 0, 1), len(names)
    alt = f"Distribution of {name} in the data and in the samples"
    content = charts.histogram(name, axis, charts.binned(x, axis, bins), charts.binned(made, axis, bins), alt, names)
    return Picture(f"marginal-{i}.svg", content, alt)


# --- density ---------------------------------------------------------------------------------------------------------


def density(s: Subject) -> Section | None:
    """p(x) itself, for real data in one or two dimensions, beside the law that made the data where it is known."""
    if s.data.kind != "real" or s.data.shape not in ((1,), (2,)) or s.prior is None or not s.is_density:
        return None
    if len(s.points) < 2:
        return None
    shown = [(_density_line(s), "")] if s.data.shape == (1,) else _density_planes(s)
    how = "averaged over 4,096 draws of <i>z</i> from the prior"
    html = lede(f"The model's density <i>p</i>(<i>x</i>), {how}, with the first of the {s.rows} on it.")
    html += _row(shown) if len(shown) > 1 else figure(*shown[0], "narrow")
    return Section("Density", html, tuple(p for p, _ in shown))


def _density_line(s: Subject) -> Picture:
    x = s.points[:, 0]
    margin = 0.1 * float(x.max() - x.min())
    axis = charts.Axis(float(x.min()) - margin, float(x.max()) + margin + 1e-6, 0, 1)
    at = torch.linspace(axis.lo, axis.hi, 4 * BINS)[:, None]
    alt = f"Density of {s.columns[0]} over the distribution of the {s.rows}"
    curve = s.density(at).view(BINS, 4).mean(1).tolist()
    return Picture("density.svg", charts.histogram(s.columns[0], axis, charts.binned(x, axis, BINS), curve, alt), alt)


def _density_planes(s: Subject) -> list[tuple[Picture, str]]:
    """The model's, and on the same scale that of the law behind the data."""
    ranges = charts.square_range(s.points, 0.12)
    across, up = (torch.linspace(low, high, MESH) for low, high in ranges)
    grid = torch.stack(torch.meshgrid(up.flip(0), across, indexing="ij"), -1).flip(-1).flatten(0, 1)
    shown = [("density", "The model's density", s.density(grid))]
    if s.data.log_density is not None:
        shown.append(("density-true", "The law that made the data", s.data.log_density(grid).exp()))
    top = max(float(p.max()) for _, _, p in shown)
    return [(_tinted(s, file, words, p.view(MESH, MESH), top, ranges), words) for file, words, p in shown]


def _tinted(
    s: Subject, file: str, words: str, p: Tensor, top: float, ranges: tuple[charts.Range, charts.Range]
) -> Picture:
    tint = Picture("tint.png", pictures.tint(p, top), "")
    alt = f"{words} in the plane of {s.columns[0]} and {s.columns[1]}, with the first of the {s.rows}"
    axes = (s.columns[0], s.columns[1])
    return Picture(
        f"{file}.svg",
        charts.cloud(s.points[:300], ranges, alt, under=charts.heat(tint.uri()), quiet=True, axes=axes),
        alt,
    )
