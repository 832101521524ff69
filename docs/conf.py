"""Sphinx configuration: markdown pages, one page per recipe made from its docstring, nothing fetched."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from pages import write_pages

import logpx

write_pages()
project, author, copyright = "logpx", "The logpx authors", "The logpx authors"
release = version = logpx.__version__
myst_enable_extensions = ["attrs_inline"]
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme, html_title = "furo", "logpx"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"


def as_written(app, what, name, obj, options, lines):
    """Docstrings are plain text laid out for the eye (formulas, aligned columns), so they are shown as they stand."""
    if any(line.strip() for line in lines):
        lines[:] = ["::", "", *(f"   {line}" for line in lines), ""]


def without_aliases(app, what, name, obj, skip, options):
    """A named tuple's fields are in its signature; Sphinx's "Alias for field number 0" says nothing."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field") else None


def setup(app):
    app.connect("autodoc-skip-member", without_aliases)
    app.connect("autodoc-process-docstring", as_written)
