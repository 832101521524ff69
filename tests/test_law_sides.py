"""Every recipe is looked at from both sides, or says in one sentence why not."""

import pytest
import torch

from logpx.errors import UserError
from logpx.evaluate import annealed, chi_square, evidence, refine, sandwich
from logpx.recipes import RECIPES
from test_law_recipes import every_recipe, small, toy

#: recipes without a path of densities over z, and why
REFUSED = {
    **dict.fromkeys(("ppca", "linear_vae", "factor_analysis", "made", "pixelcnn"), "knows p(x) exactly"),
    **dict.fromkeys(
        ("ae", "denoising", "sparse", "contractive", "linear_ae", "wae_mmd", "wae_gan", "aae", "vaells"),
        "no density over z",
    ),
    "dvae": "categorical",
    "vq_vae": "one code",
}


@every_recipe
def test_annealing_works_or_is_refused_in_a_sentence(name):
    model, data = small(name, toy(name)).model, toy(name)
    batch = data.test.batch(slice(0, 3)) if len(data.test) else data.held_out.batch(slice(0, 3))
    torch.manual_seed(0)
    if name in REFUSED:
        for estimate in (lambda: annealed(model, batch), lambda: sandwich(model, like=batch)):
            with pytest.raises(UserError) as error:
                estimate()
            assert REFUSED[name] in str(error.value)
        return
    for start in ("posterior", "prior"):
        low = annealed(model, batch, temperatures=3, chains=4, start=start)
        assert low.per_point.shape == (3,)
        assert bool(((low.acceptance > 0) & (low.acceptance <= 1)).all())
    gap = sandwich(model, like=batch, temperatures=3, chains=4).gap
    assert bool(gap.per_point.isfinite().all())
    assert bool(
        (chi_square(model, batch, samples=5).per_point >= evidence(model, batch, samples=5).per_point - 1e-9).all()
    )
    found = refine(model, batch, steps=4, draws=4, truth=low)
    assert bool(found.best.isfinite().all())


def test_every_refusal_is_of_a_recipe_that_there_is():
    assert REFUSED.keys() <= RECIPES.keys()
