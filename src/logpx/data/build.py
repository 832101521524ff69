"""From stored arrays to a Data: what the numbers are, labels, splits (floor 6). Every reader ends here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logpx.data import protocols
from logpx.data.arrays import layout, plain_array, stack_columns
from logpx.data.asked import kinds_in, names_in
from logpx.data.base import Data, Kind, Share, Spec, Split, Stored, take, to_tensor
from logpx.data.beside import given_beside, with_conditions
from logpx.data.columns import LABEL, check_observed, width
from logpx.data.factors import with_factors
from logpx.data.facts import scan
from logpx.data.kinds import Plan, check_kind_name, decide
from logpx.data.labels import name_labels
from logpx.data.mixed import Table, context_of, levels_of, sorted_out
from logpx.data.moments import check_resolution
from logpx.data.note import describe
from logpx.data.sequences import as_sequences, names_of_tokens
from logpx.data.splits import divide, fingerprint, one_each
from logpx.data.standard import standard_of
from logpx.errors import UserError


def build(
    stored: Stored,
    *,
    protocol: str | None = None,
    kind: Kind | None = None,
    held_out: Share = None,
    test: Share = None,
    seed: int = 0,
    label: str | None = None,
    columns: Mapping[str, str] | str | None = None,
    context: str | Sequence[str] | None = None,
    standardise: bool | None = False,
    split: str | None = None,
    group: str | None = None,
) -> Data:
    """Check the stored rows, decide what they are, divide them.

    Raises:
        UserError: the rows cannot be used, or contradict the kind, protocol or sizes asked for.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"seed={seed!r} must be an integer from 0 to 2**32 - 1.")
    check_kind_name(kind)
    arrange(stored)
    kind = kind or stored.kind
    if kind == "sequence":
        as_sequences(stored, columns, context)
    facts = scan(stored)
    held_out, test = (share.item() if isinstance(share, np.generic) else share for share in (held_out, test))
    train, kept, rest = divide(stored, held_out, test, seed)
    check_observed(stored, facts, train)
    known = stored.names if stored.x.ndim == 2 else ()
    kinds, given = kinds_in(columns, known), names_in(context, (*known, label or LABEL))
    if twice := next((name for name in (split, group) if name in given), None):
        raise UserError(
            f"Column {twice!r} parts the rows, so it cannot be the context too; copy it under another name."
        )
    labels, test_labels, classes = name_labels(stored)
    table = sorted_out(stored, facts, kind, kinds, given, label, train)
    if table.by_label:
        if classes is None or labels is None or (stored.test is not None and test_labels is None):
            raise UserError(
                f"context='label' needs a label for every row of {stored.name}; name their column with label=."
            )
        if label is None and LABEL in known:
            raise UserError(
                f"{stored.name} has labels and a column 'label' too, so context='label' is not clear: rename it."
            )
        table = table.given_labels(classes, label or LABEL)
    if stored.given:
        table = given_beside(table, stored.given, train)
    plan = decide(stored, table.facts, protocol, table.kind, seed)
    if table.facts.moments:
        check_resolution(stored, plan.kind, table.columns, table.facts.moments, table.facts.low < table.facts.high)
    splits = (
        cut(plan, table, stored.x, labels, train, "train", stored.factors),
        cut(plan, table, stored.x, labels, kept, "held_out", stored.factors),
        cut(plan, table, stored.x, labels, rest, "test", stored.factors)
        if stored.test is None
        else cut(plan, table, stored.test, test_labels, np.arange(len(stored.test)), "test"),
    )
    standard, still = standard_of(splits[0], plan.kind, stored.name) if standardise else (None, [])
    asked: dict[str, Any] = {
        "kind": kind,
        "columns": kinds,
        "context": list(given) or None,
        "drop": list(stored.dropped) or None,
    }
    more = {"standardise": standardise or None, "split": split, "group": group}
    asked |= {name: value for name, value in more.items() if value is not None}
    options = {"held_out": held_out, "test": test, "seed": seed, "label": label, "by_label": table.by_label}
    options |= {"division": fingerprint(train, kept, rest)}
    options |= {"pixel_levels": plan.levels if plan.protocol != protocols.AS_IS else None}
    return Data(
        name=stored.name,
        source=stored.source,
        spec=Spec(
            stored.x.shape[1:],
            plan.kind,
            plan.levels if plan.kind != "binary" else None,
            width(table.conditions),
            table.columns,
            standard,
        ),
        protocol=plan.protocol,
        train=splits[0],
        held_out=splits[1],
        test=splits[2],
        checksum=facts.checksum,
        note=describe(stored, plan, splits, table, still if standard else None),
        options=options | {"asked": asked},
        columns=stored.columns,
        classes=classes,
        log_density=stored.log_density,
        conditions=table.conditions,
        categories=table.categories | names_of_tokens(stored),
        factors=stored.factor_columns,
    )


