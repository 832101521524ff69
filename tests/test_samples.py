"""Samples: means and draws from the prior, laid out as a picture, written whole or not at all."""

import errno
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.distributions import Independent, Normal

from logpx import exact, posteriors, priors, recipes
from logpx.data import Spec, load
from logpx.errors import UserError
from logpx.model import VAE
from logpx.networks import Curvature
from logpx.samples import (
    Words,
    contexts,
    draw_samples,
    enlarged,
    interpolate,
    nine_digits,
    rounded,
    tile,
    traverse,
    write_samples,
)


def binary() -> VAE:
    return recipes.vae(Spec((1, 4, 4), "binary"), latent=2, hidden=(8,)).model


def test_the_seed_decides_and_the_global_state_is_left_alone() -> None:
    model, before = binary(), torch.get_rng_state()
    a, b, c = (draw_samples(model, 5, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (5, 1, 4, 4)
    assert model.training
    assert not a.requires_grad


def test_means_are_means_and_draws_are_draws() -> None:
    model = binary()
    means, draws = draw_samples(model, 200), draw_samples(model, 200, draw=True)
    assert ((means > 0) & (means < 1)).all()
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert (draws.mean() - means.mean()).abs() < 0.05  # the same z, 3200 pixels: s.e. 0.009


def test_draws_have_the_law_of_the_model() -> None:
    """pPCA: x ~ N(mu, W W^T + s^2 I), so the covariance of many draws is known; of the means it lacks s^2 I."""
    W = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.5]]).double()
    mu, s2 = torch.tensor([1.0, -1.0, 0.0]).double(), torch.tensor(0.25).double()
    model = exact.ppca.as_vae(exact.ppca.PPCA(W, mu, s2), (3,))
    draws, means = draw_samples(model, 40_000, draw=True), draw_samples(model, 40_000)
    torch.testing.assert_close(draws.mean(0), mu, rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(draws.T), W @ W.T + s2 * torch.eye(3).double(), rtol=0, atol=0.12)
    torch.testing.assert_close(torch.cov(means.T), W @ W.T, rtol=0, atol=0.12)


def test_what_cannot_be_sampled() -> None:
    with pytest.raises(UserError, match="at least one"):
        draw_samples(binary(), 0)
    model = binary()
    model.prior = None
    with pytest.raises(UserError, match="cannot sample"):
        draw_samples(model, 3)
    grey = recipes.vae(Spec((4,), "grey"), latent=2, hidden=(8,), likelihood="grey").model
    with pytest.raises(UserError, match="no density"):
        draw_samples(grey, 3, draw=True)
    assert draw_samples(grey, 3).shape == (3, 4)


def test_a_sheet_of_images() -> None:
    x = torch.zeros(5, 3, 2, 4)
    x[0, 0], x[4, 2], x[3] = 1.0, 0.5, 7.0
    sheet = tile(x)
    assert sheet.shape == (2 * 3 + 1, 3 * 5 + 1, 3)
    assert sheet.dtype == np.uint8
    assert (sheet[1:3, 1:5] == [255, 0, 0]).all()
    assert (sheet[4:6, 6:10] == [0, 0, 128]).all()
    assert (sheet[4:6, 1:5] == 255).all()  # 7 is clamped
    assert (sheet[[0, 3, 6]] == 255).all()  # the gaps
    assert (sheet[4:6, 11:15] == 255).all()  # no sixth image
    assert tile(x, columns=5, gap=0).shape == (2, 20, 3)


def test_png(tmp_path: Path) -> None:
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        x = torch.rand(4, channels, 3, 3)
        write_samples(tmp_path / "x.png", x)
        with Image.open(tmp_path / "x.png") as image:
            assert (image.mode, image.format) == (mode, "PNG")
            assert np.array_equal(np.asarray(image).reshape(87, 87, channels), tile(enlarged(x)))


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    x = torch.rand(2, 3, 8, 6)
    large = enlarged(x)
    assert large.shape == (2, 3, 56, 42)
    assert torch.equal(large[..., ::7, ::7], x)
    assert torch.equal(large[..., 6::7, 6::7], x)
    assert torch.equal(enlarged(torch.ones(1, 1, 50, 40)), torch.ones(1, 1, 50, 40))


