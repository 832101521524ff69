"""The model card of an export (floor 7): what was trained on what, how well, how to run it, and what the numbers are not."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from logpx.data import Data
from logpx.likelihoods import measure_of
from logpx.recipes import RECIPES
from logpx.recipes.line import command
from logpx.train import Run


def card(run: Run, data: Data, about: Mapping[str, Any], evidence: str | None, finding: str | None) -> str:
    """The card in Markdown; everything in it is from the run, its data and what was written."""
    parts = (
        _title(run, data),
        _files(about),
        _data(data, about["rows"]),
        _training(run),
        _evidence(run, evidence, finding),
        _use(about),
        _limits(run, data, about),
        _licence(),
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _title(run: Run, data: Data) -> Iterator[str]:
    row = RECIPES.get(run.info.get("recipe") or "")
    yield f"# {row.title if row else 'A model of hand-made parts'} on {_words(data.name)}"
    yield ""
    yield f"Recipe `{row.name}` of logpx: {row.reference}." if row else "Built from parts, without a recipe of logpx."


def _files(about: Mapping[str, Any]) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield "| file | in | out | largest difference from Python |"
    yield "|---|---|---|---|"
    for part in about["parts"].values():
        ins, outs = (_tensors(part[key]) for key in ("inputs", "outputs"))
        worst = max(part["differs"].values())
        yield f"| `{part['file']}` | {ins} | {outs} | {worst:.1g} on {part['checked_rows']} rows |"
    yield ""
    says = {name: out["says"] for part in about["parts"].values() for name, out in part["outputs"].items()}
    yield from (f"- `{name}`: {words}" for name, words in says.items())
    yield from (f"- No {name}: {_words(reason)}" for name, reason in about["left_out"].items())
    for name, part in about["parts"].items():
        yield from (f"- No `{output}` of the {name}: {_words(reason)}." for output, reason in part["lacks"].items())
    yield ""
    yield "A difference is in units of the largest number that stands there in these rows, or of 1; 0.0001 is tolerated."
    yield "The same as JSON, with every column: `export.json`, and in each ONNX file under the metadata key `logpx`."


def _tensors(named: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}` ({', '.join(map(str, t['shape']))}) {t['type']}" for name, t in named.items())


def _data(data: Data, rows: Mapping[str, Any]) -> Iterator[str]:
    counts = ", ".join(
        f"{len(getattr(data, part)):,} {part.replace('_', '-')}" for part in ("train", "held_out", "test")
    )
    yield "## Data"
    yield ""
    yield f"- data set {_words(data.name)}: {counts} rows of shape {tuple(rows['shape'])}, {rows['kind']}"
    yield f"- protocol {_words(data.protocol)}. {_words(data.note)}"
    yield f"- sha256 `{data.checksum}`"
    yield f"- an element of x: {rows['says']}"
    for title, key in (("columns, in this order", "columns"), ("context, in this order", "context")):
        if rows.get(key):
            yield f"- {title}: " + "; ".join(_column(column) for column in rows[key])
    if rows.get("tokens"):
        yield f"- {len(rows['tokens'])} tokens by code: see `export.json`"


def _column(column: Mapping[str, Any]) -> str:
    named = column.get("categories")
    some = ", ".join([*map(_words, (named or ())[:12]), *(["..."] if len(named or ()) > 12 else [])])
    inside = f"one of {some}" if named else column["kind"]
    scaled = f", (value - {column['mean']:.6g}) / {column['scale']:.6g}" if "mean" in column else ""
    return f"{_code(column['name'])} ({inside}{scaled})"


def _training(run: Run) -> Iterator[str]:
    yield "## Training"
    yield ""
    if line := command(run.info, bare=True):
        yield f"- {_code(line)}"
    yield "- options: " + _settings(run.info.get("options"))
    yield "- training: " + _settings(run.info.get("training"))
    if run.best_epoch:
        yield f"- weights of epoch {run.best_epoch} of {len(run.rows)}, the best on held-out rows"
    yield f"- {sum(p.numel() for p in run.model.parameters()):,} parameters"
    yield "- machine: " + _settings(run.info.get("machine"))


def _settings(values: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {_words(value)}" for name, value in (values or {}).items() if value is not None) or "none"


def _evidence(run: Run, evidence: str | None, finding: str | None) -> Iterator[str]:
    yield "## Evidence"
    yield ""
    yield f"- {_words(evidence)}" if evidence else "- not estimated: `logpx evaluate` does that, with an error bar"
    if warning := run.info.get("warning"):
        yield f"- {_words(warning)}"
    yield f"- latent space: {_words(finding)}" if finding else "- latent space: not examined, see `logpx doctor`"


def _use(about: Mapping[str, Any]) -> Iterator[str]:
    part = next(reversed(about["parts"].values()))
    yield "## Use"
    yield ""
    yield f"`{part['file']}`, any number of rows at once:"
    yield ""
    yield "```python"
    yield from (_onnx_lines(part) if about["format"] == "onnx" else _torch_lines(part))
    yield "```"


def _onnx_lines(part: Mapping[str, Any]) -> Iterator[str]:
    yield "import numpy as np"
    yield "import onnxruntime"
    yield ""
    yield f'session = onnxruntime.InferenceSession("{part["file"]}", providers=["CPUExecutionProvider"])'
    given = ", ".join(f'"{n}": np.zeros({_one_row(t)}, dtype=np.float32)' for n, t in part["inputs"].items())
    yield f"{', '.join(part['outputs'])}{',' * (len(part['outputs']) == 1)} = session.run(None, {{{given}}})"


def _torch_lines(part: Mapping[str, Any]) -> Iterator[str]:
    yield "import torch"
    yield ""
    yield f'part = torch.export.load("{part["file"]}").module()  # nothing is unpickled'
    yield f"{', '.join(part['outputs'])} = part({', '.join(f'torch.zeros{_one_row(t)}' for t in part['inputs'].values())})"


def _one_row(t: Mapping[str, Any]) -> str:
    return str((1, *t["shape"][1:]))


def _limits(run: Run, data: Data, about: Mapping[str, Any]) -> Iterator[str]:
    measure = measure_of(run.model.likelihood)
    yield "## Limits"
    yield ""
    yield "- The parts compute in float32. Rows are made as the training data were (see Data), else no number means anything."
    if measure is None:
        yield "- The likelihood is the grey score: its numbers are no log-likelihoods and compare with none."
    elif "density" in measure:
        yield "- log p(x) is a " + measure + ": it changes with the unit of x and may be positive."
    if measure is not None:
        same = f"of the same data under the same protocol ({_words(data.protocol)})"
        yield f"- It is comparable with other models {same}, and no others."
    yield "- A likelihood is no anomaly score by itself: simple rows unlike any of the training may score higher than its own."
    yield "  Compare with scores of rows that are known to be usual."
    if any("l1" in part["outputs"] for part in about["parts"].values()):
        yield "- `l1` is one draw of a lower bound on log p(x), by the same noise for every row: it ranks rows. log p(x) with"
        yield "  an error bar takes many draws: `logpx evaluate`."
    yield "- Nothing was tested on people, groups or decisions about them; what is in the training data comes out again."


def _licence() -> Iterator[str]:
    yield "## Licence"
    yield ""
    yield "Written by logpx (Apache-2.0), which claims nothing in these files: weights and training data keep the terms of"
    yield "those who made them."


# --- words that are not the card's own: names, categories, notes -------------------------------------------------------

MARKUP = re.compile(r"[\\`*\[\]#|~$]|(?<!\w)_|_(?!\w)")  # an underscore inside a word marks up nothing
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _words(text: Any) -> str:
    """Text that stands in a line of Markdown as it is: no heading, link, tag or line break of its own."""
    return MARKUP.sub(r"\\\g<0>", _line(text).translate(ENTITIES))


def _code(text: Any) -> str:
    """The text as code in a line: between more backticks than it holds in a row."""
    line = _line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    room = " " if "`" in line else ""
    return f"{fence}{room}{line}{room}{fence}"


def _line(text: Any) -> str:
    """In one line; what cannot be printed is spelled, as \\x1b."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
