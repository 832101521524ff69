"""Evidence of models whose log p(x) is exact."""

from pathlib import Path
from typing import Any

import torch
from tools import over_seeds, trained, write

from logpx import exact, recipes
from logpx.data import from_array, load


def ppca(work: Path, seeds: list[int], threads: int | None) -> None:
    """Closed form and EM on grey MNIST against scikit-learn's PCA.score, whose covariance divides by n - 1."""
    from sklearn.decomposition import PCA

    data = load("mnist", protocol="grey")
    x = data.train.x().flatten(1).double()
    n = len(x)
    judge = PCA(10).fit(x.numpy())
    same = exact.ppca.PPCA(*(torch.as_tensor(a) for a in _tipping(judge, n)))
    closed = exact.ppca.closed_form(x, 10)
    em = list(exact.ppca.em(x, 10, iterations=200))[-1]
    test = data.test.x().flatten(1).double()
    value = {
        "recipe": "ppca",
        "data": data.note,
        "settings": "latent 10",
        "unit": "nats per image, log p(x), exact",
        "closed form": {
            "train": closed.log_evidence(x).mean().item(),
            "test": closed.log_evidence(test).mean().item(),
        },
        "em after 200 iterations, still rising": {"train": em[1], "test": em[0].log_evidence(test).mean().item()},
        "scikit-learn PCA.score with its own ddof = 1 model": {
            "train": judge.score(x.numpy()),
            "test": judge.score(test.numpy()),
        },
        "scikit-learn's subspace, its variances times (n - 1)/n": {
            "train": same.log_evidence(x).mean().item(),
            "test": same.log_evidence(test).mean().item(),
        },
    }
    write("ppca", "python evidence/make.py ppca", value)


def _tipping(judge: Any, n: int) -> tuple[Any, Any, Any]:
    """scikit-learn's PCA as W, mu, s2 with the divisor n of maximum likelihood."""
    variances, s2 = judge.explained_variance_ * (n - 1) / n, judge.noise_variance_ * (n - 1) / n
    return judge.components_.T * (variances - s2) ** 0.5, judge.mean_, s2


def linear_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """After Lucas et al.: 1000 MNIST images, 200 latents, full batch, analytic ELBO, 12,000 steps."""
    images = load("mnist", protocol="grey").train.x(slice(0, 1000)).flatten(1)
    data = from_array(images.numpy(), kind="real", held_out=0, test=0)
    ends = []
    for seed in seeds:
        method = recipes.linear_vae(data, latent=200, seed=seed)
        settings = {
            "epochs": 12_000,
            "batch_size": 1000,
            "learning_rate": 1e-3,
            "precision": "float64",
            "save_every": 1000,
        }
        run = trained(work, f"linear_vae_{seed}", method, data, seed=seed, threads=threads, **settings)
        ends.append(max(row["train"]["elbo"] for row in run.rows))
    maximum = exact.ppca.closed_form(images.double(), 200).log_evidence(images.double()).mean().item()
    value = {
        "recipe": "linear_vae",
        "data": "the first 1,000 training images of MNIST, x/255",
        "settings": "latent 200, full batch, Adam 1e-3, 12,000 steps, analytic ELBO, sigma learned from 1, float64: as the "
        "published notebook, with torch's initial weights",
        "unit": "nats per image",
        "elbo": over_seeds(ends),
        "probabilistic PCA maximum of the same images": maximum,
        "gap": over_seeds([maximum - end for end in ends]),
        "paper": "the ELBO ends just under the pPCA maximum (arXiv:1911.02469, figure 2)",
    }
    write("linear_vae", "python evidence/make.py linear_vae --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (ppca, linear_vae)
