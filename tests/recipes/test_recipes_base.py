"""Options that would be dropped without a word are refused, and numbers are kept as numbers."""

import pytest
import torch

from logpx.cli import run as logpx
from logpx.data import Column, Spec, from_array
from logpx.errors import UserError
from logpx.recipes import RECIPES, linear_vae, load_run, ppca, vae
from logpx.train import Training, fit

IMAGES = Spec((1, 8, 8), "binary")


def test_the_table_lists_the_plain_method_first():
    assert next(iter(RECIPES)) == "vae"


def test_sigma_belongs_to_a_gaussian():
    with pytest.raises(UserError, match="only gaussian, laplace, student_t have one"):
        vae(IMAGES, sigma=0.1)
    assert vae(IMAGES, likelihood="gaussian", sigma=0.1).model.likelihood.sigma == 0.1


def test_hidden_widths_reach_the_convolutional_networks():
    sizes = [sum(p.numel() for p in vae(IMAGES, network="conv", hidden=h).model.parameters()) for h in ((4,), (4, 4))]
    assert sizes[0] < sizes[1]


def test_conv_is_for_images():
    with pytest.raises(UserError, match="needs images"):
        vae(Spec((5,), "real"), network="conv")


def test_ppca_of_one_column_is_refused():
    with pytest.raises(UserError, match="at least two columns"):
        ppca(Spec((1,), "real"))


def test_whole_numbers_are_whole():
    with pytest.raises(UserError, match=r"batch_size is 2\.5"):
        Training(batch_size=2.5)  # type: ignore[arg-type]


def test_a_number_given_on_the_command_line_is_kept_as_a_number(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = "linear_vae linear-gaussian --sigma 0.5 --epochs 1 --no-report --quiet --out run --evidence-samples 2"
    assert logpx(["train", *arguments.split()]) == 0
    assert load_run("run").info["options"]["sigma"] == 0.5


def test_a_run_on_an_array_says_where_to_evaluate_it(tmp_path, capsys):
    x = torch.randn(30, 3)
    fit(linear_vae(x, latent=1), x, epochs=1, show=False, out=tmp_path / "run")
    assert logpx(["evaluate", str(tmp_path / "run")]) == 2
    assert "trained on an array from Python" in capsys.readouterr().err


CATEGORIES = Spec((5,), "categorical", 3)
MIXED = Spec((2,), "mixed", None, 0, (Column("a", "real"), Column("b", "categorical", 3)))


@pytest.mark.parametrize("spec", [CATEGORIES, MIXED], ids=["categorical", "mixed"])
@pytest.mark.parametrize("name", ["geco", "linear_ae", "wae_mmd", "wae_gan", "vae", "ppca", "linear_vae"])
def test_a_squared_error_between_categories_is_refused(name, spec):
    options = {"likelihood": "gaussian"} if name == "vae" else {}
    with pytest.raises(UserError, match=r"categor|are mixed: choose table") as error:
        RECIPES[name].build(spec, **options)
    assert str(error.value).count(". ") == 0


def test_ordered_codes_and_whole_numbers_keep_their_choice():
    assert vae(CATEGORIES, likelihood="logistic").model.likelihood.levels == 3
    assert vae(Spec((5,), "integer"), likelihood="gaussian").model.likelihood.sigma == "shared"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("vae", "sigma"),
        ("vae", "free_bits"),
        ("linear_vae", "sigma"),
        ("denoising", "amount"),
        ("sparse", "weight"),
        ("contractive", "weight"),
        ("vamp_vae", "sigma"),
    ],
)
def test_numbers_that_are_none_are_refused(name, option, value):
    with pytest.raises(UserError, match=f"The option {option} of {name} is {value}"):
        RECIPES[name].build(Spec((5,), "real"), **{option: value})


def test_the_total_correlation_knows_the_number_of_training_rows(tmp_path):
    data = from_array(torch.randn(50, 3), held_out=5, test=5)
    method = RECIPES["beta_tc"].build(data, latent=2, hidden=(4,))
    fit(method, data, epochs=1, show=False, out=tmp_path / "run")
    for found in (method, load_run(tmp_path / "run").method):  # a run that is opened again has no rows to count
        assert found.options["rows"] == list(found.objective.objectives)[1].rows == 40
    given = RECIPES["beta_tc"].build(data, rows=7, latent=2)
    assert list(given.objective.objectives)[1].rows == given.options["rows"] == 7
    assert RECIPES["beta_tc"].build(torch.randn(100, 3), latent=2).options["rows"] == 80
