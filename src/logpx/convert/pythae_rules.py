"""Rules for settings of Pythae's models (floor 7): what becomes of a value that is not simply our option's."""

import math
from typing import Any

from logpx.convert.base import Said, Settings, number, one_of, positive, rewarded


def reconstruction(value: Any, _: Settings) -> Said:
    """Of the reconstruction: a law of x."""
    if value == "mse":
        says = (
            "half the squared error: sigma = 1, less (P/2) log 2 pi; its own decoder ends in a sigmoid, ours does not"
        )
        return Said("other meaning", says, {"likelihood": "gaussian", "sigma": 1.0})
    if value == "bce":
        says = "cross-entropy: on grey pixels a score, no log-likelihood; where the data are 0 and 1 write bernoulli instead"
        return Said("exact", says, {"likelihood": "grey"})
    return Said("unknown", "neither mse nor bce")


def network(value: Any, _: Settings) -> Said:
    """Of uses_default_encoder and _decoder."""
    if value:
        return Said("exact", "one hidden layer of 512, ReLU", {"hidden": (512,)})
    return Said("no counterpart", "a network of your own, which Pythae keeps as a pickle: assemble it again in Python")


def kernel(value: Any, _: Settings) -> Said:
    """Of the MMD."""
    found = one_of(value, "kernel_choice", ("imq", "rbf"))
    return Said("other meaning", "the same kernel; widths and scales as below", {"kernel": found})


def twice_the_loss(value: Any, settings: Settings) -> Said:
    """Of the weight of a whole squared error."""
    scale = positive(value, "reconstruction_loss_scale")
    says = "scale |x - m|^2 = |x - m|^2 / (2 sigma^2) with sigma^2 = 1 / (2 scale)"
    return Said("exact", says, {"sigma": math.sqrt(0.5 / scale)})


def adversary(value: Any, settings: Settings) -> Said:
    """Of the critic's weight, beside the reconstruction's."""
    scale = positive(settings.get("reconstruction_loss_scale", 1.0), "reconstruction_loss_scale")
    lam = number(value, "adversarial_loss_scale") / scale
    return Said("exact", "lam = adversarial_loss_scale / reconstruction_loss_scale", {"lam": lam})


def information(value: Any, settings: Settings) -> Said:
    """Of lbd: a distance that would be rewarded has no counterpart."""
    alpha, lam = (number(settings[name], name) for name in ("alpha", "lbd"))
    if alpha + lam < 1:
        return rewarded("alpha + lbd - 1", alpha + lam - 1)
    return Said("exact", "--lam", {"lam": lam})


def stratified(value: Any, _: Settings) -> Said:
    """Of use_mss."""
    says = "stratified weights put 1/N in column 0 of the batch's matrix there, and on its diagonal here"
    return Said("other meaning", says, {"weights": "stratified" if value else "weighted"})


def law(value: Any, settings: Settings) -> Said:
    """Of a prior or posterior on the ball, which are of one law here."""
    if settings["prior_distribution"] != settings["posterior_distribution"]:
        return Said("no counterpart", "prior and posterior are of one law here")
    known = one_of(value, "posterior_distribution", ("wrapped_normal", "riemannian_normal"))
    return Said("exact", "--law", {"law": known.removesuffix("_normal")})


def sphere(value: Any, _: Settings) -> Said:
    """Of latent_dim on a sphere, which has one dimension less."""
    numbers = number(value, "latent_dim", int)
    return Said("other meaning", f"numbers of the vector: the sphere S^{numbers - 1}", {"latent": numbers - 1})


def flows(value: Any, _: Settings) -> Said:
    """Of a posterior's layers."""
    layers = len(value) if isinstance(value, list) else number(value, "n_made_blocks", int)
    return Said("other meaning", "layers of an inverse autoregressive flow", {"layers": layers})


def ema(value: Any, _: Settings) -> Said:
    """Of use_ema."""
    return Said("exact", "--learning", {"learning": "ema" if value else "gradient"})
