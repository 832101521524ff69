"""Sphinx configuration: markdown pages, one page per recipe made from its docstring, nothing fetched."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tables import write

import logpx

write()
project, author, copyright = "logpx", "The logpx authors", "The logpx authors"
release = version = logpx.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme, html_title = "furo", "logpx"
exclude_patterns = ["_build"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
