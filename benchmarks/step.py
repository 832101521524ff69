"""Where the time of a training step goes: 784-400-20 on grey MNIST, batch 128, two threads, after two epochs.

    python benchmarks/step.py
    python benchmarks/step.py --precision float32 --compile no

Times are those of an epoch under torch's profiler, which adds to each of the some hundred calls of a step.
"""

import argparse
from typing import Any

#: what the profiler calls it -> what it is; the first that fits
PARTS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "checks that the graph still holds": ("TorchDynamo Cache Lookup",),
    "compiled kernels: activations, densities, casts, Adam": ("## Call CompiledFxGraph", "graph_"),
    "Adam": ("aten::_fused_adam_", "Optimizer.step", "aten::_foreach_add_"),
    "gathering rows": ("aten::index_select", "aten::div", "aten::index"),
    "drawing noise": ("aten::normal_", "aten::randn"),
    "autograd's own": ("autograd::", "torch::autograd", "CompiledFunction"),
}


def part(name: str) -> str:
    return next((part for part, starts in PARTS.items() if name.startswith(starts)), "everything else")


def table(events: Any, steps: int) -> dict[str, float]:
    """Milliseconds of each part per step."""
    spent: dict[str, float] = {}
    for event in events:
        spent[part(event.key)] = spent.get(part(event.key), 0) + event.self_cpu_time_total / 1e3 / steps
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--compile", default="yes")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    from logpx.cli import calm_threads

    calm_threads()
    import torch

    from logpx import recipes
    from logpx.data import load
    from logpx.train import fit
    from logpx.train.loop import Loop

    data = load("mnist", protocol="grey", held_out=0)
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])
    descend = Loop.descend

    def watched(loop: Loop) -> dict[str, float]:
        if loop.epoch < 2:
            return descend(loop)
        with profiler:
            return descend(loop)

    Loop.descend = watched  # type: ignore[method-assign]
    how: dict[str, Any] = {"precision": given.precision, "compile": given.compile, "threads": given.threads}
    run = fit(recipes.vae(data, latent=20, likelihood="grey"), data, epochs=3, batch_size=128, show=False, **how)
    steps = run.rows[0]["step"]
    spent = table(profiler.key_averages(), steps)
    print(
        f"{given.precision}, compile {given.compile}: {1e3 * run.rows[1]['seconds'] / steps:.2f} ms a step without the profiler"
    )
    print("| part of a step | ms | share |\n|---|---|---|")
    for name, ms in spent.items():
        print(f"| {name} | {ms:.2f} | {ms / sum(spent.values()):.0%} |")
    print(f"| all of it | {sum(spent.values()):.2f} | |")


if __name__ == "__main__":
    main()
