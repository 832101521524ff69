"""Priors that are learned, and posteriors that are flows (floor 7)."""

from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt

from logpx import likelihoods, posteriors, priors
from logpx.data import Spec, Split
from logpx.errors import UserError
from logpx.model import VAE
from logpx.recipes.base import Network, Sigma, assemble, elbo, normal_vae, recipe
from logpx.train import Method, Training


@recipe
def mixture_vae(
    data: Spec,
    *,
    components: PositiveInt = 10,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Autoencoder with a mixture prior (Dilokthanakul et al. 2016, arXiv:1611.02648; Tomczak & Welling 2018, section 3).
    A VAE whose prior is a mixture of normal laws, all of it learned.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  p(z) = sum_k pi_k N(mu_k, diag s_k^2), all of it learned.

    The KL has no closed form, so it is log q - log p at the draw.

    When: data come in groups, which a single normal prior presses into one another: on the pinwheel it was ahead of N(0, I)
    (evidence/mixture_vae.json). Not for many components on few rows, of which some die; a component is a part of the prior,
    not a class.

    components: normal laws in the prior
    """
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = assemble(data, posterior=posteriors.DiagNormal(latent), prior=priors.Mixture(latent, components), **parts)
    return Method(model, elbo(warmup), Training())


@recipe
def vamp_vae(
    data: Spec,
    *,
    pseudo_inputs: PositiveInt = 500,
    latent: PositiveInt = 40,
    hidden: tuple[PositiveInt, ...] = (300, 300),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Autoencoder with a VampPrior (Tomczak & Welling 2018, arXiv:1705.07120, eq. 9).
    A VAE whose prior is made of its own posteriors, at inputs that are learned.

    max E_q log p(x|z) - KL(q(z|x) || p(z)),  p(z) = 1/K sum_k q(z|u_k),  q(z|x) = N(mu(x), diag sigma(x)^2).

    The pseudo-inputs u_k are learned, as the encoder's network sees data: codes one-hot, counts as logarithms. Pixels start
    near 0.05, everything else at training rows; pixels stay inside [0, 1]. The KL is by one sample.

    When: codes do not fill N(0, I) and a nat or two of log p(x) matter; the pseudo-inputs are prototypes that one can look
    at. Each step encodes all of them. Not with a context, and not where others rely on z ~ N(0, I).

    pseudo_inputs: K, how many u there are
    """
    if data.context:
        raise UserError("The pseudo-inputs of vamp_vae have no context: take another prior for conditional data.")
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = normal_vae(data, latent, **parts)
    pixels = data.kind in ("binary", "grey")
    where: dict[str, Any] = {"centre": 0.05, "spread": 0.01} if pixels else {}
    where |= {"inside": (0.0, 1.0)} if pixels or (data.kind == "integer" and data.levels) else {}
    model.prior = priors.Vamp(model.encoder, model.posterior, data.shape, pseudo_inputs, **where)
    return Method(model, elbo(warmup), Training(learning_rate=5e-4), start=None if pixels else _start_at_rows)


def _start_at_rows(model: VAE, train: Split) -> None:
    """The pseudo-inputs at training rows drawn at random: they start among the data, whatever the data's scale."""
    vamp, like = model.prior, next(model.parameters())
    assert isinstance(vamp, priors.Vamp)
    index = torch.randperm(len(train))[: max(len(vamp.u), 1000)]
    batch = train.batch(index, torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    vamp.start(model.shown(batch))


@recipe
def flow_vae(
    data: Spec,
    *,
    which: Literal["prior", "posterior", "both"] = "prior",
    layers: PositiveInt = 2,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Autoencoder with normalising flows (Kingma et al. 2016, arXiv:1606.04934; prior: Chen et al. 2017, arXiv:1611.02731).
    A VAE whose prior or posterior is bent into shape by a normalising flow.

    max E_q log p(x|z) - KL(q || p),  log p(z) = log N(u; 0, I) + log |du/dz|  and likewise q(z|x) from N(mu(x), sigma(x)^2).

    The prior is a masked autoregressive flow, fast in its density, the posterior an inverse one, fast in its draws. The KL
    is by one sample. Needs zuko: pip install 'logpx[flows]'.

    When: the prior or q(z|x) needs a shape that no few normal laws have. Not before mixture_vae: after few epochs on the
    pinwheel no flow was measurably ahead of N(0, I) (evidence/flow_vae.json), and draws from the prior go dimension by
    dimension.

    which: is a flow: the prior, the posterior or both
    layers: autoregressive layers of each flow
    """
    q = posteriors.DiagNormal(latent) if which == "prior" else posteriors.Flow(latent, layers=layers)
    p = priors.StandardNormal(latent) if which == "posterior" else priors.Flow(latent, layers=layers)
    parts: dict[str, Any] = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    return Method(assemble(data, posterior=q, prior=p, **parts), elbo(warmup), Training())
