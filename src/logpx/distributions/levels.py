"""Laws on the levels 0 .. L-1 (floor 1): categories from their logits, and a mixture of discretised logistics."""

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, constraints
from torch.nn.functional import softplus

Shape = torch.Size | list[int] | tuple[int, ...]


def _inside(value: Tensor, levels: int) -> Tensor:
    """False for nan as well."""
    return (value >= 0) & (value <= levels - 1)


class CategoricalLogits(Distribution):
    """log p(x) = a_x - log sum_c e^{a_c} for codes x in 0 .. L-1 from logits a (..., L); -inf for any other number.

    Codes are floating point numbers, as all data are. `mean` is the most probable code: categories have no mean. A logit
    of -inf is a category that cannot be.
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 1)}  # noqa: RUF012 - torch's own protocol

    def __init__(self, logits: Tensor, validate_args: bool | None = False) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], validate_args=validate_args)

    @property
    def levels(self) -> int:
        return self.logits.shape[-1]

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "CategoricalLogits":
        return CategoricalLogits(self.logits.expand(*batch_shape, self.levels))

    @property
    def mean(self) -> Tensor:
        return self.logits.argmax(-1).to(self.logits.dtype)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        return Categorical(logits=self.logits, validate_args=False).sample(sample_shape).to(self.logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape, self._batch_shape)
        exists = _inside(value, self.levels) & (value == value.floor())
        code = torch.where(exists, value, 0).long().expand(shape).unsqueeze(-1)
        log_p = self.logits.log_softmax(-1).expand(*shape, self.levels).gather(-1, code).squeeze(-1)
        return log_p.masked_fill(~exists, -torch.inf)


class LogisticMixture(Distribution):
    """p(x) = sum_j w_j [F((x + 1/2 - m_j)/s_j) - F((x - 1/2 - m_j)/s_j)], x in 0 .. L-1, F(a) = 1/(1 + e^-a).

    The levels 0 and L-1 take the tails, so the sum over levels is one (Salimans et al. 2017, arXiv:1701.05517, eq. 2,
    there scaled to [-1, 1]). With a = (x + 1/2 - m)/s, b = a - 1/s the bracket is F(a) F(-b) (1 - e^{-1/s}), which is what
    is computed, in logarithms: nothing cancels, however far x lies from m. At the edges the factors that say "not below 0"
    and "not above L-1" are one.

    weights, m, log_s (..., M): logits of w, and the rest in units of one level.
    """

    arg_constraints = {  # noqa: RUF012 - torch's own protocol
        name: constraints.independent(constraints.real, 1) for name in ("weights", "m", "log_s")
    }

    def __init__(
        self, weights: Tensor, m: Tensor, log_s: Tensor, levels: int, validate_args: bool | None = False
    ) -> None:
        self.weights, self.m, self.log_s = torch.broadcast_tensors(weights, m, log_s)
        self.levels = levels
        super().__init__(self.m.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    def expand(self, batch_shape: Shape, _instance: Distribution | None = None) -> "LogisticMixture":
        weights, m, log_s = (t.expand(*batch_shape, t.shape[-1]) for t in (self.weights, self.m, self.log_s))
        return LogisticMixture(weights, m, log_s, self.levels)

    @property
    def mean(self) -> Tensor:
        """E x = sum_{k >= 1} P(x >= k), sixteen levels at a time: all of them at once would take a gigabyte for 256 images."""
        w, m, s = (t.unsqueeze(-1) for t in (self.weights.softmax(-1), self.m, self.log_s.exp()))
        k = torch.arange(1, self.levels, dtype=m.dtype, device=m.device)
        above = [(w * torch.sigmoid((m - some + 0.5) / s)).sum((-1, -2)) for some in k.split(16)]
        return torch.stack(above).sum(0)

    @torch.no_grad()
    def sample(self, sample_shape: Shape = ()) -> Tensor:
        j = Categorical(logits=self.weights, validate_args=False).sample(sample_shape).unsqueeze(-1)
        m, s = (t.expand(*j.shape[:-1], t.shape[-1]).gather(-1, j).squeeze(-1) for t in (self.m, self.log_s.exp()))
        y = m + s * torch.logit(torch.rand_like(m))
        return y.round().clamp(0, self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        inside = _inside(value, self.levels)
        x, top = torch.where(inside, value, 0).unsqueeze(-1), self.levels - 1
        width = torch.exp(-self.log_s)  # 1/s
        a, b = (x + 0.5 - self.m) * width, (x - 0.5 - self.m) * width
        below = torch.where(x < top, softplus(-a, threshold=40), 0)  # -log F(a): not above x
        above = torch.where(x > 0, softplus(b, threshold=40), 0)  # -log F(-b): not below x
        both = torch.where((x > 0) & (x < top), torch.log(-torch.expm1(-width)), 0)
        log_p = torch.logsumexp(self.weights.log_softmax(-1) + both - below - above, -1)
        return log_p.masked_fill(~inside, -torch.inf)
