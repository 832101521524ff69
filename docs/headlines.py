"""Of each recipe the one number that stands for it, and what it is compared with: where both lie in evidence/, no numbers.

A path leads through the keys of a file; a phrase is copied from one of its strings, which a test checks. Like stands beside
like: the same rows, measure and k, or else the cell says what differs. What is published for other data, another k or another
task is no comparison: then the page says so below the table, in the file's own words. readings.py follows the paths.
"""

from typing import NamedTuple

Keys = tuple[str, ...]


class Headline(NamedTuple):
    """`ours`, `other` and `elsewhere` lead to numbers, `why` to a sentence; `trained` and `theirs` are phrases of the file."""

    file: str
    what: str
    ours: Keys
    trained: str
    other: Keys | None = None
    by: str = ""  # whose the other number is, and in a word what differs
    theirs: str = ""  # how the other, or the one published elsewhere, was trained
    sign: int = 1  # -1 for what the file holds as a loss
    digits: int = 2
    elsewhere: Keys | None = None  # a number published for other data or under another protocol
    why: Keys | None = None  # why no published number can stand beside ours, or what is between the two


DIGITS, AE = "40 epochs of 1,437 rows", "30 epochs; a short schedule of ours"
NO_PAPER = ("why no number of the paper's",)
WITHOUT_LIKELIHOOD = ("why",)

