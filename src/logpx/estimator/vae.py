"""VAE, the estimator (floor 8): scikit-learn's verbs for any recipe."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

import logpx.model
from logpx.data import Data, Spec, Split, context_like, from_array, is_frame
from logpx.errors import UserError
from logpx.estimator import rows as table
from logpx.estimator.kept import Kept
from logpx.estimator.settings import Settings, plain
from logpx.evaluate import at_rest, codes, evidence_alone, impute, placed
from logpx.likelihoods import check_support
from logpx.model import Batch
from logpx.recipes import RECIPES, find
from logpx.samples import contexts, draw_samples, rounded
from logpx.train import Run, fit


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Kept, Settings):
    """A latent variable model p(x) = int p(x|z) p(z) dz of the rows of X, by any recipe, behind scikit-learn's verbs.

    With a conditional recipe it is p(x | y): each verb then takes y, one value or several for each row, where floats are
    numbers and anything else names classes. Other recipes do not look at y.

    recipe         its name, as `logpx list` shows them: "vae", "iwae", "ppca", "vamp_vae", ...
    latent         dimensions of z, where the recipe has them.
    options        the recipe's other options: {"hidden": (64,), "likelihood": "laplace"}.
    kind           what the numbers are: "auto", "real", "binary", "grey", "integer", "categorical" or "mixed". "auto" takes an
                   array of 0 and 1 for binary, one stored as integers >= 0 for counts, any other for real; of a data frame
                   it decides column by column. Say "real" where a fold of the data could look like something else.
    columns        the kind of single columns, by name: {"age": "real"}.
    shape          of one row, such as (1, 28, 28), for recipes and networks of pictures.
    epochs, batch_size, learning_rate, schedule, optimizer, clip, average, encoder_decay, patience
                   of `logpx.train.Training`; None leaves the recipe's own.
    held_out       fraction or number of the rows that choose the best epoch and are not trained on; 0 for none.
    standardise    whether the model works in units of the columns' standard deviations; X, log p(x) and all else keep theirs.
    samples        k of L_k in `score_samples`.
    random_state   an integer gives the same model each time; torch's own random state is left alone.
    device, precision
                   of the training, as in `logpx.train.fit`. Whatever they are, a fitted model computes in float64, so that
                   what it says of a row does not depend, not even by rounding, on the rows beside it.
    verbose        whether the training shows its progress.

    After `fit`: `model_` (five parts, a torch module), `run_` (the epochs and their losses), `n_iter_` (how many epochs),
    `n_features_in_`, `feature_names_in_`. X is used as it is, in its own units: where the columns differ in scale, say
    `standardise` (or put a scaler before it in a Pipeline: log p is then that of what the scaler makes). nan is a value that
    was not observed, wherever the recipe can do without it. A pickle of a fitted one holds the settings, and the weights in the
    format of a run's files: no object of torch; networks of one's own stand in it by name (see `Kept`).

    Raises UserError, a ValueError of one sentence, for a recipe, option or rows that do not fit.
    """

    @property
    def model_(self) -> logpx.model.VAE:
        """The trained model, on its device and in float64."""
        return self.run_.model

    # --- training -----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> "VAE":
        """Trains the recipe on the rows of X, of a conditional one given y."""
        settings = {name: getattr(self, name) for name in ("epochs", "schedule", "patience")}
        self.__dict__.pop("_moments", None)  # those of another model
        return self._begin(X, y, held_out=self.held_out, **settings)

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """`fit`, then `transform` of the same rows."""
        return self.fit(X, y).transform(X, y)

    def partial_fit(self, X: Any, y: Any = None, *, epochs: int = 1) -> "VAE":
        """Trains for `epochs` more on these rows alone, from the weights as they are; the first call makes the model.

        The optimiser's moments go on from the last call of `partial_fit`; after `fit`, which keeps the weights of its best
        epoch, they begin anew. Nothing is held out. Raises UserError for a recipe that is solved from all its rows at once, and
        at the first call for one that begins with encoder-only steps, which held-out rows bring to an end.
        """
        if not hasattr(self, "run_"):
            self._moments: dict[str, Any] = {}
            return self._begin(X, y, held_out=0, epochs=epochs, moments=self._moments)
        before, split = self.run_, self._split(X, y)
        if before.method.solve:
            raise UserError(
                f"{self.recipe} is solved from all its rows at once: call fit with the old and the new ones."
            )
        steady = replace(before.method.training, patience=None, encoder_steps=0, schedule="constant")
        data = _only_to_train(self._about, split)
        method = replace(before.method, start=None, training=steady)  # what `start` places was placed
        self._moments = getattr(self, "_moments", {})
        seed = self.seed_ + self.n_iter_
        after = fit(method, data, epochs=epochs, seed=seed, moments=self._moments, **self._where())
        rows = before.rows + [{**row, "epoch": row["epoch"] + self.n_iter_} for row in after.rows]
        return self._keep(Run(before.method, before.info, rows, len(rows), second=after.second))

    def _begin(self, X: Any, y: Any, held_out: Any, moments: dict[str, Any] | None = None, **settings: Any) -> "VAE":
        row, options = self._recipe()
        x, seed = self._checked(X, reset=True), self._seed()
        kind: Any = row.kind if self.kind == "auto" else self.kind
        asked: dict[str, Any] = {"columns": self.columns, "held_out": plain(held_out), "test": 0}
        asked["context"] = self._conditions(y)
        asked["standardise"] = bool(self.standardise)
        data = from_array(x, name="X", kind=kind, protocol="as-is", seed=seed, **asked)
        self._frame = table.frame_of(X) if is_frame(X) else None
        self.seed_ = seed
        settings |= {name: getattr(self, name) for name in ("batch_size", "learning_rate", "optimizer", "clip")}
        settings |= {name: getattr(self, name) for name in ("average", "encoder_decay")}
        settings = {name: plain(value) for name, value in settings.items()}
        method = row.build(data, seed=seed, **options)
        if moments is not None and method.training.encoder_steps:
            raise UserError(
                f"{self.recipe} begins with encoder-only steps, which end by held-out rows, and partial_fit holds none out: "
                "call fit first."
            )
        return self._keep(fit(method, data, seed=seed, moments=moments, **settings, **self._where()))

    def _keep(self, run: Run) -> "VAE":
        run.model.double()  # exact, and rounding no longer tells a row from its neighbours
        self.run_, self.n_iter_ = run, len(run.rows)
        dim: Any = run.model.posterior.dim
        self._n_features_out = int(dim)
        return self

    # --- codes --------------------------------------------------------------------------------------------------------

    def transform(self, X: Any, y: Any = None) -> Any:
        """E[z | x] of each row, (N, D), without noise; on a curved space the centre of q(z | x)."""
        batch = self._batch(X, y)
        return table.as_array(codes(self.model_, batch).z, table.dtype_like(X))

    def inverse_transform(self, X: Any, y: Any = None) -> Any:
        """E[x | z] of codes (N, D), rows as they were given to `fit`."""
        check_is_fitted(self)
        z = torch.from_numpy(check_array(X, dtype=np.float64, force_writeable=True))
        if z.shape[1] != self._n_features_out:
            raise UserError(f"X has {z.shape[1]} columns, and codes of this model have {self._n_features_out}.")
        return self._given(self._means(z, self._context(y, len(z))))

    def reconstruct(self, X: Any, y: Any = None, *, draw: bool = False, random_state: Any = None) -> Any:
        """The mean E[x | z] at z = E[z | x], or with `draw` one x' ~ p(x | z), z ~ q(z | x)."""
        batch = self._batch(X, y)
        if not draw:
            return self._given(self._means(codes(self.model_, batch).z, batch.context), X)
        with at_rest(self.model_, self._noise(random_state)):
            drawn = [self.model_.draw(placed(piece, self.model_)).px.sample()[0] for piece in table.pieces(batch)]
        return self._given(table.joined(drawn), X)

    def _means(self, z: Tensor, context: Tensor | None) -> Tensor:
        if not self.model_.has_mean:
            raise UserError("E[x|z] of this likelihood is not known: take reconstruct(X, draw=True) or sample.")
        with at_rest(self.model_):
            like = next(self.model_.parameters())
            given = [None] * len(z) if context is None else context.to(like).split(2048)
            pieces = zip(z.to(like).split(2048), given, strict=False)
            return table.joined([self.model_.decode(piece, c).mean for piece, c in pieces])

    # --- densities ----------------------------------------------------------------------------------------------------

    def score_samples(self, X: Any, y: Any = None) -> Any:
        """log p(x) of each row in nats, (N,).

        Exact where the recipe knows it (`ppca`, `factor_analysis`, `linear_vae`, `made`, `pixelcnn`), else the lower bound
        L_k = log 1/k sum_j p(x, z_j)/q(z_j|x), k = `samples`, by the same noise for every row.

        So a row's number depends neither on the other rows nor on its place. It is a log-density for real columns, a
        log-probability for discrete ones, and with likelihood="grey" a score. Of missing values nothing is counted.
        """
        batch = self._batch(X, y)
        return evidence_alone(self.model_, batch, samples=self.samples, seed=self.seed_).per_point.numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, nats per row: what GridSearchCV makes large."""
        return float(self.score_samples(X, y).mean())

    def sample(self, n_samples: int = 1, *, given: Any = None, mean: bool = False, random_state: Any = None) -> Any:
        """n new rows x ~ p(x|z), z ~ p(z), or with `mean` E[x|z]; without a random_state by the estimator's own.

        given  what a conditional recipe's rows are given: one value for all, {name: value} of several, or a y of n rows;
               left out, every class in turn.
        """
        check_is_fitted(self)
        n, seed = int(n_samples), self._noise(random_state)
        context = contexts(self._about, n)[0] if given is None else self._context(table.repeated(given, n), n)
        return self._given(draw_samples(self.model_, n, draw=not mean, seed=seed, context=context))

    def impute(self, X: Any, y: Any = None, *, draw: bool = False, samples: int = 1000) -> Any:
        """X with its missing values (nan, None) filled by E[x_missing | x_observed], or with `draw` by one draw of them.

        Counts and truth values are rounded; a category is the likeliest one. What was observed stays as it is. The noise of
        E[x_missing | x_observed] is the same for every row, as in `score_samples`; draws of rows are independent.
        """
        check_is_fitted(self)
        split = self._split(X, y)
        batch = table.batch_in_full(split)
        if batch.observed is None:
            return X.copy() if self._frame == "pandas" else X.clone() if self._frame else np.array(X)
        how: dict[str, Any] = {"samples": samples, "draw": draw, "seed": self.seed_, "levels": split.levels}
        full = impute(self.model_, batch, alone=not draw, **how).cpu()
        full = rounded(full, self._about).where(~batch.observed, batch.x)
        if self._frame and is_frame(X):
            return table.filled_frame(X, full, ~batch.observed, self._about)
        return table.as_array(full, table.dtype_like(X))

    # --- rows in and out ----------------------------------------------------------------------------------------------

    @property
    def _about(self) -> dict[str, Any]:
        """The run's account of its data."""
        about: dict[str, Any] = self.run_.info["data"]
        return about

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._allows_nan()
        tags.target_tags.required = self.recipe in RECIPES and RECIPES[self.recipe].conditional
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _checked(self, X: Any, reset: bool = False) -> Any:
        """A data frame as it is, anything else as an array of numbers, (N, *shape)."""
        if is_frame(X) and (reset or self._frame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        finite = "allow-nan" if self._allows_nan() else True
        least = 2 if reset else 1
        x = np.asarray(
            validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=finite, ensure_min_samples=least)
        )
        return x.reshape(len(x), *self.shape) if self.shape else x

    def _split(self, X: Any, y: Any) -> Split:
        return table.split_like(self._checked(X), self._about, self._conditions(y))

    def _batch(self, X: Any, y: Any) -> Batch:
        """The rows in float64; UserError for values that the likelihood gives no probability."""
        check_is_fitted(self)
        batch = table.batch_in_full(self._split(X, y))
        check_support(self.model_.likelihood, batch.x)
        return batch

    def _conditions(self, y: Any) -> dict[str, np.ndarray] | None:
        """What a conditional recipe is given, by name; UserError where it is given nothing."""
        if not find(self.recipe).conditional:
            return None
        if y is None:
            raise UserError(f"{self.recipe} models p(x | y): give y, one value for each row.")
        return table.conditions_in(y)

    def _context(self, y: Any, n: int) -> Tensor | None:
        """The same as numbers (n, C), for rows that are not there."""
        given = self._conditions(y)
        return None if given is None else context_like(given, self._about, n).double()

    def _given(self, x: Tensor, X: Any = None) -> Any:
        """Rows as they were given to `fit`: an array, or a data frame with its columns (and the index of X)."""
        if self._frame is None:
            return table.as_array(x, table.dtype_like(X))
        return table.as_frame(x, self._about, self._frame, getattr(X, "index", None))


def _only_to_train(about: Mapping[str, Any], split: Split) -> Data:
    """Rows as a data set of which none are held out, of the spec that a run describes."""
    columns = table.known_columns(about) if about["column_kinds"] else None
    spec = Spec(tuple(about["shape"]), about["kind"], about["levels"], about["context"], columns)
    none = replace(split, rows=split.rows[:0], context=None if split.context is None else split.context[:0])
    note = f"{len(split):,} more rows."
    return Data("X", "X", spec, "as-is", split, none, none, checksum="", note=note, options={})
