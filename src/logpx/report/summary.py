"""The sections about the run (floor 8): the number and what it is worth, the terms over the epochs."""

import math
from html import escape
from statistics import median

from logpx.evaluate import Evidence, code_evidence
from logpx.likelihoods import measure_of
from logpx.recipes import RECIPES
from logpx.report.epochs import Series, over_epochs
from logpx.report.page import (
    Picture,
    Section,
    big,
    digits_for,
    figure,
    lede,
    number,
    pairs,
    side_by_side,
    symbols,
    table,
    unbroken,
)
from logpx.subject import Subject

# --- headline --------------------------------------------------------------------------------------------------------


def headline(s: Subject) -> str:
    """The top of the page: what was trained on what, the number, and the few facts that say what it is worth."""
    info = s.run.info
    row = RECIPES.get(info.get("recipe") or "")
    top = f"<h1>{escape(s.title)}</h1>\n"
    top += f'<p class="reference">{escape(row.reference)}</p>\n' if row else ""
    top += f'<p class="soft">{escape(s.data_words)}</p>\n'
    body = _evidence(s, s.evidence) if s.evidence else _without_evidence(s)
    doubt = s.evidence.doubt if s.evidence else None
    said = [str(words) for words in (doubt, info.get("warning")) if words]
    warning = "".join(f'<p class="warning">{symbols(words)}</p>\n' for words in said)
    return top + body + warning + pairs(_facts(s), "facts")


def _evidence(s: Subject, e: Evidence) -> str:
    kinds = {"exact": ", exact", "score": ": a score, not a log-likelihood"}
    what = symbols(e.name) + symbols(kinds.get(e.kind, f", {e.kind} on log p(x)"))
    measure = None if e.kind == "score" else measure_of(s.model.likelihood)
    unit = f"nats per data point{f', a {measure}' if measure else ''}, over {len(e.per_point):,} {s.rows}"
    return big(what, e.mean, e.standard_error, unit) + _verdict(s, e)


def _verdict(s: Subject, e: Evidence) -> str:
    """What the number is worth, in plain words."""
    sentences = [_kind_verdict(e), _weights_verdict(e), _oracle_verdict(s, e)]
    return "".join(f"<p>{sentence}</p>\n" for sentence in sentences if sentence)


def _kind_verdict(e: Evidence) -> str:
    if e.kind == "exact":
        return "The model knows its marginal in closed form: nothing was sampled to get this number."
    if e.kind == "score":
        return (
            "The binary cross-entropy of grey pixels is no density, so this is <strong>a score, not a log-likelihood</strong>: "
            "compare it only with scores of the same data under the same formula."
        )
    error = (
        f"; of its error, {number(e.monte_carlo_error, digits_for(e.monte_carlo_error))} comes from sampling <i>z</i>"
    )
    bound = "A lower bound in expectation: the true log <i>p</i>(<i>x</i>) is at least this high"
    return f"{bound}{error if e.monte_carlo_error else ''}."


def _weights_verdict(e: Evidence) -> str:
    """What the tail of the importance weights says about the number."""
    if e.khat is None or e.ess is None:
        return ""
    judged = e.khat[~e.khat.isnan()]
    if not len(judged):
        return f"With {e.samples} draws a point, the importance weights are too few to be judged; take more."
    if not bool(judged.median().isfinite()):
        return "The importance weights are all equal: q is the exact posterior, or the decoder ignores <i>z</i>."
    bad = (judged > 0.7).double().mean().item()
    middle, ess = judged.median().item(), e.ess.mean().item()
    start = (
        f"Importance weights: k-hat {number(middle)} (median), effective sample size {number(ess, 1)} of {e.samples}; "
    )
    if bad < 0.05:
        return start + "well behaved, so more draws would change little."
    share = f"for {bad:.0%} of the points k-hat is above 0.7: "
    if bad < 0.3:
        return start + share + "there the number rests on few draws, and more of them would probably raise it."
    return start + share + "take the number for a lower bound only; more draws would probably raise it."


