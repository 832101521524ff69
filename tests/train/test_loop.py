"""The loop: reproducible, weighs every row the same, keeps the best epoch, reads nothing back inside an epoch."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from logpx import exact, objectives, recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.evaluate import evidence, expected_terms
from logpx.model import VAE, Batch, Draw
from logpx.train import Method, Training, fit, loop, state
from logpx.train.engine import Precision
from logpx.train.feed import Feed
from logpx.train.log import Reporter
from logpx.train.run import Folder


def numbers(n: int = 60, P: int = 4) -> Tensor:
    return torch.randn(n, P, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, P + 1))


def small(x: Any, recipe: str = "vae", **options: Any) -> Method:
    sizes = {} if recipe in ("ppca", "linear_vae") else {"hidden": (8,)}
    sizes |= {"samples": 3} if recipe == "iwae" else {}
    return getattr(recipes, recipe)(x, **({"latent": 2} | sizes | options))


def train(x: Any = None, recipe: str = "vae", *, options: dict[str, Any] | None = None, **settings: Any) -> loop.Run:
    x = numbers() if x is None else x
    return fit(small(x, recipe, **(options or {})), x, **({"epochs": 3, "batch_size": 16, "show": False} | settings))


def weights(run: loop.Run) -> dict[str, Tensor]:
    return run.model.state_dict()


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Snapshots(Reporter):
    """The weights after every epoch, and what was said."""

    def __init__(self, model: VAE) -> None:
        self.model, self.after, self.best, self.notes = model, [], [], []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, row: dict[str, Any], best: bool) -> None:
        self.after.append({k: v.clone() for k, v in self.model.state_dict().items()})
        self.best.append(best)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Held-out losses as written down instead of as measured."""

    def script(*losses: float) -> None:
        left = iter(losses)
        monkeypatch.setattr(loop, "expected_terms", lambda *a, **k: {"loss": next(left)})

    return script


# --- reproducible -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["vae", "iwae", "linear_vae", "ppca"])
def test_a_seed_gives_the_same_bits_twice(recipe: str) -> None:
    runs = [train(recipe=recipe, seed=s, options={"seed": s}) for s in (3, 3, 4)]
    assert equal(weights(runs[0]), weights(runs[1]))
    assert [row["train"] for row in runs[0].rows] == [row["train"] for row in runs[1].rows]
    assert recipe == "ppca" or not equal(weights(runs[0]), weights(runs[2]))


def test_two_processes_give_the_same_bits() -> None:
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from logpx import recipes; from logpx.train import fit\n"
        "x = torch.randn(60, 4, generator=torch.Generator().manual_seed(8)) @ torch.diag(torch.arange(1.0, 5))\n"
        "m = recipes.vae(x, latent=2, hidden=(8,), seed=5)\n"
        "run = fit(m, x, epochs=3, batch_size=16, seed=5, show=False)\n"
        "print([p.double().sum().item().hex() for p in run.model.parameters()])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = train(seed=5, options={"seed": 5})
    assert other.stdout.strip() == str([p.double().sum().item().hex() for p in here.model.parameters()])


def test_what_the_caller_did_before_does_not_matter() -> None:
    first = train()
    torch.manual_seed(999)
    torch.rand(17)
    assert equal(weights(first), weights(train()))


def settings() -> tuple:
    return (
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.distributions.Distribution._validate_args,
    )


@pytest.mark.parametrize("precision", get_args(Precision))
@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_state_is_put_back(precision: str, fails: bool) -> None:
    before = settings()
    method = small(numbers())
    if fails:
        method = Method(method.model, Exploding(at=2))
    try:
        fit(method, numbers(), epochs=2, precision=precision, threads=2, seed=7, show=False)  # type: ignore[arg-type]
    except UserError:
        assert fails
    assert settings() == before


