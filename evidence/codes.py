"""Evidence of the autoencoders with a deterministic code."""

import math
from pathlib import Path
from typing import Any

import torch
from tools import over_seeds, trained, write

from logpx import recipes
from logpx.data import Data, from_array, load
from logpx.evaluate import code_evidence, expected_terms

SETTINGS = {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3}
NETWORK = {"latent": 16, "hidden": (128,)}
WORDS = (
    "64-128-16-128-64, Adam 1e-3, batch 64, 30 epochs; a short schedule of ours, the paper's data and tasks are others"
)
PAPER = "its tables are classification errors and filters, in other units than nats"


def _measured(
    work: Path, name: str, data: Data, seeds: list[int], threads: int | None, **options: Any
) -> dict[str, Any]:
    """E log p(x|z) of the test rows and log p(z) of their codes, over seeds."""
    reconstruction, codes = [], []
    for seed in seeds:
        method = getattr(recipes, name)(data, density="mixture", seed=seed, **options)
        label = "_".join([name, *(str(v) for v in options.values() if isinstance(v, str)), str(seed)])
        run = trained(work, label, method, data, seed=seed, threads=threads, show=False, **SETTINGS)
        reconstruction.append(-expected_terms(run.method.objective, run.model, data.test)["reconstruction"])
        codes.append(code_evidence(run.model, data.test).mean)
    return {"E log p(x|z), test": over_seeds(reconstruction), "log p(z) of the codes, test": over_seeds(codes)}


def _write(name: str, seeds: list[int], data: Data, settings: str, found: dict[str, Any], paper: str = PAPER) -> None:
    value = {
        "recipe": name,
        "data": data.note,
        "settings": settings,
        "unit": "nats per image: E log p(x|z) of a continuous Bernoulli, which is no evidence of x, and the log-density of "
        "codes under a mixture of 10 normal laws fitted to those of the training rows",
        **found,
        "paper": None,
        "why no number of the paper's": paper,
    }
    write(name, f"python evidence/make.py {name} --seeds " + " ".join(map(str, seeds)), value)


def ae(work: Path, seeds: list[int], threads: int | None) -> None:
    """The plain autoencoder on the digits."""
    data = load("digits")
    found = _measured(work, "ae", data, seeds, threads, **NETWORK)
    _write("ae", seeds, data, WORDS, found, "Rumelhart et al. count solved toy tasks")


def denoising(work: Path, seeds: list[int], threads: int | None) -> None:
    """Three kinds of noise on the digits; the rows that are measured are clean."""
    data, found = load("digits"), {}
    for noise in ("gaussian", "masking", "salt_and_pepper"):
        found[noise] = _measured(work, "denoising", data, seeds, threads, noise=noise, amount=0.2, **NETWORK)
    _write("denoising", seeds, data, WORDS + "; amount 0.2", found)


def sparse(work: Path, seeds: list[int], threads: int | None) -> None:
    """Three penalties on the digits."""
    data, found = load("digits"), {}
    for penalty in ("l1", "kl", "top_k"):
        options = {"penalty": penalty, "weight": 1.0, "rho": 0.1, "k": 4, **NETWORK}
        found[penalty] = _measured(work, "sparse", data, seeds, threads, **options)
    _write("sparse", seeds, data, WORDS + " (l1: a linear decoder); weight 1, rho 0.1, k 4", found)


def contractive(work: Path, seeds: list[int], threads: int | None) -> None:
    """The Jacobian's norm on the digits."""
    data = load("digits")
    found = _measured(work, "contractive", data, seeds, threads, weight=0.1, **NETWORK)
    _write("contractive", seeds, data, WORDS + ", tanh; weight 0.1", found)


def linear_ae(work: Path, seeds: list[int], threads: int | None) -> None:
    """The squared error of the optimum is what PCA leaves: the sum of the eigenvalues it drops."""
    x = load("digits").train.x().flatten(1).double()
    data = from_array(x.numpy(), kind="real", held_out=0, test=0)
    ends = []
    for seed in seeds:
        method = recipes.linear_ae(data, latent=8, sigma=1.0, seed=seed)
        settings = {
            "epochs": 2000,
            "batch_size": len(x),
            "learning_rate": 0.01,
            "schedule": "cosine",
            "save_every": 2000,
        }
        run = trained(work, f"linear_ae_{seed}", method, data, seed=seed, threads=threads, show=False, **settings)
        constant = x.shape[1] / 2 * math.log(2 * math.pi)
        ends.append(2 * (run.rows[-1]["train"]["reconstruction"] - constant))
    dropped = torch.linalg.eigvalsh((x - x.mean(0)).T.cov(correction=0))[:-8].sum().item()
    value = {
        "recipe": "linear_ae",
        "data": f"the {len(x):,} training rows of the digits, x/16, 64 columns",
        "settings": "latent 8, sigma 1, full batch, Adam 0.01 along half a cosine, 2,000 steps",
        "unit": "nats per image up to a constant and the factor 1/2: squared error",
        "squared error": over_seeds(ends),
        "the eigenvalues that PCA drops": dropped,
        "gap": over_seeds([end - dropped for end in ends]),
        "paper": "every minimum spans the principal subspace (Baldi & Hornik 1989, fact 4): the gap is 0",
    }
    write("linear_ae", "python evidence/make.py linear_ae --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (ae, denoising, sparse, contractive, linear_ae)
