"""Closed-form Kullback-Leibler divergences that torch does not register, and who has one (floor 1)."""

from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence, register_kl

from logpx.distributions.discrete import OneHots


@register_kl(MultivariateNormal, Independent)
def _full_against_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    """KL(N(mu, L L^T) || N(m, diag s^2)) = sum_i [ (|L_i|^2 + (mu_i - m_i)^2)/(2 s_i^2) - 1/2 + log s_i - log L_ii ].

    torch registers nothing for this pair; falling back to one sample there costs nats without a word.
    """
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    L, m, s = q.scale_tril, p.base_dist.loc, p.base_dist.scale
    spread = (L.square().sum(-1) + (q.loc - m).square()) / (2 * s.square())
    return (spread - 0.5 + s.log() - L.diagonal(dim1=-2, dim2=-1).log()).sum(-1)


def has_closed_kl(q: Distribution, p: Distribution) -> bool:
    """Whether KL(q || p) has a closed form here. Asked once, before training: the answer is then a plain bool."""
    try:
        kl_divergence(q, p)
    except NotImplementedError:
        return False
    return True


def kinds(*laws: Distribution) -> tuple[type, ...]:
    """What decides whether laws have a closed KL: of each its type, and that of the law inside it, if any."""
    return tuple(kind for law in laws for kind in (type(law), type(getattr(law, "base_dist", None))))


def kl_by_dimension(q: Distribution, p: Distribution | None) -> Tensor | None:
    """KL(q_i || p_i) for each dimension of two laws that are products over dimensions, (..., D); None for others.

    Of categorical latents one for each variable, (..., N).
    """
    if isinstance(q, OneHots) and isinstance(p, OneHots):
        return q.kl_by_variable(p)
    if not (isinstance(q, Independent) and isinstance(p, Independent) and has_closed_kl(q, p)):
        return None
    return kl_divergence(q.base_dist, p.base_dist)
