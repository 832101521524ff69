"""Settings of PyTorch-VAE, its configs/*.yaml (floor 7).

Most of its losses are  mean |x - m|^2 over elements + w KL,  with w = kld_weight. Times P / (2 sigma^2), P elements of x, that
is  |x - m|^2 / (2 sigma^2) + w P / (2 sigma^2) KL:  at sigma = 1 a beta of w P / 2, and beta = 1 at sigma^2 = w P / 2, which
is how it is converted: the same minimum, and a bound on log p(x) at last.
"""

import math
from typing import Any

from logpx.convert.base import (
    ROWS,
    Conversion,
    Model,
    Rule,
    Said,
    Settings,
    applied,
    nothing,
    of_data,
    quoted,
    same,
    seeded,
)
from logpx.convert.pytorch_vae_rules import (
    ONE_SCALE,
    capacity_or_beta,
    cost,
    dip_weight,
    information,
    kernel,
    network,
    penalty,
    scaled,
    weight,
)
from logpx.errors import UserError

TOOL = "PyTorch-VAE"
SECTIONS = ("model_params", "data_params", "exp_params", "trainer_params", "logging_params")


SUMMED = {"likelihood": "gaussian", "sigma": math.sqrt(0.5)}
KEPT: Rule = of_data("this loss does not use it")
ANNEALED = nothing("the temperature falls by --temperature, --coldest and --anneal here")
GAUSSIAN: dict[str, Any] = {"network": "conv"}
FAMILY: dict[str, Rule] = {"kld_weight": weight}
DEFAULTS: dict[str, Any] = {"kld_weight": 0.00025, "in_channels": 3, "patch_size": 64}
FORMERLY = {"img_size": "patch_size", "batch_size": "train_batch_size"}  # in configs of its first years
SUMS = (
    "imq: the unbiased MMD^2 in both, there a sum over N (N - 1) pairs whose weight is divided by their number; rbf: the mean "
    "of each kernel matrix there, diagonal included, and its weight is divided by N (N - 1) all the same"
)
WRONG_WAY = (
    "the softmax there is of the loss, so the worst draws weigh most, and its gradient flows; the paper's bound here"
)

