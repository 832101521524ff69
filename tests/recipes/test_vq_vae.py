"""vq_vae as a recipe: both stages in one run, its bound, its samples, and what it refuses."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from command_line import refused
from command_line import run as logpx_line
from logpx import likelihoods, networks, recipes, report
from logpx.cli import run as logpx
from logpx.data import Spec, from_array
from logpx.errors import UserError
from logpx.evaluate import code_evidence, code_usage, evidence, expected_terms, impute, mutual_information, usage
from logpx.posteriors import Codebook
from logpx.priors import Codes
from logpx.recipes import load_run
from logpx.recipes.quantised import SECOND, codes_of, one_read, second_stage
from logpx.samples import draw_samples
from logpx.train import fit
from logpx.train.log import Reporter
from logpx.train.run import Folder

IMAGES = Spec((1, 8, 8), "binary")
TINY = {"codes": 8, "width": 4, "channels": 8, "grid": 2, "prior_steps": 30, "prior_width": 16, "prior_layers": 1}


def pictures(n=120):
    """Two kinds of bars, binary."""
    x = torch.zeros(n, 1, 8, 8)
    x[::2, :, :, :4], x[1::2, :, 4:] = 1, 1
    flipped = torch.rand(x.shape) < 0.05
    return from_array((x - flipped.float()).abs().numpy(), kind="binary", held_out=20, test=20)


def trained(data, epochs=2, out=None, resume=False, show=False, **options):
    method = recipes.vq_vae(data, **TINY | options)
    return fit(method, data, epochs=epochs, batch_size=32, learning_rate=5e-3, show=show, out=out, resume=resume)


@pytest.mark.parametrize("prior", ["transformer", "pixelcnn"])
@pytest.mark.parametrize("quantiser", ["codebook", "residual", "fsq"])
def test_the_evidence_is_the_reconstruction_plus_the_prior_of_the_codes(quantiser, prior):
    data = pictures()
    run = trained(data, quantiser=quantiser, levels=(3, 3), prior=prior)
    model, x = run.model, data.test.batch()
    with torch.no_grad():
        q, net = model.encode(x), model.prior.prior.network
        k = q.indices
        if prior == "pixelcnn":  # the stages of a place are its colours
            k = k.unflatten(1, (2, 2, -1)).permute(0, 3, 1, 2)
        law = likelihoods.Autoregressive(net, likelihoods.Categorical(net.shape, net.size))(k[:1, :0].float())
        judge = model.decode(q.mean).log_prob(x.x).double() + law.log_prob(k.float())
    for samples in (1, 50):
        found = evidence(model, data.test, samples=samples)
        torch.testing.assert_close(found.per_point, judge, rtol=1e-5, atol=1e-4)
        assert (found.kind, found.name, found.monte_carlo_error) == ("lower bound", "ELBO", 0.0)
        assert found.bits_per_dim == pytest.approx(-judge.mean().item() / (64 * math.log(2)), rel=1e-5)
        assert found.standard_error == pytest.approx(judge.std().item() / math.sqrt(20), rel=1e-4)
    assert draw_samples(model, 5, draw=True).shape == (5, 1, 8, 8)


def test_evenly_used_codes_cost_n_log_k_and_sample_at_once():
    data = pictures()
    method = recipes.vq_vae(data, **TINY | {"prior": "uniform"})
    terms = expected_terms(method.objective, method.model, data.test)
    found = evidence(method.model, data.test)
    assert found.mean == pytest.approx(-terms["reconstruction"] - 4 * math.log(8), rel=1e-5)
    assert draw_samples(method.model, 3).shape == (3, 1, 8, 8)
    z, _ = method.model.sample(500)
    assert method.model.posterior.indices(z).flatten().unique().numel() == 8
    assert method.objective.how_kl(method.model) == "4 log 8 = 8.3 nats, constant"


def test_the_bound_is_below_the_exact_sum_over_all_grids():
    """log p(x) = log sum over all 3^2 grids of p(k) p(x|k): the bound keeps one term of it."""
    data = from_array(torch.randn(80, 3).numpy(), held_out=10, test=10)
    run = trained(data, codes=3, grid=2, hidden=(8,))
    model, x = run.model.double(), data.test.x().double()
    k = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    with torch.no_grad():
        z = model.posterior.vectors(k)
        joint = model.decode(z).expand((len(x), 9)).log_prob(x[:, None]) + model.prior(None).log_prob(z)
    exact, bound = joint.logsumexp(1), evidence(model, data.test).per_point
    assert bool((bound <= exact + 1e-9).all())
    mine = model.encode(data.test.batch()._replace(x=x)).indices @ torch.tensor([3, 1])
    torch.testing.assert_close(bound, joint.gather(1, mine[:, None]).squeeze(1))


def test_a_prior_of_codes_that_is_not_fitted_refuses_to_sample_and_to_judge():
    method = recipes.vq_vae(IMAGES, **TINY)
    with pytest.raises(UserError, match="fitted when the training ends"):
        draw_samples(method.model, 3)
    with pytest.raises(UserError, match="fitted when the training ends"):
        evidence(method.model, torch.zeros(2, 1, 8, 8))


def test_a_resumed_run_has_both_stages_to_the_bit(tmp_path):
    data = pictures()
    for options in ({"quantiser": "residual"}, {"learning": "gradient", "through": "rotation"}):
        name = next(iter(options))
        whole = trained(data, 3, tmp_path / f"whole-{name}", **options)
        trained(data, 1, tmp_path / name, **options)
        trained(data, 3, tmp_path / name, resume=True, **options)
        again = load_run(tmp_path / name)
        torch.testing.assert_close(again.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
        assert torch.equal(draw_samples(again.model, 4, seed=1), draw_samples(whole.model, 4, seed=1))
        assert torch.equal(evidence(again.model, data.test).per_point, evidence(whole.model, data.test).per_point)


def test_codes_live_after_training_and_are_counted():
    data = pictures()
    run = trained(data, epochs=4)
    found = code_usage(run.model, data.test)
    assert (found.counts.sum().item(), found.codes) == (20 * 4, 8)
    shares = found.counts[0] / 80
    assert found.perplexity == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares.tolist() if p)))
    assert found.used == int((found.counts > 0).sum()) >= 2
    told = expected_terms(run.method.objective, run.model, data.test)
    assert told["perplexity"] == pytest.approx(found.perplexity, rel=1e-5)
    assert told["usage"] == pytest.approx(found.used / 8)
    tally = {name: p for name, p in run.model.named_parameters() if "tally" in name}
    assert all(not p.any() for p in tally.values())


def test_what_the_codes_say_of_rows_is_their_entropy():
    """log q(z|x) is 0 or -inf, so the mutual information of N rows is the entropy of the grids they use."""
    data = pictures()
    run = trained(data)
    k = run.model.encode(data.test.batch()).indices
    counts = torch.unique(k, dim=0, return_counts=True)[1].double() / 20
    assert mutual_information(run.model, data.test) == pytest.approx(-(counts * counts.log()).sum().item(), rel=1e-5)


def codes(k):
    """Data of the codes k (N, T), a tenth held out."""
    data = from_array(k.numpy(), kind="categorical", test=0)
    assert data.spec.levels == 4
    return data


def test_a_prior_of_evenly_used_codes_learns_n_log_k_and_one_of_a_rule_the_rule(monkeypatch):
    monkeypatch.setattr(recipes.quantised, "SECOND", replace(SECOND, learning_rate=1e-2))
    torch.manual_seed(0)
    first = torch.randint(4, (4000, 1))
    even, rule = codes(torch.randint(4, (2000, 2))), codes(torch.cat([first, (first + 1) % 4], 1))
    for data, entropy in ((even, 2 * math.log(4)), (rule, math.log(4))):
        method = second_stage(networks.CausalTransformer(2, 4, width=16, layers=1), data, 150)
        assert method.training.epochs == -(-150 // -(-len(data.train) // 64))
        run = fit(method, data, show=False)
        assert run.best["held_out"]["loss"] == pytest.approx(entropy, abs=0.02)
        assert run.best["held_out"]["kl"] == 0


@pytest.mark.parametrize(("network", "stages"), [("transformer", 1), ("pixelcnn", 1), ("pixelcnn", 2)])
def test_a_prior_is_a_law_of_all_grids_and_its_draws_score_at_the_entropy(network, stages):
    torch.manual_seed(0)
    family = Codebook(4, 2, 3 if stages == 1 else 2, stages=stages).double()
    net = recipes.quantised._network(network, family, (2, 2), 8, 2)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.5 * torch.randn_like(p))
    law = Codes(family, net).double()()
    every = torch.tensor(list(product(range(family.codes), repeat=family.tokens)))
    with torch.no_grad():
        log_p = law.log_p(every)
        drawn = law.draw(4000)
        scored = law.log_p(drawn)
        assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-12)
        z = law.sample((5,))
        torch.testing.assert_close(law.log_prob(z), law.log_p(family.indices(z)))
    entropy, spread = -(log_p.exp() * log_p).sum().item(), (log_p.exp() * log_p.square()).sum().item()
    assert entropy < family.tokens * math.log(family.codes) - 0.1
    assert abs(scored.mean().item() + entropy) < 4 * math.sqrt((spread - entropy**2) / 4000)


@pytest.mark.parametrize("network", ["transformer", "pixelcnn"])
def test_log_p_of_the_first_tokens_is_that_of_no_later_one(network):
    """p(k_<t) from sums over all that may follow: token t changes log p(k_<=s) of no s before it."""
    torch.manual_seed(0)
    family = Codebook(6, 2, 4)
    net = recipes.quantised._network(network, family, (2, 3), 8, 2).double()
    prior, k = Codes(family, net), torch.randint(4, (1, 6))
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.5 * torch.randn_like(p))

        def numbers(k):
            x = prior.laid_out(k).double()
            return net(x, x.new_zeros(1, 0, *net.shape)).flatten(2)[..., net.order]

        for t in range(6):
            other = k.clone()
            other[0, t] = (k[0, t] + 1) % 4
            changed = (numbers(k) - numbers(other)).abs().amax(1)[0]
            assert changed[: t + 1].max() == 0
            assert t == 5 or changed[t + 1 :].min() > 0


@pytest.mark.parametrize("network", ["transformer", "pixelcnn"])
def test_the_step_of_the_second_stage_is_one_graph(network):
    torch.compiler.reset()
    net = recipes.quantised._network(network, Codebook(4, 2, 4), (2, 2), 8, 1)
    data = from_array(torch.randint(4, (40, *net.shape)).numpy(), kind="categorical", test=0)
    method, batch = second_stage(net, data, 10), data.train.batch(slice(0, 16))
    eager = method.objective(method.model, batch).loss  # warms torch's KL dispatch
    captured = torch.compile(method.objective, fullgraph=True, backend="aot_eager")(method.model, batch).loss
    torch.testing.assert_close(captured, eager)


def test_rows_that_are_drawn_anew_give_codes_of_many_reads():
    grey = from_array(torch.rand(30, 1, 8, 8).numpy(), protocol="dynamic", held_out=4, test=4)
    method = recipes.vq_vae(grey, **TINY)
    with torch.no_grad():
        method.start(method.model, grey.train)
        found = codes_of(method.model.eval(), grey)
        once = codes_of(recipes.vq_vae(pictures(), **TINY | {"prior": "pixelcnn"}).model, pictures())
    k, reads = found.train.rows, []
    assert k.shape == (22, 10, 4)
    assert bool((k != k[:, :1]).any())
    assert found.train.random
    for seed in range(60):  # one of the ten for each row, drawn apart from the others'
        reads.append(found.train.x(generator=torch.Generator().manual_seed(seed)))
        assert bool((reads[-1].unsqueeze(1) == k).all(-1).any(1).all())
    seen = torch.stack(reads, 1)
    assert all(len(a.unique(dim=0)) == len(b.unique(dim=0)) for a, b in zip(seen, k, strict=True))
    assert torch.equal(found.held_out.x(), found.held_out.rows[:, 0].float())
    assert (once.train.rows.shape, once.train.random, once.spec) == (
        (80, 1, 1, 2, 2), False, Spec((1, 2, 2), "categorical", 8))  # fmt: skip
    assert torch.equal(one_read(k[:, :1]), k[:, 0].float())


# --- the second stage in its folder ------------------------------------------------------------------------------------


class Interrupt(Reporter):
    """Ctrl-C at a step of a stage."""

    def __init__(self, stage, at):
        self.stage, self.at, self.notes = stage, at, []

    def start(self, epochs, steps):
        self.stage -= 1

    def note(self, text):
        self.notes.append(text)

    def step(self, done):
        if self.stage == 0 and done == self.at:
            raise KeyboardInterrupt


def same_files(a, b):
    """Weights, states and logs of both stages: to the last bit."""
    for part in (a, a / "second"):
        other = b / part.relative_to(a)
        for name in ("weights.safetensors", "state/state.safetensors"):
            assert (part / name).read_bytes() == (other / name).read_bytes(), (part, name)
        logs = [[row | {"seconds": 0} for row in Folder(p).read_rows()] for p in (part, other)]
        assert logs[0] == logs[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken run of two epochs and a second stage of thirty."""
    out = tmp_path_factory.mktemp("whole") / "run"
    trained(grey(), 2, out)
    return out


