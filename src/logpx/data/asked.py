"""What was asked of single columns, as text: names and pairs (floor 6). A comma or an equals sign in a name is its own."""

import re
from collections.abc import Mapping, Sequence

from logpx.errors import UserError


def names_in(text: str | Sequence[str] | None, known: Sequence[str] = ()) -> tuple[str, ...]:
    """("a", "b") of "a,b"; a known name is taken whole, whatever it holds, the longest one first."""
    if not isinstance(text, str):
        return tuple(str(part).strip() for part in text or () if str(part).strip())
    found, rest = [], text.strip()
    while rest:
        whole = max((n for n in known if n and re.match(re.escape(n) + r"\s*(,|$)", rest)), key=len, default=None)
        name = rest.partition(",")[0] if whole is None else whole
        found.append(name.strip())
        rest = rest[len(name) :].lstrip().removeprefix(",").lstrip()
    return tuple(name for name in found if name)


def pairs_in(text: str, known: Sequence[str]) -> list[tuple[str, str]]:
    """[("a", "1"), ("b", "2")] of "a=1,b=2", split only where a known name and an equals sign follow.

    What begins with no known name is (all before its first equals sign, the rest); ("", text) without that sign.
    """
    begins = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True) if name)
    cuts = re.split(rf",\s*(?=(?:{begins})\s*=)", text) if begins else [text]
    pairs = []
    for piece in (cut.strip() for cut in cuts):
        match = re.match(rf"({begins})\s*=", piece) if begins else None
        name, sign, value = (match[1], "=", piece[match.end() :]) if match else piece.partition("=")
        pairs.append((name.strip(), value.strip()) if sign else ("", piece))
    return pairs


def kinds_in(asked: Mapping[str, str] | str | None, known: Sequence[str]) -> dict[str, str]:
    """{"age": "real"} of "age=real", or of itself.

    Raises:
        UserError: a part names no kind, or a column is named twice.
    """
    if not isinstance(asked, str):
        return dict(asked or {})
    pairs: list[tuple[str, str]] = []
    for name, value in pairs_in(asked, known):
        kind, *unknown = value.split(",")  # a kind holds no comma: what follows are names that no column has
        more = [part.rpartition("=") for part in unknown]
        pairs += [(name, kind.strip()), *((left.strip(), right.strip()) for left, _, right in more)]
    if any(not (name and kind) for name, kind in pairs):
        raise UserError(f"columns={asked!r} holds a part without a kind: give pairs such as age=real,city=categorical.")
    twice = next((name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i])), None)
    if twice is not None:
        raise UserError(f"columns={asked!r} names the column {twice!r} twice: give it one kind.")
    return dict(pairs)
