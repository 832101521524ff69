"""Six runs made sick on purpose and a healthy one: each its first finding, and what the remedy is worth."""

import copy
import json
import math
import shlex
from dataclasses import replace
from html import escape

import pytest
import torch

from command_line import refused, run
from logpx import recipes
from logpx.cli.opened import reopen
from logpx.data import from_array, load
from logpx.doctor import Remedy, examine, findings, prescribed, treat
from logpx.errors import UserError
from logpx.report.diagnosis import diagnosis
from logpx.subject import Subject
from logpx.train import fit


def five_dimensional():
    """Rows of 40 numbers that 5 explain, and a little noise."""
    g = torch.Generator().manual_seed(0)
    A = torch.randn(5, 40, generator=g)
    x = torch.randn(700, 5, generator=g) @ A + 0.3 * torch.randn(700, 40, generator=g)
    return from_array(x.numpy(), held_out=0.1, test=0.2)


DIGITS, GREY = "dynamic", "grey"
#: what is the matter -> protocol of digits (None: the table), recipe, options, epochs
CASES = {
    "healthy": (DIGITS, "vae", {"latent": 4}, 15),
    "sigma too large": (GREY, "vae", {"latent": 6, "likelihood": "gaussian", "sigma": 1.0}, 4),
    "beta too large": (DIGITS, "beta_vae", {"latent": 6, "beta": 20.0}, 4),
    "warm-up unfinished": (DIGITS, "vae", {"latent": 6, "warmup": 5000}, 4),
    "too many dimensions": (None, "vae", {"latent": 64, "hidden": (64,)}, 40),
    "decoder too strong": (
        DIGITS,
        "pixel_vae",
        {"latent": 6, "free_bits": 0.0, "warmup": 0, "channels": 8, "hidden": (32,)},
        3,
    ),
    "likelihood mismatched to the data": (GREY, "vae", {"latent": 6, "likelihood": "grey"}, 4),
}


@pytest.fixture(scope="module")
def patients():
    """Each run with its data, trained once."""
    made = {}

    def patient(name):
        if name not in made:
            protocol, recipe, options, epochs = CASES[name]
            data = five_dimensional() if protocol is None else load("digits", protocol=protocol)
            method = recipes.find(recipe).build(data, **options)
            made[name] = (
                fit(method, data, epochs=epochs, batch_size=100, learning_rate=3e-3, threads=1, show=False),
                data,
            )
        return made[name]

    return patient


@pytest.mark.parametrize("name", CASES)
def test_each_run_gets_the_diagnosis_that_it_was_made_for(patients, name):
    found = findings(examine(*patients(name), rows=300))
    sick = [f for f in found if f.sick]
    assert [f.name for f in sick][:1] == ([] if name == "healthy" else [name])
    assert all(f.says.endswith(".") for f in found)
    assert all(f.remedy for f in sick)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("healthy", "decoder too strong")])
def test_the_remedy_makes_the_same_rows_likelier(patients, name):
    ran, data = patients(name)
    first = findings(examine(ran, data, rows=300))[0]
    treated = treat(ran, data, first.remedy, samples=20, rows=150, show=False)
    assert treated.gain > 3 * treated.standard_error
    assert len(treated.before.per_point) == len(treated.after.per_point)
    assert (treated.note is None) == (name != "likelihood mismatched to the data")
    changed = {**first.remedy.options}
    assert {k: treated.run.info["options"][k] for k in changed} == changed
    assert (treated.before.bits_per_dim is None) == (
        CASES[name][0] is None
    )  # columns of a table are no dimensions alike


def test_a_decoder_that_is_too_strong_is_given_free_bits_and_a_warm_up(patients):
    ran, data = patients("decoder too strong")
    remedy = findings(examine(ran, data, rows=100))[0].remedy
    assert remedy.options["free_bits"] > 0
    assert 0 < remedy.options["warmup"] <= ran.rows[-1]["step"]


def test_the_recommended_run_differs_in_what_the_remedy_changes_and_in_nothing_else(patients):
    ran, _ = patients("sigma too large")
    info = prescribed(ran, Remedy("x", {"sigma": "shared"}, {"epochs": 9}))
    assert info["options"] == ran.info["options"] | {"sigma": "shared"}
    assert info["training"] == ran.info["training"] | {"epochs": 9}
    other = prescribed(ran, Remedy("x", {"beta": 2.0}, recipe="beta_vae"))
    assert other["recipe"] == "beta_vae"
    assert other["options"]["beta"] == 2.0
    ahead = prescribed(ran, Remedy("x", recipe="aggressive_vae"))
    assert "--encoder-steps" not in recipes.command(ahead)  # the other recipe's own
    with pytest.raises(UserError, match="has no option no_such_option"):
        prescribed(ran, Remedy("x", {"no_such_option": 1}))
    with pytest.raises(UserError, match="by hand"):
        prescribed(replace(ran, info=ran.info | {"recipe": None}), Remedy("x"))


