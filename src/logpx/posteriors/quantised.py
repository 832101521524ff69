"""Families that quantise (floor 3): learned codebooks, one or several on what the one before left over, and fixed levels.

The encoder's numbers are z_e (B, N * D): N places of a grid, D numbers each. z is z_q, the code at each place, and carries to
z_e the gradient that an estimator gives it. Both families name `codes` K and `tokens` T, turn z into indices (.., T) and back.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions import Quantised
from logpx.errors import UserError

Learning = Literal["ema", "gradient"]
Through = Literal["straight_through", "rotation"]
EPS = 1e-5  # of the smoothed counts, as in the paper's code


class Codebook(nn.Module):
    """z_q = e_k, k = argmin_j |z_e - e_j|^2 at each place of a grid (van den Oord et al. 2017, arXiv:1711.00937, eq. 1-2).

    positions  N places, each of `width` D numbers; `codes` is K.
    stages     L codebooks, each for what those before it left over: z_q = sum_l e_l (Lee et al. 2022, arXiv:2203.01941, eq. 4).
               z holds the L vectors of a place one after the other, and the decoder adds them up.
    learning   "gradient": by the loss |sg[z_e] - e|^2; "ema": the mean of what it was given, over about 1/(1 - decay) steps:
               N_j <- g N_j + (1 - g) n_j,  m_j <- g m_j + (1 - g) sum z,  e_j = m_j / N^_j,  where N^_j = (N_j + eps) /
               (sum N + K eps) sum N stands in the division only (appendix A.1). Nothing moves at rest.
    through    the gradient that z_e gets of that by z_q: the same (straight_through), or turned and rescaled as z_e is turned
               and rescaled into z_q (Fifty et al. 2024, arXiv:2410.06424, eq. 4).
    restart    a code used less than this share of an even use is put on a vector of the batch; 0 for never.

    What the codes were given reaches `after_step` as the gradient of `tally`: no state moves in the forward pass.
    """

    has_density = True  # a probability: q(z|x) is 1 at one code
    is_one_code = True
    codes_of_stages: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(
        self,
        positions: int,
        width: int,
        codes: int,
        *,
        stages: int = 1,
        learning: Learning = "ema",
        through: Through = "straight_through",
        decay: float = 0.99,
        restart: float = 0.05,
    ) -> None:
        super().__init__()
        if codes < 2:
            raise UserError(f"codes is {codes}: a code that is always the same says nothing, so give 2 or more.")
        if not 0 <= decay < 1:
            raise UserError(f"decay is {decay}: the weight of what was seen before lies in [0, 1).")
        if not 0 <= restart < 1:
            raise UserError(f"restart is {restart}: it is a share of an even use of the codes, from 0 to below 1.")
        self.positions, self.width, self.codes, self.stages = positions, width, codes, stages
        self.learning, self.through, self.decay, self.restart = learning, through, decay, restart
        self.tokens = positions * stages
        self.size, self.dim = positions * width, positions * stages * width
        start = torch.randn(stages, codes, width)
        if learning == "gradient":
            self.codes_of_stages = nn.Parameter(start)
        else:
            self.register_buffer("codes_of_stages", start)
        self.register_buffer(
            "counts", torch.full((stages, codes), 1 - decay)
        )  # as if one step had given each one vector
        self.register_buffer("sums", (1 - decay) * start)
        self.tally = nn.Parameter(torch.zeros(stages, codes, 2 * width + 1))
        self.moves_itself = ("tally",)

    # --- from the encoder's numbers to codes and back -----------------------------------------------------------------

    def forward(self, params: Tensor) -> Distribution:
        z_e = params.unflatten(-1, (self.positions, self.width))
        left, z_q = z_e.detach(), torch.zeros_like(z_e)
        indices, vectors, tally = [], [], []
        commitment = codebook = torch.zeros_like(z_e[..., 0, 0])
        for e in self.codes_of_stages:
            found = nearest(left, e)
            vector = e[found]
            codebook = codebook + _squared(left - vector)
            z_q = z_q + vector.detach()
            commitment = commitment + _squared(z_e - z_q)
            indices.append(found)
            vectors.append(vector.detach())
            tally += [self._given(left, found)] if self.training else []
            left = z_e.detach() - z_q
        through = z_e if self.through == "straight_through" else turned(z_e, z_q)
        vectors[0] = vectors[0] + (through - through.detach())  # exactly a code, with the gradient of `through`
        return Quantised(
            torch.stack(vectors, -2).flatten(-3),
            torch.stack(indices, -1).flatten(-2),
            self.codes,
            stages=self.stages,
            commitment=commitment,
            codebook=codebook if self.learning == "gradient" else None,
            tally=(self.tally * torch.stack(tally)).sum() if tally else None,
        )

    def _given(self, z: Tensor, found: Tensor) -> Tensor:
        """n_j, the sum of the vectors that code j was given, and a vector of the batch drawn for it, (K, 1 + 2 D)."""
        z, found = z.flatten(0, -2), found.flatten()
        ones = torch.cat([torch.ones_like(z[:, :1]), z], 1)
        drawn = torch.randperm(len(z), device=z.device)[: self.codes]
        if len(z) < self.codes:
            drawn = torch.randint(len(z), (self.codes,), device=z.device)
        return torch.cat([z.new_zeros(self.codes, 1 + self.width).index_add(0, found, ones), z[drawn]], 1)

    def indices(self, z: Tensor) -> Tensor:
        """The codes (..., T) of z (..., dim). Of the two nearest the nearer by the exact distance: near twins stay apart."""
        tokens = z.unflatten(-1, (self.positions, self.stages, self.width))
        found = []
        for e, token in zip(self.codes_of_stages, tokens.unbind(-2), strict=True):
            two = (e.square().sum(-1) - 2 * token @ e.T).topk(2, -1, largest=False).indices
            one = (token.unsqueeze(-2) - e[two]).square().sum(-1).argmin(-1, keepdim=True)
            found.append(two.gather(-1, one).squeeze(-1))
        return torch.stack(found, -1).flatten(-2)

    def vectors(self, indices: Tensor) -> Tensor:
        """z (..., dim) of codes (..., T)."""
        stages = indices.unflatten(-1, (self.positions, self.stages)).unbind(-1)
        vectors = [e[found] for e, found in zip(self.codes_of_stages, stages, strict=True)]
        return torch.stack(vectors, -2).flatten(-3)

    # --- how the codes move -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def after_step(self, terms: dict[str, Tensor]) -> None:
        """Counts and codes by what this step's codes were given; then dead codes start again."""
        if self.tally.grad is None:
            return
        n, total, drawn = self.tally.grad.split([1, self.width, self.width], -1)
        self.tally.grad = None
        self.counts.lerp_(n.squeeze(-1), 1 - self.decay)
        if self.learning == "ema":
            self.sums.lerp_(total, 1 - self.decay)
            means = self.sums / smoothed(self.counts).unsqueeze(-1)
            self.codes_of_stages.copy_(means.where(self.counts.unsqueeze(-1) > 0, self.codes_of_stages))
        if self.restart:
            self._restart(drawn)

    def _restart(self, drawn: Tensor) -> None:
        """Codes whose count is below `restart` of the mean count move to vectors of the batch, as if used evenly so far."""
        even = self.counts.mean(-1, keepdim=True).expand_as(self.counts)
        dead = self.counts < self.restart * even
        self._put(dead, drawn, even)

    def _put(self, where: Tensor, codes: Tensor, counts: Tensor) -> None:
        rows = where.unsqueeze(-1)
        self.codes_of_stages.copy_(codes.where(rows, self.codes_of_stages))
        self.sums.copy_((codes * counts.unsqueeze(-1)).where(rows, self.sums))
        self.counts.copy_(counts.where(where, self.counts))

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """The codes at the centres that Lloyd's algorithm finds among the encoder's numbers z (rows, size) of some rows."""
        left = z.reshape(-1, self.width)
        everywhere = torch.ones_like(self.counts, dtype=torch.bool)
        centres, counts = [], []
        for _ in range(self.stages):
            found, size = k_means(left, self.codes)
            centres.append(found)
            counts.append((1 - self.decay) * self.codes * size / size.sum())  # as much as at birth: soon outweighed
            left = left - found[nearest(left, found)]
        self._put(everywhere, torch.stack(centres), torch.stack(counts))


