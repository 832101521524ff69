"""From stored arrays to a Data: the kind of the numbers, labels, splits (floor 6). Every reader ends here."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from logpx.data import protocols
from logpx.data.arrays import layout, plain_array, stack_columns
from logpx.data.base import KINDS, Column, Data, Kind, Share, Spec, Split, Stored, divide, take, to_tensor
from logpx.data.columns import LABEL, check_names, check_observed, encoded, kinds_of, made_columns, names_in, width
from logpx.data.facts import Facts, scan
from logpx.data.protocols import AS_IS
from logpx.errors import UserError

MAX_CATEGORIES = 2**16  # beyond this the numbers are hardly codes


def build(
    stored: Stored,
    *,
    protocol: str | None = None,
    kind: Kind | None = None,
    held_out: Share = None,
    test: Share = None,
    seed: int = 0,
    label: str | None = None,
    columns: Mapping[str, str] | None = None,
    context: str | Sequence[str] | None = None,
) -> Data:
    """Check the stored rows, decide what they are, divide them.

    Raises:
        UserError: the rows cannot be used, or contradict the kind, protocol or sizes asked for.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise UserError(f"seed={seed!r} must be an integer from 0 to 2**32 - 1.")
    arrange(stored)
    facts = scan(stored)
    held_out, test = (share.item() if isinstance(share, np.generic) else share for share in (held_out, test))
    train, kept, rest = divide(stored, held_out, test, seed)
    check_observed(stored, facts, train)
    kinds = dict(columns or {})
    labels, test_labels, classes = name_labels(stored)
    table = sorted_out(stored, facts, kind, kinds, names_in(context), label, train)
    if table.by_label:
        if classes is None or labels is None or (stored.test is not None and test_labels is None):
            raise UserError(
                f"context='label' needs a label for every row of {stored.name}; name their column with label=."
            )
        table = table.given_labels(classes)
    plan = decide(stored, table.facts, protocol, table.kind, seed)
    splits = (
        cut(plan, table, stored.x, labels, train, "train"),
        cut(plan, table, stored.x, labels, kept, "held_out"),
        cut(plan, table, stored.x, labels, rest, "test")
        if stored.test is None
        else cut(plan, table, stored.test, test_labels, np.arange(len(stored.test)), "test"),
    )
    asked = {"columns": kinds, "context": ",".join(names_in(context)) or None}
    return Data(
        name=stored.name,
        source=stored.source,
        spec=Spec(
            stored.x.shape[1:],
            plan.kind,
            plan.levels if plan.kind != "binary" else None,
            width(table.conditions),
            table.columns,
        ),
        protocol=plan.protocol,
        train=splits[0],
        held_out=splits[1],
        test=splits[2],
        checksum=facts.checksum,
        note=describe(stored, plan, splits, table),
        options={"held_out": held_out, "test": test, "seed": seed, "label": label, "asked": asked},
        columns=stored.columns,
        classes=classes,
        log_density=stored.log_density,
        conditions=table.conditions,
        categories=table.categories,
    )


class Table(NamedTuple):
    """What the columns turned out to be; nothing where the data are no table of several kinds."""

    kind: Kind | None  # of the whole, None to judge by the values
    facts: Facts  # of the columns that are data
    columns: tuple[Column, ...] | None = None
    conditions: tuple[Column, ...] = ()
    categories: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - never changed
    context: np.ndarray | None = None  # (N, n): the columns that are conditions, as stored
    by_label: bool = False

    def given_labels(self, classes: tuple[str, ...]) -> "Table":
        """The same with the label as its context."""
        condition = Column(LABEL, "categorical", len(classes))
        return self._replace(conditions=(condition,), categories=self.categories | {LABEL: classes})


