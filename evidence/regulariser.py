"""Evidence of what a regulariser's strength is: the multiplier of a constraint, in a soft-margin SVM and in two VAEs."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tools import kept, over_seeds, write

from logpx import recipes
from logpx.data import Data, load
from logpx.evaluate import rate_distortion
from logpx.train import Method, Run, sweep

# --- soft-margin SVM: min 1/2 |w|^2 + C sum xi -----------------------------------------------------------------------

STRENGTHS = [10 ** (k / 4) for k in range(-10, 1)]  # above 1.2 the slack of these points falls no further


def toy() -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping normal laws in the plane, 60 points each, y = -1 and 1."""
    random = np.random.RandomState(0)
    x = random.randn(120, 2) + np.outer(np.repeat([-1.0, 1.0], 60), [1.1, 0.4])
    return x, np.repeat([-1.0, 1.0], 60)


def svm(C: float) -> dict[str, float]:
    """1/2 |w|^2, the slack sum xi, and what duality says of them: alpha <= C, and a gap of 0 between primal and dual."""
    from sklearn.svm import SVC

    x, y = toy()
    found = SVC(kernel="linear", C=C, tol=1e-9).fit(x, y)
    w, b, alpha = found.coef_[0], found.intercept_[0], np.abs(found.dual_coef_[0])
    slack = np.maximum(0, 1 - y * (x @ w + b)).sum()
    half = w @ w / 2
    gap = half + C * slack - (alpha.sum() - half)
    return {
        "C": C,
        "half |w|^2": half,
        "slack": slack,
        "largest alpha / C": alpha.max() / C,
        "relative gap": gap / (C * slack),
    }


def envelope(C: float, h: float = 1e-3) -> float:
    """dP/dC by central differences over sum xi, P the least value of 1/2 |w|^2 + C sum xi; 1 by the envelope theorem."""
    least = [one["half |w|^2"] + one["C"] * one["slack"] for one in (svm(C * (1 - h)), svm(C * (1 + h)))]
    return (least[1] - least[0]) / (2 * h * C) / svm(C)["slack"]


def svm_of_slack(target: float, rounds: int = 400) -> float:
    """The C at which sum xi is the target, by the dual ascent of `constrained_vae`: C rises while the slack is too large."""
    log_c = 0.0
    for _ in range(rounds):
        log_c += 0.5 * np.clip(svm(math.exp(log_c))["slack"] / target - 1, -1, 1)
    return math.exp(log_c)


def _svm() -> dict[str, Any]:
    rows = [svm(C) for C in STRENGTHS]
    slopes = [_slope(a["slack"], a["half |w|^2"], b["slack"], b["half |w|^2"]) for a, b in pairwise(rows)]
    inside = [a["C"] <= slope <= b["C"] for slope, (a, b) in zip(slopes, pairwise(rows), strict=True)]
    found = [svm_of_slack(row["slack"]) for row in rows[2:-1:2]]
    return {
        "rows": rows,
        "largest alpha / C": max(row["largest alpha / C"] for row in rows),
        "largest relative gap between primal and dual": max(abs(row["relative gap"]) for row in rows),
        "largest |dP/dC / sum xi - 1|": max(abs(envelope(C) - 1) for C in STRENGTHS[1:-1]),
        "secant slopes between their two C": f"{sum(inside)} of {len(inside)}",
        "C of the target": [row["C"] for row in rows[2:-1:2]],
        "C by dual ascent": found,
        "slack there over the target": [
            svm(C)["slack"] / row["slack"] for C, row in zip(found, rows[2:-1:2], strict=True)
        ],
    }


def _slope(rate: float, cost: float, next_rate: float, next_cost: float) -> float:
    return -(next_cost - cost) / (next_rate - rate)


# --- VAEs: min D + beta R, and min D subject to R <= eps --------------------------------------------------------------

BETAS = [0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0]
CONSTRAINED = [0.71, 1.0, 1.41, 2.0, 2.83]
NETWORK: dict[str, Any] = {"latent": 6, "hidden": (64,), "likelihood": "gaussian", "sigma": 0.25}
SETTINGS: dict[str, Any] = {"epochs": 600, "batch_size": 100, "learning_rate": 2e-3, "schedule": "cosine"}


def _trained(methods: list[Method], data: Data, threads: int | None) -> list[dict[str, float]]:
    runs = sweep(methods, data, threads=threads, show=False, **SETTINGS)
    return [_point(run, data) for run in runs]


def _point(run: Run, data: Data, draws: int = 40) -> dict[str, float]:
    """R and D of the training rows, D over so many draws of z, and the multiplier of the last epoch, where there is one."""
    found = [rate_distortion(run.model, data.train, seed=seed) for seed in range(draws)]
    point = {"rate": found[0].rate.mean, "distortion": sum(one.distortion.mean for one in found) / draws}
    return point | {name: run.rows[-1]["train"][name] for name in ("multiplier",) if name in run.rows[-1]["train"]}


def regulariser(work: Path, seeds: list[int], threads: int | None) -> None:
    """Curves of a soft-margin SVM, of beta-VAEs and of constrained VAEs, and their multipliers against their slopes."""
    data = load("digits", protocol="grey", held_out=0, test=0.2)

    def weighed() -> dict[str, Any]:
        methods = [recipes.beta_vae(data, beta=b, seed=s, **NETWORK) for b in BETAS for s in seeds]
        return {"points": _trained(methods, data, threads)}

    points = kept(work, "regulariser_beta", weighed)["points"]
    curve = {b: points[i * len(seeds) : (i + 1) * len(seeds)] for i, b in enumerate(BETAS)}
    found = {}
    for b in CONSTRAINED:

        def held(b: float = b) -> dict[str, Any]:
            goals = [p["rate"] for p in curve[b]]
            methods = [
                recipes.constrained_vae(data, eps=g, seed=s, **NETWORK) for g, s in zip(goals, seeds, strict=True)
            ]
            return {"points": _trained(methods, data, threads)}

        found[b] = kept(work, f"regulariser_eps_{b}", held)["points"]
    write(
        "regulariser", "python evidence/make.py regulariser --seeds " + " ".join(map(str, seeds)), _value(curve, found)
    )


def _value(curve: dict[float, list[dict[str, float]]], held: dict[float, list[dict[str, float]]]) -> dict[str, Any]:
    return {
        "recipe": "beta_vae, constrained_vae",
        "data": "digits, grey, the 1,438 training rows; for the SVM two normal laws in the plane, 60 points each",
        "settings": "64-64-6-64-64, Gaussian of sigma = 0.25, Adam 2e-3 along a cosine, batch 100, 600 epochs, the last one; "
        "eps is the KL that beta left with the same seed; D over 40 draws",
        "unit": "nats per data point",
        "svm": _svm(),
        "beta": {f"{b:g}": _over(curve[b]) for b in curve},
        "slope -dD/dR between neighbouring betas": {
            f"{a:g} to {b:g}": over_seeds([_slope(*_rd(p), *_rd(q)) for p, q in zip(curve[a], curve[b], strict=True)])
            for a, b in pairwise(curve)
        },
        "multiplier at eps over the beta that left that KL": {
            f"{b:g}": over_seeds([p["multiplier"] / b for p in held[b]]) for b in held
        },
        "eps": {f"{b:g}": _over(held[b]) for b in held},
        "paper": None,
    }


def _rd(point: dict[str, float]) -> tuple[float, float]:
    return point["rate"], point["distortion"]


def _over(points: list[dict[str, float]]) -> dict[str, Any]:
    return {name: over_seeds([point[name] for point in points]) for name in points[0]}


MAKERS = (regulariser,)
