"""Models of p(x | c): what the data are, given a label or some of their columns (floor 7)."""

from pydantic import NonNegativeInt, PositiveInt

from logpx import likelihoods
from logpx.data import Spec
from logpx.errors import UserError
from logpx.recipes.base import Network, Sigma, elbo, normal_vae, recipe
from logpx.train import Method, Training


@recipe(conditional=True)
def conditional_vae(
    data: Spec,
    *,
    latent: PositiveInt = 20,
    hidden: tuple[PositiveInt, ...] = (400,),
    network: Network = "mlp",
    likelihood: likelihoods.Name = "auto",
    sigma: Sigma = "shared",
    warmup: NonNegativeInt = 0,
) -> Method:
    """Conditional variational autoencoder (Sohn, Lee & Yan 2015, NeurIPS 28, eq. 4).
    The VAE of p(x|c): encoder and decoder are told a label, or some columns of the row.

    max E_q log p(x|z, c) - KL(q(z|x, c) || p(z)),  q(z|x, c) = N(mu(x, c), diag sigma(x, c)^2),  p(z) = N(0, I).

    The context c joins the input of the encoder and of the decoder; z is independent of it, the paper's relaxed form.
    Every number is about log p(x|c). c is the label (--context label) or columns of a table (--context age,city).

    When: samples or densities of a chosen class are wanted, or of columns given others; what the label says need not be in
    z, which is left for style. Not as a classifier, and not to fill in what is missing here and there: `logpx impute` does
    that with any model of p(x).
    """
    if not data.context:
        raise UserError("conditional_vae conditions on something: load the data with context='label' or columns.")
    model = normal_vae(data, latent, likelihood=likelihood, sigma=sigma, network=network, hidden=hidden)
    return Method(model, elbo(warmup), Training())
