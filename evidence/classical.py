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
    """After Lucas et al.: 1000 MNIST images, full batch, analytic ELBO; 50 latents and a faster schedule than theirs."""
    images = load("mnist", protocol="grey").train.x(slice(0, 1000)).flatten(1)
    data = from_array(images.numpy(), kind="real", held_out=0, test=0)
    ends = []
    for seed in seeds:
        method = recipes.linear_vae(data, latent=50, seed=seed)
        settings = {"epochs": 2_000, "batch_size": 1000, "learning_rate": 1e-2, "schedule": "cosine", "save_every": 500}
        run = trained(work, f"linear_vae_{seed}", method, data, seed=seed, threads=threads, **settings)
        ends.append(max(row["train"]["elbo"] for row in run.rows))
    maximum = exact.ppca.closed_form(images, 50).log_evidence(images).mean().item()
    value = {
        "recipe": "linear_vae",
        "data": "the first 1,000 training images of MNIST, x/255",
        "settings": "latent 50, full batch, Adam 1e-2 on a cosine, 2,000 steps, analytic ELBO, sigma learned from 1 "
        "(the paper: latent 200, Adam 1e-3, 12,000 steps)",
        "unit": "nats per image",
        "elbo": over_seeds(ends),
        "probabilistic PCA maximum of the same images": maximum,
        "gap": over_seeds([maximum - end for end in ends]),
        "paper": "the ELBO ends just under the pPCA maximum (arXiv:1911.02469, figure 2)",
    }
    write("linear_vae", "python evidence/make.py linear_vae --seeds " + " ".join(map(str, seeds)), value)


def factor_analysis(work: Path, seeds: list[int], threads: int | None) -> None:
    """EM on two sets against scikit-learn's FactorAnalysis.score and against pPCA, its special case of one noise."""
    value = {
        "recipe": "factor_analysis",
        "data": "scikit-learn's digits (grey, constant pixels dropped) and linear-gaussian (noise 1/2 in every column)",
        "settings": "digits: latent 8, 3,000 iterations of EM; linear-gaussian: latent 3, until an iteration gains less "
        "than 1e-10 nats; one start per seed; scikit-learn with svd_method lapack and tol 1e-10, "
        "whose one start ends in a lower local maximum of the digits",
        "unit": "nats per data point, log p(x), exact",
        "digits": _against_judge(*_digits(), 8, seeds, 3000),
        "linear-gaussian": _against_judge(*_columns(load("linear-gaussian")), 3, seeds, 20_000),
        "paper": None,
        "why no paper's number": "Rubin & Thayer's example is a correlation matrix, not a set of rows; the judge is "
        "another implementation.",
    }
    write("factor_analysis", "python evidence/make.py factor_analysis --seeds " + " ".join(map(str, seeds)), value)


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    train, test = _columns(load("digits", protocol="grey"))
    varies = (train != train[0]).any(0)
    return train[:, varies], test[:, varies]


def _columns(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return data.train.x().flatten(1).double(), data.test.x().flatten(1).double()


def _against_judge(
    x: torch.Tensor, test: torch.Tensor, latent: int, seeds: list[int], iterations: int
) -> dict[str, Any]:
    from sklearn.decomposition import FactorAnalysis

    judge = FactorAnalysis(latent, tol=1e-10, max_iter=20_000, svd_method="lapack").fit(x.numpy())
    plain = exact.ppca.closed_form(x, latent)
    ends = []
    for seed in seeds:
        *_, last = exact.factor_analysis.em(x, latent, iterations, 1e-10, seed)
        ends.append(last)
    return {
        "rows": {"train": len(x), "test": len(test), "columns": x.shape[1]},
        "train": over_seeds([value for _, value in ends]),
        "test": over_seeds([model.log_evidence(test).mean().item() for model, _ in ends]),
        "scikit-learn FactorAnalysis.score": {"train": judge.score(x.numpy()), "test": judge.score(test.numpy())},
        "ppca": {split: plain.log_evidence(rows).mean().item() for split, rows in (("train", x), ("test", test))},
    }


MAKERS = (ppca, linear_vae, factor_analysis)