def _oracle_verdict(s: Subject, e: Evidence) -> str:
    """For data whose law is known, how far the model is from it on the same rows."""
    if s.data.log_density is None or len(e.per_point) != len(s.data.test) or e.kind == "score":
        return ""
    truth = s.data.log_density(s.data.test.x()).double()
    gap = truth - e.per_point
    error = gap.std().item() / math.sqrt(len(gap)) if len(gap) > 1 else math.nan
    digits = digits_for(error)
    return (
        f"The law that made these data gives the same rows {number(truth.mean().item(), digits)} nats: the model is "
        f"{number(gap.mean().item(), digits)} ± {number(error, digits)} nats per data point away from it."
    )


def _without_evidence(s: Subject) -> str:
    """The best that the log itself knows, called by its name."""
    best = s.run.best or (s.run.rows[-1] if s.run.rows else None)
    if best is None:
        return ""
    part = "held_out" if "held_out" in best else "train"
    name = "elbo" if "elbo" in best[part] else "loss"
    score = "" if s.is_density else ", a score, not a log-likelihood"
    words = f"{'ELBO' if name == 'elbo' else 'loss'} on {part.replace('_', '-')} rows, epoch {best['epoch']}{score}"
    top = big(words, best[part][name], math.nan, "nats per data point")
    if s.prior is None:
        return top + "<p>This model has no prior over <i>z</i>, so it has no evidence and no samples.</p>\n"
    if not s.model.rates_codes:
        return top + _NO_DENSITY
    if not s.model.has_evidence:
        return top + _codes(s)
    return top + "<p>The evidence was not estimated: <code>logpx evaluate</code> does that, with an error bar.</p>\n"


_NO_DENSITY = (
    "<p>The loss is <strong>no bound</strong>: <i>p</i>(<i>z</i>) and <i>q</i>(<i>z</i>|<i>x</i>) are integrals over "
    "transports without a closed form, and their largest integrands stand for them. So there is no log <i>p</i>(<i>x</i>) "
    "here; judge the model by its reconstruction, its orbits and its samples.</p>\n"
)


def _codes(s: Subject) -> str:
    """What the prior says of deterministic codes: a density of z, and never one of x."""
    found = code_evidence(s.model, s.split)
    digits = digits_for(found.standard_error)
    value = f"{number(found.mean, digits)} ± {number(found.standard_error, digits)} nats per data point"
    return (
        f"<p>The code of a row is a point and has no density, so log <i>p</i>(<i>x</i>) is not bounded. Of the codes of the "
        f"{s.rows} the prior says log <i>p</i>(<i>z</i>) = {value}: a density of codes, which changes with their scale.</p>\n"
    )


def _facts(s: Subject) -> list[tuple[str, str]]:
    run, e, facts = s.run, s.evidence, []
    if e and e.bits_per_dim is not None and s.is_image:
        facts.append(("bits/dim", number(e.bits_per_dim, 4)))
    if e and e.ess is not None and e.khat is not None:
        facts.append(
            (
                "ESS",
                f"{number(e.ess.mean().item(), 1)}<small>of {e.samples}, lowest {number(e.ess.min().item(), 1)}</small>",
            )
        )
        known = e.summary()
        if known["khat"] is not None:
            above = f"above 0.7 for {known['khat_above_0.7']:.1%}"
            facts.append(("k-hat", f"{number(known['khat'])}<small>{above}</small>"))
    if s.usage is not None and s.model.has_evidence:
        facts.append(("active latents", f"{s.usage.active}<small>of {s.units[0]}</small>"))
    if run.best_epoch:
        facts.append(("best epoch", f"{run.best_epoch}<small>of {len(run.rows)}</small>"))
    if run.rows:
        facts.append(("time per epoch", f"{_seconds(median(row['seconds'] for row in run.rows))}<small>median</small>"))
    parameters = sum(p.numel() for p in s.model.parameters())
    facts.append(("parameters", f"{parameters:,}"))
    if s.model.has_evidence and run.info.get("kl"):
        facts.append(("KL", escape(str(run.info["kl"]))))
    return facts


def _seconds(value: float) -> str:
    return (
        f"{number(value, 1)} s"
        if value >= 10
        else f"{number(value, 2)} s"
        if value >= 0.1
        else f"{number(1000 * value, 1)} ms"
    )


# --- training --------------------------------------------------------------------------------------------------------


