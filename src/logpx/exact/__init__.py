"""Models whose log p(x) is known in closed form (floor 6): what every bound and estimate of the package is held against."""

from logpx.exact import linear_vae, ppca

__all__ = ["linear_vae", "ppca"]
