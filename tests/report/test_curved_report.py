"""The report of curved latent spaces: maps in the charts of their geometry, geodesics, KL by part."""

import base64
import io
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import Independent, Normal, kl_divergence

from logpx import report
from logpx.data import from_array, load
from logpx.distributions import ProductOf, WrappedNormal
from logpx.distributions.wrapped import kl_at_one_mean
from logpx.recipes import hyperspherical_vae, mixed_curvature_vae, poincare_vae, vae
from logpx.report import charts, curved, geodesics, maps, pictures
from logpx.subject import Subject
from logpx.train import fit

NAN = re.compile(r"\bnan\b")


def images(n=40, **options):
    x = np.random.default_rng(0).random((n, 1, 6, 6)).astype(np.float32)
    return from_array(x, kind="grey", **({"labels": np.arange(n) % 3, "name": "tiny", "test": 0.4} | options))


def subject(recipe, data=None, out=None, **options):
    data = images() if data is None else data
    run = fit(recipe(data, hidden=(8,), **options), data, epochs=1, out=out, show=False)
    run.model.eval().requires_grad_(False)
    return Subject(run, data, None)


def headings(path):
    return re.findall(r"<h2>(.*?)</h2>", path.read_text(encoding="utf-8"))


def written(s, folder):
    path = report.write(s.run, s.data, to=folder)
    for file in (folder / "figures").glob("*.svg"):
        text = file.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert not NAN.search(text)
    return path, {file.name for file in (folder / "figures").iterdir()}


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def tile_of(sheet, row, column, pitch=None, left=None, side=36):
    """The 6 by 6 picture at a place of a sheet with `side` pixels a tile, brightness in [0, 1]."""
    x = column * pitch if left is None else left
    k = side // 6
    return sheet[row * pitch : row * pitch + side : k, x : x + side : k, 0] / 255


def decoded(s, z):
    return s.run.model.decode(z.float()).mean[0, 0].numpy()


# --- maps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["wrapped", "riemannian"])
def test_a_hyperbolic_plane_is_a_disk(law, tmp_path):
    s = subject(poincare_vae, out=tmp_path / "run", latent=2, law=law)
    path, files = written(s, tmp_path / "page")
    assert {"latents.svg", "decoded.svg", "between.png"} <= files
    assert "Latent space" in headings(path)
    assert "Who is at work in z" not in headings(path)
    assert "walks.png" not in files
    drawn = (tmp_path / "page/figures/latents.svg").read_text()
    assert "κ = −0.70" in path.read_text()
    x, y = maps.disk_map()[:2]
    radius = math.tanh(0.7**0.5 / 2)  # of one standard deviation, at distance 1
    ring = re.search(r'd="([^"]*)" class="ring"', drawn)[1]
    spots = torch.tensor([[float(v) for v in p.split()] for p in re.split("[ML]", ring)[1:]])
    u = torch.stack([(spots[:, 0] - x(0)) / (x(1) - x(0)), (spots[:, 1] - y(0)) / (y(1) - y(0))], 1)
    found = u.norm(dim=1)
    assert found[:181].sub(radius).abs().max() < 2e-3
    assert found[181:].sub(math.tanh(0.7**0.5)).abs().max() < 2e-3
    assert len(found) == 2 * 181


def test_the_mosaic_of_a_disk_lies_where_its_latents_do(tmp_path):
    s = subject(poincare_vae, latent=2, curvature=2.0, scale=1.0)
    section = curved.latent_maps(s)
    drawn = next(p.content for p in section.pictures if p.file == "decoded.svg")
    uri, x, y, width, height = re.search(
        r'base64,([^"]*)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', drawn
    ).groups()
    sheet, chart = pixels(base64.b64decode(uri)), maps.disk_map()
    side, n = 7 * 6, 20  # 40 pixels a tile are seven for each of its six, and a gap of ten
    pitch = side + 10
    assert sheet.shape[:2] == (n * pitch - 10, n * pitch - 10)
    scale = float(width) / sheet.shape[1]
    assert float(height) == pytest.approx(float(width))
    for row, column in ((4, 13), (15, 6)):
        tile = tile_of(sheet, row, column, pitch, side=side)
        across = float(x) + (column * pitch + side / 2) * scale
        down = float(y) + (row * pitch + side / 2) * scale
        u = torch.tensor(
            [[(across - chart.x(0)) / (chart.x(1) - chart.x(0)), (down - chart.y(0)) / (chart.y(1) - chart.y(0))]]
        )
        assert np.abs(tile - decoded(s, u / 2**0.5)).max() < 3e-3
    assert sheet[0, 0, 1] == 0  # the corners are transparent


