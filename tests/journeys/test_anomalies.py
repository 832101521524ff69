"""A journey, that of docs/anomalies.md: from a csv file with gaps to anomaly scores and filled cells, beside scikit-learn's.

The page's own lines are run, from the command line as it has them; evidence/anomalies.py does the same over many seeds.
"""

import csv
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from logpx import cli

PAGE = (Path(__file__).parents[2] / "docs" / "anomalies.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def cells(path: str) -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def error_of(auc: float, odd: np.ndarray) -> float:
    """Standard error of an area under the curve (Hanley & McNeil 1982, eq. 1)."""
    a, b = int(odd.sum()), int((~odd).sum())
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return math.sqrt((auc * (1 - auc) + (a - 1) * (one - auc**2) + (b - 1) * (two - auc**2)) / (a * b))


def test_from_a_csv_with_gaps_to_scores_and_filled_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    make, compare = blocks("python")
    exec(compile(make, "anomalies.md", "exec"), scope)
    for line in blocks("bash")[0].splitlines():
        quiet = " --quiet --no-report" if line.startswith("logpx train") else ""
        assert cli.run(shlex.split(line + quiet)[1:]) == 0
    said = capsys.readouterr().out

    # the rows that are printed first are outliers, with the columns that make them so
    first = [line.split() for line in said.splitlines() if re.match(r"  [BM]\d", line)]
    assert len(first) == 5
    assert sum(row[0].startswith("M") for row in first) >= 4
    assert all(re.search(r"\+\d", " ".join(row)) for row in first)

    # outliers are found about as well as by what scikit-learn offers or better, and gaps are filled better than by means
    exec(compile(compare, "anomalies.md", "exec"), scope)
    found = [line.split() for line in capsys.readouterr().out.splitlines()]
    auc, means, made = {name: float(value) for name, value in found[:3]}, float(found[3][1]), float(found[4][1])
    odd, scores = scope["odd"], scope["scores"]
    assert auc["logpx"] > 0.9
    for name in ("forest", "PCA"):
        assert auc["logpx"] > auc[name] - 2 * error_of(auc["logpx"], odd), name
    assert made < 0.75 * means
    assert (scores.p_value[~odd] <= 0.05).mean() < 0.15  # binomial(100, 0.05), by a threshold from 51 rows
    assert (scores.p_value[odd] <= 0.05).mean() > 0.5

    # rows keep their order, and cells that were observed are as they were
    before, after = cells("new.csv"), cells("filled.csv")
    assert [row[0] for row in cells("scores.csv")[1:]] == [row[0] for row in before[1:]]
    assert [
        [new if old else "" for old, new in zip(*rows, strict=True)] for rows in zip(before, after, strict=True)
    ] == before
    assert all(all(row) for row in after)
