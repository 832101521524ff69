"""The model (floor 4): VAE, made of five parts that do not know each other, and Draw, all that anyone asks of it.

Axes: K samples, B points, D latents, P data. Everything is in nats per data point, summed over the data's dimensions.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence
from torch.func import functional_call

from logpx.distributions import has_closed_kl, kinds, log_prob_by_element
from logpx.errors import UserError


class Batch(NamedTuple):
    """What one step sees: data x (B, *shape), an optional context (B, C), an optional mask of what was observed.

    Where the mask is False, x holds 0.
    """

    x: Tensor
    context: Tensor | None = None
    observed: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, context: Tensor | None = None, *, missing: bool | None = None) -> "Batch":
        """A batch of rows in which nan means missing; `missing` says whether there are any, else they are looked for."""
        observed = ~x.isnan() if missing is not False else None
        if observed is None or (missing is None and bool(observed.all())):
            return cls(x, context)
        return cls(x.where(observed, 0), context, observed)

    def map(self, f: Callable[[Tensor], Tensor]) -> "Batch":
        """f of every tensor in it."""
        x, context, observed = (None if t is None else f(t) for t in self)
        assert x is not None
        return Batch(x, context, observed)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """Everything on that device, x and context in that type."""
        return self.map(lambda t: t.to(device) if t.dtype == torch.bool else t.to(device, dtype))


class Draw(NamedTuple):
    """K latents for each of B points, and every law an objective or an evaluation may ask about them."""

    batch: Batch
    q: Distribution  # q(z | x), batch (B,)
    q_fixed: Callable[[], Distribution]  # the same law with its parameters held constant, built when asked for
    z: Tensor  # (K, B, D)
    prior: Distribution | None  # p(z)
    px: Distribution  # p(x | z), batch (K, B)
    closed_kl: bool = True  # whether KL(q || p) has a closed form

    def log_px(self) -> Tensor:
        """log p(x | z), (K, B); of the observed elements only where a mask is given."""
        x, observed = self.batch.x, self.batch.observed
        if observed is None:
            return self.px.log_prob(x)
        seen = observed.bool()
        log_p = log_prob_by_element(self.px, x.where(seen, 0)) * seen  # what fills a hole, nan included, is not read
        return log_p.sum(tuple(range(1 - x.ndim, 0)))

    def log_pz(self) -> Tensor:
        """log p(z), (K, B)."""
        return self._prior().log_prob(self.z)

    def log_q(self, fixed: bool = False) -> Tensor:
        """log q(z | x), (K, B); `fixed` stops the gradient into q's parameters, not into z."""
        return (self.q_fixed() if fixed else self.q).log_prob(self.z)

    def kl(self, sampled: bool = False) -> Tensor:
        """KL(q(z|x) || p(z)): closed form (B,), or log q(z|x) - log p(z) at the draws (K, B)."""
        if self.closed_kl and not sampled:
            return kl_divergence(self.q, self._prior())
        return self.log_q() - self.log_pz()

    def log_w(self, fixed: bool = False) -> Tensor:
        """log p(x, z) / q(z | x), (K, B): the importance weights."""
        return self.log_px() + self.log_pz() - self.log_q(fixed)

    def _prior(self) -> Distribution:
        if self.prior is None:
            raise UserError(
                "This model has no prior over z, so it has no KL, no samples and no evidence: fit one first."
            )
        return self.prior


