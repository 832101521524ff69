"""Models whose log p(x) is known in closed form, and classical variational inference on them (floor 6): what every
bound and estimate of the package is held against."""

from logpx.exact import factor_analysis, gaussian_mixture, linear_vae, mean_field, ppca

__all__ = ["factor_analysis", "gaussian_mixture", "linear_vae", "mean_field", "ppca"]