HEADLINES: dict[str, Headline] = {
    "vae": Headline(
        "vae_2d_mnist",
        "grey score, MNIST, two latents, best epoch by test loss",
        ("grey score, as published: 60,000 train, the epoch of the lowest TEST total", "loss"),
        "100 epochs",
        ("paper", "loss"),
        by="the PyTorch example, seed 1",
        theirs="epoch 96, lowest TEST total of 100",
        sign=-1,
    ),
    "conditional_vae": Headline(
        "conditional_vae",
        "L_500 of log p(x|label), dynamic MNIST",
        ("log p(x|label): L_500",),
        "10 epochs (shortened: 100 is usual)",
        why=("why no paper's number",),
    ),
    "beta_vae": Headline(
        "representation", "MIG, sprites, beta 4", ("beta_vae, beta 4", "mig"), "30 epochs", digits=3, why=NO_PAPER
    ),
    "capacity_vae": Headline(
        "capacity_vae",
        "KL at the end, digits",
        ("terms at the end", "held_out", "kl"),
        "120 epochs of 1,437 rows",
        ("terms at the end", "held_out", "capacity"),
        by="its C",
        digits=3,
        why=("paper",),
    ),
    "constrained_vae": Headline(
        "constrained_vae",
        "KL at the end, eps 5, digits",
        ("terms at the end", "held_out", "kl"),
        "120 epochs of 1,437 rows",
        why=("paper",),
    ),
    "geco": Headline(
        "geco",
        "squared error of training rows, digits",
        ("terms at the end", "train", "squared_error"),
        "120 epochs of 1,437 rows",
        ("terms at the end", "train", "tolerance"),
        by="its tolerance",
        why=("paper",),
    ),
    "iwae": Headline(
        "iwae",
        "L_5000, dynamic MNIST, k = 50",
        ("L_5000", "IWAE, k = 50"),
        "Muon 4e-3, cosine, batch 100",
        ("L_5000", "IWAE, k = 50", "paper"),
        by="the paper, 3280 epochs",
        theirs="batch 20, 3280 epochs, Adam from 1e-3 to 1e-4 in eight stages",
    ),
    "miwae": Headline(
        "miwae", "L_500, digits", ("L_500",), DIGITS, elsewhere=("paper", "MNIST"), why=("paper", "source")
    ),
    "ciwae": Headline(
        "ciwae", "L_500, digits", ("L_500",), DIGITS, elsewhere=("paper", "MNIST"), why=("paper", "source")
    ),
    "renyi": Headline("renyi", "L_500, digits", ("L_500",), DIGITS, why=("paper", "why")),
    "aggressive_vae": Headline("aggressive_vae", "L_500, digits", ("L_500",), DIGITS, why=("paper", "why")),
    "two_layer_vae": Headline(
        "two_layer_vae", "L_500, digits", ("L_500",), DIGITS, elsewhere=("paper", "MNIST"), why=("paper", "source")
    ),
    "ppca": Headline(
        "ppca",
        "log p(x), exact, grey MNIST",
        ("closed form", "test"),
        "latent 10",
        ("scikit-learn's subspace, its variances times (n - 1)/n", "test"),
        by="scikit-learn",
        digits=6,
    ),
    "factor_analysis": Headline(
        "factor_analysis",
        "log p(x), exact, linear-gaussian",
        ("linear-gaussian", "test"),
        "linear-gaussian: latent 3, until an iteration gains less than 1e-10 nats",
        ("linear-gaussian", "scikit-learn FactorAnalysis.score", "test"),
        by="scikit-learn",
        theirs="svd_method lapack and tol 1e-10",
        digits=6,
        why=("why no paper's number",),
    ),
    "linear_vae": Headline(
        "linear_vae",
        "ELBO, 1,000 grey MNIST images",
        ("elbo",),
        "full batch, Adam 1e-2 on a cosine, 2,000 steps",
        ("probabilistic PCA maximum of the same images",),
        by="pPCA's maximum, exact",
        why=("paper",),
    ),
    "ae": Headline("ae", "log p(x|z), digits", ("E log p(x|z), test",), AE, why=NO_PAPER),
    "denoising": Headline(
        "denoising", "log p(x|z), digits, gaussian noise", ("gaussian", "E log p(x|z), test"), AE, why=NO_PAPER
    ),
    "sparse": Headline("sparse", "log p(x|z), digits, l1", ("l1", "E log p(x|z), test"), AE, why=NO_PAPER),
    "contractive": Headline("contractive", "log p(x|z), digits", ("E log p(x|z), test",), AE, why=NO_PAPER),
    "linear_ae": Headline(
        "linear_ae",
        "squared error, digits",
        ("squared error",),
        "full batch, Adam 0.01 along half a cosine, 2,000 steps",
        ("the eigenvalues that PCA drops",),
        by="PCA, exact",
        digits=4,
        why=("paper",),
    ),
    "mixture_vae": Headline(
        "mixture_vae",
        "true log p(x) less L_500, pinwheel",
        ("gap to the true log p(x)", "mixture of 10"),
        "30 epochs",
        digits=5,
        why=NO_PAPER,
    ),
    "vamp_vae": Headline(
        "vamp_vae",
        "L_200 less that of N(0, I), dynamic MNIST",
        ("VampPrior minus N(0, I), pair by pair",),
        "2 epochs",
        elsewhere=("paper", "VampPrior"),
        theirs="early stopping after 50, static binarisation, L_5000 on all test rows",
        why=("source",),
    ),
    "flow_vae": Headline(
        "flow_vae",
        "true log p(x) less L_500, pinwheel",
        ("gap to the true log p(x)", "flow as prior"),
        "6 epochs",
        digits=4,
        why=NO_PAPER,
    ),
    "vq_vae": Headline(
        "vq_vae",
        "log p(x|z_q) + log p(k), digits",
        ("log p(x|z_q) + log p(k), two stages",),
        "30 epochs",
        why=NO_PAPER,
    ),
    "hyperspherical_vae": Headline(
        "hyperspherical_mnist",
        "L_500, dynamic MNIST, d = 10",
        ("S-VAE, d = 10", "L_500"),
        "Muon 6e-3 along half a cosine, batch 256, the KL warmed up over 10 epochs, 50 epochs",
        ("paper", "S-VAE, d = 10"),
        by="the paper, early stopping",
        theirs="Adam 1e-3, batch 64, 100 epochs of warm-up, then until the held-out loss has not fallen for 50",
        why=("source",),
    ),
    "poincare_vae": Headline(
        "poincare_mnist",
        "L_500 of the grey score, MNIST, d = 10",
        ("wrapped, c = 0.7, d = 10", "L_500"),
        "batch 128, 80 epochs",
        elsewhere=("paper", "wrapped, c = 0.7, d = 10, a run of the published code"),
        theirs="5e-4, constant, AMSGrad",
        why=("source",),
    ),
    "mixed_curvature_vae": Headline(
        "mixed_curvature_vae",
        "L_500, digits, e2,h2,s2",
        ("L_500", "e2,h2,s2, curvatures fixed"),
        "30 epochs",
        why=("source",),
    ),
    "vaells": Headline(
        "vaells",
        "|Re|/|Im| of the operator left, 0 a rotation, circles",
        ("longest operator, |Re|/|Im| of its eigenvalues",),
        "25 epochs",
        digits=4,
        why=("paper",),
    ),
    "dvae": Headline(
        "dvae", "L_500, digits", ("L_500", "relaxed"), "60 epochs", why=("why there is no published figure beside it",)
    ),
    "made": Headline("made", "log p(x), exact, digits", ("log p(x)",), "30 epochs", digits=4, why=("paper", "why")),
    "pixelcnn": Headline("pixelcnn", "log p(x), exact, digits", ("log p(x)",), "30 epochs", why=("paper", "why")),
    "pixel_vae": Headline(
        "pixel_vae",
        "L_20, dynamic MNIST",
        ("L_20", "with the remedies"),
        "24 epochs with the remedies",
        why=("paper", "why"),
    ),
    "wae_mmd": Headline(
        "wae_mmd",
        "MMD^2 of samples, grey MNIST",
        ("samples against test rows", "wae_mmd", "over seeds"),
        "3 epochs",
        digits=4,
        why=("paper", "why not here"),
    ),
    "wae_gan": Headline(
        "wae_gan",
        "MMD^2 of samples, grey MNIST",
        ("samples against test rows", "wae_gan", "over seeds"),
        "3 epochs",
        digits=4,
        why=("paper", "why not here"),
    ),
    "aae": Headline(
        "aae", "MMD^2 of samples, grey MNIST", ("samples against test rows", "aae", "over seeds"), "3 epochs", digits=4
    ),
    "info_vae": Headline(
        "info_vae", "L_100, dynamic MNIST", ("L_100", "info_vae {'alpha': 0.0}"), "3 epochs", why=WITHOUT_LIKELIHOOD
    ),
    "beta_tc": Headline(
        "representation", "MIG, sprites, beta 6", ("beta_tc, beta 6", "mig"), "30 epochs", digits=3, why=NO_PAPER
    ),
    "factor_vae": Headline(
        "factor_vae", "L_100, dynamic MNIST", ("L_100", "factor_vae"), "3 epochs", why=WITHOUT_LIKELIHOOD
    ),
    "dip_vae": Headline(
        "dip_vae",
        "L_100, dynamic MNIST",
        ("L_100", "dip_vae {'version': 'ii', 'diagonal': 1.0}"),
        "3 epochs",
        why=WITHOUT_LIKELIHOOD,
    ),
    "divergence_vae": Headline(
        "divergence_vae",
        "L_100, dynamic MNIST, Jensen-Shannon",
        ("L_100", "divergence_vae {'which': 'jensen_shannon'}"),
        "3 epochs",
        why=WITHOUT_LIKELIHOOD,
    ),
    "sequence_vae": Headline(
        "sequence_vae",
        "true log p(x) less L_100, topics",
        ("found", "LSTM, word dropout 0.25 and 0.25 free nats", "true log p(x) minus L_100"),
        "20 epochs",
        why=NO_PAPER,
    ),
}
