"""What the measurements mean, and what to do about it (floor 7): named findings in the order in which to act on them.

A rule looks at an Examination and answers with a Finding or None. The first remedy of a sick run is that of its first
finding: what makes all other numbers meaningless comes first, then what is set wrongly, then what is too much or too strong.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from logpx.doctor.examine import Examination
from logpx.recipes import find

ACTIVE = "Var E[z|x] >= 0.01"


@dataclass(frozen=True)
class Remedy:
    """What to change and why it helps: options of the recipe, settings of the training, both by name."""

    says: str
    options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    recipe: str | None = None  # another one, where this one cannot


@dataclass(frozen=True)
class Finding:
    """One thing that is so, in a sentence with its numbers; sick, or only worth knowing."""

    name: str
    says: str
    remedy: Remedy | None = None
    sick: bool = True


SYMPTOMS = ("encoder lagging", "collapsed", "some latents unused")  # worth saying only where nothing else explains them

Rule = Callable[[Examination], Finding | None]


def findings(e: Examination) -> list[Finding]:
    """All that is found, the sick ones first and those in the order in which to act on them."""
    if e.diverged:
        return [_diverged(e)]
    found = [f for rule in RULES if (f := rule(e))]
    causes = [f for f in found if f.sick and f.name not in SYMPTOMS]
    return sorted((f for f in found if not (causes and f.name in SYMPTOMS)), key=lambda f: not f.sick)


# --- the rules, in the order in which to act ---------------------------------------------------------------------------


def _diverged(e: Examination) -> Finding:
    """Numbers that are none: whatever else is measured of them means nothing."""
    return Finding(
        "diverged",
        f"What the objective is made of is not finite on the {e.rows}: the weights have run away, or a row is broken. Train "
        "again with a smaller --learning-rate, with --clip, or on data of a smaller scale.",
    )


def likelihood_is_a_score(e: Examination) -> Finding | None:
    """Grey pixels under the cross-entropy of a Bernoulli."""
    if e.density:
        return None
    return Finding(
        "likelihood mismatched to the data",
        "The pixels are grey and the likelihood is the cross-entropy of a Bernoulli law, which is a law of zeros and ones: its "
        "numbers are scores and no log-likelihoods, so there is no evidence to compare, and no draw looks like the data.",
        _remedy(
            e,
            "take the continuous Bernoulli law, which is a density of values in [0, 1] (or let every read draw zeros and ones: "
            "--protocol dynamic)",
            likelihood="continuous_bernoulli",
        ),
    )


def warmup_unfinished(e: Examination) -> Finding | None:
    """The run ended before what its objective brings in slowly was there: the weight of the KL, or a capacity."""
    ends, steps = e.run.method.objective.ends(), _steps(e)
    if steps >= 0.95 * ends:
        return None
    schedule = "steps" if e.run.info["recipe"] == "capacity_vae" else "warmup"
    return Finding(
        "warm-up unfinished",
        f"What the objective brings in slowly takes {ends:,} steps, and the run ended after {steps:,}, {steps / ends:.0%} of "
        "the way: the posterior was never trained for the bound that it is judged by.",
        _remedy(e, "let the warm-up end within the first half of the run", **{schedule: max(1, steps // 3)}),
    )


def beta_too_large(e: Examination) -> Finding | None:
    """beta > 1 has closed latents."""
    beta = e.run.info["options"].get("beta", 1.0)
    weighs_kl = e.run.info["recipe"] in ("beta_vae", "beta_tc")
    if not weighs_kl or beta <= 1 or e.active is None or e.active > 0.75 * e.latent:
        return None
    return Finding(
        "beta too large",
        f"beta is {beta:g}, so a latent must save {beta:g} nats of reconstruction for each nat of KL: {_actives(e)}, and the "
        f"KL is {e.rate or 0:.2f} nats.",
        _remedy(e, "weigh the KL as log p(x) does, at 1", beta=1.0),
    )


def sigma_too_large(e: Examination) -> Finding | None:
    """A fixed sigma^2 above the error that it describes."""
    if not e.sigma_fixed or (found := _above_its_error(e, 1.5)) is None:
        return None
    variance, error = found
    live = ""
    if e.forecast is not None:
        n = e.forecast.live(e.latent, variance)
        live = f"; of the data's eigenvalues {n} exceed it, which is how many latents a linear VAE would keep"
    return Finding(
        "sigma too large",
        f"sigma^2 is fixed at {variance:.3g}, and the error that it describes is {error:.3g} per number: what "
        f"varies less than sigma^2 is not worth a latent{live}; {_actives(e)}.",
        _remedy(e, "learn sigma", sigma="shared"),
    )


def decoder_too_strong(e: Examination) -> Finding | None:
    """A decoder that sees the elements before the one it predicts and does without z."""
    known = e.rate if e.parts is None else e.parts.mutual_information[0]
    if not e.autoregressive or known is None or known >= 1:
        return None
    return Finding(
        "decoder too strong",
        "The decoder sees the elements before the one it predicts and does without z: "
        f"I(x; z) is {known:.2f} nats of a KL of {e.rate or 0:.2f}, {_actives(e)}.",
        _against_a_strong_decoder(e),
    )


def _against_a_strong_decoder(e: Examination) -> Remedy | None:
    """The next remedy that the run has not taken: free bits and warm-up, a narrower window, an encoder that runs ahead."""
    own = e.run.info["options"]
    if not own.get("free_bits") or not own.get("warmup"):
        bits, steps = max(own.get("free_bits") or 0.0, 0.1), max(own.get("warmup") or 0, _steps(e) // 3, 1)
        return _remedy(
            e, "give each latent some KL for free, and let the KL come in slowly", free_bits=bits, warmup=steps
        )
    if max(own.get("kernels") or (0,)) > 3:
        return _remedy(e, "narrow the decoder's window, so that what is far away is left to z", kernels=(3, 3))
    return _remedy(e, "let the encoder run ahead of the decoder", encoder_steps=20)


def too_many_dimensions(e: Examination) -> Finding | None:
    """At most half of the latents have something to say: those that are active, or the directions in which real data vary.

    The latter count only where the decoder explains no more than they do: what a curved manifold needs, no spectrum sees.
    """
    if not e.active:
        return None
    f, stands = e.forecast, None
    if f is not None and f.gaussian and e.squared_error is not None and f.noise < 1.5 * e.squared_error:
        stands = f.standing_out
    useful = min(e.active, stands) if stands else e.active
    if useful > e.latent / 2 or (e.rate or 0) < 0.2 * useful:  # with less to pay it is another illness
        return None
    seen = "" if stands is None else f", and {stands} directions of the data stand out of their noise"
    return Finding(
        "too many dimensions",
        f"{_actives(e)}{seen}: the others cost noise, time and overfitting, and make z harder to read.",
        _remedy(e, "ask for no more latents than have something to say", latent=useful),
    )


def sigma_still_falling(e: Examination) -> Finding | None:
    """A learned sigma^2 that is far above the error: latents switch on one after the other while it falls."""
    if e.sigma_fixed or (found := _above_its_error(e, 2)) is None:
        return None
    variance, error = found
    return Finding(
        "sigma still falling",
        f"sigma is learned and stands at sigma^2 = {variance:.3g}, while the error that it describes is "
        f"{error:.3g} per number: the run ended before sigma came down, and until then latents stay shut; {_actives(e)}.",
        _remedy(e, "keep sigma at its optimum from the first step on", sigma="optimal") or _longer(e),
    )


def encoder_lagging(e: Examination) -> Finding | None:
    """The decoder has a use for z that the encoder does not find; said where nothing else says why."""
    if e.amortisation is None or e.rate is None or e.amortisation[0] < max(1.0, 0.2 * e.rate):
        return None
    gain, error = e.amortisation
    ahead = Remedy("let the encoder run ahead of the decoder", recipe="aggressive_vae")
    return Finding(
        "encoder lagging",
        f"A q of each row's own gains {gain:.2f} +- {error:.2f} nats over the encoder's, at a KL of {e.rate:.2f}: the decoder "
        "has a use for z that the encoder does not find.",
        ahead if e.run.info["recipe"] == "vae" else None,
        sick=gain - 2 * error > max(1.0, 0.5 * e.rate),  # a few rows with a large gain are no lagging encoder
    )


def collapsed(e: Examination) -> Finding | None:
    """z tells nothing about x; said where nothing else says why."""
    information = None if e.parts is None else e.parts.mutual_information
    knows_nothing = information is not None and information[0] < max(2 * information[1], 0.1)
    if e.active != 0 and not knows_nothing:
        return None
    told = "" if information is None else f", I(x; z) is {information[0]:.2f} +- {information[1]:.2f} nats"
    return Finding(
        "collapsed",
        f"{_actives(e)}{told}: q(z|x) is all but the same whatever x is, and the decoder says the same of every row.",
        _longer(e)
        if e.run.info["options"].get("warmup")
        else _remedy(e, "let the weight of the KL rise slowly", warmup=max(1, _steps(e) // 2)) or _longer(e),
    )


def codes_unused(e: Examination) -> Finding | None:
    """Of quantised latents."""
    if e.codes is None or e.codes.used >= 0.9 * e.codes.codes:
        return None
    fixed = e.run.info["options"].get("quantiser") == "fsq"
    return Finding(
        "codes unused",
        f"{e.codes.used:,} of {e.codes.codes:,} codes are in use: the codebook is larger than the encoder's numbers need.",
        None if fixed else _remedy(e, "start dead codes again sooner", restart=0.2),
    )


def prior_does_not_fit(e: Examination) -> Finding | None:
    """q(z), the codes of all rows, is not p(z): samples come from where no row lies."""
    if e.parts is None or e.parts.saturated or e.parts.marginal_kl[0] < max(1.0, 0.2 * e.parts.rate[0]):
        return None
    return Finding(
        "prior does not fit",
        f"KL(q(z) || p(z)) is {e.parts.marginal_kl[0]:.2f} nats of the {e.parts.rate[0]:.2f} that the KL costs: the codes lie "
        "elsewhere than the prior's draws; a learned prior (mixture_vae, vamp_vae, flow_vae) goes to them.",
        sick=False,
    )


def some_unused(e: Examination) -> Finding | None:
    """A few latents that do nothing are no illness."""
    if e.active is None or not e.latent / 2 < e.active < e.latent:
        return None
    return Finding("some latents unused", f"{_actives(e)}.", sick=False)


RULES: tuple[Rule, ...] = (
    likelihood_is_a_score,
    warmup_unfinished,
    beta_too_large,
    sigma_too_large,
    decoder_too_strong,
    too_many_dimensions,
    sigma_still_falling,
    encoder_lagging,
    collapsed,
    codes_unused,
    prior_does_not_fit,
    some_unused,
)


def _remedy(e: Examination, says: str, **options: Any) -> Remedy | None:
    """A change of the recipe's options; None where it has them not, or is at that already."""
    recipe, own = e.run.info["recipe"], e.run.info["options"]
    if recipe is None or not options.keys() <= find(recipe).options.keys():
        return None
    return None if all(own.get(name) == value for name, value in options.items()) else Remedy(says, options)


def _longer(e: Examination) -> Remedy:
    return Remedy("train longer", training={"epochs": 4 * e.run.info["training"]["epochs"]})


def _above_its_error(e: Examination, times: float) -> tuple[float, float] | None:
    """(sigma^2, the squared error that it describes) where the one is so many times the other.

    None for a code without a density, which weighs nothing by sigma.
    """
    if e.sigma is None or e.squared_error is None or not e.run.model.has_evidence:
        return None
    return (e.sigma**2, e.squared_error) if e.sigma**2 > times * e.squared_error else None


def _steps(e: Examination) -> int:
    return e.run.rows[-1]["step"] if e.run.rows else 0


def _actives(e: Examination) -> str:
    if e.active is None:
        return "z has no axes to count along"
    return f"{e.active} of {e.latent} latents are active ({ACTIVE})"
