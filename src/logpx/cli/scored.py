"""What all scored rows say together (floor 8): their mean, how many are atypical or in doubt, and the most atypical ones."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpx.cli.streamed import Block

FEW = 10  # an effective sample size below which L_k is hardly log p(x): a bias of 1/(2 ESS) to first order, and itself too high


class Totals:
    """The mean of log p(x) with its standard error, how many rows are atypical or in doubt, and the most atypical ones.

    by       the column whose largest values come first; of log_px the smallest.
    samples  k: fewer than 25 are too few to judge by their effective sample size.
    """

    def __init__(self, top: int, by: str, samples: int) -> None:
        self.top, self.by, self.judges = top, by, samples >= 25
        self.rows, self.mean, self.squares, self.unlikely, self.doubtful = 0, 0.0, 0.0, 0, 0
        self.most: list[dict[str, Any]] = []

    def add(self, block: "Block") -> None:
        x, p = block.columns["log_px"], block.columns["p_value"]
        assert x is not None
        assert p is not None
        n, mean = len(x), x.mean().item()
        shift, total = mean - self.mean, self.rows + n
        self.squares += (x - mean).square().sum().item() + shift**2 * self.rows * n / total
        self.mean, self.rows = self.mean + shift * n / total, total
        self.unlikely += int((p <= 0.05).sum())
        if self.judges and (ess := block.columns["ess"]) is not None:
            self.doubtful += int((ess < FEW).sum())
        if self.top:
            self._keep(block)

    @property
    def standard_error(self) -> float | None:
        return math.sqrt(self.squares / (self.rows - 1) / self.rows) if self.rows > 1 else None

    def _keep(self, block: "Block") -> None:
        key = block.columns[self.by]
        assert key is not None
        order = key.argsort(descending=self.by != "log_px", stable=True)[: self.top].tolist()
        lists = dict(zip(block.columns, block.lists(), strict=True))
        new = [{"row": block.first + i, "id": block.ids[i]} | {k: v[i] for k, v in lists.items()} for i in order]
        sign = 1 if self.by == "log_px" else -1
        self.most = sorted([*self.most, *new], key=lambda row: sign * row[self.by])[: self.top]
