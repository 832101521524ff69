"""The report's section about known factors: the numbers are those of `disentangle`, and sets without factors have none."""

import re

import numpy as np
import torch

from logpx import report
from logpx.data import from_array
from logpx.evaluate.disentangle import mig, mutual_informations
from logpx.recipes import hyperspherical_vae, vae
from logpx.report import factors
from logpx.subject import Subject
from logpx.train import fit

V = torch.cartesian_prod(torch.arange(3), torch.arange(4)).repeat(10, 1)


def subject(recipe=vae, known=True, **options) -> Subject:
    x = np.random.RandomState(0).randn(120, 3).astype(np.float32) + V.numpy()[:, [0, 1, 1]]
    factors = {"kind": np.array(["a", "b", "c"])[V[:, 0]], "size": V[:, 1]} if known else None
    data = from_array(x, kind="real", held_out=0, test=0.5, factors=factors)
    run = fit(recipe(data, hidden=(8,), **options), data, epochs=1, show=False)
    run.model.eval().requires_grad_(False)
    return Subject(run, data, None)


def test_each_number_is_the_information_in_parts_of_the_entropy():
    s = subject(latent=3)
    html = factors.informations(s).html
    v = s.split.factors
    shares = [column.bincount().double() / len(v) for column in v.T]
    entropy = torch.stack([-(p * p.log()).sum() for p in shares])
    expected = mutual_informations(s.means, v) / entropy
    order = s.usage.kl.argsort(descending=True).tolist()
    cells = re.findall(r"<td>(?:<strong>)?([\d.]+)(?:</strong>)?</td>", html)
    assert cells == [f"{expected[d, f]:.2f}" for d in order for f in range(2)]
    assert html.count("<td><strong>") == 2  # the best dimension of each
    assert f"MIG {mig(s.means, v):.3f}" in html
    assert 'scope="col">kind</th>' in html


def test_it_is_in_the_page_of_a_set_with_factors_and_in_no_other(tmp_path):
    title = "Which dimension knows which factor"
    s = subject(latent=2)
    assert title in report.write(s.run, s.data, to=tmp_path).read_text(encoding="utf-8")
    assert factors.informations(subject(known=False, latent=2)) is None
    assert factors.informations(subject(hyperspherical_vae, latent=2)) is None
