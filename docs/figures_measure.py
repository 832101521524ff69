"""The small runs behind some of the guides' pictures: `python docs/figures.py --measure` keeps their numbers."""

from typing import Any

import numpy as np
import torch

from logpx import data, evaluate, exact, recipes, train
from logpx.data.synthetic import TREE_VARIANCE, tree_nodes
from logpx.doctor import forecast
from logpx.model import Batch
from logpx.train.standings import standings

QUIET: dict[str, Any] = {"show": False, "threads": 1}


def measure() -> dict[str, Any]:
    """Everything that figures.py draws and no closed form or file of evidence knows."""
    grey = data.load("digits", protocol="grey")
    return {
        "bound": bound(),
        "sigma": sigma(grey),
        "eigenvalues": [float(f"{v:.5g}") for v in forecast(grey).values.tolist()],
        "beta": beta(),
        "tree": tree(),
    }


def bound() -> dict[str, Any]:
    """L_k of 1,000 rows of probabilistic PCA, whose log p(x) is known, by an encoder that is a little wrong."""
    generator = torch.Generator().manual_seed(1)
    W = torch.randn(10, 3, generator=generator, dtype=torch.float64)
    model = exact.ppca.PPCA(W, torch.zeros(10).double(), torch.tensor(0.5).double())
    best = exact.linear_vae.best_encoder(model)
    wrong = best._replace(encoder=0.8 * best.encoder + 0.05, noise=1.3 * best.noise)
    vae = exact.linear_vae.build((10,), 3).double()
    exact.linear_vae.write_into(vae, wrong)
    vae.marginal = None  # it is not to look the answer up
    z, e = (torch.randn(1000, d, generator=generator, dtype=torch.float64) for d in (3, 10))
    x = z @ W.T + 0.5**0.5 * e
    curve = evaluate.evidence(vae, x, samples=1000).curve
    assert curve is not None
    return {
        "k": curve.samples,
        "L_k": [round(v, 4) for v in curve.means],
        "log p(x)": round(model.log_evidence(x).mean().item(), 4),
    }


def sigma(grey: data.Data) -> dict[str, Any]:
    """A Gaussian VAE of the digits, sigma fixed at 1 and kept at its optimum."""
    found: dict[str, Any] = {}
    for name, value in (("fixed", 1.0), ("optimal", "optimal")):
        method = recipes.vae(grey, latent=10, likelihood="gaussian", sigma=value)
        run = train.fit(method, grey, epochs=20, **QUIET)
        kl = evaluate.usage(run.model, grey.test).kl
        L_k = evaluate.evidence(run.model, grey.test, samples=100)
        found[name] = {"KL_i": [round(v, 4) for v in kl.tolist()], "L_100": round(L_k.mean, 3)}
        if name == "fixed":
            x = grey.test.x()
            with torch.no_grad():
                mean = run.model.decode(run.model.encode(Batch(x)).mean).mean
            found["squared error"] = round((x - mean).square().mean().item(), 5)
    return found


def beta() -> list[dict[str, Any]]:
    """The sweep that the guide prints."""
    rows = data.load("digits", protocol="dynamic")
    options = [{"beta": b, "seed": s} for b in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0) for s in range(3)]
    methods = [recipes.beta_vae(rows, latent=10, hidden=(64,), **its) for its in options]
    runs = train.sweep(methods, rows, epochs=100, learning_rate=2e-3, **QUIET)
    found = standings(runs, rows, names=[str(i) for i in range(len(runs))], options=options)
    found.sort(key=lambda row: (row["options"]["beta"], row["options"]["seed"]))
    return [
        row["options"] | {"kl": round(row["kl"], 3), "active": row["active_units"], "L_100": round(row["evidence"], 3)}
        for row in found
    ]


def tree() -> dict[str, Any]:
    """Where two models put the nodes of a tree: evidence/poincare_tree.json's N and c = 1.2, seed 0."""
    rows = data.load("branching", seed=0, held_out=64, test=191)
    network: dict[str, Any] = {"latent": 2, "hidden": (200,), "sigma": 1.0, "seed": 0}
    methods = {
        "flat": recipes.vae(rows, **network),
        "ball": recipes.poincare_vae(rows, curvature=1.2, law="riemannian", scale=1.7, **network),
    }
    settings: dict[str, Any] = {
        "epochs": 300,
        "batch_size": 64,
        "learning_rate": 5e-3,
        "schedule": "cosine",
        "precision": "float64",
    }
    raw = tree_nodes(0)[0]
    nodes = torch.from_numpy((raw - raw.mean(0)) / np.sqrt(raw.var(0) + TREE_VARIANCE))
    found = {}
    for name, method in methods.items():
        run = train.fit(method, rows, seed=0, **settings, **QUIET)
        with torch.no_grad():
            z = run.model.encode(Batch(nodes)).mean
        L_k = evaluate.evidence(run.model, evaluate.batch_of(rows.test, slice(None)), samples=500)
        radius = 1.2**-0.5
        edge = 1.03 * radius if name == "ball" else 1.05 * z.abs().max().item()
        found[name] = {"L_500": round(L_k.mean, 3), "radius": radius, "edge": round(edge, 4)}
        found[name]["nodes"] = [[round(a, 4), round(b, 4)] for a, b in z.tolist()]
    return found
