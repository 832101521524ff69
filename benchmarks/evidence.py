"""L_5000 of MNIST images beside Pythae's get_nll and beside the matrix products alone, in turn in one run: A B B A A B ...

    python benchmarks/evidence.py --peer .venv-pythae/bin/python --rounds 3 --images 256 --peer-images 10

784-400-20, float32, two threads, binarised images, weights as they start (time does not depend on them). Each side is a process
of its own and prints seconds per image; the peer sees fewer images, for it loops over them, and under no_grad, which its method
leaves to the caller. `products` are the two products of the decoder for as many draws, with nothing around them. A run with
company is worthless: the load average before and after is printed.
"""

import argparse
import json
import os
import statistics
import sys
import time

from train import last_line

SAMPLES, LATENT, HIDDEN, PIXELS = 5000, 20, 400, 784

PEER = """
import sys, time, json, torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder

class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__()
        self.hidden, self.mean, self.log_variance = (torch.nn.Linear(*s) for s in ((784, 400), (400, 20), (400, 20)))
    def forward(self, x):
        h = torch.relu(self.hidden(x.flatten(1)))
        return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.hidden, self.pixels = torch.nn.Linear(20, 400), torch.nn.Linear(400, 784)
    def forward(self, z):
        return ModelOutput(reconstruction=torch.sigmoid(self.pixels(torch.relu(self.hidden(z)))))

images, samples, threads = map(int, sys.argv[1:])
torch.set_num_threads(threads)
config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
model = VAE(config, encoder=Encoder(), decoder=Decoder()).eval()
x = (torch.rand(images + 1, 1, 28, 28) < 0.2).float()
with torch.no_grad():
    model.get_nll(x[:1], n_samples=samples, batch_size=100)
    start = time.perf_counter()
    model.get_nll(x[1:], n_samples=samples, batch_size=100)
print(json.dumps((time.perf_counter() - start) / images))
"""


def ours(images: int, threads: int) -> float:
    """Seconds per image of `evaluate.evidence`."""
    import torch

    from logpx import recipes
    from logpx.data import Spec
    from logpx.evaluate import evidence

    torch.set_num_threads(threads)
    model = recipes.vae(Spec((1, 28, 28), "binary"), latent=LATENT, hidden=(HIDDEN,)).model
    x = (torch.rand(images, 1, 28, 28) < 0.2).float()
    evidence(model, x[:10], samples=SAMPLES)
    start = time.perf_counter()
    evidence(model, x, samples=SAMPLES)
    return (time.perf_counter() - start) / images


def products(images: int, threads: int) -> float:
    """Seconds per image of the decoder's two products alone, on batches of 1,000 draws."""
    import torch

    torch.set_num_threads(threads)
    z, W, V = torch.randn(1000, LATENT), torch.randn(LATENT, HIDDEN), torch.randn(HIDDEN, PIXELS)
    h, a = torch.empty(1000, HIDDEN), torch.empty(1000, PIXELS)
    batches = SAMPLES // 1000 * images
    for timed in (20, batches):
        start = time.perf_counter()
        for _ in range(timed):
            torch.mm(z, W, out=h)
            torch.mm(h, V, out=a)
    return (time.perf_counter() - start) / images


def measured(command: list[str]) -> float:
    """One process, alone: its number."""
    return float(last_line(command))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", choices=("ours", "products"), help="one side alone, in this process")
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with Pythae 0.1.2")
    for name, value in {"rounds": 3, "images": 256, "peer-images": 10, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps({"ours": ours, "products": products}[given.worker](given.images, given.threads)))
        return
    here = [sys.executable, __file__, "--images", str(given.images), "--threads", str(given.threads), "--worker"]
    sides = {"logpx": [*here, "ours"], "products": [*here, "products"]}
    if given.peer:
        sides["Pythae"] = [given.peer, "-c", PEER, str(given.peer_images), str(SAMPLES), str(given.threads)]
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    found: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(given.rounds):
        for name in list(sides)[:: 1 if i % 2 == 0 else -1]:
            found[name].append(measured(sides[name]))
            print(f"round {i + 1}  {name:<10} {1e3 * found[name][-1]:.1f} ms per image", flush=True)
    for name in list(sides)[1:]:
        ratios = [theirs / mine for mine, theirs in zip(found["logpx"], found[name], strict=True)]
        print(f"{name} / logpx: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"load average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
