"""The likelihood of token sequences (floor 3): each token given those before it, and z."""

from torch import Tensor, nn
from torch.distributions import constraints

from logpx.distributions.sequence import TokenSequence
from logpx.errors import UserError
from logpx.networks.sequence import LSTMDecoder, TransformerDecoder


class Tokens(nn.Module):
    """log p(x|z) = sum_t log p(x_t | x_<t, z) over a sequence and its end (Bowman et al. 2016, arXiv:1511.06349).

    network  an LSTMDecoder or TransformerDecoder, which belongs to the law: it reads x beside what it is told of z.
    size     numbers that it is told at each place: the decoder emits (..., size, T).
    ends     whether the last of the `levels` is the end of a sequence, which also fills what follows; else all have T tokens.
    """

    has_mean = False  # sequences have none: what is shown of them are draws

    def __init__(
        self,
        network: LSTMDecoder | TransformerDecoder,
        shape: tuple[int, ...],
        levels: int,
        size: int,
        *,
        ends: bool = True,
    ) -> None:
        super().__init__()
        if len(shape) != 1 or levels < 1 + ends:
            raise UserError(f"Rows of shape {shape} with {levels} codes are no sequences: give (N, T) tokens.")
        self.network, self.shape, self.levels, self.size = network, shape, levels, size
        self.numbers = max(levels, network.logits.in_features)  # at each place, which sets the memory that log p takes
        self.end = levels - 1 if ends else None
        self.support = constraints.integer_interval(0, levels - 1)

    def forward(self, h: Tensor) -> TokenSequence:
        return TokenSequence(self.network, h, self.end)
