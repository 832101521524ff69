"""What the picture of a recipe shows: most are the report's own, a few are drawn here.

A drawing is a function of the report's Subject that returns a Picture.
"""

import re
from collections.abc import Callable
from functools import partial
from html import unescape
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from logpx.networks.noise import Corrupted
from logpx.report import charts, curved, discrete, latents, orbits, pictures, samples, sides, summary
from logpx.report.page import Picture, Section
from logpx.samples import Words, sentences
from logpx.subject import Subject

Drawing = Callable[[Subject], Picture]
Sections = Callable[[Subject], Section | None]
SIDE = 14  # of the grid over a plane


def shown(section: Sections, file: str, s: Subject) -> Picture:
    """The picture of that name, or the first whose name begins so, in a section of the report."""
    made = section(s)
    assert made, f"the report has no section that holds {file}"
    return next(picture for picture in made.pictures if picture.file.startswith(file))


def of(section: Sections, file: str) -> Drawing:
    return partial(shown, section, file)


plane = of(latents.plane, "latents.svg")
walks = of(latents.walks, "walks.png")
at_work = of(latents.at_work, "usage.svg")
means = of(samples.samples, "samples-means.png")
draws = of(samples.samples, "samples.png")
rows_twice = of(samples.reconstructions, "reconstructions.png")
rise = of(sides.evidence, "evidence.svg")
classes = of(discrete.classes, "classes.png")
orbit = of(orbits.orbits, "orbits-")
curved_map = of(curved.latent_maps, "latents.svg")


def terms(*names: str) -> Drawing:
    """Terms of the objective over the epochs, side by side."""

    def draw(s: Subject) -> Picture:
        return abreast([shown(summary.training, f"{name}.svg", s) for name in names], "terms.svg", 332, 196)

    return draw


def decoded_plane(s: Subject) -> Picture:
    """E[x|z] over the quantiles of N(0, I) in two dimensions."""
    at = Normal(0.0, 1.0).icdf((torch.arange(SIDE) + 0.5) / SIDE)
    z = torch.stack([at.repeat(SIDE), at.flip(0).repeat_interleave(SIDE)], 1)
    alt = f"E[x|z] on a grid of {SIDE} by {SIDE} latents"
    return Picture("decoded.png", pictures.tiled(s.decode(z), SIDE, gap=0, tile=28), alt)


def by_legend(s: Subject) -> Picture:
    """The map of a curved plane with its classes named below it, where names among the points would say little."""
    picture = shown(curved.latent_maps, "latents.svg", s)
    body = re.sub(r'<text[^>]*class="label".*?</text>', "", str(picture.content))
    step = 440 / len(s.classes)
    named = "".join(
        f'<circle cx="{8 + i * step:.1f}" cy="456" r="4" class="k{i}" style="fill:var(--k)"/>'
        + charts.text(16 + i * step, 460, name)
        for i, name in enumerate(s.classes)
    )
    body = re.sub(r'viewBox="0 0 (\S+) (\S+)"', r'viewBox="0 0 \1 468"', body, count=1)
    return Picture(picture.file, body.replace("</svg>", f"{named}</svg>"), picture.alt)


def densities(s: Subject) -> Picture:
    """The model's density beside that of the law that made the data."""
    made = samples.density(s)
    assert made
    return abreast(list(made.pictures), "density.svg")


def parts(s: Subject) -> Picture:
    """The map of each part of a product of spaces, side by side."""
    made = curved.latent_maps(s)
    assert made
    return abreast([p for p in made.pictures if p.file.startswith("latents-")], "latents.svg")


def abreast(shown: list[Picture], file: str, width: int = 446, height: int = 446) -> Picture:
    """Charts in a row, each in a square of its own."""
    inside = ""
    for i, picture in enumerate(shown):
        assert isinstance(picture.content, str)
        place = f'<svg x="{i * (width + 24)}" y="0" width="{width}" height="{height}" '
        inside += picture.content.replace("<svg ", place, 1)
    total, alt = len(shown) * (width + 24) - 24, ". ".join(map(spoken, shown))
    return Picture(file, charts.svg(total, height, inside, alt), alt)


def spoken(picture: Picture) -> str:
    """What a screen reader says of it: a chart's own label, which is fuller than the name that a report gives it."""
    label = re.search(r'aria-label="([^"]*)"', picture.content) if isinstance(picture.content, str) else None
    return unescape(label[1]) if label else picture.alt


def cleaned(s: Subject) -> Picture:
    """Rows, the same with noise, and what the autoencoder makes of the noisy ones."""
    noisy = next(m for m in s.model.modules() if isinstance(m, Corrupted))
    x = s.x[:10]
    torch.manual_seed(s.seed)
    seen = noisy.noise(x)
    made = s.decode(s.encode(s.batch.map(lambda t: t[:10])._replace(x=seen)).mean)
    return _lines([x, seen, made], "rows, rows with noise, and their reconstructions, line by line")


def _lines(lines: list[Tensor], alt: str, columns: int = 10) -> Picture:
    return Picture("lines.png", pictures.tiled(torch.cat(lines), columns, tile=56), alt)


def atoms(s: Subject) -> Picture:
    """The columns of the dictionary, most used first, each scaled by its own largest element, 0 in the middle grey."""
    used = s.means.abs().mean(0).argsort(descending=True)
    made = F.normalize(s.model.decoder.atoms.detach(), dim=0).T[used]  # type: ignore[union-attr]
    made = made / made.abs().amax(1, keepdim=True)
    return _lines([made.view(-1, *s.data.shape) / 2 + 0.5], "atoms of the dictionary, most used first", 16)


def pseudo_inputs(s: Subject) -> Picture:
    """The inputs whose posteriors make the prior."""
    return _lines([s.model.prior.pseudo_inputs.detach().cpu()], "pseudo-inputs of the prior")  # type: ignore[union-attr]


def noise_of_columns(s: Subject) -> Picture:
    """The standard deviation of each column's own noise."""
    sigma = s.model.likelihood.log_sigma.detach().exp().flatten()  # type: ignore[union-attr]
    names = [str(i) for i in range(len(sigma))]
    alt = f"Standard deviation of the noise of each of {len(sigma)} columns"
    return Picture("noise.svg", charts.bars(sigma.tolist(), names, [True] * len(names), alt, "sqrt(psi)"), alt)


def written(s: Subject) -> Picture:
    """Sentences of the data beside sentences that the model makes up."""
    torch.manual_seed(s.seed)
    made = s.model.sample(10)[1].sample()
    words = Words.of(s.data.describe())
    columns = {"test rows": sentences(s.x[:10], words), "samples": sentences(made, words)}
    body, step = "", 19
    for at, (head, lines) in zip((8, 328), columns.items(), strict=True):
        body += charts.text(at, 18, head, "name")
        body += "".join(
            charts.text(at, 18 + step * (i + 1), line or "(empty)", "value") for i, line in enumerate(lines)
        )
    alt = "; ".join(f"{head}: {lines[0]}" for head, lines in columns.items())
    return Picture("written.svg", charts.svg(640, 30 + step * 10, body, alt), "Sentences of the data and of the model")


def rows_only(data: Any, n: int) -> Any:
    """The data with their first n test rows."""
    from dataclasses import replace

    cut = {
        name: value[:n]
        for name in ("rows", "labels", "context", "factors")
        if (value := getattr(data.test, name)) is not None
    }
    return replace(data, test=replace(data.test, **cut))
