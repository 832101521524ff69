"""Labels: one code for each row, and the names of the classes (floor 6)."""

import numpy as np

from logpx.data.base import Stored
from logpx.errors import UserError


def name_labels(stored: Stored) -> tuple[np.ndarray | None, np.ndarray | None, tuple[str, ...] | None]:
    """(codes of the rows, codes of the test rows, names): the codes count the sorted values from 0.

    Raises:
        UserError: there is not one label per row, or labels are fractions.
    """
    given = [(stored.labels, len(stored.x))]
    if stored.test is not None:
        given.append((stored.test_labels, len(stored.test)))
    found = [label_column(y, n, stored.name) for y, n in given if y is not None]
    if not found:
        return None, None, None
    values, codes = np.unique(np.concatenate(found), return_inverse=True)
    classes = stored.classes
    if classes is None or not (values.dtype.kind in "iu" and values[0] >= 0 and values[-1] < len(classes)):
        classes = tuple(str(value) for value in values)
    else:
        codes = np.concatenate(found)
    codes = codes.astype(np.int64)
    if stored.labels is None:
        return None, codes, classes
    n = len(stored.x)
    return codes[:n], codes[n:] if stored.test_labels is not None else None, classes


def label_column(y: np.ndarray, n: int, name: str) -> np.ndarray:
    """One integer or text label per row, (N,)."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (n,):
        raise UserError(f"The labels of {name} have shape {y.shape}, and {n:,} rows need shape ({n},); give one each.")
    if y.dtype.kind not in "biufUT":
        raise UserError(f"The labels of {name} are neither integers nor text; convert them.")
    if y.dtype.kind == "f":
        if not (y == np.rint(y)).all():
            raise UserError(f"The labels of {name} must be integers or text, not fractions or gaps; convert them.")
        return y.astype(np.int64)
    return y.astype(np.int64) if y.dtype.kind in "bu" else y
