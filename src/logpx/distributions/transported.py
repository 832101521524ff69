"""Points carried along learned orbits (floor 1): a law around each point, and the mixture of those around several anchors."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from logpx.errors import UserError
from logpx.maths.transport import transport, transport_coefficients, transport_cost

Shape = torch.Size | list[int] | tuple[int, ...]


class Transported(Distribution):
    """z = T(c) a + s n, T(c) = expm(sum_m c_m Psi_m), c_m ~ Laplace(0, 1/rate), n ~ N(0, I); a (*batch, D), psi (M, D, D).

    (Connor, Canal & Rozell 2021, arXiv:2006.10597, section 3.) Draws are reparameterised. The density is an integral over c
    without a closed form: log_prob raises UserError, and `log_best` is what the paper trains on in its place.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, points: Tensor, psi: Tensor, rate: float, noise: float) -> None:
        self.points, self.psi, self.rate, self.noise = points, psi, rate, noise
        super().__init__(points.shape[:-1], points.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "Transported":
        return Transported(self.points.expand(*batch_shape, *self.event_shape), self.psi, self.rate, self.noise)

    @property
    def mean(self) -> Tensor:
        """The centre a, where c = 0: E[z] itself has no closed form."""
        return self.points

    def coefficients(self, sample_shape: Shape = ()) -> Tensor:
        """c ~ Laplace(0, 1/rate), (*sample_shape, *batch, M)."""
        return laplace((*sample_shape, *self.batch_shape, len(self.psi)), self.points) / self.rate

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        T = transport(self.coefficients(sample_shape), self.psi)
        moved = (T @ self.points.unsqueeze(-1)).squeeze(-1)
        return moved + self.noise * torch.randn_like(moved)

    def log_prob(self, value: Tensor) -> Tensor:
        raise UserError(
            "The density of a point that is transported at random is an integral without a closed form, so there is no KL and "
            "no bound on log p(x): train on the objective Transport, and judge the model by its reconstruction."
        )

    def log_best(self, z: Tensor, *, iterations: int, restarts: int) -> Tensor:
        """max_c -|z - T(c) a|^2/(2 s^2) - rate |c|_1, of z (..., *batch, D); no logarithm of a density.

        The integral over c is replaced by its largest integrand, and the constants of both laws are left out. c* is found with
        the very weights of this maximum, zeta = rate s^2, so that it needs no gradient (Danskin).
        """
        zeta = self.rate * self.noise**2
        guesses = laplace((restarts, len(self.psi)), self.points) / self.rate
        c = transport_coefficients(
            self.psi.detach(), self.points.detach(), z.detach(), zeta, guesses=guesses, iterations=iterations
        )
        return -transport_cost(c, self.psi, self.points, z, zeta) / self.noise**2


class Orbits(Distribution):
    """z ~ 1/N sum_i p(z | a_i), each p(z | a_i) the `Transported` law of an anchor a_i; anchors (N, D), no batch.

    (Connor et al. 2021, section 3.) log_prob raises UserError, as that of its parts does.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own protocol
    support = constraints.real_vector
    has_rsample = False  # which anchor is drawn has no gradient

    def __init__(self, around: Transported) -> None:
        self.around = around
        super().__init__(torch.Size(), around.event_shape, validate_args=False)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        with torch.no_grad():
            drawn = torch.randint(len(self.around.points), tuple(sample_shape), device=self.around.points.device)
            a = self.around
            return Transported(a.points[drawn], a.psi, a.rate, a.noise).rsample()

    def log_prob(self, value: Tensor) -> Tensor:
        return self.around.log_prob(value)

    def log_best(self, z: Tensor, *, iterations: int, restarts: int) -> Tensor:
        """log 1/N sum_i exp(max_c ...), the maximum of each anchor as `Transported.log_best` has it, of z (..., D)."""
        each = self.around.log_best(z.unsqueeze(-2), iterations=iterations, restarts=restarts)
        return each.logsumexp(-1) - math.log(len(self.around.points))


def laplace(shape: Shape, like: Tensor) -> Tensor:
    """Draws of Laplace(0, 1): the difference of two exponential ones, which is finite whatever is drawn."""
    first, second = like.new_empty(2, *shape).exponential_()
    return first - second