def grey():
    x = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return from_array(x.numpy(), protocol="dynamic", held_out=20, test=20)


def test_the_second_stage_is_a_run_of_the_same_loop(whole, tmp_path):
    info, rows = Folder(whole / "second").read_info(), Folder(whole / "second").read_rows()
    assert [row["epoch"] for row in rows] == list(range(1, 31))  # one step each
    assert all(row["train"].keys() == row["held_out"].keys() for row in rows)
    assert (info["status"], info["recipe"], info["settings"]["seed"]) == ("finished", None, 0)
    best = min(rows, key=lambda row: row["held_out"]["loss"])
    assert info["best_epoch"] == best["epoch"]
    opened, data = load_run(whole), grey()
    with torch.no_grad():
        q = opened.model.encode(data.held_out.batch())
        nats = -opened.model.prior().log_prob(q.mean).mean().item()
    assert nats == pytest.approx(best["held_out"]["loss"], rel=1e-5)  # its best epoch's weights are the model's
    assert opened.second == rows
    text = report.write(opened, data, to=tmp_path).read_text()
    assert f"in epoch {best['epoch']}, whose weights were kept" in text.split("<h3>Second stage</h3>")[1]
    assert (tmp_path / "figures" / "second-loss.svg").exists()


@pytest.mark.parametrize("at", [0, 7])
def test_ctrl_c_in_the_second_stage_and_resume(at, whole, tmp_path, capsys):
    """Before its first step, and in the middle of it."""
    says = Interrupt(2, at)
    with pytest.raises(KeyboardInterrupt):
        trained(grey(), 2, tmp_path / "run", show=says)
    assert "Second stage" in " ".join(says.notes)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    with pytest.raises(UserError, match=r"fitted when the training ends: go on with the run \(--resume\) first"):
        evidence(load_run(tmp_path / "run").model, grey().test)
    says = Interrupt(9, 0)
    run = trained(grey(), 2, tmp_path / "run", resume=True, show=says)
    assert (f"Resumed after epoch {at - 1}." in says.notes) == (at > 0)
    same_files(tmp_path / "run", whole)
    assert torch.equal(draw_samples(run.model, 4, seed=1), draw_samples(load_run(whole).model, 4, seed=1))