def test_npy_keeps_every_bit(tmp_path: Path) -> None:
    x = torch.randn(4, 1, 3, 3)
    write_samples(tmp_path / "x.npy", x)
    assert np.array_equal(np.load(tmp_path / "x.npy"), x.numpy())


@pytest.mark.parametrize("columns", [None, ["width", "height"]])
def test_csv_can_be_loaded_again(tmp_path: Path, columns: list[str] | None) -> None:
    x = torch.randn(30, 2)
    write_samples(tmp_path / "x.csv", x, Words(columns))
    again = load(tmp_path / "x.csv", held_out=0, test=0)
    assert again.columns == tuple(columns or ["x0", "x1"])
    assert torch.equal(again.train.x(), x)  # nine digits are a float32


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("x.gif", "written as .png, .npy, .csv"),
        ("x", "written as"),
        ("no/x.csv", "no folder"),
        ("x.png", "no pictures"),
    ],
)
def test_refused(tmp_path: Path, name: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        write_samples(tmp_path / name, torch.randn(4, 2))
    assert list(tmp_path.iterdir()) == []


def test_two_channels_are_no_picture(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures"):
        write_samples(tmp_path / "x.png", torch.rand(4, 2, 3, 3))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_samples(tmp_path / "x.csv", torch.zeros(2, 2))
    before = (tmp_path / "x.csv").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_samples(tmp_path / "x.csv", torch.ones(2, 2))
    assert (tmp_path / "x.csv").read_bytes() == before
    assert os.listdir(tmp_path) == ["x.csv"]


# --- contexts and categories ------------------------------------------------------------------------------------------

ABOUT = {
    "conditions": [["kind", "categorical", 3, 0.0, 1.0]],
    "categories": {"kind": ["a", "b", "c", "only in the test rows"]},
}


def test_classes_come_in_turn_or_as_given():
    context, says = contexts(ABOUT, 5)
    assert says == {"kind": ["a", "b", "c", "a", "b"]}
    assert context.argmax(1).tolist() == [0, 1, 2, 0, 1]
    for given in ("b", "kind=b"):
        context, says = contexts(ABOUT, 2, given)
        assert says == {"kind": ["b", "b"]}
        assert torch.equal(context, torch.eye(3)[[1, 1]])
    assert contexts({}, 5) == (None, {})
    with pytest.raises(UserError, match="kind 'only in the test rows' is not one of a, b, c"):
        contexts(ABOUT, 2, "only in the test rows")


def test_samples_depend_on_the_context_and_one_serves_all():
    from logpx import recipes
    from logpx.data import Spec

    model = recipes.conditional_vae(Spec((4,), "real", context=3), latent=2, hidden=(8,)).model
    rows = torch.eye(3)
    made = draw_samples(model, 3, context=rows)
    assert torch.equal(draw_samples(model, 3, context=rows[1:2])[1], made[1])
    assert not torch.equal(draw_samples(model, 3, context=rows[1:2])[0], made[0])


def test_csv_names_categories_and_keeps_doubles(tmp_path):
    words = Words(["n", "kind"], [None, ["a", "b"]], {"given": ["u", "v"]})
    x = torch.tensor([[0.1, 1.0], [1 / 3, 0.0]], dtype=torch.float64)
    write_samples(tmp_path / "x.csv", x, words)
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines == ["n,kind,given", "0.1,b,u", f"{1 / 3!r},a,v"]


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, float("nan")])
def test_what_is_no_code_of_a_category_is_a_bug_and_not_truncated(tmp_path, value):
    with pytest.raises(ValueError, match="no code of 2 categories"):
        write_samples(tmp_path / "x.csv", torch.tensor([[value]]), Words(["kind"], [["a", "b"]]))
    assert list(tmp_path.iterdir()) == []


def test_contexts_of_no_samples_are_refused_first():
    with pytest.raises(UserError, match="0 samples: ask for at least one"):
        contexts(ABOUT, 0)


def test_a_given_value_may_hold_commas():
    about = {
        "conditions": [["city", "categorical", 2, 0.0, 1.0], ["age", "real", None, 40.0, 10.0]],
        "categories": {"city": ["Oslo", "Paris, France"]},
    }
    context, says = contexts(about, 1, "city=Paris, France,age=50")
    assert says == {"city": ["Paris, France"], "age": ["50"]}
    assert context.tolist() == [[0.0, 1.0, 1.0]]
    with pytest.raises(UserError, match="this model is given city"):
        contexts(about, 1, "city=Oslo,age=50,age=51")


