"""The explorer in a real Chromium that is offline: the decode is Python's, everything that can be touched works."""

from pathlib import Path
from typing import Any

import pytest
import torch

from logpx import explore, recipes, train
from logpx.data import load
from logpx.distributions import Space, spaces
from logpx.evaluate import at_rest
from logpx.explore.shown import Shown


def trained(data, recipe, folder: Path, rows: int = 60, **options) -> tuple[Any, Path]:
    run = train.fit(recipe(data, hidden=(16,), **options), data, epochs=2, batch_size=64, show=False)
    path, _ = explore.write(run, data, rows=rows, samples=1, to=folder / "explorer.html")
    return run, path


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> tuple[Any, Path]:
    return trained(load("digits"), recipes.vae, tmp_path_factory.mktemp("digits"), latent=3)


@pytest.fixture(scope="module")
def page(digits, opened) -> Any:
    return opened(digits[1], "#z=0.5,-1,0.25")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("table")
    rows = "".join(f"{i % 7 / 2},{('Rome', 'Oslo', '</script>')[i % 3]},{i % 2},{i % 5}\n" for i in range(90))
    (folder / "people.csv").write_text("age,city,car,visits\n" + rows)
    return trained(load(str(folder / "people.csv"), context="visits"), recipes.conditional_vae, folder, latent=2)


@pytest.fixture(scope="module")
def table_page(table, opened) -> Any:
    return opened(table[1], "#z=0.3,0.7", color_scheme="dark", viewport={"width": 390, "height": 844})


@pytest.fixture(scope="module")
def curved_page(tmp_path_factory: pytest.TempPathFactory, opened) -> Any:
    folder = tmp_path_factory.mktemp("curved")
    return opened(trained(load("digits"), recipes.mixed_curvature_vae, folder, signature="h2,s2,e1")[1])


