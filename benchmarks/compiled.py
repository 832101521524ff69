"""What compiling the step costs and gains, model by model: milliseconds a step, seconds of compiling, when it pays.

    TORCHINDUCTOR_CACHE_DIR=$(mktemp -d) python benchmarks/compiled.py
    python benchmarks/compiled.py --precision bfloat16 --model vae conv

Each model takes four epochs of 10,000 rows of MNIST (the digits for the small one), batch 128; the first epoch holds the
compiling and is left out of the time of a step, which is that of the fastest epoch after it. With an empty cache compiling
takes as long as for a new user.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {"likelihood": "grey"}),
    "digits": ("vae", {"latent": 8, "hidden": (32,)}),
    "conv": ("vae", {"network": "conv"}),
    "vamp": ("vamp_vae", {}),
    "sphere": ("hyperspherical_vae", {}),
    "poincare": ("poincare_vae", {}),
    "mixed": ("mixed_curvature_vae", {}),
}


def measured(build: Callable[[], Any], data: Any, how: dict[str, Any]) -> tuple[float, float, float]:
    """Milliseconds a step, seconds beyond that in the first epoch, and the last loss."""
    from logpx.train import fit

    run = fit(build(), data, epochs=4, batch_size=128, show=False, **how)
    steps, seconds = run.rows[0]["step"], [row["seconds"] for row in run.rows]
    fastest = min(seconds[1:])
    return 1e3 * fastest / steps, seconds[0] - fastest, run.rows[-1]["train"]["loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--model", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    from logpx.cli import calm_threads

    calm_threads()
    from logpx import recipes
    from logpx.data import load

    print(f"load average before: {os.getloadavg()[0]:.2f}")
    print("| model | as it is, ms | compiled, ms | compiling, s | pays after | losses |\n|---|---|---|---|---|---|")
    for name in given.model:
        recipe, options = MODELS[name]
        protocol = "grey" if options.get("likelihood") == "grey" else "dynamic"
        data = load("digits") if name == "digits" else load("mnist", protocol=protocol, held_out=50_000)
        how = {"precision": given.precision, "threads": given.threads}
        build = lambda recipe=recipe, options=options, data=data: getattr(recipes, recipe)(data, **options)  # noqa: E731
        (plain, _, before), (whole, extra, after) = (measured(build, data, how | {"compile": c}) for c in ("no", "yes"))
        pays = f"{1e3 * extra / (plain - whole):,.0f} steps" if plain > whole else "never"
        print(f"| {name} | {plain:.2f} | {whole:.2f} | {extra:.1f} | {pays} | {before:.2f}, {after:.2f} |", flush=True)
    print(f"load average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
