"""What all scored rows say together (floor 8): their mean, how many are atypical or in doubt, and the most atypical ones."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from logpx.data import columns_in

if TYPE_CHECKING:
    from logpx.cli.blocks import Block
    from logpx.evaluate import Scores

WHY, CODE = "why ", "(code)"  # of the names of columns that say why a row is unusual
FEW = 10  # an effective sample size below which L_k is hardly log p(x): a bias of 1/(2 ESS) to first order, and itself too high


def together(found: "Scores") -> Tensor:
    """What each column adds to -log p(x), and last the code, (n, P + 1)."""
    assert found.shares is not None
    assert found.code is not None
    return torch.cat([found.shares, found.code[:, None]], 1)


def excess(found: "Scores", usual: Tensor, about: Mapping[str, Any]) -> dict[str, Tensor]:
    """The same by name, above what is usual; of a row and a reference without gaps they add up to -log p(x) - H."""
    names = about["columns"] or [column.name for column in columns_in(about, "column_kinds")]
    names = names or [f"x{j}" for j in range(about["shape"][0])]
    return dict(zip([*(WHY + name for name in names), WHY + CODE], (together(found) - usual).T, strict=True))


def why_of(row: Mapping[str, Any]) -> list[str]:
    """The three columns that add most to a row's surprise, in words; nothing where nobody asked."""
    found = {name.removeprefix(WHY): v or 0.0 for name, v in row.items() if name.startswith(WHY)}
    most = sorted(found, key=lambda name: -found[name])[:3]
    return [", ".join(f"{name} {found[name]:+.1f}" for name in most if found[name] > 0)] if found else []


class Totals:
    """The mean of log p(x) with its standard error, how many rows are atypical or in doubt, and the most atypical ones.

    Rows at -inf are counted, and the mean is that of the others.

    by       the column whose largest values come first; of log_px the smallest.
    samples  k: fewer than 25 are too few to judge by their effective sample size.
    """

    def __init__(self, top: int, by: str, samples: int) -> None:
        self.top, self.by, self.judges = top, by, samples >= 25
        self.rows, self.mean, self.squares, self.unlikely, self.doubtful = 0, 0.0, 0.0, 0, 0
        self.beyond = 0
        self.most: list[dict[str, Any]] = []

    def add(self, block: "Block") -> None:
        x, p = block.columns["log_px"], block.columns["p_value"]
        assert x is not None
        assert p is not None
        self._average(x[x.isfinite()])
        self.rows += len(x)
        self.beyond += int(x.isneginf().sum())
        self.unlikely += int((p <= 0.05).sum())
        if self.judges and (ess := block.columns["ess"]) is not None:
            self.doubtful += int((ess < FEW).sum())
        if self.top:
            self._keep(block)

    def _average(self, x: Tensor) -> None:
        if not (n := len(x)):
            return
        before, mean = self.rows - self.beyond, x.mean().item()
        shift, total = mean - self.mean, before + n
        self.squares += (x - mean).square().sum().item() + shift**2 * before * n / total
        self.mean += shift * n / total

    @property
    def value(self) -> float | None:
        """The mean, None where every row is at -inf."""
        return self.mean if self.rows > self.beyond else None

    @property
    def standard_error(self) -> float | None:
        n = self.rows - self.beyond
        return math.sqrt(self.squares / (n - 1) / n) if n > 1 else None

    def _keep(self, block: "Block") -> None:
        key = block.columns[self.by]
        assert key is not None
        order = key.argsort(descending=self.by != "log_px", stable=True)[: self.top].tolist()
        lists = dict(zip(block.columns, block.lists(), strict=True))
        new = [{"row": block.first + i, "id": block.ids[i]} | {k: v[i] for k, v in lists.items()} for i in order]
        sign = 1 if self.by == "log_px" else -1
        self.most = sorted([*self.most, *new], key=lambda row: sign * row[self.by])[: self.top]
