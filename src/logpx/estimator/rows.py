"""Rows in and out (floor 8): arrays and data frames of pandas or polars, in the numbers of a trained model and back."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from logpx.data import Column, Split, array_like, columns_in, is_frame
from logpx.evaluate import batch_of
from logpx.model import Batch


def frame_of(rows: Any) -> str:
    """ "pandas" or "polars": whose data frame this is."""
    return str(type(rows).__module__.partition(".")[0])


def conditions_in(y: Any) -> dict[str, np.ndarray]:
    """{name: (N,) values} of what rows are given, a column or several: floats are numbers, anything else names classes."""
    if is_frame(y):
        y = {str(name): y[name].to_numpy() for name in y.columns}
    if isinstance(y, Mapping):
        return {name: _classes(np.asarray(values)) for name, values in y.items()}
    values = np.asarray(y)
    if values.ndim == 2 and values.shape[1] > 1:
        return {f"y{i}": _classes(column) for i, column in enumerate(values.T)}
    return {str(getattr(y, "name", None) or "y"): _classes(values.reshape(len(values)))}


def repeated(given: Any, n: int) -> Any:
    """The same for n rows, where it is one value, or {name: value}; what is given row by row as it is."""
    if isinstance(given, Mapping):
        return {name: repeated(value, n) for name, value in given.items()}
    return np.repeat(np.asarray(given), n) if np.ndim(given) == 0 else given


def _classes(column: np.ndarray) -> np.ndarray:
    """Names of classes as text, a gap as None."""
    if column.dtype.kind == "f":
        return column
    return np.array([None if value is None or value != value else str(value) for value in column.tolist()], object)


def split_like(rows: Any, about: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> Split:
    """Rows as those that the model was trained on; UserError where they do not fit."""
    return array_like(rows, about, name="X", context=context)


def batch_in_full(split: Split) -> Batch:
    """All rows in float64: as they were given, where a batch of the training is rounded to float32."""
    context = None if split.context is None else split.context.double()
    return Batch.of(split.rows[:].double(), context, missing=split.missing)


def known_columns(about: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a table, in their order; of a table of one kind each is of that kind."""
    return columns_in(about, "column_kinds") or tuple(Column(name, about["kind"]) for name in about["columns"] or ())


def as_array(x: Tensor, dtype: Any = np.float64) -> np.ndarray:
    """x (N, *shape) as an array (N, P)."""
    return x.detach().cpu().flatten(1).double().numpy().astype(dtype, copy=False)


def as_frame(x: Tensor, about: Mapping[str, Any], library: str, index: Any = None) -> Any:
    """x (N, P) as a data frame with the columns of the training, categories by their names."""
    values = as_array(x)
    columns = {
        column.name: _named(values[:, j], _categories(column, about)) for j, column in enumerate(known_columns(about))
    }
    return import_module(library).DataFrame(columns, **({} if index is None else {"index": index}))


def filled_frame(rows: Any, x: Tensor, holes: Tensor, about: Mapping[str, Any]) -> Any:
    """The frame with x (N, P) in its holes (N, P): no other cell changes, and each column keeps its type."""
    library, labels, new = import_module(frame_of(rows)), {str(label): label for label in rows.columns}, {}
    for j, column in enumerate(known_columns(about)):
        where = holes[:, j].numpy()
        if where.any():
            old = rows[labels[column.name]]
            made = _named(as_array(x[:, j : j + 1])[:, 0], _categories(column, about))
            new[labels[column.name]] = _in_type(library, old, made, where, column)
    if library.__name__ == "polars":
        return rows.with_columns(new.values())
    filled = rows.copy()
    for label, series in new.items():
        filled[label] = series
    return filled


def _in_type(library: Any, old: Any, made: np.ndarray, where: np.ndarray, column: Column) -> Any:
    """A column with what was made in its holes."""
    held = old.to_numpy()
    truths = any(isinstance(value, bool | np.bool_) for value in held)
    cells = [_cell(made[i], column, truths) if hole else held[i] for i, hole in enumerate(where)]
    if library.__name__ == "polars":
        return library.Series(old.name, [None if c != c else c for c in cells], strict=False).cast(old.dtype)
    return library.Series(cells, index=old.index, dtype=old.dtype)


def _cell(value: Any, column: Column, truths: bool) -> Any:
    """A Python value; a whole one where the column holds whole numbers."""
    if column.kind == "categorical" and isinstance(value, str):
        return value
    if truths:
        return bool(value)
    return int(value) if column.kind in ("integer", "binary", "categorical") else float(value)


def _categories(column: Column, about: Mapping[str, Any]) -> Sequence[str] | None:
    return about["categories"].get(column.name) if column.kind == "categorical" else None


def _named(values: np.ndarray, categories: Sequence[str] | None) -> np.ndarray:
    """Codes by their names; numbers as they are."""
    if categories is None:
        return values
    return np.array([categories[int(code)] for code in values], dtype=object)


def dtype_like(rows: Any) -> Any:
    """float32 of float32 rows, else float64."""
    return np.float32 if getattr(rows, "dtype", None) == np.float32 else np.float64


def pieces(batch: Batch, rows: int = 2048) -> list[Batch]:
    """A batch in pieces of at most so many rows."""
    return [batch_of(batch, slice(i, i + rows)) for i in range(0, len(batch.x), rows)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.cpu() for part in parts])
