"""Settings of scvi-tools 1 (floor 7): the arguments of SCVI(...) and train(...), written down as JSON.

Its saved model is a pickle and is never opened. `json.dump(model.init_params_, file)` writes the arguments of
the model; those of `train` go into a second file, or beside them. Its loss is in nats per cell, constants
included: numbers carry over.
"""

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
    number,
    of_data,
    only,
    positive,
    quoted,
    rows_of,
    same,
    warmup,
)
from logpx.errors import UserError

TOOL = "scvi-tools"


def _likelihood(value: Any, _: Settings) -> Said:
    if value == "nb":
        return Said("other meaning", RATE, {"likelihood": "negative_binomial"})
    if value == "poisson":
        return Said("other meaning", RATE, {"likelihood": "poisson"})
    if value == "zinb":
        says = f"no zero inflation here: negative_binomial, which is zinb with that probability at 0; {RATE}"
        return Said("no counterpart", says, {"likelihood": "negative_binomial"})
    return Said("no counterpart", "counts under a normal law: choose --likelihood gaussian for real numbers")


RATE = (
    "the mean is free here, and there the observed library size times a softmax: log p(x | size) there, log p(x) here"
)
BATCH = nothing("log p(x | batch) is conditional_vae with --context batch, where the batch is a column")


MOST_LAYERS = 100


def _hidden(value: Any, settings: Settings) -> Said:
    layers = positive(settings["n_layers"], "n_layers", int)
    if layers > MOST_LAYERS:
        raise UserError(f"n_layers is {layers} in the settings: up to {MOST_LAYERS} layers are written down.")
    widths = (positive(value, "n_hidden", int),) * layers
    return Said(
        "other meaning", "widths of all layers; batch normalisation and dropout are not used here", {"hidden": widths}
    )


def _batch(settings: Settings) -> int:
    return positive(settings.get("batch_size", 128), "batch_size", int)


def _warmed(value: Any, settings: Settings) -> Said:
    if value is None:
        return Said("exact", "steps are counted instead, or none")
    rule = warmup("warmup", "epochs there; a run shorter than that never reaches weight 1", _batch)
    return rule(value, settings)


def _warmed_steps(value: Any, settings: Settings) -> Said:
    if value is None or settings.get("n_epochs_kl_warmup"):
        return Said("exact", "not used")
    return Said("exact", "--warmup", {"warmup": number(value, "n_steps_kl_warmup", int)})


def _epochs(value: Any, settings: Settings) -> Said:
    if value is not None:
        return Said("exact", "--epochs", {"epochs": number(value, "max_epochs", int)})
    if (rows := rows_of(settings)) is None:
        return Said("no counterpart", "min(400, 400 * 20,000 / cells): say how many training rows there are (--rows)")
    found = max(1, min(400, round(20_000 * _share(settings.get("train_size")) / rows * 400)))
    return Said(
        "exact", "min(400, 400 * 20,000 / cells), the training rows being train_size of the cells", {"epochs": found}
    )


def _train_size(value: Any, _: Settings) -> Said:
    says = "the rest chooses the epoch; test rows are split off besides (--test)"
    return Said("other meaning", says, {"held_out": round(1 - _share(value), 6)})


def _share(train_size: Any) -> float:
    """Of the cells that are trained on, 0.9 if it is not said. UserError for one that is not in (0, 1]."""
    share = 0.9 if train_size is None else positive(train_size, "train_size")
    if share > 1:
        raise UserError(f"train_size is {share:g} in the settings: a share of the cells, up to 1, belongs there.")
    return share


def _stopping(value: Any, _: Settings) -> Said:
    if value:
        return Said(
            "other meaning",
            "45 epochs without a better held-out loss; here they count after the warm-up",
            {"patience": 45},
        )
    return Said("other meaning", "every epoch is run; the best by held-out loss is kept here, there the last")


def _decay(value: Any, _: Settings) -> Said:
    return Said("no counterpart" if value else "exact", "no weight decay inside Adam here (1e-6 there, if not said)")


