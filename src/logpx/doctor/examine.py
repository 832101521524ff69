"""What the doctor measures on a run before it says anything (floor 7). Nothing here judges."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from logpx.data import Data, Split
from logpx.distributions import is_density
from logpx.doctor.forecast import Forecast, Stationary, forecast, where_it_sits
from logpx.errors import UserError
from logpx.evaluate import (
    CodeUsage,
    Decomposition,
    Resemblance,
    Usage,
    at_rest,
    batch_of,
    code_usage,
    collapsed_share,
    decoder_motion,
    decomposition,
    evidence,
    expected_terms,
    placed,
    plain,
    refine,
    resemblance,
    usage,
)
from logpx.likelihoods import Autoregressive, Gaussian, Tokens
from logpx.train import Run

EPS = torch.logspace(-4, 1, 26)  # of the collapse curve, nats


@dataclass(frozen=True)
class Examination:
    """A run's latent space in numbers, on its judging rows (test, else held-out, else training rows). None: does not apply.

    terms        the objective's terms there, one draw per point
    usage        KL_i, variance of the posterior means, active units; of flat and of categorical latents
    codes        of quantised latents
    parts        KL = information + marginal, marginal = total correlation + dimension-wise
    motion       of E[x|z] by one standard deviation of each latent, (D,), units of x
    resemblance  of samples to rows
    amortisation  nats that a q of each row's own gains over the encoder's, and their standard error, over `refined` rows
    squared_error  E (x - E[x|z])^2 per number of x, of a normal likelihood with one sigma
    sigma        its standard deviation; `sigma_fixed` whether it was given
    forecast     the data's spectrum
    sits         where a linear VAE sits
    """

    run: Run
    rows: str
    terms: dict[str, float]
    latent: int
    usage: Usage | None = None
    codes: CodeUsage | None = None
    parts: Decomposition | None = None
    motion: Tensor | None = None
    resemblance: Resemblance | None = None
    amortisation: tuple[float, float] | None = None
    refined: int = 0
    squared_error: float | None = None
    sigma: float | None = None
    sigma_fixed: bool = False
    density: bool = True
    autoregressive: bool = False
    forecast: Forecast | None = None
    sits: Stationary | None = None
    silent: dict[str, str] = field(default_factory=dict)  # what could not be measured, and why

    @property
    def active(self) -> int | None:
        return None if self.usage is None else self.usage.active

    @property
    def rate(self) -> float | None:
        """E KL(q(z|x) || p(z)), nats."""
        return self.terms.get("kl")

    @property
    def diverged(self) -> bool:
        """Whether the objective's terms, or the parts of the KL, are no finite numbers."""
        parts = () if self.parts is None else (self.parts.rate[0], self.parts.marginal_kl[0])
        return not all(map(math.isfinite, (*self.terms.values(), *parts)))

    @property
    def curve(self) -> Tensor | None:
        """The share of collapsed dimensions at EPS with delta = 0.01."""
        of_rows = None if self.usage is None else self.usage.kl_of_rows
        return None if of_rows is None else collapsed_share(of_rows, EPS)

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a JSON object."""
        found: dict[str, Any] = {"rows": self.rows, "latent": self.latent, "terms": self.terms}
        if self.usage is not None:
            kl, curve = self.usage.kl, self.curve
            found["active_units"] = self.usage.active
            found["variance_of_means"] = self.usage.variance_of_means.tolist()
            found["kl"] = None if kl is None else kl.tolist()
            found["collapsed"] = (
                None if curve is None else {f"{e:g}": c for e, c in zip(EPS.tolist(), curve.tolist(), strict=True)}
            )
        if self.parts is not None:
            found["information"] = {
                name: value if not isinstance(value, tuple) else {"value": value[0], "standard_error": value[1]}
                for name, value in vars(self.parts).items()
            } | {"limit": self.parts.limit, "saturated": self.parts.saturated}
        found["decoder_motion"] = None if self.motion is None else self.motion.tolist()
        if self.resemblance is not None:
            found["samples_like_data"] = {"same_neighbour": self.resemblance.same, "z_score": self.resemblance.z_score}
        found["amortisation_gap"] = self.amortisation and dict(
            zip(("value", "standard_error"), self.amortisation, strict=True)
        )
        found |= {"sigma": self.sigma, "sigma_fixed": self.sigma_fixed, "squared_error": self.squared_error}
        if self.forecast is not None:
            found["forecast"] = self.forecast.summary()
        if self.sits is not None:
            found["stationary_point"] = vars(self.sits)
        return plain(found | {"not_measured": self.silent})


def examine(run: Run, data: Data, *, rows: int = 1000, refined: int = 0, seed: int = 0) -> Examination:
    """Measures what applies to the model, on at most `rows` rows where rows are compared with each other.

    refined  rows whose q is refined one by one, to see whether the encoder lags: seconds for a small model, so 0 asks for none;
             never of autoregressive decoders, for which it is minutes.

    Raises UserError for a model without a latent, and where there are fewer than two rows.
    """
    model, split = run.model, getattr(data, data.judge)
    if not model.posterior.dim:
        raise UserError(f"{run.info.get('recipe') or 'This model'} has no latent, so there is nothing to diagnose.")
    if len(split) < 2:
        raise UserError("A diagnosis compares rows: hold at least two out.")
    silent: dict[str, str] = {}

    def asked(name: str, question: Any, *of: Any, **how: Any) -> Any:
        try:
            return question(*of, **how)
        except UserError as why:
            silent[name] = str(why)
            return None

    known: dict[str, Any] = {
        "run": run,
        "rows": f"{min(len(split), 10_000):,} {data.judge.replace('_', '-')} rows",
        "terms": expected_terms(run.method.objective, model, split, seed=seed),
        "latent": int(model.posterior.dim),  # type: ignore[arg-type]
    }
    if (e := Examination(**known)).diverged:
        return e  # draws of such laws may not even be possible
    autoregressive = isinstance(model.likelihood, Autoregressive | Tokens)
    refined = 0 if autoregressive else min(refined, len(split))
    quantised = getattr(model.posterior, "is_one_code", False)
    sigma, fixed = _sigma(model.likelihood)
    return Examination(
        **known,
        usage=None if quantised else asked("usage", usage, model, split),
        codes=asked("codes", code_usage, model, split) if quantised else None,
        parts=None if quantised else asked("parts", decomposition, model, split, rows=rows, seed=seed),
        motion=None if quantised else asked("motion", decoder_motion, model, split, rows=min(rows, 100), seed=seed),
        resemblance=asked("resemblance", resemblance, model, split, rows=rows, seed=seed),
        amortisation=asked("amortisation", _amortisation, run, split, refined, seed) if refined else None,
        refined=refined,
        squared_error=None if sigma is None else _squared_error(run, split, rows, seed),
        sigma=sigma,
        sigma_fixed=fixed,
        density=_is_density(run, split),
        autoregressive=autoregressive,
        forecast=asked("forecast", forecast, data),
        sits=_sits(run, data),
        silent=silent,
    )


def _amortisation(run: Run, split: Split, rows: int, seed: int) -> tuple[float, float]:
    """ELBO(q*) - ELBO(q(z|x)) of the first rows, and its standard error."""
    batch = batch_of(split, slice(0, rows))
    truth = evidence(run.model, batch, samples=50, seed=seed)  # of which nothing is asked here
    part = refine(run.model, batch, steps=100, draws=200, truth=truth, seed=seed).amortisation
    return part.mean, part.standard_error


def _sigma(likelihood: torch.nn.Module) -> tuple[float | None, bool]:
    """(sigma, whether it was given) of a normal likelihood with one sigma; others have a scale that is no deviation."""
    if not isinstance(likelihood, Gaussian):
        return None, False
    sigma: Any = getattr(likelihood, "sigma", None)
    if isinstance(sigma, float | int):
        return float(sigma), True
    learned: Any = getattr(likelihood, "log_sigma", None)
    return (math.exp(learned.item()), False) if learned is not None and learned.numel() == 1 else (None, False)


def _squared_error(run: Run, split: Split, rows: int, seed: int) -> float:
    """E (x - E[x|z])^2 per number of x, in the unit of sigma, z ~ q(z|x)."""
    model = run.model
    with at_rest(model, seed):
        batch = placed(batch_of(split, slice(0, rows)), model)
        mean = model.draw(batch).px.mean[0]
        seen = batch.observed if batch.observed is not None else torch.ones_like(batch.x, dtype=torch.bool)
        unit: Any = model.likelihood.scale if getattr(model.likelihood, "standard", None) else 1.0  # that of sigma
        return ((batch.x - mean) / unit).square()[seen].mean().item()


def _is_density(run: Run, split: Split) -> bool:
    with at_rest(run.model, 0):
        return is_density(run.model.draw(placed(batch_of(split, slice(0, 2)), run.model)).px)


def _sits(run: Run, data: Data) -> Stationary | None:
    """Of a linear VAE or probabilistic PCA on its training rows; None for any other model, and for rows with holes."""
    if not run.model.has_evidence or not isinstance(run.model.likelihood, Gaussian) or data.train.holes():
        return None
    try:
        return where_it_sits(run.model, data.train.x(slice(0, 20_000)))
    except UserError:  # the decoder is not linear
        return None
