"""Training on a GPU, alone and beside Pythae, in turn in one run: A B B A ...

    python benchmarks/gpu.py --data MNIST_FOLDER --peer .venv-pythae/bin/python --rounds 3

    step       784-400-20 on MNIST binarised at a half, batch 128: microseconds per step
    reference  the hundred epochs of benchmarks/reference.py: their seconds at the pace of those after the first, which
               compiles, and the test total
    large      pictures of 3 x 64 x 64, three convolutions of stride 2 with 256, 512 and 1,024 channels, 128 latents, batch 256:
               the share that a step's multiplications have of the largest rate at which this card multiplies matrices in
               bfloat16, found here by products of 8192 x 8192

Ours computes in bfloat16 and as a recorded graph, with the data on the card; Pythae as its documented path has it. Sides are
processes of their own (sides.py) and the first epoch of each is left out. Seconds are those of an epoch, at whose end ours
reads its losses back, so that nothing is still under way. Without a GPU nothing is measured, and it says so; `--device cpu`
tries the script itself; give it few --rows, --epochs and --reference-epochs.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from train import compare, last_line

SCRIPT = str(Path(__file__).with_name("sides.py"))


def sides_of(case: str, file: str, batch: int, given: argparse.Namespace) -> dict[str, list[str]]:
    """Both sides' commands."""
    options = [case, file, "--seed", "{round}", "--device", given.device, "--batch", str(batch)]
    options += ["--epochs", str(given.epochs)]
    ours = ["--precision", "bfloat16", "--compile", "yes"]
    found = {"logpx": [sys.executable, SCRIPT, "logpx", *options, *ours]}
    if given.peer:
        found["Pythae"] = [given.peer, SCRIPT, "pythae", *options]
    return found


def step(folder: str, given: argparse.Namespace) -> None:
    """Microseconds per step of a small model, where a GPU waits for whoever gives it work."""
    import numpy as np

    from logpx.data import load

    x = load("mnist", protocol="threshold", held_out=0).train.x(slice(0, given.rows))
    np.save(file := f"{folder}/mnist.npy", x.numpy().astype(np.uint8))
    seconds, _ = compare(sides_of("mlp", file, 128, given), given.rounds)
    for name, medians in seconds.items():
        microseconds = [1e6 * s / -(-len(x) // 128) for s in medians]
        low, middle, high = min(microseconds), statistics.median(microseconds), max(microseconds)
        print(f"step, {name}: {middle:.0f} us ({low:.0f} to {high:.0f})")


def reference(given: argparse.Namespace) -> None:
    """Seconds of the reference run, training alone, and what it comes to."""
    script = str(Path(__file__).with_name("reference.py"))
    command = [
        sys.executable,
        script,
        "--data",
        given.data,
        "--worker",
        "ours",
        "--to-the-end",
        "--device",
        given.device,
    ]
    command += ["--epochs", str(given.reference_epochs)]
    for i in range(given.rounds):
        curve = json.loads(last_line([*command, "--seed", str(i)]))
        steady = [epoch["seconds"] for epoch in curve[1:] or curve]
        total = sum(steady) * len(curve) / len(steady)
        said = (
            f"{total:.2f} s of training (first epoch {curve[0]['seconds']:.1f} s), test total {curve[-1]['total']:.2f}"
        )
        print(f"reference, seed {i}: {len(curve)} epochs take {said}", flush=True)


def large(folder: str, given: argparse.Namespace) -> None:
    """Share of the card's peak."""
    import numpy as np

    small = given.device == "cpu"
    n, batch = (64, 16) if small else (8192, 256)
    x = np.random.default_rng(0).integers(0, 2, (n, 3, 64, 64), dtype=np.uint8)
    np.save(file := f"{folder}/large.npy", x)
    seconds, _ = compare(sides_of("large", file, batch, given), given.rounds)
    work, peak = operations(batch), fastest(given.device, 512 if small else 8192)
    for name, medians in seconds.items():
        rates = [work * (n // batch) / s for s in medians]
        shares = f"{min(rates) / peak:.1%} to {max(rates) / peak:.1%}"
        print(
            f"large, {name}: {statistics.median(rates) / 1e12:.2f} of {peak / 1e12:.2f} Tflop/s, {shares} of the peak"
        )


def operations(batch: int) -> int:
    """Additions and multiplications of a step's products, forwards and back, counted by torch on tensors without numbers."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from written import Plain

    with torch.device("meta"):
        model, x = Plain("large"), torch.zeros(batch, 3, 64, 64)
        with FlopCounterMode(display=False) as counter:
            model(x).backward()
    return counter.get_total_flops()


def fastest(device: str, n: int) -> float:
    """The rate of a large product in bfloat16, operations per second: the best of ten."""
    import torch

    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    spent = []
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(10):
            c = a @ b
        float(c[0, 0])  # waits for the card
        spent.append(time.perf_counter() - start)
    return 10 * 2 * n**3 / min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=".", help="folder with the MNIST idx files, for reference.py")
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with Pythae 0.1.2")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--part", nargs="+", choices=("step", "reference", "large"), default=["step", "reference", "large"]
    )
    for name, value in {"rows": 60_000, "epochs": 4, "rounds": 3, "reference-epochs": 100}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    import torch

    if given.device != "cpu" and not torch.cuda.is_available():
        print("There is no GPU here: not run.")
        return
    named = "the CPU" if given.device == "cpu" else torch.cuda.get_device_name(given.device)
    print(f"{named}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Any] = {"step": lambda: step(folder, given), "reference": lambda: reference(given)}
        parts["large"] = lambda: large(folder, given)
        for part in given.part:
            parts[part]()


if __name__ == "__main__":
    main()
