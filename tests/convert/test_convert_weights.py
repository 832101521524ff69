"""The formulas behind converted settings: a tool's loss and ours are one function of the same numbers, up to scale."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from logpx import convert

P = 3 * 16 * 16


def config(model: str, **more: object) -> dict[str, dict[str, object]]:
    return {
        "model_params": {"name": model, "in_channels": 3, "latent_dim": 4} | more,
        "data_params": {"patch_size": 16, "train_batch_size": 64},
        "exp_params": {"kld_weight": 0.003},
    }


def gaussian(x: Tensor, m: Tensor, sigma: float) -> Tensor:
    return -Normal(m, sigma).log_prob(x).sum(1).mean()


@pytest.fixture
def some() -> tuple[Tensor, Tensor, Tensor]:
    """x, m (64, P) and a KL for each of three models."""
    g = torch.Generator().manual_seed(0)
    draw = torch.rand(2, 64, P, generator=g, dtype=torch.float64)
    return draw[0], draw[1], torch.tensor([3.0, 7.0, 20.0], dtype=torch.float64)


def test_the_weight_of_a_mean_over_pixels_is_a_sigma(some: tuple[Tensor, Tensor, Tensor]) -> None:
    """Differences between KLs cost the same: d loss / d KL over d loss / d squared error agree."""
    x, m, kl = some
    sigma = convert.convert("pytorch-vae", config("VanillaVAE")).options["sigma"]
    theirs = torch.stack([(x - m).square().mean() + 0.003 * k for k in kl] + [x.square().mean() + 0.003 * kl[0]])
    ours = torch.stack([gaussian(x, m, sigma) + k for k in kl] + [gaussian(x, torch.zeros(()), sigma) + kl[0]])
    slope = (ours[1:] - ours[0]) / (theirs[1:] - theirs[0])
    torch.testing.assert_close(slope, torch.full((3,), 1 / 0.003, dtype=torch.float64))
    assert sigma**2 == pytest.approx(0.003 * P / 2)


def test_the_note_says_the_beta_that_it_was() -> None:
    """The published configuration: 3 x 64 x 64, w = 0.00025."""
    settings = {"model_params": {"name": "VanillaVAE", "in_channels": 3}, "exp_params": {"kld_weight": 0.00025}}
    found = convert.convert("pytorch-vae", settings)
    note = next(note for note in found.notes if note.setting == "kld_weight")
    assert "which is beta = 1.536 at sigma = 1" in note.says
    assert "validation there takes w = 1, a beta of 6144" in note.says
    assert found.options["sigma"] ** 2 == pytest.approx(1.536)


def test_info_vaes_three_weights(some: tuple[Tensor, Tensor, Tensor]) -> None:
    x, m, kl = some
    found = convert.convert("pytorch-vae", config("InfoVAE", alpha=-9.0, beta=10.5, reg_weight=110)).options
    error, mmd = (x - m).square().mean(), torch.tensor([0.1, 0.5, 0.7], dtype=torch.float64)
    theirs = 10.5 * error + 10 * 0.003 * kl + (-9 + 110 - 1) / (64 * 63) * mmd
    alpha, lam = found["alpha"], found["lam"]
    ours = gaussian(x, m, found["sigma"]) + (1 - alpha) * kl + (alpha + lam - 1) * mmd
    assert ((ours[1:] - ours[0]) / (theirs[1:] - theirs[0])).tolist() == pytest.approx([1 / 0.003] * 2)
    shift = gaussian(x, torch.zeros(()), found["sigma"]) - gaussian(x, m, found["sigma"])
    assert shift.item() == pytest.approx(10.5 * (x.square().mean() - error).item() / 0.003)


def test_a_penalty_beside_a_mean_over_pixels(some: tuple[Tensor, Tensor, Tensor]) -> None:
    x, m, mmd = some
    found = convert.convert("pytorch-vae", config("WAE_MMD", reg_weight=100)).options
    theirs = (x - m).square().mean() + 100 / (64 * 63) * mmd
    ours = gaussian(x, m, found["sigma"]) + found["lam"] * mmd
    assert ((ours[1:] - ours[0]) / (theirs[1:] - theirs[0])).tolist() == pytest.approx([P / 2] * 2)


def test_the_whole_squared_error_is_a_variance_of_one_half(some: tuple[Tensor, Tensor, Tensor]) -> None:
    x, m, mmd = some
    settings = {"name": "WAE_MMD_Config", "reg_weight": 3.0, "reconstruction_loss_scale": 2.0}
    found = convert.convert("pythae", settings).options
    theirs = 2.0 * (x - m).square().sum(1).mean() + 3.0 * mmd
    ours = gaussian(x, m, found["sigma"]) + found["lam"] * mmd
    constant = P / 2 * math.log(2 * math.pi * found["sigma"] ** 2)
    torch.testing.assert_close(ours, theirs + constant)


def test_epochs_become_steps_where_rows_are_known() -> None:
    vamp = {"name": "VAMPConfig", "linear_scheduling_steps": 10, "per_device_train_batch_size": 64}
    assert convert.convert("pythae", vamp, rows=1000).options["warmup"] == 10 * 16  # 15 full batches and a short one
    silent = convert.convert("pythae", vamp)
    assert "warmup" not in silent.options
    assert "--rows" in next(note.says for note in silent.notes if note.setting == "linear_scheduling_steps")
    cells = convert.convert("scvi", {"batch_size": 100}, rows=90_000).options
    assert cells["epochs"] == 80  # min(400, 400 * 20,000 / 100,000 cells)
    assert cells["warmup"] == 400 * 900  # five times as long as the run


def test_groups_and_samples_change_places() -> None:
    found = convert.convert("pythae", {"name": "MIWAEConfig", "number_samples": 8, "number_gradient_estimates": 3})
    assert (found.options["groups"], found.options["samples"]) == (8, 3)


def test_a_rewarded_distance_is_not_converted() -> None:
    found = convert.convert("pythae", {"name": "INFOVAE_MMD_Config", "alpha": 0, "lbd": 1e-3})
    assert "lam" not in found.options
    assert "-0.999" in next(note.says for note in found.notes if note.setting == "lbd")
    assert convert.convert("pythae", {"name": "INFOVAE_MMD_Config", "alpha": 0, "lbd": 10}).options["lam"] == 10


def test_scvis_likelihoods() -> None:
    laws = {"nb": "negative_binomial", "poisson": "poisson", "zinb": "negative_binomial"}
    for theirs, ours in laws.items():
        found = convert.convert("scvi", {"non_kwargs": {"gene_likelihood": theirs, "n_layers": 2, "n_hidden": 64}})
        assert (found.options["likelihood"], found.options["hidden"]) == (ours, (64, 64))
        verdict = next(note.verdict for note in found.notes if note.setting == "gene_likelihood")
        assert verdict == ("no counterpart" if theirs == "zinb" else "other meaning")
