"""What old numbers mean: losses that Pythae itself printed, and formulas by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from logpx import convert
from logpx.errors import UserError

PRINTED: dict[str, Any] = json.loads((Path(__file__).parent / "pythae_losses.json").read_text())


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("name", ["VAE", "VAE bce", "BetaVAE"])
def test_pythaes_loss_is_our_elbo_of_the_same_outputs(name: str) -> None:
    printed = PRINTED[name]
    x, m, mu, log_var = (tensor(v) for v in (PRINTED["x"], *(printed[key] for key in ("m", "mu", "log_var"))))
    law = Bernoulli(probs=m, validate_args=False) if name == "VAE bce" else Normal(m, 1.0)
    kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1)
    elbo = (law.log_prob(x).sum(1) - kl).mean().item()
    found = convert.nats("pythae", printed["config"], printed["loss"], printed["kl"])
    assert found.low == found.high == pytest.approx(elbo, abs=1e-12)
    assert found.name == ("score" if name == "VAE bce" else "elbo")


@pytest.mark.parametrize("name", ["IWAE", "CIWAE"])
def test_the_value_that_pythae_prints_for_weights_brackets_the_bound(name: str) -> None:
    printed, log_w = PRINTED[name], tensor(PRINTED[name]["log_w"])
    share = printed["config"]["beta"] if name == "CIWAE" else 0.0
    constant, k = 6 / 2 * math.log(2 * math.pi), log_w.shape[1]
    bound = (1 - share) * (log_w.logsumexp(1) - math.log(k)) + share * log_w.mean(1)
    weights = log_w.softmax(1)
    value = -(share * log_w.mean(1) + (1 - share) * (weights * log_w).sum(1)).mean()
    assert value.item() == pytest.approx(printed["loss"], abs=1e-12)
    found = convert.nats("pythae", printed["config"], printed["loss"])
    truth = bound.mean().item() - constant
    assert found.low <= truth <= found.high
    assert found.high - found.low == pytest.approx((1 - share) * math.log(k))
    even = convert.nats(
        "pythae", printed["config"], 5.0 + constant
    )  # equal weights: log w = -5 - constant, all of it the low end
    assert even.low == pytest.approx(-5.0 - 2 * constant - (1 - share) * math.log(k))


def test_miwaes_weights_run_over_the_groups() -> None:
    """log w is (rows, M, K); what is printed is the softmax over M, so the bound's k is M."""
    log_w = tensor(PRINTED["MIWAE"]["log_w"])
    over = {axis: -(log_w.softmax(axis) * log_w).sum(axis).mean().item() for axis in (1, 2)}
    assert log_w.shape == (3, 3, 4)
    assert over[1] == pytest.approx(PRINTED["MIWAE"]["loss"], abs=1e-12)
    assert abs(over[2] - over[1]) > 1e-6


def test_pytorch_vaes_loss_divided_by_its_weight_is_an_elbo() -> None:
    """P = 12, w = 0.1, beta = 3: by hand at sigma^2 = w P / 2 = 0.6."""
    mean_error, kl, w, beta, P = 0.07, 2.5, 0.1, 3.0, 12
    settings = {
        "model_params": {"name": "BetaVAE", "loss_type": "H", "beta": beta, "in_channels": 3},
        "data_params": {"patch_size": 2},
        "exp_params": {"kld_weight": w},
    }
    truth = -(P * mean_error / (2 * 0.6) + P / 2 * math.log(2 * math.pi * 0.6) + kl)
    training = convert.nats("pytorch-vae", settings, mean_error + beta * w * kl, kl)
    validation = convert.nats(
        "pytorch-vae", settings, mean_error + beta * kl, -kl, validation=True
    )  # its sign is turned
    assert training.low == training.high == pytest.approx(truth)
    assert validation.low == pytest.approx(truth)
    settings["model_params"]["name"] = "VanillaVAE"
    assert convert.nats("pytorch-vae", settings, mean_error + w * kl).low == pytest.approx(truth)


def test_scvis_elbo_is_minus_its_column() -> None:
    assert convert.nats("scvi", {}, 1234.5)[:3] == (-1234.5, -1234.5, "elbo")


@pytest.mark.parametrize(
    ("tool", "settings", "match"),
    [
        ("pythae", {"name": "VAEConfig"}, "have no input_dim"),
        ("pythae", {"name": "BetaVAEConfig", "input_dim": [2], "beta": 2}, "give the KL that was printed beside it"),
        ("pythae", {"name": "WAE_MMD_Config", "input_dim": [2]}, "no bound on log p"),
        ("pytorch-vae", {"model_params": {"name": "IWAE"}}, "no bound on log p"),
        (
            "pythae",
            {"name": "VAEConfig", "input_dim": [-1, 28, 28]},
            "input_dim is -1 in the settings: it must be positive",
        ),
        ("pythae", {"name": "VAEConfig", "input_dim": [0]}, "input_dim is 0 in the settings: it must be positive"),
        ("pythae", {"name": "VAEConfig", "input_dim": [10**15] * 30}, "input_dim is 1000000.* a whole number"),
        ("pythae", {"name": "VAEConfig", "input_dim": [2], "reconstruction_loss": "l1"}, "it is one of mse, bce"),
        ("pythae", {"name": "IWAEConfig", "input_dim": [2], "reconstruction_loss": "l1"}, "it is one of mse, bce"),
        ("scvi", {"model": "TOTALVI"}, "only the elbo_ columns of SCVI are"),
        ("scvi", {"model": "a\nb"}, r"What 'a\\nb' prints"),
        ("keras", {}, "tool is 'keras'"),
    ],
)
def test_numbers_that_say_too_little_are_refused(tool: str, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        convert.nats(tool, settings, 3.0)
    with pytest.raises(UserError, match="loss is nan"):
        convert.nats(tool, settings, math.nan)


def test_what_says_nothing_of_a_tool_is_refused() -> None:
    with pytest.raises(UserError, match="--validation is about PyTorch-VAE"):
        convert.nats("pythae", {"name": "VAEConfig", "input_dim": [2]}, 3.0, validation=True)
    with pytest.raises(UserError, match="--validation is about PyTorch-VAE"):
        convert.nats("scvi", {}, 3.0, validation=True)
    with pytest.raises(UserError, match="--kl is not needed"):
        convert.nats("scvi", {}, 3.0, 1.0)


def test_a_validation_loss_needs_its_kl() -> None:
    with pytest.raises(UserError, match="weight 1 in a validation loss"):
        convert.nats("pytorch-vae", {"model_params": {"name": "VanillaVAE"}}, 3.0, validation=True)
