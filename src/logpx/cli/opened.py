"""Opening what was kept (floor 8): a run, its data, or other rows read as its data were."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from logpx.errors import UserError

if TYPE_CHECKING:
    from logpx.data import Data
    from logpx.train import Run


def open_run(folder: Path) -> "Run":
    """A finished run, once its run.json is seen to make sense."""
    from logpx.data import check_about
    from logpx.recipes import RECIPES, load_run
    from logpx.train.run import Folder

    info = Folder.existing(folder).read_info()
    check_about(info.get("data"), f"{folder}/run.json")
    if info.get("recipe") is not None and info["recipe"] not in RECIPES:
        raise UserError(
            f"{folder}/run.json names a recipe that there is not ({info['recipe']!r}): it is damaged, or of another version."
        )
    return load_run(folder)


def reopen(folder: Path, factors: str | None = None) -> tuple["Run", "Data"]:
    """A run and the data it was trained on, loaded again from where they came; the checksum must still hold.

    factors  columns of its table to score codes by.
    """
    run = open_run(folder)
    return run, data_of(folder, run.info["data"], factors)


def data_of(folder: Path, about: dict[str, Any], factors: str | None = None) -> "Data":
    """The data of a run, by its account of them."""
    from logpx.data import load, names

    try:
        wanted = {name: about[name] for name in ("protocol", "kind", "held_out", "test", "seed", "label")}
        wanted |= about.get("asked", {})
        source, checksum = about["source"], about["checksum"]
    except (KeyError, TypeError) as missing:
        raise UserError(f"{folder}/run.json does not say {missing} of its data: the file is damaged.") from None
    if source not in names() and not Path(source).is_absolute():
        raise UserError(f"{folder} was trained on an array from Python: evaluate it there, with load_run and evidence.")
    data = load(source, factors=factors, **wanted)
    if data.checksum != checksum:
        raise UserError(f"{source} has changed since {folder} was trained on it (another checksum).")
    return data


def bare(source: str, about: dict[str, Any]) -> str:
    """mnist from mnist:dynamic, if that is the run's protocol; raises UserError for another, which makes other data."""
    from logpx.data.sources import split_source

    where, protocol = split_source(source)
    own, named = about["protocol"], f"static:{about['seed']}" if protocol == "static" else protocol
    if named not in (None, own):
        raise UserError(
            f"{source} names protocol {protocol!r}, and the run read its data by {own!r}: other rows are read as it read its "
            f"own, so give {where}."
        )
    return str(where)


def source_of(folder: Path, about: dict[str, Any], given: str | None) -> str:
    """Where the rows are: what was given, or what the run was trained on."""
    from logpx.data import names

    if given is None and about["source"] not in names() and not Path(about["source"]).is_absolute():
        raise UserError(f"{folder} was trained on an array from Python: give the rows as a file.")
    return bare(given, about) if given else about["source"]
