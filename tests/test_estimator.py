"""The estimator: scikit-learn's own checks, and numbers that are known."""

import pickle
import pickletools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import logpx
from logpx import VAE, recipes
from logpx.data import Spec
from logpx.errors import UserError
from logpx.estimator.settings import EXACT

SMALL = {"hidden": (16,)}


def small(recipe: str = "vae", **settings) -> VAE:
    return VAE(recipe, **({"options": SMALL, "epochs": 3, "samples": 20, "random_state": 0} | settings))


def rows(n: int = 60, P: int = 5) -> np.ndarray:
    x = np.random.RandomState(1).randn(n, 2) @ np.random.RandomState(2).randn(2, P)
    return x + 0.3 * np.random.RandomState(3).randn(n, P)


@parametrize_with_checks([small(epochs=2)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


# --- known answers ----------------------------------------------------------------------------------------------------


def test_log_p_of_probabilistic_pca_is_scikit_learns():
    x = rows(80)
    ours = VAE("ppca", latent=2, held_out=0, precision="float64").fit(x)
    theirs = PCA(2).fit(x)
    # scikit-learn divides the covariance by n - 1, the maximum of the likelihood by n: scale the rows to undo it
    again = PCA(2).fit(x.mean(0) + (x - x.mean(0)) * np.sqrt(79 / 80))
    np.testing.assert_allclose(ours.score_samples(x), again.score_samples(x), rtol=1e-5)
    assert ours.score(x) > theirs.score(x)  # the maximum
    assert ours.score(x) == pytest.approx(ours.score_samples(x).mean())


def test_the_code_of_probabilistic_pca_is_the_projection():
    x = rows(80)
    z = VAE("ppca", latent=2, held_out=0).fit_transform(x)
    projected = PCA(2).fit_transform(x)
    fitted = projected @ np.linalg.lstsq(projected, z - z.mean(0), rcond=None)[0]
    np.testing.assert_allclose(fitted, z - z.mean(0), atol=1e-5)


@pytest.mark.parametrize("recipe", ["vae", "hyperspherical_vae", "two_layer_vae", "mixture_vae"])
def test_the_score_of_a_row_depends_on_nothing_but_the_row(recipe):
    x = rows(40)
    model = small(recipe, epochs=1).fit(x)
    whole, order = model.score_samples(x), np.random.RandomState(0).permutation(40)
    np.testing.assert_allclose(model.score_samples(x[order]), whole[order], rtol=1e-12)
    np.testing.assert_allclose(model.score_samples(x[7:8]), whole[7:8], rtol=1e-12)
    np.testing.assert_allclose(model.score_samples(np.repeat(x[:1], 3, 0)), whole[0], rtol=1e-12)


def test_what_is_trained_is_decided_by_the_random_state_and_torchs_own_is_left_alone():
    x, before = rows(), torch.get_rng_state()
    a, b, c = (small(random_state=seed).fit(x) for seed in (0, 0, 1))
    drawn = a.sample(3)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(a.transform(x), b.transform(x))
    assert not np.allclose(a.transform(x), c.transform(x))
    np.testing.assert_array_equal(drawn, b.sample(3))
    assert not np.allclose(drawn, a.sample(3, random_state=5))


# --- the verbs --------------------------------------------------------------------------------------------------------


def test_what_a_fit_leaves_behind():
    x = rows()
    model = small().fit(x)
    assert (model.n_iter_, model.n_features_in_, len(model.run_.rows)) == (3, 5, 3)
    assert isinstance(model.model_, logpx.model.VAE)
    assert list(model.get_feature_names_out()) == ["vae0", "vae1"]
    assert model.transform(x).shape == (60, 2)
    assert model.transform(x.astype(np.float32)).dtype == np.float32
    assert model.inverse_transform(model.transform(x)).shape == model.sample(60).shape == x.shape


def test_a_reconstruction_is_the_mean_or_a_draw():
    x = rows(400)
    model = small(epochs=20, options=SMALL | {"sigma": 0.5}).fit(x)
    mean, draw = model.reconstruct(x), model.reconstruct(x, draw=True)
    np.testing.assert_allclose(mean, model.inverse_transform(model.transform(x)))
    assert np.abs(draw - mean).mean() > 0.3  # E|e| = 0.4 for e ~ N(0, 0.5^2), and z moves too
    assert np.square(draw - x).mean() > np.square(mean - x).mean()
    np.testing.assert_array_equal(draw, model.reconstruct(x, draw=True))


def test_samples_have_the_law_of_the_model():
    x = rows(500)
    model = VAE("ppca", random_state=0).fit(x)
    drawn = model.sample(20_000)
    np.testing.assert_allclose(
        np.cov(drawn.T), np.cov(x.T), atol=0.35
    )  # s.e. of a variance of 6: 0.06, and of the fit: 0.4
    assert np.linalg.matrix_rank(np.cov(model.sample(100, mean=True).T), tol=1e-4) == 2


def test_missing_values_are_filled_from_what_was_observed():
    x = rows(300)
    model = small(epochs=60, batch_size=50, learning_rate=0.02).fit(x)
    holes = x.copy()
    holes[::3, 0] = np.nan
    filled = model.impute(holes)
    np.testing.assert_array_equal(filled[~np.isnan(holes)], x[~np.isnan(holes)])
    error = np.square(filled[::3, 0] - x[::3, 0]).mean()
    assert error < 0.5 * x[:, 0].var()  # of which the mean of the column explains nothing
    np.testing.assert_array_equal(model.impute(x), x)
    assert np.isfinite(small().fit(holes).score_samples(holes)).all()


def test_more_rows_and_epochs_go_on_from_the_weights():
    x = rows(200)
    model = small(epochs=1, batch_size=20).partial_fit(x)
    scores = [model.score(x)]
    for _ in range(4):
        scores.append(model.partial_fit(x, epochs=5).score(x))
    assert scores == sorted(scores)
    assert model.n_iter_ == 21
    assert [row["epoch"] for row in model.run_.rows] == list(range(1, 22))
    with pytest.raises(UserError, match="solved from all its rows at once"):
        VAE("ppca").fit(x).partial_fit(x)


def test_the_optimiser_remembers_between_calls():
    """Full batches of an ELBO without noise: calls of one epoch each are then one fit of as many."""
    x = rows()
    settings = {"options": {}, "batch_size": 60, "learning_rate": 0.05, "precision": "float64"}
    whole = small("linear_vae", **settings).partial_fit(x, epochs=5)
    parts = small("linear_vae", **settings)
    for _ in range(4):
        parts.partial_fit(x)
    parts = pickle.loads(pickle.dumps(parts)).partial_fit(x)
    np.testing.assert_allclose(parts.transform(x), whole.transform(x), rtol=1e-9)
    assert not hasattr(parts.fit(x), "_moments")  # those of another model


def test_imputed_means_depend_on_nothing_but_the_row():
    x = rows(200)
    model = small(epochs=5).fit(x)
    holes = x.copy()
    holes[::2, 1] = np.nan
    whole, order = model.impute(holes), np.random.RandomState(0).permutation(200)
    np.testing.assert_allclose(model.impute(holes[order]), whole[order], rtol=1e-12)
    np.testing.assert_allclose(model.impute(holes[150:151]), whole[150:151], rtol=1e-12)
    twice = model.impute(np.repeat(holes[:1], 50, 0), draw=True)[:, 1]
    assert twice.std() > 0.05  # draws of equal rows are independent


# --- p(x | y) ---------------------------------------------------------------------------------------------------------


def given_class(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Three columns around 0 or around 4, as the class says."""
    y = np.random.RandomState(0).randint(2, size=n)
    return 4.0 * y[:, None] + np.random.RandomState(1).randn(n, 3), y


def conditional(**settings) -> VAE:
    return small("conditional_vae", **({"epochs": 30, "learning_rate": 0.02, "batch_size": 50} | settings))


@pytest.mark.parametrize("names", [None, ("calm", "wild")])
def test_a_conditional_recipe_is_given_y(names):
    x, y = given_class()
    y = y if names is None else np.array(names)[y]
    one, two = np.unique(y)
    model = conditional().fit(x, y)
    assert model.score(x, y) > model.score(x, np.where(y == one, two, one)) + 3
    assert model.sample(200, given=one, mean=True).mean() == pytest.approx(0, abs=0.5)
    assert model.sample(200, given=two).mean() == pytest.approx(4, abs=0.5)
    drawn = model.sample(4, given=[one, two, one, two], mean=True).mean(1)
    assert (drawn > 2).tolist() == [False, True, False, True]
    assert (model.sample(4, mean=True).mean(1) > 2).tolist() == [False, True, False, True]  # every class in turn
    assert model.transform(x, y).shape == (300, 2)
    again = model.inverse_transform(np.zeros((2, 2)), [one, two]).mean(1)
    np.testing.assert_allclose(again, [0, 4], atol=0.5)
    np.testing.assert_allclose(model.reconstruct(x, y), model.inverse_transform(model.transform(x, y), y))
    holes = x.copy()
    holes[:, 0] = np.nan
    filled = model.impute(holes, y)[:, 0]
    assert np.square(filled - x[:, 0]).mean() < 1.5  # 1 is left by the class
    assert pickle.loads(pickle.dumps(model)).score(x, y) == model.score(x, y)
    assert model.partial_fit(x, y).n_iter_ == 31


def test_a_number_may_be_given_and_a_frame_of_several():
    pandas = pytest.importorskip("pandas")
    x, _ = given_class()
    level = np.linspace(-1, 1, 300)
    model = conditional().fit(x + 5 * level[:, None], level)
    low, high = (model.sample(300, given=value, mean=True).mean() for value in (-1.0, 1.0))
    assert high - low == pytest.approx(10, abs=1.5)
    y = pandas.DataFrame({"level": level, "city": ["Rome", "Oslo", "Bonn"] * 100})
    both = conditional(epochs=2).fit(x, y)
    assert both.sample(3, given={"city": "Bonn", "level": 0.5}).shape == (3, 3)
    with pytest.raises(UserError, match="'level', 'city', and not 'city'"):
        both.sample(3, given={"city": "Bonn"})


def test_conditional_recipes_stand_in_scikit_learns_searches_and_pipelines():
    x, y = given_class(80)
    line = make_pipeline(StandardScaler(), conditional(epochs=2))
    search = GridSearchCV(line, {"vae__latent": [1, 2]}, cv=2).fit(x, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert conditional(epochs=1).fit_transform(x, y).shape == (80, 2)
    with pytest.raises(UserError, match="give y, one value for each row"):
        conditional(epochs=1).fit(x, y).score_samples(x)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_few_rows_and_constant_columns_are_enough(n):
    x = np.c_[rows(n, 2), np.full(n, 7.0)]
    model = small().fit(x)
    assert np.isfinite(model.transform(x)).all()
    assert np.isfinite(model.score_samples(x)).all()


def test_pictures_are_rows_of_a_shape():
    x = load_digits().data[:60] / 16
    model = small(options={"network": "conv", "hidden": (8,), "sigma": 0.1}, shape=(1, 8, 8), epochs=1, samples=2).fit(
        x
    )
    assert model.reconstruct(x[:3]).shape == (3, 64)
    assert model.score_samples(x[:3]).shape == (3,)


# --- among scikit-learn's -----------------------------------------------------------------------------------------------


def test_it_stands_in_a_pipeline():
    x = 100 * rows() + 1000
    line = make_pipeline(StandardScaler(), small()).fit(x)
    assert line.transform(x).shape == (60, 2)
    assert line.inverse_transform(line.transform(x)).mean() == pytest.approx(x.mean(), rel=0.2)
    assert np.isfinite(line.score(x))


def test_a_grid_search_finds_the_number_of_latents():
    x = load_digits().data[:150] / 16
    grid = [{"latent": np.array([1, 2])}, {"latent": [2], "recipe": ["ppca"], "options": [None]}]
    search = GridSearchCV(small(epochs=1, samples=5), grid, cv=2)
    search.fit(x)
    assert search.best_params_["recipe"] == "ppca"  # whose one epoch is the maximum
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True] * 3


def test_a_clone_has_the_settings_and_nothing_else():
    model = small(latent=3, options={"hidden": (7,)}).fit(rows())
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.transform(rows())


@pytest.mark.parametrize("recipe", ["vae", "vamp_vae", "ppca"])
def test_a_pickle_holds_no_object_of_torch_and_says_the_same(recipe):
    x = rows()
    options = {} if recipe == "ppca" else SMALL
    model = small(recipe, options=options).fit(x)
    content, state = pickle.dumps(model), torch.get_rng_state()
    names = [str(value) for _, value, _ in pickletools.genops(content) if isinstance(value, str)]
    assert not [name for name in names if re.match(r"torch|safetensors", name)]
    assert {name for name in names if name.startswith("logpx")} == {"logpx.estimator.vae"}
    again = pickle.loads(content)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(again.score_samples(x), model.score_samples(x))
    np.testing.assert_array_equal(again.sample(3), model.sample(3))
    assert again.get_params() == model.get_params()
    assert again.run_.rows == model.run_.rows
    if recipe != "ppca":
        a, b = again.partial_fit(x).transform(x), model.partial_fit(x).transform(x)
        np.testing.assert_array_equal(a, b)


def test_a_damaged_pickle_is_a_sentence():
    state = small().fit(rows()).__getstate__()
    with pytest.raises(UserError, match="truncated or damaged"):
        VAE().__setstate__(state | {"run_": state["run_"][:200]})


# --- sentences ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"recipe": "vea"}, "There is no recipe 'vea'. Did you mean 'vae'?"),
        ({"options": [1]}, "options is [1]: it must be options by name"),
        ({"options": {1: 2}}, "options is {1: 2}: it must be options by name"),
        ({"options": {"hiden": (3,)}}, "The recipe vae has no option 'hiden'"),
        ({"latent": 0}, "The option latent of vae is 0"),
        ({"recipe": "conditional_vae"}, "conditional_vae models p(x | y): give y"),
        ({"recipe": "made", "latent": 3}, "The recipe made has no option 'latent'"),
        ({"kind": "ral"}, "kind='ral' is unknown"),
        ({"kind": "binary"}, "kind='binary' needs 0 and 1"),
        ({"epochs": -1}, "epochs is -1: it must be a positive number."),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        VAE(**settings).fit(rows())


def test_encoder_only_steps_need_rows_that_are_held_out():
    aggressive = small("aggressive_vae", epochs=1)
    with pytest.raises(UserError, match="partial_fit holds none out: call fit first"):
        aggressive.partial_fit(rows())
    assert aggressive.fit(rows()).partial_fit(rows()).n_iter_ == 2


def test_rows_outside_of_the_models_reach_are_refused():
    x = (rows() > 0).astype(float)
    model = small().fit(x)
    with pytest.raises(ValueError, match="0 and 1"):
        model.score_samples(x + 0.5)
    with pytest.raises(ValueError, match="codes of this model have 2"):
        model.inverse_transform(x)
    with pytest.raises(UserError, match="no latent"):
        VAE("made", epochs=1, options={"hidden": (8,)}).fit(x).transform(x)


@pytest.mark.parametrize("recipe", [name for name, row in recipes.RECIPES.items() if not row.conditional])
def test_recipes_that_compute_from_complete_rows_are_known(recipe):
    spec = Spec((1, 8, 8), "binary", None) if recipe != "sequence_vae" else Spec((6,), "sequence", 5)
    method = recipes.find(recipe).build(spec)
    assert (recipe in EXACT) == (method.model.marginal is not None or bool(method.solve))


# --- data frames --------------------------------------------------------------------------------------------------------


def people(library):
    """Two numbers, a count, a truth value and a text, of which each says something of the others."""
    r = np.random.RandomState(0)
    kind = r.randint(2, size=90)
    table = {
        "height": 150 + 25.0 * kind + 4 * r.randn(90),
        "weight": 50 + 25.0 * kind + 4 * r.randn(90),
        "pets": r.poisson(1 + 4 * kind),
        "tall": kind.astype(bool),
        "city": np.array(["Bonn", "Rome"], dtype=object)[kind].tolist(),
    }
    return library.DataFrame(table)


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_data_frames_go_in_and_come_out(name):
    library = pytest.importorskip(name)
    x = people(library)
    model = small(epochs=60, batch_size=20, learning_rate=0.01).set_output(transform=name).fit(x)
    z = model.transform(x)
    assert type(z) is library.DataFrame
    assert list(z.columns) == ["vae0", "vae1"]
    assert list(model.feature_names_in_) == list(x.columns)
    for out in (model.sample(4), model.inverse_transform(z), model.reconstruct(x), model.reconstruct(x, draw=True)):
        assert type(out) is library.DataFrame
        assert list(out.columns) == list(x.columns)
        assert set(out["city"].to_numpy().tolist()) <= {"Bonn", "Rome"}
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.score_samples(x), model.score_samples(x))
    np.testing.assert_allclose(model.score_samples(x[3:4]), model.score_samples(x)[3:4], rtol=1e-12)
    assert model.partial_fit(x).n_iter_ == 61


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_holes_of_a_data_frame_are_filled_in_their_type(name):
    library = pytest.importorskip(name)
    x = people(library)
    model = small(epochs=60, batch_size=20, learning_rate=0.02).fit(x)
    cells = {column: x[column].to_numpy().tolist() for column in x.columns}
    for column in ("height", "city"):
        cells[column][::4] = [None] * len(cells[column][::4])
    holes = library.DataFrame(cells)
    filled = model.impute(holes)
    assert type(filled) is library.DataFrame
    assert list(filled.columns) == list(x.columns)
    assert list(filled.dtypes) == list(holes.dtypes)
    for column in ("weight", "pets", "tall"):
        assert filled[column].to_numpy().tolist() == x[column].to_numpy().tolist()
    right = np.mean(filled["city"].to_numpy()[::4] == x["city"].to_numpy()[::4])
    assert right > 0.9
    assert (
        np.abs(filled["height"].to_numpy()[::4] - x["height"].to_numpy()[::4]).mean() < 8
    )  # 12.5 by the column's mean


# --- the package and the page -------------------------------------------------------------------------------------------


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "estimator.md").read_text()
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "estimator.md", "exec"), scope)
    linear, curved = (float(number) for number in capsys.readouterr().out.splitlines()[0].split())
    assert curved > linear + 5  # as the page says


def test_the_package_offers_the_estimator_and_nothing_that_it_has_not():
    assert "VAE" in dir(logpx)
    with pytest.raises(AttributeError, match="no attribute 'VEA'"):
        logpx.VEA  # noqa: B018
