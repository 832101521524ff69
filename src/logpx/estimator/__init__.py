"""The scikit-learn estimator (floor 8): any recipe by name, `from logpx import VAE`."""

from logpx.estimator.vae import VAE

__all__ = ["VAE"]