def test_imputed_counts_and_binary_values_are_rounded_and_nothing_else():
    about = {
        "kind": "mixed",
        "column_kinds": [[name, name] for name in ("integer", "binary", "real", "grey")],
        "categories": {},
    }
    x = torch.tensor([[2.6, 0.4, 2.6, 0.6], [-0.3, 0.7, -0.3, 0.4]])
    assert torch.equal(rounded(x, about), torch.tensor([[3.0, 0.0, 2.6, 0.6], [0.0, 1.0, -0.3, 0.4]]))
    assert torch.equal(rounded(x, {"kind": "integer"}), torch.tensor([[3.0, 0.0, 3.0, 1.0], [0.0, 1.0, 0.0, 0.0]]))
    assert torch.equal(rounded(x, {"kind": "real"}), x)


def test_nine_digits_are_those_of_a_float():
    x = torch.tensor([45.423728942871094, 1e-12, -1 / 3])
    assert nine_digits(x).tolist() == [45.4237289, float(f"{x[1].item():.9g}"), -0.333333343]
    assert torch.equal(nine_digits(x).float(), x)


# --- along geodesics -------------------------------------------------------------------------------------------------


class ItsMean(nn.Module):
    """N(h, 1), so that E[x|z] is what the decoder says."""

    def forward(self, h: torch.Tensor) -> Independent:
        return Independent(Normal(h, 1.0), 1)


class Beside(nn.Module):
    """A decoder that says z, and the context behind it."""

    def forward(self, z: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return z if context is None else torch.cat([z, context], -1)


def shown(posterior: nn.Module, prior: nn.Module | None = None) -> VAE:
    """A model with E[x|z] = z."""
    encoder = nn.Linear(3, posterior.size)
    model = VAE(encoder=encoder, posterior=posterior, prior=prior, decoder=Beside(), likelihood=ItsMean())
    return model.double()


def mixed() -> VAE:
    """e2, a hyperboloid of two dimensions and the unit circle; z has 2 + 3 + 2 numbers."""
    h = posteriors.WrappedNormal(2, Curvature(-2.0), ambient=True)
    return shown(posteriors.Product([posteriors.DiagNormal(2), h, posteriors.VonMisesFisher(1)]))


def test_the_way_between_latents_is_straight_where_they_are_flat() -> None:
    a, b = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, -2.0], [1.0, 1.0]])
    model = shown(posteriors.DiagNormal(2))
    x = interpolate(model, a, b, 5)
    assert x.shape == (2, 5, 2)
    t = torch.linspace(0, 1, 5).double()[:, None]
    torch.testing.assert_close(x[0], (1 - t) * a[0] + t * b[0])
    torch.testing.assert_close(interpolate(model, a[1], b[1], 5), x[1])
    assert model.training


def test_the_way_between_latents_is_an_arc_on_a_sphere() -> None:
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 0.5, 0.0])  # put onto the sphere first
    x = interpolate(shown(posteriors.VonMisesFisher(2)), a, b, 4)
    angle = torch.linspace(0, math.pi / 2, 4, dtype=torch.float64)
    torch.testing.assert_close(x, torch.stack([angle.cos(), angle.sin(), 0 * angle], -1), rtol=0, atol=1e-12)


def test_the_way_through_a_product_is_each_part_s_own() -> None:
    circle = lambda angle: [math.cos(angle), math.sin(angle)]  # noqa: E731
    line = lambda d: [math.cosh(d * 2**0.5) / 2**0.5, math.sinh(d * 2**0.5) / 2**0.5, 0.0]  # noqa: E731
    a = torch.tensor([0.0, 1.0, *line(-0.5), *circle(3.0)], dtype=torch.float64)
    b = torch.tensor([1.0, 1.0, *line(0.7), *circle(3.6)], dtype=torch.float64)
    x = interpolate(mixed(), a, b, 5)
    quarter = torch.tensor([0.25, 1.0, *line(-0.2), *circle(3.15)], dtype=torch.float64)
    torch.testing.assert_close(x[1], quarter, rtol=1e-12, atol=1e-12)


