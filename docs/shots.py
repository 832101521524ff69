"""Which run each recipe's picture is of, how it is drawn, and what one sees in it."""

from typing import NamedTuple

import drawings
from drawings import Drawing


class Shot(NamedTuple):
    """`train` is what follows the recipe's name on the command line; `words` is the caption, but for the numbers."""

    train: str
    draw: Drawing
    words: str
    width: int = 640  # of the picture in the page, in pixels
    rows: int = 1000  # of the test set that are drawn


COSINE = "--learning-rate 2e-3 --schedule cosine"
DIGITS = f"digits --protocol dynamic --hidden 100 --epochs 40 {COSINE}"
GREY = f"digits --protocol grey --hidden 100 --epochs 40 {COSINE}"
DEEPER = f"digits --protocol dynamic --hidden 100,100 --epochs 40 {COSINE}"
MNIST = "mnist --hidden 200 --epochs 3 --learning-rate 3e-3 --schedule cosine"
SPRITES = f"sprites --latent 6 --hidden 200 --epochs 25 {COSINE}"
PINWHEEL = "pinwheel --latent 2 --sigma 0.2 --hidden 128,128 --epochs 40 --learning-rate 5e-3 --schedule cosine"
WALKS = "each line moves one latent from -3 to 3 and leaves the others, the highest KL on top"
CODES = "the codes of test digits in the plane of the two latents"

