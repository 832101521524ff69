"""Laws of the export that hold for every recipe of the table: what each has, and that a graph says what Python says."""

from functools import cache

import pytest
import torch

from logpx.evaluate import evidence_alone
from logpx.export import PARTS, Decoder, Encoder, Scorer
from logpx.export.program import program_of
from logpx.model import VAE, Batch
from logpx.recipes import RECIPES
from logpx.train import fit
from test_law_recipes import small, toy

NO_CODE, NO_MEAN, NO_SCORE = "no latent", "no E[x|z]", "no density"
POINTS = ("ae", "denoising", "sparse", "contractive", "linear_ae", "wae_mmd", "wae_gan", "aae")  # q(z|x) is a point
#: all that a recipe has not, and why; every other part and output of every recipe can be had
LACKS: dict[str, dict[str, str]] = {
    **{name: {"l1": NO_SCORE} for name in POINTS},
    "vaells": {"l1": NO_SCORE},
    "made": {"encoder": NO_CODE, "decoder": NO_MEAN, "reconstruction": NO_CODE},
    "pixelcnn": {"encoder": NO_CODE, "decoder": NO_MEAN, "reconstruction": NO_CODE},
    "pixel_vae": {"decoder": NO_MEAN},
    "sequence_vae": {"decoder": NO_MEAN},
}
EXACT = {"ppca", "factor_analysis", "linear_vae", "made", "pixelcnn"}
every_recipe = pytest.mark.parametrize("name", RECIPES)


def model_of(name: str) -> VAE:
    """Small, and trained where a part of it is made at the end only."""
    data = toy(name)
    method = small(name, data)
    return (fit(method, data, epochs=1, show=False).model if method.finish else method.model).eval()


def rows_of(name: str, n: int = 3) -> Batch:
    return toy(name).train.batch(slice(0, n))


@every_recipe
def test_what_a_recipe_lacks_is_in_the_table_with_its_reason(name):
    model, batch, found = model_of(name), rows_of(name), {}
    for part, make in PARTS.items():
        try:
            found |= make(model).lacks
        except ValueError as why:
            found[part] = str(why)
    wanted = LACKS.get(name, {})
    assert found.keys() == wanted.keys()
    assert all(words in found[key] for key, words in wanted.items())
    outputs = Scorer(model).named(batch.x, batch.context)
    score = "log_px" if name in EXACT else "l1"
    assert outputs.keys() == {score, "reconstruction"} - wanted.keys()
    if score in outputs:  # the noise that the part keeps is that of `evidence_alone`
        by_python = evidence_alone(model, batch, samples=1, seed=0).per_point
        torch.testing.assert_close(outputs[score].double(), by_python, rtol=1e-5, atol=1e-5)


@cache
def kinds(name: str) -> dict[str, str]:
    model = small(name, toy(name)).model
    return {part: type(getattr(model, part)).__name__ for part in ("encoder", "posterior", "decoder", "likelihood")}


def first_of_each(*parts: str, without: str = "") -> list[str]:
    """The first recipe of each combination of such parts."""
    found: dict[tuple, str] = {}
    for name in RECIPES:
        if without not in LACKS.get(name, {}):
            found.setdefault((RECIPES[name].conditional, *(kinds(name)[part] for part in parts)), name)
    return list(found.values())


def assert_graph_is_python(part, given, context):
    """For as many rows as the graph has never seen, to 1e-5."""
    example = (given[:2], None if context is None else context[:2])
    graph = program_of(part, example).module()
    for n in (1, len(given)):
        rows = [t[:n] for t in (given, context) if t is not None]
        found = graph(*rows)
        found = found if isinstance(found, tuple) else (found,)
        for theirs, python in zip(found, part.named(*rows).values(), strict=True):
            torch.testing.assert_close(theirs, python, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", first_of_each("decoder", "likelihood", without="decoder"))
def test_the_decoders_graph_is_python(name):
    model, batch = model_of(name), rows_of(name)
    z = Encoder(model).named(batch.x, batch.context)["z"]
    assert_graph_is_python(Decoder(model), z, batch.context)


@pytest.mark.parametrize("name", first_of_each("encoder", "posterior", without="encoder"))
def test_the_encoders_graph_is_python(name):
    batch = rows_of(name)
    assert_graph_is_python(Encoder(model_of(name)), batch.x, batch.context)


@pytest.mark.parametrize("name", ["vae", "factor_analysis", "ae", "vq_vae", "dvae", "made", "vaells"])
def test_the_scorers_graph_is_python(name):
    batch = rows_of(name)
    assert_graph_is_python(Scorer(model_of(name)), batch.x, batch.context)
