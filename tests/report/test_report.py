"""The report: one self-contained page that says what the run's numbers say, for every shape of data and model."""

import io
import re
import shlex
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from logpx import evaluate, report
from logpx.data import from_array, load
from logpx.errors import UserError
from logpx.recipes import command, load_run, vae
from logpx.recipes.classical import ppca
from logpx.report import charts, epochs, latents, pictures, samples
from logpx.report.page import digits_for, number
from logpx.subject import Subject
from logpx.train import fit

SCRIPT = "<script>alert(1)</script>"
VOID = {"meta", "img", "source", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Collects what a test asks about and fails on tags that do not balance."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.headings: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes nothing"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)
        if "style" not in self.open:
            self.text += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not reader.open
    return reader


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image.copy()


def images(n=60, channels=1, size=6, **options):
    x = np.random.default_rng(0).random((n, channels, size, size)).astype(np.float32)
    options = {"labels": np.arange(n) % 3, "name": "tiny", "test": 0.3} | options
    return from_array(x, kind="grey", **options)


def table(n=80, P=4, **options):
    x = np.random.default_rng(1).standard_normal((n, P)).astype(np.float32)
    return from_array(x, **({"name": "numbers", "test": 0.3} | options))


def trained(data, out, recipe=vae, epochs=3, **options):
    options = ({"latent": 2, "hidden": (8,)} if recipe is vae else {"latent": 2}) | options
    return fit(recipe(data, **options), data, epochs=epochs, out=out, show=False)


@pytest.fixture(scope="module")
def picture_run(tmp_path_factory):
    data = images()
    run = trained(data, tmp_path_factory.mktemp("runs") / "images", epochs=5)
    found = evaluate.evidence(run.model, data.test, samples=20)
    return run, data, found, report.write(run, data, found)


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    """The drawn density on few points: what is tested here is the page."""
    monkeypatch.setattr(samples, "MESH", 12)


# --- the page as a document ------------------------------------------------------------------------------------------


def test_the_page_is_one_well_formed_file_that_leaves_nowhere(picture_run):
    page = read(picture_run[3])
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        for name in ("src", "href", "srcset", "action", "poster"):
            assert attributes.get(name, "data:").startswith(("data:image/", "data:", "#")), (tag, name)
        assert not any(name.startswith("on") for name in attributes)
    source = picture_run[3].read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source)
    assert "@import" not in source
    assert not re.search(r"url\(", source)