def test_an_examination_is_plain_numbers(patients):
    ran, data = patients("healthy")
    e = examine(ran, data, rows=100)
    text = json.dumps(e.summary(), allow_nan=False)
    assert '"active_units": 4' in text
    assert e.curve[0] == 0
    assert e.motion.shape == (4,)
    assert e.parts.rate[0] == pytest.approx(e.parts.mutual_information[0] + e.parts.marginal_kl[0])


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("hyperspherical_vae", {"latent": 2, "hidden": (16,)}),
        ("dvae", {}),
        ("ae", {"latent": 3, "hidden": (16,)}),
        ("vq_vae", {"prior": "uniform", "codes": 8, "width": 4, "channels": 8}),
    ],
)
def test_other_latents_are_examined_as_far_as_they_go_and_the_rest_is_said(recipe, options):
    data = load("digits", protocol="dynamic")
    ran = fit(recipes.find(recipe).build(data, **options), data, epochs=1, threads=1, show=False)
    e = examine(ran, data, rows=50)
    assert all(f.says.endswith(".") for f in findings(e))
    told = json.loads(json.dumps(e.summary(), allow_nan=False))
    assert (e.usage is None) == ("active_units" not in told)
    assert all(why.endswith(".") for why in told["not_measured"].values())


def test_a_curved_manifold_needs_more_latents_than_its_spectrum_shows():
    """Four angles and two wide directions: two eigenvalues stand out, and all of twelve latents are of use."""
    g = torch.Generator().manual_seed(0)
    angles, wide = 6.3 * torch.rand(1500, 4, generator=g), 8 * torch.randn(1500, 2, generator=g)
    x = torch.cat([angles.cos(), angles.sin(), wide], 1) @ torch.randn(10, 20, generator=g)
    data = from_array((x + 0.05 * torch.randn(1500, 20, generator=g)).numpy(), held_out=0.1, test=0.1)
    method = recipes.vae(data, latent=12, hidden=(64,), sigma=0.1)
    ran = fit(method, data, epochs=20, batch_size=50, learning_rate=3e-3, threads=1, show=False)
    assert "too many dimensions" not in [f.name for f in findings(examine(ran, data, rows=100))]


def test_a_capacity_that_is_not_reached_is_brought_in_sooner_by_its_own_option():
    data = load("digits", protocol="dynamic")
    ran = fit(recipes.capacity_vae(data, latent=3, hidden=(16,)), data, epochs=1, threads=1, show=False)
    first = findings(examine(ran, data, rows=50))[0]
    assert first.name == "warm-up unfinished"
    assert first.remedy.options.keys() == {"steps"}


def test_latents_that_know_nothing_have_collapsed_curved_ones_too():
    data = load("digits", protocol="dynamic")
    ran = fit(recipes.mixed_curvature_vae(data, hidden=(16,)), data, epochs=1, batch_size=500, threads=1, show=False)
    assert [f.name for f in findings(examine(ran, data, rows=100)) if f.sick] == ["collapsed"]


def test_the_printed_line_trains_what_fix_trains(patients, tmp_path):
    ran, data = patients("sigma too large")
    remedy = findings(examine(ran, data, rows=100))[0].remedy
    line = shlex.split(recipes.command(prescribed(ran, remedy)))[1:]
    assert run(" ".join([*line, "--out", str(tmp_path / "line"), "--quiet", "--no-report"])) == 0
    there = recipes.load_run(tmp_path / "line").info
    fixed = treat(ran, data, remedy, samples=2, rows=20, show=False).run.info
    assert there["options"] == json.loads(json.dumps(fixed["options"]))
    assert there["training"] == fixed["training"]


@pytest.mark.parametrize(("part", "number"), [("encoder", math.nan), ("encoder", 1e30), ("decoder", math.nan)])
def test_a_run_that_has_diverged_is_told_so_and_nothing_else(patients, part, number):
    ran, data = patients("healthy")
    broken = copy.deepcopy(ran.model)
    for p in getattr(broken, part).parameters():
        p.data.fill_(number)
    e = examine(replace(ran, method=replace(ran.method, model=broken)), data, rows=50, refined=10)
    assert [(f.name, f.sick, f.remedy) for f in findings(e)] == [("diverged", True, None)]
    assert json.loads(json.dumps(e.summary(), allow_nan=False))["terms"]["loss"] is None
    assert not examine(ran, data, rows=50).diverged


