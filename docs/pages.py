"""One page of the docs for each recipe, made from its docstring, evidence/ and the pictures; and the families at a glance."""

import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headlines import HEADLINES, Headline
from readings import EVIDENCE, at, compared, evidence, ours, plus_minus, trained

from logpx.recipes import RECIPES, Recipe
from logpx.recipes.base import WHEN

DOCS = Path(__file__).parent
PICTURES = DOCS / "methods_pictures"
WIDEST = 84  # characters of a command line that a page shows whole


def method_page(name: str) -> str:
    """What it is, its formula, when to use it, its number beside another, its picture; then how, and all the rest."""
    row = RECIPES[name]
    _, formula, *prose = row.text[0].split("\n\n")
    told = "\n\n".join(paragraph for paragraph in prose if not paragraph.startswith(WHEN))
    return "\n\n".join(
        [
            f"# {row.title}",
            row.sentence,
            row.reference,
            f"```text\n{below_each_other(formula)}\n```",
            in_markdown(told),
            f"## When to use it\n\n**When:** {in_markdown(row.when)}",
            f"## Our number, and another to compare\n\n{at_a_glance(name)}",
            f"## What it looks like\n\n{picture_of(name)}",
            f"## How to run it\n\n{example(name)}",
            options(row),
            reading_order(name),
            "## Measured\n\n" + "\n".join(map(measured_section, evidence_of(name))),
        ]
    )


def below_each_other(formula: str) -> str:
    """A formula's statements, two spaces apart in a docstring, each on a line of its own."""
    return re.sub(r"([,;])  (?=\S)", r"\1\n", formula)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def in_markdown(text: str) -> str:
    """A docstring's text where markdown would read < as a tag."""
    return text.replace("<", "&lt;")


# --- our number, and another to compare --------------------------------------------------------------------------------


def at_a_glance(name: str) -> str:
    """The headline number, what stands beside it, and how each was trained."""
    row = HEADLINES[name]
    columns = [("", cell(row.what), "protocol"), ("logpx", f"**{ours(row)}**", cell(trained(row)))]
    if row.other:
        columns.append((row.by, compared(row), cell(row.theirs)))
    head, *rows = (f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True))
    return in_markdown("\n".join([head, f"|{'---|' * len(columns)}", *rows]) + f"\n\n{beside(row)}")


def beside(row: Headline) -> str:
    """What has to be known of the other number, or why there is none, in the words of the file."""
    why = at(evidence(row.file), row.why).rstrip(".") if row.why else ""
    if row.elsewhere:
        whose, protocol = row.elsewhere[-1], f"; {row.theirs}" if row.theirs else ""
        number = at(evidence(row.file), row.elsewhere)
        return f"Published for other data or by another protocol, which is no comparison: {whose}: {number} ({why}){protocol}."
    if row.other is None:
        return f"No number of the paper's can stand beside ours{f': {why}' if why else ''}."
    return f"{capital(why)}." if why else ""


# --- the picture -------------------------------------------------------------------------------------------------------


def kept_pictures() -> dict[str, Any]:
    """What pictures.py made and kept, by recipe."""
    return json.loads((PICTURES / "pictures.json").read_text())


def picture_of(name: str) -> str:
    """The picture with what it shows, of which run, and the number that the run reached."""
    kept = kept_pictures()[name]
    return (
        f'```{{figure}} ../methods_pictures/{kept["file"]}\n:width: {kept["width"]}px\n:alt: "{kept["alt"]}"\n\n'
        f"{in_markdown(caption(name))}\n```"
    )


def caption(name: str) -> str:
    """Recipe, data, epochs, and the evidence with its error."""
    kept = kept_pictures()[name]
    found, epochs = kept["number"], kept["epochs"]
    digits = 2 if found["standard_error"] >= 0.02 else 3
    number = f"{found['value']:.{digits}f} +- {found['standard_error']:.{digits}f} nats"
    schedule = f"{epochs} epoch{'s' * (epochs > 1)}, seed {kept['seed']}"
    return (
        f"{kept['words']}. `{name}` on {kept['data']}, {schedule}: {found['name']} = {number} "
        f"(standard error over {found['points']:,} test rows)."
    )


def example(name: str) -> str:
    """The command line that trained the picture's run, and the same recipe from Python."""
    command = kept_pictures()[name]["command"]
    source = shlex.split(command)[3]
    asked = ', kind="sequence"' if RECIPES[name].kind == "sequence" else ""
    asked += ', context="label"' if RECIPES[name].conditional else ""
    python = (
        "from logpx import data, recipes, train\n\n"
        f'rows = data.load("{source}"{asked})\n'
        f"run = train.fit(recipes.{name}(rows), rows, epochs=10)\n"
    )
    return f"The run of the picture:\n\n```bash\n{in_lines(command)}\n```\n\nFrom Python:\n\n```python\n{python}```"


def in_lines(command: str) -> str:
    """A command line that does not run out of the page, continued with backslashes before an option."""
    options = [f"--{option}" for option in command.split(" --")[1:]]
    lines = [command.split(" --")[0]]
    for option in options:
        if len(lines[-1]) + len(option) < WIDEST:
            lines[-1] += f" {option}"
        else:
            lines.append(f"    {option}")
    return " \\\n".join(lines)


# --- options and files -------------------------------------------------------------------------------------------------


