"""The verb doctor (floor 8): what a run's latent space does and what to do about it, or what data will allow."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from logpx.cli.app import JSON, app, print_json, progress, table
from logpx.cli.opened import reopen
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.doctor import Examination, Finding, Forecast, Treatment
    from logpx.train import Run

SHOWN = 20  # latents in the table


@app.command("doctor")
def doctor(
    subject: Annotated[
        str, typer.Argument(metavar="RUN_OR_DATA", help="A run folder, or data as `logpx train` takes them.")
    ],
    fix: Annotated[bool, typer.Option("--fix", help="Train the recommended run and compare it with this one.")] = False,
    out: Annotated[Path | None, typer.Option(help="Of --fix, the folder of the new run.  [default: RUN-fixed]")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Of --fix, k of the L_k that are compared.")] = 100,
    limit: Annotated[int, typer.Option(min=2, help="Rows that are compared with each other.")] = 1000,
    latent: Annotated[int | None, typer.Option(min=1, help="Of data: latents to forecast for.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Of data: a fixed sigma to forecast for.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Of data: how pixels become numbers.")] = None,
    kind: Annotated[str | None, typer.Option(help="Of data: what the numbers are.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    as_json: JSON = False,
) -> None:
    """Say what a run's latent space does and why, or forecast what data allow. Example: logpx doctor runs/demo --fix"""
    if (Path(subject) / "run.json").exists():
        for name, value in (("latent", latent), ("sigma", sigma), ("protocol", protocol), ("kind", kind)):
            if value is not None:
                raise UserError(f"--{name} is for data, and {subject} is a run, which knows its own: leave it out.")
        return _of_run(Path(subject), fix, out, samples, limit, seed, as_json)
    if fix or out:
        raise UserError(f"--fix trains a run again, and {subject} is no run folder: train one first.")
    return _of_data(subject, latent, sigma, protocol, kind, as_json)


# --- a run -------------------------------------------------------------------------------------------------------------


def _of_run(folder: Path, fix: bool, out: Path | None, samples: int, rows: int, seed: int, as_json: bool) -> None:
    from logpx.doctor import beside, command_of, examine, findings, treat

    run, data = reopen(folder)
    out = out or beside(folder)
    if fix and out.exists():
        raise UserError(f"{out} exists already: name another folder with --out, or remove it.")
    e = examine(run, data, rows=rows, refined=min(rows, 50), seed=seed)
    found = findings(e)
    first = next((f for f in found if f.sick), None)
    remedy = first.remedy if first else None
    line = command_of(run, remedy, out)
    treated = None
    if fix and remedy:
        show = progress("evidence")
        treated = treat(run, data, remedy, out=out, samples=samples, rows=rows, show=not as_json, progress=show)
    if as_json:
        return print_json(_numbers(folder, e, found, first, line, treated))
    _print(run, e, found, first, line)
    if treated:
        _print_treatment(treated)
    elif fix:
        print("There is nothing to fix." if first is None else "This has no remedy that could be trained by itself.")
    return None


def _numbers(
    folder: Path, e: "Examination", found: list["Finding"], first: "Finding | None", line: str | None, treated: Any
) -> dict[str, Any]:
    listed = [{"name": f.name, "sick": f.sick, "says": f.says, "remedy": f.remedy and vars(f.remedy)} for f in found]
    return {
        "run": str(folder),
        "healthy": first is None,
        "diagnosis": first.name if first else "healthy",
        "findings": listed,
        "command": line,
        "measured": e.summary(),
        "treatment": treated and treated.summary(),
    }


def _print(run: "Run", e: "Examination", found: list["Finding"], first: "Finding | None", line: str | None) -> None:
    about = run.info["data"]
    print(f"{run.info['recipe'] or 'hand-made parts'} on {about['name']} ({about['protocol']}), {e.rows}")
    print(f"diagnosis: {first.name if first else 'healthy'}")
    for f in found:
        print(f"  {'-' if f.sick else 'note:'} {f.says}")
    if first and first.remedy:
        print(f"remedy: {first.remedy.says}" + (f"\n  {line}" if line else ""))
    print()
    _print_latents(e)
    for text in (*_information(e), *_oracle(e)):
        print(text)
    for what, why in e.silent.items():
        print(f"not measured ({what}): {why}")


def _print_latents(e: "Examination") -> None:
    if e.codes is not None:
        print(f"{e.codes.used:,} of {e.codes.codes:,} codes in use, perplexity {e.codes.perplexity:.1f}")
    if e.usage is None:
        return
    used = e.usage
    order = (used.variance_of_means if used.kl is None else used.kl).argsort(descending=True).tolist()
    rows: list[tuple[str, ...]] = [("latent", "KL, nats", "Var E[z|x]", "decoder moves", "")]
    for i in order[:SHOWN]:
        kl = "" if used.kl is None else f"{used.kl[i]:.3f}"
        motion = "" if e.motion is None else f"{e.motion[i]:.3f}"
        on = "active" if used.variance_of_means[i] >= 0.01 else ""
        rows.append((f"z{i}", kl, f"{used.variance_of_means[i]:.4f}", motion, on))
    print(f"{used.active} of {e.latent} latents active")
    table(rows)
    if len(order) > SHOWN:
        print(f"  and {len(order) - SHOWN} more with less")
    if e.curve is not None:
        from logpx.doctor import EPS

        points = ", ".join(
            f"{c:.0%} at {eps:g}" for eps, c in zip(EPS[::5].tolist(), e.curve[::5].tolist(), strict=True)
        )
        print(f"collapsed for 99 % of the rows, by eps in nats: {points}")


