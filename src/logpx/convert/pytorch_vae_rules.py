"""Rules for the weights in PyTorch-VAE's losses (floor 7), which stand beside a mean over the elements of x.

mean |x - m|^2 + w KL,  times P / (2 sigma^2), is  |x - m|^2 / (2 sigma^2) + w P / (2 sigma^2) KL.
"""

import math
from typing import Any

from logpx.convert.base import Rule, Said, Settings, nothing, number, one_of, positive, rewarded
from logpx.errors import UserError


def elements(settings: Settings) -> int:
    """P: channels times the square of the picture's side, which is 64 unless the settings say otherwise."""
    side = positive(settings.get("patch_size", settings.get("img_size", 64)), "patch_size", int)
    return positive(settings.get("in_channels", 3), "in_channels", int) * side**2


def weight(value: Any, settings: Settings) -> Said:
    """Of kld_weight: it becomes a sigma."""
    w, P = positive(value, "kld_weight"), elements(settings)
    variance = w * P / 2
    says = (
        f"of a mean over P = {P} elements: sigma^2 = w P / 2 = {variance:.6g} at beta = 1, which is beta = {variance:.6g} at "
        f"sigma = 1; validation there takes w = 1, a beta of {P / 2:g}, and chooses the checkpoint by it"
    )
    return Said("other meaning", says, {"likelihood": "gaussian", "sigma": math.sqrt(variance)})


def capacity_or_beta(value: Any, settings: Settings) -> Said:
    """Of loss_type."""
    return Said("exact", "H: --beta; B: a capacity (loss_type chooses the row)")


def penalty(value: Any, settings: Settings) -> Said:
    """Of the MMD beside a mean over elements."""
    (divisor, why), P = divided(settings), elements(settings)
    lam = number(value, "reg_weight") / divisor * P / 2
    says = f"{why}; beside a mean over P = {P} elements: times P / 2 at sigma = 1"
    return Said("other meaning", says, {"lam": lam, "sigma": 1.0})


def information(value: Any, settings: Settings) -> Said:
    """(alpha + reg - 1) / w is our alpha + lam - 1, once all is divided by w; with rbf (alpha + reg - 1) / (N (N - 1) w)."""
    (divisor, why), alpha = divided(settings), number(settings["alpha"], "alpha")
    w, theirs = positive(settings["kld_weight"], "kld_weight"), alpha + number(value, "reg_weight") - 1
    if theirs < 0:
        return rewarded("alpha + reg_weight - 1", theirs)
    says = f"alpha + lam - 1 = (alpha + reg_weight - 1) / w{f' / {divisor}' if divisor > 1 else ''}: {why}"
    return Said("other meaning", says, {"lam": theirs / (divisor * w) + 1 - alpha})


def divided(settings: Settings) -> tuple[int, str]:
    """What the weight of the MMD^2 is divided by in the end, and why.

    There it is divided by N (N - 1), and the mean is taken of what the kernel gives. rbf gives an N x N matrix. imq gives one
    number, the sum over the N (N - 1) pairs off the diagonal, whose mean it is itself: divided, it is the unbiased MMD^2.
    """
    pairs = batch_of(settings) * (batch_of(settings) - 1)
    if kernel_of(settings["kernel_type"]) == "rbf":
        return pairs, f"the mean of a kernel matrix, divided by N (N - 1) = {pairs}"
    return 1, f"a sum over N (N - 1) = {pairs} pairs, divided by their number"


def kernel_of(value: Any) -> str:
    """imq or rbf. UserError for another, as there."""
    return one_of(value, "kernel_type", ("imq", "rbf"))


def cost(value: Any, settings: Settings) -> Said:
    """Of a weight of the reconstruction."""
    said = weight(settings["kld_weight"], settings)
    scale = positive(value, "weight of the reconstruction")
    options = said.options | {"sigma": said.options["sigma"] / math.sqrt(scale)}
    return Said("other meaning", "weighs the reconstruction: sigma^2 = w P / (2 weight)", options)


def dip_weight(value: Any, _: Settings) -> Said:
    """Of DIPVAE's kld_weight."""
    w = positive(value, "kld_weight")
    return Said("other meaning", "both terms are sums over the batch: sigma^2 = w / 2", {"sigma": math.sqrt(w / 2)})


def batch_of(settings: Settings) -> int:
    """N, rows per step, two or more."""
    batch = number(settings.get("train_batch_size", settings.get("batch_size", 8)), "train_batch_size", int)
    if batch < 2:
        raise UserError(f"train_batch_size is {batch}: this loss divides by N (N - 1) and needs two rows or more.")
    return batch


def scaled(option: str) -> Rule:
    """A weight beside the mean over elements and the weighted KL: divided by w it stands beside a KL of weight 1."""

    def rule(value: Any, settings: Settings) -> Said:
        found = number(value, option) / positive(settings["kld_weight"], "kld_weight")
        return Said("exact", "divided by w, which leaves the KL the weight 1", {option: found})

    return rule


def network(value: Any, _: Settings) -> Said:
    """Of hidden_dims."""
    says = "convolutions without batch normalisation, of other widths; the output is free, there a tanh"
    return Said("other meaning", says)


def kernel(value: Any, _: Settings) -> Said:
    """Of the MMD."""
    if (found := kernel_of(value)) == "imq":
        says = "C / (C + |a - b|^2) there; here that is added up over seven C, from 0.1 to 10 times 2 latent"
    else:
        says = "the median distance is its width here"
    return Said("other meaning", says, {"kernel": found})


ONE_SCALE = nothing("the kernel's one width there, C = 2 latent latent_var")
