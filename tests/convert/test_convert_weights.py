"""The formulas behind converted settings: a tool's loss and ours are one function of the same numbers, up to scale."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from logpx import convert, maths

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


def distance(kind: str, z: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
    """A batch's MMD as PyTorch-VAE adds it up, for D = 4 and latent_var = 2: C = 2 D latent_var = 16; and averages of kernels.

    Its imq is the sum over i != j, one number, and the `mean()` it takes of that is that number; its rbf is a matrix
    of exp(-(|a - b|^2 / D) / C).
    """
    N, theirs, averages = len(z), torch.zeros((), dtype=z.dtype), torch.zeros((), dtype=z.dtype)
    for a, b, sign in ((prior, prior, 1), (z, z, 1), (prior, z, -2)):
        squares = [[(a[i] - b[j]).square().sum() for j in range(N)] for i in range(N)]
        if kind == "imq":
            k = [16 / (1e-7 + 16 + squares[i][j]) for i in range(N) for j in range(N) if i != j]
            theirs, averages = theirs + sign * sum(k), averages + sign * sum(k) / (N * (N - 1))
        else:
            k = [torch.exp(-squares[i][j] / 4 / 16) for i in range(N) for j in range(N)]
            theirs, averages = theirs + sign * sum(k) / N**2, averages + sign * sum(k) / N**2
    return theirs, averages


@pytest.fixture
def codes() -> list[tuple[Tensor, Tensor]]:
    """Three batches of 8 codes in 4 dimensions, each further from its draws of the prior."""
    g = torch.Generator().manual_seed(1)
    draw = torch.randn(2, 3, 8, 4, generator=g, dtype=torch.float64)
    return [(draw[0, i] + i, draw[1, i]) for i in range(3)]


@pytest.mark.parametrize("kind", ["imq", "rbf"])
def test_info_vaes_three_weights(
    kind: str, some: tuple[Tensor, Tensor, Tensor], codes: list[tuple[Tensor, Tensor]]
) -> None:
    x, m, kl = some
    N, more = 8, {"alpha": -9.0, "beta": 10.5, "reg_weight": 110, "kernel_type": kind, "train_batch_size": 8}
    found = convert.convert("pytorch-vae", config("InfoVAE", **more)).options
    theirs, ours = zip(*(distance(kind, *c) for c in codes), strict=True)
    error = (x - m).square().mean()
    their = 10.5 * error + 10 * 0.003 * kl + (-9 + 110 - 1) / (N * (N - 1)) * torch.stack(theirs)
    alpha, lam = found["alpha"], found["lam"]
    our = gaussian(x, m, found["sigma"]) + (1 - alpha) * kl + (alpha + lam - 1) * torch.stack(ours)
    assert ((our[1:] - our[0]) / (their[1:] - their[0])).tolist() == pytest.approx([1 / 0.003] * 2)
    shift = gaussian(x, torch.zeros(()), found["sigma"]) - gaussian(x, m, found["sigma"])
    assert shift.item() == pytest.approx(10.5 * (x.square().mean() - error).item() / 0.003)


@pytest.mark.parametrize("kind", ["imq", "rbf"])
def test_a_penalty_beside_a_mean_over_pixels(
    kind: str, some: tuple[Tensor, Tensor, Tensor], codes: list[tuple[Tensor, Tensor]]
) -> None:
    x, m, _ = some
    N, more = 8, {"reg_weight": 100, "kernel_type": kind, "train_batch_size": 8}
    found = convert.convert("pytorch-vae", config("WAE_MMD", **more)).options
    theirs, ours = zip(*(distance(kind, *c) for c in codes), strict=True)
    their = (x - m).square().mean() + 100 / (N * (N - 1)) * torch.stack(theirs)
    our = gaussian(x, m, found["sigma"]) + found["lam"] * torch.stack(ours)
    assert ((our[1:] - our[0]) / (their[1:] - their[0])).tolist() == pytest.approx([P / 2] * 2)


def test_imqs_sum_over_its_pairs_is_the_unbiased_distance(codes: list[tuple[Tensor, Tensor]]) -> None:
    """Ours with one scale, C = 2 D latent_var, and equal rows left out of the crossed term as there."""
    z, prior = codes[1]
    theirs, _ = distance("imq", z, prior)
    k = 16 / (16 + maths.squared_distances(prior, z))
    crossed = (k.sum() - k.diagonal().sum()) / 56
    ours = maths.mmd2(prior, z, lambda squares: 16 / (16 + squares)) + 2 * k.mean() - 2 * crossed
    assert (theirs / 56).item() == pytest.approx(ours.item(), rel=1e-6)  # their 1e-7 beside C


def test_the_published_penalty_is_a_hundred_whatever_the_batch() -> None:
    """configs/wae_mmd_imq.yaml: 100 P / 2 at 3 x 64 x 64; InfoVAE's defaults: (alpha + reg - 1) / w = 98.5 / 0.00025."""
    for batch in (2, 64, 144):
        sizes = {"data_params": {"train_batch_size": batch}}
        wae = convert.convert("pytorch-vae", {"model_params": {"name": "WAE_MMD"}} | sizes)
        assert wae.options["lam"] == pytest.approx(614_400)
        assert (wae.options["kernel"], wae.options["encoder"]) == ("imq", "deterministic")
        note = next(note for note in wae.notes if note.setting == "kernel_type")
        assert (note.value, note.given) == ("imq", False)
        info = convert.convert("pytorch-vae", {"model_params": {"name": "InfoVAE"}} | sizes).options
        assert info["alpha"] + info["lam"] - 1 == pytest.approx(394_000)
        assert info["kernel"] == "imq"


def test_the_first_years_names_of_sizes_are_read() -> None:
    """exp_params of those configs: img_size, batch_size; a default of today does not hide them."""
    model = {"name": "WAE_MMD", "kernel_type": "rbf", "in_channels": 1}
    found = convert.convert("pytorch-vae", {"model_params": model, "exp_params": {"img_size": 10, "batch_size": 5}})
    assert found.options["lam"] == pytest.approx(100 / (5 * 4) * 100 / 2)
    assert found.options["batch_size"] == 5


def test_a_distance_that_infovae_rewards_is_not_converted() -> None:
    found = convert.convert("pytorch-vae", config("InfoVAE", alpha=-9.0, reg_weight=3.0))
    assert "lam" not in found.options
    assert "-7" in next(note.says for note in found.notes if note.setting == "reg_weight")


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


def test_a_scvi_split_is_a_share() -> None:
    assert convert.convert("scvi", {"train_size": 1}).options["held_out"] == 0
    assert convert.convert("scvi", {"train_size": 0.75}).options["held_out"] == 0.25
