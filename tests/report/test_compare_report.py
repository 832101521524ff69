"""The page of a comparison: points and bars where the numbers say, the table in order, the same rows under every model."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from logpx import recipes
from logpx.data import Data, from_array
from logpx.report import beside, charts
from logpx.report import compare as page
from logpx.report.beside import Curve, Spot
from logpx.report.charts import Axis
from logpx.report.page import Picture
from logpx.train import fit
from logpx.train.comparison import Comparison, compare
from logpx.train.rankable import limited


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
    path = page.write(found, rows, "18 test rows", tmp_path / "compare.html", shown=rows.test)
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
    said = [label.replace("vae", "vae, first seed (0)") if label == "vae" else label for label in reader.rows]
    assert strips == ["data", *said, *said[:-1]]
    legend = re.search(r'<h2>Training</h2>.*?<ul class="legend">(.*?)</ul>', text, re.DOTALL)
    assert legend is not None
    assert re.findall(r">([^<]+)</li>", legend[1]) == reader.rows[:-1]  # no curve, no colour: ae has no score
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_the_first_words_say_how_far_the_best_is_ahead(pictures: tuple[Comparison, Data], tmp_path: Path) -> None:
    found, rows = pictures
    text = page.write(found, rows, "18 test rows", tmp_path / "c.html", shown=rows.test).read_text(encoding="utf-8")
    d = found.difference(found.lines[1])
    assert d is not None
    assert f"{'beyond' if d.is_clear else 'within'} two standard errors" in text
    assert "iwae: one trained model" in text
    bold = text.count("<strong>\u2212")
    assert bold == sum(its is not None and its.is_clear for its in map(found.difference, found.lines))


def test_without_log_px_the_page_says_so(pictures: tuple[Comparison, Data], tmp_path: Path) -> None:
    found, rows = pictures
    ae = found.lines[-1]
    text = page.write(Comparison((ae, ae)), rows, "18 test rows", tmp_path / "c.html", shown=rows.test).read_text(
        encoding="utf-8"
    )
    assert "None of these models has log" in text


def test_a_table_has_no_pictures(tmp_path: Path) -> None:
    rows = from_array(np.random.default_rng(0).standard_normal((60, 3)), name="numbers", test=0.3)
    methods = [recipes.vae(rows, latent=2, hidden=(6,)), recipes.ppca(rows, latent=2)]
    runs = [fit(method, rows, epochs=1, show=False) for method in methods]
    found = compare(runs, rows.test, names=["a", "b"], samples=5)
    reader = read(page.write(found, rows, "18 test rows", tmp_path / "c.html", shown=rows.test))
    assert "Reconstructions" not in reader.headings
    assert reader.headings[:2] == ["Evidence", "All models"]
    text = (tmp_path / "c.html").read_text(encoding="utf-8")
    kinds = dict(
        zip(
            reader.rows,
            re.findall(r"<td>([^<]*(?:exact|lower bound))</td>", re.sub("</?[ib]>|</?su[bp]>", "", text)),
            strict=True,
        )
    )
    assert kinds["ppca"].endswith(", exact")  # beside a lower bound each number says what it is, by its name
    assert kinds["vae"].endswith(", lower bound")
    assert f"log <i>p</i>(<i>x</i>) of the best, {found.lines[0].label}" in text or found.lines[0].label == "vae"


def test_all_sections_are_of_the_compared_rows(pictures: tuple[Comparison, Data], tmp_path: Path) -> None:
    """Of the first held-out rows others are active than of the test rows: the bars say what the table does."""
    one, rows = pictures
    shown = limited(rows.held_out, 3)
    runs = [its.run for line in one.lines for its in line.runs if its.found]
    found = compare(runs, shown, names=["a", "b", "c"], samples=3)
    c = page.Compared(found, rows, "3 held-out rows", shown)
    for (_, s), line in zip(c.subjects(), found.lines, strict=True):
        assert s.x.equal(shown.x())
        assert s.usage is not None
        assert s.usage.active == line.runs[0].row["active_units"]
    text = page.write(found, rows, "3 held-out rows", tmp_path / "c.html", shown=shown).read_text(encoding="utf-8")
    assert "The first of the 3 held-out rows" in text
    assert "latent dimension on 3 held-out rows" in text
    assert "test rows" not in text


# --- axes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-3.2e6, 1.1e6, ["\u22123e6", "\u22122e6", "\u22121e6", "0", "1e6"]),
        (1e6, 1.000_1e6, ["1.00000e6", "1.00002e6", "1.00004e6", "1.00006e6", "1.00008e6", "1.00010e6"]),
        (0, 4e9, ["0", "1e9", "2e9", "3e9", "4e9"]),
        (900_000, 950_000, ["900,000", "910,000", "920,000", "930,000", "940,000", "950,000"]),
    ],
)
def test_large_numbers_at_an_axis_stay_apart_and_inside(low: float, high: float, words: list[str]) -> None:
    x, y = Axis(low, high, 50, 322), Axis(low, high, 172, 34)
    assert [name for _, name in charts.marks(x, 5)] == words
    drawn = ElementTree.fromstring(f"<g>{charts.bottom_axis(x, y, 5)}</g>").findall("text")
    places = [float(t.attrib["x"]) for t in drawn]
    widths = [charts.wide(str(t.text)) for t in drawn]
    assert len(drawn) >= 2
    assert all(b - a > w for a, b, w in zip(places, places[1:], widths, strict=False))
    for t in ElementTree.fromstring(f"<g>{charts.left_axis(y, x, 5)}</g>").findall("text"):
        width = float(t.attrib.get("textLength", charts.wide(str(t.text))))
        assert float(t.attrib["x"]) - width >= 0
