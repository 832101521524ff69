"""Rows of tokens of different lengths (floor 6): codes 0 .. V-1, then V, which ends a sequence and fills what follows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logpx.data.arrays import place
from logpx.data.base import Stored
from logpx.errors import UserError

TOKEN = "token"  # the entry of `categories` with the names of the tokens, where they have names
GAP = -1  # in an array: nothing stands here, for the sequence has ended


def as_sequences(stored: Stored, columns: Any = None, context: Any = None) -> None:
    """Rewrites the rows as codes: the tokens 0 .. V-1, and V from the end of each sequence on; `levels` becomes V + 1.

    In an array -1 or nan says that a sequence has ended, in a table an empty cell does. Where a column holds text, all
    share one list of names, sorted.

    Raises:
        UserError: a row goes on after its end, a number is no code, or columns are told apart.
    """
    if columns or context:
        raise UserError(
            f"{stored.name} is read as sequences, whose columns are all tokens: leave columns and context out."
        )
    if stored.x.ndim != 2:
        raise UserError(
            f"{stored.name} holds pictures of shape {stored.x.shape[1:]}, and kind='sequence' needs (N, T)."
        )
    names = _names(stored)
    parts = [_tokens(stored, x, names) for x in (stored.x, stored.test) if x is not None]
    V = len(names) or max(int(part.max()) for part in parts) + 1
    if not V:
        raise UserError(f"{stored.name} holds no token: every row is empty.")
    filled = [_filled(stored.name, part, V) for part in parts]
    stored.x, stored.test = filled[0], (filled[1] if stored.test is not None else None)
    stored.categories = {TOKEN: names} if names else {}
    stored.columns, stored.typed, stored.doubts, stored.levels, stored.kind = None, None, {}, V + 1, "sequence"
    said = f"{V:,} tokens and an end, {_lengths(parts)} in a row"
    stored.note = f"{stored.note}; {said}" if stored.note else said


def sequences_like(stored: Stored, about: Mapping[str, Any]) -> None:
    """The same by the tokens of a run's data, and as many places as they had.

    Raises:
        UserError: a token that the run does not know, or a sequence that is longer than any it was trained on.
    """
    (T,), V = about["shape"], about["levels"] - 1
    if stored.x.ndim != 2:
        raise UserError(f"The run's data are sequences, and {stored.name} holds rows of shape {stored.x.shape[1:]}.")
    known = tuple(about["categories"].get(TOKEN, ()))
    named = TOKEN in stored.categories or "text" in (stored.typed or ())
    if named and not known:
        raise UserError(
            f"The tokens of the run are numbers, and {stored.name} holds text: give numbers from 0 to {V - 1}."
        )
    if not (named or stored.typed):
        known = ()  # an array holds codes already
    tokens = _tokens(stored, stored.x, known)
    strange = np.argwhere(tokens >= V)
    if len(strange):
        row, column = strange[0].tolist()
        raise UserError(
            f"{stored.name} has the code {tokens[row, column]} at {place(row)}; the run knows 0 to {V - 1}."
        )
    lengths = (tokens >= 0).sum(1)
    if len(lengths) and lengths.max() > T:
        raise UserError(
            f"{stored.name} has a sequence of {lengths.max()} tokens at {place(int(lengths.argmax()))}, and the longest that "
            f"the run can hold has {T}: cut it, or train on data that have such."
        )
    fitted = np.full((len(tokens), T), V, np.int32)
    filled = _filled(stored.name, tokens, V)[:, :T]
    fitted[:, : filled.shape[1]] = filled
    stored.x, stored.columns, stored.typed, stored.test, stored.levels = fitted, None, None, None, V + 1


def names_of_tokens(stored: Stored) -> dict[str, tuple[str, ...]]:
    """{"token": ("a", "b")} of sequences whose tokens have names."""
    return {TOKEN: stored.categories[TOKEN]} if stored.kind == "sequence" and TOKEN in stored.categories else {}


def _names(stored: Stored) -> tuple[str, ...]:
    """The names of all tokens, sorted; () where they are numbers already."""
    if "text" not in (stored.typed or ()):
        return tuple(stored.categories.get(TOKEN, ()))
    return tuple(sorted({text for i in range(stored.x.shape[1]) for text in stored.texts(i) if text is not None}))


def _tokens(stored: Stored, x: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Codes (N, T) of the tokens as they stand, -1 in the gaps."""
    own = tuple(stored.categories.get(TOKEN, ()))
    if names and stored.typed:
        return np.column_stack([_coded(stored, stored.texts(i), names) for i in range(x.shape[1])])
    if names and own and own != tuple(names):  # lines of text, whose own names stand in another order
        texts = [[own[code] if code >= 0 else None for code in column] for column in x.T.tolist()]
        return np.column_stack([_coded(stored, column, names) for column in texts])
    values = np.asarray(x)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), GAP, values)
    bad = np.argwhere((values != np.rint(values)) | (values < GAP) | (values >= 2**31))
    if len(bad):
        row, column = bad[0].tolist()
        raise UserError(
            f"{stored.name} has {values[row, column]:g} at {place(row)}, place {column}: tokens are whole numbers from 0, and "
            "-1 after the end of a sequence."
        )
    return values.astype(np.int64)


def _coded(stored: Stored, texts: Sequence[str | None], names: Sequence[str]) -> np.ndarray:
    """The codes of one column's texts."""
    at: dict[str | None, int] = {name: i for i, name in enumerate(names)} | {None: GAP}
    for row, text in enumerate(texts):
        if text not in at:
            raise UserError(f"{stored.name} has {text!r} at {place(row)}, a token that the run's data do not have.")
    return np.array([at[text] for text in texts], np.int64)


def _filled(name: str, tokens: np.ndarray, end: int) -> np.ndarray:
    """The same with the end in the place of every gap; a gap that is not the last thing in its row is refused."""
    gap = tokens < 0
    late = np.argwhere((np.cumsum(gap, 1) > 0) & ~gap)
    if len(late):
        row, column = late[0].tolist()
        raise UserError(
            f"{name} has a token at {place(row)}, place {column}, after the end of its sequence: a gap (-1, an empty cell) may "
            "only stand at the end of a row."
        )
    return np.where(gap, end, tokens).astype(np.int32)


def _lengths(parts: Sequence[np.ndarray]) -> str:
    lengths = np.concatenate([(part >= 0).sum(1) for part in parts])
    low, high = int(lengths.min()), int(lengths.max())
    return f"{low} to {high}" if low < high else f"{high}"
