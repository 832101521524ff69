"""Recipes (floor 7): published methods as typed functions. This list feeds the command line, the docs and the law tests."""

from logpx.recipes.base import RECIPES, Recipe, find, load_run, rebuild

# The order of the table, from the plain to the special:
# isort: off
from logpx.recipes.plain import vae
from logpx.recipes.tighter import iwae
from logpx.recipes.classical import linear_vae, ppca

# isort: on

__all__ = ["RECIPES", "Recipe", "find", "iwae", "linear_vae", "load_run", "ppca", "rebuild", "vae"]