MODELS: dict[str, Model] = {
    "VanillaVAE": Model("vae", "the same objective", FAMILY, GAUSSIAN, DEFAULTS),
    "BetaVAE, H": Model(
        "beta_vae",
        "the same objective",
        FAMILY | {"beta": same("beta"), "loss_type": capacity_or_beta},
        GAUSSIAN,
        DEFAULTS | {"beta": 4},
    ),
    "BetaVAE, B": Model(
        "capacity_vae",
        "the same objective",
        FAMILY
        | {
            "gamma": same("gamma"),
            "max_capacity": same("capacity"),
            "Capacity_max_iter": same("steps", int),
            "loss_type": capacity_or_beta,
            "beta": of_data("form B does not use it"),
        },
        GAUSSIAN,
        DEFAULTS | {"gamma": 1000.0, "max_capacity": 25, "Capacity_max_iter": 100_000},
    ),
    "ConditionalVAE": Model(
        "conditional_vae",
        "the label joins the first layer here, and is a channel of the picture there",
        FAMILY | {"num_classes": of_data("read off the data")},
        GAUSSIAN,
        DEFAULTS,
    ),
    "IWAE": Model(
        "iwae",
        WRONG_WAY,
        FAMILY | {"num_samples": same("samples", int)},
        GAUSSIAN | {"activation": "relu", "gradient": "plain"},
        DEFAULTS | {"num_samples": 5},
    ),
    "MIWAE": Model(
        "miwae",
        WRONG_WAY,
        FAMILY | {"num_samples": same("samples", int), "num_estimates": same("groups", int)},
        GAUSSIAN | {"activation": "relu"},
        DEFAULTS | {"num_samples": 5, "num_estimates": 5},
    ),
    "VampVAE": Model(
        "vamp_vae",
        "a bracket puts the prior's (z - mu)^2 and its log variance under one division there",
        FAMILY | {"num_components": same("pseudo_inputs", int)},
        GAUSSIAN,
        DEFAULTS | {"num_components": 50},
    ),
    "FactorVAE": Model(
        "factor_vae",
        "dimensions are permuted within a row there, and each across the batch here",
        FAMILY | {"gamma": scaled("gamma")},
        GAUSSIAN,
        DEFAULTS | {"gamma": 40.0},
    ),
    "BetaTCVAE": Model(
        "beta_tc",
        "log-weights are added before the sum over dimensions there, D times; the squared error is a sum: sigma^2 = 1/2",
        {
            "beta": same("beta"),
            "alpha": nothing("the weight of I(x; z) is 1 here"),
            "gamma": nothing("the weight of the marginal KL is 1 here"),
            "anneal_steps": nothing("the marginal KL is not warmed up here"),
            "kld_weight": of_data("there it sets the assumed number of rows, N = batch / w; here they are counted"),
        },
        GAUSSIAN | SUMMED,
        {"beta": 6.0},
    ),
    "DIPVAE": Model(
        "dip_vae",
        "covariances are centred over latents and summed over the batch there; here they are covariances",
        {
            "lambda_offdiag": nothing("weighs no covariance there: choose --lam"),
            "lambda_diag": nothing("weighs no variance there: choose --diagonal"),
            "kld_weight": dip_weight,
        },
        GAUSSIAN | {"likelihood": "gaussian"},
        {"kld_weight": 1},
    ),
    "WAE_MMD": Model(
        "wae_mmd",
        SUMS,
        {"reg_weight": penalty, "kernel_type": kernel, "latent_var": ONE_SCALE, "kld_weight": KEPT},
        GAUSSIAN | {"encoder": "deterministic"},
        {"reg_weight": 100, "kernel_type": "imq", "patch_size": 64, "in_channels": 3, "train_batch_size": 8},
    ),
    "InfoVAE": Model(
        "info_vae",
        SUMS,
        {
            "alpha": same("alpha"),
            "beta": cost,
            "reg_weight": information,
            "kernel_type": kernel,
            "latent_var": ONE_SCALE,
            "kld_weight": of_data("the KL has weight 1 - alpha once all is divided by w"),
        },
        GAUSSIAN,
        DEFAULTS | {"alpha": -0.5, "beta": 5.0, "reg_weight": 100, "kernel_type": "imq", "train_batch_size": 8},
    ),
    "SWAE": Model(
        "divergence_vae",
        "the cost adds an absolute error there, and codes are deterministic",
        {
            "reg_weight": nothing("divided by N (N - 1) there: choose --weight"),
            "num_projections": of_data("50 directions here"),
            "wasserstein_deg": nothing("2 here"),
            "projection_dist": nothing("directions are uniform here"),
            "kld_weight": KEPT,
        },
        GAUSSIAN | {"which": "sliced_wasserstein", "likelihood": "gaussian", "sigma": 1.0},
    ),
    "VQVAE": Model(
        "vq_vae",
        "the same quantiser; every term is a mean there and a sum here",
        {
            "num_embeddings": same("codes", int),
            "embedding_dim": same("width", int),
            "beta": nothing(
                "of a mean over the T places and W numbers of z beside a mean over P: beta P / (T W) at sigma^2 = 1/2"
            ),
            "kld_weight": KEPT,
            "latent_dim": nothing("the codes are the latents: --codes, --width and --grid"),
        },
        {"learning": "gradient", **SUMMED},
    ),
    "CategoricalVAE": Model(
        "dvae",
        "the KL is the exact one of categories in both",
        {
            "latent_dim": same("variables", int),
            "categorical_dim": same("classes", int),
            "temperature": same("temperature"),
            "anneal_rate": ANNEALED,
            "anneal_interval": ANNEALED,
            "alpha": cost,
            "kld_weight": of_data("the KL has weight 1 once all is divided by w"),
        },
        GAUSSIAN,
        DEFAULTS | {"categorical_dim": 40, "temperature": 0.5, "alpha": 30.0},
    ),
    "HVAE": Model(None, "two layers of latents under another factorisation; two_layer_vae is the nearest"),
    "LVAE": Model(None, "a ladder of five layers; two_layer_vae has two"),
    "GammaVAE": Model(None, "a gamma posterior"),
    "DFCVAE": Model(None, "a cost in another network's features is no likelihood"),
    "MSSIMVAE": Model(None, "a structural similarity is no likelihood: nothing is in nats"),
    "JointVAE": Model(None, "a normal and a categorical latent at once"),
    "LogCoshVAE": Model(None, "its law has no counterpart; --likelihood laplace is the nearest"),
}