def test_importing_changes_nothing_global() -> None:
    code = (
        "import torch, random, numpy as np\n"
        "def now(): return (torch.get_rng_state().sum().item(), random.getstate(), str(np.random.get_state()), "
        "torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision(), "
        "torch.distributions.Distribution._validate_args, torch.is_grad_enabled())\n"
        "a = now()\n"
        "import logpx.cli, logpx.recipes, logpx.verify, logpx.report, logpx.samples\n"
        "assert now() == a"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# --- what an epoch's numbers mean -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("vae", {}),
        ("iwae", {"gradient": "plain"}),
        ("iwae", {"gradient": "stl"}),
        ("iwae", {}),
    ],
)
def test_epoch_means_weigh_every_row_the_same(recipe: str, options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights that stand still an epoch and `expected_terms` agree to the last bit."""
    monkeypatch.setattr(Feed, "permutation", lambda self: torch.arange(len(self.split)))
    data = from_array(numbers(61), held_out=0, test=0)
    method = small(data, recipe, **options)
    run = fit(method, data, epochs=1, batch_size=16, learning_rate=1e-30, seed=6, show=False)
    found = expected_terms(method.objective, method.model, data.train, batch_size=16, seed=6)
    assert run.rows[0]["train"] == found


@pytest.mark.parametrize("size", [7, 60, 61, 200])
def test_the_division_into_batches_does_not_show(size: int) -> None:
    data = from_array(numbers(61), held_out=0, test=0)
    method = small(data, "linear_vae")
    run = fit(method, data, epochs=1, batch_size=size, learning_rate=1e-30, precision="float64", show=False)
    whole = expected_terms(method.objective, method.model, data.train)
    assert run.rows[0]["train"] == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("recipe", ["vae", "iwae", "linear_vae"])
def test_a_last_batch_of_one(recipe: str) -> None:
    data = from_array(numbers(9), held_out=0, test=0)
    run = fit(small(data, recipe), data, epochs=2, batch_size=4, show=False)
    assert run.rows[-1]["step"] == 6
    assert all(math.isfinite(v) for v in run.rows[-1]["train"].values())


def test_the_held_out_row_covers_all_held_out_rows() -> None:
    """More than one evaluation batch, and the last one counts."""
    x = numbers(2300)
    data = from_array(x, held_out=1100, test=0)
    method = small(data, "linear_vae")
    run = fit(method, data, epochs=1, batch_size=600, show=False)
    before = run.rows[0]["held_out"]["loss"]
    assert before == pytest.approx(
        expected_terms(method.objective, method.model, data.held_out, batch_size=1100)["loss"]
    )
    data.held_out.rows[-1] += 100
    assert expected_terms(method.objective, method.model, data.held_out)["loss"] > before + 1


def test_rows_hold_plain_numbers() -> None:
    run = train(epochs=2)
    assert [row["epoch"] for row in run.rows] == [1, 2]
    assert run.rows[0]["step"] == 3
    assert run.rows[0]["train"].keys() == {"loss", "elbo", "reconstruction", "kl"} == run.rows[0]["held_out"].keys()
    assert state.as_json(run.rows) == run.rows
    for terms in (run.rows[1]["train"], run.rows[1]["held_out"]):
        assert terms["loss"] == pytest.approx(-terms["elbo"])
        assert terms["elbo"] == pytest.approx(-terms["reconstruction"] - terms["kl"])


@pytest.mark.parametrize("as_type", [np.asarray, torch.as_tensor, lambda x: x.tolist(), from_array])
def test_data_in_any_dress(as_type: Callable[[Tensor], Any]) -> None:
    x = numbers(30)
    run = fit(small(x), as_type(x), epochs=1, show=False)
    assert run.rows[0]["train"] == fit(small(x), x, epochs=1, show=False).rows[0]["train"]


def test_float64_is_float64_throughout() -> None:
    method = small(numbers())
    run = fit(method, numbers(), epochs=1, precision="float64", show=False)
    assert all(p.dtype == torch.float64 for p in run.model.parameters())
    loss = run.rows[0]["train"]["loss"]
    assert float(np.float32(loss)) != loss


def test_precision_leaves_the_evidence_where_it_is() -> None:
    """One model in two precisions differs by no more than its draws do."""
    model = train(epochs=5).model
    single = evidence(model, numbers(), samples=2000)
    double = evidence(model.double(), numbers(), samples=2000)
    assert abs(single.mean - double.mean) < 4 * (single.monte_carlo_error + double.monte_carlo_error)
    assert single.per_point.dtype == double.per_point.dtype == torch.float64


def test_bfloat16_is_of_the_networks_alone_and_trains_as_well() -> None:
    """Densities, weights and what is evaluated stay float32; the losses of 20 epochs differ by little."""
    single, narrow = (
        fit(small(numbers()), numbers(), epochs=20, precision=p, show=False) for p in ("float32", "bfloat16")
    )
    assert all(p.dtype == torch.float32 for p in narrow.model.parameters())
    losses = [run.rows[-1]["train"]["loss"] for run in (single, narrow)]
    assert losses[0] != losses[1]
    assert abs(losses[0] - losses[1]) < 0.1
    assert all("forward" not in vars(net) for net in narrow.model.networks())


def test_training_lowers_the_loss_and_leaves_the_model_in_the_run() -> None:
    method = small(numbers())
    run = fit(method, numbers(), epochs=30, learning_rate=0.01, show=False)
    assert run.model is method.model
    assert run.rows[-1]["train"]["loss"] < run.rows[0]["train"]["loss"] - 0.5
    assert run.folder is None
    assert run.best is not None
    assert run.best["epoch"] == run.best_epoch
    assert run.best["held_out"]["loss"] == min(row["held_out"]["loss"] for row in run.rows)


# --- the best epoch, patience, warm-up --------------------------------------------------------------------------------


def test_the_best_epoch_is_what_remains(scripted: Callable[..., None], tmp_path) -> None:
    scripted(5.0, 3.0, 4.0, 3.0, 9.0)
    method = small(numbers())
    seen = Snapshots(method.model)
    run = fit(method, numbers(), epochs=5, batch_size=16, show=seen, out=tmp_path / "run")
    assert run.best_epoch == 2  # a tie keeps the earlier
    assert seen.best == [True, True, False, False, False]
    assert equal(weights(run), seen.after[1])
    assert not equal(weights(run), seen.after[4])
    saved = state.load(tmp_path / "run" / "weights.safetensors")
    assert saved["epoch"] == 2
    assert equal(saved["weights"], seen.after[1])
    assert equal(state.load(tmp_path / "run" / "state" / "state.safetensors")["model"], seen.after[4])
    assert equal(recipes.load_run(tmp_path / "run").model.state_dict(), seen.after[1])


def test_without_held_out_rows_the_last_epoch_remains() -> None:
    data = from_array(numbers(), held_out=0)
    method = small(data)
    seen = Snapshots(method.model)
    run = fit(method, data, epochs=4, learning_rate=0.5, show=seen)
    assert run.best_epoch == 4
    assert "held_out" not in run.rows[0]
    assert equal(weights(run), seen.after[-1])


def test_patience_needs_held_out_rows() -> None:
    data = from_array(numbers(), held_out=0)
    with pytest.raises(UserError, match="hold some rows out"):
        fit(small(data), data, epochs=4, patience=1, show=False)


def test_patience(scripted: Callable[..., None]) -> None:
    scripted(5.0, 4.0, 4.5, 4.5, 3.0, 3.5, 3.5, 3.5, 1.0)
    run = train(epochs=9, patience=3)
    assert (len(run.rows), run.best_epoch) == (8, 5)


def test_early_stopping_waits_for_the_warm_up(scripted: Callable[..., None]) -> None:
    """3 steps an epoch, warm at step 12: the low losses of the warm-up count for nothing."""
    scripted(1.0, 2.0, 3.0, 9.0, 8.0, 8.5, 8.6, 0.0)
    run = train(epochs=8, patience=2, options={"warmup": 12})
    assert (len(run.rows), run.best_epoch) == (7, 5)


def test_a_run_shorter_than_its_warm_up_says_so() -> None:
    method = small(numbers(), warmup=1000)
    seen = Snapshots(method.model)
    run = fit(method, numbers(), epochs=2, batch_size=16, show=seen)
    assert any("warm-up takes 1,000 steps and the run only 6" in note for note in seen.notes)
    assert "warm-up" in run.info["warning"]
    assert run.best_epoch == 2
    assert "warning" not in fit(small(numbers(), warmup=6), numbers(), epochs=2, batch_size=16, show=False).info


# --- the optimiser ----------------------------------------------------------------------------------------------------


@contextmanager
def each_step(look: Callable[[torch.optim.Optimizer], Any]) -> Iterator[list[Any]]:
    seen: list[Any] = []
    handle = register_optimizer_step_pre_hook(lambda optimizer, *_: seen.append(look(optimizer)))
    try:
        yield seen
    finally:
        handle.remove()


def test_the_cosine_is_torchs_and_ends_at_zero() -> None:
    with each_step(lambda o: o.param_groups[0]["lr"]) as rates:
        train(epochs=4, schedule="cosine", learning_rate=0.1)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(rates))
    expected = []
    for _ in rates:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[0] == 0.1
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-15)


def test_a_constant_rate_is_constant() -> None:
    with each_step(lambda o: o.param_groups[0]["lr"]) as rates:
        train(epochs=2, learning_rate=0.02)
    assert set(rates) == {0.02}


def test_the_gradient_is_clipped() -> None:
    def norm(optimizer: torch.optim.Optimizer) -> float:
        return torch.stack([p.grad.norm() for p in optimizer.param_groups[0]["params"]]).norm().item()

    with each_step(norm) as free:
        train(epochs=1)
    with each_step(norm) as clipped:
        train(epochs=1, clip=0.01)
    assert min(free) > 0.01
    assert max(clipped) <= 0.01 * (1 + 1e-5)


def test_each_player_is_clipped_by_itself() -> None:
    """A critic's large gradient does not shorten the model's: each is its own, scaled to the norm on its own."""

    def gradients(clip: float | None) -> list[Tensor]:
        method = small(numbers(), "aae", critic=(8,), sigma=1.0)
        run = loop.Loop(
            replace(method, training=Training(batch_size=16, clip=clip)),
            from_array(numbers()),
            {"seed": 0, "precision": "float32"},
            Reporter(),
        )
        run.evaluate_objective = run.objective
        torch.manual_seed(0)
        run._move(next(iter(run.feed.epoch())))
        return [torch.cat([p.grad.flatten() for p in part.parameters()]) for part in (run.model, run.objective)]

    for free, clipped in zip(gradients(None), gradients(0.01), strict=True):
        assert free.norm() > 0.01
        torch.testing.assert_close(clipped, free * 0.01 / (free.norm() + 1e-6))  # torch's own guard against 0/0


@pytest.mark.parametrize("steps", [math.nan, 1.5, -1])
def test_encoder_steps_are_counted_in_whole_numbers(steps: float) -> None:
    with pytest.raises(UserError, match=f"encoder_steps is {steps}"):
        Training(encoder_steps=steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", ["vae", "linear_vae"])
def test_an_optimal_sigma_belongs_to_no_optimiser_and_finds_the_residual(recipe: str) -> None:
    data = from_array(numbers(200), held_out=0, test=0)
    method = small(data, recipe, sigma="optimal")
    log_sigma = method.model.likelihood.log_sigma
    with each_step(lambda o: any(p is log_sigma for p in o.param_groups[0]["params"])) as touched:
        fit(method, data, epochs=200, batch_size=200, learning_rate=1e-30, show=False)
    assert not any(touched)
    x = data.train.x()
    with torch.no_grad():
        draw = method.model.draw(Batch(x), 200)
        residual = (x - draw.px.mean).square().mean().item()
    assert log_sigma.exp().square().item() == pytest.approx(residual, rel=0.05)


def test_a_shared_sigma_is_learned() -> None:
    run = train(epochs=5, options={"sigma": "shared"}, learning_rate=0.05)
    assert run.model.likelihood.log_sigma.item() != 0


def test_a_model_with_nothing_to_learn_is_refused() -> None:
    method = small(numbers())
    for p in method.model.parameters():
        p.requires_grad_(False)
    with pytest.raises(UserError, match="no parameter"):
        fit(method, numbers(), epochs=1, show=False)


# --- solvers ----------------------------------------------------------------------------------------------------------


def test_the_closed_form_takes_one_epoch() -> None:
    data = from_array(numbers(100))
    run = fit(small(data, "ppca"), data, show=False)
    assert len(run.rows) == 1
    best = exact.ppca.closed_form(data.train.x(), 2).log_evidence(data.train.x()).mean().item()
    assert run.rows[0]["train"] == {"loss": -best, "elbo": best}
    assert evidence(run.model, data.train).mean == pytest.approx(best, abs=1e-6)
    assert run.rows[0]["held_out"]["loss"] == pytest.approx(-evidence(run.model, data.held_out).mean, abs=1e-4)


def test_em_rises_and_stops_by_itself() -> None:
    data = from_array(numbers(100), held_out=0, test=0)
    run = fit(small(data, "ppca", solution="em"), data, show=False)
    elbos = [row["train"]["elbo"] for row in run.rows]
    assert 2 < len(elbos) < 1000
    assert elbos == sorted(elbos)
    best = exact.ppca.closed_form(data.train.x(), 2).log_evidence(data.train.x()).mean().item()
    assert elbos[-1] == pytest.approx(best, abs=1e-5)
    assert len(fit(small(data, "ppca", solution="em"), data, epochs=3, show=False).rows) == 3


# --- when it goes wrong -----------------------------------------------------------------------------------------------


class Exploding(objectives.ELBO):
    """An ELBO whose loss is nan from one training step on."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.steps = at, 0

    def value(self, d: Draw) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = super().value(d)
        self.steps += torch.is_grad_enabled()
        return (loss * math.nan if self.steps >= self.at else loss), terms


class BadGradient(objectives.ELBO):
    """A finite loss whose gradient is nan: the last step of an epoch would hide it."""

    def value(self, d: Draw) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = super().value(d)
        return loss + (d.z * 0).sum().abs().sqrt(), terms


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(tmp_path) -> None:
    """48 training rows are 3 steps an epoch; step 8 falls into the third."""
    data = from_array(numbers(60))
    method = small(data)
    method = Method(method.model, Exploding(at=8), Training(), recipe="vae", options=method.options)
    seen = Snapshots(method.model)
    with pytest.raises(UserError) as caught:
        fit(method, data, epochs=9, batch_size=16, out=tmp_path / "run", show=seen)
    said = str(caught.value)
    assert "step 8 (loss nan, elbo -" in said
    assert f"the state after epoch 2 is kept in {tmp_path / 'run'}" in said
    assert said.count("\n") == 0
    kept = state.load(tmp_path / "run" / "state" / "state.safetensors")
    assert kept["progress"]["epoch"] == 2
    assert equal(kept["model"], seen.after[1])
    assert recipes.load_run(tmp_path / "run").best_epoch in (1, 2)
    assert len(Folder(tmp_path / "run").read_rows()) == 2


def test_a_failure_in_the_first_epoch_leaves_nothing_and_claims_nothing(tmp_path) -> None:
    method = small(numbers())
    method = Method(method.model, Exploding(at=1))
    with pytest.raises(UserError, match="step 1 ") as caught:
        fit(method, numbers(), epochs=2, out=tmp_path / "run", show=False)
    assert "kept" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_are_never_saved(tmp_path) -> None:
    data = from_array(numbers(), held_out=0, test=0)
    method = Method(small(data).model, BadGradient())
    with pytest.raises(UserError, match="weight stopped being finite at the end of epoch 1"):
        fit(method, data, epochs=3, batch_size=60, out=tmp_path / "run", show=False)
    assert list(tmp_path.iterdir()) == []


def test_a_held_out_loss_that_is_no_number(scripted: Callable[..., None], tmp_path) -> None:
    scripted(1.0, math.inf)
    with pytest.raises(UserError, match="held-out loss became inf in epoch 2; the state after epoch 1 is kept"):
        train(out=tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": -3}, "epochs is -3"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"clip": 0.0}, "clip is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"epochs": math.nan}, "epochs is nan"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": -1}, "threads is -1"),
        ({"save_every": 0}, "save_every is 0"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"compile": "maybe"}, "compile is 'maybe'"),
        ({"schedule": "linear"}, "schedule is 'linear'"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'"),
        ({"device": "nope"}, "device 'nope'"),
        ({"resume": True}, "nothing to resume"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, Any], match: str, tmp_path) -> None:
    place = {} if "resume" in given else {"out": tmp_path / "run"}
    with pytest.raises(UserError, match=match):
        train(**place, **given)
    assert list(tmp_path.iterdir()) == []


