"""The guides' pictures: closed forms, evidence/*.json, and small runs whose numbers docs/figures/measured.json keeps.

python docs/figures.py              draws docs/figures/*.svg
python docs/figures.py --measure    trains the small runs first (about two minutes) and keeps their numbers
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from figures_frame import BOTTOM, COLOURS, LEFT, RIGHT, TOP, Curve, chart, decades, frame, on_paper, spot, words

from logpx import maths
from logpx.report import charts
from logpx.report.charts import Axis, line, text
from logpx.report.page import Picture, number

DOCS = Path(__file__).parent
FOLDER = DOCS / "figures"
KEPT = FOLDER / "measured.json"


def evidence(name: str) -> dict[str, Any]:
    return json.loads((DOCS.parent / "evidence" / f"{name}.json").read_text())


def measured() -> dict[str, Any]:
    return json.loads(KEPT.read_text())


# --- which likelihood? -----------------------------------------------------------------------------------------------


def normaliser() -> Picture:
    """log C(lambda) of the continuous Bernoulli, which the cross-entropy leaves out."""
    lam = [i / 200 for i in range(1, 200)]
    logits = torch.tensor(lam, dtype=torch.float64).logit()
    missing = maths.continuous_bernoulli_log_norm(logits).tolist()
    x, y = frame((0, 1), (0, 2))
    curves = [
        Curve(list(zip(lam, missing, strict=True)), "continuous Bernoulli: log C(λ)", (0.3, 1.0)),
        Curve([(0, 0), (1, 0)], "cross-entropy: leaves it out", (0.3, 0.06)),
    ]
    alt = (
        "log of the normaliser of the continuous Bernoulli against lambda: log 2 = 0.69 nats a pixel at lambda = 1/2, "
        f"{missing[1]:.2f} at 0.01, without bound towards 0 and 1; the cross-entropy has 0 everywhere"
    )
    return chart("normaliser", curves, x, y, "nats a pixel", "λ = sigmoid of the decoder's logit", alt,
                 charts.bottom_axis(x, y))  # fmt: skip


def tails() -> Picture:
    """How hard one value pulls at the mean that the decoder gives, |d log p / d m|, scale 1."""
    r = [i / 20 for i in range(161)]
    nu = 5
    x, y = frame((0, 8), (0, 4.5))
    curves = [
        Curve([(v, v) for v in r if v <= 4.5], "gaussian: without limit", (4.6, 4.2)),
        Curve([(v, 1.0) for v in r], "laplace: always the same", (5.4, 1.12)),
        Curve([(v, (nu + 1) * v / (nu + v * v)) for v in r], "student_t: far values let go", (4.9, 0.3)),
    ]
    alt = "Pull of a residual on the mean: proportional for gaussian, constant for laplace, rising and falling for student_t"
    return chart("tails", curves, x, y, "pull on the mean, |∂ log p(x|z) / ∂m|", "residual |x − m|, in units of sigma", alt,
                 charts.bottom_axis(x, y))  # fmt: skip


def sigma() -> Picture:
    """-log p per number under a normal law of variance s2 where the mean squared error is what the digits leave."""
    error = measured()["sigma"]["squared error"]
    logs = [-2.5 + i / 50 for i in range(176)]
    x, y = frame((-2.5, 1), (-1, 3.2))

    def cost(s2: float) -> float:
        return 0.5 * (error / s2 + math.log(2 * math.pi * s2))

    body = decades(x, y, (0.01, 0.1, 1, 10)) + line(x(math.log10(error)), y.start, x(math.log10(error)), y.end, "guide")
    curve = Curve([(v, cost(10**v)) for v in logs if cost(10**v) < 3.2], "", (0, 0))
    made = chart("sigma", [curve], x, y, "−log p(x|z), nats a number", "sigma²",
                 f"Cost of a number against sigma squared: least, {cost(error):.2f}, where sigma squared is the mean squared "
                 f"error {error:.4f}; {cost(0.5):.2f} at 1/2 and {cost(1.0):.2f} at 1", body)  # fmt: skip
    marks = [
        (error, f"optimal: the squared error, {error:.3f}", -0.4),
        (0.5, "1/2: plain squared error", -0.35),
        (1.0, "1: half of it", -0.25),
    ]
    over = "".join(
        spot(math.log10(s2), cost(s2), x, y, COLOURS[1]) + words((math.log10(s2) + 0.06, cost(s2) + up), name, x, y)
        for s2, name, up in marks
    )
    return made._replace(content=str(made.content).replace("</svg>", f"{over}</svg>"))


def levels() -> Picture:
    """Bits per dimension of the digits' 17 levels by four laws."""
    found = evidence("likelihoods")
    rows = [(name.split(":")[0].split(",")[0], v["bits/dim"]) for name, v in found["L_500"].items()]
    names = {"gaussian": "gaussian of level + noise"}
    bars = [(names.get(name, name), v["mean"], v["standard_error"]) for name, v in rows]
    bars.append(("every level equally probable", found["every level equally probable"]["bits/dim"], 0.0))
    x = Axis(0, 4.4, 190, RIGHT)
    body = text(0, 13, "bits/dim of log P(levels), less is better", "name")
    for i, (name, mean, error) in enumerate(bars):
        top = 30 + 30 * i
        body += text(182, top + 14, name, "end")
        body += f'<rect x="190" y="{top}" width="{x(mean) - 190:.1f}" height="19" class="bar{" off" if not error else ""}"/>'
        body += text(x(mean) + 8, top + 14, f"{mean:.2f}" + (f" ± {error:.2f}" if error >= 0.005 else ""), "value")
    said = "; ".join(f"{name} {mean:.2f}" for name, mean, _ in bars)
    return on_paper("levels", RIGHT + 60, 190, body, f"Bits per dimension of the digits' levels: {said}")


