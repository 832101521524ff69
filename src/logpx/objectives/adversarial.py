"""Two players in one graph and one backward pass (floor 5): a critic that belongs to the objective.

Each player sees the other held constant: the main player's term goes through the critic with detached weights, the
critic's own term, the objective's `opponent`, looks at detached codes. Their sum then has, for each, exactly the gradient
of its own loss; the value reported is the main player's, and a weight in front scales that one alone, so that a critic
learns at weight 0 too. The critic's goal moves with the codes, so epochs are not compared by the loss.
"""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from logpx.distributions import is_euclidean
from logpx.errors import UserError
from logpx.model import Draw
from logpx.objectives.base import Objective, Terms, positive
from logpx.objectives.penalties import from_prior, log_prior


def _hired(network: nn.Module, rate: float) -> nn.Module:
    """The critic's network, which learns at its own multiple of the learning rate."""
    network.pace = positive("rate", rate)  # type: ignore[assignment]
    return network


def _judged(network: nn.Module, z: Tensor, *, held: bool = False) -> Tensor:
    """One logit for each code (n, D) -> (n,), never (n, 1); `held` stops the gradient into the critic, not into z."""
    weights = {name: w.detach() if held else w for name, w in network.named_parameters()}
    dtype = next(iter(weights.values())).dtype  # the critic keeps its own, whatever the model computes in
    return functional_call(network, weights, (z.to(dtype),)).reshape(len(z))


class Critic(Objective):
    """Codes that a critic D takes for prior draws (Tolstikhin et al. 2018, arXiv:1711.01558, algorithm 1).

    encoder: E_q softplus(-D(z)), non-saturating;  critic: L_D = E_p softplus(-D(z')) + E_q softplus(D(z)).
    D is a logit: at its best log p(z) - log q(z), so 0 where the laws agree, with L_D = 2 log 2 and no gradient for the
    encoder. The term `jensen_shannon` = log 2 - L_D/2 is a lower bound on JS(q(z), p(z)), attained by the best critic.
    `network` maps (n, D) to (n,) or (n, 1); `rate` is its multiple of the learning rate. With `prior_trick` it learns
    h in D(z) = h(z) + log p(z), that is -log q(z) alone (Mescheder et al. 2017, arXiv:1701.04722, section 3.3). The prior is
    the truth that the critic is shown: it learns nothing here.
    """

    compares_epochs, opponent = False, "critic"

    def __init__(self, network: nn.Module, *, rate: float = 1.0, prior_trick: bool = False) -> None:
        super().__init__()
        self.network, self.prior_trick = _hired(network, rate), prior_trick

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        z, prior = d.z.flatten(0, 1), from_prior(d).flatten(0, 1)
        encoder = F.softplus(-self._logits(d, z, held=True)).mean()
        truth, codes = (self._logits(d, sample.detach()) for sample in (prior, z))
        critic = F.softplus(-truth).mean() + F.softplus(codes).mean()
        return encoder, {"adversary": encoder, "critic": critic, "jensen_shannon": math.log(2) - critic / 2}

    def _logits(self, d: Draw, z: Tensor, *, held: bool = False) -> Tensor:
        """D(z), (n,), the prior held constant."""
        logits = _judged(self.network, z, held=held)
        return logits + log_prior(d, z.reshape(d.z.shape), held=True).flatten() if self.prior_trick else logits


class FactorCritic(Objective):
    """TC = KL(q(z) || prod_i q(z_i)) as a critic's logit, E_q D(z) (Kim & Mnih 2018, arXiv:1802.05983, eq. 3).

    critic: E_q softplus(-D(z)) + E softplus(D(z~)), z~ a fresh draw of the same rows whose every dimension is put in an
    order of its own, so that D at its best is log q(z)/prod_i q(z_i). The paper takes z~ from a second batch.
    `network` maps (n, D) to (n,) or (n, 1); `rate` is its multiple of the learning rate.
    """

    compares_epochs, opponent = False, "critic"

    def __init__(self, network: nn.Module, *, rate: float = 1.0) -> None:
        super().__init__()
        self.network = _hired(network, rate)

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        if not is_euclidean(d.q):
            raise UserError(
                "The total correlation is of coordinates that may vary alone: take latents on a flat space."
            )
        z, other = d.z[0], d.q.sample()  # (B, D)
        total = _judged(self.network, z, held=True).mean()
        joint, product = _judged(self.network, z.detach()), _judged(self.network, each_in_its_own_order(other))
        critic = F.softplus(-joint).mean() + F.softplus(product).mean()
        return total, {"total_correlation": total, "critic": critic}


def each_in_its_own_order(z: Tensor) -> Tensor:
    """z (B, D) with the rows of each dimension permuted independently: draws of prod_i q(z_i)."""
    return z.gather(0, torch.rand_like(z).argsort(0))