def sorted_out(
    stored: Stored,
    facts: Facts,
    kind: Kind | None,
    asked: Mapping[str, str],
    context: tuple[str, ...],
    label: str | None,
    train: np.ndarray,
) -> Table:
    """Kinds and categories of the columns of a table; the conditions move out of stored.x.

    Raises:
        UserError: columns or kinds that do not exist, do not fit, or contradict each other.
    """
    by_label = context in ((LABEL,), (label,)) and (stored.labels is not None or LABEL not in (stored.columns or ()))
    context = () if by_label else context
    check_names(stored, context, "context")
    if not (asked or context or stored.typed or kind == "mixed"):
        return Table(kind, facts, by_label=by_label)
    if stored.x.ndim != 2 or stored.test is not None:
        raise UserError(
            f"kind='mixed', columns= and context= are for tables, and {stored.name} is none; leave them out."
        )
    if (contrary := next((n for n, k in asked.items() if kind not in (None, "mixed", k)), None)) is not None:
        raise UserError(f"Column {contrary!r} is asked to be {asked[contrary]}, and kind={kind!r}; give one of them.")
    kinds = kinds_of(stored, facts, asked)
    if len(context) >= len(kinds):
        raise UserError(f"context= names every column of {stored.name}, which leaves no data; leave some out.")
    x, columns, categories = made_columns(stored, kinds, train)
    at = {name: i for i, name in enumerate(stored.names)}
    rest = [i for name, i in at.items() if name not in context]
    whole = kind_of_all([kinds[i] for i in rest], [typed(stored, i) for i in rest], kind, asked)
    conditions, values = tuple(columns[at[name]] for name in context), x[:, [at[name] for name in context]]
    mixed = whole == "mixed"
    check_numeric(stored, rest, kind)
    kept = {name for name in categories if name in context or mixed}
    if mixed or context:
        plain, names = x if mixed else np.asarray(stored.x), tuple(stored.names[i] for i in rest)
        stored.x = plain[:, rest]
        stored.columns = names
    whole_numbers = {typed(stored, i) for i in rest} <= {"integer", "bool"}
    return Table(
        whole,
        facts.of(rest)._replace(stored_as_integers=whole_numbers or facts.stored_as_integers),
        tuple(columns[i] for i in rest) if mixed else None,
        conditions,
        {name: names for name, names in categories.items() if name in kept},
        values if context else None,
        by_label,
    )


def typed(stored: Stored, i: int) -> str:
    """What a column was stored as; "" in a plain array."""
    return stored.typed[i] if stored.typed else ""


def kind_of_all(
    kinds: Sequence[Kind], types: Sequence[str], kind: Kind | None, asked: Mapping[str, str]
) -> Kind | None:
    """The kind of the whole table: mixed where its columns differ, as asked for, or None to judge by the values."""
    if kind is not None:
        return kind
    if not asked and (set(types) == {"integer"} and "real" not in kinds):
        return None  # counts, some of which may have seen 0 and 1 only
    if len(set(kinds)) > 1 or "categorical" in kinds:
        return "mixed"
    return kinds[0] if asked else None


def check_numeric(stored: Stored, columns: Sequence[int], kind: Kind | None) -> None:
    """Refuse to read text as numbers of one kind."""
    texts = [stored.names[i] for i in columns if typed(stored, i) == "text"]
    if texts and kind not in (None, "mixed"):
        raise UserError(
            f"Column {texts[0]!r} of {stored.name} holds text, and kind={kind!r} needs numbers; drop the column, name "
            f"it with label={texts[0]!r}, or leave kind out."
        )


def from_array(
    x: Any,
    *,
    kind: Kind | None = None,
    labels: Any = None,
    held_out: float | int = 0.1,
    test: float | int = 0.1,
    seed: int = 0,
    name: str = "array",
    protocol: str | None = None,
    columns: Mapping[str, str] | None = None,
    context: str | Sequence[str] | None = None,
) -> Data:
    """A data set from a numpy array, a tensor, nested lists or a data frame (pandas, polars) of N rows.

    (N,) becomes (N, 1); (N, H, W) becomes images (N, 1, H, W); (N, H, W, 1 or 3) becomes channels first.
    A memory-mapped array stays on disk. nan, None and masked values are missing.

    columns  the kind of single columns, by name (a plain array's are "column 0", ...), as in `load`.
    context  what a conditional model conditions on: "label", or names of columns.

    Raises:
        UserError: the values are infinite, ragged or no numbers, or contradict kind or protocol.
    """
    held: dict[str, Any] = {}
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        held = stack_columns({str(c): np.asarray(x[c].to_numpy()) for c in x.columns}, name)
    else:
        held["x"] = plain_array(x, name)
    y = None if labels is None else plain_array(labels, "labels", text=True)
    stored = Stored(name=name, source=name, labels=y, **held)
    options: dict[str, Any] = {"held_out": held_out, "test": test, "seed": seed, "columns": columns, "context": context}
    return build(stored, protocol=protocol, kind=kind, **options)


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


