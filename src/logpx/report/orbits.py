"""The section about learned orbits (floor 8): where operators carry the anchors of p(z), and what is decoded along the way."""

import math

import torch
from torch import Tensor

from logpx.distributions import Orbits
from logpx.maths.transport import transport
from logpx.report import charts, maps, pictures
from logpx.report.latents import points_sentence
from logpx.report.page import Picture, Section, figure, lede, number, side_by_side, table
from logpx.report.samples import to_unit
from logpx.subject import Subject

NOTABLE = 0.1  # of the longest operator's length
SHOWN, ORBITS, STEPS = 4, 8, 181  # operators, orbits of each, points of one
ROWS, ALONG = 4, 11  # orbits that are decoded, pictures of each


def orbits(s: Subject) -> Section | None:
    """Of each operator of notable length, the orbits of anchors among the codes, and pictures along them."""
    law = s.prior
    if not isinstance(law, Orbits):
        return None
    psi, anchors = (t.detach().cpu().float() for t in (law.around.psi, law.around.points))
    length = torch.linalg.matrix_norm(psi)
    order = length.argsort(descending=True).tolist()
    notable = [m for m in order if length[m] > NOTABLE * length.max()][:SHOWN]
    paths = {m: path(psi[m], anchors, 1 / law.around.rate) for m in notable}
    plots = [(_plot(s, m, paths[m]), _around(psi[m])) for m in notable]
    walks = [_walk(s, m, paths[m]) for m in notable] if s.is_image else []
    html = lede(_sentence(s, len(notable), len(psi)))
    html += charts.legend(s.labels, s.classes) if s.labels is not None else ""
    html += side_by_side(
        [figure(p, f"{_name(m)}: {words}", "scatter") for m, (p, words) in zip(notable, plots, strict=True)]
    )
    for m, picture in zip(notable, walks, strict=False):
        html += figure(
            picture, f"{_name(m)}: {s.decoded_html} along its orbits, an anchor a row, itself in the middle."
        )
    html += table(
        ["operator", "length |Ψ|", "eigenvalues"],
        [[_name(m), number(length[m].item(), 3), _values(psi[m])] for m in order],
    )
    return Section("Learned orbits", f'<div class="scatter">{html}</div>', (*(p for p, _ in plots), *walks))


def path(psi: Tensor, anchors: Tensor, scale: float) -> Tensor:
    """T(c) a along one operator, (N, STEPS, D), a in the middle: once around where Psi turns, else 3 scales of c each way."""
    re, im = _sizes(psi)
    c = torch.linspace(-1, 1, STEPS) * (math.pi / im if turns(re, im) else 3 * scale)
    return (transport(c[:, None], psi[None]) @ anchors[:, None, :, None]).squeeze(-1)


def _sizes(psi: Tensor) -> tuple[float, float]:
    """The largest real and the largest imaginary part of its eigenvalues, in size."""
    values = torch.linalg.eigvals(psi)
    return values.real.abs().max().item(), values.imag.abs().max().item()


def turns(re: float, im: float) -> bool:
    """Whether once around changes lengths by less than the factor exp(0.1 * 2 pi) = 1.9."""
    return re < 0.1 * im


def _plot(s: Subject, m: int, paths: Tensor) -> Picture:
    """The orbits in the first two coordinates of z, over the codes."""
    shown = paths[:ORBITS, :, :2]
    alt = f"Orbits of operator {m + 1} through {len(shown)} anchors, over the codes of {len(s.means):,} {s.rows}"
    ranges = charts.square_range(torch.cat([s.means[:, :2], paths[:, STEPS // 2, :2]]), 0.15)
    x, y = charts.square_axes(ranges)
    over = maps.lines(list(shown), x, y, "whisker")
    spots = shown[:, STEPS // 2].tolist()
    over += "".join(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="4.5" class="spot t"/>' for a, b in spots)
    axes = ("z0", "z1") if s.dim > 2 else ("", "")
    drawn = charts.cloud(s.means[:, :2], ranges, alt, labels=s.labels, names=s.classes, over=over, axes=axes)
    return Picture(f"orbits-{m + 1}.svg", drawn, alt)


def _walk(s: Subject, m: int, paths: Tensor) -> Picture:
    """E[x|z] along the orbits of a few anchors."""
    at = torch.linspace(0, STEPS - 1, ALONG).round().long()
    alt = f"{s.decoded} along the orbits of operator {m + 1} through {len(paths[:ROWS])} anchors"
    made = to_unit(s, s.decode(paths[:ROWS, at].flatten(0, 1)))
    return Picture(f"orbits-{m + 1}.png", pictures.tiled(made, ALONG), alt)


def _name(m: int) -> str:
    return f"Ψ<sub>{m + 1}</sub>"


def _around(psi: Tensor) -> str:
    """What its orbits are."""
    re, im = _sizes(psi)
    if turns(re, im):
        return f"it turns, |Re|/|Im| = {number(re / im, 3)}; orbits once around."
    kind = f"it spirals, |Re|/|Im| = {number(re / im, 3)}" if re < im else "it stretches and shrinks"
    return f"{kind}; orbits to three scales of <i>c</i> each way."


def _values(psi: Tensor) -> str:
    """Its eigenvalues, a conjugate pair once."""
    found = [complex(v) for v in torch.linalg.eigvals(psi).tolist()]
    kept = sorted((v for v in found if v.imag >= 0), key=abs, reverse=True)
    said = [number(v.real, 3) + (f" ± {number(v.imag, 3)} i" if v.imag else "") for v in kept[:5]]
    return ", ".join(said) + (", …" if len(kept) > 5 else "")


def _sentence(s: Subject, notable: int, operators: int) -> str:
    longest = f"the {notable} longest" if notable > 1 else "the longest"
    used = f"{longest} of {operators} operators" if operators > 1 else "the one operator"
    plane = ", in the first two coordinates" if s.dim > 2 else ""
    return (
        f"Lines are the orbits <i>T</i>(<i>c</i>) <i>a</i> of {used} through anchors <i>a</i> of <i>p</i>(<i>z</i>), the "
        f"larger dots{plane}. {points_sentence(s)} Operators that the model has no use for vanish."
    )
