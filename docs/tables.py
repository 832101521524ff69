"""The README's two tables and the docs' pages, made from the table of recipes and from evidence/.

`python docs/tables.py` writes them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from logpx.recipes import RECIPES

ROOT = Path(__file__).parents[1]


def recipe_table() -> str:
    """The README's table: name, method, reference."""
    rows = [f"| `{name}` | {r.title} | {r.reference} |" for name, r in RECIPES.items()]
    return "\n".join(["| recipe | method | reference |", "|---|---|---|", *rows])


def method_page(name: str) -> str:
    """A page of the docs: the docstring's prose and formula, the options, the files to read."""
    from logpx.recipes.page import files

    row = RECIPES[name]
    text, meanings = row.text
    _, formula, *prose = text.split("\n\n")
    options = "\n".join(f"| `--{o}` | `{p.default}` | {cell(meanings[o])} |" for o, p in row.options.items())
    reading = "\n".join(f"1. `logpx/{file}`" for file in files(name))
    paragraphs = "\n\n".join(prose).replace("<", "&lt;")
    return (
        f"# {row.title}\n\n{row.reference}\n\n```text\n{formula}\n```\n\n{paragraphs}\n\n"
        f"```bash\nlogpx train {name} DATA\n```\n\n"
        f"| option | default | meaning |\n|---|---|---|\n{options}\n\n"
        f"Read it in this order, or print it on one page with `logpx show {name}`:\n\n{reading}\n\n## Measured\n\n"
        + "\n".join(map(measured_section, evidence_of(name)))
    )


def picture(file: str, words: str) -> str:
    """A picture of evidence/ with what it shows below it."""
    return f"\n![{words}](../../evidence/{file})\n\n{words}.\n"


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
    """Every file in evidence/ that is about this recipe."""
    files = (json.loads(path.read_text()) for path in sorted((ROOT / "evidence").glob("*.json")))
    return [value for value in files if value["recipe"] == name]


def measured_section(value: dict[str, Any]) -> str:
    """One file of evidence as prose and a table: data, settings, our figures beside the paper's, the command."""
    said = {key: text for key, text in value.items() if key not in TOLD and isinstance(text, str)}
    rows = [row for key, found in value.items() if key not in (*TOLD, *said) for row in figures(found, key)]
    table = "\n".join(f"| {cell(what)} | {cell(number)} |" for what, number in rows)
    paper = "; ".join(figure for figure in flat(value.get("paper")))
    source = f" ({value['source']})" if "source" in value else ""
    notes = "".join(f" {key[0].upper()}{key[1:]}: {text.rstrip('.')}." for key, text in said.items())
    return (
        f"{value['data']}. {value['settings']}. Unit: {value['unit']}.\n\n"
        f"| | mean +- its standard error over seeds |\n|---|---|\n{table}\n\n"
        + (f"Published: {paper}{source}." if paper else "")
        + notes
        + f"\n\n```bash\n{value['command']}\n```\n"
        + "".join(picture(file, words) for file, words in value.get("pictures", {}).items())
    ).replace("<", "&lt;")


def figures(found: Any, name: str) -> Iterator[tuple[str, str]]:
    """(what, how much) of each number in a file of evidence, nested names joined."""
    if isinstance(found, dict) and {"mean", "standard_error"} <= found.keys():
        published = f"; published {found['paper']}" if "paper" in found else ""
        yield name, plus_minus(found, digits=2 if abs(found["mean"]) >= 1 else 4) + published
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


def measured_table() -> str:
    """The README's figures, each read from its file in evidence/: nothing is typed by hand."""
    vae, ppca, linear = (evidence(name) for name in ("vae_2d_mnist", "ppca", "linear_vae"))
    grey = vae["grey score (a score, not a log-likelihood)"]
    rows = [
        ("grey score, 784-400-2, 100 epochs", plus_minus(grey["loss"], -1), f"{-vae['paper']['loss']:.2f}"),
        ("of which reconstruction", plus_minus(grey["reconstruction"], -1), f"{-vae['paper']['reconstruction']:.2f}"),
        ("of which KL", plus_minus(grey["kl"], -1), f"{-vae['paper']['kl']:.2f}"),
        ("L_5000, same network, dynamically binarised", plus_minus(vae["dynamic: L_5000"]), ""),
        ("L_5000, same network, continuous Bernoulli", plus_minus(vae["continuous_bernoulli: L_5000"]), ""),
    ]
    judge = ppca["scikit-learn's subspace, its variances times (n - 1)/n"]["test"]
    rows.append(
        ("log p(x), pPCA, 10 latents, grey MNIST", f"{ppca['closed form']['test']:.6f}", f"{judge:.6f} (scikit-learn)")
    )
    maximum = linear["probabilistic PCA maximum of the same images"]
    rows.append(
        (
            f"ELBO, linear VAE, {linear['settings'].split(',')[0].removeprefix('latent ')} latents, 1,000 images",
            plus_minus(linear["elbo"]),
            f"{maximum:.2f} (pPCA's maximum)",
        )
    )
    for name, found in evidence("iwae")["L_5000"].items():
        rows.append(
            (
                f"L_5000, 784-200-200-50, {found['epochs']} epochs: {name}",
                plus_minus(found),
                f"{found['paper']:.2f} (3,280 epochs)",
            )
        )
    vamp = evidence("vamp_vae")
    gain = vamp["VampPrior minus N(0, I), pair by pair"]
    rows.append(
        (
            "VampPrior minus N(0, I), 784-300-300-40",
            plus_minus(gain),
            f"{vamp['paper']['VampPrior'] - vamp['paper']['N(0, I)']:.2f}",
        )
    )
    lines = [f"| {what} | {ours} | {theirs} |" for what, ours, theirs in rows]
    return "\n".join(["| nats per image | logpx | reference |", "|---|---|---|", *lines])


def evidence(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "evidence" / f"{name}.json").read_text())


def plus_minus(found: dict[str, Any], sign: int = 1, digits: int = 2) -> str:
    """Mean over seeds, or over blocks of rows, and its standard error where there are several."""
    error, mean = found["standard_error"], f"{sign * found['mean']:.{digits}f}"
    several = f"{found['n']} seeds" if "n" in found else f"{found['blocks']} blocks of rows"
    return f"{mean} +- {error:.{digits}f} ({several})" if error is not None else f"{mean} (1 seed)"


def write_readme() -> None:
    """The README's generated parts, each between its two marks."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    for mark, table in (("recipes", recipe_table()), ("measured", measured_table())):
        before, _, rest = text.partition(f"<!-- {mark} -->")
        text = f"{before}<!-- {mark} -->\n{table}\n<!-- /{mark} -->{rest.partition(f'<!-- /{mark} -->')[2]}"
    readme.write_text(text)


def write_pages() -> None:
    """One page per recipe into docs/methods."""
    folder = ROOT / "docs" / "methods"
    folder.mkdir(exist_ok=True)
    for name in RECIPES:
        (folder / f"{name}.md").write_text(method_page(name))


if __name__ == "__main__":
    write_readme()
    write_pages()