def test_where_there_is_no_latent_there_is_nothing_to_diagnose():
    data = load("digits", protocol="dynamic")
    ran = fit(recipes.made(data, hidden=(8,)), data, epochs=1, threads=1, show=False)
    with pytest.raises(UserError, match="no latent"):
        examine(ran, data)


# --- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sick_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor") / "sick"
    line = "train beta_vae digits --latent 4 --beta 20 --hidden 16 --epochs 2 --quiet --no-report --threads 1 --out"
    assert run(f"{line} {folder}") == 0
    return folder


def said(line, capsys):
    capsys.readouterr()
    assert run(line) == 0
    return capsys.readouterr().out


def test_the_verb_says_what_is_the_matter_and_fixes_it(sick_folder, capsys):
    text = said(f"doctor {sick_folder} --limit 100", capsys)
    assert "diagnosis: beta too large" in text
    assert "logpx train beta_vae digits" in text
    assert f"--out {sick_folder}-fixed" in text
    assert "--beta 1.0" in text
    text = said(f"doctor {sick_folder} --fix --samples 5 --limit 100", capsys)
    assert "nats per data point on the same rows" in text
    assert (sick_folder.with_name("sick-fixed") / "run.json").exists()
    assert "exists already" in refused(f"doctor {sick_folder} --fix", capsys)  # the other folder is there now


def test_the_report_s_line_trains_into_the_folder_that_the_verb_names(sick_folder):
    section = diagnosis(Subject(*reopen(sick_folder), None))
    assert f"--out {escape(str(sick_folder))}-fixed</code>" in section.html


def test_a_run_on_chosen_columns_of_a_csv_is_treated_and_so_does_its_line(tmp_path, capsys):
    g = torch.Generator().manual_seed(0)
    rows = [f"p{i},{a:.2f},{b:.2f},{i % 3}" for i, (a, b) in enumerate(torch.randn(80, 2, generator=g).tolist())]
    (tmp_path / "people.csv").write_text("\n".join(["id,age,height,sex", *rows]))
    options = "--columns sex=categorical,age=real --drop id --latent 2 --hidden 8 --warmup 900 --epochs 2"
    assert run(f"train vae {tmp_path}/people.csv {options} --quiet --no-report --threads 1 --out {tmp_path}/sick") == 0
    line = json.loads(said(f"doctor {tmp_path}/sick --json --fix --samples 5 --limit 5", capsys))["command"]
    again = line.removeprefix("logpx ").replace("sick-fixed", "line")
    assert run(f"{again} --quiet --no-report") == 0
    fixed, lined = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("sick-fixed", "line"))
    assert fixed["data"] == lined["data"]
    assert fixed["data"]["asked"]["drop"] == ["id"]
    assert (fixed["options"], fixed["training"]) == (lined["options"], lined["training"])


def test_the_verb_speaks_json(sick_folder, capsys):
    told = json.loads(said(f"doctor {sick_folder} --json --limit 50", capsys))
    assert (told["healthy"], told["diagnosis"]) == (False, "beta too large")
    assert told["measured"]["latent"] == 4
    told = json.loads(said("doctor digits --protocol grey --latent 3 --sigma 0.5 --json", capsys))
    assert told["forecast"][0]["latent"] == 3
    assert told["forecast"][0]["live_fixed"]["0.5"] == 3


def test_data_are_forecast_before_anything_is_trained(capsys):
    text = said("doctor linear-gaussian", capsys)
    assert "eigenvalues of their covariance" in text
    assert "live at sigma = 1" in text


def test_what_the_verb_refuses(sick_folder, capsys):
    for line, sentence in (
        ("doctor digits --fix", "no run folder"),
        (f"doctor {sick_folder} --latent 3", "is for data"),
        ("doctor digits --sigma -1", "positive number"),
        ("doctor no-such-thing", "no data set or file"),
    ):
        assert sentence in refused(line, capsys)


def test_an_encoder_that_has_forgotten_what_it_knew_is_found_lagging(patients):
    ran, data = patients("healthy")
    spoilt = copy.deepcopy(ran.model)
    with torch.no_grad():
        last = [m for m in spoilt.encoder.modules() if isinstance(m, torch.nn.Linear)][-1]
        last.weight[:4] *= 0.2  # the means, a fifth of what they were
    sick = replace(ran, method=replace(ran.method, model=spoilt))
    e = examine(sick, data, rows=100, refined=30)
    assert "encoder lagging" in [f.name for f in findings(e)]
    well = examine(ran, data, rows=100, refined=30)
    assert well.amortisation[0] < 0.5 * e.amortisation[0]
    assert "encoder lagging" not in [f.name for f in findings(well) if f.sick]
