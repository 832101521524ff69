"""The README and the guides run: their Python blocks one after another, their command lines through the real parser."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from logpx import cli

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def command_lines() -> list[str]:
    lines = [line for path in PAGES for block in blocks(path, "bash") for line in block.splitlines()]
    return sorted({line.split("#")[0].strip() for line in lines if line.startswith("logpx ")})


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_the_python_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch, capsys):
    """In an empty folder, as someone would who copies them."""
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), scope)
    assert "print(" not in page.read_text() or capsys.readouterr().out


@pytest.mark.parametrize("line", command_lines())
def test_each_command_line_parses(line):
    """Every option exists and takes the value shown; nothing is run."""
    command, arguments = typer.main.get_command(cli.app), shlex.split(line)[1:]
    while hasattr(command, "get_command"):
        command = command.get_command(None, arguments.pop(0))
    assert command.make_context(line, arguments).params


def test_links_between_pages_lead_somewhere():
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists() or target.startswith("methods/"), (path.name, target)
