"""logpx: models that learn log p(x) through a latent z."""

__version__ = "0.1.0"
