"""Evidence of the estimates themselves: one model judged by L_k, by annealing from q and from the prior, and from above."""

from pathlib import Path
from typing import Any

from tools import kept, trained, write

from logpx import recipes
from logpx.data import Data, load
from logpx.evaluate import Evidence, Points, annealed, batch_of, chi_square, evidence, refine, sandwich
from logpx.model import VAE
from logpx.train import Run

ROWS = 50
CASES: dict[str, dict[str, Any]] = {
    "digits": {"latent": 10, "hidden": (200,), "epochs": 40},
    "mnist": {"latent": 2, "hidden": (400,), "epochs": 3},
}


def both_sides(work: Path, seeds: list[int], threads: int | None) -> None:
    """A vae on digits and one of two latents on MNIST, by every estimate, on the same 50 test rows."""
    found, notes = {}, []
    for name, how in CASES.items():
        data = load(name)
        notes.append(data.note)
        run = _run(work, name, data, seeds[0], threads, **how)
        measured = _measured(run.model, batch_of(data.test, slice(0, ROWS)))
        found[name] = kept(
            work, f"both_sides_{name}", lambda measured=measured: {k: make() for k, make in measured.items()}
        )
    value = {
        "recipe": "vae",
        "data": f"{'; '.join(notes)}; the first {ROWS} test rows of each",
        "settings": "digits: latent 10, hidden 200, 40 epochs; mnist: latent 2, hidden 400, 3 epochs, on purpose short; "
        "AIS_200,16 with two leapfrog steps; L_k, CUBO and AIS on the same rows, the sandwich on 50 rows that the model drew",
        "unit": "nats per data point; monte_carlo_error is that of the mean over these rows, given the rows",
        "estimates": found,
        "paper": None,
        "no paper": "no published number is for these short runs; what is compared is one estimate with the next",
    }
    write("both_sides", f"python evidence/make.py both_sides --seeds {seeds[0]}", value)


def _run(work: Path, name: str, data: Data, seed: int, threads: int | None, *, epochs: int, **options: Any) -> Run:
    method = recipes.vae(data, seed=seed, **options)
    return trained(work, f"both_sides_{name}_{seed}", method, data, seed=seed, threads=threads, epochs=epochs)


def _measured(model: VAE, rows: Points) -> dict[str, Any]:
    """The estimates by name, each made when called."""

    def importance() -> dict[str, Any]:
        e: Evidence = evidence(model, rows, samples=5000)
        assert e.curve is not None
        curve = {f"L_{k}": round(v, 4) for k, v in zip(e.curve.samples, e.curve.means, strict=True)}
        return _few(e.summary(), "value", "monte_carlo_error", "ess", "khat_above_0.7") | {"curve": curve}

    def annealing(start: str) -> dict[str, Any]:
        found = annealed(model, rows, temperatures=200, start=start)  # type: ignore[arg-type]
        return _few(found.summary(), "value", "monte_carlo_error", "ess", "acceptance")

    def drawn(start: str, temperatures: int) -> dict[str, Any]:
        found = sandwich(model, ROWS, temperatures=temperatures, start=start)  # type: ignore[arg-type]
        return _few(found.summary(), "lower", "upper", "gap", "gap_standard_error")

    def split() -> dict[str, Any]:
        truth = annealed(model, rows, temperatures=200)
        names = ("total", "approximation", "amortisation")
        return _few(refine(model, rows, truth=truth).summary(), *names, *(f"{name}_standard_error" for name in names))

    return {
        "L_5000": importance,
        "AIS_200,16 from q": lambda: annealing("posterior"),
        "AIS_200,16 from the prior": lambda: annealing("prior"),
        "CUBO_2,5000": lambda: _few(
            chi_square(model, rows, samples=5000).summary(), "value", "monte_carlo_error", "ess", "trusted"
        ),
        "sandwich from q, T = 20": lambda: drawn("posterior", 20),
        "sandwich from q, T = 200": lambda: drawn("posterior", 200),
        "sandwich from the prior, T = 200": lambda: drawn("prior", 200),
        "split of log p(x) - ELBO": split,
    }


def _few(summary: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: round(summary[name], 4) for name in names}


MAKERS = (both_sides,)
