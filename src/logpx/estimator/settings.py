"""What a VAE is told (floor 8): the estimator's settings as scikit-learn keeps them, and what they stand for."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from logpx.errors import UserError
from logpx.recipes import Recipe, find

EXACT = ("ppca", "factor_analysis", "linear_vae", "made", "pixelcnn")  # recipes that compute from complete rows
LATENT = 2


class Settings(BaseEstimator):
    """The settings as they are given, looked at when the estimator is fitted; what each means stands in `VAE`."""

    def __init__(
        self,
        recipe: str = "vae",
        *,
        latent: int = LATENT,
        options: Mapping[str, Any] | None = None,
        kind: str = "auto",
        columns: Mapping[str, str] | None = None,
        shape: tuple[int, ...] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        schedule: str | None = None,
        optimizer: str | None = None,
        clip: float | None = None,
        average: float | None = None,
        encoder_decay: float | None = None,
        patience: int | None = None,
        held_out: float | int = 0.1,
        standardise: bool = False,
        samples: int = 100,
        random_state: Any = None,
        device: str = "auto",
        precision: str = "float32",
        verbose: bool = False,
    ) -> None:
        self.recipe = recipe
        self.latent = latent
        self.options = options
        self.kind = kind
        self.columns = columns
        self.shape = shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.optimizer = optimizer
        self.clip = clip
        self.average = average
        self.encoder_decay = encoder_decay
        self.patience = patience
        self.held_out = held_out
        self.standardise = standardise
        self.samples = samples
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.verbose = verbose

    def _recipe(self) -> tuple[Recipe, dict[str, Any]]:
        """The recipe and its options; UserError for one that there is not."""
        row, options = find(self.recipe), {} if self.options is None else self.options
        if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
            raise UserError(f"options is {options!r}: it must be options by name, such as {{'hidden': (64,)}}.")
        if "latent" in row.options:
            return row, {"latent": plain(self.latent), **options}
        if self.latent != LATENT:
            raise UserError(f"The recipe {row.name} has no option 'latent': leave it out.")
        return row, dict(options)

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _where(self) -> dict[str, Any]:
        return {"device": self.device, "precision": self.precision, "show": bool(self.verbose)}

    def _noise(self, random_state: Any) -> int:
        if random_state is None:
            return self._seed()
        return int(check_random_state(random_state).randint(2**31 - 1))

    def _allows_nan(self) -> bool:
        return self.recipe not in EXACT


def plain(value: Any) -> Any:
    """A number of Python's in the place of one of numpy's, as a grid search may give."""
    return value.item() if isinstance(value, np.generic) else value