def test_killed_in_the_second_stage_and_resumed_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", (np.random.RandomState(0).rand(100, 8, 8) * 255).astype(np.uint8))
    first = "--codes 8 --width 4 --channels 8 --grid 2 --epochs 1"
    second = "--prior pixelcnn --prior-width 8 --prior-layers 1 --prior-steps 60"
    line = f"train vq_vae x.npy --protocol dynamic {first} {second} --quiet --no-report --threads 1"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "logpx.cli", *line.split(), "--out", "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    log, until = tmp_path / "run" / "second" / "log.jsonl", time.monotonic() + 60
    while (
        process.poll() is None and time.monotonic() < until and not (log.exists() and log.read_text().count("\n") > 1)
    ):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert "go on with the run (--resume) first" in refused("evaluate run", capsys)
    assert logpx_line(f"{line} --out run --resume") == logpx_line(f"{line} --out whole") == 0
    same_files(tmp_path / "run", tmp_path / "whole")
    assert len(Folder(tmp_path / "run" / "second").read_rows()) == 30  # of two steps each
    assert logpx_line("sample run -n 4 --out four.npy") == logpx_line("evaluate run") == 0
    assert np.load("four.npy").shape == (4, 1, 8, 8)


def test_resuming_what_is_finished_changes_nothing(whole, tmp_path):
    trained(grey(), 2, tmp_path / "run")
    trained(grey(), 2, tmp_path / "run", resume=True)
    same_files(tmp_path / "run", whole)


