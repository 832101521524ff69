"""What a sweep is to train, and its folder (floor 8): what it was before, what it says of itself, what goes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logpx.cli.over import Range, Values, name_of, plain
from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.recipes import Recipe

Found = dict[str, Any]
FILE = "sweep.json"  # what was asked for and, in the end, how the runs stand


@dataclass(frozen=True)
class Plan:
    """What is swept `over`, `each` combination that is trained, and where; `given` and `options` are the command line's."""

    row: "Recipe"
    data: "Data"
    over: Values
    each: list[dict[str, Any]]
    out: Path
    options: dict[str, Any]
    given: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return [name_of(options) for options in self.each]

    @property
    def head(self) -> Found:
        """What sweep.json says before anything is trained."""
        over = {n: str(v) if isinstance(v, Range) else [plain(value) for value in v] for n, v in self.over.items()}
        about = {"recipe": self.row.name, "data": self.data.name, "protocol": self.data.protocol}
        asked = [{name: plain(value) for name, value in its.items()} for its in self.each]
        return about | {
            "checksum": self.data.checksum,
            "held_out": len(self.data.held_out),
            "over": over,
            "asked": asked,
        }


def before_of(plan: Plan) -> Found:
    """What sweep.json said before, {} where there is none; UserError where the folder is something else, or in use."""
    from logpx.train.state import read_json

    out, file = plan.out, plan.out / FILE
    in_use = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if plan.given["resume"] and not file.exists():
        raise UserError(f"There is no sweep in {out}: leave --resume out to start one.")
    if in_use and not plan.given["resume"] and not plan.given["force"]:
        raise UserError(f"{out} exists: resume it (--resume), replace it (--force) or choose another folder (--out).")
    if in_use and not file.exists():
        raise UserError(
            f"{out} exists and is not the folder of a sweep, so it is not replaced: choose another (--out)."
        )
    before = read_json(file) if in_use else {}
    if not isinstance(before, dict):
        raise UserError(f"{file} does not describe a sweep: the file is damaged or not ours.")
    if plan.given["resume"]:
        _check_same(plan, before)
    return before


def _check_same(plan: Plan, before: Found) -> None:
    """Other values, or other options, may be swept when it goes on; recipe and data stay."""
    for name in ("recipe", "data", "protocol", "checksum"):
        if before.get(name) != plan.head[name]:
            raise UserError(
                f"The sweep in {plan.out} has {name} {before.get(name)}, and this one {plan.head[name]}: "
                "choose another folder (--out)."
            )


@contextmanager
def announced(plan: Plan) -> Iterator[None]:
    """sweep.json says what is under way, so that it can be resumed; what was there is put back if nothing is begun."""
    from logpx.train.state import read_json, write_json

    file, fresh = plan.out / FILE, not plan.out.exists()
    before = read_json(file) if file.exists() else None
    plan.out.mkdir(parents=True, exist_ok=True)
    write_json(file, (before or {}) | plan.head | {"status": "running"})
    try:
        yield
    except UserError:
        if before is not None:
            write_json(file, before)
        elif fresh:
            shutil.rmtree(plan.out)
        else:
            file.unlink()
        raise


def remove_others(plan: Plan, before: Found) -> None:
    """Runs of a sweep that this one replaces and does not have itself."""
    if plan.given["force"]:
        for row in before.get("rows", []):
            name = str(row.get("name"))
            if name not in plan.names and name == Path(name).name and (plan.out / name / "run.json").exists():
                shutil.rmtree(plan.out / name)
