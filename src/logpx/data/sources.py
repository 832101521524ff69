"""`load`: from a name or a path to a Data (floor 6)."""

import difflib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from logpx.data import images, language, sprites, synthetic
from logpx.data.asked import names_in
from logpx.data.base import Data, Kind, Share, Stored
from logpx.data.build import build
from logpx.data.cells import is_table
from logpx.data.kinds import check_kind_name
from logpx.data.protocols import AS_IS, KIND_OF
from logpx.data.table import ARCHIVES, ARRAYS, NOTHING, READERS, TABLES, Aside, Drop, refuse_label
from logpx.errors import UserError

#: the named sets of pictures, whose protocol follows from the likelihood unless the user names one
PICTURES = {
    "mnist": "handwritten digits, 60,000 + 10,000 images of 28 x 28, shipped with logpx",
    "fashion-mnist": "clothes in the format of MNIST; from LOGPX_DATA, or fetched with LOGPX_DOWNLOAD=1",
    "digits": "scikit-learn's handwritten digits, 1,797 images of 8 x 8 with 17 levels",
}


def names() -> dict[str, str]:
    """Every named data set and one line about it."""
    made = {name: line for name, (_, line) in synthetic.MAKERS.items()} | {language.NAME: language.LINE}
    made[sprites.NAME] = sprites.LINE
    return PICTURES | {name: f"synthetic: {line}" for name, line in made.items()}


def load(
    source: str | Path,
    *,
    protocol: str | None = None,
    kind: Kind | None = None,
    held_out: Share = None,
    test: Share = None,
    seed: int = 0,
    label: str | None = None,
    columns: Mapping[str, str] | str | None = None,
    context: str | Sequence[str] | None = None,
    drop: Drop = None,
    factors: Drop = None,
    standardise: bool | None = False,
    split: str | None = None,
    group: str | None = None,
    download: bool = False,
) -> Data:
    """Load a named data set (see `names`) or a file: .npy, .npz, .csv, .parquet, .h5, .txt, or a folder of images.

    "file.h5:images/x" names one array of an .npz or .h5 file.

    Args:
        source: the name or path; "mnist:grey" carries the protocol.
        protocol: how pixels are read: grey, dynamic, threshold, static (static:SEED) or integer.
        kind: what the numbers are, when it should not be inferred from them.
        held_out: fraction or count of rows kept for early stopping (5,000 for MNIST, otherwise 0.1).
        test: fraction or count of rows kept for testing (0.1), unless the source has test rows of its own.
        seed: of the splits, the static protocol and the synthetic sets.
        label: the column (array, in .npz and .h5) that holds labels instead of data.
        columns: the kind of single columns of a table: {"age": "real", "city": "categorical"}, or "age=real,city=categorical".
        context: what a conditional model conditions on: "label", or columns, which then are no data ("age,city").
        drop: columns of a table that are left out ("id,date").
        factors: columns of a table that say what made each row ("shape,size"), to score codes by; data too, unless dropped.
        standardise: a model then sees real numbers in units of the training rows' standard deviations, column by column, and
            makes them so; log p(x), samples and whatever else is said of x are nevertheless in the units of the file.
        split: the column (array, in .npz and .h5) that says of each row train, validation or test, in the place of shares.
        group: the column (array) whose equal values are never parted: all rows of a patient train, or none.
        download: fetch Fashion-MNIST when it is not on this machine.

    Raises:
        UserError: one sentence on what is wrong with the source or the options.
    """
    check_kind_name(kind)
    where, carried = split_source(source)
    if carried and protocol not in (None, carried):
        raise UserError(f"{source} names protocol {carried!r} and protocol={protocol!r} was given; give one of them.")
    stored = read(
        where, seed=seed, label=label, drop=drop, factors=factors, aside=Aside(split, group), download=download
    )
    known = (*stored.dropped, *(stored.columns or ()))
    lacking = [name for name in names_in(drop, known) if name not in stored.dropped]
    if lacking:
        listed = f"its columns are {', '.join(map(repr, known[:20]))}" if known else "it has no named columns"
        raise UserError(f"{stored.name} has no column {lacking[0]!r} to drop; {listed}.")
    return build(
        stored,
        protocol=carried or protocol,
        kind=kind,
        held_out=held_out,
        test=test,
        seed=seed,
        label=label,
        columns=columns,
        context=context,
        standardise=standardise,
        split=split,
        group=group,
    )


