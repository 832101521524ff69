"""A journey: from a csv file with missing values to anomaly scores and imputed values, beside IsolationForest and PCA.

A small version of evidence/anomalies.py (its docstring says how the rows are made), from the command line alone.
"""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score

from command_line import run

TRAIN = "--latent 8 --hidden 64 --sigma pixel --epochs 60 --batch-size 32 --learning-rate 4e-3 --held-out 0.2 --test 0"
GAP = 0.1


def write(path: Path, x: np.ndarray, first: int) -> list[list[str]]:
    """A csv file with a column that names the rows, and empty cells; returns its cells."""
    names = ["patient", *load_breast_cancer().feature_names]
    cells = [[f"p{first + i}", *("" if v != v else f"{v:.6g}" for v in row)] for i, row in enumerate(x)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *cells])
    return cells


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def error_of(auc: float, odd: np.ndarray) -> float:
    """Standard error of an area under the curve (Hanley & McNeil 1982, eq. 1)."""
    a, b = int(odd.sum()), int((~odd).sum())
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return math.sqrt((auc * (1 - auc) + (a - 1) * (one - auc**2) + (b - 1) * (two - auc**2)) / (a * b))


def test_from_a_csv_with_gaps_to_scores_and_filled_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    random, data = np.random.RandomState(0), load_breast_cancer()
    benign, malignant = (random.permutation(data.data[data.target == k]) for k in (1, 0))
    known, whole = benign[:257], np.concatenate([benign[257:], malignant[:21]])
    known, whole = ((x - benign[:257].mean(0)) / benign[:257].std(0) for x in (known, whole))
    odd, gone = np.arange(121) >= 100, random.rand(121, 30) < GAP
    known, new = np.where(random.rand(*known.shape) < GAP, np.nan, known), np.where(gone, np.nan, whole)
    write(Path("known.csv"), known, 0)
    cells = write(Path("new.csv"), new, 1000)

    # the command line, as the guide has it
    assert run(f"train vae known.csv --drop patient {TRAIN} --quiet --no-report --evidence-samples 10 --out model") == 0
    capsys.readouterr()
    assert run("score model new.csv -o scores.csv --id patient --top 10 --json") == 0
    said = json.loads(capsys.readouterr().out)
    assert run("impute model new.csv --out filled.csv") == 0

    # the outliers are found, about as well as by what scikit-learn offers or better
    rows = read(Path("scores.csv"))
    assert [row["id"] for row in rows] == [row[0] for row in cells]
    fill = SimpleImputer()
    a, b = fill.fit_transform(known), fill.transform(new)
    pca, forest = PCA(8).fit(a), IsolationForest(random_state=0).fit(a)
    others = {
        "PCA, reconstruction": np.square(pca.inverse_transform(pca.transform(b)) - b).sum(1),
        "PCA, log p(x)": -pca.score_samples(b),
        "IsolationForest": -forest.score_samples(b),
    }
    auc = roc_auc_score(odd, [-float(row["log_px"]) for row in rows])
    assert auc > 0.9
    for name, found in others.items():
        assert auc > roc_auc_score(odd, found) - 2 * error_of(auc, odd), name
    assert roc_auc_score(odd, [float(row["typicality"]) for row in rows]) > 0.8
    most = {row["id"] for row in said["top"]}
    assert len(most & {row[0] for row in cells[100:]}) >= 8
    p = np.array([float(row["p_value"]) for row in rows])
    assert np.mean(p[~odd] <= 0.05) < 0.15  # binomial(100, 0.05), by a threshold from 51 rows
    assert np.mean(p[odd] <= 0.05) > 0.5

    # cells that were observed are as they were, and the others are closer than the column means
    filled = read(Path("filled.csv"))
    for before, after, holes in zip(cells, filled, gone, strict=True):
        values = list(after.values())
        assert values[0] == before[0]
        assert [v for v, hole in zip(values[1:], holes, strict=True) if not hole] == [v for v in before[1:] if v]
    made = np.array([[float(v) for v in list(row.values())[1:]] for row in filled])
    errors = [np.sqrt(np.square(x - whole)[:100][gone[:100]].mean()) for x in (made, b)]
    assert errors[0] < 0.75 * errors[1]
