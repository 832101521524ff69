"""The report's section on the evidence: the curve in k, and both sides where they were kept."""

import re

import numpy as np
import pytest

from logpx import evaluate
from logpx.data import from_array
from logpx.recipes import vae
from logpx.report import sides
from logpx.subject import Subject
from logpx.train import fit
from logpx.train.kept import keep_evaluation


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    x = np.random.default_rng(1).standard_normal((80, 4)).astype(np.float32)
    data = from_array(x, name="numbers", test=0.3)
    run = fit(vae(data, latent=2, hidden=(8,)), data, epochs=2, out=tmp_path_factory.mktemp("runs") / "run", show=False)
    return Subject(run, data, evaluate.evidence(run.model, data.test, samples=50))


def test_the_curve_is_drawn_at_every_k(subject):
    section = sides.evidence(subject)
    drawing = section.pictures[0].content
    assert section.title == "Evidence against samples"
    assert [int(k) for k in re.findall(r"<title>L_(\d+) = ", drawing)] == [1, 2, 5, 10, 20, 50]
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawing)]
    values = subject.evidence.curve.means
    slope = (heights[-1] - heights[0]) / (values[-1] - values[0])  # pixels for a nat, downwards
    assert slope < 0
    assert heights == pytest.approx([heights[0] + slope * (v - values[0]) for v in values], abs=0.15)
    assert "L_k from" in drawing


def test_few_draws_make_no_curve(subject):
    few = Subject(subject.run, subject.data, evaluate.evidence(subject.model, subject.data.test, samples=2))
    assert sides.evidence(few) is None
    assert sides.evidence(Subject(subject.run, subject.data, None)) is None


def test_both_sides_are_drawn_in_their_order(subject):
    both = evaluate.both_sides(subject.model, subject.data.test, rows=12, temperatures=2, chains=4, samples=50)
    gaps = both.simulated.gap.per_point.tolist()
    kept = keep_evaluation(subject.run.folder, {"sandwich": both.summary() | {"gaps": gaps}})
    try:
        section = sides.evidence(subject)
    finally:
        kept.unlink()
    assert section.title == "Evidence from both sides"
    assert [picture.file for picture in section.pictures] == ["evidence.svg", "sandwich.svg"]
    drawing = section.pictures[0].content
    at = {name: float(y) for y, name in re.findall(r'y="([\d.]+)" class="value">(AIS|CUBO)', drawing)}
    assert at["CUBO"] < at["AIS"]  # higher up
    assert "AIS<sub>2,4</sub>" in section.html
    assert f"{both.simulated.gap.mean:.2f}".lstrip("-")[:3] in section.html


def test_a_number_that_is_not_to_be_believed_is_marked_at_the_top(subject):
    from dataclasses import replace

    from logpx.report import summary

    found = subject.evidence
    assert found.doubt is None
    assert "may lie below" not in summary.headline(subject)
    weak = replace(found, ess=found.ess * 0 + 1.5)
    assert "may lie below" in summary.headline(Subject(subject.run, subject.data, weak))
