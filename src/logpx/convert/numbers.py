"""What an old number means (floor 7): losses that other tools print, in nats per data point where that is exact.

A number is turned into an ELBO at beta = 1, a lower bound on log p(x) with its constants, higher being better. Where only an
interval is known it is given as one; where nothing is, a sentence says so.
"""

import math
from typing import NamedTuple

from logpx.convert import pythae as pythae_settings
from logpx.convert import pytorch_vae, scvi
from logpx.convert.base import Settings, number, one_of, positive, shown
from logpx.convert.pytorch_vae_rules import elements
from logpx.errors import UserError

LOG_2PI = math.log(2 * math.pi)
#: models of Pythae whose loss is -E_q log p(x|z) + KL, but for a constant
BOUNDS = ("VAE", "BetaVAE", "VAMP", "VAE_LinNF", "VAE_IAF", "SVAE", "PoincareVAE")


class Nats(NamedTuple):
    """A value in nats per data point, or the interval that holds it; `name` is `elbo`, `score` or L_k."""

    low: float
    high: float
    name: str
    says: str

    def __str__(self) -> str:
        value = f"{self.low:.4f}" if self.low == self.high else f"from {self.low:.4f} to {self.high:.4f}"
        return f"{self.name} = {value} nats per data point: {self.says}"


def nats(tool: str, settings: Settings, loss: float, kl: float | None = None, *, validation: bool = False) -> Nats:
    """What the printed `loss` of a model with these settings means.

    kl          the KL printed beside it, nats per data point, where its weight in the loss was not 1
    validation  of PyTorch-VAE: the loss is of its validation, where the KL has weight 1
    Raises UserError for a loss that cannot be turned into nats, where the KL is needed, and for what says nothing of this tool.
    """
    loss, kl = number(loss, "loss"), None if kl is None else abs(number(kl, "kl"))
    if tool == "pytorch-vae":
        return _pytorch_vae(pytorch_vae.flattened(settings), loss, kl, validation)
    if validation:
        raise UserError("--validation is about PyTorch-VAE, whose KL has another weight in validation: leave it out.")
    if tool == "pythae":
        return _pythae(settings, loss, kl)
    one_of(tool, "tool", ("pythae", "pytorch-vae", "scvi"))
    if kl is not None:
        raise UserError("--kl is not needed: the KL has weight 1 in the elbo_ columns of scvi-tools; leave it out.")
    return _scvi(scvi.flattened(settings), loss)


# --- Pythae -----------------------------------------------------------------------------------------------------------


def _pythae(settings: Settings, loss: float, kl: float | None) -> Nats:
    model = pythae_settings.model_of(settings)
    grey = one_of(settings.get("reconstruction_loss", "mse"), "reconstruction_loss", ("mse", "bce")) == "bce"
    constant = 0.0 if grey else _dims(settings) / 2 * LOG_2PI
    name = "score" if grey else "elbo"
    says = "a log-likelihood of 0 and 1, a score on grey pixels" if grey else "-loss - (P/2) log 2 pi, of N(x; m(z), I)"
    if model in BOUNDS:
        value = -(_at_beta_1(loss, number(settings.get("beta", 1.0), "beta"), kl) + constant)
        return Nats(value, value, name, says)
    if model in ("IWAE", "CIWAE"):
        k = positive(settings.get("number_samples", 10), "number_samples", int)
        share = number(settings.get("beta", 0.5), "beta") if model == "CIWAE" else 0.0
        high = -(loss + constant)
        over = "sum w log w is printed, which exceeds the bound by log k less the entropy of the weights"
        return Nats(high - (1 - share) * math.log(k), high, f"L_{k}" if share == 0 else "bound", f"{over}; {says}")
    raise UserError(
        f"The loss of {model} is no bound on log p(x): evaluate a model converted with `logpx convert` instead."
    )


def _dims(settings: Settings) -> int:
    shape = settings.get("input_dim")
    if not isinstance(shape, list | tuple) or not shape:
        raise UserError(
            "The settings have no input_dim, so the constant of the Gaussian is not known: add it, [1, 28, 28] say."
        )
    return int(number(math.prod(positive(n, "input_dim", int) for n in shape), "input_dim", int))


def _at_beta_1(loss: float, beta: float, kl: float | None) -> float:
    """loss - (beta - 1) KL."""
    if beta == 1:
        return loss
    if kl is None:
        raise UserError(f"The KL has weight {beta:g} in this loss: give the KL that was printed beside it (--kl).")
    return loss - (beta - 1) * kl


# --- PyTorch-VAE ------------------------------------------------------------------------------------------------------


def _pytorch_vae(settings: Settings, loss: float, kl: float | None, validation: bool) -> Nats:
    model = pytorch_vae.model_of(settings)
    if model not in ("VanillaVAE", "ConditionalVAE", "BetaVAE, H"):
        raise UserError(
            f"The loss of {model} is no bound on log p(x): evaluate a model converted with `logpx convert` instead."
        )
    w, P = positive(settings.get("kld_weight", 0.00025), "kld_weight"), elements(settings)
    beta = number(settings.get("beta", 4), "beta") if model == "BetaVAE, H" else 1.0
    variance = w * P / 2
    constant = P / 2 * (LOG_2PI + math.log(variance))
    if validation:
        value = -_validated(loss, beta, kl, w) - constant
    else:
        value = -(_at_beta_1(loss / w, beta, kl) + constant)
    return Nats(value, value, "elbo", f"of N(x; m(z), {variance:.6g} I), P = {P} elements: its own sigma^2 = w P / 2")


def _validated(loss: float, beta: float, kl: float | None, w: float) -> float:
    """(loss - beta KL) / w + KL: the squared error out of a loss whose KL has weight 1, and the KL."""
    if kl is None:
        raise UserError(
            "The KL has weight 1 in a validation loss and another one in training: give the KL beside it (--kl)."
        )
    return (loss - beta * kl) / w + kl


# --- scvi-tools -------------------------------------------------------------------------------------------------------


def _scvi(settings: Settings, loss: float) -> Nats:
    if settings.get("model", "SCVI") != "SCVI":
        raise UserError(
            f"What {shown(settings['model'])} prints is not known here: only the elbo_ columns of SCVI are."
        )
    says = "-elbo_train or -elbo_validation, log p(x | library size) per cell, constants included, the KL at weight 1"
    return Nats(-loss, -loss, "elbo", says)