# --- what the numbers are -----------------------------------------------------------------------------------


class Plan(NamedTuple):
    """How the stored numbers will be read."""

    kind: Kind
    protocol: str
    levels: int | None


def decide(stored: Stored, facts: Facts, protocol: str | None, kind: Kind | None, seed: int) -> Plan:
    """Kind and protocol, from what was asked for and what the values allow.

    Raises:
        UserError: kind or protocol is unknown, they contradict each other, or the data contradict them.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"kind={kind!r} is unknown; choose one of {', '.join(KINDS)}.")
    levels = stored.levels or (256 if facts.uint8 and not facts.binary else None)
    chosen = protocol or default_protocol(stored, facts, kind, levels)
    if kind == "mixed":
        if chosen != AS_IS:
            raise UserError(f"Protocol {chosen!r} is for pixels, and {stored.name} is a table of mixed columns.")
        return Plan(kind, AS_IS, None)
    if chosen == AS_IS:
        kind = kind or natural_kind(facts, levels)
        check_kind(stored.name, facts, kind)
        counted = (levels or int(facts.high.max()) + 1) if kind == "categorical" else None
        return Plan(kind, AS_IS, counted or (levels if kind == "integer" else None))
    possible = tuple(protocols.KIND_OF) if levels else ("grey", "dynamic", "threshold", "static")
    unit_floats = not facts.integers and facts.within_unit
    chosen = protocols.parse(chosen, possible if levels or unit_floats else (), seed, stored.name)
    made = protocols.KIND_OF[chosen.partition(":")[0]]
    if kind not in (None, made):
        raise UserError(f"Protocol {chosen!r} makes {made} data, not kind={kind!r}; leave out one of the two.")
    return Plan(made, chosen, levels)


def default_protocol(stored: Stored, facts: Facts, kind: Kind | None, levels: int | None) -> str:
    """The protocol when none is asked for: the source's own for pixels, as-is for everything else."""
    if levels:
        if kind in (None, protocols.KIND_OF[stored.protocol]):
            return stored.protocol
        return {"grey": "grey", "integer": "integer"}.get(str(kind), AS_IS)
    unit_floats = not facts.integers and facts.within_unit
    image = stored.x.ndim >= 4
    if unit_floats and (kind == "grey" or (kind is None and image and not facts.binary)):
        return "grey"
    return AS_IS


def natural_kind(facts: Facts, levels: int | None) -> Kind:
    """What numbers are that nobody named: 0/1 binary, other integers >= 0 integer, everything else real."""
    if facts.binary:
        return "binary"
    return "integer" if levels or (facts.integers and facts.low.min() >= 0) else "real"


def check_kind(name: str, facts: Facts, kind: Kind) -> None:
    """Refuse a kind that the values contradict."""
    low, high = facts.low.min(), facts.high.max()
    if kind == "binary" and not facts.binary:
        choose = "choose another kind, or for pixels protocol='dynamic' or 'threshold'"
        raise UserError(f"{name} has values from {low:g} to {high:g}, and kind='binary' needs 0 and 1; {choose}.")
    if kind == "grey" and not facts.within_unit:
        raise UserError(f"{name} has values from {low:g} to {high:g}, and kind='grey' needs [0, 1]; rescale them.")
    if kind in ("integer", "categorical") and low < 0:
        raise UserError(f"{name} has the negative value {low:g}, and kind={kind!r} needs values >= 0; use 'real'.")
    if kind in ("integer", "categorical") and not facts.whole:
        raise UserError(f"{name} has values that are not whole, and kind={kind!r} needs integers; use kind='real'.")
    if kind == "categorical" and high >= MAX_CATEGORIES:
        raise UserError(f"{name} has the code {high:g}, and codes must be below {MAX_CATEGORIES}; renumber them.")