# --- no read-backs inside an epoch ------------------------------------------------------------------------------------


class Readbacks(TorchDispatchMode):
    """Counts everything that would wait for the device: .item(), bool(), int(), float(), nonzero()."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.count += name in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("recipe", "options", "settings"),
    [
        ("vae", {}, {}),
        ("vae", {}, {"clip": 1.0, "schedule": "cosine"}),
        ("vae", {}, {"optimizer": "muon"}),
        ("vae", {"sigma": "optimal"}, {}),
        ("vae", {"warmup": 1000}, {}),
        ("iwae", {}, {}),
        ("linear_vae", {}, {}),
    ],
)
def test_read_backs_do_not_grow_with_the_steps(recipe: str, options: dict, settings: dict) -> None:
    """Same rows, 4 or 24 steps."""
    counts = []
    for size in (12, 2):
        data = from_array(numbers(60), kind="real")
        method = small(data, recipe, **options)
        with Readbacks() as mode:
            fit(method, data, epochs=1, batch_size=size, show=False, **settings)
        counts.append(mode.count)
    assert counts[0] == counts[1] > 0


def test_one_training_step_of_dynamic_pixels_reads_nothing_back() -> None:
    images = (torch.rand(40, 4, 4) * 255).to(torch.uint8)
    data: Data = from_array(images, protocol="dynamic")
    counts = []
    for size in (32, 4):
        with Readbacks() as mode:
            fit(small(data), data, epochs=1, batch_size=size, show=False)
        counts.append(mode.count)
    assert counts[0] == counts[1]


def test_the_number_of_threads_changes_rounding_alone() -> None:
    """Layers wide enough that torch shares them out: the same noise and order, so float64 agrees to its last digits."""
    x = torch.rand(512, 784, generator=torch.Generator().manual_seed(0), dtype=torch.float64).float()
    how = {"options": {"hidden": (400,)}, "precision": "float64", "batch_size": 128, "epochs": 2}
    one, two = (train(x, threads=threads, **how) for threads in (1, 2))
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-7, atol=1e-10)
