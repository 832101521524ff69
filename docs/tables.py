"""Tables made from the table of recipes: the README's rows and the docs' pages. `python docs/tables.py` rewrites both."""

from pathlib import Path

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
    options = "\n".join(f"| `--{o}` | `{p.default}` | {meanings[o]} |" for o, p in row.options.items())
    reading = "\n".join(f"1. `logpx/{file}`" for file in files(name))
    paragraphs = "\n\n".join(prose).replace("<", "&lt;")
    return (
        f"# {row.title}\n\n{row.reference}\n\n```text\n{formula}\n```\n\n{paragraphs}\n\n"
        f"```bash\nlogpx train {name} DATA\n```\n\n"
        f"| option | default | meaning |\n|---|---|---|\n{options}\n\n"
        f"Read it in this order, or print it on one page with `logpx show {name}`:\n\n{reading}\n"
    )


def write_readme() -> None:
    """The README's rows between their two marks."""
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition("<!-- recipes -->")
    after = rest.partition("<!-- /recipes -->")[2]
    readme.write_text(f"{before}<!-- recipes -->\n{recipe_table()}\n<!-- /recipes -->{after}")


def write_pages() -> None:
    """One page per recipe into docs/methods."""
    folder = ROOT / "docs" / "methods"
    folder.mkdir(exist_ok=True)
    for name in RECIPES:
        (folder / f"{name}.md").write_text(method_page(name))


if __name__ == "__main__":
    write_readme()
    write_pages()
