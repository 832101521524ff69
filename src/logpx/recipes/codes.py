"""Autoencoders with a deterministic code (floor 7): plain, denoising, sparse, contractive, linear."""

from typing import Any, Literal

from pydantic import PositiveInt
from torch import nn

from logpx import likelihoods, networks, objectives, posteriors
from logpx.data import Spec
from logpx.errors import UserError
from logpx.model import VAE
from logpx.recipes.base import Network, Sigma, assemble, recipe
from logpx.recipes.code_density import Density, with_density
from logpx.recipes.types import NonNegative, Positive
from logpx.train import Method, Training

Noise = Literal["gaussian", "masking", "salt_and_pepper"]
NOISES = {"gaussian": networks.GaussianNoise, "masking": networks.Masking, "salt_and_pepper": networks.SaltAndPepper}
Penalty = Literal["l1", "kl", "top_k"]


def _autoencoder(data: Spec, latent: int, **parts: Any) -> VAE:
    """z = f(x): no law over z, and none of x but through z."""
    return assemble(data, posterior=posteriors.Deterministic(latent), prior=None, **parts)


@recipe
def ae(
    data: Spec,
    *,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    density: Density = "none",
    components: PositiveInt = 10,
) -> Method:
    """Autoencoder (Rumelhart, Hinton & Williams 1986; density: Ghosh et al. 2020, arXiv:1903.12436, section 4).
    A code from which x is reconstructed, without a law over the code.

    max E log p(x|z),  z = f(x).

    There is no p(z), hence no log p(x) and nothing to sample, unless a density of the codes is fitted at the end.

    When: only codes or reconstructions are wanted, or a baseline that shows what a prior costs. Not to compare likelihoods,
    for there is no log p(x); with a density of its codes it samples.

    density: what is fitted to the codes after training: none, mixture (normal, full covariance) or flow
    components: of that mixture
    """
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = _autoencoder(data, latent, **parts)
    return with_density(model, objectives.Reconstruction(), Training(), density, components)


@recipe
def denoising(
    data: Spec,
    *,
    noise: Noise = "gaussian",
    amount: Positive = 0.3,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    density: Density = "none",
    components: PositiveInt = 10,
) -> Method:
    """Denoising autoencoder (Vincent et al. 2010, J. Mach. Learn. Res. 11, eq. 11).
    An autoencoder that reconstructs clean rows from noisy ones.

    max E log p(x|z),  z = f(x'),  x' ~ C(x'|x): x' = x + s eps with eps ~ N(0, I), or with elements masked or replaced.

    x' is drawn anew at every step, the target is the clean x, and everything measured after a step sees the clean x too.

    When: inputs will be noisy when the model is used, or codes should not follow small changes of x; choose the noise that
    is expected. Not to compress clean data, which ae reconstructs as well or better, and not for log p(x), which there is
    none of.

    noise: gaussian (amount is s), masking or salt_and_pepper (amount is the probability of an element)
    amount: of the noise, in units of what the encoder sees (x, or the features of a table), or as a probability
    density: what is fitted to the codes after training: none, mixture (normal, full covariance) or flow
    components: of that mixture
    """
    if noise != "gaussian" and amount >= 1:
        raise UserError(f"amount is {amount}: the probability that {noise} hits an element must be below 1.")
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = _autoencoder(data, latent, **parts)
    model.encoder = networks.behind_features(model.encoder, lambda f: networks.Corrupted(f, NOISES[noise](amount)))
    return with_density(model, objectives.Reconstruction(), Training(), density, components)