def _information(e: "Examination") -> list[str]:
    lines = []
    if (p := e.parts) is not None:
        wall = ", at its limit: a lower bound" if p.saturated else ""
        rest = "" if p.total_correlation is None else f", of which total correlation {p.total_correlation[0]:.2f}"
        lines.append(
            f"KL {p.rate[0]:.2f} +- {p.rate[1]:.2f} nats = I(x; z) {p.mutual_information[0]:.2f} +- "
            f"{p.mutual_information[1]:.2f} (no more than log {p.rows:,} = {p.limit:.2f} could be seen{wall}) + KL(q(z) || "
            f"p(z)) {p.marginal_kl[0]:.2f}{rest}"
        )
    if e.amortisation is not None:
        gain, error = e.amortisation
        lines.append(
            f"a q of each row's own gains {gain:.2f} +- {error:.2f} nats over the encoder's ({e.refined} rows)"
        )
    if (r := e.resemblance) is not None:
        looks = "look like data" if abs(r.z_score) < 4 else "do not look like data"
        lines.append(
            f"samples {looks} to the encoder: {r.same:.0%} of codes have one of their own kind nearest (50 % would be alike)"
        )
    return lines


def _oracle(e: "Examination") -> list[str]:
    """What a linear VAE would do, and where one sits."""
    lines = []
    if (f := e.forecast) is not None and e.sigma is not None and e.run.model.has_evidence:
        n = f.live(e.latent, e.sigma**2)
        label = "linear oracle" if e.sits else "linear comparison (a theorem for linear VAEs only)"
        how = "fixed" if e.sigma_fixed else "learned"
        lines.append(
            f"{label}: {n} of {e.latent} latents live at sigma^2 = {e.sigma**2:.4g} ({how}); eigenvalues "
            + ", ".join(f"{v:.3g}" for v in f.values[: min(6, e.latent + 1)].tolist())
        )
    if (s := e.sits) is not None:
        kind = "a maximum" if s.stable else "a saddle"
        way = (
            "" if s.missing is None else f"; along eigenvector {s.missing[0]} log p(x) curves up by {s.missing[1]:.3g}"
        )
        learned = "a maximum" if s.stable_learned else "not one"
        lines.append(
            f"it sits {s.distance:.1%} from the stationary point that holds eigenvectors {s.kept}: {kind} at this sigma, "
            f"{learned} with sigma learned{way}"
        )
    return lines


def _print_treatment(t: "Treatment") -> None:
    clear = abs(t.gain) > 2 * t.standard_error
    verdict = ("better" if t.gain > 0 else "worse") if clear else "no better"
    print()
    print(f"before: {t.before}" + (f" ({t.note})" if t.note else ""))
    print(f"after:  {t.after}")
    print(
        f"{verdict}: {t.gain:+.3f} +- {t.standard_error:.3f} nats per data point on the same rows; run {t.run.folder}"
    )


# --- data --------------------------------------------------------------------------------------------------------------


def _of_data(
    source: str, latent: int | None, sigma: float | None, protocol: str | None, kind: str | None, as_json: bool
) -> None:
    from logpx.data import load
    from logpx.doctor import forecast
    from logpx.exact import ppca

    if sigma is not None and not 0 < sigma < float("inf"):
        raise UserError(f"--sigma is {sigma}: give a positive number.")
    data = load(source, protocol=protocol, kind=kind)  # type: ignore[arg-type]
    f = forecast(data)
    if latent is not None:
        ppca.check_latent(latent, min(f.dims, f.rows) - 1)
    asked = (
        [latent]
        if latent
        else sorted({n for n in (1, 2, 5, 10, 20, 50, f.standing_out) if 0 < n < len(f.values)}) or [1]
    )
    levels = sorted({sigma or 1.0, 1.0})
    if as_json:
        rows = [_row(f, n, levels) for n in asked]
        return print_json({"data": data.name, "protocol": data.protocol} | f.summary() | {"forecast": rows})
    _print_forecast(data.name, data.protocol, f, asked, levels)
    return None


def _row(f: "Forecast", n: int, levels: list[float]) -> dict[str, Any]:
    learned = f.learned_variance(n)
    return {
        "latent": n,
        "sigma2_learned": learned,
        "live_learned": f.live(n, learned),
        "kl_learned": f.kl(n, learned).sum().item() if learned > 0 else None,
        "live_fixed": {f"{level:g}": f.live(n, level**2) for level in levels},
    }


def _print_forecast(name: str, protocol: str, f: "Forecast", asked: list[int], levels: list[float]) -> None:
    print(f"{name} ({protocol}): {f.rows:,} training rows of {f.dims:,} numbers")
    print("eigenvalues of their covariance: " + ", ".join(f"{v:.3g}" for v in f.values[:10].tolist()) + " ...")
    print(
        f"{f.standing_out} of them stand out of noise of one variance: so many latents are worth having to a linear VAE"
    )
    print("\nwhat a linear VAE would do:")
    heads = ("latents", "sigma^2 learned", "live", "KL, nats", *(f"live at sigma = {level:g}" for level in levels))
    rows: list[tuple[str, ...]] = [heads]
    for n in asked:
        row = _row(f, n, levels)
        kl = "" if row["kl_learned"] is None else f"{row['kl_learned']:.2f}"
        fixed = [str(row["live_fixed"][f"{level:g}"]) for level in levels]
        rows.append((str(n), f"{row['sigma2_learned']:.4g}", str(row["live_learned"]), kl, *fixed))
    table(rows)
    if not f.gaussian:
        print("\nThese are no unbounded real numbers: read it as a comparison, not as what your likelihood will do.")
    if all(f.live(n, level**2) < n for n in asked[-1:] for level in levels):
        print("A fixed sigma closes every latent whose eigenvalue lies below sigma^2: learn it (--sigma shared).")
