"""Networks of token sequences (floor 2): two decoders that read from left to right, and the encoders beside them.

Codes x (..., T) are floating point numbers in 0 .. L-1, as all data are. A decoder's logits at place t depend on the tokens
before t and on what it is told of z at t, h[..., t]; it reads them in one pass, or place by place with a memory.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from logpx.distributions.sequence import up_to_end
from logpx.errors import UserError
from logpx.networks.plain import Block, State


class AtEveryPlace(nn.Module):
    """z (..., D) -> (..., D, T): a decoder that is told z at each of its T places."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.places = places

    def forward(self, z: Tensor) -> Tensor:
        return z.unsqueeze(-1).expand(*z.shape, self.places)


class TokensBefore(nn.Module):
    """What a decoder reads at each place: the token before it as `width` numbers, a mark of its own at the first place.

    While it trains, each of these tokens is with probability `word_dropout` a blank, the same for every draw of z (Bowman
    et al. 2016, section 3.3): what is to come must then be read from z. At rest nothing is blanked.
    """

    def __init__(self, levels: int, width: int, word_dropout: float) -> None:
        super().__init__()
        if not 0 <= word_dropout <= 1:
            raise UserError(f"word_dropout is {word_dropout}: it is a probability, from 0 to 1.")
        self.begin, self.blank, self.word_dropout = levels, levels + 1, word_dropout
        self.table = nn.Embedding(levels + 2, width)

    def forward(self, x: Tensor) -> Tensor:
        before = x[..., :-1].long()
        if self.training and self.word_dropout:
            before = before.masked_fill(torch.rand(before.shape, device=x.device) < self.word_dropout, self.blank)
        return self.table(pad(before, (1, 0), value=self.begin))


# --- long short-term memory -------------------------------------------------------------------------------------------


class Recurrence(nn.Module):
    """i, f, o = sigmoid, g = tanh of W x + U h;  c <- f c + i g,  h <- o tanh(c)  (Hochreiter & Schmidhuber 1997).

    The gates of f begin at 1, so that it remembers at first (Jozefowicz et al. 2015). torch's own LSTM is no graph that can
    be captured.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.seen, self.kept = nn.Linear(inputs, 4 * width), nn.Linear(width, 4 * width, bias=False)
        with torch.no_grad():
            self.seen.bias[width : 2 * width] = 1

    def start(self, like: Tensor) -> State:
        """h and c before the first place, zeros of like's leading shape."""
        zeros = like.new_zeros(*like.shape[:-1], self.width)
        return zeros, zeros

    def step(self, gates: Tensor, state: State) -> State:
        """One place, whose W x is known."""
        i, f, g, o = (gates + self.kept(state[0])).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, gates: Tensor) -> Tensor:
        """W x (..., T, 4 width) -> h (..., T, width)."""
        state, passed = self.start(gates[..., 0, :]), []
        for at_t in gates.unbind(-2):
            state = self.step(at_t, state)
            passed.append(state[0])
        return torch.stack(passed, -2)


class LSTMDecoder(nn.Module):
    """logits_t = W h_t,  h_t = LSTM([e(x_{t-1}), z_t], h_{t-1}): z enters at every place, so that none forgets it.

    x (..., T) and z (..., C, T) -> (..., T, L).
    """

    def __init__(self, levels: int, size: int, width: int = 128, *, word_dropout: float = 0.0) -> None:
        super().__init__()
        self.begin, self.levels = levels, levels
        self.tokens = TokensBefore(levels, width, word_dropout)
        self.told = nn.Linear(size, 4 * width, bias=False)
        self.memory, self.logits = Recurrence(width, width), nn.Linear(width, levels)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.logits(self.memory(self.memory.seen(self.tokens(x)) + self.told(h.mT)))

    def start(self, h: Tensor) -> State:
        return self.memory.start(h[..., 0])

    def step(self, last: Tensor, h: Tensor, memory: State) -> tuple[Tensor, State]:
        memory = self.memory.step(self.memory.seen(self.tokens.table(last)) + self.told(h), memory)
        return self.logits(memory[0]), memory


class LSTMEncoder(nn.Module):
    """x (..., T) -> (..., outputs), from the LSTM's h at the end of the sequence; what follows is not read."""

    def __init__(self, levels: int, outputs: int, width: int = 128, *, end: int | None = None) -> None:
        super().__init__()
        self.end, self.table = end, nn.Embedding(levels, width)
        self.memory, self.head = Recurrence(width, width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        passed = self.memory(self.memory.seen(self.table(x.long())))
        last = up_to_end(x, self.end).sum(-1) - 1
        at = last[..., None, None].expand(*last.shape, 1, passed.shape[-1])
        return self.head(passed.gather(-2, at).squeeze(-2))


# --- transformer ------------------------------------------------------------------------------------------------------


class TransformerDecoder(nn.Module):
    """logits = W norm(blocks(e(x_{t-1}) + place_t + V z_t)), each place looking at itself and at those before it.

    x (..., T) and z (..., C, T) -> (..., T, L). Raises UserError for more than the `places` it has learned.
    """

    def __init__(
        self,
        levels: int,
        size: int,
        places: int,
        width: int = 128,
        *,
        blocks: int = 2,
        heads: int = 4,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.begin, self.levels = levels, levels
        self.tokens = TokensBefore(levels, width, word_dropout)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        self.told = nn.Linear(size, width, bias=False)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm, self.logits = nn.LayerNorm(width), nn.Linear(width, levels)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        y = self.tokens(x)
        if (T := y.shape[-2]) > len(self.place):
            raise UserError(f"The transformer knows {len(self.place)} places, and these sequences have {T}: cut them.")
        y = y + self.place[:T] + self.told(h.mT)
        for block in self.blocks:
            y = block(y)
        return self.logits(self.norm(y))

    def start(self, h: Tensor) -> list[State]:
        return [block.start(h[..., 0]) for block in self.blocks]  # type: ignore[operator]

    def step(self, last: Tensor, h: Tensor, memory: list[State]) -> tuple[Tensor, list[State]]:
        t = memory[0][0].shape[-2]
        y, kept = (self.tokens.table(last) + self.place[t] + self.told(h)).unsqueeze(-2), []
        for block, past in zip(self.blocks, memory, strict=True):
            y, now = block.step(y, past)  # type: ignore[operator]
            kept.append(now)
        return self.logits(self.norm(y)).squeeze(-2), kept


class TransformerEncoder(nn.Module):
    """x (..., T) -> (..., outputs), the mean of a transformer's h over the sequence; what follows its end is not read."""

    def __init__(
        self,
        levels: int,
        outputs: int,
        places: int,
        width: int = 128,
        *,
        blocks: int = 2,
        heads: int = 4,
        end: int | None = None,
    ) -> None:
        super().__init__()
        self.end, self.table = end, nn.Embedding(levels, width)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        real = up_to_end(x, self.end)
        y, sees = self.table(x.long()) + self.place, real.unsqueeze(-2).expand(*x.shape, x.shape[-1])
        for block in self.blocks:
            y = block(y, sees)
        weight = real.to(y.dtype).unsqueeze(-1)
        return self.head((self.norm(y) * weight).sum(-2) / weight.sum(-2))
