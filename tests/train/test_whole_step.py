"""The step as one graph beside the loop's own; that it is so for every recipe is a law in tests/test_law_recipes.py."""

from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from logpx import recipes
from logpx.data import from_array
from logpx.errors import UserError
from logpx.model import Batch
from logpx.train import fit, whole_step
from logpx.train.log import Reporter
from logpx.train.whole_step import Recorded, WholeStep

HOW: dict[str, Any] = {"epochs": 4, "batch_size": 32, "show": False}


def data(n: int = 80) -> Any:
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(torch.arange(1.0, 7))
    return from_array(x.numpy(), name="toy")


def method(rows: Any, **options: Any) -> Any:
    return recipes.vae(rows, latent=2, hidden=(8,), **options)


@pytest.fixture
def traced_only(monkeypatch: pytest.MonkeyPatch) -> list[WholeStep]:
    """Graphs are traced and run as they are, which takes a second instead of ten; those that were made."""
    made, init = [], WholeStep.__init__

    def traced(self: WholeStep, *args: Any) -> None:
        init(self, *args[:-1], "aot_eager")
        made.append(self)

    monkeypatch.setattr(WholeStep, "__init__", traced)
    return made


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # when the compiler is imported
def test_compiled_a_run_ends_with_the_same_numbers(tmp_path: Any) -> None:
    """By the real compiler: 80 of 100 rows are two full batches and a short one, in every epoch."""
    rows = data(100)
    how = {**HOW, "precision": "float64", "schedule": "cosine", "clip": 0.5, "encoder_decay": 0.5}
    plain = fit(method(rows), rows, compile="no", **how)
    torch.compiler.reset()
    whole = fit(method(rows), rows, compile="yes", out=tmp_path / "run", **how)
    assert whole.info["compiled"] is True
    for ours, theirs in zip(whole.rows, plain.rows, strict=True):
        assert ours["train"] == pytest.approx(theirs["train"], rel=1e-9)
    torch.testing.assert_close(whole.model.state_dict(), plain.model.state_dict(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_resumed_it_has_the_bits_of_an_unbroken_run(
    tmp_path: Any, traced_only: list[WholeStep], optimizer: str
) -> None:
    rows, how = data(), {**HOW, "compile": "yes", "optimizer": optimizer}
    whole = fit(method(rows), rows, **how, out=tmp_path / "whole")
    fit(method(rows), rows, **{**how, "epochs": 2}, out=tmp_path / "run")
    resumed = fit(method(rows), rows, **how, out=tmp_path / "run", resume=True)
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    assert len(traced_only) == 3


def test_cosine_clipping_and_paces_are_those_of_the_loop(traced_only: list[WholeStep]) -> None:
    """A learned curvature has a pace of its own; the optimal sigma moves itself after the step."""
    rows = data()
    for build, options in (
        (recipes.mixed_curvature_vae, {"signature": "e2,s2", "hidden": (8,)}),
        (recipes.vae, {"sigma": "optimal", "hidden": (8,), "latent": 2}),
    ):
        how = {**HOW, "schedule": "cosine", "clip": 0.5, "precision": "float64"}
        runs = [fit(build(rows, **options), rows, **how, compile=choice) for choice in ("no", "yes")]
        torch.testing.assert_close(runs[1].model.state_dict(), runs[0].model.state_dict(), rtol=1e-9, atol=1e-12)
    assert len(traced_only) == 2


class Notes(Reporter):
    """What was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


class Counting(nn.Module):
    """A network that decides by a number of its own, and has a norm whose running moments move in the step."""

    def __init__(self, out: int, by_value: bool) -> None:
        super().__init__()
        self.net, self.by_value = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, out)), by_value

    def forward(self, x: Tensor) -> Tensor:
        if self.by_value and x.sum().item() > 1e9:
            return self.net(-x)
        return self.net(x)


@pytest.mark.parametrize("by_value", [False, True])
def test_a_network_of_the_user(traced_only: list[WholeStep], by_value: bool) -> None:
    """One that moves its buffers takes its steps whole; one that reads a tensor cannot, and the run says so and goes on."""
    rows, said, kept = data(), [], []
    for choice in ("no", "yes"):
        torch.manual_seed(0)
        made = method(rows)
        made.model.encoder = Counting(4, by_value)
        notes = Notes()
        run = fit(made, rows, **{**HOW, "show": notes}, precision="float64", compile=choice)
        said += [note for note in notes.said if note.startswith("Not compiled, only slower")]
        kept.append(run.model.state_dict())
    torch.testing.assert_close(kept[1], kept[0], rtol=1e-9, atol=1e-12)
    assert len(said) == by_value
    assert run.info["compiled"] is not by_value


class Annealed(nn.Module):
    """A network that counts its own steps, so that no trace of it holds for the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.calls = nn.Linear(6, 4), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.net(x) * (1 - 0.9**self.calls)


def test_a_trace_that_never_holds_is_given_up_in_the_middle(traced_only: list[WholeStep]) -> None:
    """Steps taken compiled, given up after the third trace, count as steps of Adam; the numbers are those of the loop."""
    import torch._dynamo

    rows, notes, kept = data(), Notes(), []
    for choice in ("no", "yes"):
        torch.manual_seed(0)
        made = method(rows)
        made.model.encoder = Annealed()
        with torch._dynamo.config.patch(recompile_limit=3):
            run = fit(made, rows, **{**HOW, "show": notes}, precision="float64", compile=choice)
        kept.append(run.model.state_dict())
    torch.testing.assert_close(kept[1], kept[0], rtol=1e-9, atol=1e-12)
    assert any(note.startswith("Not compiled, only slower") for note in notes.said)


class Played:
    """A CUDA graph on the CPU: what is recorded is a function, and replaying calls it and writes where it wrote."""

    def __init__(self) -> None:
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        x, corrections = self.recorded.inputs
        result = self.recorded.function(Batch(x), corrections)
        for place, tensor in zip(self.recorded.outputs, result, strict=True):
            place.copy_(tensor)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`Recorded` on the CPU: only the recording itself is a stand-in. How many graphs were made, and what it waited for."""
    known: dict[str, Any] = {"graphs": 0, "waits": 0, "recorded": None}

    class NoStream:
        def __init__(self, device: Any = None) -> None: ...

        def wait_stream(self, other: Any) -> None:
            known["waits"] += 1

    @contextmanager
    def recording(graph: Played, stream: Any) -> Any:
        graph.recorded = known["recorded"]  # type: ignore[attr-defined]
        yield

    @contextmanager
    def within(_: Any) -> Any:
        yield

    stands = {"CUDAGraph": Played, "graph": recording, "Stream": NoStream, "stream": within, "device": within}
    for name, what in (stands | {"current_stream": NoStream}).items():
        monkeypatch.setattr(torch.cuda, name, what)
    monkeypatch.setattr(whole_step, "_graphs", lambda: known["graphs"])
    return known


def test_a_recording_is_played_back_on_new_rows(recorder: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a recorded step reads and writes. The first call builds a graph, two more meet it, the fourth is recorded."""
    monkeypatch.setattr(Recorded, "every", 9)
    moved, through = torch.zeros(3), []

    def step(batch: Batch, rate: Tensor | None) -> tuple[Tensor, ...]:
        assert rate is not None
        moved.add_(rate * batch.x.sum(0))
        return (moved.clone(), batch.x.mean())

    def built(batch: Batch, rate: Tensor | None) -> tuple[Tensor, ...]:
        """As compiled: in calls 0 and 8 a graph has to be made, in those that are played back nothing is called."""
        recorder["graphs"] += i in (0, 8)
        through.append(i)
        return step(batch, rate)

    recorded = recorder["recorded"] = Recorded(built, torch.device("cpu"))
    expected = torch.zeros(3)
    for i in range(14):
        x, rate = torch.randn(4, 3), torch.tensor(0.1 * i)
        expected = expected + rate * x.sum(0)
        out = recorded(Batch(x), rate)
        if recorded.calls - 1 in (3, 11):  # the stand-in runs what it records: a real recording moves nothing
            moved.copy_(expected)
            continue
        torch.testing.assert_close(moved, expected)
        torch.testing.assert_close(out[1], x.mean())
    assert [i for i in (0, 1, 2, 8, 9, 10) if i in through] == [0, 1, 2, 8, 9, 10]
    assert recorder["waits"] == 12  # two for each call through Python: none of those that are played back
    assert recorded.recording.replays == 3  # type: ignore[union-attr]


def test_what_a_gpu_cannot_record_is_said(recorder: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def refuses(graph: Any, stream: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")
        yield

    monkeypatch.setattr(torch.cuda, "graph", refuses)
    recorded = Recorded(lambda batch, rate: (batch.x,), torch.device("cpu"))
    for _ in range(2):
        recorded(Batch(torch.ones(2, 3)), None)
    with pytest.raises(UserError, match=r"the GPU cannot record a step of this model \(operation not permitted"):
        recorded(Batch(torch.ones(2, 3)), None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("build", ["vae", "mixed_curvature_vae", "denoising", "iwae"])
def test_on_a_gpu_the_recorded_step_is_that_of_the_loop(build: str) -> None:
    rows, kept = data(100), []
    for choice in ("no", "yes"):
        torch.manual_seed(0)
        made = getattr(recipes, build)(rows, hidden=(8,))
        run = fit(made, rows, **HOW, device="cuda", precision="float64", compile=choice)  # type: ignore[arg-type]
        assert run.info["compiled"] is (choice == "yes")
        kept.append(run.model.state_dict())
    torch.testing.assert_close(kept[1], kept[0], rtol=1e-7, atol=1e-9)


def test_an_encoder_that_has_caught_up_has_a_count_of_its_own(traced_only: list[WholeStep]) -> None:
    """He et al. 2019: Adam's corrections go by the steps that each parameter has taken, of which the encoder has more."""
    rows, kept = data(), []
    for choice in ("no", "yes"):
        made = recipes.aggressive_vae(rows, latent=2, hidden=(8,)).with_training(
            encoder_steps=30, epochs=6, batch_size=32
        )
        run = fit(made, rows, show=False, precision="float64", compile=choice)  # type: ignore[arg-type]
        kept.append(run.model.state_dict())
    (whole,) = traced_only
    assert len({behind for _, behind in whole.rows}) == 2  # else it never caught up, and nothing was tested
    torch.testing.assert_close(kept[1], kept[0], rtol=1e-9, atol=1e-12)