def test_the_mosaic_of_a_sphere_is_hammer_s(tmp_path):
    s = subject(hyperspherical_vae, latent=2)
    files = {p.file: p.content for p in curved.latent_maps(s).pictures}
    uri = re.search(r'base64,([^"]*)"', files["decoded.svg"])[1]
    sheet = pixels(base64.b64decode(uri))
    pitch, row, column = 7 * 6 + 10, 3, 16
    xy = torch.tensor([[((column + 0.5) / 24 * 2 - 1) * 2, 1 - (row + 0.5) / 12 * 2]]) / curved.FIT
    assert np.abs(tile_of(sheet, row, column, pitch, side=42) - decoded(s, maps.from_hammer(xy))).max() < 3e-3


def test_the_means_on_a_sphere_lie_on_it_and_are_decoded_there():
    s = subject(hyperspherical_vae, latent=2)
    torch.testing.assert_close(s.means.norm(dim=1), torch.ones(len(s.means)), rtol=1e-5, atol=0)
    q = s.run.model.encode(s.batch)
    assert torch.equal(s.means, q.mu)
    torch.testing.assert_close(s.reconstructions, s.run.model.decode(q.mu).mean)


def test_a_circle_is_a_ring(tmp_path):
    path, files = written(subject(hyperspherical_vae, latent=1), tmp_path)
    assert {"latents.svg", "decoded.svg"} <= files
    assert "z</i> lies on a circle, κ = 1.00" in path.read_text()
    assert (tmp_path / "figures/decoded.svg").read_text().count("<image") == 20


def test_a_curved_line_is_drawn_by_distance(tmp_path):
    s = subject(poincare_vae, latent=1)
    path, files = written(s, tmp_path)
    assert "latent-0.svg" in files
    assert headings(path).count("Latent space") == 1


def test_a_product_has_a_map_for_each_plane_and_a_bar_for_each_part(tmp_path):
    s = subject(mixed_curvature_vae, signature="e2,h2,s2,u2,h3,s1,e1")
    path, files = written(s, tmp_path)
    page = path.read_text(encoding="utf-8")
    assert {f"latents-{i}.svg" for i in (1, 2, 3, 4, 6)} == {f for f in files if f.startswith("latents-")}
    assert {f"walks-{i}.png" for i in range(1, 8)} <= files
    titles = re.findall(r"<h3>(Part.*?)</h3>", page)
    assert titles[:3] == ["Part 1: plane", "Part 2: hyperbolic plane, κ = −1.00", "Part 3: sphere, κ = 1.00"]
    assert titles[3].startswith("Part 4: ")  # where its curvature went
    assert titles[4:] == ["Part 6: circle, κ = 1.00"]
    assert "Weakly curved" in page
    assert headings(path)[-2] == "Who is at work in z"
    assert page.count('class="whisker"') == 7
    assert "hyperbolic space of 3 dimensions" in page


def test_points_of_a_plane_have_a_polar_mesh(tmp_path):
    s = subject(hyperspherical_vae, load("pinwheel", held_out=0.1, test=100), latent=2)
    shown = {p.file: p.content for p in curved.latent_maps(s).pictures}
    assert shown["decoded.svg"].count("M") > 30
    assert 'class="mesh"' in shown["decoded.svg"]


