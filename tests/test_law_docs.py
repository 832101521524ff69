"""The law of the pages: no page shows a command or an option that there is not, a block that fails, or a stale picture."""

import importlib.util
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from logpx import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = ("methods", "_build")  # under docs/, made from what other tests look at
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for page in sorted(DOCS.rglob("*.md")) if page.relative_to(DOCS).parts[0] not in GENERATED),
]
ELSEWHERE = {
    "README.md",
    "anomalies.md",
    "estimator.md",
    "mean_field.md",
}  # their Python blocks run in tests of their own


def fenced(page: Path, *languages: str) -> list[str]:
    """The blocks of a page in one of these languages."""
    return re.findall(rf"```(?:{'|'.join(languages)})\n(.*?)```", page.read_text(), re.DOTALL)


def command_lines(page: Path) -> set[str]:
    """Whole commands of a page: in bash blocks, and in outputs that print one. What is shortened by ... is not whole."""
    text = "\n".join(fenced(page, "bash", "text")).replace("\\\n", " ")
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return {line for line in lines if line.startswith("logpx ") and "..." not in line}


def mentions(page: Path) -> set[str]:
    """Commands in a sentence, which may leave their arguments out."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return set(re.findall(r"`(logpx [a-z][^`]*)`", prose))


def of_all(find: Callable[[Path], set[str]]) -> list[str]:
    return sorted({" ".join(line.split()) for page in PAGES for line in find(page)})


def parsed(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words that are left for it."""
    command: Any = typer.main.get_command(cli.app)
    while hasattr(command, "get_command") and words and re.fullmatch("[a-z_]+", words[0]):
        inner = command.get_command(None, words[0])
        assert inner is not None, f"there is no {words[0]!r}"
        command, words = inner, words[1:]
    return command, words


@pytest.mark.parametrize("line", of_all(command_lines))
def test_each_command_parses(line):
    """Every option exists and takes the value shown, every argument is there; nothing is run."""
    command, words = parsed(shlex.split(line)[1:])
    assert command.make_context(line, words).params


@pytest.mark.parametrize("line", of_all(mentions))
def test_each_command_in_a_sentence_has_the_options_it_names(line):
    command, words = parsed(line.split()[1:])
    if not hasattr(command, "get_command"):  # `logpx train --json`: the options are those of its recipes
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known | {"--help", "-h"}


@pytest.mark.parametrize(
    "page", [p for p in PAGES if fenced(p, "python") and p.name not in ELSEWHERE], ids=lambda p: p.stem
)
def test_the_python_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in fenced(page, "python"):
        exec(compile(block, page.name, "exec"), scope)


def test_the_guides_pictures_are_those_that_their_script_draws(monkeypatch):
    spec = importlib.util.spec_from_file_location("docs_figures", DOCS / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "docs_figures", figures)
    monkeypatch.syspath_prepend(DOCS)
    spec.loader.exec_module(figures)
    for make in figures.PICTURES:
        picture = make()
        assert (figures.FOLDER / picture.file).read_bytes() == picture.as_bytes(), "run: python docs/figures.py"


def test_every_picture_is_small_and_is_shown():
    text = "".join(page.read_text() for page in PAGES)
    for file in sorted((DOCS / "figures").iterdir()):
        assert file.stat().st_size < 60_000, file.name
        assert file.suffix == ".json" or f"figures/{file.name}" in text, file.name
