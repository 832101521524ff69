"""Which rows train, which choose the epoch and which only judge (floor 6): by a seed, by groups, or as the source says."""

import hashlib
import math

import numpy as np

from logpx.data.arrays import is_gap, missing, place, plain_array
from logpx.data.base import Share, Stored
from logpx.errors import UserError

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]  # row numbers: train, held out, test

#: what a column, or a folder, may call the three
WORDS = {
    "train": ("train", "training"),
    "held_out": ("validation", "valid", "val", "dev", "held_out", "held-out", "heldout"),
    "test": ("test", "testing"),
}
PART_OF = {word: part for part, words in WORDS.items() for word in words}


def divide(stored: Stored, held_out: Share, test: Share, seed: int) -> Parts:
    """Row numbers in stored.x of train, held-out and test rows (none of these when the source has its own), each sorted.

    Where the source says for each row where it belongs, that holds; if it names no held-out rows, they are drawn from those of
    the training. Rows of one group are never parted.

    Raises:
        UserError: nothing would be left to train on, a group would be parted, or shares contradict what the source says.
    """
    n = len(stored.x)
    if stored.test is not None and test is not None:
        raise UserError(f"{stored.name} has {len(stored.test):,} test rows of its own; leave out test={test!r}.")
    if stored.test is not None and stored.group is not None:
        raise UserError(
            f"{stored.name} has test rows of its own, whose groups nobody said, so group= could part some; leave it out."
        )
    if stored.split is not None:
        return _as_said(stored, stored.split, held_out, test, seed)
    k = count(stored.held_out if held_out is None else held_out, n, "held_out")
    m = 0 if stored.test is not None else count(0.1 if test is None else test, n, "test")
    return _drawn(stored, np.arange(n), k, m, seed)


def fingerprint(*parts: np.ndarray) -> str:
    """sha256 (hex) of which rows are where: the same rows, divided otherwise, are other data to train on."""
    digest = hashlib.sha256()
    for rows in parts:
        digest.update(f"{len(rows)} ".encode())
        digest.update(np.ascontiguousarray(rows, "<i8").data)
    return digest.hexdigest()


