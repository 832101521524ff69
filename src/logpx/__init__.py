"""logpx: models that learn log p(x) through a latent z, every number in nats per data point with an error bar.

    from logpx import data, evaluate, recipes, train

Floors, from the bottom: maths, distributions, networks, posteriors/priors/likelihoods, model, objectives/evaluate,
train/exact/data, recipes, and the faces on top (cli, report, verify). Importing this package imports none of them, so
that it is instant; `from logpx import recipes` imports what recipes need.
"""

__version__ = "0.1.0"
