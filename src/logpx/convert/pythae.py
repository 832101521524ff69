"""Settings of Pythae 0.1 (floor 7): model_config.json and, if there is one, training_config.json.

Its losses are sums over the data's elements and means over the batch, so weights of the KL carry over as they are. Its `mse`
is half the squared error: a Gaussian of sigma = 1 without its constant. AE, WAE, RAE and VQ-VAE take the whole squared error:
sigma^2 = 1/2.
"""

import math

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
    of_data,
    only,
    quoted,
    same,
    warmup,
)
from logpx.convert.pythae_rules import (
    adversary,
    ema,
    flows,
    information,
    kernel,
    law,
    network,
    reconstruction,
    sphere,
    stratified,
    twice_the_loss,
)
from logpx.convert.pythae_training import LEARNING, batch, pace
from logpx.errors import UserError

TOOL = "Pythae"
WHOLE = {"likelihood": "gaussian", "sigma": math.sqrt(0.5)}  # |x - m|^2 is -log N(x; m, 1/2 I) but for its constant


SCALES = nothing(
    "imq has the scales 0.1 to 10 of C = 2 latent here, rbf the median distance; their weights are added in both"
)
WEIGHTS: dict[str, Rule] = {"kernel_choice": kernel, "kernel_bandwidth": SCALES, "scales": SCALES}
CRITIC = nothing("a critic comes with the recipe; its widths are --critic")
OF_CRITIC: dict[str, Rule] = {
    "uses_default_discriminator": CRITIC,
    "discriminator_input_dim": CRITIC,
    "discriminator_learning_rate": pace,
}

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
SAME_LAW: dict[str, Rule] = {"reconstruction_loss": reconstruction}
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
            "use_mss": stratified,
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
        SAME_LAW | {"flows": flows},
        {"which": "posterior"},
    ),
    "VAE_IAF": Model(
        "flow_vae",
        "an inverse autoregressive posterior in both; its networks are our own",
        SAME_LAW
        | {
            "n_made_blocks": flows,
            "n_hidden_in_made": nothing("the flow's networks have their own widths"),
            "hidden_size": nothing("the flow's networks have their own widths"),
        },
        {"which": "posterior"},
    ),
    "SVAE": Model(
        "hyperspherical_vae",
        "q is the same law, its gradient the exact one here; kappa was softplus + 1 in training and softplus in evaluation",
        SAME_LAW | {"latent_dim": sphere},
    ),
    "PoincareVAE": Model(
        "poincare_vae",
        "the same ball; means are projected onto it here",
        SAME_LAW | {"prior_distribution": law, "posterior_distribution": law, "curvature": same("curvature")},
        {"decoder": "linear"},
    ),
    "WAE_MMD": Model(
        "wae_mmd",
        "the same objective",
        WEIGHTS | {"reg_weight": same("lam"), "reconstruction_loss_scale": twice_the_loss},
        {"sigma": math.sqrt(0.5)},
    ),
    "INFOVAE_MMD": Model(
        "info_vae", "the same objective", SAME_LAW | WEIGHTS | {"alpha": same("alpha"), "lbd": information}
    ),
    "Adversarial_AE": Model(
        "aae",
        "the same two players; the critic is another network",
        SAME_LAW
        | OF_CRITIC
        | {
            "adversarial_loss_scale": adversary,
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
            "use_ema": ema,
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
    "HVAE": Model(None, "a Hamiltonian posterior"),
    "RHVAE": Model(None, "a Riemannian Hamiltonian posterior"),
    "MSSSIM_VAE": Model(None, "a structural similarity is no likelihood: nothing is in nats"),
    "VAEGAN": Model(None, "reconstruction in a critic's features: no likelihood of x"),
}


COMMON: dict[str, Rule] = LEARNING | {
    "rows": ROWS,
    "name": of_data("the row of this table"),
    "input_dim": of_data("read off the data"),
    "latent_dim": same("latent", int),
    "uses_default_encoder": network,
    "uses_default_decoder": network,
}


def convert(settings: Settings) -> Conversion:
    """A model's configuration, that of its training joined to it. UserError for a name that Pythae does not have."""
    name = model_of(settings)
    model = MODELS[name]
    loss = {"reconstruction_loss": "mse"} if "reconstruction_loss" in model.rules else {}
    defaults = {"latent_dim": 10, "uses_default_encoder": True} | loss | DEFAULTS.get(name, {})
    return applied(TOOL, name, model._replace(defaults=defaults), settings, COMMON)


def model_of(settings: Settings) -> str:
    """The model of a configuration's `name`, such as VAEConfig."""
    given = str(settings.get("name", ""))
    found = given.removesuffix("Config").removesuffix("_")
    if found not in MODELS:
        raise UserError(
            f"The settings are named {quoted(given)}, and Pythae's models are {', '.join(MODELS)}: give its model_config.json."
        )
    return found
