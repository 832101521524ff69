"""What the numbers of a whole data set are, and how they will be read (floor 6): kind and protocol."""

from typing import NamedTuple

from logpx.data import protocols
from logpx.data.base import KINDS, Kind, Stored
from logpx.data.facts import Facts
from logpx.data.protocols import AS_IS
from logpx.errors import UserError

MAX_CATEGORIES = 2**16  # beyond this the numbers are hardly codes


class Plan(NamedTuple):
    """How the stored numbers will be read."""

    kind: Kind
    protocol: str
    levels: int | None


def check_kind_name(kind: str | None) -> None:
    """Refuse a kind that there is not."""
    if kind is not None and kind not in KINDS:
        raise UserError(f"kind={kind!r} is unknown; choose one of {', '.join(KINDS)}.")


def decide(stored: Stored, facts: Facts, protocol: str | None, kind: Kind | None, seed: int) -> Plan:
    """Kind and protocol, from what was asked for and what the values allow.

    Raises:
        UserError: the protocol is unknown, it and the kind contradict each other, or the data contradict them.
    """
    levels = stored.levels or (256 if facts.uint8 and not facts.binary else None)
    chosen = protocol or default_protocol(stored, facts, kind, levels)
    if kind == "mixed":
        if chosen != AS_IS:
            raise UserError(f"Protocol {chosen!r} is for pixels, and {stored.name} is a table of mixed columns.")
        return Plan(kind, AS_IS, None)
    if chosen == AS_IS:
        kind = kind or natural_kind(facts, levels)
        check_kind(stored.name, facts, kind)
        counted = (levels or int(facts.high.max()) + 1) if kind in ("categorical", "sequence") else None
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
    if kind in ("categorical", "sequence") and high >= MAX_CATEGORIES:
        raise UserError(f"{name} has the code {high:g}, and codes must be below {MAX_CATEGORIES}; renumber them.")
