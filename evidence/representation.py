"""Evidence of what penalties on z do to codes, on pictures whose factors are known."""

from pathlib import Path
from typing import Any

from tools import kept, over_seeds, trained, write

from logpx import evaluate, recipes
from logpx.data import Data, load

SETTINGS: dict[str, Any] = {"epochs": 30, "batch_size": 128, "learning_rate": 1e-3}
NETWORK: dict[str, Any] = {"latent": 10, "hidden": (400,)}
METHODS: dict[str, dict[str, float]] = {"vae": {}, "beta_vae": {"beta": 4.0}, "beta_tc": {"beta": 6.0}}


def _numbers(work: Path, data: Data, name: str, seed: int, threads: int | None) -> dict[str, float]:
    """Every score and probe of one run, and its ELBO on the test rows."""
    method = getattr(recipes, name)(data, seed=seed, **METHODS[name], **NETWORK)
    run = trained(work, f"sprites_{name}_{seed}", method, data, seed=seed, threads=threads, show=False, **SETTINGS)
    found = evaluate.representation(run.model, data)
    numbers = {"elbo, test": evaluate.expected_terms(run.method.objective, run.model, data.test)["elbo"]}
    numbers |= {score.name: score.value for score in found.scores}
    for probe in found.probes:
        numbers[f"{probe.target}, {probe.measure}, {probe.reader}"] = probe.value
    return numbers


def representation(work: Path, seeds: list[int], threads: int | None) -> None:
    """The plain, the beta- and the beta-TC-VAE on sprites."""
    data, found = load("sprites"), {}
    for name, options in METHODS.items():
        each = []
        for seed in seeds:
            measured = lambda name=name, seed=seed: _numbers(work, data, name, seed, threads)  # noqa: E731
            each.append(kept(work, f"representation_{name}_{seed}", measured))
        label = ", ".join([name, *(f"{option} {value:g}" for option, value in options.items())])
        found[label] = {number: over_seeds([one[number] for one in each]) for number in each[0]}
    value = {
        "recipe": "beta_tc",
        "data": data.note.removesuffix("."),
        "settings": "1024-400-10-400-1024, Adam 1e-3, batch 128, 30 epochs, the best by held-out loss; scores from 5,000 "
        "training rows, probes fitted to them and scored on the 1,037 test rows",
        "unit": "nats per image for the ELBO at beta = 1; scores and accuracies in [0, 1]",
        **found,
        "paper": None,
        "why no number of the paper's": "its figures are of dSprites, 737,280 images of 64 x 64, and a network of convolutions",
    }
    write("representation", "python evidence/make.py representation --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (representation,)