def options(row: Recipe) -> str:
    _, meanings = row.text
    rows = "\n".join(f"| `--{o}` | `{p.default}` | {cell(meanings[o])} |" for o, p in row.options.items())
    return f"## Options\n\n| option | default | meaning |\n|---|---|---|\n{in_markdown(rows)}"


def reading_order(name: str) -> str:
    from logpx.recipes.page import files

    reading = "\n".join(f"1. `logpx/{file}`" for file in files(name))
    return f"## The code\n\nRead it in this order, or print it on one page with `logpx show {name}`:\n\n{reading}"


# --- what was measured -------------------------------------------------------------------------------------------------

#: of a file in evidence/: what stands in the sentences around the table, or is too long for it
TOLD = (
    "pictures",
    "recipe",
    "data",
    "settings",
    "unit",
    "command",
    "machine",
    "paper",
    "source",
    "target",
    "mean within target",
)
LONG = ("runs", "values", "training terms, last epoch", "terms at the end", "minutes")


def cell(text: str) -> str:
    """Text in a table of markdown, where a bar would end the cell: log p(x|z)."""
    return text.replace("|", "\\|")


def evidence_of(name: str) -> list[dict[str, Any]]:
    """Every file in evidence/ that is about this recipe, the one its headline is from first."""
    paths = sorted(EVIDENCE.glob("*.json"), key=lambda path: (path.stem != HEADLINES[name].file, path.stem))
    found = [(path.stem, json.loads(path.read_text())) for path in paths]
    return [value for stem, value in found if value["recipe"] == name or stem == HEADLINES[name].file]


def picture(file: str, words: str) -> str:
    """A picture of evidence/ with what it shows below it."""
    return f"\n![{words}](../../evidence/{file})\n\n{words}.\n"


def measured_section(value: dict[str, Any]) -> str:
    """One file of evidence as prose and a table: data, settings, our figures beside the paper's, the command."""
    said = {key: text for key, text in value.items() if key not in TOLD and isinstance(text, str)}
    rows = [row for key, found in value.items() if key not in (*TOLD, *said) for row in figures(found, key)]
    table = "\n".join(f"| {cell(what)} | {cell(number)} |" for what, number in rows)
    paper = "; ".join(figure for figure in flat(value.get("paper")))
    source = f" ({value['source']})" if "source" in value else ""
    notes = "".join(f" {capital(key)}: {text.rstrip('.')}." for key, text in said.items())
    return in_markdown(
        f"{value['data']}. {value['settings']}. Unit: {value['unit']}.\n\n"
        f"| | mean +- its standard error over seeds |\n|---|---|\n{table}\n\n"
        + (f"Published: {paper}{source}." if paper else "")
        + notes
        + f"\n\n```bash\n{value['command']}\n```\n"
        + "".join(picture(file, words) for file, words in value.get("pictures", {}).items())
    )


def figures(found: Any, name: str) -> Iterator[tuple[str, str]]:
    """(what, how much) of each number in a file of evidence, nested names joined."""
    if isinstance(found, dict) and {"mean", "standard_error"} <= found.keys():
        beside = f"; published {found['paper']}" if "paper" in found else ""
        yield name, plus_minus(found, digits=2 if abs(found["mean"]) >= 1 else 4) + beside
        found = {
            key: more for key, more in found.items() if key not in ("n", "blocks", "mean", "standard_error", "paper")
        }
    if isinstance(found, dict):
        for key, more in found.items():
            if key not in LONG:
                yield from figures(more, f"{name}, {key}" if key != "over seeds" else name)
    elif isinstance(found, float):
        yield name, f"{found:.6g}"
    elif found is not None:
        yield name, ", ".join(map(short, found)) if isinstance(found, list) else str(found)


def short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def flat(paper: Any, name: str = "") -> Iterator[str]:
    """What the paper reports, in one line."""
    if isinstance(paper, dict):
        for key, value in paper.items():
            yield from flat(value, f"{name} {key}".strip())
    elif paper is not None:
        yield f"{name} {paper}".strip()


# --- all methods at a glance -------------------------------------------------------------------------------------------


def families() -> str:
    """The files of recipes as families, their methods with a picture and a sentence, and the pages in that order."""
    found = [f"### {title}\n\n{family(names)}" for title, names in by_family().items()]
    contents = "\n".join(f"methods/{name}" for name in RECIPES)
    return "\n\n".join([*found, f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{contents}\n```"])


def by_family() -> dict[str, list[str]]:
    """Recipes by the file that they are in, under that file's first sentence."""
    found: dict[str, list[str]] = {}
    for name, row in RECIPES.items():
        first = (inspect.getdoc(inspect.getmodule(row.source)) or "").split("\n")[0]
        found.setdefault(first.split(" (floor")[0], []).append(name)
    return found


def family(names: list[str]) -> str:
    rows = "\n".join(map(in_a_line, names))
    return f"| | recipe | |\n|---|---|---|\n{rows}"


def in_a_line(name: str) -> str:
    kept = kept_pictures()[name]
    image = f"![{RECIPES[name].title}](methods_pictures/{kept['file']}){{width=96px}}"
    return f"| {image} | [`{name}`](methods/{name}.md) | {cell(in_markdown(RECIPES[name].sentence))} |"


def write_pages() -> None:
    """One page per recipe into docs/methods, and the families beside them."""
    folder = DOCS / "methods"
    folder.mkdir(exist_ok=True)
    for name in RECIPES:
        (folder / f"{name}.md").write_text(method_page(name) + "\n")
    (folder / "families.txt").write_text(families() + "\n")
