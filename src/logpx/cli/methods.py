"""The verbs about methods (floor 8): list, show, verify."""

import sys
from typing import Annotated

import typer

from logpx.cli.app import JSON, app, print_json, table
from logpx.errors import UserError


@app.command("list")
def list_recipes(as_json: JSON = False) -> None:
    """List the recipes and the named data sets. Example: logpx list"""
    from logpx.data import names
    from logpx.recipes import RECIPES

    recipes = {name: {"title": r.title, "reference": r.reference} for name, r in RECIPES.items()}
    if as_json:
        return print_json({"recipes": recipes, "data": names()})
    print("Recipes (logpx show NAME prints one on a page):")
    table([(name, r["title"], r["reference"]) for name, r in recipes.items()])
    print("\nData sets by name (or give a file or a folder of images):")
    table(list(names().items()))
    return None


@app.command("show")
def show(recipe: Annotated[str, typer.Argument(metavar="RECIPE")], as_json: JSON = False) -> None:
    """Print a method on one page: the recipe and the source of its parts. Example: logpx show vae"""
    from logpx.recipes import find
    from logpx.recipes.page import files, page

    row = find(recipe)
    if as_json:
        about = {"recipe": row.name, "title": row.title, "reference": row.reference}
        return print_json(about | {"files": files(recipe), "source": page(recipe)})
    _print_python(page(recipe))
    return None


def _print_python(source: str) -> None:
    if not sys.stdout.isatty():
        print(source, end="")
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(source, "python", background_color="default"))


@app.command("verify")
def verify(as_json: JSON = False) -> None:
    """Check this installation against closed forms, in under a minute. Example: logpx verify"""
    from logpx.verify import CHECKS, check

    results = []
    for name in CHECKS:
        results.append(check(name))
        if not as_json:
            print(results[-1].line(), flush=True)
    failed = [r.name for r in results if not r.passed]
    if as_json:
        print_json({"passed": not failed, "checks": [r._asdict() | {"passed": r.passed} for r in results]})
    if failed:
        raise UserError(
            f"{len(failed)} of {len(results)} checks failed ({', '.join(failed)}): do not trust numbers from here."
        )
    if not as_json:
        print(f"All {len(results)} checks passed.")
