"""What is exported of a model (floor 7): plain modules from tensors to tensors, at rest and in float32."""

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from logpx.distributions import Flow, OneHots, Point, Quantised
from logpx.distributions.spaces import centres, parts_of, spreads
from logpx.distributions.sphere import PowerSpherical, VonMisesFisher
from logpx.errors import UserError
from logpx.evaluate import private_randomness
from logpx.model import VAE, Batch
from logpx.train.at_once import Given, Tape

Module = TypeVar("Module", bound=nn.Module)
#: every output of a part, in words
OUTPUTS = {
    "x": "E[x|z], the decoded mean; of a category the most probable code",
    "z": "the code: E[z|x], or the centre or most probable code of q(z|x)",
    "sd": "standard deviations of q(z|x)",
    "concentration": "how close q(z|x) is about its centre on the sphere",
    "probability": "q(z|x) of each class of each categorical variable",
    "index": "which code of the codebook each token of z is",
    "log_px": "log p(x), exact, in nats",
    "l1": "log p(x, z)/q(z|x) at one z drawn by the noise kept in the file, the bound L_1 on log p(x), in nats",
    "reconstruction": "-log p(x|z) at the code z, in nats",
}
NO_MEAN = "its likelihood knows no E[x|z], only draws of one element after another"
NO_CODE = "it has no latent, so there is nothing to encode"
NO_SCORE = "p(z) or q(z|x) has no density that can be computed, so log p(x) is not bounded"


class Part(nn.Module):
    """A function of rows with outputs by name; `forward` gives them in this order, one alone as itself.

    The model given is left as it is: weights are copied, in float32 and on the CPU. nan in x is a value that was not observed,
    where the model can do without it (`missing`).
    """

    input = "x"

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = copied(model)
        # an autoregressive or exact law is known of whole rows
        self.missing = model.has_mean and model.marginal is None
        self.eval()

    @property
    def lacks(self) -> dict[str, str]:
        """Outputs that such a part may have and this one has not, with the reason."""
        return {}

    def named(self, given: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Each output by its name, (B, ...)."""
        raise NotImplementedError

    def forward(self, given: Tensor, context: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        found = tuple(self.named(given, context).values())
        return found if len(found) > 1 else found[0]


class Decoder(Part):
    """z (B, D), and for a conditional model its context (B, C), to E[x|z] (B, *shape), in the units that the model sees.

    z is the point as the model's own decoder receives it: on a curved space, the point's coordinates. For categories "the
    mean" is the most probable code. Raises UserError for a model that knows no E[x|z], such as an autoregressive one.
    """

    input = "z"

    def __init__(self, model: VAE) -> None:
        if not model.has_mean:
            raise UserError(f"This model has no decoder to export: {NO_MEAN}.")
        super().__init__(model)

    def named(self, given: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        return {"x": self.model.decode(given, context).mean}


class Encoder(Part):
    """x (B, *shape) to its code z (B, D), and to what q(z|x) says besides.

    z              E[z|x]; on a curved space the centre of q(z|x), of categories and codebooks the most probable code.
    sd             (B, n) standard deviations, on a curved space along its directions at z.
    concentration  (B,) of a law on a sphere.
    probability    (B, D) of each class of each categorical variable.
    index          (B, T) which codes of the codebook the tokens are.

    Raises UserError for a model without a latent.
    """

    def __init__(self, model: VAE) -> None:
        if not has_latent(model):
            raise UserError(f"This model has no encoder to export: {NO_CODE}.")
        super().__init__(model)

    def named(self, given: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        q = self.model.encode(Batch.of(given, context, missing=self.missing))
        return {"z": centres(q)} | _besides(q)


class Scorer(Part):
    """x (B, *shape) to what the model says of each row, (B,) each, in nats.

    log_px          log p(x), where the model knows it.
    l1              else log p(x, z)/q(z|x) at z = z(x, e): the bound L_1 by one noise e, drawn with `seed` and kept, the same
                    for every row; `evaluate.evidence_alone(model, x, samples=1, seed=seed)`.
    reconstruction  -log p(x|z) at the row's code z, as `Encoder` gives it: of observed elements only.

    What a model has none of is left out, with its reason in `lacks`.
    """

    def __init__(self, model: VAE, seed: int = 0) -> None:
        super().__init__(model)
        self.seed = seed
        self.exact, self.bounded, self.codes = model.marginal is not None, model.has_evidence, has_latent(model)
        drawn = self._drawn(seed) if self.bounded and not self.exact else []
        self.draws = len(drawn)
        for i, noise in enumerate(drawn):
            self.register_buffer(f"noise_{i}", noise)

    @property
    def lacks(self) -> dict[str, str]:
        without = {} if self.exact or self.bounded else {"l1": NO_SCORE}
        return without | ({} if self.codes else {"reconstruction": NO_CODE})

    @torch.no_grad()
    def _drawn(self, seed: int) -> list[Tensor]:
        """What one draw of one row's z takes from the random state, in its order."""
        size = self.model.posterior.size
        assert isinstance(size, int)
        with private_randomness(torch.device("cpu"), seed), Tape() as tape:
            self.model.posterior(torch.zeros(1, size)).rsample((1,))
        return [drawn.like for drawn in tape.drawn]

    def named(self, given: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        batch = Batch.of(given, context, missing=self.missing)
        found = {}
        if self.exact:
            found["log_px"] = self.model.marginal().log_prob(batch.x)  # type: ignore[misc]
        if not self.codes:
            return found
        q = self.model.encode(batch)
        if self.bounded and not self.exact:
            with Given(self._noise(given.shape[0])):
                z = q.rsample((1,))
            found["l1"] = self.model.at(batch, q, z).log_w()[0]
        found["reconstruction"] = -self.model.at(batch, q, centres(q)[None]).log_px()[0]
        return {name: value.float() for name, value in found.items()}

    def _noise(self, rows: int) -> list[Tensor]:
        """The kept noise (1, 1, ...), the same for every row, (1, rows, ...)."""
        kept = (self.get_buffer(f"noise_{i}") for i in range(self.draws))
        return [noise.expand(1, rows, *noise.shape[2:]) for noise in kept]


#: the parts by name, in the order in which they are written
PARTS: dict[str, Callable[[VAE], Part]] = {"encoder": Encoder, "decoder": Decoder, "scorer": Scorer}


def has_latent(model: VAE) -> bool:
    """Whether z has a dimension."""
    return bool(model.posterior.dim)


def _besides(q: Distribution) -> dict[str, Tensor]:
    """What a law of codes says besides where it lies; nothing where it is a point, or a law without such numbers."""
    if isinstance(q, OneHots):
        return {"probability": q.mean}
    if isinstance(q, Quantised):
        return {"index": q.indices.int()}
    if isinstance(q, VonMisesFisher | PowerSpherical):
        return {"concentration": q.kappa}
    if isinstance(q, MultivariateNormal | Flow):
        return {"sd": q.stddev}
    parts = [] if isinstance(q, Point) else [spreads(part) for part in parts_of(q)]
    known = [sd for sd in parts if sd is not None]
    return {"sd": torch.cat(known, -1)} if known and len(known) == len(parts) else {}


def copied(module: Module) -> Module:
    """A copy in float32, on the CPU, in evaluation mode and without gradients."""
    return copy.deepcopy(module).float().cpu().eval().requires_grad_(False)
