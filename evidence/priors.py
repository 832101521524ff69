"""Evidence of learned priors and of flows."""

from pathlib import Path
from typing import Any

from tools import estimate, kept, over_seeds, trained, write

from logpx import recipes
from logpx.data import Data, load
from logpx.evaluate import evidence


def _gap(work: Path, label: str, method: Any, data: Data, epochs: int, seed: int, threads: int | None) -> float:
    """The true log p(x) of the test rows minus the model's L_500, in nats."""
    settings = {"epochs": epochs, "batch_size": 128, "learning_rate": 2e-3, "schedule": "cosine", "show": False}
    run = trained(work, label, method, data, seed=seed, threads=threads, **settings)
    assert data.log_density is not None
    x = data.test.x(slice(0, 1000))
    truth = data.log_density(x).mean().item()
    return kept(work, label + "_gap", lambda: {"gap": truth - evidence(run.model, x, samples=500).mean})["gap"]


def _against_the_standard_prior(
    name: str, work: Path, seeds: list[int], threads: int | None, epochs: int, variants: dict[str, Any]
) -> None:
    data, small = load("pinwheel"), {"latent": 2, "hidden": (64, 64)}
    makers = {"vae, p(z) = N(0, I)": lambda seed: recipes.vae(data, seed=seed, **small)}
    for label, options in variants.items():
        makers[label] = lambda seed, o=options: getattr(recipes, name)(data, seed=seed, **small, **o)
    found = {
        label: over_seeds([_gap(work, f"{name}_{i}_{seed}", make(seed), data, epochs, seed, threads) for seed in seeds])
        for i, (label, make) in enumerate(makers.items())
    }
    value = {
        "recipe": name,
        "data": data.note,
        "settings": f"2-64-64-2-64-64-2, Adam 2e-3 along half a cosine, batch 128, {epochs} epochs; L_500 on 1,000 test rows",
        "unit": "nats per point: the exact log p(x) of the rows minus the model's L_500, lower is better",
        "gap to the true log p(x)": found,
        "paper": None,
        "why no number of the paper's": "no paper measures it on data of known density; theirs are images and GPU schedules",
    }
    write(name, f"python evidence/make.py {name} --seeds " + " ".join(map(str, seeds)), value)


def mixture_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """A mixture of ten normal laws as prior, on a pinwheel whose density is known."""
    _against_the_standard_prior("mixture_vae", work, seeds, threads, 30, {"mixture of 10": {"components": 10}})


def flow_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """Flows as prior, as posterior and as both, on the same pinwheel."""
    variants = {f"flow as {which}": {"which": which} for which in ("prior", "posterior", "both")}
    _against_the_standard_prior("flow_vae", work, seeds, threads, 6, variants)


def vamp_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """VampPrior and standard prior with the same network, budget and seeds, on dynamically binarised MNIST."""
    data, common = load("mnist", protocol="dynamic", held_out=1000), {"latent": 40, "hidden": (300, 300)}
    settings = {"epochs": 2, "batch_size": 100, "learning_rate": 1e-3, "schedule": "cosine", "show": False}
    found: dict[str, list[float]] = {"VampPrior, K = 100": [], "N(0, I)": []}
    for seed in seeds:
        methods = {
            "VampPrior, K = 100": recipes.vamp_vae(data, pseudo_inputs=100, seed=seed, **common),
            "N(0, I)": recipes.vae(data, seed=seed, **common),
        }
        for i, (label, method) in enumerate(methods.items()):
            name = f"vamp_{i}_{seed}"
            run = trained(work, name, method, data, seed=seed, threads=threads, **settings)
            found[label].append(kept(work, name + "_L200", lambda run=run: estimate(run, data, 200, 1000))["value"])
    pairs = zip(*found.values(), strict=True)
    value = {
        "recipe": "vamp_vae",
        "data": data.note,
        "settings": "784-300-300-40 ReLU and mirrored, K = 100, Adam 1e-3 along half a cosine, batch 100, 2 epochs, L_200 on "
        "the first 1,000 test rows (the paper: gated layers, K = 500, Adam 5e-4, warm-up over 100 epochs, early stopping after "
        "50, static binarisation, L_5000 on all test rows)",
        "unit": "nats per image",
        "L_200": {label: over_seeds(values) for label, values in found.items()},
        "VampPrior minus N(0, I), pair by pair": over_seeds([a - b for a, b in pairs]),
        "paper": {"VampPrior": -85.57},
        "source": "Tomczak & Welling 2018, table 1, static MNIST, one stochastic layer; its figure of N(0, I) was not at hand",
    }
    write("vamp_vae", "python evidence/make.py vamp_vae --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (mixture_vae, flow_vae, vamp_vae)
