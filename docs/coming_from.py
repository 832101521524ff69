"""The tables of docs/coming_from.md, made from those of `logpx.convert`: `python docs/coming_from.py` writes them."""

from pathlib import Path

from logpx.convert import MODELS

PAGE = Path(__file__).parent / "coming_from.md"


def table(tool: str) -> str:
    """Every model of a tool, its recipe here, and what differs."""
    cells = (
        (name, f"`{m.recipe}`" if m.recipe else "none", m.says.replace("|", "\\|")) for name, m in MODELS[tool].items()
    )
    rows = (f"| `{name}` | {recipe} | {says} |" for name, recipe, says in cells)
    return "\n".join(["| model | recipe | what differs |", "|---|---|---|", *rows])


def filled(text: str) -> str:
    """The page with its tables as they are now."""
    for tool in MODELS:
        before, rest = text.split(f"<!-- {tool} -->")
        text = f"{before}<!-- {tool} -->\n{table(tool)}\n<!-- /{tool} -->{rest.split(f'<!-- /{tool} -->')[1]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
