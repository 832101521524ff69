"""What a model's codes say of what is known about the rows (floor 5): scores by factors, probes for factors or labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from logpx.distributions import OneHots, Quantised, is_euclidean
from logpx.distributions.spaces import spreads
from logpx.errors import UserError
from logpx.evaluate import disentangle
from logpx.evaluate.encode import code_of
from logpx.evaluate.probes import READERS, Probe, probe
from logpx.evaluate.rows import at_rest, placed, plain
from logpx.model import VAE, Batch

OF_Q = 2000  # rows of the mutual information of q(z|x): every draw meets every row
_CURVED = (
    "z lives in a curved space, which has no axes that a factor could lie along: the scores do not apply, and the probes "
    "read the coordinates of its centres."
)


class KnownRows(Protocol):
    """Rows of which something is known, such as a Split."""

    @property
    def labels(self) -> Tensor | None: ...
    @property
    def factors(self) -> Tensor | None: ...
    def __len__(self) -> int: ...
    def batch(self, index: Any, generator: Any = None, /) -> Batch: ...


class Factor(Protocol):
    """The name of a factor and whether its levels are counted in an order, such as a Column."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...


class KnownData(Protocol):
    """A data set of such rows, such as Data."""

    @property
    def train(self) -> KnownRows: ...
    @property
    def held_out(self) -> KnownRows: ...
    @property
    def test(self) -> KnownRows: ...
    @property
    def factors(self) -> Sequence[Factor]: ...


@dataclass(frozen=True)
class FactorScore:
    """One score in [0, 1]; its standard error, where one is known; what codes without information reach, where it is not 0."""

    name: str
    value: float
    standard_error: float | None = None
    chance: float = 0.0

    def __str__(self) -> str:
        known = self.standard_error is not None and math.isfinite(self.standard_error)
        error = f" +- {self.standard_error:.3f}" if known else ""
        return f"{self.value:.3f}{error}" + (f" (chance {self.chance:.3f})" if self.chance else "")


@dataclass(frozen=True)
class Representation:
    """Codes of rows beside what is known of these rows.

    codes   what they are: "posterior means", ...; dims how many numbers each has, alive those that vary by 0.01 or more.
    scores  of disentanglement, on training rows; none without factors, and on curved spaces, where `note` says so.
    probes  of each factor, or of the labels, fitted to the same training rows and scored on rows of the `split` named.
    """

    codes: str
    dims: int
    alive: int
    rows: int
    split: str
    test_rows: int
    factors: tuple[str, ...]
    scores: tuple[FactorScore, ...]
    probes: tuple[Probe, ...]
    note: str | None = None

    def score(self, name: str) -> float:
        """The value of the score of that name."""
        return next(score.value for score in self.scores if score.name == name)

    def summary(self) -> dict[str, Any]:
        """Plain numbers for a table or a JSON object."""
        about = {name: value for name, value in self.__dict__.items() if name not in ("scores", "probes")}
        scores = {score.name: _finite(score.__dict__) for score in self.scores}
        return about | {"scores": scores, "probes": [_finite(probe.summary()) for probe in self.probes]}


def representation(model: VAE, data: KnownData, *, rows: int = 5000, seed: int = 0) -> Representation:
    """Everything that can be said of a model's codes where factors or labels of the rows are known.

    data  has splits with `factors` (N, F) or `labels` (N,); `sprites` has both, pictures of named classes the latter.
    rows  how many training rows, drawn with the seed, are scored and read from; as many test rows (held-out rows where there
          are none) at most.

    Codes are posterior means; the probabilities of categorical latents, one number for each class; the centres of curved laws,
    in their own coordinates, for probes alone. Scores: those of `disentangle`, from the codes, and mig once more from draws of
    a normal q(z|x), in which a dimension that q leaves in noise cannot pass for one that knows something. Errors: the
    jackknife's over rows (mig, sap, modularity), of the votes alone (factor_vae, beta_vae), none for the forests of dci.

    Raises UserError where nothing is known of the rows, where no row was kept from training, and for a model without a latent
    or with a grid of discrete codes.
    """
    test_name = "test" if len(data.test) else "held_out"
    train, test = data.train, getattr(data, test_name)
    names, ordered = _targets(data)
    if not len(test):
        raise UserError("Probes are scored on rows that were kept from training, and there are none: set some apart.")
    chosen, judged = _chosen(train, rows, seed), _chosen(test, rows, seed)
    with at_rest(model, seed):
        z, scales, codes, note = _codes(model, train, chosen, seed)
        z_test, *_ = _codes(model, test, judged, seed)
    v, v_test = _known(train, chosen), _known(test, judged)
    by_factor = data.train.factors is not None and note is None
    probes = [
        probe(z, v[:, f], z_test, v_test[:, f], reader=reader, ordered=ordered[f], name=name)
        for f, name in enumerate(names)
        for reader in READERS
    ]
    return Representation(
        codes=codes,
        dims=z.shape[1],
        alive=int((z.var(0) >= disentangle.ALIVE).sum()),
        rows=len(z),
        split=test_name,
        test_rows=len(z_test),
        factors=tuple(names) if train.factors is not None else (),
        scores=_scores(z, v, scales, ordered, _has_scale(model), seed) if by_factor else (),
        probes=tuple(probes),
        note=note,
    )