def from_array(
    x: Any,
    *,
    kind: Kind | None = None,
    labels: Any = None,
    held_out: Share = None,
    test: Share = None,
    seed: int = 0,
    name: str = "array",
    protocol: str | None = None,
    columns: Mapping[str, str] | str | None = None,
    context: str | Sequence[str] | Mapping[str, Any] | None = None,
    factors: Mapping[str, Any] | None = None,
    standardise: bool = False,
    split: Any = None,
    group: Any = None,
) -> Data:
    """A data set from a numpy array, a tensor, nested lists or a data frame (pandas, polars) of N rows.

    (N,) becomes (N, 1); (N, H, W) becomes images (N, 1, H, W); (N, H, W, 1 or 3) becomes channels first.
    A memory-mapped array stays on disk. nan, None and masked values are missing.

    columns  the kind of single columns, by name (a plain array's are "column 0", ...), as in `load`.
    context  what a conditional model conditions on: "label", names of columns, or {"age": (N,) values, ...} beside x.
    standardise  whether a model sees and makes real numbers standardised, as in `load`.
    split    "train", "validation" or "test" of each row, (N,), in the place of shares.
    group    of each row, (N,): rows of one group are never parted.
    factors  what made each row, where that is known: {"size": (N,) values, ...}; text is a category, numbers are ordered.

    Raises:
        UserError: the values are infinite, ragged or no numbers, or contradict kind or protocol.
    """
    stored = stored_array(x, name)
    stored.labels = None if labels is None else plain_array(labels, "labels", text=True)
    with_factors(stored, factors or {})
    stored.split = None if split is None else one_each(split, len(stored.x), "split")
    stored.group = None if group is None else one_each(group, len(stored.x), "group")
    if isinstance(context, Mapping):
        with_conditions(stored, context)
        context = None
    options: dict[str, Any] = {"held_out": held_out, "test": test, "seed": seed, "columns": columns, "context": context}
    return build(stored, protocol=protocol, kind=kind, standardise=standardise, **options)


def is_frame(x: Any) -> bool:
    """Whether x is a data frame, of pandas or polars."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def stored_array(x: Any, name: str) -> Stored:
    """An array or a data frame as a reader hands over a file."""
    if is_frame(x):
        columns = {str(c): np.asarray(x[c].to_numpy()) for c in x.columns}
        return Stored(name=name, source=name, **stack_columns(columns, name))
    return Stored(name=name, source=name, x=plain_array(x, name))


def arrange(stored: Stored, least: int = 2) -> None:
    """Bring the arrays into (N, P) or (N, C, H, W); check that there are rows and that both parts agree."""
    stored.x = layout(stored.x, stored.name)
    if len(stored.x) < least:
        raise UserError(f"{stored.name} has {len(stored.x)} row(s), and at least {least} are needed; give more data.")
    if stored.test is None:
        return
    stored.test = layout(stored.test, f"the test part of {stored.name}")
    if stored.test.shape[1:] != stored.x.shape[1:]:
        raise UserError(
            f"The test rows of {stored.name} have shape {stored.test.shape[1:]}, the training rows "
            f"{stored.x.shape[1:]}; make them alike."
        )


def cut(
    plan: Plan,
    table: Table,
    x: np.ndarray,
    labels: np.ndarray | None,
    index: np.ndarray,
    part: protocols.Part,
    factors: np.ndarray | None = None,
) -> Split:
    """One split: the rows `index` of x, prepared as planned, with their context."""
    missing, levels = table.facts.holes > 0, levels_of(plan.kind, plan.levels, table.columns)
    rows, prepare, random = protocols.apply(plan.protocol, take(x, index), plan.levels, part, missing)
    named = None if labels is None else to_tensor(labels[index])
    context = context_of(table, labels, index)
    made_by = None if factors is None else to_tensor(factors[index])
    return Split(rows, prepare, named, random, context, missing, levels, made_by)