def test_the_film_of_a_disk_has_its_rim(tmp_path):
    rim = pictures.animation(torch.zeros(3, 2, 2), ["", "", ""], None, ((-1.02, 1.02), (-1.02, 1.02)), 1.0)[1]
    none = pictures.animation(torch.zeros(3, 2, 2), ["", "", ""], None, ((-1.02, 1.02), (-1.02, 1.02)))[1]
    middle = pictures.SIZE // 2
    edge = round(middle * (1 - 1 / 1.02))
    assert pixels(rim)[middle, edge - 2 : edge + 3, 3].max() > 100
    assert pixels(none)[middle, edge - 2 : edge + 3, 3].max() == 0


# --- geodesics -------------------------------------------------------------------------------------------------------


def test_the_way_from_one_row_to_another_is_slerp_on_a_sphere():
    s = subject(hyperspherical_vae, latent=2)
    (picture,) = geodesics.between(s).pictures
    sheet, side = pixels(picture.content), 84
    a, b = s.means[2:3].double(), s.means[3:4].double()
    omega = (a * b).sum(-1, keepdim=True).acos()
    for step in (0, 4, 6):
        t = step / 8
        z = (((1 - t) * omega).sin() * a + (t * omega).sin() * b) / omega.sin()
        left = (1 + step) * 90 + 24
        tile = tile_of(sheet, 1, 0, 90, left, side)
        assert np.abs(tile - decoded(s, z)).max() < 3e-3
    assert np.abs(tile_of(sheet, 1, 0, 90, 0, side) - s.x[2, 0].numpy()).max() < 3e-3
    assert np.abs(tile_of(sheet, 1, 0, 90, 10 * 90 + 48, side) - s.x[3, 0].numpy()).max() < 3e-3
    assert sheet[:, 84:114, 1].max() == 0  # beside the data the gap is wider


def test_where_it_is_flat_the_way_is_straight():
    s = subject(vae, latent=3)
    section = geodesics.between(s)
    assert "straight line" in section.html
    sheet = pixels(section.pictures[0].content)
    tile = tile_of(sheet, 0, 0, 90, 5 * 90 + 24, 84)
    assert np.abs(tile - decoded(s, s.means[:2].mean(0, keepdim=True))).max() < 3e-3


def test_walks_pass_through_the_first_row_s_mean_and_stay_within_a_sphere():
    s = subject(hyperspherical_vae, latent=4)
    (picture,) = geodesics.walks(s).pictures
    sheet = pixels(picture.content)
    assert sheet.shape[:2] == (4 * 90 - 6, 11 * 90 - 6)
    for row in range(4):
        assert np.abs(tile_of(sheet, row, 5, 90, side=84) - decoded(s, s.means[:1])).max() < 3e-3
    lengths, words = geodesics._lengths(s, 0)
    assert words == "once around in equal steps"
    steps = lengths[0].diff()
    assert steps.max().item() == pytest.approx(2 * math.pi / 11)
    assert (lengths[0, 0] + 2 * math.pi - lengths[0, -1]).item() == pytest.approx(2 * math.pi / 11)


def test_walks_of_a_hyperbolic_space_are_as_long_as_the_prior_is_wide():
    lengths, words = geodesics._lengths(subject(poincare_vae, latent=3, scale=0.5), 0)
    torch.testing.assert_close(lengths, torch.linspace(-1.5, 1.5, 11).expand(3, -1))
    assert "of the prior" in words


# --- KL by part ------------------------------------------------------------------------------------------------------


def test_kl_by_part_is_closed_where_it_can_be_and_right_where_it_cannot():
    ones, zeros = torch.ones(600, 2, dtype=torch.float64), torch.zeros(600, 2, dtype=torch.float64)
    flat = [Independent(Normal(zeros + a, ones * b), 1) for a, b in ((0.7, 0.5), (0, 1))]
    bent = [WrappedNormal(zeros, ones * b, -1.0) for b in (0.4, 1.0)]
    q, p = ProductOf([flat[0], bent[0]]), ProductOf([flat[1], bent[1]])
    (first, closed), (second, sampled) = geodesics.kl_by_part(q, p, 0)
    assert (closed, sampled) == (True, False)
    torch.testing.assert_close(first, kl_divergence(*flat), rtol=1e-12, atol=0)
    error = second.std() / 600**0.5
    assert abs(second.mean() - kl_at_one_mean(*bent)[0]) < 4 * error
    assert error < 0.02
    assert geodesics.kl_by_part(flat[0], flat[1], 0) is None
    assert geodesics.kl_by_part(q, flat[1], 0) is None