def settle(page: Any) -> None:
    """Two frames and whatever they asked the decoder for."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate(
        "async () => { while (explorer.asked || explorer.decoder.busy) await new Promise(d => setTimeout(d, 5)) }"
    )


def until(page: Any, what: str) -> None:
    """Waits for what the page does in its own time; for five seconds at most."""
    waited = f"for (let i = 0; i < 250 && !({what}); i++) await new Promise(d => setTimeout(d, 20));"
    assert page.evaluate(f"async () => {{ {waited} return {what} }}"), what


def go(page: Any, z: list[float]) -> list[float]:
    """Moves to z; the numbers that were decoded there."""
    page.evaluate("z => explorer.go(z)", z)
    settle(page)
    assert page.evaluate("document.getElementById('picture').decoded.z") == pytest.approx(z)
    return page.evaluate("document.getElementById('picture').decoded.x")


def picture(page: Any) -> list[float]:
    return page.evaluate("document.getElementById('picture').decoded.x")


def place(page: Any) -> list[float]:
    return page.evaluate("Array.from(explorer.z)")


def decoded(
    run: Any, z: list[float], levels: tuple[int | None, ...] = (), context: list[float] | None = None
) -> torch.Tensor:
    at, given = torch.tensor([z]), None if context is None else torch.tensor([context])
    with at_rest(run.model):
        return Shown(run.model, run.model.decode(at, given), levels)(at, given)[0]


# --- what it shows is Python's ----------------------------------------------------------------------------------------


def test_it_opens_offline_asks_for_nothing_and_says_nothing_on_the_console(digits, page):
    assert [address for address in page.asked if not address.startswith(("file:", "blob:"))] == []
    assert len([address for address in page.asked if address.startswith("file:")]) == 1
    assert page.said == []
    assert "Variational autoencoder on digits" in page.title()
    assert "test rows" in page.inner_text("#evidence")


def test_the_address_holds_z_and_what_is_decoded_is_pythons(digits, page):
    run, _ = digits
    assert place(page) == [0.5, -1, 0.25]
    for z in ([0.5, -1.0, 0.25], [0.0, 0.0, 0.0], [-2.5, 3.0, 1.0], [30.0, -30.0, 5.0]):
        x = go(page, z)
        assert torch.allclose(torch.tensor(x), decoded(run, z), atol=1e-4)
    until(page, "location.hash === '#z=30,-30,5'")


def test_the_columns_of_a_table_are_shown_in_their_units(table, table_page):
    run, _ = table
    levels = tuple(column.levels for column in run.method.model.likelihood.columns)
    x = go(table_page, [0.3, -0.7])
    context = table_page.evaluate("explorer.decoder.context")
    assert torch.allclose(torch.tensor(x), decoded(run, [0.3, -0.7], levels, context), atol=1e-4)
    text = table_page.inner_text("#picture")
    assert all(name in text for name in ("age", "city", "car", "Rome", "Oslo", "</script>", "%"))
    shown = float(table_page.inner_text("#picture dd .value >> nth=0").replace("−", "-"))
    assert shown == pytest.approx(x[0], abs=0.01)
    assert "city" in table_page.inner_text("#between table")
    assert (
        "age" in table_page.locator("#near button").first.inner_text()
        or table_page.locator("#near button").count() == 8
    )
    assert table_page.said == []


def test_a_link_comes_back_to_what_a_conditional_model_was_given(table, table_page, opened):
    field = table_page.locator("#context input, #context select")
    before = table_page.evaluate("explorer.given.values()[0]")
    table_page.evaluate("explorer.given.set([3])")
    field.dispatch_event("change")
    settle(table_page)
    until(table_page, "location.hash.endsWith('&given=3')")
    there = table_page.evaluate("[location.hash, explorer.decoder.context, Array.from(picture.decoded.x)]")
    assert there[0].endswith("&given=3")
    again = opened(table[1], there[0])
    settle(again)
    assert again.evaluate("[location.hash, explorer.decoder.context, Array.from(picture.decoded.x)]") == there
    again.evaluate("[explorer.held, explorer.decoder] = [explorer.decoder, undefined]")
    again.evaluate("explorer.visit(0)")  # as where there is no WebAssembly
    again.evaluate("explorer.decoder = explorer.held")
    again.evaluate("hash => (location.hash = hash)", f"#z=0.3,0.7&given={before}")
    until(again, f"explorer.given.values()[0] === {before}")
    assert again.said == []
    table_page.evaluate("values => explorer.given.set(values)", [before])
    field.dispatch_event("change")


SPACES = [
    Space(0, 3),
    Space(0, 2, -1.3, "stereographic"),
    Space(0, 3, 0.8, "stereographic"),
    Space(0, 2, 0.0, "stereographic"),
    Space(0, 2, -0.7, "ambient"),
    Space(0, 3, 1.0, "ambient"),
]


def test_geodesics_walks_and_distances_are_those_of_python(page):
    torch.manual_seed(3)
    t = torch.linspace(0, 1, 7, dtype=torch.float64)
    for space in SPACES:
        a, b = (
            space.move(space.origin(torch.zeros(1).double()), 1.1 * torch.randn(space.n).double()) for _ in range(2)
        )
        found = page.evaluate(
            """([space, a, b, ts]) => {
              const p = new explorer.space.constructor([space]);
              return [ts.map(t => p.geodesic(a, b, t)), p.distance(a, b), p.walk(a, p.n - 1, -0.6), p.chart(a)];
            }""",
            [space._asdict(), a.tolist(), b.tolist(), t.tolist()],
        )
        way, distance, walk, chart = (torch.tensor(value, dtype=torch.float64) for value in found)
        assert torch.allclose(way, spaces.geodesic([space], a, b, t), atol=1e-6), space
        assert torch.allclose(distance, space.distance(a, b), atol=1e-6), space
        assert torch.allclose(walk, space.walk(a, space.n - 1, torch.tensor([-0.6]).double())[0], atol=1e-6), space
        assert torch.allclose(chart, space.towards(space.origin(a), a), atol=1e-6), space


def test_opposite_points_of_a_sphere_have_a_way_between_them(page):
    space = Space(0, 2, 1.0, "ambient")
    way = page.evaluate(
        "s => [0, 0.5, 1].map(t => new explorer.space.constructor([s]).geodesic([0, 0, 1], [0, 0, -1], t))",
        space._asdict(),
    )
    a, b = torch.tensor([0, 0, 1.0]).double(), torch.tensor([0, 0, -1.0]).double()
    expected = spaces.geodesic([space], a, b, torch.tensor([0, 0.5, 1]).double())
    assert torch.allclose(torch.tensor(way, dtype=torch.float64), expected, atol=1e-6)


# --- what can be touched ----------------------------------------------------------------------------------------------


def centre(page: Any, share: float = 0.5) -> tuple[float, float]:
    box = page.locator("#map").bounding_box()
    return box["x"] + share * box["width"], box["y"] + share * box["height"]


def test_dragging_in_the_map_decodes_and_leaves_the_other_directions(page):
    before, z = go(page, [0.1, 0.2, 0.3]), [0.1, 0.2, 0.3]
    count = page.evaluate("explorer.decodes")
    page.mouse.move(*centre(page, 0.4))
    page.mouse.down()
    for k in range(6):
        page.mouse.move(*centre(page, 0.4 + 0.05 * k))
        settle(page)
    page.mouse.up()
    assert picture(page) != before
    assert page.evaluate("explorer.decodes") - count >= 5  # a picture for each frame in which z moved
    across, up = (int(page.input_value(name)) for name in ("#across", "#up"))
    (other,) = {0, 1, 2} - {across, up}
    assert place(page)[other] == pytest.approx(z[other])
    assert place(page)[across] != pytest.approx(z[across])


def test_shift_moves_the_map_and_the_wheel_zooms_it(page):
    z, camera = place(page), page.evaluate("({...explorer.map.camera})")
    page.keyboard.down("Shift")
    page.mouse.move(*centre(page))
    page.mouse.down()
    page.mouse.move(*centre(page, 0.6))
    page.mouse.up()
    page.keyboard.up("Shift")
    moved = page.evaluate("({...explorer.map.camera})")
    assert place(page) == z
    assert moved["x"] < camera["x"]
    page.mouse.wheel(0, -300)
    until(page, f"explorer.map.camera.k > 1.2 * {moved['k']}")
    page.click("#fit")
    assert page.evaluate("explorer.map.camera.k") == pytest.approx(camera["k"])


def test_a_box_zooms_in_and_two_fingers_do_without_moving_z(page):
    z = go(page, [0.0, 0.0, 0.0]) and place(page)
    page.click("[data-tool=box]")
    page.mouse.move(*centre(page, 0.25))
    page.mouse.down()
    page.mouse.move(*centre(page, 0.75))
    page.mouse.up()
    assert page.evaluate("explorer.map.camera.k / explorer.map.fitted") == pytest.approx(2, rel=0.02)
    page.click("[data-tool=decode]")
    page.click("#fit")
    finger = """([kind, id, share]) => {
      const canvas = explorer.map.canvas, box = canvas.getBoundingClientRect();
      canvas.setPointerCapture = () => {};
      const at = { clientX: box.left + share * box.width, clientY: box.top + 0.5 * box.height };
      canvas.dispatchEvent(new PointerEvent(kind, { pointerId: id, pointerType: 'touch', ...at }));
    }"""
    for event in (
        ["down", 1, 0.4],
        ["down", 2, 0.6],
        ["move", 1, 0.3],
        ["move", 2, 0.7],
        ["up", 1, 0.3],
        ["up", 2, 0.7],
    ):
        page.evaluate(finger, [f"pointer{event[0]}", *event[1:]])
    settle(page)
    assert page.evaluate("explorer.map.camera.k / explorer.map.fitted") == pytest.approx(2, rel=0.02)
    assert place(page) == z
    page.click("#fit")


def test_keys_move_z_zoom_and_open_the_help(page):
    go(page, [0.0, 0.0, 0.0])
    page.focus("#map")
    page.keyboard.press("ArrowRight")
    settle(page)
    across = int(page.input_value("#across"))
    small = place(page)[across]
    page.keyboard.press("Shift+ArrowRight")
    settle(page)
    assert place(page)[across] == pytest.approx(6 * small)
    assert small > 0
    page.keyboard.press("+")
    assert page.evaluate("explorer.map.camera.k / explorer.map.fitted") == pytest.approx(1.25)
    page.keyboard.press("0")
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    assert not page.is_visible("#keys")
    page.keyboard.press("o")
    settle(page)
    assert place(page) == pytest.approx([0, 0, 0])


def test_a_slider_moves_its_direction_and_is_sorted_by_kl(digits, page):
    before = go(page, [0.0, 0.0, 0.0])
    sliders = page.locator("#directions input")
    kl = page.evaluate(
        "Array.from(document.querySelectorAll('#directions input'), i => explorer.dims[i.dataset.direction].used)"
    )
    active = page.evaluate("explorer.dims.filter(d => d.active).length")
    assert sorted(kl[:active], reverse=True) == kl[:active]
    page.evaluate("document.querySelectorAll('details').forEach(d => (d.open = true))")
    i = int(sliders.first.get_attribute("data-direction"))
    sliders.first.focus()
    page.keyboard.press("Shift+ArrowRight")
    settle(page)
    z = place(page)
    assert z[i] > 0
    assert [v for k, v in enumerate(z) if k != i] == [0, 0]
    assert picture(page) != before
    sliders.first.dblclick()
    settle(page)
    assert place(page)[i] == pytest.approx(0)
    assert page.locator("#use li").count() == 3
    bar = page.locator("#use li").first
    bar.hover()
    assert page.locator(".direction.lit input").get_attribute("data-direction") == str(i)
    page.mouse.move(5, 5)
    assert page.locator(".direction.lit").count() == 0


def test_points_are_coloured_by_label_or_by_any_column(page, table_page):
    assert page.locator("#legend .key").count() == 10
    colours = page.evaluate("explorer.map.colouring.colours.length")
    page.select_option("#colour", label="log p(x), lower bound")
    assert page.evaluate("explorer.map.colouring.colours.length") != colours
    assert page.locator("#legend .ramp").is_visible()
    assert "nats" in page.inner_text("#legend")
    page.select_option("#colour", label="label")
    names = table_page.locator("#colour option").all_inner_texts()
    assert {"age", "city", "car"} <= set(names)
    table_page.select_option("#colour", label="city")
    assert sorted(table_page.locator("#legend .key").all_inner_texts()) == ["</script>", "Oslo", "Rome"]


def test_the_map_is_filled_with_what_is_decoded_there(page):
    page.focus("#map")
    page.keyboard.press("g")
    page.wait_for_timeout(200)
    settle(page)
    tiles = "(explorer.map.tiles ?? []).map(t => [t.x, t.y])"
    places = page.evaluate(tiles)
    assert len(places) > 200
    k = page.evaluate("explorer.map.tiles[100].z")
    assert page.evaluate("explorer.map.tiles[100].picture.width") == 8
    assert [k[int(page.input_value(name))] for name in ("#across", "#up")] == pytest.approx(places[100])
    page.keyboard.press("g")


def test_from_a_to_b_by_keys_with_pictures_between(digits, page):
    go(page, [1.0, 0.0, 0.0])
    page.focus("#map")
    page.keyboard.press("a")
    go(page, [0.0, 2.0, 1.0])
    page.keyboard.press("b")
    settle(page)
    assert page.evaluate("[explorer.between.a, explorer.between.b]") == [[1, 0, 0], [0, 2, 1]]
    assert page.evaluate("explorer.between.strip.pictures.length") == 11
    assert "2.45 long" in page.inner_text("#between")
    strip = page.locator("#between canvas")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 5.5 / 11, box["y"] + box["height"] / 2)
    settle(page)
    assert place(page) == pytest.approx([0.5, 1.0, 0.5])
    page.click("#play")
    page.wait_for_timeout(300)
    page.click("#play")
    settle(page)
    assert place(page) != pytest.approx([0.5, 1.0, 0.5])


def test_the_nearest_rows_are_the_nearest_and_a_click_goes_there(digits, page):
    rows = torch.tensor(page.evaluate("explorer.points"))
    go(page, [0.2, 0.1, -0.3])
    expected = (rows - torch.tensor([0.2, 0.1, -0.3])).square().sum(1).argsort()[:8].tolist()
    buttons = page.locator("#near button")
    assert [int(b.get_attribute("data-row")) for b in buttons.all()] == expected
    assert page.locator("#near canvas").count() == 8
    buttons.nth(3).click()
    settle(page)
    assert place(page) == pytest.approx(rows[expected[3]].tolist())


LONG = "long " * 40


@pytest.fixture(scope="module")
def named_page(tmp_path_factory: pytest.TempPathFactory, opened) -> Any:
    """A table whose columns are called `label` and very long, with values that are written from the right."""
    folder = tmp_path_factory.mktemp("named")
    rows = "".join(f"{i % 7},{('مدينة', 'Oslo')[i % 2]},{-1000 * i}\n" for i in range(90))
    (folder / "named.csv").write_text(f"{LONG.strip()},label,n\n" + rows, encoding="utf-8")
    return opened(trained(load(str(folder / "named.csv")), recipes.vae, folder, latent=2)[1])


def test_a_column_called_label_is_looked_up_once_and_values_keep_their_direction(named_page):
    page = named_page
    settle(page)
    assert page.evaluate("explorer.values(explorer.labels) === explorer.values(explorer.labels)")
    codes = page.evaluate("explorer.points.map((_, row) => explorer.label(row))")
    assert set(codes) == {"مدينة", "Oslo"}
    values = page.locator("#near button").first.locator("span bdi").all_inner_texts()
    assert len(values) == 3
    assert values[1] in codes


def test_a_very_long_name_of_a_column_leaves_the_table_in_sight(named_page):
    heading = named_page.locator("#between tbody th").first
    assert heading.get_attribute("title") == LONG.strip()
    assert heading.bounding_box()["width"] < 300


def test_light_and_dark(page, table_page):
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    assert table_page.evaluate(paper) == "rgb(21, 23, 26)"  # asked for by the system
    page.click("#theme")
    assert page.evaluate(paper) == table_page.evaluate(paper) != light
    page.click("#theme")
    assert page.evaluate(paper) == light


def test_a_reader_who_sees_nothing_hears_what_is_decoded(page, table_page):
    go(page, [0.5, 0.5, 0.5])
    until(page, "document.getElementById('said').textContent.startsWith('Decoded: mean intensity 0.')")
    assert "nearest is row" in page.inner_text("#said")
    table_page.evaluate("explorer.go([0.1, 0.1])")
    until(table_page, "document.getElementById('said').textContent.startsWith('Decoded: age ')")
    unnamed = """Array.from(document.querySelectorAll('button, select, input, canvas[tabindex]'))
      .filter(e => !(e.ariaLabel || e.innerText.trim() || e.labels?.length)).map(e => e.outerHTML)"""
    assert page.evaluate(unnamed) == []


def test_the_page_fits_a_narrow_screen(table_page):
    for width in (360, 390, 820):
        table_page.set_viewport_size({"width": width, "height": 800})
        table_page.wait_for_timeout(50)
        assert table_page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_product_of_curved_spaces_has_a_disk_and_a_globe(curved_page):
    page = curved_page
    names = page.locator("#view option").all_inner_texts()
    kinds = []
    for i, name in enumerate(names):
        page.select_option("#view", str(i))
        kinds.append(page.evaluate("explorer.map.view.kind"))
        back = page.evaluate(
            """() => explorer.points.slice(0, 20).map(z => {
              const view = explorer.map.view;
              const [x, y, front] = view.place(z);
              if (view.kind === 'globe' && front < 0.05) return 0;
              const again = view.at(x, y, z);
              return Math.max(...again.map((v, k) => Math.abs(v - z[k])));
            })"""
        )
        assert max(back) < 1e-3, name  # what lies under a point of the map is that point
    assert kinds[-1] == "plane"
    page.select_option("#view", str(len(names) - 1))
    assert page.is_visible("#axes")
    before = picture(page)
    page.mouse.move(*centre(page, 0.3))
    page.mouse.down()
    page.mouse.move(*centre(page, 0.35))
    page.mouse.up()
    settle(page)
    assert picture(page) != before
    assert page.said == []
