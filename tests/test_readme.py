"""The READMEs' Python blocks run one after another; links between pages lead somewhere. Their commands: test_law_docs.py."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
READMES = sorted(ROOT.glob("README*.md"))
PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_python_blocks_of_the_readme_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    found = blocks(ROOT / "README.md", "python")
    assert len(found) >= 2
    for block in found:
        exec(compile(block, "README.md", "exec"), scope)
    assert "nats per data point" in capsys.readouterr().out


def test_links_between_pages_lead_somewhere():
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists() or target.startswith("methods/"), (path.name, target)


def test_the_readme_says_the_same_in_both_languages():
    """The same code, numbers, files, links and headings; the prose is for people to compare."""

    def bones(page: Path) -> dict[str, list[str]]:
        text = page.read_text()
        prose = re.sub(r"```.*?```|<!-- (\w+) -->.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
        return {
            "code": re.findall(r"```.*?```", text, re.DOTALL),
            "headings": re.findall(r"^#+", prose, re.MULTILINE),
            "links": sorted(set(re.findall(r"\]\(([^)]+)\)", prose)) - {file.name for file in READMES}),
            "numbers": sorted(re.findall(r"\d+\.\d+", prose)),
            "names": sorted(set(re.findall(r"`([^`]+)`", prose))),
        }

    english, *others = (bones(page) for page in sorted(READMES, key=lambda page: len(page.name)))
    assert others
    for other in others:
        assert other == english
