"""The encoder's gradient under plain, stl and dreg: the same mean (stl: for k = 1 only), and its variance.

    python benchmarks/gradients.py [--steps 300] [--draws 400] [--samples 1 5 50]

An IWAE of 64-100-10 tanh on 8 x 8 digits, trained for so many steps with k = 5, then held still; one batch of 50 rows,
independent draws of its gradient. `distance` is the largest difference of two means over 500 weights of the encoder, the
same for every estimator, in standard errors: below about 4 is agreement. `variance` is the sum over all encoder weights.
"""

import argparse
import math

import torch
from torch import Tensor

from logpx import recipes
from logpx.data import load
from logpx.model import VAE, Batch
from logpx.objectives import IWAE
from logpx.train import fit


def gradients(model: VAE, batch: Batch, k: int, name: str, draws: int) -> Tensor:
    """Independent draws of the gradient by all weights of the encoder, (draws, W)."""
    weights, objective = list(model.encoder.parameters()), IWAE(k, name)  # type: ignore[arg-type]
    torch.manual_seed(sum(map(ord, name)))  # noises of its own: equal ones would make the means agree by themselves
    found = []
    for _ in range(draws):
        slopes = torch.autograd.grad(objective(model, batch).loss, weights)
        found.append(torch.cat([slope.flatten() for slope in slopes]))
    return torch.stack(found).double()


def distance(a: Tensor, b: Tensor) -> float:
    """The largest difference of means in standard errors, over the 500 weights of the largest variance."""
    most = b.var(0).topk(500).indices
    a, b = a[:, most], b[:, most]
    return ((a.mean(0) - b.mean(0)).abs() / ((a.var(0) + b.var(0)) / len(a)).sqrt()).max().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 5, 50])
    given = parser.parse_args()
    data = load("digits", protocol="threshold")
    method = recipes.iwae(data, latent=10, hidden=(100,), samples=5)
    epochs = math.ceil(given.steps / math.ceil(len(data.train) / 100))
    model = fit(method, data, epochs=epochs, batch_size=100, show=False).model
    batch = Batch(data.test.x(slice(0, 50)))
    print("| k | gradient | variance | against plain | signal to noise | distance of the means from plain |")
    print("|---|---|---|---|---|---|")
    for k in given.samples:
        found = {name: gradients(model, batch, k, name, given.draws) for name in ("plain", "stl", "dreg")}
        plain = found["plain"].var(0).sum().item()
        for name, g in found.items():
            variance = g.var(0).sum().item()
            signal = max(g.mean(0).square().sum().item() - variance / len(g), 0.0)  # unbiased for |E g|^2
            away = "" if name == "plain" else f"{distance(g, found['plain']):.1f}"
            told = f"{variance:.4g} | {variance / plain:.2f} | {math.sqrt(signal / variance):.2f} | {away}"
            print(f"| {k} | {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
