"""The decoder as the page carries it (floor 8): z to the numbers that are shown, exported as ONNX."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from logpx.distributions import CategoricalLogits, Columns
from logpx.errors import UserError
from logpx.export import onnx_bytes
from logpx.export.parts import copied
from logpx.model import VAE
from logpx.subject import Subject


class Shown(nn.Module):
    """z (N, D) -> the numbers shown (N, M): E[x|z] flattened, and of a categorical column the probabilities of its levels.

    A conditional model is given its context (N, C) as a second argument. `law` is any p(x|z) of the model: how the columns of a
    table are laid out is read off it once, so that nothing but arithmetic is exported.
    """

    def __init__(self, model: VAE, law: Distribution, levels: Sequence[int | None]) -> None:
        super().__init__()
        self.model = model
        self.layout: list[list[int]] | None = None  # by part of the law, how many numbers each of its columns takes
        if isinstance(law, Columns):
            places = [place.tolist() for place in law.places]
            self.layout = [
                [levels[j] or 1 if isinstance(part, CategoricalLogits) else 1 for j in place]
                for part, place in zip(law.laws, places, strict=True)
            ]
            column = [(j, i) for place, sizes in zip(places, self.layout, strict=True) for j, i in _each(place, sizes)]
            self.register_buffer("order", torch.tensor(sorted(range(len(column)), key=column.__getitem__)))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        law = self.model.decode(z, context)
        if self.layout is None:
            return law.mean.flatten(1)
        assert isinstance(law, Columns)
        made = torch.cat([_numbers(part, sizes) for part, sizes in zip(law.laws, self.layout, strict=True)], 1)
        return made.index_select(1, self.get_buffer("order"))


def _each(place: list[int], sizes: list[int]) -> list[tuple[int, int]]:
    """(column, number within it) of all numbers of one part of a law."""
    return [(j, i) for j, size in zip(place, sizes, strict=True) for i in range(size)]


def _numbers(part: Distribution, sizes: list[int]) -> Tensor:
    """Means (N, n) of n columns, or the probabilities of their levels, (N, sum of sizes)."""
    if not isinstance(part, CategoricalLogits):
        return part.mean
    p = part.logits.softmax(-1)
    return torch.cat([p[:, i, :size] for i, size in enumerate(sizes)], 1)


def check_explorable(s: Subject) -> None:
    """Raises UserError, in one sentence, for a model that has no z to drag or no mean to show."""
    why = None
    if s.is_text:
        why = "this one writes sequences token by token"
    elif s.dim == 0:
        why = "this one has no latent"
    elif not s.model.has_mean:
        why = "the law of this one is autoregressive, so that its mean is known to nobody"
    elif s.is_discrete or getattr(s.model.posterior, "is_one_code", False):
        why = "the codes of this one are discrete"
    elif not s.spaces:
        why = "the geometry of this one's latent space is not known"
    if why:
        raise UserError(f"The explorer decodes the mean E[x|z] while z moves, and {why}: see it with `logpx report`.")


def decoder_bytes(s: Subject) -> bytes:
    """The decoder of a run as an ONNX model with inputs z, context and output x, any number of rows."""
    columns = s.data.spec.columns or ()
    module = copied(Shown(s.model, s.law(s.means[:1]), [column.levels for column in columns]))
    example, names = [s.means[:2]], ["z"]
    if s.batch.context is not None:
        example, names = [*example, s.batch.context[:2].cpu().float()], ["z", "context"]
    return onnx_bytes(module, example, names, ["x"])
