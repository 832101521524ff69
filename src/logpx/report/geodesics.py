"""The sections about moving in z and about its parts (floor 8): walks along geodesics, between rows, KL by part."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from logpx.distributions import ProductOf, has_closed_kl, spaces
from logpx.evaluate.rows import PerPoint
from logpx.report import charts, pictures
from logpx.report.curved import file_of, first_mean, kind, normal_prior, title
from logpx.report.latents import WALK, WALKS, fitted
from logpx.report.page import Picture, Section, digits_for, figure, lede, number, table
from logpx.report.samples import to_unit
from logpx.subject import Subject

DRAWS = 32  # of each row, for a KL without a closed form
PAIRS, STEPS = 6, 9

# --- walks -----------------------------------------------------------------------------------------------------------


def walks(s: Subject) -> Section | None:
    """Pictures of a curved z: each direction of the frame at a row's posterior mean in turn, along its geodesic."""
    if s.is_euclidean or not s.is_image or sum(space.n for space in s.spaces) < 3:
        return None
    html = lede(
        f"In the middle of each line is the {s.centres[:-1]} of the first of the {s.rows}; the line follows the geodesic "
        "through it in one direction of the frame there."
    )
    made, left = [], 2 * WALKS
    for i, space in enumerate(s.spaces):
        n = min(space.n, WALKS, left)
        if n:
            picture, words = _walk(s, i, n)
            html += figure(picture, words, "" if i == 0 else "wide")
            made.append(picture)
            left -= n
    return Section("Walks through the latent space", html, tuple(made))


def _walk(s: Subject, i: int, n: int) -> tuple[Picture, str]:
    space = s.spaces[i]
    lengths, how = _lengths(s, i)
    m = space.of(first_mean(s))
    z = torch.stack([space.put(space.walk(m, j, lengths[j]), first_mean(s)) for j in range(n)])
    name = title(s, i)
    alt = f"Walks along {n} directions: {name}"
    content = pictures.tiled(to_unit(s, s.decode(z.flatten(0, 1))), WALK)
    which = f"{n} direction{'s' * (n > 1)}" if n == space.n else f"the first {n} of {space.n} directions"
    return Picture(file_of(s, "walks", i, "png"), content, alt), f"{name}: {which}, {how}."


def _lengths(s: Subject, i: int) -> tuple[Tensor, str]:
    """How far each direction is walked (n, WALK), and in words."""
    space, t = s.spaces[i], torch.linspace(-1, 1, WALK)
    if (known := normal_prior(s, i)) is not None and 3 * float(known[1].max()) < 0.9 * space.reach:
        return 3 * t * known[1].unsqueeze(-1), "±3 standard deviations of the prior"
    if space.kappa > 0:
        turn = (
            t * space.reach * (WALK - 1) / WALK
        )  # equal steps, and the step from the last to the first is one of them
        return turn.expand(space.n, -1), "once around in equal steps"
    v = space.towards(space.of(first_mean(s)), space.of(s.means))
    return 3 * t * v.std(0).unsqueeze(-1), "±3 standard deviations of the posterior means"


def between(s: Subject) -> Section | None:
    """Pictures: from the latent of one row to that of another, by the shortest way there is in the latent space."""
    n = min(PAIRS, len(s.x) // 2)
    if not s.is_image or not s.spaces or s.dim == 0 or n == 0:
        return None
    z, t = s.means[: 2 * n], torch.linspace(0, 1, STEPS)
    way = spaces.geodesic(s.spaces, z[::2], z[1::2], t).transpose(0, 1)  # (pairs, steps, D)
    context = None if s.batch.context is None else s.batch.context[: 2 * n : 2].repeat_interleave(STEPS, 0)
    made = s.decode(way.flatten(0, 1), context).unflatten(0, (n, STEPS))
    x = s.x[: 2 * n]
    lines = torch.cat([x[::2, None], made, x[1::2, None]], 1)
    what = "straight line" if s.is_euclidean else "geodesic"
    alt = f"{n} {what}s between the {s.centres} of two rows, decoded"
    content = pictures.tiled(to_unit(s, lines.flatten(0, 1)), STEPS + 2, ends=True)
    given = " The context is that of the first." if context is not None else ""
    html = lede(
        f"Left and right are two of the {s.rows}; between them {s.decoded_html} in {STEPS} equal steps along the {what} "
        f"from one {s.centres[:-1]} to the other.{given}"
    )
    picture = Picture("between.png", content, alt)
    return Section("From one row to another", html + figure(picture), (picture,))


# --- who is at work --------------------------------------------------------------------------------------------------


def at_work(s: Subject) -> Section | None:
    """Of a product of several spaces: the KL from the prior that each part pays."""
    if s.is_one_flat or len(s.spaces) < 2 or s.is_euclidean:
        return None
    found = kl_by_part(s.q, s.prior, s.seed)
    if found is None:
        return None
    kls = [PerPoint(kl) for kl, _ in found]
    values, errors = [k.mean for k in kls], [0.0 if math.isnan(k.standard_error) else k.standard_error for k in kls]
    names = [f"{i + 1}" for i in range(len(s.spaces))]
    alt = "; ".join(f"part {i + 1}: {_amount(v, e)} nats" for i, (v, e) in enumerate(zip(values, errors, strict=True)))
    drawn = charts.bars(values, names, [True] * len(names), alt, "nats per data point", errors)
    picture = Picture("usage.svg", drawn, alt)
    rows = [
        [f"{i + 1}", kind(space), number(space.kappa, 4) if space.kappa else "0", _amount(values[i], errors[i])]
        for i, space in enumerate(s.spaces)
    ]
    html = lede(
        f"The KL from the prior that each part of <i>z</i> pays, {_how(found)}: the mean over {len(kls[0].per_point):,} "
        f"{s.rows} and its standard error."
    )
    html += fitted(figure(picture), len(names)) + table(["part", "space", "κ", "nats per data point"], rows)
    return Section("Who is at work in z", html, (picture,))


def _amount(value: float, error: float) -> str:
    digits = min(digits_for(error), 3)
    return number(value, digits) + (f" ± {number(error, digits)}" if error else "")


def _how(found: list[tuple[Tensor, bool]]) -> str:
    closed = sum(is_closed for _, is_closed in found)
    sampled = f"from {DRAWS} draws of each row"
    if closed == len(found):
        return "in closed form"
    return sampled if not closed else f"in closed form or, where there is none, {sampled}"


def kl_by_part(q: Distribution, p: Distribution | None, seed: int) -> list[tuple[Tensor, bool]] | None:
    """KL(q_i || p_i) of each part, (B,) on the CPU in float64, and whether in closed form: else the mean over draws.

    None where the two laws are not products of the same parts.
    """
    if not isinstance(q, ProductOf) or not isinstance(p, ProductOf):
        return None
    parts = list(zip(spaces.parts_of(q), spaces.parts_of(p), strict=False))
    if any(a.event_shape != b.event_shape for a, b in parts):
        return None
    torch.manual_seed(seed)
    return [(_kl(a, b).double().cpu(), has_closed_kl(a, b)) for a, b in parts]


def _kl(q: Distribution, p: Distribution) -> Tensor:
    if has_closed_kl(q, p):
        return kl_divergence(q, p).expand(q.batch_shape)
    z = q.sample((DRAWS,))
    return (q.log_prob(z) - p.log_prob(z)).mean(0)
