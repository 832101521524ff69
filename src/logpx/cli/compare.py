"""The verb compare (floor 8): runs ranked on the same rows, in one table and on one page."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from logpx.cli.app import JSON, app, plus_minus, print_json, progress, table
from logpx.cli.opened import data_of, open_run
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.train import Run
    from logpx.train.comparison import Comparison, Line

RUN = "run.json"  # what makes a folder a run


@app.command("compare")
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders, or a folder of them, such as a sweep's.")
    ],
    samples: Annotated[int, typer.Option(min=1, help="k of L_k: draws of z per row.")] = 1000,
    split: Annotated[Literal["test", "held_out", "train"] | None, typer.Option(help="Which of the runs' rows.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draws.")] = 0,
    memory: Annotated[int, typer.Option(min=1, help="Megabytes that decoding may use at once.")] = 256,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("compare.html"),
    force: Annotated[bool, typer.Option("--force", help="Replace the page.")] = False,
    as_json: JSON = False,
) -> None:
    """Rank runs by log p(x) of the same rows. Example: logpx compare runs/vae-mnist runs/iwae-mnist --samples 5000"""
    from logpx.evaluate.rows import count
    from logpx.report.compare import write
    from logpx.train.comparison import compare as compared
    from logpx.train.rankable import limited

    _check_page(out, force)
    opened, data = _opened(folders_of(runs))
    its = next(iter(data.values()))
    which = split or its.judge
    rows = limited(getattr(its, which), limit)
    how: dict[str, Any] = {"samples": samples, "seed": seed, "memory": memory * 2**20, "progress": progress}
    found = compared(list(opened.values()), rows, names=list(opened), data=[data[name] for name in opened], **how)
    said = f"{count(rows):,} {which.replace('_', '-')} rows"
    page = write(found, its, said, out, shown=rows)
    if as_json:
        about = {"data": its.name, "protocol": its.protocol, "split": which, "rows": count(rows)}
        return print_json(about | _numbers(found, samples, seed) | {"page": str(page)})
    by = found.name or "reconstruction"
    print(f"{its.name} ({its.protocol}), {said}, nats per data point, the best by {by} first")
    table([_head(found), *(_cells(line, found) for line in found.lines)])
    _say_what_to_mind(found)
    print(f"page: {page}")
    return None


def folders_of(given: list[Path]) -> list[Path]:
    """The run folders that are named, and those inside the folders that are named, each once."""
    found: dict[Path, Path] = {}
    for path in given:
        inside = [path] if (path / RUN).exists() else sorted(file.parent for file in path.glob(f"*/{RUN}"))
        if not inside:
            what = "holds no run" if path.is_dir() else "is no folder"
            raise UserError(f"{path} {what}: name run folders, or a folder of them.")
        for folder in inside:
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _check_page(out: Path, force: bool) -> None:
    from logpx.train.state import check_free

    if out.suffix != ".html":
        raise UserError(f"--out is {out}: the page is an .html file.")
    check_free(out, force=force)


def _opened(folders: list[Path]) -> tuple[dict[str, "Run"], dict[str, "Data"]]:
    """The runs and their data by name, data that are asked for alike loaded once; what was set aside is left out, and said."""
    from logpx.train.rankable import check_data

    runs = {str(folder): run for folder in folders if (run := _kept(folder))}
    abouts = {name: run.info["data"] for name, run in runs.items()}
    if len(runs) < 2:
        raise UserError("A comparison needs at least two runs: name more of them, or a folder of runs.")
    check_data(abouts)  # before anything is loaded
    asked = {name: json.dumps(about, sort_keys=True) for name, about in abouts.items()}
    loaded: dict[str, Data] = {}
    for name, key in asked.items():
        if key not in loaded:
            loaded[key] = data_of(Path(name), abouts[name])
    return runs, {name: loaded[key] for name, key in asked.items()}


def _kept(folder: Path) -> "Run | None":
    """A run, with a word on standard error where it has not ended; None where its loss stopped being finite."""
    from logpx.train.run import Folder

    status = Folder(folder).read_info().get("status")
    if status == "stopped":
        print(f"{folder} stopped, so it is left out.", file=sys.stderr)
        return None
    run = open_run(folder)
    if status == "running":
        print(f"{folder} has not ended: it stands as after epoch {run.best_epoch}.", file=sys.stderr)
    return run


# --- what is printed --------------------------------------------------------------------------------------------------


def _numbers(found: "Comparison", samples: int, seed: int) -> dict[str, Any]:
    """For JSON: the lines of the table, and every run by itself."""
    runs = [its.summary() for line in found.lines for its in line.runs]
    return {"name": found.name, "samples": samples, "seed": seed, "lines": found.summary(), "runs": runs}


def _head(found: "Comparison") -> tuple[str, ...]:
    far = ("to the best", "> 2 s.e.") if found.best else ("", "")
    return ("", "seeds", found.name, "kind", *far, "KL", "reconstruction", "active", "parameters", "epochs", "seconds")


def _cells(line: "Line", found: "Comparison") -> tuple[str, ...]:
    from logpx.train.comparison import parameters

    first, far = line.runs[0].run, found.difference(line)
    value = "no log p(x)" if line.value is None else plus_minus(line.value, line.error)
    clear = "" if far is None else "yes" if far.is_clear else "no"
    difference = plus_minus(far.value, far.standard_error) if far else ""
    means = [line.mean(name) for name in ("kl", "reconstruction", "active_units")]
    rest = ["" if mean is None else f"{mean:.3f}".removesuffix(".000") for mean in means]
    time = "" if (seconds := line.mean("seconds")) is None else f"{seconds:.0f}"
    mark = " ?" if line.doubts else ""
    return (
        line.label,
        ",".join(line.seeds),
        value + mark,
        found.kind(line),
        difference,
        clear,
        *rest,
        f"{parameters(first):,}",
        str(len(first.rows)),
        time,
    )


def _say_what_to_mind(found: "Comparison") -> None:
    """What the errors are of, and which numbers are in doubt."""
    rated = [line for line in found.lines if line.value is not None]
    if rated:
        score = "a score is no log-likelihood; " if "score" in {line.kind for line in rated} else ""
        print(f"{score}+- is the standard error {_over(rated)}; differences are taken row by row")
    if any("/" in seed for line in found.lines for seed in line.seeds):
        print("seeds a/b: of the initial weights / of the training")
    for line in found.lines:
        for name, doubt in line.doubts:
            print(f"? {name}: {doubt}")


def _over(rated: list["Line"]) -> str:
    """Over rows, over seeds, or which over which."""
    several = [line.label for line in rated if line.seeds_error is not None]
    if len(several) in (0, len(rated)):
        return "over seeds" if several else "over rows"
    return f"over seeds of {', '.join(several)}, over rows of the others"