# --- labels and splits --------------------------------------------------------------------------------------


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


def cut(
    plan: Plan, table: Table, x: np.ndarray, labels: np.ndarray | None, index: np.ndarray, part: protocols.Part
) -> Split:
    """One split: the rows `index` of x, prepared as planned, with their context."""
    missing, levels = table.facts.holes > 0, levels_of(plan.kind, plan.levels, table.columns)
    rows, prepare, random = protocols.apply(plan.protocol, take(x, index), plan.levels, part, missing)
    named = None if labels is None else to_tensor(labels[index])
    context = context_of(table, labels, index)
    return Split(rows, prepare, named, random, context, missing, levels)


def context_of(table: Table, labels: np.ndarray | None, index: np.ndarray) -> Tensor | None:
    """The context of the rows `index`: of their labels, or of the columns set aside; None where there is none."""
    if not table.conditions:
        return None
    values = labels[index][:, None] if table.by_label and labels is not None else np.asarray(table.context)[index]
    return encoded(values.astype(np.float64), table.conditions, table.categories)


def levels_of(kind: str, levels: int | None, columns: Sequence[Column] | None) -> tuple[int | None, ...] | None:
    """Number of categories of each column, or of every element; None where nothing is a category."""
    if columns:
        return tuple(column.levels for column in columns)
    return (levels,) if kind == "categorical" else None


# --- for people ---------------------------------------------------------------------------------------------


def describe(stored: Stored, plan: Plan, splits: Sequence[Split], table: Table) -> str:
    """The note: counts, how the numbers are read, and what to beware of."""
    facts = table.facts
    sizes = "{:,} train, {:,} held out, {:,} test".format(*(len(split) for split in splits))
    if plan.protocol == AS_IS:
        inferred = plan.kind == natural_kind(facts, stored.levels)
        how = f"{plan.kind} data" + (", to judge by the values" if inferred else "") + spelled(table.columns)
    else:
        how = protocols.sentence(plan.protocol, plan.levels)
    guessed = stored.levels is None and plan.levels == 256 and plan.protocol != AS_IS
    pixels = "uint8 values are read as pixel levels (kind='integer' or 'real' changes that)" if guessed else ""
    given = f"given{spelled(table.conditions)}" if table.conditions else ""
    holes = f"{facts.holes:,} of {stored_values(stored):,} values are missing" if facts.holes else ""
    parts = [f"{stored.name}, {sizes}", how, pixels, given, holes, stored.note, scales(stored, facts, plan)]
    return "; ".join(part for part in parts if part)


def spelled(columns: Sequence[Column] | None) -> str:
    """ ": age real, city categorical (3)"."""
    listed = [f"{c.name} {c.kind}" + (f" ({c.levels})" if c.levels else "") for c in columns or ()]
    more = f" and {len(listed) - 30} more" if len(listed) > 30 else ""
    return f": {', '.join(listed[:30])}{more}" if listed else ""


def stored_values(stored: Stored) -> int:
    """How many values there are, missing ones included."""
    return stored.x.size + (0 if stored.test is None else stored.test.size)


def scales(stored: Stored, facts: Facts, plan: Plan) -> str:
    """A warning when the columns of a real table live on very different scales."""
    spread = facts.high - facts.low
    spread = spread[spread > 0]
    if plan.kind != "real" or stored.x.ndim != 2 or len(spread) < 2 or spread.max() <= 100 * spread.min():
        return ""
    ratio = spread.max() / spread.min()
    return f"the columns' ranges differ by a factor of {ratio:,.0f} and are not standardised: consider doing so"
