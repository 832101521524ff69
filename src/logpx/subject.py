"""What a page about a run looks at (floor 7): the run, the rows shown, and the few things asked of the model, each once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from logpx.data import Data, Split
from logpx.distributions import OneHots, Space, is_density, is_euclidean, spaces, spaces_of
from logpx.errors import UserError
from logpx.evaluate import Evidence, Usage, usage
from logpx.likelihoods import Tokens
from logpx.model import VAE, Batch
from logpx.recipes import RECIPES
from logpx.train import Run

POINTS, SHOWN = 10_000, 600  # rows whose latents are drawn; rows that are kept whole


@dataclass(frozen=True)
class Subject:
    """One run beside its data. Everything that draws is made from `seed`, whatever was drawn before.

    shown  the rows to look at, where they are not those that the data are judged by.
    """

    run: Run
    data: Data
    evidence: Evidence | None
    seed: int = 0
    shown: Split | None = None

    @property
    def model(self) -> VAE:
        return self.run.model

    @property
    def title(self) -> str:
        """ "Variational autoencoder on MNIST"."""
        row = RECIPES.get(self.run.info.get("recipe") or "")
        return f"{row.title if row else 'A model of hand-made parts'} on {self.data.name}"

    @property
    def data_words(self) -> str:
        """ "MNIST: images of 28 × 28, binary, protocol dynamic"."""
        *channels, shape = self.data.shape[0], " × ".join(str(n) for n in self.data.shape[-2:])
        protocol = "" if self.data.protocol == "as-is" else f", protocol {self.data.protocol}"
        what = f"{shape} column{'s' * (shape != '1')}"
        if self.is_image:
            what = f"images of {shape}" + (" in colour" if channels == [3] else "")
        return f"{self.data.name}: {what}, {self.data.kind}{protocol}"

    @cached_property
    def pixel_range(self) -> tuple[float, float]:
        """The numbers of black and white, by what pixels are: as they stand, by levels, or the data's extremes."""
        if self.data.kind in ("binary", "grey"):
            return 0.0, 1.0
        if self.data.spec.levels:
            return 0.0, float(self.data.spec.levels - 1)
        low, high = self.x.flatten()[:1_000_000].nanquantile(torch.tensor([0.001, 0.999])).tolist()
        return low, low + max(high - low, 1e-12)

    @property
    def is_image(self) -> bool:
        return len(self.data.shape) == 3

    @property
    def is_plane(self) -> bool:
        """Whether rows are points of a plane: two numbers, some of them known."""
        return self.data.shape == (2,) and self.data.kind not in ("mixed", "sequence") and len(self.points) > 1

    @property
    def is_text(self) -> bool:
        """Whether rows are sequences that the model reads token by token."""
        return isinstance(self.model.likelihood, Tokens)

    @property
    def by_class(self) -> bool:
        """Whether these are pictures of classes, so that samples show one after the other."""
        return self.is_image and [c.kind for c in self.data.conditions] == ["categorical"]

    @property
    def split(self) -> Split:
        """The rows that are shown: `shown`, or test rows, held-out ones where there are none, or those of the training."""
        return getattr(self.data, self.data.judge) if self.shown is None else self.shown

    @property
    def rows(self) -> str:
        """What to call them: "test rows"."""
        return {"test": "test", "held_out": "held-out", "train": "training"}[self.data.judge] + " rows"

    @cached_property
    def batch(self) -> Batch:
        """The first rows with their context; n is smaller for large images."""
        n = max(16, min(SHOWN, 2**24 // math.prod(self.data.shape)))
        return self.split.batch(slice(0, n), self.generator())

    @cached_property
    def x(self) -> Tensor:
        """The same rows, (n, *shape), nan where a value is missing."""
        x, _, observed = self.batch
        return x if observed is None else x.masked_fill(~observed, math.nan)

    @cached_property
    def complete(self) -> Tensor:
        """Which of these rows miss nothing, (n,)."""
        return ~self.x.flatten(1).isnan().any(1)

    @property
    def points(self) -> Tensor:
        """The complete ones among them: those that have a place in a plane."""
        return self.x[self.complete]

    @cached_property
    def means(self) -> Tensor:
        """Posterior means of the first 10,000 rows, (N, D): points of the space, on curved ones the Frechet means.

        Of categorical latents the most probable codes.
        """
        generator, step = self.generator(), self._at_once
        top = min(len(self.split), POINTS)
        pieces = (self.split.batch(slice(i, min(i + step, top)), generator) for i in range(0, top, step))
        return torch.cat([spaces.centres(self.encode(batch)).cpu().float() for batch in pieces])

    @property
    def centres(self) -> str:
        """What `means` are: of a law, or the codes themselves."""
        if self.is_discrete:
            return "most probable codes"
        is_code = getattr(self.model.posterior, "is_one_code", not getattr(self.model.posterior, "has_density", True))
        return "codes" if is_code else "posterior means"

    @cached_property
    def labels(self) -> Tensor | None:
        return None if self.split.labels is None else self.split.labels[:POINTS]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.classes or ()

    @property
    def columns(self) -> list[str]:
        return list(self.data.columns or (f"column {i}" for i in range(math.prod(self.data.shape))))

    def categories(self, i: int) -> tuple[str, ...]:
        """The names of what column i may be, in the order of its codes; none for numbers."""
        column = self.data.spec.columns[i] if self.data.spec.columns else None
        if column is None or column.kind != "categorical":
            return ()
        return self.data.categories[column.name][: column.levels]

    def encode(self, batch: Batch) -> Distribution:
        """q(z | x) where the model lives."""
        like = next(self.model.parameters())
        return self.model.encode(batch.to(like.device, like.dtype))

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """E[x|z] for z (N, D), (N, *shape), a piece at a time; where no mean is known, a draw x ~ p(x|z) each."""
        if not self.model.has_mean:
            torch.manual_seed(self.seed + 1)  # apart from the noise that z may have been drawn with
            return self._drawn(z, context)
        return torch.cat([self.law(*piece).mean.cpu().float() for piece in self._pieces(z, context)])

    def _drawn(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """x ~ p(x|z) for z (N, D), (N, *shape), a piece at a time."""
        return torch.cat([self.law(*piece).sample().cpu().float() for piece in self._pieces(z, context)])

    @property
    def decoded(self) -> str:
        """What `decode` gives, in words."""
        return "E[x|z]" if self.model.has_mean else "One draw x ~ p(x|z) each"

    @property
    def decoded_html(self) -> str:
        return "E[<i>x</i>|<i>z</i>]" if self.model.has_mean else "One draw <i>x</i> ~ <i>p</i>(<i>x</i>|<i>z</i>) each"

    def law(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """p(x | z); of a conditional model with the context given, or that of the first row."""
        if self.batch.context is None:
            return self.model.decode(self._placed(z))
        context = self.batch.context[:1].expand(len(z), -1) if context is None else context
        return self.model.decode(self._placed(z), self._placed(context))

    def _pieces(self, z: Tensor, context: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        step = self._at_once
        for i in range(0, len(z), step):
            yield z[i : i + step], None if context is None else context[i : i + step]

    def contexts(self, n: int) -> Tensor | None:
        """(n, C) for n new points: of pictures each class in turn, else those of the rows shown, over and over."""
        if self.batch.context is None:
            return None
        rows = torch.eye(self.data.spec.context) if self.by_class else self.batch.context
        return rows[torch.arange(n) % len(rows)]

    @cached_property
    def q(self) -> Distribution:
        """q(z | x) of the rows in `x`."""
        return self.encode(self.batch)

    @property
    def dim(self) -> int:
        return self.q.event_shape[0]

    @property
    def is_discrete(self) -> bool:
        """Whether z is made of categorical variables."""
        return isinstance(self.q, OneHots)

    @property
    def units(self) -> tuple[int, str]:
        """How many parts z has that may be at work, and what one is called."""
        return (self.q.variables, "variable") if isinstance(self.q, OneHots) else (self.dim, "latent dimension")

    @cached_property
    def reconstructions(self) -> Tensor:
        """E[x|z] at the posterior means of the rows in `x`."""
        return self.decode(self.means[: len(self.x)], self.batch.context)

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
        return is_euclidean(self.q)

    @cached_property
    def spaces(self) -> list[Space]:
        """The parts of the latent space; none where its geometry is not known."""
        try:
            return spaces_of(self.q)
        except UserError:
            return []

    @property
    def is_one_flat(self) -> bool:
        """Whether z is a vector of one flat space, and no product of several."""
        return self.is_euclidean and len(self.spaces) == 1

    def prior_of(self, i: int) -> Distribution | None:
        """p(z_i) of the i-th part, one law."""
        if self.prior is None or len(parts := spaces.parts_of(self.prior)) != len(self.spaces):
            return None
        return parts[i]

    @cached_property
    def usage(self) -> Usage | None:
        """None where there are too few rows."""
        try:
            return usage(self.model, self.split, rows=POINTS)
        except UserError:
            return None

    def sample(self, n: int) -> tuple[Tensor | None, Tensor | None]:
        """E[x|z] and x ~ p(x|z) for z ~ p(z), each (n, *shape).

        No draws where p(x|z) is no density, no means where none is known.
        """
        torch.manual_seed(self.seed)
        z, context = self._from_prior(n)
        means = self.decode(z, context) if self.model.has_mean else None
        return means, self._drawn(z, context) if self.is_density else None

    def _from_prior(self, n: int) -> tuple[Tensor, Tensor | None]:
        """z ~ p(z), (n, D), and the contexts that go with them."""
        context = self.contexts(n)
        z, _ = self.model.sample(n, None if context is None else self._placed(context))
        return z, context

    def density(self, x: Tensor, draws: int = 4096) -> Tensor:
        """p(x) ~ 1/M sum_m p(x | z_m), z_m ~ p(z): unbiased, and good enough for a picture in one or two dimensions."""
        torch.manual_seed(self.seed)
        px = self.law(*self._from_prior(draws))
        pieces = self._placed(x)[:, None].split(max(1, 2**21 // (draws * x.shape[1])))
        return torch.cat([px.log_prob(piece).double().exp().mean(1).cpu() for piece in pieces])

    @property
    def _at_once(self) -> int:
        return max(16, min(1000, 2**22 // math.prod(self.data.shape)))

    def _placed(self, x: Tensor) -> Tensor:
        like = next(self.model.parameters())
        return x.to(like.device, like.dtype)

    def generator(self) -> torch.Generator:
        """For rows that are drawn at each read; the same draws for whoever asks."""
        rows = self.split.rows
        return torch.Generator(rows.device if isinstance(rows, Tensor) else "cpu").manual_seed(self.seed)
