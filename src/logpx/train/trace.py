"""The latent space as it forms (floor 6): for two latents, the same points' posterior means, epoch after epoch."""

from pathlib import Path

import torch
from torch import Tensor

from logpx.data import Split
from logpx.evaluate import evaluating
from logpx.model import VAE
from logpx.train import state

POINTS, FRAMES = 2000, 60


class Trace:
    """Frames (E, N, 2) of at most 2000 points and about 60 epochs; empty where the latent space is not a plane."""

    def __init__(self, model: VAE, split: Split, epochs: int) -> None:
        self.model, self.every = model, max(1, epochs // FRAMES)
        self.flat = getattr(model.posterior, "dim", None) == 2
        generator = torch.Generator().manual_seed(0)
        self.batch = split.batch(slice(0, POINTS), generator) if self.flat else None
        self.labels = None if split.labels is None else split.labels[:POINTS]
        self.epochs: list[int] = []
        self.frames: list[Tensor] = []

    @torch.no_grad()
    def record(self, epoch: int) -> None:
        if self.batch is None or epoch % self.every:
            return
        like = next(self.model.parameters())
        with evaluating(self.model):
            means = self.model.encode(self.batch.to(like.device, like.dtype)).mean
        self.epochs.append(epoch)
        self.frames.append(means.to("cpu", torch.float16))

    def save(self, path: Path) -> None:
        if self.frames:
            state.save(path, {"epochs": self.epochs, "frames": torch.stack(self.frames), "labels": self.labels})

    def restore(self, path: Path, epoch: int) -> None:
        if path.exists():
            saved = state.load(path)
            kept = [i for i, e in enumerate(saved["epochs"]) if e <= epoch]
            self.epochs = [saved["epochs"][i] for i in kept]
            self.frames = [saved["frames"][i] for i in kept]
