"""What a data set says of itself in one line (floor 6)."""

from collections.abc import Sequence

from logpx.data import protocols
from logpx.data.base import Column, Split, Stored
from logpx.data.facts import Facts
from logpx.data.kinds import Plan, natural_kind
from logpx.data.mixed import Table
from logpx.data.protocols import AS_IS


def describe(
    stored: Stored, plan: Plan, splits: Sequence[Split], table: Table, still: Sequence[int] | None = None
) -> str:
    """The note: counts, how the numbers are read, and what to beware of.

    still  of standardised data the columns that never vary; None where nothing is standardised.
    """
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
    left_out = f"left out: {', '.join(stored.dropped)}" if stored.dropped else ""
    holes = f"{facts.holes:,} of {stored_values(stored):,} values are missing" if facts.holes else ""
    parts = [f"{stored.name}, {sizes}", how, pixels, given, left_out, holes, stored.note]
    parts.append(scales(stored, facts, plan) if still is None else standardised(stored, still))
    return "; ".join(part for part in parts if part)


def spelled(columns: Sequence[Column] | None) -> str:
    """ ": age real, city categorical (3)"."""
    listed = [f"{c.name} {c.kind}" + (f" ({c.levels})" if c.levels else "") for c in columns or ()]
    more = f" and {len(listed) - 30} more" if len(listed) > 30 else ""
    return f": {', '.join(listed[:30])}{more}" if listed else ""


def stored_values(stored: Stored) -> int:
    """How many values there are, missing ones included."""
    return stored.x.size + (0 if stored.test is None else stored.test.size)


def standardised(stored: Stored, still: Sequence[int]) -> str:
    """What is said of standardised data."""
    names = [repr(stored.columns[i]) if stored.columns else str(i) for i in still]
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    what = "columns" if stored.x.ndim == 2 else "channels"
    return "standardised by the training rows" + (
        f"; {what} that never vary keep their scale: {listed}" if names else ""
    )


def scales(stored: Stored, facts: Facts, plan: Plan) -> str:
    """A warning when the columns of a real table live on very different scales."""
    spread = facts.high - facts.low
    spread = spread[spread > 0]
    if plan.kind != "real" or stored.x.ndim != 2 or len(spread) < 2 or spread.max() <= 100 * spread.min():
        return ""
    ratio = spread.max() / spread.min()
    return f"the columns' ranges differ by a factor of {ratio:,.0f} and are not standardised: consider --standardise"