def test_more_epochs_of_the_first_stage_train_the_second_afresh(whole, tmp_path):
    trained(grey(), 1, tmp_path / "run")
    before = Folder(tmp_path / "run" / "second").checksum()
    says = Interrupt(9, 0)
    trained(grey(), 2, tmp_path / "run", resume=True, show=says)
    assert before != Folder(tmp_path / "run" / "second").checksum()
    assert "Resumed after epoch 1." in says.notes
    assert "Resumed after epoch 30." not in says.notes
    same_files(tmp_path / "run", whole)


def test_a_second_folder_without_a_run_in_it_is_begun_again(whole, tmp_path):
    """Killed between making the folder and writing into it."""
    with pytest.raises(KeyboardInterrupt):
        trained(grey(), 2, tmp_path / "run", show=Interrupt(2, 3))
    (tmp_path / "run" / "second" / "run.json").unlink()
    trained(grey(), 2, tmp_path / "run", resume=True)
    same_files(tmp_path / "run", whole)


def test_the_folder_of_the_second_stage_is_not_needed_and_is_no_run_of_its_own(whole, tmp_path, capsys):
    assert logpx_line(f"evaluate {whole}") == 2  # an array from Python: only the sentence counts
    assert "evaluate it there" in capsys.readouterr().err
    assert "trained from hand-made parts" in refused(f"evaluate {whole / 'second'}", capsys)
    for name in ("run.json", "weights.safetensors", "log.jsonl"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    alone = load_run(tmp_path)
    assert alone.second == []
    assert torch.equal(draw_samples(alone.model, 2), draw_samples(load_run(whole).model, 2))


def test_a_run_that_keeps_nothing_has_both_stages_too():
    run = trained(grey(), 1)
    assert run.folder is None
    assert len(run.second) == 30
    assert math.isfinite(evidence(run.model, grey().test).mean)


def test_the_uniform_prior_is_exact_in_double_precision():
    law = Codes(Codebook(5, 2, 7))()
    z = law.sample((3,))
    assert law.log_prob(z).tolist() == [-5 * math.log(7)] * 3
    with pytest.raises(UserError, match="take sample"):
        law.rsample((3,))


def test_tables_and_integer_pixels_and_holes_train():
    table = torch.randn(60, 5)
    table[::7, 1] = torch.nan
    for data in (
        from_array(table.numpy(), held_out=6, test=6),
        from_array(torch.randint(0, 5, (60, 1, 4, 4)).numpy().astype("uint8"), held_out=6, test=6),
    ):
        run = trained(data, epochs=1, hidden=(8,))
        assert math.isfinite(evidence(run.model, data.test).mean)
        assert draw_samples(run.model, 2).shape == (2, *data.shape)
    x = torch.full((2, 1, 4, 4), torch.nan)
    assert bool(impute(run.model, x, samples=7).isfinite().all())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grid": 3}, "A grid of 3 rows does not divide images of 8 x 8"),
        ({"codes": 1}, "codes is 1"),
        ({"quantiser": "fsq", "levels": (5, 1)}, "two or more"),
        ({"decay": 1.0}, "decay is 1"),
        ({"prior_width": 30}, "prior_width is 30"),
        ({"prior_steps": 0}, "prior_steps of vq_vae is 0"),
    ],
)
def test_options_that_cannot_be_are_one_sentence(options, words):
    with pytest.raises(UserError, match=words) as error:
        recipes.vq_vae(IMAGES, **options)
    assert str(error.value).count(". ") == 0