def _targets(data: KnownData) -> tuple[list[str], list[bool]]:
    """Names of what is known of the rows, and which of it is ordered: the factors, or else the label."""
    if data.train.factors is not None:
        return [factor.name for factor in data.factors], [factor.kind != "categorical" for factor in data.factors]
    if data.train.labels is None:
        raise UserError(
            "Nothing is known of these rows that codes could be compared with: name columns of a table (--factors), or train "
            "on a set with factors (sprites) or labels (--label)."
        )
    return ["label"], [False]


def _known(split: KnownRows, index: Tensor) -> Tensor:
    """(N, F): the factors of these rows, or their labels."""
    if split.factors is not None:
        return split.factors[index]
    assert split.labels is not None
    return split.labels[index][:, None]


def _chosen(split: KnownRows, rows: int, seed: int) -> Tensor:
    """Row numbers drawn without replacement: a file that is sorted by a factor would show a few levels of it first."""
    return torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:rows].sort().values


def _codes(model: VAE, split: KnownRows, index: Tensor, seed: int) -> tuple[Tensor, Tensor | None, str, str | None]:
    """(codes (N, D), standard deviations of a normal q or None, what the codes are, what cannot be said of them)."""
    generator = torch.Generator().manual_seed(seed) if getattr(split, "random", False) else None
    parts, scales = [], []
    for some in index.split(500):
        q = model.encode(placed(split.batch(some, generator), model))
        if q.event_shape == (0,):
            raise UserError("This model has no latent, so it has no codes that could be compared with anything.")
        if isinstance(q, Quantised):
            raise UserError(
                "The codes of this model are grids of a codebook's entries and no dimensions: take code_usage."
            )
        flat = is_euclidean(q) or isinstance(q, OneHots)
        parts.append(code_of(q).double().cpu())
        scales.append(spreads(q) if flat else None)
    known = [scale.double().cpu() for scale in scales if scale is not None]
    whole = torch.cat(known) if len(known) == len(parts) else None
    return torch.cat(parts), whole, _words(model, q), None if flat else _CURVED


def _words(model: VAE, q: Distribution) -> str:
    if isinstance(q, OneHots):
        return "probabilities of classes"
    if not is_euclidean(q):
        return "centres of q(z|x)"
    is_code = getattr(model.posterior, "is_one_code", not _has_scale(model))
    return "codes" if is_code else "posterior means"


def _has_scale(model: VAE) -> bool:
    """Whether the prior sets the unit of z, so that a variance below 0.01 is small."""
    return bool(getattr(model.posterior, "has_density", True))


def _scores(
    z: Tensor, v: Tensor, scales: Tensor | None, ordered: list[bool], has_scale: bool, seed: int
) -> tuple[FactorScore, ...]:
    def sap(z: Tensor, v: Tensor) -> float:
        return disentangle.sap(z, v, ordered=ordered)

    by_rows: dict[str, disentangle.Score] = {"mig": disentangle.mig, "sap": sap, "modularity": disentangle.modularity}
    found = [FactorScore(name, score(z, v), disentangle.jackknife(score, z, v)) for name, score in by_rows.items()]
    if scales is not None:
        few = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[:OF_Q]
        found.insert(1, FactorScore("mig of q", disentangle.mig(z[few], v[few], scales=scales[few], seed=seed)))
    dci = disentangle.dci(z, v, seed=seed)
    commonest = [(column.bincount().max() / len(column)).item() for column in v.T]
    found += [
        FactorScore("dci disentanglement", dci.disentanglement),
        FactorScore("dci completeness", dci.completeness),
        FactorScore("dci informativeness", dci.informativeness, chance=sum(commonest) / len(commonest)),
    ]
    alive = disentangle.ALIVE if has_scale else 0.0
    votes = {
        "factor_vae": disentangle.factor_vae_score(z, v, alive=alive, seed=seed),
        "beta_vae": disentangle.beta_vae_score(z, v, seed=seed),
    }
    n = disentangle.VOTES
    return (*found, *(FactorScore(k, p, math.sqrt(p * (1 - p) / n), 1 / v.shape[1]) for k, p in votes.items()))


def _finite(numbers: dict[str, Any]) -> dict[str, Any]:
    """Without what is unknown, and null for nan."""
    known = {name: value for name, value in numbers.items() if name != "name" and value is not None}
    return plain(known)
