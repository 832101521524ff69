"""The section about known factors (floor 8): which dimension of z knows which of them."""

from logpx.evaluate.disentangle import BINS, mig, mutual_informations
from logpx.report.latents import most_used
from logpx.report.page import Section, lede, number, table
from logpx.subject import Subject


def informations(s: Subject) -> Section | None:
    """I(z_d; v_f) in parts of H(v_f), a row for each of the dimensions at work; None where no factors are known."""
    factors = s.split.factors
    if factors is None or not s.is_one_flat or not s.dim or bool((factors[: len(s.means)] == factors[0]).all(0).any()):
        return None
    v = factors[: len(s.means)]
    entropies = mutual_informations(v.double(), v, bins=int(v.max()) + 1).diagonal()
    shares = mutual_informations(s.means, v) / entropies
    order, by = most_used(s)
    best = shares.argmax(0)
    rows = [
        [f"<i>z</i><sub>{d}</sub>", *(_cell(shares[d, f].item(), d == int(best[f])) for f in range(v.shape[1]))]
        for d in order
    ]
    html = lede(_sentence(s, len(order), by)) + table(["", *(column.name for column in s.data.factors)], rows)
    return Section("Which dimension knows which factor", html)


def _cell(share: float, is_best: bool) -> str:
    text = number(share)
    return f"<strong>{text}</strong>" if is_best else text


def _sentence(s: Subject, shown: int, by: str) -> str:
    factors = s.split.factors
    assert factors is not None
    which = f"the {shown} dimensions of {by}" if shown < s.dim else f"all dimensions, {by}"
    gap = number(mig(s.means, factors[: len(s.means)]), 3)
    return (
        f"Mutual information of each {s.centres[:-1]} and each factor, in parts of the factor's entropy, over {len(s.means):,} "
        f"{s.rows}; {which}. The best dimension of a factor stands out; by what it is ahead of the second, on average, is the "
        f"mutual information gap: <strong>MIG {gap}</strong>. Seen through {BINS} bins, so even noise has a little. All scores "
        "and their errors: <code>logpx evaluate RUN --representation</code>."
    )