@recipe
def sparse(
    data: Spec,
    *,
    penalty: Penalty = "l1",
    weight: NonNegative = 1.0,
    rho: float = 0.05,
    k: PositiveInt = 10,
    latent: PositiveInt = 64,
    hidden: tuple[PositiveInt, ...] = (),
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    density: Density = "none",
    components: PositiveInt = 10,
) -> Method:
    """Sparse autoencoder (Ng 2011, CS294A lecture notes; top_k: Makhzani & Frey 2014, arXiv:1312.5663).
    An autoencoder with a wide code of which few elements work at a time.

    max E log p(x|z) - w E sum_j |z_j|,  or  - w sum_j KL(rho || E z_j) of a sigmoid code,  or with all but k of z at 0.

    Under l1 the decoder is linear with columns of length 1: otherwise it could grow as z shrinks.

    When: features are wanted rather than a density: a wide code of which few elements work at a time, with l1 a dictionary
    whose atoms can be looked at. Not for maps or samples. The penalties pay for sparsity in reconstruction, l1 most of all,
    so compare them at one error.

    penalty: l1, kl (mean activity rho, the code a sigmoid) or top_k (the k largest are kept)
    weight: w, of l1 or kl
    rho: wanted mean activity of a unit, for kl
    k: non-zero elements of a code, for top_k
    density: what is fitted to the codes after training: none, mixture (normal, full covariance) or flow
    components: of that mixture
    """
    if penalty == "top_k" and k > latent:
        raise UserError(f"k is {k}, and a code has {latent} elements: ask for fewer, or for more latents.")
    model = _autoencoder(data, latent, likelihood=likelihood, sigma=sigma, hidden=hidden)
    if penalty == "l1":
        size = model.likelihood.size
        assert isinstance(size, int)
        model.decoder = networks.Dictionary(latent, (size, *data.shape), context=data.context)
        return with_density(
            model, objectives.Reconstruction() + weight * objectives.L1(), Training(), density, components
        )
    code: nn.Module = nn.Sigmoid() if penalty == "kl" else networks.TopK(k)
    model.encoder = networks.behind_features(model.encoder, lambda f: networks.Coded(f, code))
    penalised = objectives.Reconstruction() + weight * objectives.KLRho(rho) if penalty == "kl" else None
    return with_density(model, penalised or objectives.Reconstruction(), Training(), density, components)


@recipe
def contractive(
    data: Spec,
    *,
    weight: NonNegative = 0.1,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    density: Density = "none",
    components: PositiveInt = 10,
) -> Method:
    """Contractive autoencoder (Rifai et al. 2011, Int. Conf. Machine Learning, eq. 6).
    An autoencoder whose code hardly moves when x does.

    max E log p(x|z) - w E ||J_f(x)||_F^2,  z = f(x),  J_f the Jacobian of f.

    The norm is exact for any encoder and costs about one backward pass of it for each latent.

    When: a code must be stable under small changes of x, by its derivative rather than by noise. Not for reconstruction,
    from which the penalty takes much (evidence/contractive.json), and not with many latents in a hurry, each of which is a
    backward pass: denoising does nearly the same with less work.

    weight: w, of the squared norm of the Jacobian
    density: what is fitted to the codes after training: none, mixture (normal, full covariance) or flow
    components: of that mixture
    """
    if data.standard:
        raise UserError(
            "The Jacobian of a code is by x as it is, not as it is standardised: rescale the file, or take ae."
        )
    if data.kind in ("mixed", "categorical"):
        raise UserError(
            "The Jacobian of a code by a category does not exist: contractive takes columns of numbers only."
        )
    parts = {"likelihood": likelihood, "sigma": sigma, "network": network, "hidden": hidden}
    model = _autoencoder(data, latent, activation="tanh", **parts)
    objective = objectives.Reconstruction() + weight * objectives.Contraction()
    return with_density(model, objective, Training(), density, components)


@recipe
def linear_ae(data: Spec, *, latent: PositiveInt = 2, sigma: Sigma = "shared") -> Method:
    """Linear autoencoder (Baldi & Hornik 1989, Neural Networks 2; Bourlard & Kamp 1988).
    An autoencoder with linear networks, which finds the principal subspace.

    max E log N(x; W z + b, s^2 I),  z = V x + a: the optimum spans the principal subspace, without its axes.

    When: one wants to see that training finds what algebra knows: the principal subspace. Not to model data: ppca has it at
    once, with axes and a density.

    sigma: s: a number, or one learned for all elements (shared, or kept optimal) or one for each (pixel)
    """
    model = _autoencoder(data, latent, likelihood="gaussian", sigma=sigma, hidden=())
    return Method(model, objectives.Reconstruction(), Training())