SHOTS: dict[str, Shot] = {
    "vae": Shot(
        f"{MNIST} --latent 2",
        drawings.decoded_plane,
        "E[x|z] over a grid of quantiles of the prior: the whole of a two-dimensional latent space",
    ),
    "conditional_vae": Shot(
        f"{MNIST} --latent 10 --epochs 6",
        drawings.means,
        "E[x|z, c] with another z in each picture: a column is a digit asked for",
    ),
    "beta_vae": Shot(f"{SPRITES} --beta 4", drawings.walks, f"Sprites; {WALKS}"),
    "capacity_vae": Shot(
        f"{DIGITS} --latent 10 --capacity 8 --steps 400",
        drawings.terms("kl", "reconstruction"),
        "The KL follows C, which rises to 8 nats, while the reconstruction error falls",
    ),
    "constrained_vae": Shot(
        "digits --protocol dynamic --latent 10 --hidden 100 --eps 5 --batch-size 100 --epochs 150 --learning-rate 2e-3",
        drawings.terms("kl", "multiplier"),
        "The multiplier moves, and the KL with it, until that is at the 5 nats that were asked for",
    ),
    "geco": Shot(
        "digits --protocol grey --latent 20 --hidden 100 --batch-size 100 --epochs 200 --learning-rate 2e-3",
        drawings.terms("squared_error", "kl"),
        "The squared error settles at its tolerance, and the KL at what that takes",
    ),
    "iwae": Shot(
        f"{DEEPER} --latent 20 --samples 10",
        drawings.rise,
        "L_k of test rows against k: the bound that is trained, k = 10, and beyond",
        400,
    ),
    "miwae": Shot(
        f"{DEEPER} --latent 20 --samples 8 --groups 4",
        drawings.at_work,
        "The KL of each latent: the noise of the encoder's gradient does not keep latents from work",
    ),
    "ciwae": Shot(
        f"{DEEPER} --latent 20 --samples 10",
        drawings.rise,
        "L_k of test rows against k: the share of the ELBO in the objective holds up the left end, L_1",
        400,
    ),
    "renyi": Shot(
        f"{DEEPER} --latent 20 --samples 10 --alpha 0.5",
        drawings.means,
        "E[x|z] of z drawn from the prior",
    ),
    "aggressive_vae": Shot(
        f"{DIGITS} --latent 20 --encoder-steps 20",
        drawings.terms("kl", "loss"),
        "KL and loss, epoch by epoch, with an encoder that catches up before each step of the decoder",
    ),
    "two_layer_vae": Shot(
        f"{DEEPER} --latent 20 --top 10 --top-hidden 50 --samples 5",
        drawings.means,
        "E[x|z1] with z2 from N(0, I), then z1 from p(z1|z2)",
    ),
    "ppca": Shot(
        "mnist --protocol grey --latent 2",
        drawings.plane,
        "E[z|x] of test digits: principal components, in units of p(z)",
        480,
    ),
    "factor_analysis": Shot(
        "linear-gaussian --latent 3 --epochs 300",
        drawings.noise_of_columns,
        "The noise that EM finds in each column; the law that made the data has 0.5 in all of them",
        480,
    ),
    "linear_vae": Shot(
        "linear-gaussian --latent 6 --epochs 60 --learning-rate 1e-2 --schedule cosine",
        drawings.at_work,
        "Six latents for data with three causes: three stay alive, those whose eigenvalue exceeds the noise",
        360,
    ),
    "ae": Shot(f"{MNIST} --latent 2", drawings.plane, f"Nothing holds codes to a law: {CODES}", 480),
    "denoising": Shot(
        f"{MNIST} --protocol grey --amount 0.5",
        drawings.cleaned,
        "Test digits, the same with noise of 0.5, and what is reconstructed from the noisy ones",
    ),
    "sparse": Shot(
        "digits --protocol grey --latent 32 --weight 0.2 --epochs 150 --learning-rate 5e-3 --schedule cosine",
        drawings.atoms,
        "The atoms of the dictionary, the most used first; middle grey is 0",
    ),
    "contractive": Shot(
        f"{GREY} --latent 2 --weight 0.01", drawings.plane, f"Held still by a penalty on its derivative: {CODES}", 480
    ),
    "linear_ae": Shot(
        f"digits --protocol grey --latent 8 --epochs 100 {COSINE}",
        drawings.rows_twice,
        "Digits of 64 pixels and below them what the span of eight principal directions keeps",
    ),
    "mixture_vae": Shot(
        f"{PINWHEEL} --components 10",
        drawings.densities,
        "p(x) of the model, on the left, beside the law that made the data",
    ),
    "vamp_vae": Shot(
        f"{MNIST} --pseudo-inputs 40 --latent 20",
        drawings.pseudo_inputs,
        "The forty pseudo-inputs, as learned",
    ),
    "flow_vae": Shot(
        f"{PINWHEEL}", drawings.densities, "p(x) of the model, on the left, beside the law that made the data"
    ),
    "vq_vae": Shot(
        f"digits --protocol dynamic --grid 2 --codes 64 --width 16 --channels 32 --prior-steps 1000 --epochs 30 {COSINE}",
        drawings.means,
        "E[x|z_q] of grids of four codes that the prior wrote",
    ),
    "hyperspherical_vae": Shot(
        f"{MNIST} --latent 2",
        drawings.curved_map,
        "Mean directions of test digits on the sphere, in Hammer's map of it",
        560,
    ),
    "poincare_vae": Shot(
        "tree --latent 2 --curvature 1.2 --law riemannian --hidden 200 --epochs 15 --learning-rate 5e-3 --schedule cosine",
        drawings.by_legend,
        "A tree's nodes in the Poincare disk, coloured by depth: the root inside, leaves towards the rim",
        480,
    ),
    "mixed_curvature_vae": Shot(
        f"{MNIST} --signature h2,s2",
        drawings.parts,
        "One z in two parts, a hyperbolic plane in its disk and a sphere in Hammer's map, with test digits in both",
        rows=250,
    ),
    "vaells": Shot(
        "circles --test 7800 --held-out 200 --sigma 0.1 --hidden 64 --warmup 200 --pace 15 --batch-size 50 --epochs 25 "
        "--learning-rate 3e-3 --schedule cosine",
        drawings.orbit,
        "Codes of points of two circles, and the orbits along which the longest operator carries anchors, the larger dots",
        480,
    ),
    "dvae": Shot(
        f"{MNIST} --variables 8 --classes 10 --anneal 1000 --epochs 4",
        drawings.classes,
        "Each line takes one categorical variable through its ten classes and leaves the others",
    ),
    "made": Shot(f"mnist --hidden 300 --epochs 4 {COSINE}", drawings.draws, "Draws, pixel after pixel"),
    "pixelcnn": Shot(
        f"digits --protocol integer --channels 16 --kernels 5,3,3 --epochs 25 {COSINE}",
        drawings.draws,
        "Draws, pixel after pixel",
    ),
    "pixel_vae": Shot(
        f"digits --protocol integer --channels 16 --kernels 3,3 --hidden 100 --warmup 200 --epochs 25 {COSINE}",
        drawings.draws,
        "Draws: z decides what the digit is, the pixels before a pixel decide its strokes",
    ),
    "wae_mmd": Shot(f"{MNIST} --protocol grey", drawings.means, "g(z) of z drawn from the prior"),
    "wae_gan": Shot(f"{MNIST} --protocol grey --critic 256,256", drawings.means, "g(z) of z drawn from the prior"),
    "aae": Shot(
        f"{MNIST} --latent 2 --critic 128,128 --lam 10 --epochs 8",
        drawings.plane,
        f"An adversary compares the codes with draws of p(z): {CODES}",
        480,
    ),
    "info_vae": Shot(f"{MNIST} --latent 2", drawings.plane, f"The aggregate is held to p(z): {CODES}", 480),
    "beta_tc": Shot(f"{SPRITES} --beta 6", drawings.walks, f"Sprites; {WALKS}"),
    "factor_vae": Shot(f"{SPRITES} --gamma 10", drawings.walks, f"Sprites; {WALKS}"),
    "dip_vae": Shot(f"{SPRITES} --lam 10", drawings.walks, f"Sprites; {WALKS}"),
    "divergence_vae": Shot(
        f"{MNIST} --latent 2 --which wasserstein2",
        drawings.plane,
        f"With the Wasserstein distance in the place of the KL: {CODES}",
        480,
    ),
    "sequence_vae": Shot(
        "topics --latent 4 --width 48 --free-bits 0.25 --epochs 8 --batch-size 128 --learning-rate 5e-3 --schedule cosine",
        drawings.written,
        "Sentences of test rows, and sentences that the model writes: each topic steps through the words in its own stride",
    ),
}
