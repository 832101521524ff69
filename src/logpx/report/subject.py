"""What a report looks at (floor 8): the run, the rows it shows, and the few things asked of the model, each asked once."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, constraints

from logpx.data import Data, Split
from logpx.distributions import is_density
from logpx.errors import UserError
from logpx.evaluate import Evidence, Usage, usage
from logpx.model import VAE, Batch
from logpx.train import Run

POINTS, SHOWN = 10_000, 600  # rows whose latents are drawn; rows that are kept whole


@dataclass(frozen=True)
class Subject:
    """One run beside its data. Everything that draws is made from `seed`, whatever was drawn before."""

    run: Run
    data: Data
    evidence: Evidence | None
    seed: int = 0

    @property
    def model(self) -> VAE:
        return self.run.model

    @property
    def is_image(self) -> bool:
        return len(self.data.shape) == 3

    @property
    def split(self) -> Split:
        """The rows that are shown: test rows, or held-out ones where there are none, or those of the training."""
        return getattr(self.data, self.data.judge)

    @property
    def rows(self) -> str:
        """What to call them: "test rows"."""
        return {"test": "test", "held_out": "held-out", "train": "training"}[self.data.judge] + " rows"

    @cached_property
    def x(self) -> Tensor:
        """The first rows, (n, *shape); n is smaller for large images."""
        n = max(16, min(SHOWN, 2**24 // math.prod(self.data.shape)))
        return self.split.x(slice(0, n), self._generator())

    @cached_property
    def means(self) -> Tensor:
        """Posterior means of the first 10,000 rows, (N, D)."""
        generator, step = self._generator(), self._at_once
        top = min(len(self.split), POINTS)
        pieces = (self.split.x(slice(i, min(i + step, top)), generator) for i in range(0, top, step))
        return torch.cat([self.encode(x).mean.cpu().float() for x in pieces])

    @cached_property
    def labels(self) -> Tensor | None:
        return None if self.split.labels is None else self.split.labels[:POINTS]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes or ()

    @property
    def columns(self) -> list[str]:
        return list(self.data.columns or (f"column {i}" for i in range(math.prod(self.data.shape))))

    def encode(self, x: Tensor) -> Distribution:
        """q(z | x) where the model lives."""
        return self.model.encode(Batch(self._placed(x)))

    def decode(self, z: Tensor) -> Tensor:
        """E[x|z] for z (N, D), (N, *shape), a piece at a time."""
        return torch.cat([self.law(piece).mean.cpu().float() for piece in z.split(self._at_once)])

    def law(self, z: Tensor) -> Distribution:
        """p(x | z)."""
        return self.model.decode(self._placed(z))

    @cached_property
    def q(self) -> Distribution:
        """q(z | x) of the rows in `x`."""
        return self.encode(self.x)

    @property
    def dim(self) -> int:
        return self.q.event_shape[0]

    @cached_property
    def reconstructions(self) -> Tensor:
        """E[x|z] at the posterior means of the rows in `x`."""
        return self.decode(self.means[: len(self.x)])

    @cached_property
    def is_density(self) -> bool:
        """Whether p(x|z) is a law that one can draw from; not so for the grey score."""
        return is_density(self.law(self.means[:1]))

    @cached_property
    def prior(self) -> Distribution | None:
        return None if self.model.prior is None else self.model.prior(None)

    @property
    def is_standard(self) -> bool:
        """Whether p(z) is a product of normal laws, so that its quantiles make a grid."""
        return isinstance(self.prior, Independent) and isinstance(self.prior.base_dist, Normal)

    @property
    def is_euclidean(self) -> bool:
        """Whether every z is a latent, so that one may walk along an axis."""
        support = self.q.support
        while isinstance(support, constraints.independent):
            support = support.base_constraint
        return support is constraints.real

    @cached_property
    def usage(self) -> Usage | None:
        """None where there are too few rows."""
        try:
            return usage(self.model, self.split, rows=POINTS)
        except UserError:
            return None

    def sample(self, n: int) -> tuple[Tensor, Tensor | None]:
        """E[x|z] and x ~ p(x|z) for z ~ p(z), each (n, *shape); no draws where p(x|z) is no density."""
        torch.manual_seed(self.seed)
        z, _ = self.model.sample(n)
        draws = [self.law(piece).sample().cpu().float() for piece in z.split(self._at_once)] if self.is_density else []
        return self.decode(z), torch.cat(draws) if draws else None

    def density(self, x: Tensor, draws: int = 4096) -> Tensor:
        """p(x) ~ 1/M sum_m p(x | z_m), z_m ~ p(z): unbiased, and good enough for a picture in one or two dimensions."""
        torch.manual_seed(self.seed)
        z, _ = self.model.sample(draws)
        px = self.law(z)
        pieces = self._placed(x)[:, None].split(max(1, 2**21 // (draws * x.shape[1])))
        return torch.cat([px.log_prob(piece).double().exp().mean(1).cpu() for piece in pieces])

    @property
    def _at_once(self) -> int:
        return max(16, min(1000, 2**22 // math.prod(self.data.shape)))

    def _placed(self, x: Tensor) -> Tensor:
        like = next(self.model.parameters())
        return x.to(like.device, like.dtype)

    def _generator(self) -> torch.Generator:
        rows = self.split.rows
        return torch.Generator(rows.device if isinstance(rows, Tensor) else "cpu").manual_seed(self.seed)
