"""Evidence of curved latent spaces on digits, where a run takes seconds and every variant has its row."""

from pathlib import Path
from typing import Any

from tools import centred, estimate, kept, over_seeds, trained, write

from logpx import recipes
from logpx.data import load

SETTINGS = {"epochs": 30, "batch_size": 64, "learning_rate": 2e-3, "schedule": "cosine", "show": False}
NOT_YET = "other data (digits, 8 x 8, for MNIST), 30 epochs and no early stopping: no comparison"


def _against_the_flat_space(
    name: str,
    work: Path,
    seeds: list[int],
    threads: int | None,
    hidden: tuple[int, ...],
    variants: dict[str, Any],
) -> dict[str, Any]:
    """L_500 of each variant and of a vae with the same network, and the differences seed by seed."""
    data, found = load("digits", protocol="dynamic"), {}
    for i, (label, (recipe, options)) in enumerate(variants.items()):
        values = []
        for seed in seeds:
            method = centred(getattr(recipes, recipe)(data, hidden=hidden, seed=seed, **options), data)
            run = trained(work, f"{name}_{i}_{seed}", method, data, seed=seed, threads=threads, **SETTINGS)
            values.append(kept(work, f"{name}_{i}_{seed}_L500", lambda run=run: estimate(run, data, 500))["value"])
        found[label] = over_seeds(values)
    widths = "-".join(map(str, (64, *hidden)))
    return {
        "recipe": name,
        "data": data.note,
        "settings": f"{widths}-z ReLU and mirrored, output bias at the logit of the mean pixel, Adam 2e-3 along half a cosine, "
        f"batch 64, 30 epochs, the epoch of the lowest held-out loss; L_500 on the 180 test rows",
        "unit": "nats per image",
        "L_500": found,
    }


def _written(name: str, seeds: list[int], value: dict[str, Any], **published: Any) -> None:
    published["why they cannot be compared"] = NOT_YET
    write(name, f"python evidence/make.py {name} --seeds " + " ".join(map(str, seeds)), value | published)


def hyperspherical_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """Sphere and flat space of 2 and 10 dimensions."""
    variants = {}
    for d in (2, 10):
        variants[f"vMF, d = {d}"] = ("hyperspherical_vae", {"latent": d})
        variants[f"power spherical, d = {d}"] = ("hyperspherical_vae", {"latent": d, "law": "power_spherical"})
        variants[f"vae, d = {d}"] = ("vae", {"latent": d})
    value = _against_the_flat_space("hyperspherical_vae", work, seeds, threads, (256, 128), variants)
    paper = {"vMF, d = 10": -93.16, "normal, d = 10": -93.84}
    source = "Davidson et al. 2018, table 1, dynamically binarised MNIST, L_500, 10 runs"
    _written("hyperspherical_vae", seeds, value, paper=paper, source=source)


def poincare_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """Ball and flat space of 2 and 10 dimensions, c = 0.7."""
    variants = {}
    for d in (2, 10):
        variants[f"wrapped, c = 0.7, d = {d}"] = ("poincare_vae", {"latent": d})
        variants[f"wrapped, linear first layer, d = {d}"] = ("poincare_vae", {"latent": d, "decoder": "linear"})
        variants[f"vae, d = {d}"] = ("vae", {"latent": d})
    variants["Riemannian, c = 0.7, d = 2"] = ("poincare_vae", {"latent": 2, "law": "riemannian"})
    value = _against_the_flat_space("poincare_vae", work, seeds, threads, (600,), variants)
    paper = {"wrapped, c = 0.7, d = 10, a run of the published code": -101.47}
    source = "Mathieu et al. 2019, L_5000 on grey MNIST whose cross-entropy is a score; quoted by pythae (Chadebec et al. 2022)"
    _written("poincare_vae", seeds, value, paper=paper, source=source)


def mixed_curvature_vae(work: Path, seeds: list[int], threads: int | None) -> None:
    """Products of spaces and flat space of 6 dimensions."""
    variants = {
        "e2,h2,s2, curvatures fixed": ("mixed_curvature_vae", {"signature": "e2,h2,s2", "learned": False}),
        "h2,s2,u2, curvatures learned": ("mixed_curvature_vae", {"hold": 230}),
        "vae, d = 6": ("vae", {"latent": 6}),
    }
    value = _against_the_flat_space("mixed_curvature_vae", work, seeds, threads, (400,), variants)
    source = "Skopek et al. 2020: their tables were not at hand, and their test pixels are thresholded at 0.5"
    _written("mixed_curvature_vae", seeds, value, paper=None, source=source)


MAKERS = (hyperspherical_vae, poincare_vae, mixed_curvature_vae)
