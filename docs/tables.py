"""The README's two tables, made from the table of recipes and from evidence/; the docs' pages are made by pages.py.

`python docs/tables.py` writes all of them.
"""

from pathlib import Path

from headlines import HEADLINES
from pages import cell, write_pages
from readings import epochs, evidence, named, ours, plus_minus

from logpx.recipes import RECIPES

ROOT = Path(__file__).parents[1]
READMES = (ROOT / "README.md", ROOT / "README.ko.md")


def recipe_table() -> str:
    """The README's table: each recipe with its number and what it is compared with, both read from evidence/."""
    head = ["| recipe | method | our number | compared with | reference |", "|---|---|---|---|---|"]
    return "\n".join(head + [recipe_row(name) for name in RECIPES])


def recipe_row(name: str) -> str:
    row, number = RECIPES[name], HEADLINES[name]
    mine = f"{number.what}: {ours(number)}" + (f", {short}" if (short := epochs(number)) else "")
    return f"| `{name}` | {row.title} | {cell(mine)} | {cell(named(number))} | {row.reference} |"


def measured_table() -> str:
    """What the README says beyond its table of recipes, each figure read from its file in evidence/."""
    vae, bounds = evidence("vae_2d_mnist"), evidence("iwae")["L_5000"]
    grey, network = vae[HEADLINES["vae"].ours[0]], "784-400-2, 100 epochs"
    rows = [
        (
            f"{what} of the grey score, {network}, best epoch by test loss",
            plus_minus(grey[term]),
            f"{vae['paper'][term]:.2f} ({HEADLINES['vae'].by})",
        )
        for what, term in (("reconstruction", "reconstruction"), ("KL", "kl"))
    ]
    rows += [
        (f"L_5000, {network}, {words}", plus_minus(vae[f"{likelihood}: L_5000"]), "")
        for words, likelihood in (
            ("dynamically binarised", "dynamic"),
            ("continuous Bernoulli", "continuous_bernoulli"),
        )
    ]
    rows += [
        (
            f"L_5000, 784-200-200-50, {found['epochs']} epochs: {name}",
            plus_minus(found),
            f"{found['paper']:.2f} ({HEADLINES['iwae'].by})",
        )
        for name, found in bounds.items()
    ]
    lines = [f"| {what} | {mine} | {theirs} |" for what, mine, theirs in rows]
    return "\n".join(["| nats per image | logpx | compared with |", "|---|---|---|", *lines])


def write_readmes() -> None:
    """The generated parts of the README, in either language, each between its two marks."""
    for readme in READMES:
        text = readme.read_text()
        for mark, table in (("recipes", recipe_table()), ("measured", measured_table())):
            before, _, rest = text.partition(f"<!-- {mark} -->")
            text = f"{before}<!-- {mark} -->\n{table}\n<!-- /{mark} -->{rest.partition(f'<!-- /{mark} -->')[2]}"
        readme.write_text(text)


if __name__ == "__main__":
    write_readmes()
    write_pages()
