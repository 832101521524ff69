"""TensorBoard's events: what stands in log.jsonl, once, whatever was interrupted; read back by TensorBoard's own reader."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from command_line import refused, run
from logpx import recipes
from logpx.data import Data, from_array
from logpx.errors import UserError
from logpx.model import VAE
from logpx.train import events, fit
from logpx.train.events import Events
from logpx.train.log import Reporter

X = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
TINY = "--latent 2 --hidden 6 --batch-size 16 --quiet --no-report --evidence-samples 3 --tensorboard"


def data() -> Data:
    return from_array(X, name="numbers")


def trained(out: Path, epochs: int, says: Reporter | None = None, **how: Any) -> None:
    method = recipes.vae(data(), latent=2, hidden=(6,))
    fit(method, data(), epochs=epochs, batch_size=16, out=out, show=Events(out, says), **how)


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The log as scalars: {tag: [(step, value)]}."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in (folder / "log.jsonl").read_text().splitlines():
        row = json.loads(line)
        for part in ("train", "held_out"):
            for term, value in row[part].items():
                found.setdefault(f"{term}/{part}", []).append((row["step"], pytest.approx(value, rel=1e-6)))
        found.setdefault("learning_rate", []).append((row["step"], pytest.approx(row["learning_rate"], rel=1e-6)))
    return found


def accumulated(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    read = accumulated(folder)
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_the_events_are_the_log(tmp_path: Path) -> None:
    trained(tmp_path / "run", 3)
    found = scalars(tmp_path / "run")
    assert found == logged(tmp_path / "run")
    assert {"loss/train", "loss/held_out", "elbo/held_out", "kl/train", "learning_rate"} <= found.keys()
    assert [step for step, _ in found["loss/train"]] == [3, 6, 9]


def test_a_resumed_run_goes_on_and_doubles_nothing(tmp_path: Path) -> None:
    trained(tmp_path / "run", 2)
    trained(tmp_path / "run", 4, resume=True)
    found = scalars(tmp_path / "run")
    assert found == logged(tmp_path / "run")
    assert [step for step, _ in found["loss/train"]] == [3, 6, 9, 12]
    times = [e.wall_time for e in accumulated(tmp_path / "run").Scalars("loss/train")]
    assert times == sorted(times)


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "project" / "tensorboard" / "mine.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(UserError, match=r"run\.json"):
        events.write_events(tmp_path / "project")
    assert [path.name for path in other.parent.iterdir()] == ["mine.txt"]
    trained(tmp_path / "run", 1)
    beside = tmp_path / "run" / "tensorboard"
    (beside / "mine.txt").write_text("mine")
    (beside / "events.out.tfevents.1.other.2.3").write_bytes(b"")
    events.write_events(tmp_path / "run")
    names = sorted(path.name for path in beside.iterdir())
    assert len(names) == 3
    assert {"mine.txt", "events.out.tfevents.1.other.2.3"} < set(names)
    assert scalars(tmp_path / "run") == logged(tmp_path / "run")


def test_an_epoch_that_was_logged_and_not_saved_stands_once(tmp_path: Path) -> None:
    """Killed between the log and the state: the epoch is trained again."""

    class Killed(Reporter):
        def epoch(self, row: dict[str, Any], best: bool) -> None:
            if row["epoch"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", 4, Killed(), save_every=2)
    trained(tmp_path / "run", 4, resume=True, save_every=2)
    assert scalars(tmp_path / "run") == logged(tmp_path / "run")


def test_the_learning_rate_is_the_last_steps(tmp_path: Path) -> None:
    trained(tmp_path / "run", 3, schedule="cosine", learning_rate=0.01)
    found = [value for _, value in scalars(tmp_path / "run")["learning_rate"]]
    assert found == pytest.approx([0.01 * 0.5 * (1 + math.cos(math.pi * (s - 1) / 9)) for s in (3, 6, 9)], rel=1e-6)


def test_the_settings_are_hyperparameters(tmp_path: Path) -> None:
    trained(tmp_path / "run", 1)
    tags = accumulated(tmp_path / "run").PluginTagToContent("hparams")
    assert "_hparams_/session_start_info" in tags
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = HParamsPluginData.FromString(tags["_hparams_/session_start_info"]).session_start_info.hparams
    assert found["recipe"].string_value == "vae"
    assert found["latent"].number_value == 2
    assert found["batch_size"].number_value == 16
    assert found["hidden"].string_value in ("(6,)", "[6]")


def test_what_is_said_is_handed_on(tmp_path: Path) -> None:
    said: list[str] = []

    class Heard(Reporter):
        def start(self, epochs: int, steps: int) -> None:
            said.append(f"start {epochs} {steps}")

        def epoch(self, row: dict[str, Any], best: bool) -> None:
            said.append(f"epoch {row['epoch']}")

        def stop(self) -> None:
            said.append("stop")

    trained(tmp_path / "run", 2, Heard())
    assert said == ["start 2 6", "epoch 1", "epoch 2", "stop"]


def test_two_stages_stand_apart(tmp_path: Path) -> None:
    def second(model: VAE, rows: Data, train: Any) -> None:
        train(recipes.vae(rows, latent=1, hidden=(4,)).with_training(epochs=3, batch_size=8), rows)

    method = replace(recipes.vae(data(), latent=2, hidden=(6,)), finish=second)
    out = tmp_path / "run"
    fit(method, data(), epochs=2, batch_size=16, out=out, show=Events(out))
    found = scalars(out)
    assert {tag: v for tag, v in found.items() if not tag.startswith("second/")} == logged(out)
    later = {tag.removeprefix("second/"): v for tag, v in found.items() if tag.startswith("second/")}
    assert later == logged(out / "second")
    assert len(later["loss/train"]) == 3
    events.write_events(out)  # the same again from the logs alone
    assert scalars(out) == found


def test_the_command_line_and_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    assert run(f"sweep vae x.npy --over seed=0,1 --epochs 2 --out all {TINY.replace('--no-report ', '')}") == 0
    for seed in (0, 1):
        assert scalars(tmp_path / "all" / f"seed={seed}") == logged(tmp_path / "all" / f"seed={seed}")
    capsys.readouterr()


def test_without_tensorboard_one_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'logpx\[tensorboard\]'"):
        Events(tmp_path)
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    assert "logpx[tensorboard]" in refused(f"train vae x.npy --epochs 1 --out run {TINY}", capsys)
    assert not Path("run").exists()