# --- read your numbers -----------------------------------------------------------------------------------------------


def bound() -> Picture:
    """L_k of a linear VAE with a spoilt encoder climbs to the log p(x) that is known."""
    found = measured()["bound"]
    x = Axis(0, math.log10(found["k"][-1]), LEFT, RIGHT)
    y = Axis(min(found["L_k"]) - 0.15, found["log p(x)"] + 0.2, BOTTOM, TOP)
    points = [(math.log10(k), v) for k, v in zip(found["k"], found["L_k"], strict=True)]
    exact, elbo = found["log p(x)"], found["L_k"][0]
    body = decades(x, y, (1, 10, 100, 1000)) + line(x.start, y(exact), x.end, y(exact), "guide")
    body += "".join(spot(a, b, x, y, COLOURS[0]) for a, b in points)
    body += words((0.06, exact + 0.05), f"log p(x), exact: {number(exact)}", x, y)
    body += words((0.12, elbo - 0.02), f"L_1 = ELBO: {number(elbo)}", x, y)
    body += words(
        (x.hi - 0.05, found["L_k"][-1] - 0.42), f"L_{found['k'][-1]}: {number(found['L_k'][-1])}", x, y, kind="end"
    )
    alt = f"L_k of 1,000 rows rises from {elbo:.2f} at k = 1 to {found['L_k'][-1]:.2f} at k = 1000; log p(x) is {exact:.2f}"
    return chart("bound", [Curve(points, "", (0, 0))], x, y, "nats per data point", "k, draws of z per row", alt, body)


# --- my VAE collapsed ------------------------------------------------------------------------------------------------


def latents() -> Picture:
    """KL_i of the ten latents, before and after."""
    found, body = measured()["sigma"], ""
    y = Axis(0, 2, 190, 34)
    for i, (name, run) in enumerate((("σ fixed at 1: collapsed", "fixed"), ("σ optimal: alive", "optimal"))):
        left = LEFT + 270 * i
        x = Axis(0, 10, left, left + 240)
        body += (
            text(left, 13, name, "name") + charts.left_axis(y, x, 2) + line(x.start, y.start, x.end, y.start, "axis")
        )
        for j, kl in enumerate(found[run]["KL_i"]):
            body += f'<rect x="{x(j) + 3:.1f}" y="{y(kl):.1f}" width="18" height="{190 - y(kl):.1f}" class="bar"/>'
            body += text(x(j) + 12, 206, f"z{j}", "middle")
    body += text(0, 230, "KL(q(z_i|x) || p(z_i)) of each latent, nats; the same data, network, seed and epochs")
    sums = [sum(found[run]["KL_i"]) for run in ("fixed", "optimal")]
    return on_paper(
        "latents", RIGHT + 20, 234, body, f"KL of ten latents: {sums[0]:.2f} nats in all, and {sums[1]:.2f}"
    )


def beta() -> Picture:
    """Active units and nats of KL against beta."""
    rows = measured()["beta"]
    values = sorted({row["beta"] for row in rows})
    x = Axis(math.log10(0.22), math.log10(4.6), LEFT, RIGHT)
    y = Axis(0, 14, BOTTOM, TOP)

    def mean(name: str) -> list[tuple[float, float]]:
        of = {b: [row[name] for row in rows if row["beta"] == b] for b in values}
        return [(math.log10(b), sum(v) / len(v)) for b, v in of.items()]

    body = decades(x, y, values)
    for row in rows:
        body += spot(math.log10(row["beta"]), row["kl"], x, y, COLOURS[0], 2.6)
        body += spot(math.log10(row["beta"]), row["active"], x, y, COLOURS[1], 2.6)
    curves = [
        Curve(mean("kl"), "KL, nats", (math.log10(0.29), 12.8)),
        Curve(mean("active"), "active latents, of 10", (math.log10(1.75), 7.6)),
    ]
    alt = "; ".join(f"beta {10**b:g}: KL {kl:.1f} nats" for b, kl in mean("kl"))
    return chart("beta", curves, x, y, "beta_vae on binarised digits, three seeds", "beta", alt, body)


