"""logpx: models that learn log p(x) through a latent z, every number in nats per data point with an error bar.

    from logpx import data, evaluate, recipes, train
    from logpx import VAE  # the scikit-learn estimator

Floors, from the bottom: maths, distributions, networks, posteriors/priors/likelihoods, model, objectives/evaluate,
train/exact/data, recipes, and the faces on top (cli, estimator, report, verify). Importing this package imports none of
them, so that it is instant; `from logpx import recipes` imports what recipes need.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logpx.estimator import VAE

__version__ = "0.1.0"
__all__ = ["VAE", "__version__"]


def __getattr__(name: str) -> Any:
    """The estimator, when it is first asked for."""
    if name == "VAE":
        from logpx.estimator import VAE

        return VAE
    raise AttributeError(f"module 'logpx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
