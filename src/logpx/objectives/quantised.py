"""What a quantised code is trained on (floor 5): the reconstruction, and what holds codes and encoder together."""

import torch
from torch import Tensor

from logpx.distributions import Quantised, code_counts, perplexity
from logpx.errors import UserError
from logpx.model import VAE, Draw
from logpx.objectives.base import Objective, Terms, finite


class Quantisation(Objective):
    """-log p(x|z_q) + |sg[z_e] - z_q|^2 + beta |z_e - sg[z_q]|^2 (van den Oord et al. 2017, arXiv:1711.00937, eq. 3).

    Each part is a sum for a data point: nats over all elements of x, and squared distances over all places of the grid and all
    numbers of a code. Code that takes means over both and divides x by its variance v means beta P / (N D) with -log p =
    |x - m|^2 / v here. The second part is there only where codes are learned by gradient, the third where they are learned.

    KL(q || p) is T log K for evenly used codes, a constant, and left out. Of each batch are told the perplexity exp(H) of its
    code counts and the share of codes that it uses; neither can exceed what its places could use.
    """

    def __init__(self, beta: float = 0.25) -> None:
        super().__init__()
        if not finite("beta", beta) >= 0:
            raise UserError(f"beta is {beta}: give 0 or a positive number.")
        self.beta = beta

    def value(self, d: Draw) -> tuple[Tensor, Terms]:
        q = d.q
        if not isinstance(q, Quantised):
            raise UserError("Quantisation needs codes: take the posterior Codebook or FiniteScalar.")
        reconstruction = -d.log_px().mean()
        loss, terms = reconstruction, {"reconstruction": reconstruction}
        if q.codebook is not None:
            loss = loss + q.codebook.mean()
        if q.commitment is not None:
            loss = loss + self.beta * q.commitment.mean()
            terms["commitment"] = q.commitment
        if q.tally is not None:
            loss = loss + q.tally
        counts = code_counts(q.indices, q.codes, q.stages).to(loss.dtype)
        return loss, terms | {"perplexity": perplexity(counts).mean(), "usage": (counts > 0).to(loss.dtype).mean()}

    def how_kl(self, model: VAE) -> str:
        tokens, codes = model.posterior.tokens, model.posterior.codes
        assert isinstance(tokens, int)
        assert isinstance(codes, int)
        return f"{tokens} log {codes} = {tokens * torch.tensor(float(codes)).log().item():.1f} nats, constant"
