"""The page of a sweep: points where the numbers say, error bars, diagonals of one ELBO, a table in the given order."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from logpx.report import sweep as page
from logpx.report.rate_distortion import along, curves_of, legend, picture


def row(kl: float, reconstruction: float, **options: Any) -> dict[str, Any]:
    return {
        "name": ",".join(f"{n}={v}" for n, v in options.items()),
        "options": options,
        "kl": kl,
        "kl_error": 0.5,
        "reconstruction": reconstruction,
        "reconstruction_error": 1.0,
        "evidence": -(kl + reconstruction) + 1,
        "evidence_error": 0.25,
        "kind": "lower bound",
        "bits_per_dim": 1.5,
        "active_units": 3,
        "best_epoch": 7,
        "status": "finished",
        "folder": "x",
    }


ROWS = [row(r + s / 9, 30 - r, beta=b, seed=s) for b, r in ((4, 2.0), (1, 8.0), (0.5, 14.0)) for s in (0, 1)]


def drawn(rows: list[dict[str, Any]]) -> ElementTree.Element:
    made = picture(rows)
    assert made is not None
    return ElementTree.fromstring(made.content)


def places(rows: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in drawn(rows).iter() if c.tag.endswith("circle")]


def test_every_model_is_a_point_at_its_rate_and_distortion() -> None:
    (x0, y0), *_, (x1, y1) = found = places(ROWS)
    assert len(found) == 6
    scale_x, scale_y = (x1 - x0) / (ROWS[-1]["kl"] - ROWS[0]["kl"]), (y1 - y0) / (16 - 28)
    assert scale_x > 0 > scale_y
    for (x, y), its in zip(found, ROWS, strict=True):
        assert x == pytest.approx(x0 + scale_x * (its["kl"] - ROWS[0]["kl"]), abs=0.2)
        assert y == pytest.approx(y0 + scale_y * (its["reconstruction"] - 28), abs=0.2)


def test_the_bars_are_one_standard_error_to_either_side() -> None:
    (x0, y0), *_ = places(ROWS)
    (x1, _), (_, y2) = places(ROWS)[4], places(ROWS)[-1]
    per_nat = (x1 - x0) / 12, (y2 - y0) / 12
    bars = [line.attrib for line in drawn(ROWS).iter() if line.tag.endswith("line") and line.attrib.get("class") == ""]
    ends = [[float(bar[n]) for n in ("x1", "x2", "y1", "y2")] for bar in bars]
    across, up = (e for e in ends if abs(e[0] + e[1] - 2 * x0) < 0.3 and abs(e[2] + e[3] - 2 * y0) < 0.3)
    assert across[1] - across[0] == pytest.approx(2 * 0.5 * per_nat[0], abs=0.3)
    assert abs(up[3] - up[2]) == pytest.approx(2 * 1.0 * abs(per_nat[1]), abs=0.3)


def test_dashed_lines_join_equal_elbos() -> None:
    """A model whose R + D is a round number lies on the line that is named by it."""
    rows = [row(5.0, 25.0, beta=1), row(15.0, 15.0, beta=2), row(2.0, 18.0, beta=3)]
    root = drawn(rows)
    words = [text.text for text in root.iter() if text.tag.endswith("text") and "ELBO" in (text.text or "")]
    assert "ELBO \u221230" in words
    guides = [
        [float(line.attrib[n]) for n in ("x1", "y1", "x2", "y2")]
        for line in root.iter()
        if line.attrib.get("class") == "guide"
    ]
    first, second, third = places(rows)

    def is_on(point: tuple[float, float], g: list[float]) -> bool:
        u, v = point
        return abs((g[2] - g[0]) * (v - g[1]) - (g[3] - g[1]) * (u - g[0])) / (g[2] - g[0]) < 0.5

    through = [g for g in guides if is_on(first, g)]
    assert len(through) == 1
    assert is_on(second, through[0])
    assert not is_on(third, through[0])


def test_a_score_is_not_called_an_elbo() -> None:
    content = str(picture([r | {"kind": "score"} for r in ROWS]))
    assert "score \u2212" in content
    assert "ELBO" not in content


def test_curves_run_along_beta_through_the_means_over_seeds() -> None:
    assert along(ROWS) == "beta"
    (curve,) = curves_of(ROWS)
    assert [name for name, *_ in curve.means] == ["beta 0.5", "beta 1", "beta 4"]
    assert curve.means[2][1] == pytest.approx(2.0 + 0.5 / 9)
    latents = [row(float(d + b), 9.0 - d, latent=d, beta=b, hidden=(8, 4)) for d in (2, 8) for b in (1, 2)]
    assert [c.name for c in curves_of(latents)] == ["latent 2, hidden 8x4", "latent 8, hidden 8x4"]
    assert legend(latents).count("<li") == 2
    assert along([row(1, 2, seed=0), row(1, 3, seed=1)]) is None
    searched = [row(1.0 + i, 9.0 - i, beta=1.1 * i + 1, latent=i // 2 + 1, rate=0.1 * i) for i in range(6)]
    assert [(c.name, c.means, len(c.rows)) for c in curves_of(searched)] == [("", [], 6)]
    assert along([row(1, 2, seed=0, network="mlp", latent=2)]) == "latent"


@pytest.mark.parametrize(
    "rows",
    [
        [row(1.0, 2.0, seed=0), row(1.0, 2.0, seed=1)],  # in one place
        [row(0.0, -5.0, beta=1), row(0.0, 5.0, beta=2)],  # collapsed
        [row(1e-9, 1e6, beta=1), row(1e3, -1e6, beta=2)],
        [row(1.0, 2.0, likelihood="bernoulli"), row(2.0, 1.0, likelihood="grey")],
        [r | {"kl_error": None, "reconstruction_error": None} for r in ROWS],
    ],
)
def test_hostile_numbers_are_drawn(rows: list[dict[str, Any]]) -> None:
    assert len(places(rows)) == len(rows)
    assert "nan" not in str(picture(rows))


def test_fewer_than_two_rates_are_no_picture() -> None:
    assert picture([ROWS[0], row(1.0, 2.0, beta=9) | {"kl": None}]) is None


def found(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "recipe": "beta_vae",
        "data": "<digits>",
        "held_out": 180,
        "over": {"beta": [4, 1, 0.5], "seed": [0, 1]},
        "evidence": "L_100",
        "rows": rows,
    }


def test_the_page_is_one_file_with_the_table_in_order(tmp_path: Path) -> None:
    stopped = {"name": "beta=9", "options": {"beta": 9, "seed": 0}, "status": "stopped", "why": "it <diverged>"}
    text = page.write(found([*ROWS, stopped]), tmp_path).read_text()
    assert "&lt;digits&gt;" in text
    assert "<digits>" not in text
    assert text.count("<circle") == 6
    body = text.split("<tbody>")[1]
    assert [m[1] for m in re.finditer(r'<th scope="row">([\d.]+)</th>', body)] == [
        "4",
        "4",
        "1",
        "1",
        "0.5",
        "0.5",
        "9",
    ]
    assert "stopped" in body
    assert "\u221229.00 ± 0.25" in text
    assert not re.search(r'(src|href)="?http', text)
    assert [p.name for p in tmp_path.iterdir()] == ["sweep.html"]


def test_without_evidence_and_kl_there_is_still_a_table(tmp_path: Path) -> None:
    bare = [r | dict.fromkeys(("evidence", "evidence_error", "kl", "kl_error", "bits_per_dim")) for r in ROWS]
    text = page.write(found(bare) | {"evidence": None}, tmp_path).read_text()
    assert "<table>" in text
    assert "<circle" not in text
