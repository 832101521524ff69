"""Feeding batches (floor 6): an epoch is a permutation and slices; integers stay integers until a batch is cut."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from logpx.data import Split
from logpx.model import Batch


class Feed:
    """Batches of a split in a new order every epoch, the short last one included.

    Rows that are a tensor move to the device once; others (a memory-mapped file) are read a batch at a time. Order
    and the noise of binarisation come from one generator each, whose states make an epoch repeatable.
    """

    def __init__(self, split: Split, batch_size: int, *, seed: int, device: torch.device, dtype: torch.dtype) -> None:
        resident = isinstance(split.rows, Tensor)
        context = None if split.context is None else split.context.to(device)
        self.split = replace(split, rows=split.rows.to(device), context=context) if resident else split  # type: ignore[attr-defined]
        self.home = device if resident else torch.device("cpu")
        self.device, self.dtype, self.batch_size = device, dtype, batch_size
        self.order = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(self.home).manual_seed(seed + 1)

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def epoch(self) -> Iterator[Batch]:
        for index in self.permutation().split(self.batch_size):
            yield self.split.batch(index, self.noise).to(self.device, self.dtype)

    def at_random(self) -> Batch:
        """A batch drawn with replacement, outside of any epoch."""
        index = torch.randint(len(self.split), (self.batch_size,), generator=self.order).to(self.home)
        return self.split.batch(index, self.noise).to(self.device, self.dtype)

    def permutation(self) -> Tensor:
        return torch.randperm(len(self.split), generator=self.order).to(self.home)

    def weights(self) -> Tensor:
        """The share of each batch in the data, so that an epoch's mean weighs every point equally."""
        sizes = torch.full((len(self),), float(self.batch_size), dtype=torch.float64)
        sizes[-1] = len(self.split) - self.batch_size * (len(self) - 1)
        return sizes / len(self.split)

    def state(self) -> dict[str, Tensor]:
        return {"order": self.order.get_state(), "noise": self.noise.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.order.set_state(state["order"])
        self.noise.set_state(state["noise"])