def test_bars_have_their_errors():
    drawn = charts.bars([2.0, 1.0], ["1", "2"], [True, True], "two", "nats", [0.5, 0.25])
    found = re.findall(r'y1="([\d.]+)"[^>]*y2="([\d.]+)" class="whisker"', drawn)
    long, short = (float(a) - float(b) for a, b in found)
    assert long == pytest.approx(2 * short, abs=0.2)
    assert "whisker" not in charts.bars([2.0], ["1"], [True], "one", "nats")


# --- charts ----------------------------------------------------------------------------------------------------------


def test_hammer_s_map():
    u = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double(), dim=1)
    xy = maps.hammer(u)
    torch.testing.assert_close(maps.from_hammer(xy), u, rtol=1e-9, atol=1e-9)
    assert (xy[:, 0].square() / 4 + xy[:, 1].square()).max() < 1
    known = maps.hammer(torch.tensor([[1.0, 0, 0], [0, 0, 1], [-1, 1e-9, 0], [-1, -1e-9, 0]]).double())
    torch.testing.assert_close(
        known, torch.tensor([[0, 0], [0, 1], [2, 0], [-2, 0]]).double(), rtol=0, atol=1e-8
    )  # the middle, the pole, and both sides of the cut


def test_hammer_s_map_keeps_areas():
    angles = torch.tensor([[0.3, 0.2], [-2.0, 1.1], [2.8, -0.7]], dtype=torch.float64)  # longitude, latitude

    def chart(a):
        return maps.hammer(torch.stack([a[1].cos() * a[0].cos(), a[1].cos() * a[0].sin(), a[1].sin()]))

    ratio = [torch.autograd.functional.jacobian(chart, a).det().abs() / a[1].cos() for a in angles]
    torch.testing.assert_close(torch.stack(ratio), torch.full((3,), 0.5).double())  # 2 pi of the ellipse for 4 pi


def test_a_line_is_broken_where_the_map_is_cut():
    x, y = maps.hammer_map()[:2]
    curve = torch.tensor([[1.8, 0.2], [1.95, 0.1], [-1.95, 0.1], [-1.8, 0.2]])
    assert maps.lines([curve], x, y, "ring").count("M") == 2
    assert maps.lines([], x, y, "ring") == ""


def test_names_that_would_stand_elsewhere_are_left_to_the_legend():
    points, labels = torch.zeros(20, 2), torch.arange(20)
    drawn = charts.cloud(points, ((-1, 1), (-1, 1)), "twenty at one place", labels=labels)
    assert 1 <= drawn.count('class="label"') < 6


def test_the_names_of_a_ring_stand_at_one_radius():
    angle = torch.tensor([0.1, 0.3, 2.0, -2.0, 4.0, 4.1])
    points, labels = torch.stack([angle.cos(), angle.sin()], 1), torch.tensor([0, 0, 1, 1, 2, 2])
    chart = maps.disk_map()
    drawn = maps.mapped(chart, points, "three", labels=labels, names=(), ring=0.5)
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" class="label"', drawn)
    found = [
        math.hypot(float(a) - chart.x(0), float(b) - 4 - chart.y(0)) / (chart.x(1) - chart.x(0)) for a, b in places
    ]
    assert found == pytest.approx([0.5] * 3, abs=1e-3)


def test_a_wreath_does_not_overlap():
    drawn = maps.wreath([f"data:{i}" for i in range(20)], "twenty")
    boxes = [tuple(map(float, b)) for b in re.findall(r'x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', drawn)]
    assert len(boxes) == 20
    for i, (x, y, w) in enumerate(boxes):
        assert min(x, y) > 5
        assert max(x, y) + w < 435
        for u, v, _ in boxes[:i]:
            assert abs(x - u) > w - 0.2 or abs(y - v) > w - 0.2