def test_the_policy_allows_pictures_and_style_only(picture_run):
    policy = [a["content"] for t, a in read(picture_run[3]).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_picture_has_words(picture_run):
    tags = read(picture_run[3]).tags
    assert all(a.get("alt") for t, a in tags if t == "img")
    assert all(a.get("aria-label") for t, a in tags if t == "svg" and a.get("role") == "img")
    assert sum(t == "h1" for t, _ in tags) == 1


def test_the_figures_are_files_that_open(picture_run):
    folder = picture_run[0].folder / "figures"
    names = {path.name for path in folder.iterdir()}
    wanted = {
        "loss.svg",
        "reconstructions.png",
        "samples.png",
        "latents.svg",
        "decoded.png",
        "latents.webp",
        "usage.svg",
    }
    assert wanted <= names
    for path in folder.iterdir():
        if path.suffix == ".svg":
            assert ElementTree.fromstring(path.read_text(encoding="utf-8")).tag.endswith("svg")
        else:
            assert min(opened(path).size) > 1


def test_the_film_goes_from_epoch_to_epoch_and_there_is_a_still_for_whom_motion_disturbs(picture_run):
    run, _, _, path = picture_run
    with Image.open(run.folder / "figures" / "latents.webp") as film:
        assert film.n_frames == 1 + 5 * pictures.steps_between(6)  # before training, and five epochs
        assert film.info["loop"] == 0
    sources = [a for t, a in read(path).tags if t == "source"]
    assert [a["media"] for a in sources] == ["(prefers-reduced-motion: reduce)"]


def test_points_move_slowly_at_either_end_of_an_epoch():
    frames = torch.tensor([[[0.0, 0.0]], [[4.0, -8.0]], [[4.0, 0.0]]])
    found = pictures.eased(frames, 4)
    assert found.shape == (9, 1, 2)
    assert torch.equal(found[::4], frames)
    way = found[:5, 0, 0] / 4  # t^2 (3 - 2t) at 0, 1/4, 1/2, 3/4, 1
    assert way.tolist() == [0, 0.15625, 0.5, 0.84375, 1]
    assert torch.equal(found[:5, 0, 1], -8 * way)


@pytest.mark.parametrize("epochs", [2, 20, 60, 100])
def test_the_film_has_at_most_its_frames(epochs):
    assert 1 + (epochs - 1) * pictures.steps_between(epochs) <= max(pictures.FRAMES, epochs)


def test_the_film_stays_below_a_megabyte_though_all_points_move_at_random():
    frames = torch.randn(4, 2000, 2, generator=torch.Generator().manual_seed(0))
    words = [f"epoch {i}, held-out ELBO -{i}.25 nats" for i in range(4)]
    film, _ = pictures.animation(frames, words, torch.arange(2000) % 10, ((-3, 3), (-3, 3)))
    assert len(film) / (1 + 3 * 4) * pictures.FRAMES < 1_000_000  # each frame costs the same


def test_the_corner_says_the_epoch_and_what_held_out_rows_were_worth(picture_run):
    run, data, _, _ = picture_run
    subject = Subject(run, data, None)
    assert latents._told(subject, 0) == "epoch 0"
    held = run.rows[1]["held_out"]
    term = "elbo" if "elbo" in held else "score"
    assert latents._told(subject, 2) == f"epoch 2, held-out {term.replace('elbo', 'ELBO')} {held[term]:.2f} nats"


@pytest.mark.parametrize(("more", "unit"), [({}, " nats"), ({"mmd": 0.27}, "")])
def test_a_loss_that_is_not_of_nats_alone_has_no_unit_in_the_corner(more: dict[str, float], unit: str) -> None:
    row = {"epoch": 1, "held_out": {"loss": 89.44, "reconstruction": 62.23, **more}}
    assert latents._told(SimpleNamespace(run=SimpleNamespace(rows=[row])), 1) == f"epoch 1, held-out loss 89.44{unit}"


def test_the_same_again_is_the_same_page_and_moves_no_random_state(picture_run):
    run, data, found, path = picture_run
    before, state = path.read_bytes(), torch.get_rng_state()
    report.write(run, data, found)
    assert path.read_bytes() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_a_reopened_run_gives_the_same_page(picture_run):
    run, data, found, path = picture_run
    before = path.read_bytes()
    report.write(load_run(run.folder), data, found)
    assert path.read_bytes() == before


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_numbers_are_the_run_s(picture_run):
    run, _, found, path = picture_run
    text = read(path).text
    digits = digits_for(found.standard_error)
    assert f"{number(found.mean, digits)} ± {number(found.standard_error, digits)}" in text
    assert number(found.bits_per_dim, 4) in text
    for part in ("train", "held_out"):
        for value in run.best[part].values():
            assert number(value, 3) in text
    assert f"best epoch{run.best_epoch}of {len(run.rows)}" in text
    assert "lower bound on log p(x)" in text
    assert "L20" in text  # the 20 as a subscript
    assert run.info["data"]["checksum"] in text


def test_all_sections_of_a_run_on_images_with_two_latents(picture_run):
    wanted = [
        "Training",
        "Evidence against samples",
        "Diagnosis",
        "Reconstructions",
        "Samples",
        "Latent space",
        "From one row to another",
    ]
    wanted += ["Who is at work in z", "Settings"]
    assert read(picture_run[3]).headings == wanted


def test_text_from_users_is_escaped(tmp_path):
    labels = np.array([SCRIPT, "a&b", '"quoted"'])[np.arange(60) % 3]
    data = images(labels=labels, name=SCRIPT)
    run = trained(data, tmp_path / "run", epochs=2)
    run.info["warning"] = SCRIPT
    path = report.write(run, data, to=tmp_path / "elsewhere")
    page = read(path)
    assert "script" not in {t for t, _ in page.tags}
    assert page.text.count(SCRIPT) > 3
    for file in (tmp_path / "elsewhere" / "figures").glob("*.svg"):
        assert "<script" not in file.read_text(encoding="utf-8")


def test_column_names_are_escaped(tmp_path):
    data = replace(table(P=2), columns=(SCRIPT, "b"))
    page = read(report.write(trained(data, tmp_path / "run", epochs=2), data))
    assert "script" not in {t for t, _ in page.tags}
    assert SCRIPT in page.text


def test_the_warning_of_the_run_is_shown(tmp_path):
    data = table()
    run = trained(data, tmp_path / "run", epochs=1, warmup=1000)
    assert "ends unfinished" in read(report.write(run, data)).text


def test_grey_is_called_a_score_and_not_sampled(tmp_path):
    data = images()
    run = trained(data, tmp_path / "run", likelihood="grey")
    found = evaluate.evidence(run.model, data.test, samples=5)
    page = read(report.write(run, data, found))
    assert "a score, not a log-likelihood" in page.text
    assert "bits/dim" not in page.text
    assert "nothing to draw" in page.text
    assert not (tmp_path / "run" / "figures" / "samples.png").exists()


def test_without_an_evidence_the_page_says_elbo(tmp_path):
    data = images()
    run = trained(data, tmp_path / "run", epochs=2)
    text = read(report.write(run, data)).text
    assert "ELBO on held-out rows" in text
    assert "logpx evaluate" in text


def test_without_a_prior_there_are_no_samples_and_no_kl(tmp_path):
    data = images()
    run = trained(data, tmp_path / "run", epochs=2)
    run.model.prior = None
    page = read(report.write(run, data))
    assert "Samples" not in page.headings
    assert "Who is at work in z" not in page.headings
    assert "no prior" in page.text


def test_tables(tmp_path):
    data = table(P=8)
    page = read(report.write(trained(data, tmp_path / "run", latent=3), data))
    assert page.headings == ["Training", "Diagnosis", "Reconstructions", "Samples", "Who is at work in z", "Settings"]
    assert "the first 6 of 8 columns" in page.text
    assert "img" not in {t for t, _ in page.tags}


def test_two_columns_have_a_density_and_a_decoded_grid(tmp_path):
    data = load("pinwheel", held_out=0.1, test=200)
    run = trained(data, tmp_path / "run", epochs=2)
    found = evaluate.evidence(run.model, data.test, samples=5)
    page = read(report.write(run, data, found))
    assert "Density" in page.headings
    assert "arm 3" in page.text
    truth = data.log_density(data.test.x()).mean().item()
    gap = truth - found.mean
    assert re.search(rf"gives the same rows {number(truth, 3)[:5]}", page.text)
    assert number(gap, 2)[:4] in page.text
    assert {"density.svg", "density-true.svg", "decoded.svg"} <= {p.name for p in (tmp_path / "run/figures").iterdir()}


def test_one_column_one_latent_no_labels(tmp_path):
    data = table(P=1)
    page = read(report.write(trained(data, tmp_path / "run", latent=1), data))
    assert page.headings[1:6] == ["Diagnosis", "Reconstructions", "Samples", "Density", "Latent space"]


def test_colour_images_with_more_than_two_latents(tmp_path):
    data = images(channels=3)
    run = trained(data, tmp_path / "run", latent=4)
    page = read(report.write(run, data))
    assert "Walks through the latent space" in page.headings
    assert "Latent space" not in page.headings
    assert opened(tmp_path / "run/figures/walks.png").mode == "RGBA"


def test_an_exact_model_with_a_single_row_has_a_table_and_no_curves(tmp_path):
    data = table()
    run = trained(data, tmp_path / "run", recipe=ppca, epochs=None)
    assert len(run.rows) == 1
    found = evaluate.evidence(run.model, data.test)
    page = read(report.write(run, data, found))
    assert "log p(x), exact" in page.text
    assert "k-hat" not in page.text
    assert not (tmp_path / "run/figures/loss.svg").exists()
    assert number(run.rows[0]["train"]["loss"], 3) in page.text


@pytest.mark.parametrize(
    ("options", "words"), [({"test": 0}, "held-out rows"), ({"test": 0, "held_out": 0}, "training rows")]
)
def test_without_test_rows_the_page_says_which_it_shows(tmp_path, options, words):
    data = images(**options)
    assert f"the first of the {words}" in read(report.write(trained(data, tmp_path / "run", epochs=2), data)).text


def test_long_runs_stay_small(tmp_path):
    data = table()
    run = trained(data, tmp_path / "run", epochs=2)
    row = run.rows[0]
    run.rows = [row | {"epoch": i + 1} for i in range(1000)]
    assert report.write(run, data).stat().st_size < 400_000


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_failing_write_leaves_the_old_report(picture_run, monkeypatch):
    run, data, found, path = picture_run
    before = path.read_bytes()
    files = sorted(p.name for p in run.folder.iterdir())

    def full(self, content):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="no space"):
            report.write(run, data, found)
    assert path.read_bytes() == before
    assert sorted(p.name for p in run.folder.iterdir()) == files


