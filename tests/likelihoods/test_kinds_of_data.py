"""Every kind of data through a whole method: the likelihood that auto takes, one graph, learning, saving, missing values."""

import math
from dataclasses import replace

import pytest
import torch

from logpx.data import Column, Data, Spec, Split, from_array
from logpx.errors import UserError
from logpx.evaluate import evidence
from logpx.model import Batch
from logpx.recipes import load_run, vae
from logpx.train import fit

COLUMNS = (
    Column("height", "real", None, 170.0, 10.0),
    Column("smokes", "binary"),
    Column("colour", "categorical", 3),
    Column("visits", "integer", None, 4.0, 3.0),
)


def mixed(n=300) -> tuple[Spec, torch.Tensor]:
    """One hidden cause behind all columns."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, generator=generator)
    columns = [170 + 10 * (0.8 * z + 0.6 * torch.randn(n, generator=generator)), (z > 0).float()]
    columns += [(z + 1.5).clamp(0, 2.9).floor(), torch.poisson(4 * (0.7 * z).exp(), generator=generator)]
    return Spec((4,), "mixed", None, 0, COLUMNS), torch.stack(columns, -1)


def pixels(n=300) -> tuple[Spec, torch.Tensor]:
    z = torch.rand(n, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    return Spec((1, 4, 4), "integer", 17), (16 * z * torch.linspace(0, 1, 16).reshape(1, 4, 4)).round()


def counts(n=300) -> tuple[Spec, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, 1, generator=generator)
    return Spec((5,), "integer"), torch.poisson(20 * (z + 0.1 * torch.arange(5)).exp(), generator=generator)


def codes(n=300) -> tuple[Spec, torch.Tensor]:
    z = torch.rand(n, 1, generator=torch.Generator().manual_seed(0))
    return Spec((3,), "categorical", 4), ((4 * z + torch.arange(3)) % 4).floor()


KINDS = {"table": mixed, "logistic": pixels, "negative_binomial": counts, "categorical": codes}
each_kind = pytest.mark.parametrize("name", KINDS)


def data_of(name: str, n: int = 300) -> Data:
    """The rows as a data set of that kind, whatever its values would be taken for."""
    spec, x = KINDS[name](n)
    splits = [Split(part, lambda rows, generator=None: rows) for part in x.split([n - 100, 50, 50])]
    return Data(name, name, spec, "as-is", *splits, "0", "", {"held_out": 50, "test": 50, "seed": 0, "label": None})


@each_kind
def test_auto_learns_it_and_a_saved_run_is_the_same_model(name, tmp_path):
    data = data_of(name)
    method = vae(data, latent=2, hidden=(16,))
    assert method.options["likelihood"] == "auto"
    run = fit(method, data, epochs=30, batch_size=20, learning_rate=0.01, show=False, out=tmp_path / "run")
    first, best = run.rows[0]["held_out"]["loss"], run.best["held_out"]["loss"]
    assert best < first - 0.5
    again, x = load_run(tmp_path / "run").model, data.test.x()
    assert type(again.likelihood) is type(run.model.likelihood)
    found = [evidence(model, x, samples=20).per_point for model in (run.model, again)]
    assert torch.equal(*found)


@each_kind
def test_its_step_is_one_graph_and_every_parameter_gets_a_gradient(name):
    spec, x = KINDS[name]()
    method, batch = vae(spec, latent=2, hidden=(8,)), Batch(x[:16])
    compiled = torch.compile(method.objective, fullgraph=True, backend="aot_eager")
    method.objective(method.model, batch)
    results = []
    for step in (method.objective, compiled):
        torch.manual_seed(0)
        method.model.zero_grad()
        loss = step(method.model, batch).loss
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in method.model.parameters())])
    for eager, traced in zip(*results, strict=True):
        assert eager.isfinite().all()
        torch.testing.assert_close(traced, eager)


@each_kind
def test_missing_values_leave_the_loss_and_its_gradient_finite(name):
    spec, x = KINDS[name]()
    x[torch.rand(x.shape) < 0.4] = math.nan
    method = vae(spec, latent=2, hidden=(8,))
    method.objective(method.model, Batch.of(x)).loss.backward()
    assert all(p.grad.isfinite().all() for p in method.model.parameters())


@each_kind
def test_the_first_loss_is_no_worse_than_ten_nats_for_each_element(name):
    """The decoder's raw numbers are well scaled: with 0 put out, p(x) covers the data."""
    spec, x = KINDS[name]()
    method = vae(spec, latent=2, hidden=(16,))
    with torch.no_grad():
        loss = method.objective(method.model, Batch(x)).loss.item()
    unknown = 50 if name == "negative_binomial" else 0  # nothing says how large counts are: they start at a mean of one
    assert loss < (10 + unknown) * math.prod(spec.shape)


def test_images_of_codes_and_levels_go_through_convolutions():
    for spec in (Spec((3, 8, 8), "integer", 256), Spec((2, 8, 8), "categorical", 5)):
        method = vae(spec, latent=2, hidden=(8,), network="conv")
        x = torch.randint(spec.levels, (4, *spec.shape)).float()
        assert method.objective(method.model, Batch(x)).loss.isfinite()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"likelihood": "table"}, "likelihood table is for a mixed table"),
        ({"likelihood": "logistic"}, "likelihood logistic needs levels: pixels"),
        ({"likelihood": "categorical"}, "likelihood categorical needs levels"),
        ({"likelihood": "poisson", "sigma": 0.1}, "only gaussian, laplace, student_t have one"),
        ({"likelihood": "laplace", "sigma": "optimal"}, "known for a gaussian only"),
    ],
)
def test_a_likelihood_that_lacks_what_it_needs_is_refused(options, match):
    with pytest.raises(UserError, match=match):
        vae(Spec((5,), "real"), **options)


def test_heavy_tails_are_an_option_of_a_recipe():
    assert vae(Spec((5,), "real"), likelihood="student_t", sigma=0.3).model.likelihood.sigma == 0.3


def test_a_category_unseen_in_training_stops_a_run_before_it_starts():
    spec, x = mixed()
    x[270, 2] = 3.0
    data = data_of("table")
    test = Split(x[250:], data.test.prepare)
    data = replace(data, test=test, categories={"colour": ("red", "green", "blue", "violet")})
    with pytest.raises(UserError, match="colour"):
        fit(vae(spec, latent=1, hidden=(4,)), data, epochs=1, show=False)


def test_integers_of_a_table_without_levels_are_counts():
    data = from_array(counts()[1].numpy(), kind="integer")
    assert type(vae(data).model.likelihood).__name__ == "NegativeBinomial"