def _schedule(value: Any, _: Settings) -> Said:
    if value in (None, 1, 1.0):
        return Said("exact", "a constant learning rate")
    return Said("no counterpart", "the rate falls by this factor each epoch there; here --schedule cosine, or constant")


def _decay(value: Any, _: Settings) -> Said:
    if not value:
        return Said("exact", "none")
    return Said("no counterpart", "--encoder-decay decays the encoder's weights alone, outside Adam's moments")


QUIET = of_data("has no influence on a result")
COMMON: dict[str, Rule] = {
    "name": of_data("the row of this table"),
    "in_channels": of_data("read off the data"),
    "patch_size": of_data("read off the data, which are not cropped here"),
    "img_size": of_data("read off the data"),
    "latent_dim": same("latent", int),
    "hidden_dims": network,
    "LR": same("learning_rate"),
    "max_epochs": same("epochs", int),
    "train_batch_size": same("batch_size", int),
    "batch_size": same("batch_size", int),
    "gradient_clip_val": same("clip"),
    "manual_seed": seeded(),
    "scheduler_gamma": _schedule,
    "weight_decay": _decay,
    "rows": ROWS,
    "data_path": of_data("DATA on the command line"),
    "dataset": of_data("DATA on the command line"),
    "gpus": of_data("--device"),
    **dict.fromkeys(
        ("LR_2", "submodel", "scheduler_gamma_2", "retain_first_backpass"), of_data("--rate is the critic's pace")
    ),
    **dict.fromkeys(("val_batch_size", "num_workers", "save_dir", "max_nb_epochs"), QUIET),
}


def convert(settings: Settings) -> Conversion:
    """A config with its sections. UserError for a model that PyTorch-VAE does not have."""
    flat = flattened(settings)
    name = model_of(flat)
    return applied(TOOL, name, MODELS[name], flat, COMMON)


def flattened(settings: Settings) -> Settings:
    """The sections as one mapping; the name of the model wins over that of the log."""
    if not isinstance(settings.get("model_params"), dict):
        raise UserError(
            "These settings have no model_params: give a config of PyTorch-VAE, such as its configs/vae.yaml."
        )
    sections = [settings.get(section) or {} for section in reversed(SECTIONS)]
    if not all(isinstance(section, dict) for section in sections):
        raise UserError(
            f"A section among {', '.join(SECTIONS)} is no mapping: give the config as PyTorch-VAE reads it."
        )
    rest = {name: value for name, value in settings.items() if name not in SECTIONS}
    flat = rest | {str(name): value for section in sections for name, value in section.items()}
    return {new: flat[old] for old, new in FORMERLY.items() if old in flat} | flat


def model_of(flat: Settings) -> str:
    """The row of a config: BetaVAE has two, by its loss_type."""
    name = str(flat.get("name"))
    name = f"{name}, {flat.get('loss_type', 'B')}" if name == "BetaVAE" else name
    if name not in MODELS:
        raise UserError(f"The model is {quoted(name)}, and PyTorch-VAE's are {', '.join(MODELS)}.")
    return name
