"""Laws of discrete latents (floor 1): several categorical variables as one-hot vectors end to end, drawn hard or relaxed."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints, register_kl
from torch.nn import functional as F

from logpx.errors import UserError

Shape = torch.Size | list[int] | tuple[int, ...]
Draws = Literal["hard", "relaxed", "straight_through"]
MOST_CODES = 4096


class _OneHots(constraints.Constraint):
    """Vectors (..., N K) of N blocks, each with a single 1 among zeros."""

    event_dim = 1

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def check(self, value: Tensor) -> Tensor:
        return _are_one_hot(value.unflatten(-1, (-1, self.classes)))


class OneHots(Distribution):
    """N independent categorical variables of K classes: p(z) = prod_n p_n,c(n), z (..., N K) the one-hot vectors end to end.

    logits (..., N, K) of any offset. `log_prob` is the exact log-probability, -inf off the one-hot vectors; entropy and KL
    are exact sums over classes. `mean` holds the probabilities, `mode` the most probable code.

    `rsample` gives, by `draws`, with G = -log E of exponential E (Gumbel noise) and tau = `temperature`:
        hard              the one-hot vector of argmax(logits + G): an exact draw, no gradient;
        relaxed           softmax((logits + G)/tau), a point inside the simplex with a gradient (Jang, Gu & Poole 2017,
                          arXiv:1611.01144, eq. 2; Maddison et al. 2017, arXiv:1611.00712). It is no value of z: what is made
                          of it is a surrogate, its gradient is biased, and `log_prob` refuses;
        straight_through  the exact draw with the gradient of the relaxed one: biased as well.
    `sample` is hard always. Raises UserError for fewer than two classes, and where more codes than 4096 are enumerated.
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 2)}  # noqa: RUF012 - torch's own protocol

    def __init__(self, logits: Tensor, draws: Draws = "hard", temperature: Tensor | float = 1.0) -> None:
        self.variables, self.classes = logits.shape[-2:]
        if self.classes < 2:
            raise UserError(f"A categorical variable needs at least 2 classes, not {self.classes}.")
        self.logits, self.draws, self.temperature = logits, draws, temperature
        super().__init__(logits.shape[:-2], torch.Size([self.variables * self.classes]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return _OneHots(self.classes)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.draws != "hard"

    @property
    def is_relaxed(self) -> bool:
        """Whether `rsample` leaves the support, so that nothing made of its draws bounds anything."""
        return self.draws == "relaxed"

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "OneHots":
        return OneHots(self.logits.expand(*batch_shape, *self.logits.shape[-2:]), self.draws, self.temperature)

    @property
    def log_p(self) -> Tensor:
        """log-probabilities of the classes, (..., N, K)."""
        return self.logits.log_softmax(-1)

    @property
    def mean(self) -> Tensor:
        return self.logits.softmax(-1).flatten(-2)

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    @property
    def mode(self) -> Tensor:
        return self._one_hot(self.logits).flatten(-2)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        if self.draws == "hard":
            return self.sample(sample_shape)
        perturbed = self._perturbed(sample_shape, self.logits.dtype)
        soft = (perturbed / self.temperature).softmax(-1)
        if self.draws == "relaxed":
            return soft.flatten(-2)
        return (self._one_hot(perturbed) + (soft - soft.detach())).flatten(-2)  # the difference is exactly 0

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        return self._one_hot(self._perturbed(sample_shape, torch.float64)).flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        if self.is_relaxed:
            raise UserError(
                "Relaxed draws are no codes, so they have no probability: take straight_through or hard draws where weights or "
                "log q are needed, or the exact KL."
            )
        z = value.unflatten(-1, (self.variables, self.classes))
        return torch.where(_are_one_hot(z), (z * self.log_p).sum((-2, -1)), -torch.inf)

    def entropy(self) -> Tensor:
        return -(self.logits.softmax(-1) * self.log_p).sum((-2, -1))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All K^N codes, (K^N, *batch, N K), or (K^N, 1, ..., N K) unexpanded; the last variable changes fastest."""
        codes = all_codes(self.variables, self.classes, self.logits)
        codes = codes.view(-1, *[1] * len(self.batch_shape), codes.shape[-1])
        return codes.expand(-1, *self.batch_shape, -1) if expand else codes

    def kl_by_variable(self, p: "OneHots") -> Tensor:
        """KL(q_n || p_n) = sum_k q_nk log(q_nk / p_nk), (..., N); exact."""
        if (self.variables, self.classes) != (p.variables, p.classes):
            raise UserError(
                f"These laws have {self.variables} variables of {self.classes} classes and {p.variables} of {p.classes}: give "
                "posterior and prior the same numbers."
            )
        return (self.logits.softmax(-1) * (self.log_p - p.log_p)).sum(-1)

    def by_variable(self, value: Tensor) -> Tensor:
        """Numbers (..., N K) summed over the classes of each variable, (..., N)."""
        return value.unflatten(-1, (self.variables, self.classes)).sum(-1)

    def _perturbed(self, sample_shape: Shape, dtype: torch.dtype) -> Tensor:
        """logits + G, whose argmax is an exact draw; in float64 that of a class of probability 1e-9 too."""
        shape = torch.Size(sample_shape) + self.logits.shape
        noise = torch.empty(shape, dtype=dtype, device=self.logits.device).exponential_()
        return self.logits - noise.clamp_min(torch.finfo(noise.dtype).tiny).log()

    def _one_hot(self, scores: Tensor) -> Tensor:
        return F.one_hot(scores.argmax(-1), self.classes).to(self.logits.dtype)


def all_codes(variables: int, classes: int, like: Tensor) -> Tensor:
    """Every code of N variables of K classes as one-hot vectors end to end, (K^N, N K); UserError for more than 4096."""
    many = count_codes(variables, classes)
    power = classes ** torch.arange(variables - 1, -1, -1, device=like.device)
    digits = torch.arange(many, device=like.device).unsqueeze(-1) // power % classes
    return F.one_hot(digits, classes).to(like.dtype).flatten(-2)


def count_codes(variables: int, classes: int) -> int:
    """K^N; UserError where that is more than 4096."""
    if variables * math.log(classes) > math.log(MOST_CODES) + 1e-9:
        raise UserError(
            f"{variables} variables of {classes} classes have more than {MOST_CODES:,} codes, too many to enumerate: take "
            "fewer variables or classes, or a sampled estimator."
        )
    return classes**variables


def _are_one_hot(z: Tensor) -> Tensor:
    """Whether each of N blocks is one-hot, z (..., N, K) -> (...)."""
    return (((z == 0) | (z == 1)).all(-1) & (z.sum(-1) == 1)).all(-1)


@register_kl(OneHots, OneHots)
def _over_the_categories(q: OneHots, p: OneHots) -> Tensor:
    """KL(q || p) = sum_n sum_k q_nk log(q_nk / p_nk): of the categories, however q is drawn, never of the relaxed density."""
    return q.kl_by_variable(p).sum(-1)