def test_a_run_without_a_folder_needs_a_place(tmp_path):
    data = table()
    run = trained(data, None, epochs=1)
    with pytest.raises(UserError, match="kept no folder"):
        report.write(run, data)
    assert report.write(run, data, to=tmp_path / "page.html") == tmp_path / "page.html"
    assert (tmp_path / "figures" / "usage.svg").exists()


def test_other_data_are_refused(tmp_path):
    run = trained(table(), tmp_path / "run", epochs=1)
    with pytest.raises(UserError, match="shape"):
        report.write(run, table(P=5))


# --- parts -----------------------------------------------------------------------------------------------------------


def test_the_command_repeats_the_run(tmp_path):
    data = load("digits:grey", held_out=100)
    run = fit(vae(data, latent=2, hidden=(8, 4), seed=3), data, epochs=1, batch_size=500, seed=3, show=False)
    line = "logpx train vae digits:grey --latent 2 --hidden 8,4 --seed 3 --epochs 1 --batch-size 500 --held-out 100"
    assert set(re.split(r" (?=--)", command(run.info))) == set(re.split(r" (?=--)", line))


@pytest.mark.parametrize(
    "asked", [{"columns": {"n": "real", "a,b": "categorical"}, "context": "a,b"}, {"kind": "real"}, {}]
)
def test_the_command_says_what_was_asked_and_no_more(tmp_path, asked):
    (tmp_path / "t.csv").write_text('"a,b",n,x\n' + "".join(f"{i % 4},{i % 9},{i / 7}\n" for i in range(60)))
    data = load(tmp_path / "t.csv", **asked)
    run = fit(vae(data, latent=2, hidden=(4,)), data, epochs=1, show=False)
    words = shlex.split(command(run.info))
    said = {words[i]: words[i + 1] for i in range(4, len(words), 2)}
    kinds = {"--columns": "n=real,a,b=categorical", "--context": "a,b"} if "columns" in asked else {}
    kinds |= {"--kind": "real"} if "kind" in asked else {}
    assert {name: said[name] for name in said if name in ("--kind", "--columns", "--context")} == kinds
    again = load(words[3], kind=said.get("--kind"), columns=said.get("--columns"), context=said.get("--context"))
    assert again.describe() == data.describe()