SCVI: dict[str, Rule] = {
    "n_latent": same("latent", int),
    "n_hidden": _hidden,
    "n_layers": of_data("see n_hidden"),
    "dropout_rate": only(0, "no dropout in the encoder"),
    "dispersion": only("gene", "one r for each column"),
    "gene_likelihood": _likelihood,
    "latent_distribution": only("normal", "p(z) = N(0, I)"),
    "use_observed_lib_size": nothing("no library size here: the mean of each count is free"),
    "log_variational": only(True, "the encoder sees log(1 + x)"),
    "n_epochs_kl_warmup": _warmed,
    "n_steps_kl_warmup": _warmed_steps,
    "max_kl_weight": only(1.0, "the weight of the KL in the end"),
    "min_kl_weight": only(0.0, "the weight of the KL at the start"),
    "lr": same("learning_rate"),
    "eps": nothing("Adam's epsilon is 1e-8 here and 0.01 there, which shortens steps where gradients are small"),
    "weight_decay": _decay,
    "optimizer": only("Adam", "the optimiser"),
    "max_epochs": _epochs,
    "batch_size": same("batch_size", int),
    "train_size": _train_size,
    "validation_size": of_data("what train_size leaves"),
    "early_stopping": _stopping,
    "reduce_lr_on_plateau": only(False, "the learning rate is constant, or falls along a cosine"),
    "accelerator": of_data("--device"),
    "devices": of_data("--device"),
    **dict.fromkeys(("batch_key", "categorical_covariate_keys", "continuous_covariate_keys"), BATCH),
    **dict.fromkeys(("use_batch_norm", "use_layer_norm"), nothing("no normalisation between layers here")),
    **dict.fromkeys(("encode_covariates", "deeply_inject_covariates", "batch_representation"), BATCH),
    "rows": ROWS,
    "model": of_data("the row of this table"),
}
DEFAULTS: Settings = {
    "n_latent": 10,
    "n_hidden": 128,
    "n_layers": 1,
    "dropout_rate": 0.1,
    "dispersion": "gene",
    "gene_likelihood": "zinb",
    "latent_distribution": "normal",
    "use_observed_lib_size": True,
    "n_epochs_kl_warmup": 400,
    "lr": 1e-3,
    "eps": 0.01,
    "weight_decay": 1e-6,
    "max_epochs": None,
    "batch_size": 128,
    "train_size": None,
    "early_stopping": False,
}
MODELS: dict[str, Model] = {
    "SCVI": Model("vae", "a VAE of counts, given the library size", SCVI, {"kind": "integer"}, DEFAULTS),
    "LinearSCVI": Model(None, "a linear decoder of counts; linear_vae is of real numbers"),
    "SCANVI": Model(None, "labels are a latent class; conditional_vae takes them as given"),
    "TOTALVI": Model(None, "two kinds of counts with a background; a mixed table has a law for each column"),
    "MULTIVI": Model(None, "two modalities with posteriors that are joined"),
    "PEAKVI": Model(None, "accessibility with factors of cells and regions"),
    "AUTOZI": Model(None, "zero inflation is chosen gene by gene"),
    "CondSCVI": Model(None, "part of a model of spatial mixtures"),
    "DestVI": Model(None, "a model of spatial mixtures"),
    "AmortizedLDA": Model(None, "topics with a Dirichlet prior"),
}
NESTED = ("kwargs", "non_kwargs", "plan_kwargs", "model_kwargs", "train_kwargs")


def convert(settings: Settings) -> Conversion:
    """Arguments of a model and of its training, flat or as `init_params_` nests them; `model` names another than SCVI."""
    flat = flattened(settings)
    name = str(flat.get("model", "SCVI"))
    if name not in MODELS:
        raise UserError(f"The model is {quoted(name)}, and those of scvi-tools known here are {', '.join(MODELS)}.")
    return applied(TOOL, name, MODELS[name], flat, {"rows": ROWS, "model": SCVI["model"]})


def flattened(settings: Settings) -> Settings:
    """Nested groups of arguments as one mapping."""
    found: Settings = {}
    for name, value in settings.items():
        if name in NESTED and isinstance(value, dict):
            found |= flattened({str(key): inner for key, inner in value.items()})
        else:
            found[name] = value
    return found
