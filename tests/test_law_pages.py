"""Laws of the docs' pages: each recipe has its sentence, its use, its number and its picture, and no number is typed."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from logpx import cli
from logpx.recipes import RECIPES

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
try:
    import headlines
    import pages
    import readings
    import shots
    import tables
finally:
    sys.path.pop(0)

PICTURES = ROOT / "docs" / "methods_pictures"
KEPT = json.loads((PICTURES / "pictures.json").read_text())
LARGEST, ALL = 40_000, 1_200_000  # bytes
WHOLE = 87  # characters of a line of code that a window 1,200 pixels wide shows
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
every_recipe = pytest.mark.parametrize("name", RECIPES)


def leaves(value: Any) -> list[Any]:
    """All that is neither a mapping nor a list in a file of evidence."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inside is None else [leaf for part in inside for leaf in leaves(part)]


@every_recipe
def test_a_docstring_says_what_it_is_and_when_to_use_it_and_when_not(name):
    row = RECIPES[name]
    assert re.fullmatch(r"[A-Zk][^.]+\.", row.sentence), "one sentence stands below the title"
    ends = re.findall(r"\.(?=\s|$)", row.when)
    assert 2 <= len(ends) <= 4, "the paragraph that begins 'When:' has two to four sentences"
    assert re.search(r"\b[Nn]ot\b", row.when), "it says when not"
    for file in re.findall(r"evidence/\w+\.json", row.when):
        assert (ROOT / file).exists(), file


@every_recipe
def test_the_headline_leads_to_a_number_and_its_words_are_the_files(name):
    row = headlines.HEADLINES[name]
    value = readings.evidence(row.file)
    assert name in f"{value['recipe']} {row.ours}"
    for path in (row.ours, row.other, row.elsewhere):
        found = readings.at(value, path) if path else 0.0
        assert isinstance(found.get("mean") if isinstance(found, dict) else found, float | int), path
    assert row.why is None or isinstance(readings.at(value, row.why), str)
    texts = [leaf for leaf in leaves(value) if isinstance(leaf, str)]
    for phrase in (row.trained, row.theirs):
        assert any(phrase in text for text in texts), phrase
    assert row.other or row.why or value["paper"] is None, "no published number, and no word why"


@every_recipe
def test_like_stands_beside_like(name):
    """Whose the other number is is said; what is published of other data or by another protocol is not in the table."""
    row = headlines.HEADLINES[name]
    data, settings = readings.evidence(row.file)["data"], readings.evidence(row.file)["settings"]
    if "MNIST" in row.what:  # four data sets have this name
        assert ("dynamic MNIST" in row.what) == ("dynamic" in data)
        assert ("grey" in row.what) == ("dynamic" not in data)
    assert bool(row.other) == bool(row.by), "the other number has an owner"
    assert not (row.other and row.elsewhere), "either it can be compared or it cannot"
    assert row.other or not row.theirs or row.elsewhere, "a protocol of no number"
    asides = re.findall(r"\([a-zA-Z ]+: [^()]*\)", settings)  # such as (the paper: batch 20, 3280 epochs)
    if row.by and not row.by.startswith("the paper"):
        assert not any(row.theirs in aside for aside in asides if row.theirs), "the paper's protocol, another's number"
    if row.by.startswith("the paper"):
        assert row.other[0] == "paper" or row.other[-1] == "paper"
        assert "," in row.by, "how much longer the paper trained is said in the cell"
    if row.other and "paper" in row.other:
        ks = re.findall(r"\bL_(\d+)", f"{row.theirs} {readings.evidence(row.file).get('source', '')}")
        assert set(ks) <= set(re.findall(r"\bL_(\d+)", row.what)), "one k"


