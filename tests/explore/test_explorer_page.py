"""The explorer without a browser: what is embedded, that no label can break out, the policy, and what is refused."""

import base64
import gzip
import hashlib
import inspect
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from logpx import cli, explore, recipes, train
from logpx.cli import explore as cli_explore
from logpx.data import load
from logpx.errors import UserError
from logpx.evaluate import at_rest
from logpx.explore.page import HERE, POLICY, as_json, program, stylesheet
from logpx.explore.payload import Payload, most_rows, payload, thumbnail_size
from logpx.explore.shown import Shown, check_explorable
from logpx.subject import Subject

#: of onnxruntime-web 1.30.0; tools/refresh_onnxruntime.py prints them
VENDORED = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm.gz": "9a202915ab712f2ac4504f9fd8c634d244a11e9f9e734361471a1fe6e7f984c0",
    "LICENSE": "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
    "ThirdPartyNotices.txt": "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3",
    "VERSION": "59ed8e11070a3db06654dc5a21ddccd8ca160b8040544b800ff19253ddefb978",
}
TABLE = "".join(f"{i % 7 / 2},{('Rome', 'Oslo', 'Lima')[i % 3]},{i % 2},{i % 5}\n" for i in range(80))


def trained(data, recipe=recipes.vae, **options):
    method = recipe(data, **({"latent": 2, "hidden": (8,)} | options))
    return train.fit(method, data, epochs=1, batch_size=32, show=False)


def subject(data, recipe=recipes.vae, **options) -> Subject:
    return Subject(trained(data, recipe, **options), data, None)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("table") / "table.csv"
    path.write_text("age,city,car,visits\n" + TABLE)
    return load(str(path))


