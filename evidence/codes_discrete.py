"""Evidence of discrete codes: how many are used, what two stages say of test images, and what they make up."""

import sys
from pathlib import Path
from typing import Any

import torch
from tools import HERE, estimate, kept, over_seeds, trained, write

from logpx import recipes
from logpx.data import Data, load
from logpx.evaluate import batch_of, code_usage, evidence, expected_terms
from logpx.samples import draw_samples, write_samples

#: of both models of a data set: settings of the runs, options of each
SMALL: dict[str, Any] = {
    "settings": {"epochs": 30, "batch_size": 64, "learning_rate": 1e-3, "schedule": "cosine"},
    "vq_vae": {"codes": 64, "width": 16, "channels": 32, "grid": 2, "prior_steps": 1000},
    "vae": {"latent": 10, "network": "conv", "hidden": (64,)},
}
LARGE: dict[str, Any] = {
    "settings": {"epochs": 15, "batch_size": 128, "learning_rate": 1e-3, "schedule": "cosine"},
    "vq_vae": {
        "codes": 128,
        "width": 32,
        "channels": 64,
        "grid": 7,
        "prior_steps": 6000,
        "prior_width": 128,
        "prior_layers": 2,
    },
    "vae": {"latent": 32, "network": "conv", "hidden": (128,)},
}
UNIT = "nats per image, and bits for each of its pixels; perplexity and codes in use are numbers of codes"


def _both(
    work: Path, label: str, data: Data, seeds: list[int], threads: int | None, how: dict[str, Any]
) -> dict[str, Any]:
    """The two-stage bound and the use of the codes, beside the ELBO and L_500 of a vae of that size on the same rows."""
    settings = how["settings"] | {"threads": threads, "show": sys.stderr.isatty()}
    coded, plain, sizes = [], [], {}
    for seed in seeds:
        method = recipes.vq_vae(data, seed=seed, **how["vq_vae"])
        run = trained(work, f"{label}_{seed}", method, data, seed=seed, **settings)
        coded.append(kept(work, f"{label}_{seed}_bound", lambda run=run: _two_stages(run, data)))
        if seed == seeds[0]:
            write_samples(HERE / f"{label}.png", draw_samples(run.model, 64, seed=0))
        sizes["vq_vae with its prior"] = _size(run.model)
        run = trained(
            work, f"{label}_vae_{seed}", recipes.vae(data, seed=seed, **how["vae"]), data, seed=seed, **settings
        )
        plain.append(kept(work, f"{label}_vae_{seed}_L500", lambda run=run: _vae(run, data)))
        sizes["vae"] = _size(run.model)
    found = {f"{name}, two stages": over_seeds([c[name] for c in coded]) for name in coded[0]}
    return found | {f"{name}, vae": over_seeds([p[name] for p in plain]) for name in plain[0]} | {"parameters": sizes}


def _two_stages(run: Any, data: Data) -> dict[str, Any]:
    bound, used = evidence(run.model, data.test), code_usage(run.model, data.test)
    reconstruction = -expected_terms(run.method.objective, run.model, data.test)["reconstruction"]
    return {
        "log p(x|z_q) + log p(k)": bound.mean,
        "bits/dim": bound.bits_per_dim,
        "log p(x|z_q)": reconstruction,
        "codes in use": used.used,
        "perplexity of the codes": used.perplexity,
    }


def _by_pixelcnn(work: Path, data: Data, seeds: list[int], threads: int | None, how: dict[str, Any]) -> dict[str, Any]:
    """The bound with a PixelCNN for the transformer: the first stages are the same to the bit."""
    settings, options = how["settings"] | {"threads": threads, "show": False}, how["vq_vae"] | {"prior": "pixelcnn"}
    bounds = []
    for seed in seeds:
        method = recipes.vq_vae(data, seed=seed, **options)
        run = trained(work, f"vq_vae_pixelcnn_{seed}", method, data, seed=seed, **settings)
        bounds.append(evidence(run.model, data.test).mean)
    return {"log p(x|z_q) + log p(k), a PixelCNN as the prior": over_seeds(bounds)}


def _vae(run: Any, data: Data, rows: int = 1000) -> dict[str, Any]:
    elbo = expected_terms(run.method.objective, run.model, data.test)["elbo"]
    return {
        "ELBO": elbo,
        f"L_500 of {min(rows, len(data.test)):,} rows": estimate(run, data, 500, rows=rows)["value"],
    } | {
        "bits/dim of the ELBO": -elbo
        / (batch_of(data.test, slice(0, 1)).x.numel() * torch.log(torch.tensor(2.0)).item())
    }


def _size(model: torch.nn.Module) -> int:
    """Numbers that training or the last fit learned; a moving average's codes are among them, its accounts are not."""
    accounts = ("tally", "counts", "sums", "_extra_state")
    return sum(t.numel() for name, t in model.state_dict().items() if not name.endswith(accounts))


def _words(how: dict[str, Any], numbers: str) -> str:
    vq, vae, run = how["vq_vae"], how["vae"], how["settings"]
    prior = f"{vq.get('prior_layers', 2)} layers of {vq.get('prior_width', 64)}"
    return (
        f"{numbers}, {vq['codes']} codes of {vq['width']} numbers by moving average, {vq['channels']} channels, beta 0.25; "
        f"prior: a transformer of {prior}, {vq['prior_steps']:,} steps of 64 rows, up to whole epochs; vae: stride-2 "
        f"convolutions, {vae['hidden'][0]} units, {vae['latent']} latents; both Adam 1e-3 along half a cosine, batch "
        f"{run['batch_size']}, {run['epochs']} epochs, the epoch of the lowest held-out loss"
    )


def _written(
    name: str, seeds: list[int], data: str, settings: str, found: dict[str, Any], why: str, pictures: dict[str, str]
) -> None:
    value = {"recipe": "vq_vae", "data": data, "settings": settings, "unit": UNIT, **found, "paper": None}
    value |= {"why no number of the paper's": why, "pictures": pictures}
    write(name, f"python evidence/make.py {name} --seeds " + " ".join(map(str, seeds)), value)


def vq_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """A grid of 2 x 2 codes for the digits."""
    data = load("digits", protocol="dynamic")
    found = _both(work, "vq_vae", data, seeds, threads, SMALL) | _by_pixelcnn(work, data, seeds, threads, SMALL)
    why = "its bits/dim are of CIFAR-10 (4.67, and 4.51 of a vae), after a GPU's schedule"
    pictures = {"vq_vae.png": "64 draws x of the digits, from drawn codes"}
    _written("vq_vae", seeds, data.note, _words(SMALL, "grid of 2 x 2"), found, why, pictures)


def vq_vae_mnist(work: Path, seeds: list[int], threads: int | None) -> None:
    """A grid of 7 x 7 codes for MNIST and Fashion-MNIST (its files in the folder that LOGPX_DATA names)."""
    found, notes, pictures = {}, [], {}
    for name in ("mnist", "fashion-mnist"):
        data = load(name, protocol="dynamic")
        label = "vq_vae_" + name.replace("-", "_")
        found |= {
            f"{data.name}: {what}": value for what, value in _both(work, label, data, seeds, threads, LARGE).items()
        }
        notes.append(data.note)
        pictures[f"{label}.png"] = f"64 draws x of {data.name}, from drawn codes"
    why = "it measures neither set; both are binarised anew at every read here, so bits/dim are of binary pixels"
    _written("vq_vae_mnist", seeds, "; ".join(notes), _words(LARGE, "grid of 7 x 7"), found, why, pictures)


MAKERS = (vq_vae, vq_vae_mnist)
