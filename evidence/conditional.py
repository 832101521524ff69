"""Evidence of what is conditioned on and what is missing: the conditional VAE, and imputation beside its closed form."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tools import kept, over_seeds, trained, write
from torch import Tensor

from logpx import recipes
from logpx.data import Data, from_array, load
from logpx.data.synthetic import LINEAR_NOISE, linear_gaussian, linear_parameters
from logpx.evaluate import batch_of, evidence, impute
from logpx.train import Run, fit

EPOCHS, ROWS, SAMPLES = 10, 1000, 500


# --- the label as context ---------------------------------------------------------------------------------------------


def conditional_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """log p(x | label) beside log p(x) on dynamically binarised MNIST: the same networks, the same budget."""
    seeds = seeds[:2]
    found: dict[str, list[dict[str, Any]]] = {"conditional_vae": [], "vae": []}
    for seed in seeds:
        for name, context in (("conditional_vae", "label"), ("vae", None)):
            data = load("mnist", protocol="dynamic", held_out=1000, context=context)
            method = recipes.RECIPES[name].build(data, latent=20, hidden=(400,), seed=seed)
            settings = {"epochs": EPOCHS, "batch_size": 128, "learning_rate": 1e-3, "seed": seed, "threads": threads}
            run = trained(work, f"conditional_{name}_{seed}", method, data, **settings)
            found[name].append(kept(work, f"conditional_{name}_{seed}_L", lambda r=run, d=data: _bound(r, d)))  # type: ignore
    ours = {name: [value["value"] for value in values] for name, values in found.items()}
    gains = [a - b for a, b in zip(ours["conditional_vae"], ours["vae"], strict=True)]
    value = {
        "recipe": "conditional_vae",
        "data": "dynamically binarised MNIST, 59,000 train, 1,000 held out, the first 1,000 test images",
        "settings": f"784(+10)-400-20(+10)-400-784, Adam 1e-3, batch 128, {EPOCHS} epochs "
        f"(shortened: 100 is usual); L_{SAMPLES}",
        "unit": "nats per image",
        f"log p(x|label): L_{SAMPLES}": over_seeds(ours["conditional_vae"]) | {"runs": found["conditional_vae"]},
        f"log p(x), no label: L_{SAMPLES}": over_seeds(ours["vae"]) | {"runs": found["vae"]},
        "gain, paired by seed": over_seeds(gains),
        "paper": None,
        "why no paper's number": "Sohn et al. 2015 (table 1) predict quadrants of MNIST from others, which is another task.",
        "what to expect": f"I(x; label) <= H(label) = log 10 = {math.log(10):.3f} nats bounds the gain of two perfect "
        "models; what exceeds it is that the conditional one fits better after as many epochs, not information in the label.",
    }
    write("conditional_vae", "python evidence/make.py conditional_vae --seeds " + " ".join(map(str, seeds)), value)


def _bound(run: Run, data: Data) -> dict[str, Any]:
    return evidence(run.model, batch_of(data.test, slice(0, ROWS)), samples=SAMPLES).summary()


# --- missing values ---------------------------------------------------------------------------------------------------


def missing(work: Path, seeds: list[int], threads: int | None) -> None:
    """A VAE trained on rows with holes: imputation beside the closed form, log p(x_obs) beside the exact one."""
    shares = (0.1, 0.3, 0.5)
    found = {
        str(share): [
            kept(work, f"missing_{share}_{seed}", lambda s=share, k=seed: _holes(s, k, threads)) for seed in seeds
        ]
        for share in shares
    }
    value = {
        "recipe": "vae",
        "data": "linear-Gaussian, 10 columns from 3 causes, 5,000 rows (4,000 train, 500 held out, 500 test); a share of the "
        "values is missing, completely at random, in training too",
        "settings": "10-64-3-64-10, gaussian with one learned sigma, Adam 1e-3, batch 128, 40 epochs; impute with 1,000 "
        "samples, L_1000",
        "unit": "nats per row for log p(x_obs); the data's own for root mean squared errors of what was missing",
        "share missing": {
            share: {name: over_seeds([run[name] for run in runs]) for name in runs[0]} for share, runs in found.items()
        },
        "paper": None,
        "why no paper's number": "the reference is the closed form E[x_mis | x_obs] of the law that made the data, which no "
        "method can beat in the mean.",
    }
    write("missing", "python evidence/make.py missing --seeds " + " ".join(map(str, seeds)), value)


def _holes(share: float, seed: int, threads: int | None) -> dict[str, float]:
    """Root mean squared errors over the holes of the test rows, and log p(x_obs), ours and exact."""
    x = linear_gaussian(5000, seed).x
    holes = np.random.RandomState(seed + 1000).rand(*x.shape) < share
    whole, data = (from_array(a, seed=seed) for a in (x, np.where(holes, np.nan, x)))
    method = recipes.vae(data, latent=3, hidden=(64,), seed=seed)
    run = fit(method, data, epochs=40, seed=seed, threads=threads, show=False)
    truth, seen = whole.test.x().double(), data.test.x().double()
    gone = seen.isnan()
    exact, log_p = closed_form(seen)
    columns = data.train.x().double().nanmean(0).expand_as(seen)
    made = impute(run.model, data.test, samples=1000, seed=seed).double()
    drawn = impute(run.model, data.test, samples=1000, draw=True, seed=seed).double()
    filled = {"column means": columns, "logpx impute": made, "logpx impute --draw": drawn, "closed form": exact}
    errors = {f"rmse, {name}": (x - truth)[gone].square().mean().sqrt().item() for name, x in filled.items()}
    bound = evidence(run.model, data.test, samples=1000, seed=seed).mean
    return errors | {"log p(x_obs): L_1000": bound, "log p(x_obs), exact": log_p.mean().item()}


def closed_form(x: Tensor) -> tuple[Tensor, Tensor]:
    """(x with its holes at E[x_mis | x_obs], log p(x_obs)) under N(mu, W W^T + s^2 I): the law of the rows."""
    W, mu = (torch.from_numpy(a) for a in linear_parameters())
    C = W @ W.T + LINEAR_NOISE**2 * torch.eye(len(W), dtype=torch.float64)
    filled, log_p = x.clone(), torch.zeros(len(x), dtype=torch.float64)
    for i, row in enumerate(x):
        o, m = ~row.isnan(), row.isnan()
        if not bool(o.any()):
            filled[i] = mu
            continue
        law = torch.distributions.MultivariateNormal(mu[o], C[o][:, o])
        log_p[i] = law.log_prob(row[o])
        filled[i, m] = mu[m] + C[m][:, o] @ torch.linalg.solve(C[o][:, o], row[o] - mu[o])
    return filled, log_p


MAKERS = (conditional_vae, missing)