class FiniteScalar(nn.Module):
    """z_q = round(f(z_e)): each of d numbers at a place on a few fixed levels (Mentzer et al. 2024, arXiv:2309.15505, eq. 1).

    f is a tanh onto an interval that rounds to exactly l_i levels; they are spread over [-1, 1] (an even number of them ends
    below 1). K = prod l_i codes without a codebook: nothing to learn, nothing to die, and the gradient straight through.
    """

    has_density = True  # a probability: q(z|x) is 1 at one code
    is_one_code = True
    of: Tensor

    def __init__(self, positions: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        if not levels or min(levels) < 2:
            raise UserError(f"levels is {levels}: give two or more for each number of a code, such as 8,6,5.")
        self.positions, self.width, self.tokens = positions, len(levels), positions
        self.codes, self.stages = math.prod(levels), 1
        self.size = self.dim = positions * self.width
        self.register_buffer("of", torch.tensor(levels), persistent=False)

    def forward(self, params: Tensor) -> Distribution:
        rounded, bounded = self._rounded(params.unflatten(-1, (self.positions, self.width)))
        z = rounded + (bounded - bounded.detach())
        return Quantised((z / (self.of // 2)).flatten(-2), self._index(rounded), self.codes)

    def _rounded(self, z_e: Tensor) -> tuple[Tensor, Tensor]:
        """round(f(z_e)), whole numbers from -(l // 2) to (l - 1) // 2, and f(z_e)."""
        half = (self.of - 1) * (1 + 1e-3) / 2  # a little more, so that the outermost levels can be reached
        offset = 0.5 - 0.5 * (self.of % 2)
        bounded = torch.tanh(z_e + torch.atanh(offset / half)) * half - offset
        return bounded.detach().round(), bounded

    def _index(self, rounded: Tensor) -> Tensor:
        """The number whose digits, the first the lowest, are the levels, (..., d) -> (...)."""
        return ((rounded + self.of // 2).long() * self._place()).sum(-1)

    def _place(self) -> Tensor:
        return torch.cat([self.of.new_ones(1), self.of[:-1].cumprod(0)])

    def indices(self, z: Tensor) -> Tensor:
        """The codes (..., T) of z (..., dim)."""
        return self._index((z.unflatten(-1, (self.positions, self.width)) * (self.of // 2)).round())

    def vectors(self, indices: Tensor) -> Tensor:
        """z (..., dim) of codes (..., T)."""
        digits = indices.unsqueeze(-1) // self._place() % self.of
        half = self.of // 2
        return ((digits - half) / half).flatten(-2)


def nearest(z: Tensor, e: Tensor) -> Tensor:
    """argmin_j |z - e_j|^2 for z (..., D) and e (K, D), the first of equals, (...)."""
    return torch.addmm(e.square().sum(-1), z.flatten(0, -2), e.T, alpha=-2).argmin(-1).view(z.shape[:-1])


def smoothed(counts: Tensor) -> Tensor:
    """(N_j + eps) / (sum N + K eps) sum N along the last axis: none is 0, and their sum stays."""
    total = counts.sum(-1, keepdim=True)
    return (counts + EPS) / (total + counts.shape[-1] * EPS) * total


def turned(z_e: Tensor, z_q: Tensor) -> Tensor:
    """sg[|q|/|e| R] e, R the rotation in the plane of e and q that takes e's direction to q's; its value is z_q.

    R = I - 2 r r^T + 2 q^ e^^T with r = (e^ + q^)/|e^ + q^| and unit vectors e^, q^ (Fifty et al. 2024, section 4.2).
    """
    e, q = z_e.detach(), z_q.detach()
    size_e, size_q = (t.norm(dim=-1, keepdim=True).clamp_min(1e-6) for t in (e, q))
    e_hat, q_hat = e / size_e, q / size_q
    r = nn.functional.normalize(e_hat + q_hat, dim=-1)
    rotated = z_e - 2 * (z_e * r).sum(-1, keepdim=True) * r + 2 * (z_e * e_hat).sum(-1, keepdim=True) * q_hat
    return size_q / size_e * rotated


def k_means(z: Tensor, k: int, steps: int = 10) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm from k of the vectors z (M, D): centres (k, D) and how many vectors are nearest to each, (k,).

    An empty centre stays where it is; with fewer vectors than centres some vectors are taken twice.
    """
    drawn = torch.randperm(len(z), device=z.device)[:k] if len(z) >= k else torch.randint(len(z), (k,), device=z.device)
    centres, ones = z[drawn], torch.cat([torch.ones_like(z[:, :1]), z], 1)
    for _ in range(steps):
        given = z.new_zeros(k, 1 + z.shape[1]).index_add(0, nearest(z, centres), ones)
        centres = (given[:, 1:] / given[:, :1].clamp_min(1)).where(given[:, :1] > 0, centres)
    return centres, torch.zeros_like(z[:1, 0]).expand(k).index_add(0, nearest(z, centres), ones[:, 0])


def _squared(difference: Tensor) -> Tensor:
    """The sum of squares of each row, (B, N, D) -> (B,)."""
    return difference.square().sum((-2, -1))
