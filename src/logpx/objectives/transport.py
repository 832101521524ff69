"""What a latent space with learned transport operators is trained on (floor 5). It is no bound."""

import math

from torch import Tensor

from logpx.distributions import Orbits, Transported
from logpx.errors import UserError
from logpx.model import VAE, Draw
from logpx.objectives.base import Objective, Scalar, Terms, Weight, finite, whole


class Transport(Objective):
    """-log p(x|z) + log q~(z|x) - log p~(z) + eta/2 sum_m |Psi_m|_F^2 (Connor, Canal & Rozell 2021, arXiv:2006.10597).

    log q~ = max_c -|z - T(c) f(x)|^2/(2 s^2) - r |c|_1,  log p~ = log 1/N sum_i exp max_c -|z - T(c) a_i|^2/(2 t^2) - u |c|_1.

    The published loss, divided by the weight of its squared error (zeta_1; then s^-2, r, t^-2, u are zeta_2 to zeta_5 over it).
    No bound on log p(x), neither a lower nor an upper one: each maximum over c stands for an integral, and the constants of
    the laws are left out. None of its terms is called elbo. The coefficients c* are found anew at each step by `iterations`
    steps from the best of 0 and `restarts` draws of their law, without a gradient: none is needed at a maximum.

    `radius` R adds |f(x)|^2/(2 R^2), which the paper lacks: far from 0 a short operator moves a code by any distance, so codes
    with a large offset in common, such as those of pictures, would drift away from 0 instead of turning around it.
    Raises UserError where posterior and prior are no orbits, and for an eta or a radius that means nothing.
    """

    def __init__(
        self,
        eta: float = 1.0,
        *,
        radius: float = math.inf,
        weight: Scalar = 1.0,
        iterations: int = 6,
        restarts: int = 1,
    ) -> None:
        super().__init__()
        if not finite("eta", eta) >= 0:
            raise UserError(f"eta is {eta}: give 0 or a positive number.")
        if not radius > 0:
            raise UserError(f"radius is {radius}: give a positive number.")
        self.eta, self.radius, self.weight = eta, radius, Weight(weight)
        self.search = {"iterations": whole("iterations", iterations), "restarts": whole("restarts", restarts)}

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        if not isinstance(d.q, Transported) or not isinstance(d.prior, Orbits):
            raise UserError("Transport needs orbits: take the posterior Transported and the prior Orbits.")
        reconstruction = -d.log_px().mean()
        log_q, log_p = d.q.log_best(d.z, **self.search).mean(), d.prior.log_best(d.z, **self.search).mean()
        size = d.q.psi.square().sum()
        far = 0.5 * d.q.points.square().sum(-1).mean() / self.radius**2
        terms = {"reconstruction": reconstruction, "log_q_best": log_q, "log_p_best": log_p, "operators": size}
        return reconstruction + far + self.weight() * (log_q - log_p + 0.5 * self.eta * size), terms

    def how_kl(self, model: VAE) -> str:
        return "none, log q and log p at their best coefficients in its place"
