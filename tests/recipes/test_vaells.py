"""The recipe of learned orbits: where its anchors come from, what it refuses, and that it claims no log p(x)."""

import json

import numpy as np
import pytest
import torch

from command_line import refused
from command_line import run as logpx
from logpx import recipes
from logpx.data import Spec, from_array, load
from logpx.errors import UserError
from logpx.evaluate import code_evidence, evidence, impute
from logpx.samples import draw_samples, interpolate
from logpx.train import fit

TINY = {"operators": 2, "anchors": 3, "iterations": 2, "restarts": 2, "warmup": 4, "hidden": (8,), "sigma": 0.1}


@pytest.fixture(scope="module")
def run():
    data = load("circles", held_out=50, test=9750)
    return fit(recipes.vaells(data, **TINY), data, epochs=2, batch_size=50, show=False)


def blobs(labels):
    """Four far-apart blobs of 25 rows."""
    rows = np.random.RandomState(0).standard_normal((100, 3)) * 0.1 + 10 * np.eye(4, 3)[np.arange(100) % 4]
    return from_array(rows, labels=labels, held_out=0, test=0)


def test_anchors_are_training_rows_one_of_each_cluster_and_no_label_moves_them():
    found = []
    for labels in (None, torch.zeros(100, dtype=torch.long), torch.arange(100) % 4):
        data = blobs(labels)
        method = recipes.vaells(data, **TINY | {"anchors": 4})
        torch.manual_seed(3)
        method.start(method.model, data.train)
        anchors, rows = method.model.prior.anchors, data.train.batch().x
        assert bool((anchors[:, None] == rows[None]).all(2).any(1).all())
        found.append(anchors.clone())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_anchors_are_kept_while_their_codes_move(run):
    prior = run.model.prior
    with torch.no_grad():
        torch.testing.assert_close(prior.points, run.model.encoder(prior.anchors))
    assert "prior.anchors" in run.model.state_dict()


def test_more_anchors_than_rows_are_refused_before_anything_is_written(tmp_path):
    data = blobs(None)
    with pytest.raises(UserError, match="101, and p\\(z\\) finds 100 rows"):
        fit(recipes.vaells(data, **TINY | {"anchors": 101}), data, epochs=1, show=False, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"latent": 1}, "an orbit needs two or more"),
        ({"operators": 0}, "The option operators of vaells is 0"),
        ({"anchors": 0}, "The option anchors of vaells is 0"),
        ({"prior_noise": 0.0}, "The option prior_noise of vaells is 0"),
    ],
)
def test_what_makes_no_orbit_is_refused_in_a_sentence(options, said):
    with pytest.raises(UserError, match=said):
        recipes.vaells(Spec((3,), "real"), **options)


def test_it_takes_no_context():
    with pytest.raises(UserError, match="no context"):
        recipes.vaells(Spec((3,), "real", context=2))


def test_it_samples_and_interpolates_and_states_no_log_p_x(run):
    torch.manual_seed(0)
    assert draw_samples(run.model, 7).shape == (7, 10)
    assert interpolate(run.model, torch.zeros(2), torch.ones(2), 3).shape == (3, 10)
    assert not run.model.has_evidence
    assert not run.model.rates_codes
    assert run.info["kl"].startswith("none")
    assert "elbo" not in run.rows[-1]["held_out"]
    x = torch.zeros(3, 10)
    for ask in (evidence, code_evidence):
        with pytest.raises(UserError, match="without a closed form"):
            ask(run.model, x)
    with pytest.raises(UserError, match="no density over z"):
        impute(run.model, x.index_fill(0, torch.tensor([1]), float("nan")))


def test_from_the_command_line(tmp_path, capsys):
    options = "--operators 2 --anchors 3 --iterations 2 --hidden 8 --warmup 4 --restarts 2"
    train = f"train vaells circles {options} --epochs 2 --held-out 50 --test 9700 --out {tmp_path}/run --json"
    assert logpx(train) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["evidence"] is None
    assert "code_evidence" not in said
    page = (tmp_path / "run" / "report.html").read_text()
    assert "no bound" in page
    assert "Learned orbits" in page
    assert (tmp_path / "run" / "figures" / "orbits-1.svg").exists()
    assert logpx(f"evaluate {tmp_path}/run --limit 20") == 0
    assert "no log p(x), for p(z) and q(z|x)" in capsys.readouterr().out
    assert logpx(f"sample {tmp_path}/run --number 4 --out {tmp_path}/new.npy") == 0
    assert np.load(tmp_path / "new.npy").shape == (4, 10)
    rows = "--held-out 50 --test 9700 --epochs 1 --quiet"
    assert "251" in refused(f"train vaells circles --anchors 251 {rows} --out {tmp_path}/b", capsys)


def test_anchors_of_one_cluster_too_few_are_drawn_all_the_same():
    """k-means may leave a cluster empty: rows that are all alike."""
    data = from_array(np.zeros((10, 3)), held_out=0, test=0, kind="real")
    method = recipes.vaells(data, **TINY)
    method.start(method.model, data.train)
    assert bool((method.model.prior.anchors == 0).all())
