"""Pure functions on tensors (floor 0). Nothing here knows a distribution object or a network.

Every function works in the dtype it is given and is tested alone, in float64, against another implementation.
"""

from logpx.maths.divergences import (
    jensen_shannon_at,
    sliced_wasserstein,
    total_variation_at,
    wasserstein2_diagonal,
    wasserstein2_normal,
)
from logpx.maths.kernels import (
    SCALES,
    Kernel,
    gaussian_kernel,
    inverse_multiquadratic,
    median_distance,
    mmd2,
    squared_distances,
)
from logpx.maths.special import (
    LOG_2PI,
    bernoulli_log_prob,
    bernoulli_log_prob_of_all,
    bessel_ratio,
    continuous_bernoulli_icdf,
    continuous_bernoulli_log_norm,
    continuous_bernoulli_mean,
    log_bessel_i,
    log_mean_exp,
    log_power_mean,
)
from logpx.maths.stats import effective_sample_size, generalized_pareto_shape, pareto_khat

__all__ = [
    "LOG_2PI",
    "SCALES",
    "Kernel",
    "bernoulli_log_prob",
    "bernoulli_log_prob_of_all",
    "bessel_ratio",
    "continuous_bernoulli_icdf",
    "continuous_bernoulli_log_norm",
    "continuous_bernoulli_mean",
    "effective_sample_size",
    "gaussian_kernel",
    "generalized_pareto_shape",
    "inverse_multiquadratic",
    "jensen_shannon_at",
    "log_bessel_i",
    "log_mean_exp",
    "log_power_mean",
    "median_distance",
    "mmd2",
    "pareto_khat",
    "sliced_wasserstein",
    "squared_distances",
    "total_variation_at",
    "wasserstein2_diagonal",
    "wasserstein2_normal",
]
