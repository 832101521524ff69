"""Probes (floor 5): how well a label or a factor can be read from codes by a simple reader that never saw the test rows."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from logpx.errors import UserError

Reader = Literal["linear", "nearest neighbours"]
READERS: tuple[Reader, ...] = ("linear", "nearest neighbours")
NEIGHBOURS = 5
RIDGE = 1e-3  # beside N standardised numbers: a guard against dimensions that repeat each other, and no prior belief


@dataclass(frozen=True)
class Probe:
    """What one reader makes of one target on n test rows: its accuracy, or R^2 of an ordered target.

    chance is what a reader of no codes reaches: the share of the training rows' commonest level, or 0.
    standard_error is that of n test rows; the training rows are taken as given.
    """

    target: str
    reader: Reader
    measure: Literal["accuracy", "R^2"]
    value: float
    standard_error: float
    chance: float
    rows: int

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        chance = f" (chance {self.chance:.3f})" if self.measure == "accuracy" else ""
        return f"{self.measure} {self.value:.3f} +- {self.standard_error:.3f}{chance}"


def probe(
    codes: Tensor,
    target: Tensor,
    test_codes: Tensor,
    test_target: Tensor,
    *,
    reader: Reader = "linear",
    ordered: bool = False,
    name: str = "target",
) -> Probe:
    """Reads a target (N,) from codes (N, D); scored on the test rows.

    linear              logistic regression on standardised codes; least squares with a ridge of 1e-3 if the target is ordered;
    nearest neighbours  the commonest level, or the mean, of the 5 nearest codes in the codes' own units.
    An accuracy a has the error sqrt(a(1 - a)/n). R^2 = 1 - sum r^2 / sum t^2, r the residuals and t the distances from the
    training rows' mean, has that of a ratio of means: sd(r^2 - (1 - R^2) t^2) / (mean t^2 sqrt n). Raises UserError for tables
    that do not fit, and for a target with one level.
    """
    x, y = _checked(codes, target)
    x_test, y_test = _checked(test_codes, test_target)
    if x.shape[1] != x_test.shape[1]:
        raise UserError(f"The training codes have {x.shape[1]} dimensions and the test codes {x_test.shape[1]}.")
    if (y == y[0]).all():
        raise UserError(f"All training rows have one and the same {name}, so there is nothing to read: leave it out.")
    rows = np.lexsort([y, *x.T])  # wherever the rows stood
    x, y = x[rows], y[rows]
    centre, scale = (x.mean(0), np.where(x.std(0) > 1e-12, x.std(0), 1)) if reader == "linear" else (0.0, 1.0)
    guess = _reader(reader, ordered, len(x)).fit((x - centre) / scale, y).predict((x_test - centre) / scale)
    if ordered:
        return Probe(name, reader, "R^2", *_explained(guess, y_test, y.mean()), 0.0, len(y_test))
    accuracy, levels = float((guess == y_test).mean()), np.unique(y, return_counts=True)
    chance = float((y_test == levels[0][levels[1].argmax()]).mean())
    return Probe(
        name, reader, "accuracy", accuracy, math.sqrt(accuracy * (1 - accuracy) / len(y_test)), chance, len(y_test)
    )


def _checked(codes: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(torch.as_tensor(t).detach().cpu()) for t in (codes, target))
    if x.ndim != 2 or y.shape != (len(x),) or not len(x):
        raise UserError(f"Codes (N, D) and one target (N,) for each row are needed, not {x.shape} and {y.shape}.")
    if not np.isfinite(x).all():
        raise UserError("A code is not finite: the model's weights or a row are broken.")
    return x.astype(np.float64), y


def _reader(reader: Reader, ordered: bool, n: int) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    if reader == "linear":
        return Ridge(RIDGE) if ordered else LogisticRegression(max_iter=1000)
    return (KNeighborsRegressor if ordered else KNeighborsClassifier)(min(NEIGHBOURS, n))


def _explained(guess: np.ndarray, truth: np.ndarray, mean: float) -> tuple[float, float]:
    """(R^2, its standard error); nan where the truth never leaves the mean."""
    r, t = (truth - guess) ** 2, (truth - mean) ** 2
    if not t.any():
        return math.nan, math.nan
    value = 1 - r.mean() / t.mean()
    return float(value), float((r - (1 - value) * t).std(ddof=1) / (t.mean() * math.sqrt(len(t)))) if len(
        t
    ) > 1 else math.nan
