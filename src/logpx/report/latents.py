"""The sections about z (floor 8): the map of a line or a plane, walks along single dimensions, who is at work."""

import torch
from torch import Tensor
from torch.distributions import Normal

from logpx.report import charts, pictures
from logpx.report.charts import Range
from logpx.report.epochs import thinned
from logpx.report.page import Picture, Section, figure, lede, side_by_side
from logpx.report.samples import to_unit
from logpx.subject import Subject
from logpx.train import state

SIDE, WALK, WALKS, BARS, KEYS = 20, 11, 10, 100, 20


def plane(s: Subject) -> Section | None:
    """Two latents: where the rows lie, what the decoder makes of the plane, and how it came about."""
    if s.dim != 2 or not s.is_euclidean:
        return None
    ranges = charts.square_range(s.means)
    shown = [_map(s, ranges), _decoded(s, ranges)]
    parts = [(p, c) for p, c in shown if p]
    html = lede(points_sentence(s)) + (charts.legend(s.labels, s.classes) if s.labels is not None else "")
    html += side_by_side([figure(p, c, "scatter") for p, c in parts])
    moving, films = moving_map(s)
    return Section("Latent space", f'<div class="scatter">{html}</div>{moving}', (*(p for p, _ in parts), *films))


def points_sentence(s: Subject) -> str:
    """What a point in a map of the latent space is."""
    coloured = ", coloured by class" if s.labels is not None else ""
    mean = "posterior mean E[<i>z</i>|<i>x</i>]" if s.is_euclidean else "Fréchet mean of <i>q</i>(<i>z</i>|<i>x</i>)"
    what = mean if s.centres == "posterior means" else "code <i>z</i> = f(<i>x</i>)"
    return f"Each point is the {what} of one of {len(s.means):,} {s.rows}{coloured}."


def _map(s: Subject, ranges: tuple[Range, Range]) -> tuple[Picture, str]:
    x, y = charts.square_axes(ranges)
    rings = charts.circles(x, y) if s.is_standard else ""
    alt = f"{s.centres.capitalize()} of {len(s.means):,} {s.rows} in the plane of the two latents"
    content = charts.cloud(s.means, ranges, alt, labels=s.labels, names=s.classes, over=rings)
    caption = "Dashed: one and two standard deviations of the prior." if rings else ""
    return Picture("latents.svg", content, alt), caption


def _decoded(s: Subject, ranges: tuple[Range, Range]) -> tuple[Picture | None, str]:
    """The plane decoded on a grid: of prior quantiles where the prior is normal, else over the posterior means."""
    if not (s.is_image or s.is_plane):
        return None, ""
    across, up = _marks(ranges[0], SIDE, s.is_standard), _marks(ranges[1], SIDE, s.is_standard)
    how = "quantiles of the prior" if s.is_standard else f"the range of the {s.centres}"
    if s.is_image:
        z = torch.stack([across.repeat(SIDE), up.flip(0).repeat_interleave(SIDE)], 1)
        tiles = pictures.tiled(to_unit(s, s.decode(z)), SIDE, gap=0 if min(s.data.shape[1:]) > 16 else 12, tile=48)
        alt = f"{s.decoded} on a grid of {SIDE} by {SIDE} latents"
        return Picture("decoded.png", tiles, alt), f"{s.decoded_html} on a grid of {SIDE} × {SIDE} over {how}."
    return _decoded_mesh(s, across, up), f"Lines of a grid over {how} as the decoder lays them among the data."


def _marks(range_: Range, n: int, standard: bool) -> Tensor:
    if standard:
        return Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)
    return torch.linspace(range_[0], range_[1], n)


def _decoded_mesh(s: Subject, across: Tensor, up: Tensor) -> Picture:
    fine = (
        Normal(0.0, 1.0).icdf(torch.linspace(0.02, 0.98, 80))
        if s.is_standard
        else torch.linspace(float(across[0]), float(across[-1]), 80)
    )
    one = torch.stack(torch.meshgrid(across, fine, indexing="ij"), -1)
    other = torch.stack(torch.meshgrid(up, fine, indexing="ij"), -1).flip(-1)
    curves = s.decode(torch.cat([one, other]).flatten(0, 1)).view(-1, 80, 2)
    ranges = charts.square_range(s.points)
    alt = "Grid lines of the latent plane decoded into data space, over the data"
    drawn = charts.mesh(curves, *charts.square_axes(ranges))
    return Picture("decoded.svg", charts.cloud(s.points, ranges, alt, over=drawn, quiet=True), alt)