class VAE(nn.Module):
    """log p(x) >= E_q log p(x|z) - KL(q(z|x) || p(z)), with q(z|x) = posterior(encoder(x)), p(x|z) = likelihood(decoder(z)).

    Kingma & Welling 2014 (arXiv:1312.6114), eq. 2-3. `prior` is None for a model without a density. `marginal`, where
    given, is a module whose call returns the law of x itself: then the evidence is exact.
    """

    def __init__(
        self,
        *,
        encoder: nn.Module,
        posterior: nn.Module,
        prior: nn.Module | None,
        decoder: nn.Module,
        likelihood: nn.Module,
        marginal: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.posterior, self.prior = encoder, posterior, prior
        self.decoder, self.likelihood, self.marginal = decoder, likelihood, marginal
        self._closed_kl = False  # whether KL(q || p) has a closed form, for laws of these types:
        self._asked_of: tuple[type, ...] = ()

    def networks(self) -> list[nn.Module]:
        """What emits the numbers that the families make laws of: encoder, decoder, and the likelihood's own, if any."""
        own = getattr(self.likelihood, "net", None)
        return [self.encoder, self.decoder] + ([own] if isinstance(own, nn.Module) else [])

    def shown(self, batch: Batch) -> Tensor:
        """x as the encoder gets it: one that `sees_missing` is shown nan where nothing was observed, others 0."""
        if batch.observed is None or not getattr(self.encoder, "sees_missing", False):
            return batch.x
        return batch.x.where(batch.observed.bool(), torch.nan)

    def emit(self, batch: Batch) -> Tensor:
        """The encoder's numbers, (B, size)."""
        return _call(self.encoder, self.shown(batch), batch.context)

    def emit_from(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The decoder's numbers, (..., size, *shape) for z (..., D)."""
        return _call(self.decoder, z, context)

    def encode(self, batch: Batch) -> Distribution:
        """q(z | x), batch (B,)."""
        return self.posterior(self.emit(batch))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """p(x | z) for z (..., D), batch (...)."""
        return self.likelihood(self.emit_from(z, context))

    def draw(self, batch: Batch, k: int = 1) -> Draw:
        """k reparameterised latents per point and the laws around them."""
        params = self.emit(batch)
        q = self.posterior(params)
        return self.at(batch, q, q.rsample((k,)), lambda: _held_constant(self.posterior, params))

    def at(self, batch: Batch, q: Distribution, z: Tensor, q_fixed: Callable[[], Distribution] | None = None) -> Draw:
        """The same at latents z (K, B, D) drawn elsewhere from q: an evaluation encodes once and decodes in pieces."""
        prior = None if self.prior is None else self.prior(batch.context)
        px = self.decode(z, batch.context)
        return Draw(batch, q, q_fixed or (lambda: q), z, prior, px, self._is_closed(q, prior))

    def sample(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Distribution]:
        """z ~ p(z), (n, D), and p(x | z); raises UserError for a model without a prior."""
        if self.prior is None:
            raise UserError("This model has no prior over z, so it cannot sample: fit one to its codes first.")
        prior = self.prior(context)
        z = prior.sample(() if prior.batch_shape else (n,))  # a prior that looks at the context has its n rows already
        return z, self.decode(z, context)

    @property
    def has_evidence(self) -> bool:
        """Whether log p(x) can be bounded: there is a prior, and both p(z) and q(z|x) are densities that can be computed."""
        return self.rates_codes and getattr(self.posterior, "has_density", True)

    @property
    def rates_codes(self) -> bool:
        """Whether log p(z) can be asked of a code: there is a prior, with a density that can be computed."""
        return self.prior is not None and getattr(self.prior, "has_density", True)

    @property
    def has_mean(self) -> bool:
        """Whether E[x|z] is known; where it is not, draws x ~ p(x|z) stand in its place."""
        return getattr(self.likelihood, "has_mean", True)

    def how_kl(self) -> str:
        """ "closed form", "one sample" or "none", known after the first draw; said before training starts."""
        if not self.has_evidence:
            return "none"
        return "closed form" if self._closed_kl else "one sample"

    def _is_closed(self, q: Distribution, prior: Distribution | None) -> bool:
        # Asked once for laws of these types: torch's dispatch cannot be traced on its first call.
        if prior is None:
            return False
        if self._asked_of != (types := kinds(q, prior)):
            self._closed_kl, self._asked_of = has_closed_kl(q, prior), types
        return self._closed_kl


def _call(part: Callable[..., Tensor], x: Tensor, context: Tensor | None) -> Tensor:
    """A network that takes no context stays an ordinary module of one argument."""
    return part(x) if context is None else part(x, context)


def _held_constant(family: nn.Module, params: Tensor) -> Distribution:
    """The same law with everything of q held constant: the encoder's numbers and the family's own weights, if any."""
    weights = {name: w.detach() for name, w in family.named_parameters()}
    return functional_call(family, weights, (params.detach(),)) if weights else family(params.detach())
