"""Every model of every tool has a row, every row's command is one that our recipes take, and no setting is dropped."""

import json
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from logpx import cli, convert, recipes
from logpx.convert import pythae, pytorch_vae
from logpx.data import Spec
from logpx.errors import UserError

#: from the public names of Pythae 0.1.2, models of PyTorch-VAE's `vae_models`
PYTHAE = (
    "AE VAE BetaVAE DisentangledBetaVAE BetaTCVAE FactorVAE IWAE MIWAE PIWAE CIWAE VAMP VAE_LinNF VAE_IAF SVAE PoincareVAE "
    "WAE_MMD INFOVAE_MMD Adversarial_AE VQVAE RAE_L2 RAE_GP HVAE RHVAE MSSSIM_VAE VAEGAN"
)
PYTORCH_VAE = (
    "HVAE LVAE IWAE SWAE MIWAE VQVAE DFCVAE DIPVAE BetaVAE InfoVAE WAE_MMD VampVAE GammaVAE MSSSIMVAE JointVAE BetaTCVAE "
    "FactorVAE LogCoshVAE VanillaVAE ConditionalVAE CategoricalVAE"
).replace("MSSSIM", "MSSIM")


def bare(tool: str, model: str) -> dict[str, Any]:
    """The least that names a model."""
    if tool == "pythae":
        return {"name": f"{model}{'_' if '_' in model and model != 'VAE' else ''}Config"}
    if tool == "scvi":
        return {"model": model}
    name, _, loss_type = model.partition(", ")
    parts = {"name": name, "in_channels": 3, "latent_dim": 10} | ({"loss_type": loss_type} if loss_type else {})
    return {"model_params": parts, "data_params": {"patch_size": 16, "train_batch_size": 64}}


ALL = [(tool, model) for tool, models in convert.MODELS.items() for model in models]


def test_every_model_has_a_row() -> None:
    assert set(pythae.MODELS) == set(PYTHAE.split())
    assert {name.split(",")[0] for name in pytorch_vae.MODELS} == set(PYTORCH_VAE.split())


def test_the_pages_tables_are_those_of_the_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    docs = Path(__file__).parents[2] / "docs"
    monkeypatch.syspath_prepend(str(docs))
    page = import_module("coming_from")
    text = (docs / "coming_from.md").read_text()
    assert page.filled(text) == text, "run: python docs/coming_from.py"
    assert all(f"| `{model}` |" in text for _, model in ALL)


@pytest.mark.parametrize(("tool", "model"), ALL)
def test_the_command_parses_and_the_recipe_takes_its_options(tool: str, model: str) -> None:
    found = convert.convert(tool, bare(tool, model), rows=1000)
    line = found.command("mnist")
    assert not [note for note in found.notes if note.verdict == "unknown"]
    if found.recipe is None:
        assert line is None
        assert {note.verdict for note in found.notes} <= {"no counterpart"}
        return
    assert line
    _, verb, *arguments = shlex.split(line)
    command = typer.main.get_command(cli.app).commands[verb]  # type: ignore[attr-defined]
    assert command.get_command(None, found.recipe).make_context(line, arguments[1:]).params
    context = 3 if found.recipe == "conditional_vae" else 0
    spec = Spec((3, 16, 16), "grey", None, context) if tool != "scvi" else Spec((7,), "integer")
    known = recipes.find(found.recipe).options
    recipes.find(found.recipe).build(spec, **{name: v for name, v in found.options.items() if name in known})


@pytest.mark.parametrize(("tool", "model"), ALL)
def test_an_unknown_setting_is_named(tool: str, model: str) -> None:
    settings = bare(tool, model) | {"dropout_of_mine": 0.3}
    notes = {note.setting: note for note in convert.convert(tool, settings).notes}
    assert notes["dropout_of_mine"].verdict in ("unknown", "no counterpart")
    assert notes["dropout_of_mine"].value == 0.3


def test_a_default_that_the_file_leaves_out_is_the_tools_and_said_to_be() -> None:
    found = convert.convert("pythae", {"name": "BetaVAEConfig", "latent_dim": 3})
    assert found.options["beta"] == 1.0  # ours would be 4
    notes = {note.setting: note.given for note in found.notes}
    assert notes["latent_dim"]
    assert not notes["beta"]