def test_bits_are_for_pictures_and_the_page_says_what_is_summed(tmp_path, picture_run):
    assert "bits/dim" in read(picture_run[3]).text
    assert "nats per data point, a log-density, over" in read(picture_run[3]).text
    data = table()
    run = trained(data, tmp_path / "run", epochs=1)
    text = read(report.write(run, data, evaluate.evidence(run.model, data.test, samples=5))).text
    assert "bits/dim" not in text
    assert "nats per data point, a log-density, over" in text


def test_there_is_no_command_for_data_from_memory(tmp_path):
    assert command(trained(table(), None, epochs=1).info) is None


def test_a_huge_first_epoch_does_not_flatten_the_rest():
    values = [1e6, *np.linspace(120, 100, 19)]
    low, high = epochs.robust_range(list(range(1, 21)), {"train": values}, 20)
    assert low < 100
    assert high < 150


@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0], [0.0, 0.0], [-5.0, 1e9]])
def test_an_axis_is_never_empty(values):
    low, high = epochs.robust_range(list(range(len(values))), {"train": values}, None)
    assert low < min(values) <= max(values) < high
    ticks, _ = charts.Axis(low, high, 0, 100).ticks()
    assert 1 <= len(ticks) <= 7


def test_numbers_are_set_with_a_true_minus_and_no_negative_zero():
    assert number(-1234.567) == "\u22121,234.57"
    assert number(-0.001) == "0.00"
    assert digits_for(0.312) == 2
    assert digits_for(4.5) == 1