class Scripts(HTMLParser):
    """The elements of a page as a browser finds them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict, str]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), ""))

    def handle_data(self, data):
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)


# --- the files of others ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VENDORED)
def test_what_is_embedded_of_others_is_as_it_was_published(name):
    assert hashlib.sha256((HERE / "vendor" / name).read_bytes()).hexdigest() == VENDORED[name]


def test_the_runtime_is_compressed_without_a_time_and_its_licence_is_beside_it():
    packed = (HERE / "vendor" / "ort-wasm-simd-threaded.wasm.gz").read_bytes()
    assert packed[4:8] == bytes(4)
    assert gzip.decompress(packed)[:4] == b"\0asm"
    assert "Copyright (c) Microsoft Corporation" in (HERE / "vendor" / "LICENSE").read_text()


def test_every_script_of_the_folder_is_in_the_page_and_names_no_address():
    text = program() + stylesheet() + (HERE / "page.html").read_text()
    for path in HERE.glob("*.js"):
        assert path.read_text() in program(), path
    assert not re.search(r"https?://|//cdn|\beval\(|new Function|innerHTML|fetch\(|XMLHttpRequest", text)


# --- what is embedded -------------------------------------------------------------------------------------------------


def test_arrays_stand_where_the_page_looks_for_them():
    made = Payload({})
    made.pack("a", np.arange(5, dtype=np.uint8))
    made.pack("b", np.array([[1.5, -2.0]], np.float32))
    block = made.block()
    assert made.about["arrays"]["b"] == {"at": 8, "kind": "f4", "shape": [1, 2]}
    assert np.frombuffer(block, np.float32, 2, 8).tolist() == [1.5, -2.0]
    assert block[:5] == bytes(range(5))


def test_the_payload_of_pictures_has_codes_thumbnails_and_what_colours_them():
    s = subject(load("digits"))
    with at_rest(s.model):
        made = payload(s, 50, 3)
    about = made.about
    assert about["rows"] == {"n": 50, "of": len(s.data.test), "name": "test rows", "centres": "posterior means"}
    assert [c["name"] for c in about["colours"]] == ["label", "log p(x), lower bound", "KL(q(z|x) || p(z))"]
    assert torch.equal(torch.from_numpy(made.arrays[0]), s.means[:50])
    thumbnails = next(a for a in made.arrays if a.dtype == np.uint8)
    assert torch.allclose(torch.from_numpy(thumbnails) / 255, s.data.test.x(slice(0, 50)), atol=0.003)
    assert about["evidence"]["name"] == "L_3"
    kl = [d["used"] for d in about["latent"]["dims"]]
    assert kl == pytest.approx(s.usage.kl.tolist())
    assert about["latent"]["dims"][0]["low"] < -3 < 3 < about["latent"]["dims"][0]["high"]  # the prior's reach
    json.loads(as_json(about))


@pytest.mark.filterwarnings("error")
def test_from_few_rows_it_is_not_known_which_directions_are_active(tmp_path: Path):
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32))
    s = subject(load(str(tmp_path / "few.npy")))
    assert len(s.means) < 10
    with at_rest(s.model):
        few = payload(s, 50, 1).about["latent"]
        one = payload(s, 1, 1).about["latent"]
    assert few["rows"] == len(s.means)
    assert [d["active"] for d in few["dims"] + one["dims"]] == [None] * 4
    assert all(d["spread"] == 1 for d in one["dims"])


def test_large_pictures_shrink_and_their_number_does():
    class Large:
        is_image = True

        class data:  # noqa: N801
            shape = (3, 96, 64)

    assert thumbnail_size(Large()) == (32, 21)
    assert most_rows(Large()) == 4_000_000 // (3 * 32 * 21)


def test_a_table_shows_categories_as_probabilities_in_the_order_of_its_columns(table):
    s = subject(table)
    with at_rest(s.model):
        made = payload(s, 80, 2)
    columns = made.about["shown"]["columns"]
    assert [(c["name"], c["kind"], c["at"], c["size"]) for c in columns] == [
        ("age", "real", 0, 1),
        ("city", "categorical", 1, 3),
        ("car", "binary", 4, 1),
        ("visits", "integer", 5, 1),
    ]
    assert columns[1]["categories"] == ["Lima", "Oslo", "Rome"]
    z = s.means[:4]
    with torch.no_grad():
        law = s.model.decode(z)
        x = Shown(s.model, law, [c.levels for c in table.spec.columns])(z)
    assert x.shape == (4, 6)
    assert torch.allclose(x[:, 1:4].sum(1), torch.ones(4))
    assert torch.equal(x[:, 1:4].argmax(1).float(), law.mean[:, 1])  # the law's own mean is the likeliest code
    assert torch.allclose(x[:, [0, 4, 5]], law.mean[:, [0, 2, 3]])


def test_no_label_can_end_its_element(tmp_path: Path):
    nasty = ["</script><script>alert(1)</script>", "<!--<script>", "%style% & \u2028", "Rome"]
    rows = "".join(f'{i % 7},"{nasty[i % 4]}",{i % 3}\n' for i in range(60))
    (tmp_path / "nasty.csv").write_text('"a</script>b",city,n\n' + rows, encoding="utf-8")
    data = load(str(tmp_path / "nasty.csv"))
    path, known = explore.write(trained(data), data, samples=1, to=tmp_path / "page.html")
    parser = Scripts()
    parser.feed(path.read_text(encoding="utf-8"))
    scripts = [(a.get("id"), a.get("type"), text) for tag, a, text in parser.found if tag == "script"]
    assert [name for name, _, _ in scripts] == ["about", "rows", "model", "ort", "wasm", None]
    assert json.loads(scripts[0][2]) == json.loads(as_json(known.about))
    assert {nasty[0], nasty[2]} <= set(known.about["shown"]["columns"][1]["categories"])
    assert "<" not in scripts[0][2]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_policy_names_the_one_script_and_the_one_style(tmp_path: Path):
    data = load("digits")
    run = trained(data)
    path, _ = explore.write(run, data, rows=20, samples=1, to=tmp_path / "e.html")
    text = path.read_text(encoding="utf-8")
    for kind, content in (("script", program()), ("style", stylesheet())):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in text
        assert content in text
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY
    assert POLICY.startswith("default-src 'none'")
    assert len(text) < 12e6
    with pytest.raises(UserError, match="--force"):
        explore.write(run, data, rows=20, samples=1, to=path)
    with pytest.raises(UserError, match=r"ends in \.html"):
        explore.place(None, tmp_path / "e.txt")
    with pytest.raises(UserError, match="no folder"):
        explore.place(None, tmp_path / "no" / "e.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        explore.place(None, tmp_path / "folder.html", force=True)
    with pytest.raises(UserError, match="kept no folder"):
        explore.write(run, data)


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        (recipes.made, "no latent"),
        (recipes.dvae, "discrete"),
        (recipes.vq_vae, "discrete"),
        (recipes.pixel_vae, "autoreg"),
    ],
)
def test_a_model_without_a_mean_to_move_through_is_refused_in_one_sentence(recipe, why):
    data = load("digits")
    method = recipe(data)
    s = Subject(train.Run(method, {}), data, None)
    with pytest.raises(UserError, match=why) as refused:
        check_explorable(s)
    assert str(refused.value).endswith("`logpx report`.")


def test_the_verb_has_the_functions_defaults():
    verb, function = (inspect.signature(f).parameters for f in (cli_explore.explore, explore.write))
    assert all(verb[name].default == function[name].default for name in ("rows", "samples", "seed", "force"))


def test_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(shown.append(address)) or True)
    line = "train vae digits --latent 2 --hidden 8 --epochs 1 --quiet --no-report --evidence-samples 1 --out run"
    assert cli.run(line.split()) == 0
    capsys.readouterr()
    assert cli.run(["explore", "run", "--rows", "30", "--samples", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 30
    assert found["bytes"] == Path("run/explorer.html").stat().st_size
    assert shown == []
    assert (
        cli.run(["explore", "run", "--rows", "30", "--samples", "2"]) == 0
    )  # a page of the run's own is written again
    assert shown == [Path("run/explorer.html").resolve().as_uri()]
    assert cli.run(["explore", "run", "--rows", "30", "--samples", "2", "--no-open", "--out", "run/explorer.html"]) == 2
    assert "--force" in capsys.readouterr().err