def live() -> Picture:
    """How many latents a linear VAE of the digits keeps at each sigma^2."""
    found = measured()["eigenvalues"]
    logs = sorted({math.log10(v) for v in found if v > 1e-3})
    steps, count = [(-3.0, float(sum(v > 1e-3 for v in found)))], float(sum(v > 1e-3 for v in found))
    for at in logs:
        steps += [(at, count), (at, count - 1)]
        count -= 1
    x, y = frame((-3, 0.6), (0, 62))
    body = decades(x, y, (0.001, 0.01, 0.1, 1))
    made = chart("live", [Curve([*steps, (0.6, 0)], "", (0, 0))], x, y, "latents that can live", "sigma²",
                 "Number of eigenvalues of the digits above sigma squared: "
                 + ", ".join(f"{sum(v > s for v in found)} at {s:g}" for s in (0.01, 0.1, 0.5, 1)), body)  # fmt: skip
    over = ""
    for s2, up in ((1.0, 5), (0.5, 8), (0.1, 4), (0.01, 4)):
        n = sum(v > s2 for v in found)
        over += spot(math.log10(s2), n, x, y, COLOURS[1])
        over += words((math.log10(s2) + 0.04, n + up), f"{n} at σ² = {s2:g}", x, y)
    return made._replace(content=str(made.content).replace("</svg>", f"{over}</svg>"))


# --- latent spaces with curvature ------------------------------------------------------------------------------------


def tree() -> Picture:
    """The 127 nodes of a binary tree, each where the encoder puts the mean of its rows, in the plane and in the disk."""
    found, body = measured()["tree"], ""
    for i, (name, where) in enumerate((("flat", "in the plane"), ("ball", "in the Poincaré disk"))):
        nodes, edge = found[name]["nodes"], found[name]["edge"]
        left = 296 * i
        x, y = Axis(-edge, edge, left, left + 270), Axis(-edge, edge, 300, 30)
        body += text(left, 13, f"{where}: {number(found[name]['L_500'], 2)} nats", "name")
        if name == "ball":
            body += f'<circle cx="{x(0):.1f}" cy="{y(0):.1f}" r="{x(found[name]["radius"]) - x(0):.1f}" class="axis"/>'
        ends = ((nodes[(k - 1) // 2], nodes[k]) for k in range(1, len(nodes)))
        body += "".join(line(x(a[0]), y(a[1]), x(b[0]), y(b[1]), "axis") for a, b in ends)
        for k, (a, b) in enumerate(nodes):
            depth = (k + 1).bit_length() - 1
            body += (
                f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="{5 - 0.5 * depth:g}" class="spot" '
                f'style="stroke-width: .5; fill: color-mix(in oklab, #e76300 {100 - 16 * depth}%, #0a63c2)"/>'
            )
    alt = "A binary tree of depth 6 in two dimensions: in the plane its leaves crowd, in the disk they spread along the rim"
    return on_paper("tree", 566, 306, body, alt)


def curvature() -> Picture:
    """L_500 of the tree against the curvature of the disk."""
    models = evidence("poincare_tree")["models"]
    rows = [
        (float(name.removeprefix("c = ")), v["L_500"])
        for name, v in models.items()
        if name[:4] == "c = " and "," not in name
    ]
    rows.sort(key=lambda row: row[0])
    limit = next(v["L_500"] for name, v in models.items() if "flat limit" in name)
    points = [(0.0, limit["mean"]), *((c, v["mean"]) for c, v in rows)]
    errors = [limit["standard_error"], *(v["standard_error"] for _, v in rows)]
    x, y = frame((-0.03, 1.3), (-58.1, -55.7))
    body, flat = charts.bottom_axis(x, y), models["N"]["L_500"]
    body += line(x.start, y(flat["mean"]), x.end, y(flat["mean"]), "guide")
    for (c, mean), error in zip(points, errors, strict=True):
        body += line(x(c), y(mean - error), x(c), y(mean + error), "whisker") + spot(c, mean, x, y, COLOURS[0])
    body += words((0.42, flat["mean"] + 0.06), f"vae in the plane: {number(flat['mean'])}", x, y)
    curves = [Curve(points, "poincare_vae, three trees", (0.16, -56.2))]
    alt = "L_500 of a tree against the curvature: " + "; ".join(f"{c:g}: {mean:.2f}" for c, mean in points)
    return chart("curvature", curves, x, y, "L_500, nats per row", "curvature c of the disk (−c)", alt, body)


PICTURES = (normaliser, tails, sigma, levels, bound, latents, beta, live, tree, curvature)

if __name__ == "__main__":
    if "--measure" in sys.argv:
        from figures_measure import measure

        KEPT.write_text(json.dumps(measure(), indent=1) + "\n")
    for make in PICTURES:
        picture = make()
        (FOLDER / picture.file).write_bytes(picture.as_bytes())
