"""The verb convert: a command, notes by verdict, a loss in nats, one JSON object, one sentence for what is wrong."""

import json
import shlex
from pathlib import Path

import pytest

from logpx import cli

CONFIG = {
    "name": "BetaVAEConfig",
    "input_dim": [1, 28, 28],
    "latent_dim": 16,
    "beta": 2.0,
    "reconstruction_loss": "mse",
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("model_config.json").write_text(json.dumps(CONFIG | {"of_mine": 1}))
    return "model_config.json"


def run(line: str) -> int:
    return cli.run(shlex.split(line))


def test_in_words(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"convert pythae {file} --data mnist --loss 40 --kl 8") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "logpx train beta_vae mnist --latent 16 --hidden 512 --likelihood gaussian --sigma 1 --beta 2\n" in out
    heads = ["converted exactly:", "converted with another meaning:", "not known:"]
    assert [line for line in out.splitlines() if line in heads] == heads
    assert "of_mine = 1: not a setting of Pythae that is known here" in out
    assert "uses_default_encoder = True (default): " in out
    assert "elbo = -752.4478 nats per data point" in out  # -(40 - 8 + 392 log 2 pi)


def test_as_json(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"convert pythae {file} --json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert out.count("\n") == 1
    assert found["recipe"] == "beta_vae"
    assert found["command"].startswith("logpx train beta_vae DATA")
    assert {note["setting"] for note in found["notes"]} >= set(CONFIG) | {"of_mine"}
    assert found["loss"] is None
    assert run(f"convert pythae {file} --loss 40 --kl 8 --json") == 0
    assert json.loads(capsys.readouterr().out)["loss"]["low"] == pytest.approx(-752.4478, abs=1e-4)


def test_a_model_without_a_counterpart_says_so(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(file).write_text(json.dumps({"name": "VAEGANConfig", "margin": 0.4}))
    assert run(f"convert pythae {file}") == 0
    out = capsys.readouterr().out
    assert "no recipe here means the same" in out
    assert "margin = 0.4: the model has none" in out


def test_nothing_of_a_file_reaches_the_terminal_raw(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that would be a line of its own, a value that would move the cursor, blanks that would wrap."""
    forged = {"a = 1: --a\nlogpx train vae evil": "\x1b[2J", "b\u202e\x9b": "é", "c" + " " * 200: ["\n"]}
    Path(file).write_text(json.dumps(CONFIG | forged))
    assert run(f"convert pythae {file}") == 0
    out = capsys.readouterr().out
    assert [line.split()[2] for line in out.splitlines() if line.startswith("logpx train")] == ["beta_vae"]
    assert all(line.isprintable() and len(line) < 300 for line in out.splitlines())
    assert r"'a = 1: --a\nlogpx train vae evil' = '\x1b[2J': not a setting" in out
    assert r"'b\u202e\x9b' = é: not a setting" in out
    assert r" = ['\n']: not a setting" in out


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("convert pythae nowhere.json", "No such file"),
        ("convert keras model_config.json", "keras"),
        ("convert pythae model_config.json --kl 3", "give it with --loss"),
        ("convert pythae model_config.json --loss 3", "give the KL"),
        ("convert pythae model_config.json --loss 3 --kl 2 --validation", "--validation is about PyTorch-VAE"),
        ("convert pythae /dev/zero", "is larger than"),
        ("convert pythae model_config.json --rows 0", "--rows"),
        ("convert scvi model.pt", "is a pickle"),
    ],
)
def test_one_sentence(line: str, match: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert match in err


def test_it_needs_no_torch(file: str) -> None:
    import subprocess
    import sys

    code = f"import sys; from logpx import cli; cli.run(['convert', 'pythae', '{file}']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