@pytest.mark.parametrize(
    ("tool", "settings", "match"),
    [
        ("pytae", {}, "There is no converter for 'pytae'"),
        ("pythae", {"name": "BaseTrainerConfig"}, "Pythae's models are AE, VAE"),
        ("pythae", {}, "give its model_config.json"),
        ("pythae", {"name": "VAEConfig", "latent_dim": "many"}, "latent is 'many'"),
        ("pythae", {"name": "VAEConfig", "latent_dim": 2.5}, "a whole number"),
        ("pythae", {"name": "BetaVAEConfig", "beta": float("nan")}, "beta is nan"),
        ("pythae", {"name": "BetaVAEConfig", "beta": True}, "beta is True"),
        ("pythae", {"name": "WAE_MMD_Config", "reconstruction_loss_scale": 0}, "must be positive"),
        ("pythae", {"name": "Adversarial_AE_Config", "reconstruction_loss_scale": 0}, "must be positive"),
        ("pythae", {"name": "VAMPConfig", "linear_scheduling_steps": 1e308}, "a number belongs there"),
        ("pythae", {"name": "VAMPConfig", "linear_scheduling_steps": 1, "rows": "x"}, "rows is 'x'"),
        ("pytorch-vae", {"model_params": {"name": "VanillaVAE", "in_channels": 10**400}}, "a whole number"),
        ("pytorch-vae", {"name": "VanillaVAE"}, "have no model_params"),
        ("pytorch-vae", {"model_params": {"name": "MyVAE"}}, "The model is 'MyVAE'"),
        ("pytorch-vae", {"model_params": {"name": "BetaVAE", "loss_type": "C"}}, "BetaVAE, C"),
        ("pytorch-vae", {"model_params": {"name": "VanillaVAE"}, "exp_params": [1]}, "is no mapping"),
        (
            "pytorch-vae",
            {"model_params": {"name": "VanillaVAE"}, "exp_params": {"kld_weight": 0}},
            "kld_weight is 0 in the settings: it must be positive",
        ),
        (
            "pytorch-vae",
            {"model_params": {"name": "WAE_MMD"}, "data_params": {"train_batch_size": 1}},
            "two rows or more",
        ),
        (
            "pytorch-vae",
            {"model_params": {"name": "WAE_MMD", "kernel_type": "x\nlogpx"}},
            r"kernel_type is 'x\\nlogpx'",
        ),
        ("pytorch-vae", {"model_params": {"name": "VanillaVAE"}, "exp_params": {"kld_weight": 5e-324}}, "be positive"),
        ("pythae", {"name": "WAE_MMD_Config", "kernel_choice": "laplace"}, "it is one of imq, rbf"),
        (
            "pythae",
            {"name": "PoincareVAEConfig", "prior_distribution": "x", "posterior_distribution": "x"},
            "posterior_distribution is 'x'",
        ),
        ("pythae", {"name": "BetaVAEConfig", "beta": [10**5000]}, "beta is a list beyond any setting"),
        ("pythae", {"name": "x" * 9999}, r"are named 'x{36}\.\.\.,"),
        ("scvi", {"model": "PyroVI"}, "The model is 'PyroVI'"),
        ("scvi", {"n_layers": 1e12}, "n_layers is 1000000000000 in the settings: up to 100 layers"),
        ("scvi", {"n_layers": -1}, "n_layers is -1 in the settings: it must be positive"),
        ("scvi", {"n_hidden": 0}, "n_hidden is 0 in the settings: it must be positive"),
        ("scvi", {"train_size": 1.5}, "train_size is 1.5 in the settings: a share of the cells, up to 1"),
        ("scvi", {"train_size": -0.5}, "train_size is -0.5 in the settings: it must be positive"),
        ("scvi", {"train_size": 1.5, "rows": 100}, "a share of the cells"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tool: str, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        convert.convert(tool, settings)


def test_a_model_without_a_counterpart_has_no_rules() -> None:
    assert not [
        (tool, name) for tool, name in ALL if not convert.MODELS[tool][name].recipe and convert.MODELS[tool][name].rules
    ]


# --- files ------------------------------------------------------------------------------------------------------------


def test_two_files_are_one_configuration(tmp_path: Path) -> None:
    model, training = tmp_path / "model_config.json", tmp_path / "training_config.json"
    model.write_text(json.dumps({"name": "VAEConfig", "latent_dim": 3}))
    training.write_text(json.dumps({"name": "BaseTrainerConfig", "num_epochs": 7, "keep_best_on_train": True}))
    settings = convert.settings_of([model, training])
    assert settings == {"name": "VAEConfig", "latent_dim": 3, "num_epochs": 7, "keep_best_on_train": True}
    options = convert.convert("pythae", settings).options
    assert (options["epochs"], options["held_out"]) == (7, 0)
    training.write_text(json.dumps({"latent_dim": 4}))
    with pytest.raises(UserError, match="latent_dim is 3 in one file and 4 in"):
        convert.settings_of([model, training])


def test_a_number_that_is_none_equals_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"name": "BetaVAEConfig", "beta": NaN}')
    settings = convert.settings_of([tmp_path / "a.json"])
    with pytest.raises(UserError, match="beta is nan in the settings: a number belongs there"):
        convert.convert("pythae", settings)
    (tmp_path / "b.json").write_text('{"a\\nb": 1}')
    (tmp_path / "c.json").write_text('{"a\\nb": "\\u001b"}')
    with pytest.raises(UserError, match=r"^'a\\nb' is 1 in one file and '\\x1b' in "):
        convert.settings_of([tmp_path / "b.json", tmp_path / "c.json"])


def test_what_has_no_end_is_not_read_to_its_end() -> None:
    with pytest.raises(UserError, match="/dev/zero is larger than 200,000 bytes"):
        convert.read("/dev/zero")


def test_yaml_becomes_what_json_can_hold(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {2001-01-02: 2003-04-05, 1: [null, .5]}\n")
    assert convert.read(tmp_path / "a.yaml") == {"a": {"2001-01-02": "2003-04-05", "1": [None, 0.5]}}


def test_yaml_is_read_safely(tmp_path: Path) -> None:
    path = tmp_path / "vae.yaml"
    path.write_text(
        "model_params:\n  name: 'VanillaVAE'  # a comment\n  hidden_dims: [32, 64]\nexp_params: {LR: 0.005}\n"
    )
    assert convert.read(path)["model_params"] == {"name": "VanillaVAE", "hidden_dims": [32, 64]}
    path.write_text("a: !!python/object/apply:os.system ['touch hacked']\n")
    with pytest.raises(UserError, match="is not YAML"):
        convert.read(path)
    assert list(tmp_path.iterdir()) == [path]


def test_without_pyyaml_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("logpx.convert.files.import_module", missing)
    (tmp_path / "vae.yaml").write_text("a: 1\n")
    with pytest.raises(UserError, match="pip install pyyaml, or give the same settings as JSON"):
        convert.read(tmp_path / "vae.yaml")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("model.pt", b"", "is a pickle, which may run any code and is never opened"),
        ("encoder.pkl", b"", "is a pickle"),
        ("c.json", b"{", "is not JSON"),
        ("c.json", b"[1]", "holds no settings by name"),
        ("c.json", b"\xff\xfe", "is no text"),
        ("c.json", b"[" * 100_000, "more than 32 lists in each other"),
        ("c.json", b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "more than 32 lists in each other"),
        ("c.json", b'{"seed": ' + b"1" * 5000 + b"}", "holds a number, a date or a text that is none"),
        ("c.json", b'{"\\ud800x": 1}', "holds a number, a date or a text that is none"),
        ("c.json", b'{"a": ["\\udfff"]}', "holds a number, a date or a text that is none"),
        ("c.json", b" " * 200_001, "is larger than 200,000 bytes"),
        ("c.yaml", b"seed: " + b"1" * 5000, "holds a number, a date or a text that is none"),
        ("c.yaml", b"seed: 0x" + b"f" * 5000, "holds a number, a date or a text that is none"),
        ("c.yaml", b"day: 2001-99-99", "holds a number, a date or a text that is none"),
        ("c.yaml", b"[" * 100_000, "more than 32 lists in each other"),
        ("c.yaml", b"a: &a [*a]", "anchors and aliases are not read"),
        ("c.yaml", b"a: &a [1]", "anchors and aliases are not read"),
        ("c.yaml", b"a: *b", "anchors and aliases are not read"),
        ("c.yaml", b"a: !!int ''", "tags are not read"),
        ("c.yaml", "a: [\u202e".encode(), r"is not YAML \([^\u202e]*\)"),
        ("c.yaml", b"a: [", "is not YAML"),
        ("c.yaml", b"only words", "holds no settings by name"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=match):
        convert.read(tmp_path / name)