def test_what_the_readme_does_not_compare():
    """One seed of an example is no paper's; L_5000 is not L_500, nor static MNIST dynamic; KL is not negative."""
    assert "| -147.98 (the PyTorch example, seed 1) |" in tables.recipe_row("vae")
    assert "-148.44 +- 0.38" in tables.recipe_row("vae")
    for name, number in (("poincare_vae", "-101.47"), ("vamp_vae", "-85.57")):
        assert "| - |" in tables.recipe_row(name)
        assert f"no comparison: {headlines.HEADLINES[name].elsewhere[-1]}: {number}" in pages.at_a_glance(name)
    assert "KL of the grey score" in tables.measured_table()
    assert "| 6.45 +- 0.02 (6 seeds) | 6.56 (the PyTorch example, seed 1) |" in tables.measured_table()


@pytest.mark.parametrize("page", ["errors", "coming_from", "start"])
def test_no_block_of_a_guide_scrolls_sideways(page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    blocks = re.findall(r"^```\w+\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert [line for block in blocks for line in block.splitlines() if len(line) > WHOLE] == []


def test_the_scripts_of_the_docs_are_short():
    assert {path.name for path in (ROOT / "docs").glob("*.py") if len(path.read_text().splitlines()) >= 300} == set()


@every_recipe
def test_every_number_of_the_readmes_table_is_read_from_evidence(name):
    row = headlines.HEADLINES[name]
    value = readings.evidence(row.file)
    known = [abs(leaf) for leaf in leaves(value) if isinstance(leaf, float | int)]
    spelled = set(NUMBER.findall(json.dumps(value)))
    _, _, mine, theirs, _ = (cell.strip() for cell in re.split(r"(?<!\\)\|", tables.recipe_row(name))[1:-1])
    for token in NUMBER.findall(f"{mine} {theirs}"):
        decimals = len(token.partition(".")[2])
        rounded = any(f"{number:.{decimals}f}" == token.replace(",", "") for number in known)
        assert rounded or token in spelled or token == "0", token


def test_there_is_one_picture_for_each_recipe_and_all_are_small():
    assert list(KEPT) == list(RECIPES) == list(shots.SHOTS) == list(headlines.HEADLINES)
    files = {path.name for path in PICTURES.iterdir()} - {"pictures.json"}
    assert files == {kept["file"] for kept in KEPT.values()}, "run: python docs/pictures.py"
    assert sum((PICTURES / file).stat().st_size for file in files) < ALL


@every_recipe
def test_the_picture_is_of_the_run_that_its_page_shows(name):
    kept = KEPT[name]
    path = PICTURES / kept["file"]
    assert path.stat().st_size < LARGEST
    if path.suffix == ".png":
        Image.open(path).verify()
    else:
        assert path.read_text().startswith("<svg")
    assert shlex.split(kept["command"]) == [
        "logpx",
        "train",
        name,
        *shlex.split(shots.SHOTS[name].train),
        "--seed",
        "0",
    ]
    assert kept["words"] == shots.SHOTS[name].words
    assert kept["number"]["standard_error"] > 0
    assert f"`{name}` on " in pages.caption(name)
    assert " +- " in pages.caption(name)


@every_recipe
def test_the_command_of_a_page_parses_and_its_python_compiles(name):
    text = pages.example(name)
    (line,) = re.findall(r"```bash\n(.*?)\n```", text, re.DOTALL)
    line = line.replace(" \\\n", "")
    command, arguments = typer.main.get_command(cli.app), shlex.split(line)[1:]
    while hasattr(command, "get_command"):
        command = command.get_command(None, arguments.pop(0))
    assert command.make_context(line, arguments).params
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(block, name, "exec")


@every_recipe
def test_a_page_has_its_parts_in_order(name):
    text = pages.method_page(name)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    wanted = [
        "When to use it",
        "Our number, and another to compare",
        "What it looks like",
        "How to run it",
        "Options",
        "The code",
    ]
    assert headings == [RECIPES[name].title, *wanted, "Measured"]
    assert RECIPES[name].reference in text
    assert f"methods/{name}.md" in pages.families()