def test_tiles_hold_the_pixels_they_were_given():
    x = torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    sheet = np.asarray(Image.open(io.BytesIO(pictures.tiled(x, 2, gap=1, tile=5))))
    assert sheet.shape == (11, 11, 2)
    assert np.array_equal(sheet[:5, :5, 0], (x[0, 0] * 255).round().to(torch.uint8).numpy())
    assert sheet[5, :, 1].max() == 0  # the gap is transparent


# --- missing values, mixed tables, contexts ---------------------------------------------------------------------------


def holed(x: np.ndarray, share: float = 0.2) -> np.ndarray:
    return np.where(np.random.RandomState(1).rand(*x.shape) < share, np.nan, x)


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_rows_with_holes(columns, tmp_path):
    data = from_array(holed(np.random.RandomState(0).randn(80, columns)), labels=np.arange(80) % 2, test=0.3)
    run = fit(vae(data, latent=2, hidden=(8,)), data, epochs=1, show=False)
    page = report.write(run, data, evaluate.evidence(run.model, data.test, samples=3), to=tmp_path)
    reader = read(page)
    assert {"Reconstructions", "Samples", "Latent space"} <= set(reader.headings)
    assert "nan" not in reader.text.lower()
    for path in (tmp_path / "figures").glob("*.svg"):
        assert "nan" not in path.read_text()


def test_missing_pixels_are_holes_in_the_picture(tmp_path):
    data = from_array(holed(np.random.RandomState(0).rand(40, 1, 6, 6)), kind="grey", test=0.5)
    run = fit(vae(data, latent=2, hidden=(8,)), data, epochs=1, show=False)
    report.write(run, data, to=tmp_path)
    alpha = np.asarray(opened(tmp_path / "figures" / "reconstructions.png"))[..., 1]
    scale = round(84 / 6)
    first = alpha[: 6 * scale, : 6 * scale].reshape(6, scale, 6, scale)
    expected = ~data.test.x(slice(0, 1)).isnan()[0, 0].numpy()
    assert np.array_equal(first.min((1, 3)) == 255, expected)
    assert np.array_equal(first.max((1, 3)) == 255, expected)


def test_a_mixed_table(tmp_path):
    x = np.stack([np.arange(60) / 7, np.arange(60) % 3, np.arange(60) % 2], 1)
    data = from_array(x, columns={"column 1": "categorical"}, test=0.3)
    run = fit(vae(data, latent=2, hidden=(8,)), data, epochs=1, show=False)
    text = read(report.write(run, data, to=tmp_path)).text
    assert "mixed" in text
    assert "of the categories right" in (tmp_path / "figures" / "reconstruction-1.svg").read_text()


def test_categories_stand_on_the_axes_by_name(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("age,city\n" + "".join(f"{i / 7},{('Oslo', 'Lima', 'Santa Maria')[i % 3]}\n" for i in range(60)))
    data = load(str(table), test=0.3)
    run = fit(vae(data, latent=1, hidden=(8,)), data, epochs=1, show=False)
    report.write(run, data, to=tmp_path)
    for file in ("reconstruction-1.svg", "marginal-1.svg"):
        drawn = (tmp_path / "figures" / file).read_text()
        assert all(f">{name}</text>" in drawn for name in ("Oslo", "Lima", "Santa M…"))


@pytest.mark.parametrize("what", ["images", "plane", "table"])
def test_a_conditional_model(what, tmp_path):
    from logpx.recipes import conditional_vae

    if what == "images":
        data = images(context="label")
    else:
        x = np.random.RandomState(0).randn(60, 2 if what == "plane" else 5)
        data = from_array(x, labels=np.arange(60) % 3, context="label", test=0.3)
    run = fit(conditional_vae(data, latent=2, hidden=(8,)), data, epochs=1, show=False, out=tmp_path / "run")
    text = read(report.write(run, data, evaluate.evidence(run.model, data.test, samples=3))).text
    assert ("The classes come in turn." if what == "images" else "given the context of one of the test rows") in text