def test_walks_go_in_every_direction_of_every_part() -> None:
    circle = lambda angle: [math.cos(angle), math.sin(angle)]  # noqa: E731
    origin = [0.5**0.5, 0.0, 0.0]
    z = torch.tensor([1.0, 2.0, *origin, *circle(1.0)], dtype=torch.float64)
    lengths = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64)
    x = traverse(mixed(), z, lengths)
    assert x.shape == (5, 3, 7)
    torch.testing.assert_close(x[:, 1], z.expand(5, -1), rtol=0, atol=1e-14)
    assert x[1, 2, :2].tolist() == [1.0, 2.5]
    far = [math.cosh(0.5 * 2**0.5) / 2**0.5, math.sinh(0.5 * 2**0.5) / 2**0.5]
    torch.testing.assert_close(x[2, 2, 2:5], torch.tensor([far[0], far[1], 0.0]).double(), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(x[3, 2, 2:5], torch.tensor([far[0], 0.0, far[1]]).double(), rtol=1e-7, atol=1e-7)
    ends = torch.tensor([circle(0.5), circle(1.5)], dtype=torch.float64)
    torch.testing.assert_close(x[4, ::2, 5:].sort(0).values, ends.sort(0).values, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(x[4, :, :5], z[:5].expand(3, -1), rtol=0, atol=1e-14)  # the other parts stay


def test_contexts_go_along() -> None:
    model, c = shown(posteriors.DiagNormal(1)), torch.tensor([[7.0], [8.0]])
    x = interpolate(model, torch.zeros(2, 1), torch.ones(2, 1), 3, context=c)
    assert x[..., 1].tolist() == [[7.0] * 3, [8.0] * 3]
    assert traverse(model, torch.zeros(1), torch.ones(4), context=c[:1])[..., 1].tolist() == [[7.0] * 4]


def test_one_way_has_one_context_and_a_wrong_number_of_ends_or_contexts_is_said_in_a_sentence() -> None:
    model = shown(posteriors.DiagNormal(1))
    x = interpolate(model, torch.zeros(1), torch.ones(1), 3, context=torch.full((1, 1), 7.0))
    assert x[:, 1].tolist() == [7.0] * 3
    for pairs, context in (((4, 3), None), ((2, 2), torch.zeros(3, 1)), ((2, 2), torch.zeros(1))):
        with pytest.raises(UserError, match=r"two ends|context has shape"):
            interpolate(model, torch.zeros(pairs[0], 1), torch.zeros(pairs[1], 1), 3, context=context)


def test_a_walk_puts_every_part_onto_its_space() -> None:
    """Length 0 is one point, whichever direction is walked in."""
    off = torch.tensor([0.3, -0.2, 5.0, 0.4, 0.1, 3.0, 4.0])
    x = traverse(mixed(), off, torch.zeros(1))
    torch.testing.assert_close(x, x[:1].expand_as(x))


def test_latents_that_are_none_are_refused() -> None:
    model = shown(posteriors.DiagNormal(2))
    with pytest.raises(UserError, match="at least two"):
        interpolate(model, torch.zeros(2), torch.zeros(2), 1)
    with pytest.raises(UserError, match=r"shape \(2,\)"):
        interpolate(model, torch.zeros(3), torch.zeros(2))
    with pytest.raises(UserError, match="the one latent"):
        traverse(model, torch.zeros(4, 2), torch.ones(3))


def test_draws_of_curved_models_are_of_their_prior() -> None:
    """E[x|z] = z here: on the unit sphere and uniform; on the ball |to_frame(0, z)| is that of the prior's normal law."""
    x = draw_samples(shown(posteriors.VonMisesFisher(2), priors.UniformSphere(2)), 4000)
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(4000).double(), rtol=1e-12, atol=0)
    assert x.mean(0).abs().max() < 4 / math.sqrt(3 * 4000)
    kappa = Curvature(-1.0)
    x = draw_samples(shown(posteriors.WrappedNormal(2, kappa), priors.WrappedNormal(2, kappa, 0.5)), 4000)
    r2 = (2 * x.norm(dim=-1).atanh()).square() / 0.25  # chi squared with two degrees of freedom
    assert abs(r2.mean().item() - 2) < 4 * 2 / math.sqrt(4000)
