"""Recipes (floor 7): published methods as typed functions. This list feeds the command line, the docs and the law tests."""

from logpx.recipes.base import RECIPES, Recipe, find, load_run, rebuild
from logpx.recipes.line import command

# The order of the table, from the plain to the special:
# isort: off
from logpx.recipes.plain import vae
from logpx.recipes.conditional import conditional_vae
from logpx.recipes.constrained import beta_vae, capacity_vae, constrained_vae, geco
from logpx.recipes.tighter import aggressive_vae, ciwae, iwae, miwae, renyi, two_layer_vae
from logpx.recipes.classical import factor_analysis, linear_vae, ppca
from logpx.recipes.codes import ae, contractive, denoising, linear_ae, sparse
from logpx.recipes.priors import flow_vae, mixture_vae, vamp_vae
from logpx.recipes.quantised import vq_vae
from logpx.recipes.curved import hyperspherical_vae, mixed_curvature_vae, poincare_vae
from logpx.recipes.structure import vaells
from logpx.recipes.discrete import dvae
from logpx.recipes.pixels import made, pixel_vae, pixelcnn
from logpx.recipes.aggregate import aae, beta_tc, dip_vae, divergence_vae, factor_vae, info_vae, wae_gan, wae_mmd
from logpx.recipes.sequence import sequence_vae

# isort: on

__all__ = [
    "RECIPES",
    "Recipe",
    "aae",
    "ae",
    "aggressive_vae",
    "beta_tc",
    "beta_vae",
    "capacity_vae",
    "ciwae",
    "command",
    "conditional_vae",
    "constrained_vae",
    "contractive",
    "denoising",
    "dip_vae",
    "divergence_vae",
    "dvae",
    "factor_analysis",
    "factor_vae",
    "find",
    "flow_vae",
    "geco",
    "hyperspherical_vae",
    "info_vae",
    "iwae",
    "linear_ae",
    "linear_vae",
    "load_run",
    "made",
    "miwae",
    "mixed_curvature_vae",
    "mixture_vae",
    "pixel_vae",
    "pixelcnn",
    "poincare_vae",
    "ppca",
    "rebuild",
    "renyi",
    "sequence_vae",
    "sparse",
    "two_layer_vae",
    "vae",
    "vaells",
    "vamp_vae",
    "vq_vae",
    "wae_gan",
    "wae_mmd",
]
