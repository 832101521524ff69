"""A run's account of its data (floor 6): what `Data.describe` wrote to run.json, read back with care."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from logpx.data.base import KINDS, Column
from logpx.errors import UserError

NEEDED = ("source", "protocol", "shape", "kind", "levels", "columns", "column_kinds", "conditions", "categories")


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _are_names(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(isinstance(name, str) for name in value))


def _are_counts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(n, int) for n in value.values())


def _are_kinds(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, Mapping) and all(map(_is_text, value.values())))


#: what was asked of `load`, and what each answer may be
ASKED: Mapping[str, Callable[[Any], bool]] = {
    "kind": _is_text,
    "columns": _are_kinds,
    "context": lambda value: _is_text(value) or _are_names(value),
    "drop": lambda value: _is_text(value) or _are_names(value),
    "standardise": lambda value: value is None or isinstance(value, bool),
    "split": _is_text,
    "group": _is_text,
}


def _is_asked(value: Any) -> bool:
    return isinstance(value, Mapping) and all(name in ASKED and ASKED[name](v) for name, v in value.items())


FITS: Mapping[str, Callable[[Any], bool]] = {
    "source": lambda value: isinstance(value, str),
    "protocol": lambda value: isinstance(value, str),
    "label": _is_text,
    "seed": lambda value: isinstance(value, int),
    "counts": _are_counts,
    "columns": _are_names,
    "classes": _are_names,
    "asked": _is_asked,
}


def columns_in(about: Mapping[str, Any], key: str) -> tuple[Column, ...]:
    """The `column_kinds` or the `conditions` of an account, () where it has none.

    Raises:
        UserError: they are no columns, or a categorical one lacks the names of its categories.
    """
    try:
        columns = tuple(Column(*column) for column in about.get(key) or ())
        for column in columns:
            names = about["categories"][column.name] if column.kind == "categorical" else ()
            short = column.kind == "categorical" and not 0 < int(column.levels or 0) <= len(names)
            if short or column.kind not in KINDS or not isinstance(column.name, str):
                raise ValueError(column.name)
            float(column.mean), float(column.scale)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(damaged(f"its {key} do not fit its categories ({error!r})")) from None
    return columns


def apart(about: Mapping[str, Any]) -> list[str]:
    """Columns of the file that are no data and no condition: what rows are for, their group."""
    asked = about.get("asked") or {}
    return [asked[name] for name in ("split", "group") if asked.get(name)]


def check_about(about: Any, where: str = "run.json") -> None:
    """Raises UserError, naming the file, for an account that lacks something or contradicts itself."""
    try:
        lacks = (
            [repr(name) for name in (*NEEDED, "seed", "label") if name not in about]
            if isinstance(about, Mapping)
            else ["'data'"]
        )
        if lacks:
            raise UserError(damaged(f"it does not say {', '.join(lacks)} of its data"))
        wrong = [f"{name} {about[name]!r}" for name, fits in FITS.items() if name in about and not fits(about[name])]
        if wrong:
            raise UserError(damaged(f"{wrong[0]} cannot be said of data"))
        columns = columns_in(about, "column_kinds")
        columns_in(about, "conditions")
        _check_shape(about["shape"], about["columns"], columns, about["kind"])
        _check_standard(about.get("standard"), about["shape"])
    except UserError as error:
        raise UserError(str(error).replace("run.json", where, 1)) from None


def _check_shape(shape: Any, names: Any, columns: Sequence[Column], kind: Any) -> None:
    if (
        not isinstance(shape, list | tuple)
        or not shape
        or not all(isinstance(n, int) and n > 0 for n in shape)
        or kind not in KINDS
    ):
        raise UserError(damaged(f"its data of kind {kind!r} cannot have the shape {shape!r}"))
    several = [part for part in (names, columns) if part]
    if any(len(part) != shape[0] for part in several) or (kind == "mixed") != bool(columns):
        raise UserError(damaged(f"its columns do not fit its shape {tuple(shape)}"))


def _check_standard(standard: Any, shape: Any) -> None:
    """Refuse means and scales that are not one of each for every column or channel."""
    try:
        fits = standard is None or [len(list(map(float, n))) for n in standard] == [shape[0]] * 2
        fits = fits and (standard is None or all(0 < scale < float("inf") for scale in standard[1]))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise UserError(damaged("its means and scales do not fit its shape"))


def damaged(what: str) -> str:
    """The sentence for an account that cannot be right."""
    return f"run.json is damaged: {what}; take it from a copy, or train again."
