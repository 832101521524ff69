"""What is trained and how (floor 6): Method, made by a recipe, and Training, the settings of the loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import Tensor

from logpx.data import Data, Split
from logpx.errors import UserError
from logpx.model import VAE
from logpx.objectives import Objective

if TYPE_CHECKING:
    from logpx.train.run import Run

Schedule = Literal["constant", "cosine"]
Optimizer = Literal["adam", "muon"]
Solver = Callable[[VAE, Tensor], Iterator[dict[str, float]]]
Act = Callable[[VAE, Split], None]
Second = Callable[["Method", Data], "Run"]
LastAct = Callable[[VAE, Data, Second], None]


@dataclass(frozen=True)
class Training:
    """How the loop runs. A recipe gives its method's defaults; `fit` and the command line may override each.

    schedule  "constant", or "cosine": the learning rate falls to zero along half a cosine over the whole run.
    optimizer "adam", or "muon" for the matrices of linear layers, which needs fewer steps and longer ones.
    clip      largest norm of the model's gradient, and of a critic's, each by itself; None for no clipping.
    average   decay per step of a moving average of the weights, such as 0.99: it is scored and kept in their place. With it
              the learning rate can be larger; None for none.
    encoder_decay  w <- w - learning_rate * encoder_decay * w at each step, of the encoder's matrices and filters, outside
              Adam's moments (AdamW; Loshchilov & Hutter 2019, arXiv:1711.05101). The encoder is what overfits first: new rows
              suffer where q(z|x) was learned by heart (Shu et al. 2018, arXiv:1805.08913); 0 for none.
    patience  epochs without a better held-out loss, counted after every warm-up has ended, before the run stops.
    encoder_steps  at most so many steps of the encoder alone before each of the decoder alone, while the mutual
              information I(x; z) of held-out rows still rises; 0 moves both at once (He et al. 2019, algorithm 1).
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Schedule = "constant"
    optimizer: Optimizer = "adam"
    clip: float | None = None
    average: float | None = None
    encoder_decay: float = 0.0
    patience: int | None = None
    encoder_steps: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip", "patience"):
            value = getattr(self, name)
            if name in ("epochs", "batch_size", "patience") and not isinstance(value, int | None):
                raise UserError(f"{name} is {value}: it must be a whole number.")
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"{name} is {value}: it must be a positive number.")
        if not isinstance(self.encoder_steps, int) or self.encoder_steps < 0:
            raise UserError(f"encoder_steps is {self.encoder_steps}: it must be a whole number, 0 or more.")
        if self.average is not None and not 0 < self.average < 1:
            raise UserError(f"average is {self.average}: it must lie between 0 and 1, such as 0.99.")
        if not 0 <= self.encoder_decay * self.learning_rate < 1:
            raise UserError(
                f"encoder_decay is {self.encoder_decay}: it must be 0 or more, and below 1 / learning_rate, where a step "
                "leaves nothing of a weight."
            )
        for name, kind in (("schedule", Schedule), ("optimizer", Optimizer)):
            if getattr(self, name) not in get_args(kind):
                raise UserError(f"{name} is {getattr(self, name)!r}: it must be one of {', '.join(get_args(kind))}.")


@dataclass(frozen=True)
class Method:
    """A model and what it minimises. `recipe` and `options` say how to build it again.

    solve   replaces the gradient: it fills the model from the training data and yields the terms of each iteration
            (expectation-maximisation, or a closed form in one).
    start   is called once with the model and the training rows before a fresh run's first epoch, never where one is
            resumed: pseudo-inputs placed among the rows, say. What it refuses is refused before anything is written.
    finish  is called with the trained model, the data, and a function that trains a second method on data of its own, such as
            the codes, by the same `fit` and in a folder inside the run's: it shows progress, logs and resumes. What it finds
            is put into the model.
    """

    model: VAE
    objective: Objective
    training: Training = field(default_factory=Training)
    solve: Solver | None = None
    start: Act | None = None
    finish: LastAct | None = None
    recipe: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def with_training(self, **settings: Any) -> "Method":
        """The same method with these settings of `training`; None leaves one as it is."""
        given = {name: value for name, value in settings.items() if value is not None}
        return replace(self, training=replace(self.training, **given))