def training(s: Subject) -> Section | None:
    """The loss and every term, epoch by epoch, and their values at the best one."""
    rows = s.run.rows
    if not rows:
        return None
    epochs, best = [row["epoch"] for row in rows], s.run.best_epoch
    parts = [part for part in ("train", "held_out") if all(part in row for row in rows)]
    terms = list(dict.fromkeys(t for part in parts for t in rows[-1][part]))
    series = {t: {p: [row[p][t] for row in rows] for p in parts if all(t in row[p] for row in rows)} for t in terms}
    mirrored = [t for t in series if t != "loss" and _is_loss_upside_down(t, series)]
    drawn = {t: v for t, v in series.items() if t not in mirrored and v and _is_finite(v)} if len(rows) > 1 else {}
    shown = tuple(Picture(f"{t}.svg", over_epochs(t, epochs, v, best), t) for t, v in drawn.items())
    html = lede(_training_sentence(list(series), mirrored, len(rows)))
    if shown:
        html += _line_legend(parts, best) + side_by_side(
            list(map(figure, shown)), "small" if len(shown) % 3 == 0 else "two"
        )
    html += _terms_table(s, list(series), parts)
    second, curve = _second_stage(s)
    return Section("Training", html + second, (*shown, *curve))


def _second_stage(s: Subject) -> tuple[str, tuple[Picture, ...]]:
    """The loss of what was trained after the model, on what it makes of the rows."""
    rows = s.run.second
    if not rows:
        return "", ()
    parts = [part for part in ("train", "held_out") if all(part in row for row in rows)]
    epochs, lines = [row["epoch"] for row in rows], {part: [row[part]["loss"] for row in rows] for part in parts}
    held = lines.get("held_out")
    best = epochs[held.index(min(held)) if held else -1]
    at = rows[epochs.index(best)]
    values = " and ".join(f"{number(at[part]['loss'], 3)} ({part.replace('_', '-')})" for part in parts)
    html = "<h3>Second stage</h3>\n" + lede(
        f"Trained last, on what the trained model makes of the rows: its loss over {len(epochs):,} epochs, in nats per data "
        f"point, is {values} in epoch {best}, whose weights were kept."
    )
    if len(rows) == 1 or not _is_finite(lines):
        return html, ()
    curve = Picture("second-loss.svg", over_epochs("loss", epochs, lines, best), "loss of the second stage")
    return html + side_by_side([figure(curve)], "two"), (curve,)


def _is_finite(lines: Series) -> bool:
    return all(math.isfinite(v) for line in lines.values() for v in line)


def _is_loss_upside_down(term: str, series: dict[str, Series]) -> bool:
    """Such a term is said in words, and not drawn a second time."""
    shared = series.get("loss", {}).keys() & series[term].keys()
    both = ((a, b) for part in shared for a, b in zip(series[term][part], series["loss"][part], strict=True))
    return bool(shared) and all(math.isclose(a, -b, rel_tol=1e-4, abs_tol=1e-4) for a, b in both)


def _training_sentence(terms: list[str], mirrored: list[str], epochs: int) -> str:
    """Sums that hold by definition are said here."""
    parts = {"elbo", "reconstruction", "kl"} <= set(terms)
    sums = [f"{t} = −loss" for t in mirrored] + ["elbo = −(reconstruction + kl)"] * parts
    what = f"The loss and its terms over {epochs:,} epochs" if epochs > 1 else "The loss and its terms"
    said = f" Always {' and '.join(map(unbroken, sums))}." if sums else ""
    return f"{what}, in nats per data point: train is measured while the weights move, held-out after each epoch.{said}"


def _line_legend(parts: list[str], best: int | None) -> str:
    colours = {"train": "second", "held_out": "accent"}
    items = "".join(f'<li class="line" style="--k: var(--{colours[p]})">{p.replace("_", "-")}</li>' for p in parts)
    mark = f'<li class="best">epoch {best}, whose weights were kept; its value at the top right</li>' if best else ""
    return f'<ul class="legend">{items}{mark}</ul>'


def _terms_table(s: Subject, terms: list[str], parts: list[str]) -> str:
    best = s.run.best or s.run.rows[-1]
    cells = [[escape(t), *(number(best[p][t], 3) if t in best[p] else "" for p in parts)] for t in terms]
    return table([f"epoch {best['epoch']}", *(p.replace("_", "-") for p in parts)], cells)
