"""Evidence of sequence models: a language whose entropy is known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tools import kept, over_seeds, trained, write

from logpx import recipes
from logpx.data import Data, language, load
from logpx.evaluate import evidence, mutual_information, usage

EPOCHS, ROWS = 20, 1000
VARIANTS: dict[str, dict[str, Any]] = {
    "LSTM, no remedy": {"word_dropout": 0.0},
    "LSTM, word dropout 0.25 and 0.25 free nats": {"word_dropout": 0.25, "free_bits": 0.25},
    "transformer, word dropout 0.25 and 0.25 free nats": {
        "word_dropout": 0.25,
        "free_bits": 0.25,
        "decoder": "transformer",
        "encoder": "transformer",
    },
}


def _entropy(n: int = 200_000) -> tuple[float, float]:
    """(mean, standard error) of -log p(x) over fresh sentences, nats."""
    x, _ = language.sentences(n, seed=12345)
    log_p = language.log_density(torch.from_numpy(np.where(x < 0, language.WORDS, x)))
    return -log_p.mean().item(), log_p.std().item() / math.sqrt(n)


def _measured(
    work: Path, label: str, options: dict[str, Any], data: Data, seed: int, threads: int | None
) -> dict[str, Any]:
    """Nats per sentence over those of the law itself, on the same test rows, and what z has to do with it."""
    method = recipes.sequence_vae(data, latent=4, width=48, heads=4, seed=seed, **options)
    settings = {"epochs": EPOCHS, "batch_size": 128, "learning_rate": 5e-3, "schedule": "cosine", "show": False}
    run = trained(work, label, method, data, seed=seed, threads=threads, **settings)
    x = data.test.x(slice(0, ROWS))

    def measure() -> dict[str, Any]:
        assert data.log_density is not None
        found, used = evidence(run.model, x, samples=100), usage(run.model, x)
        gap = data.log_density(x) - found.per_point
        return {
            "L_100": found.mean,
            "gap": gap.mean().item(),
            "gap, standard error over rows": gap.std().item() / math.sqrt(ROWS),
            "I(x; z)": mutual_information(run.model, x),
            "KL": used.kl.sum().item() if used.kl is not None else None,
            "active units": used.active,
        }

    return kept(work, f"{label}_measured", measure)


def sequence_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """Decoders with and without remedies against the collapse, on sentences whose law is known."""
    data = load("topics")
    found: dict[str, Any] = {}
    for i, (label, options) in enumerate(VARIANTS.items()):
        rows = [_measured(work, f"sequence_{i}_{seed}", options, data, seed, threads) for seed in seeds]
        names = {"gap": "true log p(x) minus L_100", "L_100": "L_100", "KL": "KL", "I(x; z)": "I(x; z), 1,000 rows"}
        found[label] = {said: over_seeds([row[name] for row in rows]) for name, said in names.items()}
        found[label]["active units of 4"] = [row["active units"] for row in rows]
        found[label]["gap's standard error over rows"] = max(row["gap, standard error over rows"] for row in rows)
    entropy, error = _entropy()
    value = {
        "recipe": "sequence_vae",
        "data": data.note,
        "settings": f"latent 4, width 48, Adam 5e-3 along half a cosine, batch 128, {EPOCHS} epochs; L_100, {ROWS:,} test rows",
        "unit": "nats per sentence, its end included; gaps to the law itself on the same rows, lower is better",
        "entropy of the language": entropy,
        "entropy of the language, standard error over 200,000 sentences": error,
        "nats in the topic, log 4": math.log(4),
        "found": found,
        "paper": None,
        "why no number of the paper's": "its corpora are large and of no known density; here the entropy is",
    }
    write("sequence_vae", "python evidence/make.py sequence_vae --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (sequence_vae,)