def split_source(source: str | Path) -> tuple[str | Path, str | None]:
    """("mnist", "grey") from "mnist:grey"; a path that exists, colon and all, is left alone."""
    if not isinstance(source, str) or ":" not in source or Path(source).exists():
        return source, None
    for i in [i for i, character in enumerate(source) if character == ":"]:
        where, protocol = source[:i], source[i + 1 :]
        is_there = Path(where).exists() or key_of(where)[1] is not None
        if where in names() or (protocol.partition(":")[0] in (*KIND_OF, AS_IS) and is_there):
            return where, protocol
    return source, None


def key_of(source: str | Path) -> tuple[str | Path, str | None]:
    """("file.h5", "images/x") from "file.h5:images/x", of an archive that exists; (source, None) from all else."""
    if isinstance(source, str) and not Path(source).exists():
        for i in [i for i, character in enumerate(source) if character == ":"]:
            path = Path(source[:i]).expanduser()
            if path.suffix.lower() in ARCHIVES and path.is_file():
                return source[:i], source[i + 1 :]
    return source, None


def read(
    source: str | Path,
    *,
    seed: int,
    label: str | None,
    download: bool,
    drop: Drop = None,
    factors: Drop = None,
    aside: Aside = NOTHING,
) -> Stored:
    """The stored rows of a name or a path."""
    source, key = key_of(source)
    aside = aside._replace(key=key)
    if factors and not is_table(source):
        raise UserError(f"factors={factors!r} are columns of a table, and {source} is none: leave them out.")
    for name, value in (("split", aside.split), ("group", aside.group)):
        if value is not None and aside.needed and not (is_table(source) or Path(source).suffix.lower() in ARCHIVES):
            raise UserError(f"{name}={value!r} names a column, and {source} has none; leave it out.")
    if isinstance(source, str) and source in names():
        if label is not None:
            raise UserError(f"label={label!r} does not apply to {source}, which has its labels already; leave it out.")
        return read_name(source, seed, download)
    if not isinstance(source, str | PathLike) or not str(source):
        raise UserError(f"load needs a name or a path, not {type(source).__name__}; for arrays use from_array.")
    path = Path(source).expanduser()
    if path.is_dir():
        refuse_label(path, label, "folders of images")
        return images.folder(path.resolve())
    if not path.exists():
        raise UserError(not_found(str(source)))
    if path.suffix.lower() not in READERS:
        raise UserError(f"{path} is of no known type; give {', '.join(READERS)}, or a folder of images.")
    if path.suffix.lower() in TABLES:
        return TABLES[path.suffix.lower()](path.resolve(), label, drop, factors, aside)
    if path.suffix.lower() in ARCHIVES:
        return ARCHIVES[path.suffix.lower()](path.resolve(), label, aside)
    return ARRAYS[path.suffix.lower()](path.resolve(), label)


def read_name(name: str, seed: int, download: bool) -> Stored:
    """The stored rows of a named set."""
    if name == language.NAME:
        return language.read(seed)
    if name == sprites.NAME:
        return sprites.read(seed)
    if name in synthetic.MAKERS:
        return synthetic.read(name, seed)
    if name == "fashion-mnist":
        return images.fashion_mnist(download)
    return images.mnist() if name == "mnist" else images.digits()


def not_found(source: str) -> str:
    """The sentence for a name that is not known and a file that is not there."""
    if Path(source).suffix.lower() in READERS or "/" in source or "\\" in source:
        return f"There is no file or folder {source}; check the path."
    close = difflib.get_close_matches(source.lower().partition(":")[0], names(), n=2)
    hint = f"did you mean {' or '.join(close)}? Known are" if close else "known are"
    return f"There is no data set or file {source!r}; {hint}: {', '.join(names())}, or a path."
