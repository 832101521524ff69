"""Evidence of learned latent structure: which group the operators find."""

from pathlib import Path
from typing import Any

import torch
from tools import over_seeds, trained, write

from logpx import recipes
from logpx.data import load
from logpx.evaluate import expected_terms

SETTINGS = {"epochs": 25, "batch_size": 50, "learning_rate": 3e-3, "schedule": "cosine"}
OPTIONS: dict[str, Any] = {"hidden": (64,), "sigma": 0.1, "pace": 15.0, "warmup": 200, "iterations": 4}


def vaells(work: Path, seeds: list[int], threads: int | None) -> None:
    """Two concentric circles in ten dimensions, on which a rotation is the one group that there is."""
    reconstruction, ratio, second, spread = [], [], [], []
    lengths, eigenvalues = [], []
    for seed in seeds:
        data = load("circles", seed=seed, held_out=200, test=7800)
        method = recipes.vaells(data, seed=seed, **OPTIONS)
        run = trained(work, f"vaells_{seed}", method, data, seed=seed, threads=threads, show=False, **SETTINGS)
        rows = data.test.batch(slice(0, 2000))
        reconstruction.append(-expected_terms(run.method.objective, run.model, rows)["reconstruction"])
        found, psi = run.model.posterior.operators.by_length()  # type: ignore[union-attr, operator]
        turn = torch.linalg.eigvals(psi[0])
        ratio.append((turn.real.abs().max() / turn.imag.abs().max()).item())
        second.append((found[1] / found[0]).item())
        lengths.append([round(value, 4) for value in found.tolist()])
        eigenvalues.append(f"{turn[0].real.item():.4f} +- {turn[0].imag.abs().item():.4f} i")
        radius, which = run.model.encode(rows).mean.norm(dim=1), data.test.labels[:2000]
        spread.append(max((radius[which == k].std() / radius[which == k].mean()).item() for k in (0, 1)))
    value = {
        "recipe": "vaells",
        "data": "circles: radii 1 and 2 in R^10 by an isometry, N(0, 0.1^2) noise; 2,000 rows trained on, 200 held out, 2,000 "
        "test rows; each seed other rows",
        "settings": "10-64-2-64-10, sigma 0.1, M = 4 operators, 10 anchors; Adam 3e-3 (operators 0.045) along half a cosine, "
        "batch 50, 25 epochs, warm-up 200 steps; rates 100 and 2, noise 0.1 and 0.3, eta 2, R 5. Published: z 2, M 4, weights "
        ".01 1 1 1 .01 and eta .01, which over the first are rates 100 and 1, noise 0.1 and 0.1, eta 1 with sigma 1; Adam 1e-4 "
        "(operators 4e-4)",
        "unit": "nats per data point: E log p(x|z), which is no evidence; the rest has no unit",
        "E log p(x|z), test": over_seeds(reconstruction),
        "longest operator, |Re|/|Im| of its eigenvalues": over_seeds(ratio),
        "second longest over longest": over_seeds(second),
        "lengths |Psi_m|, by seed": lengths,
        "eigenvalues of the longest, by seed": eigenvalues,
        "codes, std of the radius over its mean, the worse circle": over_seeds(spread),
        "paper": "on concentric circles one operator dominates, and it is a rotation (Connor et al. 2021, section 4); "
        "no table of numbers",
    }
    write("vaells", "python evidence/make.py vaells --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (vaells,)