def moving_map(s: Subject, rim: tuple[Range, Range, float] | None = None) -> tuple[str, tuple[Picture, ...]]:
    """The plane over the epochs; whoever prefers less motion sees the last frame.

    rim  the ranges of a disk about 0 and its radius, which is then drawn.
    """
    path = s.run.folder and s.run.folder / "latents.safetensors"
    if not path or not path.exists():
        return "", ()
    saved = state.load(path)
    frames, epochs, labels = saved["frames"].float(), saved["epochs"], saved["labels"]
    if len(frames) < 3 or not bool(frames.isfinite().all()):
        return "", ()
    kept = thinned(len(frames), KEYS)
    frames, epochs = frames[kept], [epochs[i] for i in kept]
    x, y, R = rim or (*charts.square_range(frames[len(frames) // 3 :].flatten(0, 1), 0.1), None)
    moving, still = pictures.animation(frames, [_told(s, epoch) for epoch in epochs], labels, (x, y), R)
    alt = f"The latent plane from epoch {epochs[0]} to epoch {epochs[-1]}, ending in the last"
    film, rest = Picture("latents.webp", moving, alt), Picture("latents-last.png", still, alt)
    n, rows = min(frames.shape[1], pictures.FILMED), "held-out" if len(s.data.held_out) else "training"
    html = (
        "<h3>As it formed</h3>\n"
        + f'<figure class="narrow"><picture><source srcset="{rest.uri()}" media="(prefers-reduced-motion: reduce)">'
        + film.inline()
        + f"</picture><figcaption>The {s.centres} of {n:,} {rows} rows from epoch {epochs[0]} to "
        + f"{epochs[-1]}, on axes that stay.</figcaption></figure>\n"
    )
    return html, (film, rest)


def _told(s: Subject, epoch: int) -> str:
    """The epoch and what the held-out rows were worth after it: "epoch 3, held-out ELBO -142.31 nats".

    A loss that adds to the reconstruction what is no nats, a weighted MMD, has no unit.
    """
    row = next((row for row in s.run.rows if row["epoch"] == epoch), {})
    part = "held_out" if "held_out" in row else "train"
    term = next((t for t in ("elbo", "score", "loss") if t in row.get(part, {})), None)
    if term is None:
        return f"epoch {epoch}"
    name = term.upper() if term == "elbo" else term
    unit = "" if term == "loss" and row[part].keys() - {"loss", "reconstruction"} else " nats"
    return f"epoch {epoch}, {part.replace('_', '-')} {name} {row[part][term]:.2f}{unit}"


def single(s: Subject) -> Section | None:
    """One latent: its distribution, and the data along it."""
    if s.dim != 1 or (s.spaces and s.spaces[0].kappa > 0):
        return None
    z = s.means[:, 0]
    if not s.is_euclidean and s.spaces:  # a curved line is one by distance from 0
        z = s.spaces[0].towards(s.spaces[0].origin(s.means), s.means)[:, 0]
    edges = (z.quantile(0.001).item(), z.quantile(0.999).item())
    rows = s.labels if s.labels is not None else torch.zeros(len(z), dtype=torch.int64)
    kinds = rows.unique().tolist()
    axis = charts.Axis(edges[0], max(edges[1], edges[0] + 1e-6), 0, 1)
    filled = [charts.binned(z[rows == k], axis, 40) for k in kinds][:12]
    alt = f"Distribution of the {s.centres} of {len(z):,} {s.rows}"
    names = s.classes if s.labels is not None else (s.centres[:-1],)
    shown = [
        Picture(f"latent-{i}.svg", charts.histogram(charts.name_of(k, names), axis, density, [], alt), alt)
        for i, (k, density) in enumerate(zip(kinds, filled, strict=False))
    ]
    html = lede(f"The {s.centres} of {len(z):,} {s.rows}" + (", class by class." if len(kinds) > 1 else "."))
    html += side_by_side([figure(p) for p in shown], "small")
    strip = _strip(s)
    html += (
        figure(strip, f"{s.decoded_html} along the latent, from its low end to its high one.", "wide") if strip else ""
    )
    return Section("Latent space", html, (*shown, *([strip] if strip else [])))


def _strip(s: Subject) -> Picture | None:
    if not s.is_image or not s.is_euclidean:
        return None
    low, high = s.means[:, 0].quantile(torch.tensor([0.01, 0.99])).tolist()
    z = torch.linspace(low, high, WALK)[:, None]
    return Picture("walk.png", pictures.tiled(to_unit(s, s.decode(z)), WALK), f"{s.decoded} along the single latent")


def walks(s: Subject) -> Section | None:
    """More than two latents and images: one dimension at a time from -3 to 3, the others at a row's posterior mean."""
    if s.dim < 3 or not s.is_image or not s.is_euclidean:
        return None
    order, by = most_used(s)
    at = torch.linspace(-3, 3, WALK) if s.is_standard else torch.linspace(0.005, 0.995, WALK)
    z = s.means[0].repeat(len(order), WALK, 1)
    for row, i in enumerate(order):
        z[row, :, i] = at if s.is_standard else s.means[:, i].quantile(at)
    alt = f"Walks along {len(order)} latent dimensions, one a row: {', '.join(f'z{i}' for i in order)}"
    picture = Picture("walks.png", pictures.tiled(to_unit(s, s.decode(z.flatten(0, 1))), WALK), alt)
    ends = "from −3 to 3" if s.is_standard else "from its lowest to its highest values among the rows"
    html = lede(
        f"Each row moves one latent {ends} and leaves the others at the {s.centres[:-1]} of the first of the {s.rows}; "
        f"the {len(order)} dimensions of {by}."
    )
    names = ", ".join(f"<i>z</i><sub>{i}</sub>" for i in order)
    return Section("Walks through the latent space", html + figure(picture, f"From the top: {names}."), (picture,))


def most_used(s: Subject) -> tuple[list[int], str]:
    """The parts of z with the most to say, and by which measure."""
    used = s.usage
    if used is None:
        return list(range(min(s.units[0], WALKS))), "lowest number"
    value, by = (
        (used.variance_of_means, "largest variance of the means") if used.kl is None else (used.kl, "highest KL")
    )
    return value.argsort(descending=True)[:WALKS].tolist(), f"{by}, highest first"


def at_work(s: Subject) -> Section | None:
    """KL (or the variance of the means) of each latent dimension, sorted."""
    used = s.usage
    if used is None or not s.dim or not s.model.has_evidence:  # the scale of a deterministic code says nothing
        return None
    value = used.variance_of_means if used.kl is None else used.kl
    order = value.argsort(descending=True).tolist()[:BARS]
    on = [used.variance_of_means[i].item() >= 0.01 for i in order]
    unit = "variance of E[z|x]" if used.kl is None else "nats per data point"
    n, name = s.units
    alt = f"{used.active} of {n} {name}s are active; the largest has {value.max():.2f} {unit}"
    content = charts.bars([value[i].item() for i in order], [str(i) for i in order], on, alt, unit)
    picture = Picture("usage.svg", content, alt)
    html = lede(_usage_sentence(s.units, used.active, used.kl)) + fitted(figure(picture), len(order))
    return Section("Who is at work in z", html, (picture,))


def _usage_sentence(units: tuple[int, str], active: int, kl: Tensor | None) -> str:
    dim, name = units
    what = (
        "how much each latent dimension's posterior mean varies over the rows (the posterior does not factorise, so "
        "there is no KL per dimension)"
        if kl is None
        else f"the KL from the prior that each {name} pays, sorted by it"
    )
    cut = f" The first {BARS} are shown." if dim > BARS else ""
    verdict = {0: "the decoder ignores z: the posterior has collapsed", dim: "all of them"}.get(
        active, "hollow ones are not"
    )
    rule = "Active: Var E[<i>z</i><sub>i</sub>|<i>x</i>] ≥ 0.01" + (
        ", summed over classes." if name == "variable" else "."
    )
    return f"<strong>{active} of {dim} active</strong> ({verdict}): {what}. {rule}{cut}"


def fitted(html: str, n: int) -> str:
    """Few bars stay small; many scroll sideways on a narrow screen."""
    width = f'style="max-width:{max(180, min(52 + 44 * n, 720))}px"'
    return f"<div {width}>{html}</div>" if n < 14 else f'<div class="scroll" {width}>{html}</div>'