def test_what_has_no_answer_is_refused():
    with pytest.raises(UserError, match="tokens of a table are none: take transformer"):
        recipes.vq_vae(Spec((6,), "real"), prior="pixelcnn")
    with pytest.raises(UserError, match="no context"):
        recipes.vq_vae(Spec((6,), "real", context=2))
    data = pictures()
    run = trained(data, epochs=1)
    with pytest.raises(UserError, match="take code_usage"):
        usage(run.model, data.test)
    with pytest.raises(UserError, match="take evidence"):
        code_evidence(run.model, data.test)
    with pytest.raises(UserError, match="no discrete codes"):
        code_usage(recipes.vae(IMAGES).model, data.test)
    with pytest.raises(UserError, match="needs codes"):
        run.method.objective(recipes.vae(IMAGES).model, data.test.batch())


def test_grids_that_are_not_given_fit_the_image():
    def rows(*shape):
        return recipes.quantised._places(Spec(shape, "binary"), None)

    assert [rows(1, 28, 28), rows(1, 8, 8), rows(3, 32, 32), rows(1, 12, 20), rows(1, 64, 64), rows(6)] == [
        (7, 7), (2, 2), (8, 8), (3, 5), (8, 8), (4,)]  # fmt: skip


def test_it_works_from_the_command_line(tmp_path, capsys):
    out = str(tmp_path / "run")
    given = [
        f
        for name, v in (TINY | {"epochs": 1, "batch_size": 500}).items()
        for f in (f"--{name.replace('_', '-')}", f"{v}")
    ]
    assert logpx(["train", "vq_vae", "digits", "--out", out, *given]) == 0
    said = capsys.readouterr()
    assert "ELBO = -" in said.out
    assert "bits/dim" in said.out
    assert "KL: 4 log 8 = 8.3 nats, constant" in said.err
    assert "Second stage: p(k) of the codes of 1,437 training rows" in said.err
    assert "epoch 2/2" in said.err.split("Second stage")[1]  # 30 steps are two passes
    assert logpx(["sample", out, "-n", "4"]) == 0
    assert logpx(["evaluate", out]) == 0
    assert "lower bound" in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "of 8 codes in use" in page
    assert "Walks" not in page  # there is nothing between two codes
    assert "active latents" not in page
    assert "<h3>Second stage</h3>" in page
