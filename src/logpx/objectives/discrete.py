"""The bound of discrete latents (floor 5), and the four ways to its gradient."""

from typing import Literal, get_args

from torch import Tensor

from logpx.distributions import OneHots, is_density
from logpx.errors import UserError
from logpx.model import VAE, Draw
from logpx.objectives.base import Objective, Scalar, Terms, Weight, bound_terms, check, surrogate

Estimator = Literal["pathwise", "leave_one_out", "exact"]


class DiscreteELBO(Objective):
    """-(E_q log p(x|z) - beta KL(q(z|x) || p(z))), z categorical, the KL exact over the categories.

    estimator of the first term and of its gradient:
    pathwise       log p(x|z) at the draw of q, and its gradient through that draw, biased. At a straight-through draw, which is
                   one-hot, the value is the bound's; at a relaxed one it is none, neither of the discrete model nor, with the
                   KL of the categories, of a continuous one: the term is then called `relaxed`, and there is no `elbo`.
    leave_one_out  f_k = log p(x|z_k) at K >= 2 hard draws, the gradient of q
                   1/K sum_k (f_k - 1/(K-1) sum_{j != k} f_j) d log q(z_k|x), unbiased (Salimans & Knowles 2014; Mnih & Rezende
                   2016, arXiv:1602.06725, section 2; Kool et al. 2019).
    exact          sum_z q(z|x) log p(x|z) over all K^N codes: the bound itself, and its gradient. For tiny models.
    Raises UserError for leave_one_out with one draw, and where z is not categorical.
    """

    def __init__(self, estimator: Estimator = "pathwise", *, samples: int = 1, beta: Scalar = 1.0) -> None:
        super().__init__()
        check(samples, estimator, get_args(Estimator))
        if estimator == "leave_one_out" and samples < 2:
            raise UserError("Leaving one out compares draws of z: give samples of 2 or more.")
        self.estimator, self.samples, self.beta = estimator, samples, Weight(beta, "beta")

    def value_at(self, model: VAE, d: Draw) -> tuple[Tensor, Terms]:
        if not isinstance(d.q, OneHots) or not isinstance(d.prior, OneHots):
            raise UserError("This bound is of categorical latents: give the model a categorical posterior and prior.")
        reconstruction = self._reconstruction(model, d)
        kl = d.kl().mean()
        terms = bound_terms(reconstruction, kl, density=is_density(d.px))
        if self.estimator == "pathwise" and d.q.is_relaxed:
            terms = {
                "relaxed": terms["elbo" if "elbo" in terms else "score"],
                "reconstruction": reconstruction,
                "kl": kl,
            }
        return reconstruction + self.beta() * kl, terms

    def _reconstruction(self, model: VAE, d: Draw) -> Tensor:
        """-E_q log p(x|z), a scalar with the estimator's gradient."""
        if self.estimator == "exact":
            assert isinstance(d.q, OneHots)
            every = model.at(d.batch, d.q, d.q.enumerate_support())
            return -(every.log_q().exp() * every.log_px()).sum(0).mean()
        f = d.log_px()
        if self.estimator == "pathwise":
            return -f.mean()
        others = (f.sum(0) - f) / (len(f) - 1)
        return surrogate(-(f + (f - others).detach() * d.log_q()).mean(), value=-f.mean())
