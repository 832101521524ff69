"""Evidence of the likelihoods: the same pixels, the same networks, another p(x|z)."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tools import estimate, kept, over_seeds, trained, write

from logpx import recipes
from logpx.data import Data, Split, load

LEVELS, PIXELS = 17, 64
SETTINGS: dict[str, Any] = {"epochs": 60, "batch_size": 50, "learning_rate": 1e-3}
OF_LEVELS = {
    "logistic": "mixture of five discretised logistics",
    "categorical": "a probability for each level",
    "negative_binomial": "counts; it also gives probability to numbers above 16",
}
DEQUANTISED = "gaussian, sigma shared, of (level + u)/17, u uniform on [0, 1)"


def likelihoods(work: Path, seeds: list[int], threads: int | None) -> None:
    """The 17 levels of scikit-learn's digits by laws on levels, and by a density of dequantised pixels."""
    data, found = load("digits", protocol="integer"), {}
    for name, words in OF_LEVELS.items():
        runs = [_bound(work, f"likelihoods_{name}_{seed}", data, name, seed, threads) for seed in seeds]
        found[f"{name}: {words}"] = _columns(runs, 0.0)
    noisy = [_bound(work, f"likelihoods_gaussian_{s}", _dequantised(data, s), "gaussian", s, threads) for s in seeds]
    found[f"{DEQUANTISED}: a lower bound on log P(level)"] = _columns(noisy, PIXELS * math.log(LEVELS))
    value = {
        "recipe": "vae",
        "data": data.note,
        "settings": "latent 10, one hidden layer of 200, Adam 1e-3, batch 50, 60 epochs, the best by held-out rows; L_500 "
        "of all test images",
        "unit": "nats per image, log-probability of the 64 levels; bits/dim = -nats/(64 log 2)",
        "comparable": "all rows: each is a bound on the log-probability of the same levels. The dequantised row is a "
        "density minus 64 log 17, which is below log P in expectation over u (Theis et al. 2016, arXiv:1511.01844, "
        "section 3.1); without that constant it would be in another unit, and grey scores or continuous_bernoulli in a third",
        "every level equally probable": {"nats": -PIXELS * math.log(LEVELS), "bits/dim": math.log2(LEVELS)},
        "L_500": found,
        "paper": None,
        "no paper": "no published table of these laws on these images is known",
    }
    command = "python evidence/make.py likelihoods --seeds " + " ".join(map(str, seeds))
    write("likelihoods", command, value)


def _bound(work: Path, name: str, data: Data, likelihood: str, seed: int, threads: int | None) -> float:
    """L_500 of the test images, nats per image."""
    method = recipes.vae(data, latent=10, hidden=(200,), likelihood=likelihood, seed=seed)
    run = trained(work, name, method, data, seed=seed, threads=threads, **SETTINGS)
    return kept(work, f"{name}_L500", lambda: estimate(run, data, 500))["value"]


def _columns(nats: list[float], to_levels: float) -> dict[str, Any]:
    levels = [value - to_levels for value in nats]
    return {"nats": over_seeds(levels), "bits/dim": over_seeds([-v / (PIXELS * math.log(2)) for v in levels])}


def _dequantised(data: Data, seed: int) -> Data:
    """The same images with uniform noise drawn once, as real numbers in [0, 1)."""
    generator = torch.Generator().manual_seed(seed)

    def noisy(split: Split) -> Split:
        x = split.x()
        return replace(split, rows=(x + torch.rand(x.shape, generator=generator)) / LEVELS)

    spec = data.spec._replace(kind="real", levels=None)
    splits = {name: noisy(getattr(data, name)) for name in ("train", "held_out", "test")}
    return replace(data, spec=spec, **splits)


MAKERS = (likelihoods,)
