"""Evidence of the doctor: six runs made sick on purpose and a healthy one, each diagnosed, treated and compared."""

from pathlib import Path
from typing import Any

import torch
from tools import kept, trained, write

from logpx import recipes
from logpx.data import Data, from_array, load
from logpx.doctor import examine, findings, treat

#: protocol of digits (None: 40 numbers that 5 explain), recipe, options, epochs
CASES: dict[str, tuple[str | None, str, dict[str, Any], int]] = {
    "healthy": ("dynamic", "vae", {"latent": 5}, 40),
    "sigma^2 too large": ("grey", "vae", {"latent": 10, "likelihood": "gaussian", "sigma": 1.0}, 30),
    "beta 20": ("dynamic", "beta_vae", {"latent": 10, "beta": 20.0}, 30),
    "warm-up never finished": ("dynamic", "vae", {"latent": 10, "warmup": 5000}, 20),
    "64 dimensions on 5-dimensional data": (None, "vae", {"latent": 64}, 60),
    "PixelCNN decoder": (
        "dynamic",
        "pixel_vae",
        {"latent": 10, "free_bits": 0.0, "warmup": 0, "kernels": (7, 5, 5), "hidden": (100,)},
        25,
    ),
    "grey data under a Bernoulli": ("grey", "vae", {"latent": 10, "likelihood": "grey"}, 20),
}


def _five() -> Data:
    g = torch.Generator().manual_seed(0)
    A = torch.randn(5, 40, generator=g)
    x = torch.randn(1500, 5, generator=g) @ A + 0.3 * torch.randn(1500, 40, generator=g)
    return from_array(x.numpy(), held_out=0.1, test=0.2, name="five")


def _case(work: Path, name: str, seed: int, threads: int | None) -> dict[str, Any]:
    protocol, recipe, options, epochs = CASES[name]
    data = load("digits", protocol=protocol) if protocol else _five()
    method = recipes.find(recipe).build(data, seed=seed, **options)
    label = f"doctor_{''.join(c if c.isalnum() else '_' for c in name)}_{seed}"
    run = trained(work, label, method, data, seed=seed, threads=threads, epochs=epochs, batch_size=100, show=False)

    def found() -> dict[str, Any]:
        e = examine(run, data, refined=50)
        sick = [f for f in findings(e) if f.sick]
        result: dict[str, Any] = {
            "diagnosis": sick[0].name if sick else "healthy",
            "active": f"{e.active} of {e.latent}",
        }
        if sick and sick[0].remedy:
            treated = treat(run, data, sick[0].remedy, show=False)
            result |= {"remedy": sick[0].remedy.options, "before": treated.before.mean, "after": treated.after.mean}
            result |= {"gain": treated.gain, "standard error": treated.standard_error, "note": treated.note}
        return result

    return kept(work, f"{label}_found", found)


def doctor(work: Path, seeds: list[int], threads: int | None) -> None:
    """Diagnoses, first remedies and what they gain in log p(x) of the same test rows."""
    value = {
        "recipe": "vae, beta_vae, pixel_vae",
        "data": "digits, dynamically binarised or grey; 1,500 rows of 40 numbers, 5 hidden causes and noise of 0.3",
        "settings": "Adam 1e-3, batch 100, 20 to 60 epochs; L_100 of the test rows before and after, the gain row by row",
        "unit": "nats per data point",
        "cases": {name: {f"seed {seed}": _case(work, name, seed, threads) for seed in seeds} for name in CASES},
        "paper": None,
    }
    write("doctor", "python evidence/make.py doctor --seeds " + " ".join(map(str, seeds)), value)


MAKERS = (doctor,)
