"""Settings of Pythae 0.1 (floor 7): model_config.json and, if there is one, training_config.json.

Its losses are sums over the data's elements and means over the batch, so weights of the KL carry over as they are. Its `mse`
is half the squared error: a Gaussian of sigma = 1 without its constant. AE, WAE, RAE and VQ-VAE take the whole squared error:
sigma^2 = 1/2.
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
    meaning,
    nothing,
    number,
    of_data,
    only,
    positive,
    same,
    warmup,
)
from logpx.convert.pythae_training import LEARNING, batch, pace
from logpx.errors import UserError

TOOL = "Pythae"
WHOLE = {"likelihood": "gaussian", "sigma": math.sqrt(0.5)}  # |x - m|^2 is -log N(x; m, 1/2 I) but for its constant


def _reconstruction(value: Any, _: Settings) -> Said:
    if value == "mse":
        says = (
            "half the squared error: sigma = 1, less (P/2) log 2 pi; its own decoder ends in a sigmoid, ours does not"
        )
        return Said("other meaning", says, {"likelihood": "gaussian", "sigma": 1.0})
    if value == "bce":
        says = "cross-entropy: on grey pixels a score, no log-likelihood; where the data are 0 and 1 write bernoulli instead"
        return Said("exact", says, {"likelihood": "grey"})
    return Said("unknown", "neither mse nor bce")


def _network(value: Any, _: Settings) -> Said:
    if value:
        return Said("exact", "one hidden layer of 512, ReLU", {"hidden": (512,)})
    return Said("no counterpart", "a network of your own, which Pythae keeps as a pickle: assemble it again in Python")


def _kernel(value: Any, _: Settings) -> Said:
    return Said("other meaning", "the same kernel; widths and scales as below", {"kernel": value})


SCALES = nothing(
    "imq has the scales 0.1 to 10 of C = 2 latent here, rbf the median distance; their weights are added in both"
)
WEIGHTS: dict[str, Rule] = {"kernel_choice": _kernel, "kernel_bandwidth": SCALES, "scales": SCALES}


CRITIC = nothing("a critic comes with the recipe; its widths are --critic")
OF_CRITIC: dict[str, Rule] = {
    "uses_default_discriminator": CRITIC,
    "discriminator_input_dim": CRITIC,
    "discriminator_learning_rate": pace,
}
LEAPFROG = nothing("no Hamiltonian posterior here")


def _twice_the_loss(value: Any, settings: Settings) -> Said:
    scale = positive(value, "reconstruction_loss_scale")
    says = "scale |x - m|^2 = |x - m|^2 / (2 sigma^2) with sigma^2 = 1 / (2 scale)"
    return Said("exact", says, {"sigma": math.sqrt(0.5 / scale)})


def _adversary(value: Any, settings: Settings) -> Said:
    scale = positive(settings.get("reconstruction_loss_scale", 1.0), "reconstruction_loss_scale")
    lam = number(value, "adversarial_loss_scale") / scale
    return Said("exact", "lam = adversarial_loss_scale / reconstruction_loss_scale", {"lam": lam})


def _information(value: Any, settings: Settings) -> Said:
    alpha, lam = (number(settings[name], name) for name in ("alpha", "lbd"))
    if alpha + lam < 1:
        negative = alpha + lam - 1
        says = (
            f"the MMD was rewarded, with the weight alpha + lbd - 1 = {negative:g}, which is refused here: choose --lam"
        )
        return Said("no counterpart", says)
    return Said("exact", "--lam", {"lam": lam})


def _stratified(value: Any, _: Settings) -> Said:
    says = "stratified weights put 1/N in column 0 of the batch's matrix there, and on its diagonal here"
    return Said("other meaning", says, {"weights": "stratified" if value else "weighted"})


def _law(value: Any, settings: Settings) -> Said:
    if settings["prior_distribution"] != settings["posterior_distribution"]:
        return Said("no counterpart", "prior and posterior are of one law here")
    return Said("exact", "--law", {"law": str(value).removesuffix("_normal")})


def _sphere(value: Any, _: Settings) -> Said:
    numbers = number(value, "latent_dim", int)
    return Said("other meaning", f"numbers of the vector: the sphere S^{numbers - 1}", {"latent": numbers - 1})


def _flows(value: Any, _: Settings) -> Said:
    layers = len(value) if isinstance(value, list) else number(value, "n_made_blocks", int)
    return Said("other meaning", "layers of an inverse autoregressive flow", {"layers": layers})


def _ema(value: Any, _: Settings) -> Said:
    return Said("exact", "--learning", {"learning": "ema" if value else "gradient"})


#: what Pythae takes where its file says nothing; reconstruction_loss of every model that has one
DEFAULTS: dict[str, Settings] = {
    "BetaVAE": {"beta": 1.0},
    "DisentangledBetaVAE": {"beta": 10.0, "C": 50.0, "warmup_epoch": 25},
    "BetaTCVAE": {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "use_mss": True},
    "FactorVAE": {"gamma": 2.0},
    "IWAE": {"number_samples": 10},
    "MIWAE": {"number_gradient_estimates": 5, "number_samples": 10},
    "CIWAE": {"number_samples": 10, "beta": 0.5},
    "VAMP": {"number_components": 50, "linear_scheduling_steps": 0},
    "VAE_LinNF": {"flows": ["Planar", "Planar"]},
    "VAE_IAF": {"n_made_blocks": 2},
    "PoincareVAE": {"prior_distribution": "wrapped_normal", "posterior_distribution": "wrapped_normal", "curvature": 1},
    "WAE_MMD": {"kernel_choice": "imq", "reg_weight": 3e-2, "reconstruction_loss_scale": 1.0},
    "INFOVAE_MMD": {"kernel_choice": "imq", "alpha": 0.0, "lbd": 1e-3},
    "Adversarial_AE": {
        "adversarial_loss_scale": 0.5,
        "reconstruction_loss_scale": 1.0,
        "deterministic_posterior": False,
    },
    "VQVAE": {"num_embeddings": 512, "use_ema": False},
}
SAME_LAW: dict[str, Rule] = {"reconstruction_loss": _reconstruction}
IWAE_SAYS = "the loss printed there lies below -L_k, by up to log k; here it is the bound"
RELU = {"activation": "relu", "gradient": "plain"}

MODELS: dict[str, Model] = {
    "AE": Model("ae", "the whole squared error", {}, WHOLE),
    "VAE": Model("vae", "the same objective", SAME_LAW),
    "BetaVAE": Model("beta_vae", "the same objective", SAME_LAW | {"beta": same("beta")}),
    "DisentangledBetaVAE": Model(
        "capacity_vae",
        "gamma |E KL - C| here; there the mean over rows of beta |KL - C|, which also punishes rows that differ",
        SAME_LAW
        | {
            "beta": same("gamma"),
            "C": same("capacity"),
            "warmup_epoch": warmup("steps", "C rises step by step, there epoch by epoch", batch, more=1),
        },
    ),
    "BetaTCVAE": Model(
        "beta_tc",
        "the same terms, with I(x; z) and the marginal KL at weight 1",
        SAME_LAW
        | {
            "beta": same("beta"),
            "alpha": only(1.0, "the weight of I(x; z)"),
            "gamma": only(1.0, "the weight of the marginal KL"),
            "use_mss": _stratified,
        },
    ),
    "FactorVAE": Model(
        "factor_vae",
        "the same objective; the critic's input is detached here",
        SAME_LAW | OF_CRITIC | {"gamma": same("gamma")},
    ),
    "IWAE": Model("iwae", IWAE_SAYS, SAME_LAW | {"number_samples": same("samples", int)}, RELU),
    "MIWAE": Model(
        "miwae",
        f"weights are normalised over the groups there, so M and K change places; {IWAE_SAYS}",
        SAME_LAW
        | {
            "number_samples": meaning("groups", "became the number of groups", int),
            "number_gradient_estimates": meaning("samples", "became k of each bound", int),
        },
        RELU,
    ),
    "PIWAE": Model(None, "the decoder by IWAE and the encoder by MIWAE: two objectives at once; take iwae or miwae"),
    "CIWAE": Model(
        "ciwae",
        IWAE_SAYS,
        SAME_LAW | {"number_samples": same("samples", int), "beta": same("share")},
        {"activation": "relu"},
    ),
    "VAMP": Model(
        "vamp_vae",
        "the same objective; pseudo-inputs start elsewhere",
        SAME_LAW
        | {
            "number_components": same("pseudo_inputs", int),
            "linear_scheduling_steps": warmup("warmup", "epochs there", batch),
        },
    ),
    "VAE_LinNF": Model(
        "flow_vae",
        "planar and radial layers there, autoregressive ones here",
        SAME_LAW | {"flows": _flows},
        {"which": "posterior"},
    ),
    "VAE_IAF": Model(
        "flow_vae",
        "an inverse autoregressive posterior in both; its networks are our own",
        SAME_LAW
        | {
            "n_made_blocks": _flows,
            "n_hidden_in_made": nothing("the flow's networks have their own widths"),
            "hidden_size": nothing("the flow's networks have their own widths"),
        },
        {"which": "posterior"},
    ),
    "SVAE": Model(
        "hyperspherical_vae",
        "q is the same law, its gradient the exact one here; kappa was softplus + 1 in training and softplus in evaluation",
        SAME_LAW | {"latent_dim": _sphere},
    ),
    "PoincareVAE": Model(
        "poincare_vae",
        "the same ball; means are projected onto it here",
        SAME_LAW | {"prior_distribution": _law, "posterior_distribution": _law, "curvature": same("curvature")},
        {"decoder": "linear"},
    ),
    "WAE_MMD": Model(
        "wae_mmd",
        "the same objective",
        WEIGHTS | {"reg_weight": same("lam"), "reconstruction_loss_scale": _twice_the_loss},
        {"sigma": math.sqrt(0.5)},
    ),
    "INFOVAE_MMD": Model(
        "info_vae", "the same objective", SAME_LAW | WEIGHTS | {"alpha": same("alpha"), "lbd": _information}
    ),
    "Adversarial_AE": Model(
        "aae",
        "the same two players; the critic is another network",
        SAME_LAW
        | OF_CRITIC
        | {
            "adversarial_loss_scale": _adversary,
            "reconstruction_loss_scale": of_data("divided into lam"),
            "deterministic_posterior": lambda value, _: Said(
                "exact", "--encoder", {"encoder": "deterministic" if value else "gaussian"}
            ),
        },
    ),
    "VQVAE": Model(
        "vq_vae",
        "the same quantiser; weights are of means there and of sums here",
        {
            "num_embeddings": same("codes", int),
            "commitment_loss_factor": nothing(
                "of a mean over the T places and W numbers of z: as a weight of our sum it is factor / (T W)"
            ),
            "quantization_loss_factor": nothing(
                "the codebook's own weight: it is 1 here, or the codes move by averages"
            ),
            "use_ema": _ema,
            "decay": same("decay"),
            "latent_dim": nothing("numbers in a code are --width, which the encoder's channels decide there"),
        },
        WHOLE,
    ),
    "RAE_L2": Model(
        "ae",
        "a density of the codes after training in both; the penalties on codes and weights have no counterpart",
        {
            "embedding_weight": nothing("no penalty on |z|^2"),
            "reg_weight": nothing("no decay of the decoder's weights"),
        },
        WHOLE | {"density": "mixture"},
    ),
    "RAE_GP": Model(None, "a penalty on the gradient; contractive penalises the encoder's Jacobian"),
    "HVAE": Model(None, "a Hamiltonian posterior", dict.fromkeys(("n_lf", "eps_lf", "beta_zero"), LEAPFROG)),
    "RHVAE": Model(
        None, "a Riemannian Hamiltonian posterior", dict.fromkeys(("n_lf", "eps_lf", "beta_zero"), LEAPFROG)
    ),
    "MSSSIM_VAE": Model(None, "a structural similarity is no likelihood: nothing is in nats"),
    "VAEGAN": Model(None, "reconstruction in a critic's features: no likelihood of x"),
}


COMMON: dict[str, Rule] = LEARNING | {
    "rows": ROWS,
    "name": of_data("the row of this table"),
    "input_dim": of_data("read off the data"),
    "latent_dim": same("latent", int),
    "uses_default_encoder": _network,
    "uses_default_decoder": _network,
}


def convert(settings: Settings) -> Conversion:
    """A model's configuration, that of its training joined to it. UserError for a name that Pythae does not have."""
    name = model_of(settings)
    model = MODELS[name]
    law = {"reconstruction_loss": "mse"} if "reconstruction_loss" in model.rules else {}
    defaults = {"latent_dim": 10, "uses_default_encoder": True} | law | DEFAULTS.get(name, {})
    return applied(TOOL, name, model._replace(defaults=defaults), settings, COMMON)


def model_of(settings: Settings) -> str:
    """The model of a configuration's `name`, such as VAEConfig."""
    given = str(settings.get("name", ""))
    found = given.removesuffix("Config").removesuffix("_")
    if found not in MODELS:
        raise UserError(
            f"The settings are named {given!r}, and Pythae's models are {', '.join(MODELS)}: give its model_config.json."
        )
    return found