def count(share: float | int, n: int, what: str) -> int:
    """How many of n rows a fraction or a count means; a fraction > 0 gives at least one row when n >= 3."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < math.inf:
        raise UserError(f"{what}={share!r} is neither a fraction in [0, 1) nor a count of rows; give one of these.")
    if isinstance(share, float) and share >= 1:
        raise UserError(f"{what}={share} as a fraction must lie in [0, 1); for a count of rows give an integer.")
    if isinstance(share, int):
        return share
    return max(round(share * n), 1 if share > 0 and n >= 3 else 0)


# --- by a seed --------------------------------------------------------------------------------------------------------


def _drawn(stored: Stored, rows: np.ndarray, k: int, m: int, seed: int) -> Parts:
    """k held-out and m test rows drawn from `rows`, or the last ones where their order is a convention."""
    if k + m >= len(rows):
        raise UserError(
            f"{stored.name} has {len(rows):,} rows, so {k:,} held out and {m:,} for testing leave none to train on; "
            "lower held_out or test."
        )
    if stored.group is not None:
        return _drawn_together(stored, rows, stored.group[rows], (k, m), seed)
    # RandomState's stream is frozen for good, unlike default_rng's: a split must be the same in ten years
    order = rows if stored.in_order else np.random.RandomState(seed).permutation(rows)
    train, kept, rest = np.split(order, [len(rows) - k - m, len(rows) - m])
    return np.sort(train), np.sort(kept), np.sort(rest)


def _drawn_together(stored: Stored, rows: np.ndarray, group: np.ndarray, wanted: tuple[int, int], seed: int) -> Parts:
    """Whole groups in a drawn order, as many as come nearest to the `wanted` held-out and test rows; at least one for each."""
    names, codes, sizes = np.unique(group, return_inverse=True, return_counts=True)
    if len(names) <= sum(share > 0 for share in wanted):
        raise UserError(
            f"{stored.name} has {len(names)} group(s), too few to keep some apart; lower held_out or test to 0."
        )
    order = np.random.RandomState(seed).permutation(len(names))
    part = np.zeros(len(names), np.int64)
    for number in (2, 1):  # the test rows first: they do not move when the share of held-out rows does
        have, want = 0, wanted[number - 1]
        for g in order:
            if not part[g] and want and have + sizes[g] / 2 <= want and (part == 0).sum() > number:
                part[g], have = number, have + sizes[g]
        if want and not have:
            free = np.flatnonzero(part == 0)
            part[free[sizes[free].argmin()]] = number
    _say(stored, "groups kept together: {} train, {} held out, {} test".format(*np.bincount(part, minlength=3)))
    of_row = part[codes]
    return rows[of_row == 0], rows[of_row == 1], rows[of_row == 2]


# --- as the source says -----------------------------------------------------------------------------------------------


def _as_said(stored: Stored, said: np.ndarray, held_out: Share, test: Share, seed: int) -> Parts:
    parts = _parts_of(stored, said)
    train, kept, rest = (np.flatnonzero(parts == part) for part in WORDS)
    if test is not None or (held_out is not None and len(kept)):
        named = f"test={test!r}" if test is not None else f"held_out={held_out!r}"
        raise UserError(f"{stored.name} says itself which rows are for what; leave out {named}.")
    if not len(train):
        raise UserError(f"{stored.name} has no row that is for training ({', '.join(WORDS['train'])}); name some so.")
    if stored.test is not None and len(rest):
        raise UserError(f"{stored.name} has test rows of its own and names others in split=; keep one of them.")
    if stored.group is not None:
        _check_whole(stored, stored.group, parts)
    if not len(kept):
        k = count(0.1 if held_out is None else held_out, len(train), "held_out")
        train, kept, _ = _drawn(stored, train, k, 0, seed)
        _say(stored, f"{len(kept):,} held-out rows drawn from those for training, as none are named")
    return train, kept, rest


def _parts_of(stored: Stored, said: np.ndarray) -> np.ndarray:
    """ "train", "held_out" or "test" of each row; UserError for a word that is none of theirs."""
    words, first, of_row = np.unique(said.astype(str), return_index=True, return_inverse=True)
    parts = [PART_OF.get(word.strip().lower()) for word in words.tolist()]
    if None in parts:
        row = int(first[parts.index(None)])
        known = ", ".join(" or ".join(words[:3]) for words in WORDS.values())
        where = f"{stored.name} says {str(said[row])!r} of {place(row)}"
        raise UserError(f"{where}, and a row is for {known}: write one of these.")
    return np.array(parts)[of_row]


def _check_whole(stored: Stored, group: np.ndarray, parts: np.ndarray) -> None:
    """Refuse a group that has rows in two splits: what is learned of it would be judged by it."""
    first: dict[object, str] = {}
    for name, part in zip(group.tolist(), parts.tolist(), strict=True):
        if first.setdefault(name, part) != part:
            here, there = (word.replace("_", "-") for word in (first[name], part))
            raise UserError(
                f"The group {name!r} of {stored.name} has {here} and {there} rows; keep it in one of them, or leave split= out."
            )


# --- shared -----------------------------------------------------------------------------------------------------------


def one_each(values: object, n: int, what: str) -> np.ndarray:
    """A value for each of n rows, from Python or an archive; a gap is refused."""
    array = plain_array(values, what, text=True)
    if array.shape != (n,):
        raise UserError(f"{what} has shape {array.shape}, and {n:,} rows need one value each.")
    gaps = np.isnan(array) if array.dtype.kind == "f" else np.zeros(n, bool)
    if array.dtype.kind in "UT":
        gaps = np.array([is_gap(value) for value in array], bool)
    if gaps.any():
        raise UserError(missing(what, place(int(gaps.argmax()))))
    return array


def _say(stored: Stored, what: str) -> None:
    stored.note = "; ".join(part for part in (stored.note, what) if part)
