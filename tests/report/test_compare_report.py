"""The page of a comparison: points and bars where the numbers say, the table in order, the same rows under every model."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from logpx import recipes
from logpx.data import Data, from_array
from logpx.report import beside
from logpx.report import compare as page
from logpx.report.beside import Curve, Spot
from logpx.report.page import Picture
from logpx.train import fit
from logpx.train.comparison import Comparison, compare


def drawn(picture: Picture) -> ElementTree.Element:
    return ElementTree.fromstring(picture.content)


def spots(root: ElementTree.Element) -> list[tuple[float, float]]:
    """Where the large points are."""
    return [
        (float(c.attrib["cx"]), float(c.attrib["cy"]))
        for c in root.iter()
        if c.tag.endswith("circle") and c.attrib.get("class") == "spot"
    ]


def bars(root: ElementTree.Element) -> list[tuple[float, float]]:
    """(from, to) of the error bars."""
    lines = [c.attrib for c in root.iter() if c.tag.endswith("line") and c.attrib["class"] == ""]
    return [(float(its["x1"]), float(its["x2"])) for its in lines]


def test_evidence_has_one_error_and_differences_have_two() -> None:
    values = [Spot(-80.0, 0.5), Spot(-82.0, 1.0, (-81.0, -83.0)), Spot(-84.0, None)]
    far = [None, Spot(-2.0, 0.25), Spot(-4.0, 0.5)]
    root = drawn(beside.evidence(["a", "b", "c"], values, far, "L_9"))
    (a, y), (b, v), (db, _), (c, _), (dc, _) = spots(root)
    scale, far_scale = (a - b) / 2, (db - dc) / 2
    assert v - y == beside.ROW
    assert b - c == pytest.approx(2 * scale, abs=0.2)
    one, two, difference, none, other = bars(root)
    assert one[1] - one[0] == pytest.approx(2 * 0.5 * scale, abs=0.3)
    assert two[1] - two[0] == pytest.approx(2 * 1.0 * scale, abs=0.3)
    assert none[0] == none[1]
    assert difference[1] - difference[0] == pytest.approx(4 * 0.25 * far_scale, abs=0.3)
    assert other[1] - other[0] == pytest.approx(4 * 0.5 * far_scale, abs=0.3)
    small = [float(s.attrib["cx"]) for s in root.iter() if s.tag.endswith("circle") and s.attrib.get("r") == "2"]
    assert small == [pytest.approx(b + scale, abs=0.2), pytest.approx(b - scale, abs=0.2)]


def test_curves_end_where_their_values_do() -> None:
    curves = [Curve(0, "a", [1, 2, 3, 4], [-9.0, -5.0, -4.0, -3.0]), Curve(1, "b", [1, 2], [-8.0, -4.0])]
    lines = [c.attrib for c in drawn(beside.over_epochs("ELBO", curves)).iter() if c.tag.endswith("polyline")]
    (first, second) = [[tuple(map(float, p.split(","))) for p in line["points"].split()] for line in lines]
    assert [len(first), len(second)] == [4, 2]
    assert first[2][1] == pytest.approx(second[1][1], abs=0.15)  # -4 twice, at other epochs
    assert first[1][0] == second[1][0]
    assert first[3][1] < first[2][1] < first[1][1]
    assert "k0" in lines[0]["class"]
    assert "k1" in lines[1]["class"]


class Reader(HTMLParser):
    """Headings, row headers and whether the tags balance."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.rows: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe")
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if dict(attributes).get("scope") == "row":
            self.rows.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, text: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(text)
        if self.open and self.open[-1] == "th" and self.rows:
            self.rows[-1] += text


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def pictures() -> tuple[Comparison, Data]:
    x = np.random.default_rng(0).random((60, 1, 6, 6)).astype(np.float32)
    rows = from_array(x, kind="grey", name="<tiny>", test=0.3)
    made = [("vae", 0), ("vae", 1), ("iwae", 0), ("ae", 0)]
    runs = []
    for recipe, seed in made:
        method = recipes.find(recipe).build(rows, latent=2, hidden=(8,), seed=seed)
        runs.append(fit(method, rows, epochs=2, seed=seed, show=False))
    return compare(runs, rows.test, names=[f"{r}-{s}" for r, s in made], samples=5), rows


def test_the_page_of_pictures(pictures: tuple[Comparison, Data], tmp_path: Path) -> None:
    found, rows = pictures
    path = page.write(found, rows, "18 test rows", tmp_path / "compare.html")
    reader, text = read(path), path.read_text(encoding="utf-8")
    wanted = [
        "Evidence",
        "All models",
        "Training",
        "Rate and distortion",
        "Who is at work in z",
        "Reconstructions",
        "Samples",
    ]
    assert reader.headings == wanted
    assert reader.rows == [line.label for line in found.lines]
    assert reader.rows[-1] == "ae"
    assert "<tiny>" not in text
    assert "no log <i>p</i>(<i>x</i>)" in text
    strips = re.findall(r"<dt>([^<]*)</dt>", text)
    assert strips == ["data", *reader.rows, *(label for label in reader.rows if label != "ae")]
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_the_first_words_say_how_far_the_best_is_ahead(pictures: tuple[Comparison, Data], tmp_path: Path) -> None:
    found, rows = pictures
    text = page.write(found, rows, "18 test rows", tmp_path / "c.html").read_text(encoding="utf-8")
    d = found.difference(found.lines[1])
    assert d is not None
    assert f"{'beyond' if d.is_clear else 'within'} two standard errors" in text
    assert "iwae: one trained model" in text
    bold = text.count("<strong>\u2212")
    assert bold == sum(its is not None and its.is_clear for its in map(found.difference, found.lines))


def test_without_log_px_the_page_says_so(pictures: tuple[Comparison, Data], tmp_path: Path) -> None:
    found, rows = pictures
    ae = found.lines[-1]
    text = page.write(Comparison((ae, ae)), rows, "18 test rows", tmp_path / "c.html").read_text(encoding="utf-8")
    assert "None of these models has log" in text


def test_a_table_has_no_pictures(tmp_path: Path) -> None:
    rows = from_array(np.random.default_rng(0).standard_normal((60, 3)), name="numbers", test=0.3)
    methods = [recipes.vae(rows, latent=2, hidden=(6,)), recipes.ppca(rows, latent=2)]
    runs = [fit(method, rows, epochs=1, show=False) for method in methods]
    found = compare(runs, rows.test, names=["a", "b"], samples=5)
    reader = read(page.write(found, rows, "18 test rows", tmp_path / "c.html"))
    assert "Reconstructions" not in reader.headings
    assert reader.headings[:2] == ["Evidence", "All models"]
    text = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert ", exact" in text  # beside a lower bound each number says what it is
    assert ", lower bound" in text
