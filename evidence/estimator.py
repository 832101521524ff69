"""Evidence of the estimator: what PCA and a VAE of as many latents say of digits that neither has seen."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from tools import HERE, kept, over_seeds, write

from logpx import VAE
from logpx.report.charts import cloud, square_range, svg, text
from logpx.report.page import Picture

TRAINED = 1400
SETTINGS: dict[str, Any] = {"options": {"hidden": (64,), "sigma": "optimal"}, "epochs": 50, "learning_rate": 0.005}
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits(seed: int) -> Split:
    """(pictures to fit, pictures to judge, their digits), of a permutation."""
    data, order = load_digits(), np.random.RandomState(seed).permutation(1797)
    x, y = data.data[order] / 16, data.target[order]
    return x[:TRAINED], x[TRAINED:], y[:TRAINED], y[TRAINED:]


def estimators(latent: int, seed: int) -> dict[str, Any]:
    return {"PCA": PCA(latent, random_state=seed), "VAE": VAE("vae", latent=latent, random_state=seed, **SETTINGS)}


def measured(latent: int, seed: int) -> dict[str, dict[str, float]]:
    """Both on one division of the pictures."""
    x, new, y, of_new = digits(seed)
    found = {}
    for name, estimator in estimators(latent, seed).items():
        z = estimator.fit(x).transform(x)
        codes = estimator.transform(new)
        error = np.square(estimator.inverse_transform(codes) - new).sum(1).mean()
        known = KNeighborsClassifier(5).fit(z, y).score(codes, of_new)
        found[name] = {"log p(x)": estimator.score(new), "squared error": float(error), "5-NN accuracy": float(known)}
    return found


def draw(seed: int, said: dict[str, str]) -> bytes:
    """The two maps of the new pictures, coloured by digit."""
    x, new, _, y = digits(seed)
    maps = ""
    for i, (name, estimator) in enumerate(estimators(2, seed).items()):
        z = torch.from_numpy(estimator.fit(x).transform(new))
        square = cloud(z, square_range(z), f"{name}: {said[name]}", labels=torch.from_numpy(y))
        maps += text(40 + 480 * i, 14, name, "name") + text(440 + 480 * i, 14, said[name], "end")
        maps += f'<svg x="{480 * i}" y="22" width="446" height="428">{square}</svg>'
    alt = f"{len(new)} digits that were not trained on, in two dimensions each: " + "; ".join(
        f"{name}, {words}" for name, words in said.items()
    )
    return Picture("estimator.svg", svg(926, 452, maps, alt), alt).as_bytes()


def _over(runs: list[Any]) -> Any:
    if isinstance(runs[0], dict):
        return {name: _over([run[name] for run in runs]) for name in runs[0]}
    return over_seeds(runs)


def estimator(work: Path, seeds: list[int], threads: int | None) -> None:
    """PCA and a VAE side by side; the picture of docs/estimator.md."""
    if threads:
        torch.set_num_threads(threads)
    found = {}
    for latent in (2, 10):
        runs = [kept(work, f"estimator_{latent}_{s}", lambda s=s, d=latent: measured(d, s)) for s in seeds]  # type: ignore[misc]
        found[f"{latent} numbers"] = _over(runs)
    value = {
        "recipe": "vae",
        "data": "scikit-learn's digits, 1,797 pictures of 64 pixels in [0, 1]; each seed's permutation gives 1,400 to fit and "
        "397 to judge; of the 1,400 the VAE keeps 140 to choose its epoch",
        "settings": "64-64-D-64-64, gaussian with the optimal sigma, Adam 5e-3, batch 128, 50 epochs; PCA(D)",
        "unit": "nats per picture (PCA: exact log p(x) of its Gaussian, VAE: L_100, a lower bound); squared error summed over "
        "the 64 pixels; share of new pictures whose digit their 5 nearest neighbours among the fitted ones name",
        "found": found,
        "paper": None,
    }
    accuracy = {name: kept(work, f"estimator_2_{seeds[0]}", dict)[name]["5-NN accuracy"] for name in ("PCA", "VAE")}
    said = {name: f"5 nearest neighbours name {share:.0%}" for name, share in accuracy.items()}
    (HERE.parent / "docs" / "estimator.svg").write_bytes(draw(seeds[0], said))
    write("estimator", "python evidence/make.py estimator --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (estimator,)
